"""Guests of a few lines of C, with DWARF: for tests of what a debugger reads.

Clang is the one of the package `ziglang`, GCC that of the firmware manifest. The guest begins in `main`, with FP on and
the MMU off, and is powered off when that returns.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path

START = """\
.globl _start
_start:
    mov x1, #(3 << 20)          // CPACR_EL1.FPEN
    msr cpacr_el1, x1
    isb
    ldr x1, =0x41000000
    mov sp, x1
    bl main
    ldr w0, =0x84000008         // SYSTEM_OFF, DEN 0022 5.9
    hvc #0
    b .
.weak memcpy, memset            // which compilers call
memcpy:
    cbz x2, 1f
    sub x2, x2, #1
    ldrb w3, [x1, x2]
    strb w3, [x0, x2]
    b memcpy
memset:
    cbz x2, 1f
    sub x2, x2, #1
    strb w1, [x0, x2]
    b memset
1:  ret
"""
CLANG = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-freestanding-none", "-fno-sanitize=all")
FLAGS = ("-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pic", "-Wno-main", "-c")
BASE = 0x4008_0000


def build(
    directory: Path, text: str, *flags: str, compiler: str = "clang", suffix: str = "c", start: str = START
) -> Path:
    """Compile C with these flags into an ELF file linked at 0x4008_0000, which `start` begins; its path."""
    cache = str(directory / "cache")
    environment = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, "PATH": "/usr/bin:/bin"}
    command = CLANG if compiler == "clang" else (programs.path("aarch64-linux-gnu-gcc"),)

    def run(*words: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in words], cwd=directory, env=environment, capture_output=True, timeout=100, check=False
        )
        assert not done.returncode, done.stderr.decode()

    (directory / "start.S").write_text(start)
    (directory / f"main.{suffix}").write_text(text)
    run(*command, "-c", "start.S", "-o", "start.o")
    strict = "-mcpu=generic+strict_align" if compiler == "clang" else "-mstrict-align"  # the MMU is off
    run(*command, *FLAGS, strict, *flags, f"main.{suffix}", "-o", "main.o")
    run(
        sys.executable, "-m", "ziglang", "ld.lld", "-Ttext", hex(BASE), "-z", "max-page-size=4096", "-o", "guest.elf",
        "start.o", "main.o",
    )  # fmt: skip
    return directory / "guest.elf"
