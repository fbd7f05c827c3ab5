"""The native callbacks of `native.py` for each kind of host: bytes, with the assembly that they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostCode:
    """Position-independent functions for one kind of host."""

    count: bytes
    """void count(uc, u64 address, u32 size, u64 data[5]): instructions, block address, block length, limit, stop."""
    filter: bytes
    """u32 filter(uc, int reg, uc_arm64_cp_reg *, void *data): jumps to the callback, or returns 0."""
    answer: bytes
    """u32 answer(uc, int reg, uc_arm64_cp_reg *, u64 data[7]): `SiteData`; 1 where it has answered, else 0."""
    same_page: bytes
    """u32 same_page(uc, int reg, uc_arm64_cp_reg *, u64 data[5]): `PageData`; 1, or jumps to the callback."""
    translated: bytes
    """void translated(uc, uc_tb *, uc_tb *, u64 data[2]): `TranslationData`; counts, and nothing is gone."""
    nothing: bytes
    """A function that returns at once."""


_X86_64 = HostCode(
    count=bytes.fromhex(
        "89d0"  # mov eax, edx            the block's size in bytes
        "c1e802"  # shr eax, 2            ... in instructions
        "48897108"  # mov [rcx+8], rsi    data.address
        "48894110"  # mov [rcx+16], rax   data.length
        "488b11"  # mov rdx, [rcx]        data.instructions, before this block
        "480101"  # add [rcx], rax
        "483b5118"  # cmp rdx, [rcx+24]   data.limit
        "7301"  # jae 1f
        "c3"  # ret
        "ff6120"  # 1: jmp [rcx+32]       data.stop(uc)
    ),
    filter=bytes.fromhex(
        "8b4208"  # mov eax, [rdx+8]      Op0
        "83e001"  # and eax, 1
        "c1e003"  # shl eax, 3
        "0b420c"  # or eax, [rdx+12]      Op1
        "c1e004"  # shl eax, 4
        "0b02"  # or eax, [rdx]           CRn
        "c1e004"  # shl eax, 4
        "0b4204"  # or eax, [rdx+4]       CRm
        "c1e003"  # shl eax, 3
        "0b4210"  # or eax, [rdx+16]      Op2
        "807c010800"  # cmp byte [rcx+rax+8], 0
        "7503"  # jne 1f
        "31c0"  # xor eax, eax
        "c3"  # ret
        "ff21"  # 1: jmp [rcx]
    ),
    answer=bytes.fromhex(
        "488b02"  # mov rax, [rdx]
        "483b01"  # cmp rax, [rcx]
        "753d"  # jne 1f
        "488b4208"  # mov rax, [rdx+8]
        "483b4108"  # cmp rax, [rcx+8]
        "7533"  # jne 1f
        "8b4210"  # mov eax, [rdx+16]
        "3b4110"  # cmp eax, [rcx+16]
        "752b"  # jne 1f
        "57"  # push rdi
        "56"  # push rsi
        "51"  # push rcx
        "8b7114"  # mov esi, [rcx+20]
        "488d5118"  # lea rdx, [rcx+24]
        "ff5120"  # call [rcx+32]
        "59"  # pop rcx
        "5e"  # pop rsi
        "5f"  # pop rdi
        "f641180c"  # test byte [rcx+24], 12
        "7415"  # je 1f
        "4883ec08"  # sub rsp, 8
        "488d5128"  # lea rdx, [rcx+40]
        "ff5130"  # call [rcx+48]
        "4883c408"  # add rsp, 8
        "b801000000"  # mov eax, 1
        "c3"  # ret
        "31c0"  # 1: xor eax, eax
        "c3"  # ret
    ),
    same_page=bytes.fromhex(
        "488b02"  # mov rax, [rdx]
        "483b01"  # cmp rax, [rcx]
        "752b"  # jne 1f
        "488b4208"  # mov rax, [rdx+8]
        "483b4108"  # cmp rax, [rcx+8]
        "7521"  # jne 1f
        "8b4210"  # mov eax, [rdx+16]
        "3b4110"  # cmp eax, [rcx+16]
        "7519"  # jne 1f
        "488b4218"  # mov rax, [rdx+24]
        "482500f0ffff"  # and rax, -4096
        "4c8b4118"  # mov r8, [rcx+24]
        "493b00"  # cmp rax, [r8]
        "7506"  # jne 1f
        "b801000000"  # mov eax, 1
        "c3"  # ret
        "ff6120"  # 1: jmp [rcx+32]
    ),
    translated=bytes.fromhex(
        "48ff01"  # inc qword [rcx]
        "48c7410801000000"  # mov qword [rcx+8], 1
        "c3"  # ret
    ),
    nothing=bytes.fromhex("c3"),
)
"""By the System V calling convention: rdi, esi, rdx, rcx."""


def _a64(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


_AARCH64 = HostCode(
    count=_a64(
        0x53027C42,  # lsr w2, w2, #2
        0xF9000461,  # str x1, [x3, #8]
        0xF9000862,  # str x2, [x3, #16]
        0xF9400064,  # ldr x4, [x3]
        0x8B020082,  # add x2, x4, x2
        0xF9000062,  # str x2, [x3]
        0xF9400C65,  # ldr x5, [x3, #24]
        0xEB05009F,  # cmp x4, x5
        0x54000042,  # b.hs 1f
        0xD65F03C0,  # ret
        0xF9401064,  # 1: ldr x4, [x3, #32]
        0xD61F0080,  # br x4
    ),
    filter=_a64(
        0xB9400844,  # ldr w4, [x2, #8]
        0x12000084,  # and w4, w4, #1
        0xB9400C45,  # ldr w5, [x2, #12]
        0x2A040CA4,  # orr w4, w5, w4, lsl #3
        0xB9400045,  # ldr w5, [x2]
        0x2A0410A4,  # orr w4, w5, w4, lsl #4
        0xB9400445,  # ldr w5, [x2, #4]
        0x2A0410A4,  # orr w4, w5, w4, lsl #4
        0xB9401045,  # ldr w5, [x2, #16]
        0x2A040CA4,  # orr w4, w5, w4, lsl #3
        0x8B040064,  # add x4, x3, x4
        0x39402084,  # ldrb w4, [x4, #8]
        0x35000064,  # cbnz w4, 1f
        0x52800000,  # mov w0, #0
        0xD65F03C0,  # ret
        0xF9400064,  # 1: ldr x4, [x3]
        0xD61F0080,  # br x4
    ),
    answer=_a64(
        0xF9400044,  # ldr x4, [x2]
        0xF9400065,  # ldr x5, [x3]
        0xEB05009F,  # cmp x4, x5
        0x54000381,  # b.ne 2f
        0xF9400444,  # ldr x4, [x2, #8]
        0xF9400465,  # ldr x5, [x3, #8]
        0xEB05009F,  # cmp x4, x5
        0x54000301,  # b.ne 2f
        0xB9401044,  # ldr w4, [x2, #16]
        0xB9401065,  # ldr w5, [x3, #16]
        0x6B05009F,  # cmp w4, w5
        0x54000281,  # b.ne 2f
        0xA9BD7BFD,  # stp x29, x30, [sp, #-48]!
        0xA90107E0,  # stp x0, x1, [sp, #16]
        0xF90013E3,  # str x3, [sp, #32]
        0xB9401461,  # ldr w1, [x3, #20]
        0x91006062,  # add x2, x3, #24
        0xF9401064,  # ldr x4, [x3, #32]
        0xD63F0080,  # blr x4
        0xA94107E0,  # ldp x0, x1, [sp, #16]
        0xF94013E3,  # ldr x3, [sp, #32]
        0xB9401864,  # ldr w4, [x3, #24]
        0x721E049F,  # tst w4, #12
        0x540000E0,  # b.eq 1f
        0x9100A062,  # add x2, x3, #40
        0xF9401864,  # ldr x4, [x3, #48]
        0xD63F0080,  # blr x4
        0xA8C37BFD,  # ldp x29, x30, [sp], #48
        0x52800020,  # mov w0, #1
        0xD65F03C0,  # ret
        0xA8C37BFD,  # 1: ldp x29, x30, [sp], #48
        0x52800000,  # 2: mov w0, #0
        0xD65F03C0,  # ret
    ),
    same_page=_a64(
        0xF9400044,  # ldr x4, [x2]
        0xF9400065,  # ldr x5, [x3]
        0xEB05009F,  # cmp x4, x5
        0x54000221,  # b.ne 1f
        0xF9400444,  # ldr x4, [x2, #8]
        0xF9400465,  # ldr x5, [x3, #8]
        0xEB05009F,  # cmp x4, x5
        0x540001A1,  # b.ne 1f
        0xB9401044,  # ldr w4, [x2, #16]
        0xB9401065,  # ldr w5, [x3, #16]
        0x6B05009F,  # cmp w4, w5
        0x54000121,  # b.ne 1f
        0xF9400C44,  # ldr x4, [x2, #24]
        0x9274CC84,  # and x4, x4, #-4096
        0xF9400C65,  # ldr x5, [x3, #24]
        0xF94000A5,  # ldr x5, [x5]
        0xEB05009F,  # cmp x4, x5
        0x54000061,  # b.ne 1f
        0x52800020,  # mov w0, #1
        0xD65F03C0,  # ret
        0xF9401064,  # 1: ldr x4, [x3, #32]
        0xD61F0080,  # br x4
    ),
    translated=_a64(
        0xF9400064,  # ldr x4, [x3]
        0x91000484,  # add x4, x4, #1
        0xF9000064,  # str x4, [x3]
        0xD2800024,  # mov x4, #1
        0xF9000464,  # str x4, [x3, #8]
        0xD65F03C0,  # ret
    ),
    nothing=_a64(0xD65F03C0),
)
"""By the AAPCS64: x0, w1 or x1, x2 or w2, x3."""

ENCODINGS = {"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}
