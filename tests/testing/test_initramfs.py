"""The initramfs archive, read back by the format's own rules (buffer-format.rst), and what a busybox one holds."""

from __future__ import annotations

import gzip
import stat

import pytest

from armvcpu.testing.firmware.initramfs import archive, busybox_initramfs, character_device, directory, file, link


def unpack(data: bytes) -> dict[str, tuple[int, bytes, tuple[int, int]]]:
    """Name -> mode, contents, (rdevmajor, rdevminor) of every record up to the trailer."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        _, mode, _, _, _, _, size, _, _, *device, name_size, checksum = (
            int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)
        )
        name = data[at + 110 : at + 110 + name_size]
        assert (name[-1:], checksum) == (b"\0", 0)
        start = at + 110 + name_size + -(110 + name_size) % 4
        if name == b"TRAILER!!!\0":
            assert start == len(data)
            return found
        found[name[:-1].decode()] = (mode, data[start : start + size], tuple(device))
        at = start + size + -size % 4


@pytest.mark.parametrize("size", range(5))
def test_names_and_contents_of_every_length_come_back(size):
    """Records are padded to four bytes behind the name and behind the contents."""
    entries = [file("n" * (size + 1), b"x" * size), file("last", b"end")]
    assert unpack(archive(entries))["last"][1] == b"end"
    assert unpack(archive(entries))["n" * (size + 1)] == (stat.S_IFREG | 0o644, b"x" * size, (0, 0))


def test_every_kind_of_entry():
    """The modes are those of stat(2); a link's contents are its target; a device has its numbers."""
    entries = [directory("d"), file("x", b"#!", executable=True), link("l", "x"), character_device("c", 5, 1)]
    assert unpack(archive(entries)) == {
        "d": (stat.S_IFDIR | 0o755, b"", (0, 0)),
        "x": (stat.S_IFREG | 0o755, b"#!", (0, 0)),
        "l": (stat.S_IFLNK | 0o777, b"x", (0, 0)),
        "c": (stat.S_IFCHR | 0o600, b"", (5, 1)),
    }


def test_compressed_archives_are_the_same_every_time():
    """Gzip without a time of its own."""
    entries = [file("a", b"a" * 1000)]
    assert archive(entries, compress=True) == archive(entries, compress=True)
    assert gzip.decompress(archive(entries, compress=True)) == archive(entries)


def test_directories_come_before_what_is_in_them(tmp_path):
    """The kernel makes no missing directories."""
    (tmp_path / "busybox").write_bytes(b"\x7fELF")
    (tmp_path / "some.ko").write_bytes(b"module")
    names = list(unpack(busybox_initramfs(tmp_path / "busybox", b"true", modules=[tmp_path / "some.ko"])))
    for index, name in enumerate(names):
        parent = name.rpartition("/")[0]
        assert not parent or parent in names[:index]


def test_busybox_modules_and_script_are_where_init_looks(tmp_path):
    """A script is optional."""
    (tmp_path / "busybox").write_bytes(b"\x7fELF")
    (tmp_path / "some.ko").write_bytes(b"module")
    found = unpack(busybox_initramfs(tmp_path / "busybox", b"echo hi\n", modules=[tmp_path / "some.ko"]))
    assert found["bin/busybox"][:2] == (stat.S_IFREG | 0o755, b"\x7fELF")
    assert found["etc/rc"][1] == b"echo hi\n"
    assert (found["etc/modules"][1], found["lib/modules/some.ko"][1]) == (b"some.ko\n", b"module")
    assert found["init"][1].startswith(b"#!/bin/busybox sh\n")
    assert "etc/rc" not in unpack(busybox_initramfs(tmp_path / "busybox"))
