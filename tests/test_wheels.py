"""The wheels of `make wheels`: each is installed on its machine, without a compiler, and boots a guest."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import arm64_userland
import pytest
from arm64_userland import Arm64Userland, run
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
HELLO = ROOT / "guests/bin/hello.elf"
SHIM = "armvcpu/engine/shim"
LIBRARY = f"{SHIM}/libarmvcpu.so"
SHOW_NATIVE_PART = "from armvcpu.engine.shim_library import load; print(load().quick._name)"
MACHINES = ("x86_64", "aarch64")
OTHER_PYTHON = (
    "test_beside_unicorn.py::test_a_users_engines_do_the_same_before_and_after_ours_is_loaded",
    "test_beside_unicorn.py::test_the_library_may_be_another_copy",
    "test_slots.py::test_another_library_is_refused_in_a_few_words",
)
"""Tests of the engine that execute another Python."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel for each machine, built as `make wheels` does."""
    dist = tmp_path_factory.mktemp("dist")
    for machine in MACHINES:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=ROOT, ARMVCPU_WHEEL=machine)
    return {machine: next(dist.glob(f"*_{machine}.whl")) for machine in MACHINES}


@pytest.fixture(scope="module")
def arm64(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Arm64Userland:
    """An emulated AArch64 host with its wheel installed."""
    userland = arm64_userland.make(tmp_path_factory.mktemp("arm64"))
    userland.install(f"{wheels['aarch64']}[testing]")
    return userland


def native_part(wheel: Path) -> ELFFile:
    with zipfile.ZipFile(wheel) as archive:
        return ELFFile(BytesIO(archive.read(LIBRARY)))


def exports(elf: ELFFile) -> set[str]:
    table = elf.get_section_by_name(".dynsym")
    assert isinstance(table, SymbolTableSection)
    return {symbol.name for symbol in table.iter_symbols() if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"}


def needed(elf: ELFFile) -> set[str]:
    section = elf.get_section_by_name(".dynamic")
    assert isinstance(section, DynamicSection)
    return {tag.needed for tag in section.iter_tags() if tag.entry.d_tag == "DT_NEEDED"}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_wheel_is_named_for_its_machine_and_holds_the_native_part_only(wheels: dict[str, Path], machine: str) -> None:
    wheel = wheels[machine]
    assert wheel.name.endswith(f"-py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        content = archive.read(LIBRARY)
    assert {name for name in names if name.startswith(f"{SHIM}/")} == {LIBRARY, f"{SHIM}/__init__.py"}
    assert not any("hatch_build" in name for name in names)
    assert str(ROOT).encode() not in content
    elf = native_part(wheel)
    assert elf["e_machine"] == {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}[machine]
    of_every_host = {"libc.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
    assert needed(elf) <= of_every_host  # manylinux2014 has them all


def test_both_machines_have_the_same_functions(wheels: dict[str, Path]) -> None:
    one, other = (exports(native_part(wheels[machine])) for machine in MACHINES)
    assert "shim_sources" in one
    assert one == other


def test_a_wheel_installs_and_boots_a_guest_without_a_compiler(wheels: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    environment = {"PATH": str(empty), "CC": "", "PYTHONPATH": ""}
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheels[os.uname().machine], cwd=tmp_path, **environment)
    assert run(python, "-c", SHOW_NATIVE_PART, cwd=tmp_path, **environment).startswith(str(tmp_path / "venv"))
    assert "PASS hello" in run(tmp_path / "venv/bin/armvcpu", "run", HELLO, cwd=tmp_path, **environment)


def test_the_sdist_has_what_a_wheel_is_built_from(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path)
    run(sys.executable, "-m", "pip", *build, next(tmp_path.glob("*.tar.gz")), cwd=tmp_path)
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.name.endswith(f"-py3-none-linux_{os.uname().machine}.whl")
    assert "shim_sources" in exports(native_part(wheel))


def test_the_wheel_for_aarch64_boots_a_guest(arm64: Arm64Userland, tmp_path: Path) -> None:
    shown = arm64.python("-c", SHOW_NATIVE_PART, cwd=tmp_path)
    assert shown.stdout.startswith(str(arm64.site)), shown.stderr
    booted = arm64.python("-m", "armvcpu", "run", HELLO, cwd=tmp_path)
    assert "PASS hello" in booted.stdout, booted.stderr


def test_the_engine_s_tests_pass_on_aarch64(arm64: Arm64Userland, tmp_path: Path) -> None:
    """From a copy, as the package's own sources are not meant; all but those that compile, or execute another Python.

    There is no compiler, and the host's kernel executes no program for AArch64.
    """
    for directory in ("tests", "guests/bin", "docs"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", "--ignore", "tests/engine/test_shim_build.py"]
    options += [f"--deselect=tests/engine/{name}" for name in OTHER_PYTHON]
    done = arm64.python("-m", "pytest", *options, "tests/engine", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout
