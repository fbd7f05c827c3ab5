"""The engine's tests with a native part that has gcc's AddressSanitizer and UndefinedBehaviorSanitizer compiled in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from armvcpu.engine.shim import build

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SANITIZERS = "address,undefined"
FAULTS = {
    "heap-buffer-overflow": "char *volatile p = calloc(4, 1); int found = p ? p[index] : 0; free(p); return found;",
    "index 4 out of bounds": "char a[4] = {0, 1, 2, 3}; return a[index];",
    "signed integer overflow": "return index + 0x7ffffffc;",
}
"""What a sanitizer says, and the body of an `int fault(int index)` that is wrong for 4 and right for 0."""


def sanitized(output: Path, directory: Path = build.SHIM) -> Path:
    """The library with sanitizers, made from the sources in `directory`."""
    assert shutil.which("gcc"), "gcc is missing: apt-get install gcc libc6-dev"
    build.compile_shim(output, ["gcc"], sanitize=SANITIZERS, directory=directory)
    return output


def run(library: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers' runtime, whose reports come on standard error and end the process."""
    # The runtime has to come first, as Python itself is not linked with it. CPython never frees some of its memory.
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(runtime).is_absolute(), "gcc has no AddressSanitizer"
    environment = os.environ | {
        "ARMVCPU_SHIM": str(library),
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_the_engine_s_tests_pass_with_sanitizers(tmp_path: Path) -> None:
    library = sanitized(tmp_path / build.LIBRARY_NAME)
    # --capture=sys leaves standard error to the sanitizers.
    done = run(
        library, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--capture=sys", "tests/engine"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_of_the_native_part_would_be_noticed(tmp_path: Path, message: str) -> None:
    copy = tmp_path / "shim"
    shutil.copytree(build.SHIM, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__", ".shim-*"))
    declared = '#include <stdlib.h>\n__attribute__((visibility("default"))) int fault(int index);\n'
    (copy / "fault.c").write_text(f"{declared}int fault(int index) {{ {FAULTS[message]} }}\n")
    library = sanitized(tmp_path / build.LIBRARY_NAME, copy)
    call = f"import ctypes; print(ctypes.CDLL({str(library)!r}).fault(%d))"
    done = run(library, "-c", call % 0)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(library, "-c", call % 4)
    assert done.returncode != 0
    assert message in done.stderr
    assert "fault.c:3" in done.stderr
