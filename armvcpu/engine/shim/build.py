"""Compile the engine's native part: every C file beside this script becomes `libarmvcpu.so`.

The script needs nothing but Python, because it also runs where the package cannot be imported: in the build
environment of a wheel (`hatch_build.py` loads it by path) and in `make`.

    python armvcpu/engine/shim/build.py                                compile beside the sources
    python armvcpu/engine/shim/build.py --output F --sanitize address,undefined
    python armvcpu/engine/shim/build.py --analyze                      gcc's static analysis, no output
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHIM = Path(__file__).resolve().parent
LIBRARY_NAME = "libarmvcpu.so"

FLAGS = ["-std=c11", "-O2", "-g", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
ZIG = [sys.executable, "-m", "ziglang", "cc"]
ZIG_FLAGS = ["-mcpu=baseline", "-g0", "-Wl,--strip-debug"]  # else for this very CPU, and with paths of this host
PROBE = '#include <stdint.h>\n#include <string.h>\nint probe(void);\nint probe(void) { return (int)strlen(""); }\n'


class BuildError(Exception):
    """One line for the user, and the compiler's messages below it."""


def sources(directory: Path = SHIM) -> list[Path]:
    """The C files and headers of a directory, sorted by name."""
    return sorted((path for path in directory.iterdir() if path.suffix in {".c", ".h"}), key=lambda path: path.name)


def source_hash(directory: Path = SHIM) -> str:
    """SHA-256 over the names and contents of the C files and headers of a directory."""
    digest = hashlib.sha256()
    for path in sources(directory):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def compile_shim(
    output: Path,
    compiler: list[str],
    target: str | None = None,
    sanitize: str | None = None,
    directory: Path = SHIM,
) -> None:
    """Compile the C files of `directory` into the shared library `output`; raises BuildError.

    `target` is a triple for zig, `sanitize` what follows `-fsanitize=`. The library appears at once and complete, so
    that a process which has the old one loaded keeps it; its time is that of the start, so that a source which is
    changed meanwhile is newer than the library.
    """
    started = time.time_ns()
    arguments = [*FLAGS, "-shared", f"-ffile-prefix-map={directory}={SHIM.name}"]
    arguments.append(f'-DSHIM_SOURCES="{source_hash(directory)}"')
    if is_zig(compiler):
        arguments += ZIG_FLAGS
    if target:
        arguments += ["-target", target]
    if sanitize:
        arguments += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    else:
        arguments.append("-Wl,-z,defs")  # what libc does not have is an error now, not when it is loaded
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".shim-") as scratch:
        made = Path(scratch).resolve() / LIBRARY_NAME
        cache = {} if _has_home() else {"ZIG_GLOBAL_CACHE_DIR": str(Path(scratch).resolve() / "cache")}
        _run([*compiler, *arguments, *_c_files(directory), "-o", str(made)], directory, **cache)
        os.utime(made, ns=(started, started))
        made.replace(output)


def analyze(directory: Path = SHIM) -> None:
    """Have gcc's static analysis look at each C file; raises BuildError with what it found."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise BuildError("gcc is missing: apt-get install gcc libc6-dev")
    for name in _c_files(directory):
        _run([gcc, *FLAGS, "-fanalyzer", '-DSHIM_SOURCES=""', "-c", name, "-o", os.devnull], directory)


def system_compiler() -> list[str] | None:
    """The first C compiler of this machine that makes a shared library: $CC, else cc, gcc or clang."""
    named = os.environ.get("CC")
    candidates = [shlex.split(named)] if named else [["cc"], ["gcc"], ["clang"]]
    return next((candidate for candidate in candidates if candidate and _works(candidate)), None)


def any_compiler() -> list[str]:
    """The machine's C compiler, or that of the package ziglang; BuildError where there is neither."""
    if found := system_compiler():
        return found
    if importlib.util.find_spec("ziglang") is None:
        raise BuildError("no C compiler works here: apt-get install gcc libc6-dev, or pip install ziglang")
    return ZIG


def is_zig(compiler: list[str]) -> bool:
    """Whether a compiler is the one of the package ziglang."""
    return compiler[-2:] == ZIG[-2:]


def _c_files(directory: Path) -> list[str]:
    return [path.name for path in sources(directory) if path.suffix == ".c"]


def _works(compiler: list[str]) -> bool:
    if shutil.which(compiler[0]) is None:
        return False
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "probe.c").write_text(PROBE)
        try:
            _run([*compiler, "-fPIC", "-shared", "probe.c", "-o", "probe.so"], Path(scratch))
        except BuildError:
            return False
    return True


def _has_home() -> bool:
    """Whether zig has a place for its cache, which spares it five seconds at the next time."""
    return "ZIG_GLOBAL_CACHE_DIR" in os.environ or os.access(os.environ.get("HOME", ""), os.W_OK)


def _run(command: list[str], directory: Path, **variables: str) -> None:
    done = subprocess.run(
        command, cwd=directory, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{shlex.join(command[:4])} ... failed in {directory}:\n{done.stdout}{done.stderr}".rstrip())


def main() -> int:
    """Command line; exit status 0, or 2 when something could not be compiled or analysis found something."""
    parser = argparse.ArgumentParser(description="Compile the engine's native part.")
    parser.add_argument("--output", type=Path, default=SHIM / LIBRARY_NAME, metavar="F", help="the library")
    parser.add_argument("--target", metavar="TRIPLE", help="compile for another machine, by zig")
    parser.add_argument("--sanitize", metavar="KINDS", help="for example address,undefined")
    parser.add_argument("--analyze", action="store_true", help="only run gcc's static analysis")
    options = parser.parse_args()
    try:
        if options.analyze:
            analyze()
        else:
            compile_shim(options.output, ZIG if options.target else any_compiler(), options.target, options.sanitize)
    except BuildError as error:
        print(f"shim: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
