"""Which apt is asked for a package: the host's, or one in a private directory; apt itself is faked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from armvcpu.errors import UsageError
from armvcpu.testing.firmware import debian


class FakeApt:
    """Answers as dpkg and apt-get on an amd64 host; the downloads numbered in `failing` fail."""

    def __init__(self, failing: set[int]) -> None:
        self.failing = failing
        self.asked: list[str] = []

    def run(self, *command: str, cwd: Path | None = None) -> str:
        if command[0] == "dpkg":
            return "amd64\n"
        private = next((Path(word).parent for word in command if word.endswith("apt.conf")), None)
        where = private.name if private else "host"
        if "update" in command:
            assert private is not None, "the host's lists must stay as they are"
            (private / "lists/x_Packages.lz4").touch()
            self.asked.append(f"update {where}")
            return ""
        self.asked.append(f"download {where}")
        if sum(word.startswith("download") for word in self.asked) in self.failing:
            raise UsageError("apt-get: E: no")
        assert cwd is not None
        (cwd / "x.deb").touch()
        return ""


@pytest.mark.parametrize(
    ("architecture", "failing", "asked"),
    [
        ("all", set(), ["download host"]),
        ("amd64", set(), ["download host"]),
        ("all", {1}, ["download host", "update amd64", "download amd64"]),
        ("arm64", set(), ["update arm64", "download arm64"]),
        ("arm64", {1}, ["update arm64", "download arm64", "update arm64", "download arm64"]),
    ],
)
def test_package_comes_from_the_host_or_a_private_directory(tmp_path, monkeypatch, architecture, failing, asked):
    """The host's lists serve its own architecture; else, or when they fail, private lists are fetched."""
    apt = FakeApt(failing)
    monkeypatch.setattr(debian, "run", apt.run)
    into = tmp_path / "into"
    into.mkdir()
    assert debian.download("x", architecture, tmp_path / "apt", into) == into / "x.deb"
    assert apt.asked == asked


def test_second_package_needs_no_new_lists(tmp_path, monkeypatch):
    """Private lists are fetched once, and again only when a download fails."""
    apt = FakeApt(set())
    monkeypatch.setattr(debian, "run", apt.run)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        debian.download("x", "arm64", tmp_path / "apt", tmp_path / name)
    assert apt.asked == ["update arm64", "download arm64", "download arm64"]


def test_package_nobody_has_is_an_error(tmp_path, monkeypatch):
    """After fresh lists there is nothing left to try."""
    monkeypatch.setattr(debian, "run", FakeApt({1, 2}).run)
    with pytest.raises(UsageError, match="E: no"):
        debian.download("x", "arm64", tmp_path / "apt", tmp_path)


def test_private_directory_holds_all_that_apt_writes(tmp_path):
    """apt, asked with the private configuration, names only private places, and runs none of the host's hooks."""
    options = debian._prepare(tmp_path / "arm64", "arm64")
    dump = subprocess.run(["apt-config", *options, "dump"], capture_output=True, text=True, check=True).stdout
    values = dict(line.rstrip(";").split(" ", 1) for line in dump.splitlines())
    for name in ("Dir::State", "Dir::State::Lists", "Dir::State::Status", "Dir::Cache"):
        (value,) = (text for key, text in values.items() if key.lower() == name.lower())
        assert value.startswith(f'"{tmp_path}/arm64/')
    assert values["APT::Architectures::"] == '"arm64"'
    assert "APT::Update::Post-Invoke-Success::" not in values


class FakeSources:
    """apt on a host whose sources are in `etc`; it has a source package once its private lists are fetched."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        self.asked: list[str] = []
        self.sources: dict[str, str] = {}

    def run(self, *command: str, cwd: Path | None = None) -> str:
        if command[0] == "dpkg":
            return "amd64\n"
        if command[0] == "apt-config":
            return f"FILE='{self.etc}/sources.list'\nPARTS='{self.etc}/sources.list.d/'\n"
        private = next(Path(word).parent for word in command if word.endswith("apt.conf"))
        self.sources = {file.name: file.read_text() for file in (private / "sources").iterdir()}
        self.asked.append("update" if "update" in command else "source")
        if "update" in command:
            raise UsageError("apt-get: E: a third party has no sources")
        if "update" not in self.asked:
            raise UsageError("apt-get: E: no lists")
        assert cwd is not None
        (cwd / "x_1.dsc").write_text("Format: 3.0 (quilt)\nSource: x\nPackage-List:\n x deb\nVersion: 1-2\n")
        (cwd / "x_1.orig.tar.xz").write_bytes(b"archive")
        return ""


def test_sources_come_from_where_the_hosts_packages_come_from(tmp_path, monkeypatch):
    """`deb-src` for `deb` in both formats of sources.list(5), options kept; lists are fetched when there are none."""
    parts = tmp_path / "etc/sources.list.d"
    parts.mkdir(parents=True)
    (tmp_path / "etc/sources.list").write_text("# deb is\ndeb [signed-by=/k] http://a b main\ndeb-src http://c d e\n")
    (parts / "debian.sources").write_text("Types: deb deb-src\nURIs: http://a\nSigned-By: /k\n\nTypes: deb\n")
    (parts / "off.list.disabled").write_text("deb http://off b main\n")
    apt = FakeSources(tmp_path / "etc")
    monkeypatch.setattr(debian, "run", apt.run)
    into = tmp_path / "into"
    into.mkdir()
    description = debian.download_source("x", tmp_path / "apt", into)
    assert apt.asked == ["source", "update", "source"]
    assert apt.sources == {
        "sources.list": "# deb is\ndeb-src [signed-by=/k] http://a b main\ndeb-src http://c d e\n",
        "debian.sources": "Types: deb-src\nURIs: http://a\nSigned-By: /k\n\nTypes: deb-src\n",
    }
    assert (debian.control_field(description, "Source"), debian.control_field(description, "Version")) == ("x", "1-2")
    assert debian.control_field(description, "Package") == ""


def test_apt_gets_sources_from_the_private_directory_only(tmp_path):
    """apt, asked with the private configuration, reads no list of the host's sources."""
    options = debian._prepare(tmp_path / "source", "amd64", debian._SOURCES_CONFIGURATION)
    command = ["apt-config", *options, "shell", "FILE", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert words == ["FILE='/dev/null'", f"PARTS='{tmp_path}/source/sources/'"]


def test_a_file_that_a_source_package_lacks_is_named(tmp_path):
    """With the pattern of the manifest."""
    (tmp_path / "x_1.dsc").write_text("Source: x\n")
    with pytest.raises(UsageError, match=r"x_1.dsc: has no x_\*.orig.tar.xz; the manifest"):
        debian.pick(tmp_path / "x_1.dsc", {"x": "x_*.orig.tar.xz"}, tmp_path)
