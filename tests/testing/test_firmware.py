"""The firmware store: manifest, cache and fetching, with packages made here instead of apt's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from armvcpu.errors import UsageError
from armvcpu.machine.files import sha256
from armvcpu.testing.firmware import debian, store, trusted_firmware

WANTED = store.Entry("toy", "toy-package", "all", "MIT", "a toy", {"toy.bin": "usr/lib/toy-*.bin"})


def make_deb(where: Path, files: dict[str, bytes], control: str = "") -> Path:
    """A Debian package with these files, made by dpkg-deb."""
    tree = where / "tree"
    for name, contents in {**files, "DEBIAN/control": CONTROL.encode() + control.encode()}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(contents)
    deb = where / "toy.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, deb], check=True, capture_output=True)
    return deb


CONTROL = "Package: toy-package\nVersion: 1.2-3\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: toy\n"
FILES = {"usr/lib/toy-7.bin": b"firmware", "usr/share/doc/toy/copyright": b"MIT"}


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """A cache in `tmp_path` with one entry "toy", whose package is made instead of downloaded; the calls made."""
    calls: list[str] = []

    def download(package: str, architecture: str, root: Path, into: Path, suite: str) -> Path:
        calls.append(package)
        return make_deb(into, FILES)

    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "manifest", lambda: {"toy": WANTED})
    monkeypatch.setattr(debian, "download", download)
    return calls


def test_manifest_describes_every_entry():
    """Every entry says where it is from, its licence, and what it shows."""
    entries = store.manifest()
    assert {"u-boot", "edk2", "grub", "linux-cloud", "linux", "busybox", "debian-installer"} <= entries.keys()
    assert all(
        e.files and e.licence and e.shows and e.architecture in ("all", "arm64", "source") for e in entries.values()
    )


def test_fetch_unpacks_the_wanted_files(downloads):
    """The files of the manifest and the copyright are in the cache, under the manifest's names."""
    store.fetch("toy")
    assert store.path("toy").read_bytes() == b"firmware"
    assert sorted(os.listdir(store.directory("toy"))) == ["copyright", "fetched.json", "toy.bin"]
    assert [entry.name for entry in store.directory("toy").parent.iterdir()] == ["toy"]


def test_what_can_be_executed_stays_so(downloads, tmp_path, monkeypatch):
    """A program that is fetched can be run where it is; what only the group or nobody may execute can't."""

    def download(_package: str, _architecture: str, _root: Path, into: Path, _suite: str) -> Path:
        deb = make_deb(into, FILES)
        (into / "tree" / "usr/lib/toy-7.bin").chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", into / "tree", deb], check=True, capture_output=True
        )
        return deb

    monkeypatch.setattr(debian, "download", download)
    store.fetch("toy")
    assert os.access(store.path("toy"), os.X_OK)
    assert not (store.directory("toy") / "copyright").stat().st_mode & 0o111


def test_fetch_notes_version_and_sums(downloads):
    """`fetched.json` says what the files are: package, version, sums."""
    record = json.loads((store.fetch("toy") / "fetched.json").read_text())
    assert (record["package"], record["version"]) == ("toy-package", "1.2-3")
    assert record["files"]["toy.bin"]["path"] == "usr/lib/toy-7.bin"
    assert record["files"]["toy.bin"]["sha256"] == sha256(store.path("toy"))
    assert len(record["deb_sha256"]) == 64


def test_intact_files_are_not_fetched_again(downloads):
    """A second fetch does nothing, unless it is forced."""
    store.fetch("toy")
    store.fetch("toy")
    assert len(downloads) == 1
    store.fetch("toy", force=True)
    assert len(downloads) == 2


@pytest.mark.parametrize("damage", ["toy.bin", "fetched.json"])
def test_damaged_files_are_fetched_again(downloads, damage):
    """A changed file or record is replaced."""
    store.fetch("toy")
    (store.directory("toy") / damage).write_text("damaged")
    store.fetch("toy")
    assert store.path("toy").read_bytes() == b"firmware"
    assert len(downloads) == 2


def test_parallel_workers_fetch_once(downloads):
    """Of several workers one fetches and the others wait for it."""
    workers = [threading.Thread(target=store.fetch, args=("toy",)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(downloads) == 1
    assert store.path("toy").read_bytes() == b"firmware"


def test_failed_fetch_leaves_nothing(downloads, monkeypatch):
    """What cannot be fetched is not there, not half there."""
    monkeypatch.setattr(debian, "download", lambda *args: make_deb(args[3], {"other": b""}))
    with pytest.raises(UsageError, match=r"toy.deb: has no .*copyright"):
        store.fetch("toy")
    assert list(store.directory("toy").parent.iterdir()) == []


def test_an_entry_of_another_suite_is_asked_for_there(downloads, monkeypatch):
    """Every other one in the host's own."""
    asked = []

    def download(package: str, architecture: str, root: Path, into: Path, suite: str) -> Path:
        asked.append((package, suite))
        return make_deb(into, FILES, "Depends: toy-7\n")

    monkeypatch.setattr(debian, "download", download)
    for suite in ("", "trixie"):
        wanted = store.Entry("toy", "toy", "all", "MIT", "a toy", WANTED.files, follow="toy-", suite=suite)
        monkeypatch.setattr(store, "manifest", lambda wanted=wanted: {"toy": wanted})
        store.fetch("toy", force=True)
    assert asked == [("toy", ""), ("toy-7", ""), ("toy", "trixie"), ("toy-7", "trixie")]


def test_what_is_built_has_its_parts_fetched_first(downloads, tmp_path, monkeypatch):
    """An entry with `build` is made of its source package and of files of other entries; all under its own name."""

    def download_source(package: str, root: Path, into: Path, suite: str) -> Path:
        (into / "x.dsc").write_text("Source: x\nVersion: 5\n")
        return into / "x.dsc"

    def build(description, options, images, workplace, into):
        (into / "flash.bin").write_bytes(options[0].encode() + images["bl33"].read_bytes())
        return {"flash.bin": "flash.bin"}

    steps = {"options": ["PLAT=x "], "images": {"bl33": "@toy/toy.bin"}}
    built = store.Entry("built", "x", "source", "MIT", "a toy", {"flash.bin": "flash.bin"}, build=steps)
    monkeypatch.setattr(store, "manifest", lambda: {"toy": WANTED, "built": built})
    monkeypatch.setattr(debian, "download_source", download_source)
    monkeypatch.setattr(trusted_firmware, "build", build)
    for _ in range(2):
        store.fetch("built")
    assert store.path("built").read_bytes() == b"PLAT=x firmware"
    assert store.fetched("built")["version"] == "5"
    assert downloads == ["toy-package"]


def test_meta_packages_are_followed(downloads, tmp_path):
    """`follow` names the dependency that has the files (deb-control(5), Depends)."""
    deb = make_deb(tmp_path, {}, "Depends: base, linux-image-6.1.0-1-arm64 (= 6.1), linux-image-x | b\n")
    assert debian.dependency(deb, "linux-image-") == "linux-image-6.1.0-1-arm64"
    with pytest.raises(UsageError, match="follow"):
        debian.dependency(deb, "nothing-")


def test_a_source_package_gives_its_own_files(downloads, monkeypatch):
    """As they are, under the manifest's names; the .dsc has the version."""

    def download_source(package: str, root: Path, into: Path, suite: str) -> Path:
        (into / "toy_1.2.orig.tar.xz").write_bytes(b"archive")
        (into / "toy_1.2-3.dsc").write_text("Source: toy-source\nVersion: 1.2-3\n")
        return into / "toy_1.2-3.dsc"

    wanted = store.Entry("toy", "toy-source", "source", "MIT", "a toy", {"toy.tar.xz": "toy_*.orig.tar.xz"})
    monkeypatch.setattr(store, "manifest", lambda: {"toy": wanted})
    monkeypatch.setattr(debian, "download_source", download_source)
    record = json.loads((store.fetch("toy") / "fetched.json").read_text())
    assert (record["package"], record["version"]) == ("toy-source", "1.2-3")
    assert record["files"]["toy.tar.xz"]["path"] == "toy_1.2.orig.tar.xz"
    assert store.path("toy").read_bytes() == b"archive"
    assert downloads == []


def test_links_in_a_package_are_not_followed(tmp_path):
    """Only regular files are taken: a link in a package leads nowhere on the host."""
    (tmp_path / "tree/usr/lib").mkdir(parents=True)
    (tmp_path / "tree/usr/lib/toy-link.bin").symlink_to("/etc/passwd")
    deb = make_deb(tmp_path, FILES)
    with pytest.raises(UsageError, match=r"has no usr/lib/toy-link.bin"):
        debian.extract(deb, {"x": "usr/lib/toy-link.bin"}, tmp_path)


def test_damaged_package_is_one_line(tmp_path):
    """A file that is no package says so."""
    (tmp_path / "bad.deb").write_bytes(b"no package")
    with pytest.raises(UsageError, match=r"bad.deb: cannot be unpacked"):
        debian.extract(tmp_path / "bad.deb", {"x": "y"}, tmp_path)


def test_unfetched_firmware_names_the_command(downloads):
    """Asking for what is not there says how to get it."""
    with pytest.raises(UsageError, match="toy is not fetched yet; run `armvcpu firmware fetch toy`"):
        store.path("toy")


@pytest.mark.parametrize(("name", "file", "words"), [("no", None, "there are toy"), ("toy", "no", "it has toy.bin")])
def test_unknown_names_list_the_known(downloads, name, file, words):
    """A wrong name is answered with the right ones."""
    with pytest.raises(UsageError, match=words):
        store.path(name, file)


def test_host_without_apt_is_told_so(tmp_path, monkeypatch):
    """On a system without Debian's tools there is one clear line."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="dpkg: no such program; fetching firmware needs a Debian-like system"):
        debian.download("u-boot-qemu", "all", tmp_path, tmp_path)


def test_failing_apt_says_why_in_its_own_words(tmp_path, monkeypatch):
    """The first error line of the tool is shown."""
    tool = tmp_path / "apt-get"
    tool.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('W: odd\\nE: Unable to locate package x\\nE: more')\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get: E: Unable to locate package x; check the network"):
        debian.run("apt-get", "download", "x")


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"ARMVCPU_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/armvcpu"),
        ({"XDG_CACHE_HOME": "relative"}, "/h/.cache/armvcpu"),
        ({}, "/h/.cache/armvcpu"),
    ],
)
def test_cache_is_where_the_environment_says(monkeypatch, variables, where):
    """ARMVCPU_CACHE, else the XDG Base Directory Specification, which ignores relative paths."""
    for name in ("ARMVCPU_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/h", **variables}.items():
        monkeypatch.setenv(name, value)
    assert store.cache_directory() == Path(where)


def test_unwritable_cache_is_one_line(downloads, monkeypatch):
    """A cache that cannot be made says how to choose another."""
    monkeypatch.setenv("ARMVCPU_CACHE", "/proc/armvcpu")
    with pytest.raises(UsageError, match="choose a cache with ARMVCPU_CACHE"):
        store.fetch("toy")


@pytest.mark.firmware
def test_real_u_boot_is_fetched_by_the_hosts_apt():
    """Debian's U-Boot comes through apt, and is what its name says."""
    store.fetch("u-boot")
    assert b"U-Boot 20" in store.path("u-boot").read_bytes()
