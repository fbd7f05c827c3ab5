"""The engine's native part: how it is compiled, found, and refused when it does not fit."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from armvcpu.engine import shim_library
from armvcpu.engine.shim import build
from armvcpu.errors import EngineUnsupported

ROOT = Path(__file__).resolve().parents[2]
EXPORT = '__attribute__((visibility("default"))) '


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources and of the script, to change at will."""
    directory = tmp_path / "shim"
    shutil.copytree(build.SHIM, directory, ignore=shutil.ignore_patterns("*.so", "__pycache__", ".shim-*"))
    return directory


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """The script with one of the sources, which is compiled at once."""
    directory = tmp_path / "little"
    directory.mkdir()
    for path in (build.SHIM / "build.py", build.SHIM / "sources.c", *build.SHIM.glob("*.h")):
        shutil.copy2(path, directory)
    return directory


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library compiled from the sources."""
    output = tmp_path_factory.mktemp("compiled") / build.LIBRARY_NAME
    build.compile_shim(output, build.any_compiler())
    return output


@pytest.fixture
def library(compiled: Path, sources: Path) -> Path:
    """The library beside a copy of its sources."""
    return Path(shutil.copy2(compiled, sources))


def make_newer(path: Path, than: Path) -> None:
    time = than.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


def test_the_hash_is_of_names_and_contents_of_c_files_and_headers(sources: Path) -> None:
    first = build.source_hash(sources)
    (sources / "notes.txt").write_text("no source")
    assert build.source_hash(sources) == first
    (sources / "a.h").write_text("")
    second = build.source_hash(sources)
    assert second != first
    (sources / "a.h").rename(sources / "b.h")
    third = build.source_hash(sources)
    assert third != second
    (sources / "b.h").write_text("/* */")
    assert build.source_hash(sources) not in {first, second, third}


def test_a_name_and_a_content_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a.c").write_text("b.c")
    (one / "b.c").write_text("")
    (other / "a.c").write_text("")
    (other / "b.c").write_text("b.c")
    assert build.source_hash(one) != build.source_hash(other)


def test_the_library_knows_its_sources(library: Path, sources: Path) -> None:
    opened = shim_library.open_library(library, sources)
    assert opened.quick.shim_sources().decode() == build.source_hash(sources)
    assert opened.quick._handle == opened.blocking._handle


def test_the_checkout_s_library_fits_its_sources() -> None:
    assert shim_library.load() is shim_library.load()


def test_a_missing_library_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EngineUnsupported) as refused:
        shim_library.open_library(tmp_path / "libarmvcpu.so", tmp_path)
    assert str(refused.value) == "the engine's native part is not built (run make, or pip install -e .)"


def test_a_library_of_other_sources_is_refused(library: Path, sources: Path) -> None:
    (sources / "sources.c").write_text((sources / "sources.c").read_text() + "/* changed */\n")
    make_newer(sources / "sources.c", library)
    with pytest.raises(EngineUnsupported) as refused:
        shim_library.open_library(library, sources)
    assert str(refused.value) == "the engine's native part was built from other sources (run make)"


def test_a_source_that_is_newer_but_the_same_is_no_harm(library: Path, sources: Path) -> None:
    make_newer(sources / "sources.c", library)
    shim_library.open_library(library, sources)


def test_nothing_is_hashed_while_the_library_is_the_newest(
    library: Path, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim_library, "_source_hash", lambda directory: pytest.fail("hashed"))
    for path in build.sources(sources):
        os.utime(path, ns=(0, 0))
    shim_library.open_library(library, sources)


def test_a_library_alone_is_not_compared(library: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    shutil.copy(library, installed)
    shim_library.open_library(installed / library.name, installed)


def test_a_source_changed_during_the_build_is_newer_than_the_library(
    little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build._run

    def edit_and_run(command: list[str], directory: Path, **variables: str) -> None:
        (little / "sources.c").touch()
        run(command, directory, **variables)

    compiler = build.any_compiler()
    monkeypatch.setattr(build, "_run", edit_and_run)
    output = little / build.LIBRARY_NAME
    build.compile_shim(output, compiler, directory=little)
    # The clock that files are stamped by may be a tick behind the one that the build reads.
    assert (little / "sources.c").stat().st_mtime_ns > output.stat().st_mtime_ns - 10_000_000


def test_every_c_file_is_compiled(little: Path) -> None:
    (little / "more.c").write_text(f"{EXPORT}int more(void);\nint more(void) {{ return 42; }}\n")
    output = little / "out" / build.LIBRARY_NAME
    build.compile_shim(output, build.any_compiler(), directory=little)
    assert ctypes.CDLL(str(output)).more() == 42


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("int f(void) { int unused; return 0; }", "unused"),
        (f"int absent(void); {EXPORT}int f(void); int f(void) {{ return absent(); }}", "absent"),
    ],
    ids=["a warning", "a function that libc does not have"],
)
def test_what_is_doubtful_does_not_become_a_library(little: Path, code: str, message: str) -> None:
    (little / "doubtful.c").write_text(code + "\n")
    output = little / build.LIBRARY_NAME
    with pytest.raises(build.BuildError, match=message):
        build.compile_shim(output, build.any_compiler(), directory=little)
    assert not output.exists()
    assert not list(little.glob(".shim-*"))


@pytest.mark.slow  # it is quick, but needs gcc, as `make check` and `make test-slow` do and `make test` must not
def test_analysis_finds_what_the_compiler_does_not(sources: Path) -> None:
    build.analyze(sources)
    leak = (
        "#include <stdlib.h>\nint f(void);\nint f(void) { int *p = malloc(4); if (!p) return 0; *p = 1; return *p; }\n"
    )
    (sources / "leaky.c").write_text(leak)
    build.compile_shim(sources / build.LIBRARY_NAME, build.any_compiler(), directory=sources)
    with pytest.raises(build.BuildError, match="leak"):
        build.analyze(sources)


def test_what_is_no_library_is_one_line(sources: Path) -> None:
    broken = sources / build.LIBRARY_NAME
    broken.write_text("no library" * 100)
    with pytest.raises(EngineUnsupported, match=r"^cannot load the engine's native part: .*invalid ELF header$"):
        shim_library.open_library(broken, sources)


@pytest.mark.parametrize(
    "name", ["darwin arm64", "linux riscv64", "win32 unknown", "linux x86_64 with a 32-bit Python"]
)
def test_another_host_is_one_line(name: str) -> None:
    with pytest.raises(EngineUnsupported) as refused:
        shim_library.require_host(name)
    assert str(refused.value) == f"armvcpu runs on Linux on x86-64 and AArch64 only; this host is {name}"


def test_this_host_is_supported() -> None:
    shim_library.require_host(shim_library.host())


def test_the_environment_names_another_library(library: Path, tmp_path: Path) -> None:
    shutil.copy2(library, tmp_path / "other.so")
    show = "from armvcpu.engine.shim_library import load; print(load().quick._name)"

    def loaded(path: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"ARMVCPU_SHIM": str(path)}
        return subprocess.run(
            [sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=False
        )

    assert loaded(tmp_path / "other.so").stdout.strip() == str(tmp_path / "other.so")
    assert f"(ARMVCPU_SHIM is {tmp_path}/none.so)" in loaded(tmp_path / "none.so").stderr


def test_a_compiler_that_does_not_work_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.system_compiler() is None
    assert build.any_compiler() == build.ZIG
    monkeypatch.setenv("CC", str(tmp_path / "absent"))
    assert build.system_compiler() is None


def test_the_user_s_compiler_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    asked.write_text("#!/bin/sh\nexit 0\n")
    asked.chmod(0o755)
    monkeypatch.setenv("CC", f"{asked} -m64")
    assert build.system_compiler() == [str(asked), "-m64"]


def build_hook() -> Any:
    """`hatch_build.py`'s hook, as hatchling makes it for a wheel."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NativePart(str(ROOT), {}, None, ProjectMetadata(str(ROOT), PluginManager()), "", "wheel")


def test_ziglang_is_a_dependency_of_the_build_only_without_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARMVCPU_WHEEL", raising=False)
    hook = build_hook()
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 0\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert hook.dependencies() == []
    monkeypatch.setenv("CC", str(tmp_path / "absent"))
    assert [requirement.split("==")[0] for requirement in hook.dependencies()] == ["ziglang"]


def test_a_wheel_for_a_named_machine_is_compiled_by_ziglang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMVCPU_WHEEL", "aarch64")
    assert [requirement.split("==")[0] for requirement in build_hook().dependencies()] == ["ziglang"]
    monkeypatch.setenv("ARMVCPU_WHEEL", "m68k")
    with pytest.raises(ValueError, match="it can be x86_64 or aarch64"):
        build_hook().dependencies()


def test_the_command_line_tells_a_failure_by_status_2(little: Path) -> None:
    (little / "broken.c").write_text("nonsense\n")
    done = subprocess.run([sys.executable, str(little / "build.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("shim: ")
    assert "broken.c:1" in done.stderr
    (little / "broken.c").unlink()
    subprocess.run([sys.executable, str(little / "build.py")], check=True)
    assert (little / build.LIBRARY_NAME).is_file()
