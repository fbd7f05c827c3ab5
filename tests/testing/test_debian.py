"""Which apt is asked for a package: the host's, or one in a private directory; apt itself is faked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from armvcpu.errors import UsageError
from armvcpu.testing import debian


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
