"""`armvcpu run` with disks, networks and consoles that can't be had: status 2, one line, and nothing is touched."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest
from command import armvcpu

HELLO = str(Path(__file__).parents[2] / "guests" / "bin" / "hello.elf")
MIB = 1 << 20


def refused(*words: object, **environment: str) -> str:
    """The one line of `armvcpu run hello.elf ...`."""
    done = armvcpu("run", HELLO, *words, env=os.environ | environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("armvcpu: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


BAD_DISKS = {
    "not a multiple of 512": (bytes(1000), "has 1000 bytes, not a multiple of 512; extend it with `truncate -s 1024`"),
    "empty": (b"", "is empty; give it a size"),
    "qcow2": (b"QFI\xfb" + bytes(508), "is a qcow2 image; convert it"),
}


@pytest.mark.parametrize(("contents", "problem"), BAD_DISKS.values(), ids=BAD_DISKS)
def test_a_file_that_is_no_raw_disk(tmp_path, contents, problem):
    """It stays as it is."""
    disk = tmp_path / "disk"
    disk.write_bytes(contents)
    assert f"{disk}: {problem}" in refused("--disk", disk)
    assert disk.read_bytes() == contents


@pytest.mark.parametrize(
    ("disk", "problem"),
    [
        ("/nowhere/disk", "cannot be opened: No such file or directory; check the path"),
        ("/nowhere/disk,ro", "/nowhere/disk: cannot be opened"),
        ("/tmp", "cannot be opened: Is a directory; give a raw disk image"),
        ("/tmp,ro", "is not a file or a block device"),
        ("/dev/null", "is not a file or a block device"),
        ("/dev/zero,ro", "is not a file or a block device"),
        ("", "cannot be opened: No such file"),
    ],
)
def test_a_path_that_is_no_disk(disk, problem):
    """Nothing is created."""
    assert problem in refused("--disk", disk)


def test_a_missing_disk_behind_a_good_one(tmp_path):
    """Both are named by their own paths; the good one is let go."""
    good = tmp_path / "good"
    good.write_bytes(bytes(MIB))
    assert "/nowhere/disk" in refused("--disk", good, "--disk", "/nowhere/disk")


def test_a_disk_that_another_machine_has(tmp_path):
    """Two writers would corrupt it."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    with disk.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "is in use by another machine" in refused("--disk", disk)


def test_more_devices_than_slots(tmp_path):
    """32 slots, one of which is the entropy source's."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(MIB))
    assert "the board has room for 31" in refused(*["--disk", f"{disk},ro"] * 31, "--virtio-console")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--net", "nobody"), "--net nobody: write user[,tcp=PORTS]"),
        (("--net", "user,port=1"), "no option 'port=1'"),
        (("--net", "user,tcp=99999"), "passt ended with status 1: Invalid port specifier 99999"),
        (("--net", "unix:/nowhere/socket"), "network unix:/nowhere/socket: No such file"),
        (("--net", "127.0.0.1:1"), "network 127.0.0.1:1: Connection refused"),
        (("--virtio", "pci"), "--virtio pci: give legacy or modern"),
        (("--gic", "2", "--cpus", "9"), "--cpus 9: 1 to 8 with a GICv2"),
        (("--gic", "3", "--cpus", "33"), "--cpus 33: 1 to 32 with a GICv3"),
    ],
)
def test_what_the_board_cannot_have(options, problem):
    """What is wrong, and what may be written."""
    assert problem in refused(*options)


def test_net_user_without_passt(tmp_path):
    """Both ways to have it are named."""
    python = str(Path(sys.executable).parent)
    said = refused("--net", "user", PATH=python, ARMVCPU_CACHE=str(tmp_path))
    assert "apt-get install passt, or without root: armvcpu firmware fetch passt" in said


def test_net_user_takes_a_passt_that_was_fetched(tmp_path):
    """Where the host has none."""
    script = tmp_path / "programs" / "bin" / "passt"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho 'this is the fetched one' >&2\nexit 3\n")
    script.chmod(0o755)
    python = str(Path(sys.executable).parent)
    said = refused("--net", "user", PATH=python, ARMVCPU_CACHE=str(tmp_path))
    assert "passt ended with status 3: this is the fetched one" in said
