"""Which apt is asked for a package: the host's, or one in a private directory; apt itself is faked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from armvcpu.errors import UsageError
from armvcpu.testing.firmware import debian, sources


class FakeApt:
    """Answers as dpkg and apt-get on an amd64 host; the downloads numbered in `failing` fail."""

    def __init__(self, failing: set[int]) -> None:
        self.failing = failing
        self.asked: list[str] = []

    def run(self, *command: str, cwd: Path | None = None) -> str:
        if command[0] == "dpkg":
            return "amd64\n"
        if command[0] == "apt-config":
            return "FILE='/none'\nPARTS='/none/'\n"
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


ETC = {
    "sources.list": (
        "# deb http://off bookworm main\ndeb [arch=amd64 signed-by=/k] http://a bookworm main\n"
        "deb http://a bookworm-updates main\ndeb http://third nodistro main\ndeb-src http://a bookworm main\n"
        "deb [arch=amd64] http://a stable/updates main\n"
    ),
    "debian.sources": (
        "# bookworm\nTypes: deb\n# why\nURIs: http://a\nSuites: bookworm\n bookworm-updates\nArchitectures: amd64\n"
        "Components: main\nSigned-By: /k\n\nTypes: deb\nURIs: http://third\nSuites: nodistro\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off\nSuites: bookworm\n"
    ),
}


@pytest.mark.parametrize("kind", ["deb", "deb-src"])
def test_sources_of_another_suite_are_the_hosts_own_rewritten(tmp_path, monkeypatch, kind):
    """Places, keys and components are kept; a third party's repositories, what is off and architectures are not."""
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    files = [tmp_path / name for name in ETC]
    for file in files:
        file.write_text(ETC[file.name])
    sources.write(files, tmp_path / "into", kind, "trixie")
    assert {file.name: file.read_text() for file in (tmp_path / "into").iterdir()} == {
        "sources.list": (
            f"{kind} [signed-by=/k] http://a trixie main\n{kind} http://a trixie-updates main\n"
            f"{kind} http://a trixie main\n{kind} http://a trixie/updates main\n"
        ),
        "debian.sources": (
            f"Types: {kind}\nURIs: http://a\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /k\n"
        ),
    }


def test_a_package_of_another_suite_comes_through_a_directory_of_that(tmp_path, monkeypatch):
    """Also where the host has one of that name; lists are fetched once, and again where the mirror is newer."""
    apt = FakeApt({3})
    monkeypatch.setattr(debian, "run", apt.run)
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        debian.download("x", "all", tmp_path / "apt", tmp_path / name, "trixie")
    assert apt.asked == [
        "update trixie-arm64", "download trixie-arm64", "download trixie-arm64",
        "download trixie-arm64", "update trixie-arm64", "download trixie-arm64",
    ]  # fmt: skip


def test_a_suite_that_is_not_there_is_named(tmp_path, monkeypatch):
    """In one line with what apt says of its lists, not of the package."""

    def run(*command, cwd=None):
        if "update" in command:
            raise UsageError("apt-get: E: The repository 'x nosuch Release' does not have a Release file.")
        if "download" in command:
            raise UsageError("apt-get: E: Unable to locate package x")
        return "FILE='/none'\nPARTS='/none/'\n"

    monkeypatch.setattr(debian, "run", run)
    with pytest.raises(UsageError, match=r"^suite nosuch: apt-get: E: The repository 'x nosuch Release' does not"):
        debian.download("x", "arm64", tmp_path / "apt", tmp_path, "nosuch")


def test_no_wish_of_the_hosts_holds_for_another_suite(tmp_path):
    """Its default release, and its preferences among releases (apt_preferences(5))."""
    options = debian._prepare(tmp_path / "trixie-arm64", "arm64", debian._SUITE_CONFIGURATION)
    command = ["apt-config", "-o", "APT::Default-Release=bookworm", *options, "dump"]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'APT::Default-Release "";' in dump
    assert 'Dir::Etc::preferences "/dev/null";' in dump
