"""Programs that tests use and a host may not have: Debian's, unpacked in the cache by the host's own apt, without root.

    programs.path("mcopy")        # the host's; else the unpacked one, which is fetched where it is not there yet

A package lies below PACKAGES in the cache, with the libraries that the host lacks. Each of its programs has a script in
`machine/programs.py`'s PLACE that starts it with those; nothing else ever sees them. What the host has goes first.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import UsageError
from armvcpu.machine.files import appearing, locked
from armvcpu.machine.programs import PLACE, find_program
from armvcpu.testing.firmware import debian, store

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = "programs"


class Package(NamedTuple):
    """A package of Debian's: the programs that are wanted of it, and what they are for."""

    programs: tuple[str, ...]
    shows: str


PROGRAMS = {
    "chromium": Package(("chromium",), "shows pages: tests of reports, and the documentation's pictures"),
    "gcc-aarch64-linux-gnu": Package(
        tuple(f"aarch64-linux-gnu-{each}" for each in ("gcc", "ar", "as", "cpp", "ld", "nm", "objcopy", "objdump")),
        "builds Trusted Firmware-A",
    ),
    "gdb-multiarch": Package(("gdb-multiarch",), "drives --gdb in tests"),
    "lcov": Package(("lcov", "genhtml"), "makes pages of what --coverage writes"),
    "make": Package(("make",), "builds Trusted Firmware-A"),
    "mtools": Package(("mcopy", "mformat", "mmd", "mtype"), "makes the disks of suites and tests"),
    "passt": Package(("passt",), "the network of --net user"),
    "qemu-system-arm": Package(("qemu-system-aarch64",), "the board that tests compare with"),
}
"""By the package's name."""
_ELSEWHERE = {"chromium": "usr/lib/chromium/chromium"}
"""Where a program is in its package, if not in usr/bin, where a script is that is for an installed one alone."""
VERSIONS = "packages"
"""The file with what was unpacked: a name and a version for each line."""


def path(program: str) -> str:
    """Where a program is; it is fetched where neither the host nor the cache has it.

    Raises:
        UsageError: it cannot be had here.
    """
    if (found := find_program(program)) is not None:
        return found
    (package,) = (name for name, known in PROGRAMS.items() if program in known.programs)
    try:
        fetch(package)
    except UsageError as error:
        raise UsageError(f"{program} is missing: apt-get install {package} ({error})") from error
    return str(store.cache_directory() / PLACE / program)


def of_host(package: str) -> str | None:
    """Where the host itself has the package's programs; None where it lacks one."""
    unpacked = str(store.cache_directory() / PLACE)
    found = [find_program(program) for program in PROGRAMS[package].programs]
    return None if any(each is None or each.startswith(unpacked) for each in found) else found[0]


def version(package: str) -> str | None:
    """What is unpacked; None where nothing is."""
    try:
        lines = (_directory(package) / VERSIONS).read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.split()[0] == package), None)


def fetch(package: str, *, force: bool = False) -> None:
    """Make sure that the programs of `package` are in the cache; `force` fetches them in any case.

    Raises:
        UsageError: no apt here, the package cannot be had, or the cache not be written.
    """
    cache = store.cache_directory()
    try:
        (cache / PLACE).mkdir(parents=True, exist_ok=True)
        with locked(cache / PACKAGES / "lock"):
            if force or version(package) is None:
                _fetch(package, cache)
            for program in PROGRAMS[package].programs:
                _write_script(program, _directory(package), cache / PLACE / program)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose a cache with ARMVCPU_CACHE") from error


def _directory(package: str) -> Path:
    return store.cache_directory() / PACKAGES / package


def _fetch(package: str, cache: Path) -> None:
    final = _directory(package)
    with TemporaryDirectory(prefix=f".{package}-", dir=final.parent) as temporary:
        downloads, root = Path(temporary, "downloads"), Path(temporary, "root")
        root.mkdir()
        debs = debian.download_program(package, cache / "apt", downloads)
        debian.unpack(debs, root)
        about = [f"{debian.control_field(deb, 'Package')} {debian.control_field(deb, 'Version')}\n" for deb in debs]
        (root / VERSIONS).write_text("".join(about))
        if final.exists():
            final.rename(Path(temporary, "before"))
        root.rename(final)


def _write_script(program: str, root: Path, script: Path) -> None:
    """Start a program with the libraries that are unpacked with it (ld.so(8), perlrun(1)), for it alone."""
    libraries = ""
    for variable, directories in (("LD_LIBRARY_PATH", _library_directories(root)), ("PERL5LIB", _of_perl(root))):
        if places := ":".join(str(each) for each in directories):
            libraries += f"{variable}={shlex.quote(places)} "
    file = root / _ELSEWHERE.get(program, f"usr/bin/{program}")
    with appearing(script) as temporary:
        temporary.write_text(f'#!/bin/sh\n{libraries}exec {shlex.quote(str(file))} "$@"\n')
        temporary.chmod(0o755)


def _library_directories(root: Path) -> Iterator[Path]:
    for directory, _, files in os.walk(root):
        if any(".so." in file or file.endswith(".so") for file in files):
            yield Path(directory)


def _of_perl(root: Path) -> Iterator[Path]:
    """Where Debian has modules (Debian Perl Policy, 2.3)."""
    for pattern in ("usr/share/perl5", "usr/share/perl/*", "usr/lib/*/perl5/*", "usr/lib/*/perl/*"):
        yield from sorted(root.glob(pattern))
