"""Programs that a host lacks, unpacked in the cache; apt is faked, dpkg-deb is the host's."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from command import armvcpu

from armvcpu.errors import UsageError
from armvcpu.machine.programs import find_program
from armvcpu.testing.firmware import debian, programs

if TYPE_CHECKING:
    from pathlib import Path


def deb(directory: Path, name: str, files: dict[str, str], mode: int = 0o755) -> Path:
    tree = directory / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1.2-3\nArchitecture: all\nMaintainer: nobody <no@body>\nDescription: none\n"
    )
    for path, text in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
    made = directory / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, made], check=True, capture_output=True)
    return made


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path / "a cache"))
    return tmp_path / "a cache"


@pytest.fixture
def asked(tmp_path, monkeypatch, cache):
    """passt's package, which prints where it finds libraries, and one of a library; the packages asked for."""
    shown = '#!/bin/sh\necho "$LD_LIBRARY_PATH" "$@"\nexit 5\n'
    debs = [
        deb(tmp_path, "passt", {"usr/bin/passt": shown}, 0o4755),
        deb(tmp_path, "libone", {"usr/lib/some/libone.so.1": "", "usr/share/x": ""}),
    ]
    asked = []

    def download(package, _private_root, _into):
        asked.append(package)
        return debs

    monkeypatch.setattr(debian, "download_program", download)
    return asked


def without_path(monkeypatch):
    """dpkg-deb is still found by `debian.run`, and no program that could be the host's."""
    monkeypatch.setattr("armvcpu.machine.programs.shutil.which", lambda _name: None)


def test_what_the_host_lacks_is_fetched_once(monkeypatch, cache, asked):
    """And runs with the libraries that came with it, its arguments and its status."""
    without_path(monkeypatch)
    assert find_program("passt") is None
    for _ in range(2):
        program = programs.path("passt")
    assert asked == ["passt"]
    assert program == find_program("passt") == f"{cache}/programs/bin/passt"
    done = subprocess.run([program, "one", "two three"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, f"{cache}/programs/passt/usr/lib/some one two three\n")
    assert programs.version("passt") == "passt 1.2-3"


def test_a_program_that_is_elsewhere_in_its_package_is_started_there(tmp_path, monkeypatch, cache):
    """Debian's chromium in usr/bin is a script for an installed one."""
    without_path(monkeypatch)
    files = {"usr/bin/chromium": "#!/bin/sh\nexit 1\n", "usr/lib/chromium/chromium": "#!/bin/sh\necho itself $1\n"}
    made = deb(tmp_path, "chromium", files, 0o755)
    monkeypatch.setattr(debian, "download_program", lambda *_: [made])
    done = subprocess.run([programs.path("chromium"), "--headless"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "itself --headless\n")


def test_nothing_that_is_unpacked_is_setuid(monkeypatch, cache, asked):
    """Who unpacks as root makes no door for others."""
    without_path(monkeypatch)
    programs.path("passt")
    assert (cache / "programs/passt/usr/bin/passt").stat().st_mode & 0o7777 == 0o755


def test_the_hosts_program_goes_first(tmp_path, monkeypatch, cache, asked):
    """Also before one that is unpacked."""
    with monkeypatch.context() as patch:
        without_path(patch)
        programs.path("passt")
    host = tmp_path / "bin" / "passt"
    host.parent.mkdir()
    host.write_text("#!/bin/sh\n")
    host.chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.parent}{os.pathsep}{os.environ['PATH']}")
    assert programs.path("passt") == programs.of_host("passt") == str(host)


def test_a_package_that_cannot_be_had_leaves_nothing(monkeypatch, cache):
    """One line with the other way to have it; the next attempt begins anew."""
    without_path(monkeypatch)

    def refuse(*_):
        raise UsageError("apt-get: E: no network")

    monkeypatch.setattr(debian, "download_program", refuse)
    with pytest.raises(UsageError, match=r"^mcopy is missing: apt-get install mtools \(apt-get: E: no network\)$"):
        programs.path("mcopy")
    assert programs.version("mtools") is None
    assert sorted(each.name for each in (cache / "programs").iterdir()) == ["bin", "lock"]


def test_the_lock_is_opened_through_no_link(monkeypatch, cache, tmp_path):
    """What others have laid in a shared cache neither appears nor changes anywhere else."""
    without_path(monkeypatch)
    monkeypatch.setattr(debian, "download_program", lambda *_: pytest.fail("it went on without its lock"))
    (cache / "programs").mkdir(parents=True)
    (cache / "programs/lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"mcopy is missing: .*/programs/lock: Too many levels of symbolic links"):
        programs.path("mcopy")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("failing", [False, True])
def test_apt_is_asked_by_the_hosts_lists_or_private_ones(tmp_path, monkeypatch, failing):
    """By the host's status in both cases: so what the host has is not fetched again. Nothing is installed."""
    asked = []

    def run(*command, cwd=None):
        if command[0] == "apt-config":
            return "STATUS='/var/lib/dpkg/status'\n"
        if command[0] == "dpkg":
            return "amd64\n"
        asked.append(["-c" in command, command[-1]])
        if failing and len(asked) == 1:
            raise UsageError("apt-get: E: no lists")
        assert "--download-only" in command or "update" in command
        (tmp_path / "into/archives/passt.deb").touch()
        return ""

    monkeypatch.setattr(debian, "run", run)
    found = debian.download_program("passt", tmp_path / "apt", tmp_path / "into")
    assert [each.name for each in found] == ["passt.deb"]
    assert asked == ([[False, "passt"], [True, "update"], [True, "passt"]] if failing else [[False, "passt"]])
    if failing:
        assert 'Dir::State::Status "/var/lib/dpkg/status";' in (tmp_path / "apt/programs/apt.conf").read_text()


def test_the_command_fetches_and_lists_them(tmp_path):
    """What the host has is not fetched."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "passt").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "passt").chmod(0o755)
    environment = {**os.environ, "PATH": str(tmp_path / "bin"), "ARMVCPU_CACHE": str(tmp_path / "cache")}

    def firmware(*words):
        return armvcpu("firmware", *words, env=environment)

    assert firmware("fetch", "passt").stdout == f"passt: the host's own, {tmp_path}/bin/passt\n"
    assert firmware("path", "passt").stdout == f"{tmp_path}/bin/passt\n"
    assert re.search(r"^mtools +mtools, not fetched$", firmware("list").stdout, re.MULTILINE)
    done = firmware("path", "mtools")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "run `armvcpu firmware fetch mtools`" in done.stderr
    done = firmware("fetch", "mtools")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
