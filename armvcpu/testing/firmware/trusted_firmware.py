"""Builds Trusted Firmware-A for QEMU's board from Debian's source package, with a cross compiler of Debian's.

What comes out is one flash image, as TF-A's docs/plat/qemu.rst has it: BL1, which runs where the CPU comes out of
reset, at its start, and behind it the package of what BL1 and BL2 load, where the platform looks for it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError
from armvcpu.testing.firmware import debian, programs
from armvcpu.testing.firmware.fip import package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLASH, MAP = "flash.bin", "bl31.elf"
FIP_OFFSET = 0x40000
"""Of the package in the flash image, PLAT_QEMU_FIP_BASE."""
_OUTPUT = "release"
_COMPILER = "aarch64-linux-gnu-"
_TARGETS = ("bl1", "bl2", "bl31")
_SHOWN = 3
"""Lines of a failed build."""


def build(
    description: Path, options: Sequence[str], images: Mapping[str, Path], workplace: Path, into: Path
) -> dict[str, str]:
    """Build FLASH with `images` in it, and MAP, into `into`; where in the build they were, by name.

    `description` is the source package's .dsc, `options` are the Makefile's, `images` have the names of `fip.UUIDS`.

    Raises:
        UsageError: a compiler cannot be had, or the build fails; with its last lines.
    """
    source, output = workplace / "source", workplace / "build"
    source.mkdir()
    archive = next(description.parent.glob("*.orig.tar.*"), None)
    if archive is None:
        raise UsageError(f"{description.name}: has no archive *.orig.tar.*; the manifest's `package` needs a change")
    debian.run("tar", "-xf", str(archive), "-C", str(source), "--strip-components=1")
    _make(source, [f"BUILD_BASE={output}", "DEBUG=0", *options, *_TARGETS])
    (place,) = output.glob(f"*/{_OUTPUT}")
    contents = {name: (place / f"{name}.bin").read_bytes() for name in ("bl1", "bl2", "bl31")}
    bl1 = contents.pop("bl1")
    contents |= {name: file.read_bytes() for name, file in images.items()}
    (into / FLASH).write_bytes(bl1.ljust(FIP_OFFSET, b"\0") + package(contents))
    (into / MAP).write_bytes((place / "bl31/bl31.elf").read_bytes())
    (into / "copyright").write_bytes((source / "docs/license.rst").read_bytes())
    return {FLASH: FLASH, MAP: "bl31/bl31.elf"}


def _make(source: Path, words: Sequence[str]) -> None:
    """Run make with the cross compiler, so that the same source gives the same bytes: no time of day is in them."""
    places = (str(Path(programs.path(program)).parent) for program in (f"{_COMPILER}gcc", "make"))
    path = os.pathsep.join((*places, os.environ["PATH"]))
    # else it asks the compiler where they are, and so passes over their libraries where those are unpacked
    tools = (f"{name}={_COMPILER}{tool}" for name, tool in (("AR", "ar"), ("OC", "objcopy"), ("OD", "objdump")))
    command = (programs.path("make"), f"-j{os.cpu_count() or 1}", f"CROSS_COMPILE={_COMPILER}", *tools,
               'BUILD_MESSAGE_TIMESTAMP=""', *words)  # fmt: skip
    environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
    environment.pop("MAKEFLAGS", None)  # fetched by a make of ours, the build is not a part of that
    done = subprocess.run(
        command, cwd=source, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise UsageError(f"Trusted Firmware-A does not build: {'; '.join(lines[-_SHOWN:])}")
