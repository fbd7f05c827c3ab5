"""Build the guests: small freestanding AArch64 programs, from C and assembly to ELF, the same to the last bit.

Lives beside the sources because it is not part of the package: users run the committed ELFs in `guests/bin`. The
compiler is Clang from the PyPI package `ziglang`, so that no root and no system toolchain is needed.

    python guests/build.py                 build into guests/bin
    python guests/build.py --check         build elsewhere and compare with guests/bin, bit for bit
    python guests/build.py --out DIR       build into DIR
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GUESTS = Path(__file__).resolve().parent
BIN = GUESTS / "bin"
ZIG_VERSION = "0.17.1"  # another compiler makes other, equally valid, code

# No DWARF and no paths (-g0, relative inputs), no build identifier: the same sources give the same bytes anywhere.
ASFLAGS = ["-target", "aarch64-freestanding-none", "-g0", "-Ilib"]
CFLAGS = [
    *ASFLAGS,
    *["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-main"],
    *["-ffreestanding", "-fno-builtin", "-fno-pic"],
    *["-fno-sanitize=all", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"],
    *["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"],  # backtraces show every caller
    *["-ffunction-sections", "-fdata-sections"],  # the linker drops what a guest does not use
    # No FP registers in C (guests switch and trap them), and no unaligned access: with the MMU off it faults
    # (Arm ARM B2.5.2). -mgeneral-regs-only has no effect here: zig's own -mcpu comes after it.
    # el2vmsa, el3: the assembler knows the names of EL2's translation registers, and SMC.
    "-mcpu=generic-neon-fp_armv8+strict_align+el2vmsa+el3",
]
LDFLAGS = [
    *["-static", "--build-id=none", "--gc-sections"],
    *["-z", "noexecstack", "-z", "max-page-size=4096"],
]
LINUX = "linux/"
"""Programs for Linux, without a libc: a file each and the directory of its name, and none of the guests' library."""


class BuildError(Exception):
    """One line for the user: what failed and what to do."""


def guests() -> list[str]:
    """Names of all guests and, with `linux/` before them, of the programs for Linux.

    A guest is one C file, or a directory with a `main.c`; a program for Linux is one C file.
    """
    programs = (LINUX + source.stem for source in (GUESTS / LINUX).glob("*.c"))
    directories = (source.parent.name for source in GUESTS.glob("*/main.c"))
    return sorted([*(source.stem for source in GUESTS.glob("*.c")), *directories, *programs])


def is_directory(name: str) -> bool:
    """Is the guest made of all files of a directory, its entry and vectors among them?"""
    return (GUESTS / name / "main.c").exists()


def sources(name: str) -> list[str]:
    """What a guest is linked from as a whole, relative to `guests/`: its own files; of one file, the library, too."""
    if name.startswith(LINUX):
        return [f"{name}.c", *sources_in(name)]
    if is_directory(name):
        return sources_in(name)
    own = [GUESTS / f"{name}.c", *sorted(GUESTS.glob(f"{name}.S"))]
    return [str(path.relative_to(GUESTS)) for path in own] + sources_in("lib")


def optional_sources(name: str) -> list[str]:
    """What a guest is linked from as far as it asks for it, as from an archive."""
    return [
        *(sources_in("lib") if is_directory(name) else []),
        *sources_in("lib/interrupts"),
        *sources_in("lib/levels"),
    ]


def sources_in(directory: str) -> list[str]:
    """The C and assembly files of a directory, relative to `guests/`."""
    return sorted(str(path.relative_to(GUESTS)) for path in (GUESTS / directory).glob("*.[cS]"))


def run_zig(*arguments: str) -> None:
    """Run one tool of the ziglang package in `guests/`; its messages become the error."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-m", "ziglang", *arguments],
            cwd=GUESTS,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        first = "\n".join(done.stderr.splitlines()[:12])
        raise BuildError(f"{arguments[0]} failed:\n{first}")


def compile_file(source: str, objects: Path) -> Path:
    """Compile or assemble one file; returns the object."""
    target = objects / (source.replace("/", "_") + ".o")
    flags = CFLAGS if source.endswith(".c") else ASFLAGS
    run_zig("cc", *flags, "-c", source, "-o", str(target))
    return target


def build(names: list[str], out: Path) -> list[Path]:
    """Build the named guests into `out`; returns the ELF files. Raises BuildError."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        needed = sorted({source for name in names for source in [*sources(name), *optional_sources(name)]})
        made = dict(zip(needed, pool.map(lambda s: compile_file(s, Path(scratch)), needed), strict=True))

        def link(name: str) -> Path:
            elf = out.resolve() / f"{name}.elf"
            elf.parent.mkdir(exist_ok=True)
            script = f"{LINUX}link.ld" if name.startswith(LINUX) else "link.ld"
            taken = ["--start-lib", *(str(made[s]) for s in optional_sources(name)), "--end-lib"]
            run_zig("ld.lld", *LDFLAGS, "-T", script, "-o", str(elf), *(str(made[s]) for s in sources(name)), *taken)
            elf.chmod(0o644)
            return elf

        return list(pool.map(link, names))


def differences(names: list[str]) -> list[str]:
    """Guests whose fresh build is not what lies in `guests/bin`, and files there without a source."""
    with tempfile.TemporaryDirectory() as scratch:
        build(names, Path(scratch))
        fresh, kept = (
            {str(elf.relative_to(where)): elf.read_bytes() for elf in where.rglob("*.elf")}
            for where in (Path(scratch), BIN)
        )
    return sorted(name for name in fresh.keys() | kept.keys() if fresh.get(name) != kept.get(name))


def compiler_problem() -> str | None:
    """Why the guests cannot be built here, as one line for the user; None when they can."""
    wanted = f"pip install ziglang=={ZIG_VERSION}"
    try:
        found = version("ziglang")
    except PackageNotFoundError:
        return f"the cross compiler is missing: {wanted}"
    if found != ZIG_VERSION:
        return f"ziglang {found} is installed, but the guests are built by {ZIG_VERSION}: {wanted}"
    return None


def main() -> int:
    """Command line; exit status 0 built or equal, 1 different, 2 cannot build."""
    parser = argparse.ArgumentParser(description="Build the guests.")
    parser.add_argument("names", nargs="*", metavar="GUEST", help="all of them by default")
    parser.add_argument("--out", type=Path, default=BIN, metavar="DIR", help="where the ELFs go (guests/bin)")
    parser.add_argument("--check", action="store_true", help="compare with guests/bin, bit for bit")
    options = parser.parse_args()
    if problem := compiler_problem():
        print(f"guests: {problem}", file=sys.stderr)
        return 2
    try:
        if options.check:
            different = differences(guests())
            for name in different:
                print(f"guests: {name} differs from guests/bin: run make guests and commit the result")
            print(f"guests: {len(guests())} built, {len(different)} differ")
            return 1 if different else 0
        for elf in build(options.names or guests(), options.out):
            print(f"{elf.relative_to(options.out.resolve())!s:16} {elf.stat().st_size:7} bytes")
    except BuildError as error:
        print(f"guests: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
