"""What a user's own two engines do, opened before and after the native part is loaded, or without it: a script.

python plain_unicorn.py with|without
"""

from __future__ import annotations

import json
import struct
import sys

import unicorn
from unicorn import arm64_const as arm
from unicorn import x86_const as x86

from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, Bench, branch, hvc

BASE, DATA = 0x10_0000, 0x20_0000
WORDS = (
    0xD503_205F, 0xD503_203F,  # wfe; yield
    0xD280_00A0, 0x9E67_0000, 0x5E61_D801, 0x1E61_2822,  # mov x0, #5; fmov d0, x0; ucvtf or scvtf; fadd d2, d1, d1
    0xF900_0040, 0xF940_0043, 0x3823_4044,  # str x0, [x2]; ldr x3, [x2]; ldsmaxb w3, w4, [x2]
    0xD53B_D041, 0xD538_0005,  # mrs x1, tpidr_el0; mrs x5, midr_el1
    0xF100_0400, 0x54FF_FFE1,  # subs x0, x0, #1; b.ne .-4
    0xD503_201F,
)  # fmt: skip


def arm64(uc: unicorn.Uc) -> list[object]:
    """Hooks on blocks, instructions and memory, a count, a stop from a hook, a context, and what was computed."""
    uc.mem_map(BASE, 0x1000)
    uc.mem_map(DATA, 0x1000)
    uc.mem_write(BASE, struct.pack(f"<{len(WORDS)}I", *WORDS))
    uc.reg_write(arm.UC_ARM64_REG_CPACR_EL1, 3 << 20)
    uc.reg_write(arm.UC_ARM64_REG_X2, DATA)
    seen: list[tuple[object, ...]] = []
    hooks = [
        uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda _uc, address, size, _data: seen.append(("block", address, size))),
        uc.hook_add(
            unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE,
            lambda _uc, kind, address, size, value, _data: seen.append(("memory", kind, address, size, value)),
        ),
    ]
    context = uc.context_save()
    end = BASE + 4 * len(WORDS)
    result: list[object] = [run(uc, BASE, end), registers(uc)]
    uc.context_restore(context)
    result += [registers(uc), run(uc, BASE, end, count=9), registers(uc)]

    def stop(uc: unicorn.Uc, address: int, _size: int, _data: object) -> None:
        seen.append(("code", address))
        if address == BASE + 16:
            uc.emu_stop()

    hooks.append(uc.hook_add(unicorn.UC_HOOK_CODE, stop))
    result += [run(uc, BASE, end), registers(uc)]
    for hook in hooks:
        uc.hook_del(hook)
    uc.hook_add(unicorn.UC_HOOK_INTR, lambda uc, number, _data: (seen.append(("exception", number)), uc.emu_stop()))
    uc.mem_write(BASE, struct.pack("<2I", 0xD400_0021, 0xD503_201F))  # svc #1
    return [*result, run(uc, BASE, BASE + 4), registers(uc), seen]


def x86_64(uc: unicorn.Uc) -> list[object]:
    """A loop with a store, a pause and a count."""
    uc.mem_map(BASE, 0x1000)
    uc.mem_map(DATA, 0x1000)
    code = bytes.fromhex("b80500000089450090f390ffc875f690")  # mov; mov [rbp], eax; pause; dec; jne
    uc.mem_write(BASE, code)
    uc.reg_write(x86.UC_X86_REG_RBP, DATA)
    seen: list[tuple[object, ...]] = []
    uc.hook_add(unicorn.UC_HOOK_BLOCK, lambda _uc, address, size, _data: seen.append((address, size)))
    uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, lambda _uc, _kind, address, size, value, _: seen.append((address, value)))
    result = [run(uc, BASE, BASE + len(code)), uc.reg_read(x86.UC_X86_REG_RAX), run(uc, BASE, 0, count=7)]
    return [*result, uc.reg_read(x86.UC_X86_REG_RIP), seen]


def run(uc: unicorn.Uc, begin: int, end: int, count: int = 0) -> str:
    """How it ended."""
    try:
        uc.emu_start(begin, end, count=count)
    except unicorn.UcError as error:
        return str(error)
    return ""


def registers(uc: unicorn.Uc) -> list[int]:
    """The ones used."""
    return [uc.reg_read(arm.UC_ARM64_REG_X0 + n) for n in range(6)] + [
        uc.reg_read(arm.UC_ARM64_REG_D2), uc.reg_read(arm.UC_ARM64_REG_PC), uc.reg_read(arm.UC_ARM64_REG_PSTATE),
    ]  # fmt: skip


def engine() -> None:
    """The native part is loaded, and an engine of ours runs a little."""
    from armvcpu.engine.unicorn_engine import UnicornEngine

    bench = Bench(UnicornEngine())
    bench.start(*[ADD_X0_1] * 5, hvc(0), branch(-6))
    assert bench.run_to_trap().pc == CODE + 24


def opened() -> tuple[unicorn.Uc, unicorn.Uc]:
    """Two that have their CPUs and translators already."""
    ucs = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM), unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    ucs[0].ctl_set_cpu_model(arm.UC_CPU_ARM64_MAX)
    for uc in ucs:
        uc.reg_read(1)
    return ucs


def main(order: str) -> None:
    """Print what was seen."""
    first = opened()
    if order == "with":
        engine()
    print(json.dumps([[arm64(arm), x86_64(x86)] for arm, x86 in (first, opened())]))


if __name__ == "__main__":
    main(sys.argv[1])
