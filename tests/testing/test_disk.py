"""Disk images made from files, read back with mtools."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from armvcpu.errors import ImageError, UsageError
from armvcpu.testing.firmware import programs
from armvcpu.testing.firmware.disk import fat_image

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def contents(image: Path, name: str) -> bytes:
    return subprocess.run([programs.path("mtype"), "-i", image, f"::{name}"], check=True, capture_output=True).stdout


def test_files_are_there_under_their_names(tmp_path):
    """From memory and from the host, in directories, with long names, empty, and found in lower case too."""
    source = tmp_path / "-source"
    source.write_bytes(bytes(range(256)) * 4096)
    files = {
        "EFI/BOOT/BOOTAA64.EFI": source,
        "boot/grub/grub.cfg": b"set timeout=0\n",
        "efi/second": b"2",
        "a long name, with spaces": b"long",
        "größe.txt": b"Unicode",
        "empty": b"",
    }
    image = fat_image(tmp_path / "disk.img", files)
    for name, data in files.items():
        assert contents(image, name) == (source.read_bytes() if data is source else data)
    assert contents(image, "efi/boot/bootaa64.efi") == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-source", "disk.img"]


def test_the_same_files_give_the_same_bytes(tmp_path, monkeypatch):
    """No time, time zone or serial number of the day, and no other settings of mtools'."""
    first = fat_image(tmp_path / "1", {"d/a": b"a"})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (tmp_path / "mtoolsrc").write_text("MTOOLS_LOWER_CASE=1\nnonsense\n")
    monkeypatch.setenv("MTOOLSRC", str(tmp_path / "mtoolsrc"))
    assert first.read_bytes() == fat_image(tmp_path / "2", {"d/a": b"a"}).read_bytes()


@pytest.mark.parametrize(("count", "length"), [(0, 0), (30, 1), (1, 70 * MIB)])
def test_the_image_has_room_for_its_files(tmp_path, count, length):
    """A multiple of MiB, at least 64; unused space takes none of the host's."""
    (tmp_path / "file").write_bytes(b"x" * length)
    image = fat_image(tmp_path / "disk.img", {f"f{number}": tmp_path / "file" for number in range(count)})
    stat = image.stat()
    assert stat.st_size % MIB == 0
    assert stat.st_size >= max(64 * MIB, length)
    assert stat.st_blocks * 512 < 4 * MIB + length


def test_the_size_may_be_given(tmp_path):
    """And what does not fit then is told in mtools' words; the image that was there stays."""
    image = fat_image(tmp_path / "disk.img", {"a": b"a"}, size=128 * MIB)
    assert image.stat().st_size == 128 * MIB
    with pytest.raises(UsageError, match=r"mcopy ::b: .*[Dd]isk full"):
        fat_image(image, {"b": b"b" * 40 * MIB}, size=34 * MIB)
    assert contents(image, "a") == b"a"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/./b", "a.", "a ", "a\\b", "c:a", "a?", "a*", "a\nb", "\0"]
)
def test_names_that_fat_does_not_have_are_refused(tmp_path, name):
    """Before anything is made."""
    with pytest.raises(UsageError, match="no name on a FAT disk"):
        fat_image(tmp_path / "disk.img", {name: b""})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [("a", "A"), ("d", "D/a"), ("d/e/a", "d/E")])
def test_a_name_is_there_once(tmp_path, names):
    """Whatever its case; a directory is no file."""
    with pytest.raises(UsageError, match="twice on the disk"):
        fat_image(tmp_path / "disk.img", dict.fromkeys(names, b""))


@pytest.mark.parametrize("size", [None, 64 * MIB])
def test_a_missing_file_is_named(tmp_path, size):
    """One line."""
    with pytest.raises(ImageError, match="nowhere: No such file"):
        fat_image(tmp_path / "disk.img", {"a": tmp_path / "nowhere"}, size)


def test_an_unwritable_place_is_named(tmp_path):
    """One line."""
    with pytest.raises(ImageError, match="No such file"):
        fat_image(tmp_path / "nowhere" / "disk.img", {"a": b""})


def test_without_mtools_the_remedy_is_named(tmp_path, monkeypatch):
    """The package to install, and why it can't be had without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"^mformat is missing: apt-get install mtools \(dpkg: no such program"):
        fat_image(tmp_path / "disk.img", {"a": b""})
