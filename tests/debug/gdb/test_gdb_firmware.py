"""gdb-multiarch debugs what others have built: U-Boot through its relocation, a Linux kernel to its panic."""

from __future__ import annotations

import re
import struct

import pytest
from conversation import Conversation
from gdb_session import Run

from armvcpu.testing.firmware import store

pytestmark = pytest.mark.firmware

PROMPT = "\n=> "


def command_of(elf: bytes, name: bytes) -> int:
    """The function of one of U-Boot's commands before relocation: from its `struct cmd_tbl`, by the relocations."""
    sections, count = struct.unpack_from("<Q", elf, 0x28)[0], struct.unpack_from("<H", elf, 0x3C)[0]
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, sections + 64 * n) for n in range(count)]
    at = {}
    for _, kind, _, _, offset, size, *_ in headers:
        for entry in range(offset, offset + size if kind == 4 else offset, 24):  # SHT_RELA: R_AARCH64_RELATIVE
            where, _, addend = struct.unpack_from("<QQq", elf, entry)
            at[where] = addend
    begin, end = max((each[5], each[3], each[3] + each[5]) for each in headers if each[1] == 1 and each[2] & 4)[1:]
    shift = next(each[4] - each[3] for each in headers if each[3] == begin)
    return next(
        at[where + 24]
        for where, text in at.items()
        if elf[text + shift : text + shift + len(name) + 1] == name + b"\0" and begin <= at.get(where + 24, 0) < end
    )


def test_u_boot_through_its_relocation(tmp_path):
    """A breakpoint where a function is going to be, set before anything has been copied there."""
    store.fetch("u-boot")
    version = command_of(store.path("u-boot", "uboot.elf").read_bytes(), b"version")
    with Conversation(firmware=store.path("u-boot")) as conversation:
        conversation.expect("Hit any key to stop autoboot")
        conversation.say("")
        conversation.expect(PROMPT)
        offset = int(re.search(r"reloc off += (0x[0-9a-f]+)", conversation.ask("bdinfo", PROMPT))[1], 16)
    with Run(tmp_path, "--firmware", store.path("u-boot")) as run:
        run.process.stdin.write(b"\rversion\r")
        run.process.stdin.flush()
        said = run.gdb(
            f"tbreak *{offset + version:#x}", "continue", f"print *(long *) $pc == *(long *) {version:#x}",
            "tbreak *$x30", "continue", "print $x0", "kill",
        )  # fmt: skip
    assert re.search(rf"breakpoint 1, {offset + version:#018x} in", said), said
    assert "$1 = 1" in said
    assert "$2 = 0" in said


@pytest.fixture(scope="module")
def kernel():
    """The kernel's Image, and its command line without a root file system."""
    store.fetch("linux-cloud")
    return store.path("linux-cloud"), "--append", "console=ttyAMA0", "--memory", "512M"


def test_a_linux_kernels_panic(tmp_path, kernel):
    """On two CPUs: a breakpoint set before the MMU is on, by the names that the Image itself has; gdb gets no file."""
    with Run(tmp_path, *kernel, "--cpus", "2") as run:
        said = run.gdb(
            "break start_kernel", "break panic", "continue", "info threads", "continue", "x/s $x0", "backtrace",
            "info threads", "thread 1", "print $TTBR1_EL1 != 0", "kill",
        )  # fmt: skip
    assert re.search("hit Breakpoint 1, 0x[0-9a-f]+ in start_kernel", said), said
    assert re.search("hit Breakpoint 2, 0x[0-9a-f]+ in panic", said), said
    assert re.search("#1 .* in mount_block_root", said), said
    assert "switched off" in said
    assert "VFS: Unable to mount root fs" in said
    assert "$1 = 1" in said
