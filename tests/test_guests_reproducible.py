"""The committed guests are what their sources build to.

Users run `guests/bin/*.elf` without a compiler; these tests make sure that nothing else is in them.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.slow  # and a part of .ci/run

GUESTS = Path(__file__).resolve().parent.parent / "guests"
NAMES = sorted(
    [str(path.relative_to(GUESTS).with_suffix("")) for where in ("*.c", "linux/*.c") for path in GUESTS.glob(where)]
    + [path.parent.name for path in GUESTS.glob("*/main.c")]
)


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """`guests/build.py`, which is a script and not part of the package."""
    spec = importlib.util.spec_from_file_location("guests_build", GUESTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fresh(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All guests, built just now."""
    if problem := builder.compiler_problem():
        pytest.skip(problem)
    out = tmp_path_factory.mktemp("guests")
    builder.build(builder.guests(), out)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_build_equals_the_committed_elf(fresh: Path, name: str) -> None:
    """The same sources and compiler give the same bytes, in any directory."""
    assert (fresh / f"{name}.elf").read_bytes() == (GUESTS / "bin" / f"{name}.elf").read_bytes()


def test_every_committed_elf_has_a_source() -> None:
    """No ELF outlives its guest."""
    elves = (GUESTS / "bin").rglob("*.elf")
    assert sorted(str(elf.relative_to(GUESTS / "bin").with_suffix("")) for elf in elves) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_elf_is_small_and_holds_symbols_but_no_paths(name: str) -> None:
    """Traces need .symtab; debug information would carry the builder's directories."""
    path = GUESTS / "bin" / f"{name}.elf"
    with path.open("rb") as file:
        elf = ELFFile(file)
        sections = {section.name for section in elf.iter_sections()}
        symbols = elf.get_section_by_name(".symtab")
        assert isinstance(symbols, SymbolTableSection)
        assert symbols.get_symbol_by_name("main")
    assert not any(section.startswith((".debug", ".note", ".comment")) for section in sections)
    assert path.stat().st_size < 64 * 1024
    assert str(GUESTS.parent).encode() not in path.read_bytes()


def test_a_missing_compiler_is_one_line_and_status_2(tmp_path: Path) -> None:
    """Without the PyPI package `ziglang` the script says what to install."""
    command = [sys.executable, "-S", str(GUESTS / "build.py"), "--out", str(tmp_path)]  # -S: no site-packages
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("guests: the cross compiler is missing: pip install ziglang==")
    assert done.stderr.count("\n") == 1


def test_a_source_that_does_not_compile_is_a_build_error(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's own message reaches the user, and no ELF is left."""
    if problem := builder.compiler_problem():
        pytest.skip(problem)
    broken = tmp_path / "broken.c"
    broken.write_text("void main(void) { nonsense }\n")
    monkeypatch.setattr(builder, "sources", lambda name: [str(broken)])
    with pytest.raises(builder.BuildError, match=r"broken\.c:1:19: error"):
        builder.build(["broken"], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.elf"))
