"""`armvcpu firmware`: what it prints, over a store whose fetching is faked."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from armvcpu.cli.firmware import firmware
from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.machine.files import sha256
from armvcpu.testing.firmware import store


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The output of `armvcpu firmware ...`; fetching writes the record and the first file of an entry."""

    def fetch(wanted: store.Entry) -> None:
        store.directory(wanted.name).mkdir(parents=True)
        file = store.directory(wanted.name) / next(iter(wanted.files))
        file.write_bytes(b"x")
        record = {"package": "deb", "version": "7", "files": {file.name: {"sha256": sha256(file)}}}
        (store.directory(wanted.name) / store.RECORD).write_text(json.dumps(record))

    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_fetch", fetch)
    return lambda *words: CliRunner().invoke(firmware, words, catch_exceptions=False)


def test_list_tells_what_is_fetched(run):
    """Every entry is listed with its state, licence and purpose."""
    assert "u-boot-qemu, not fetched" in run("list").output
    run("fetch", "u-boot")
    output = run("list").output
    assert re.search(r"^u-boot +deb 7$", output, re.MULTILINE)
    assert all(entry.shows in output and entry.licence in output for entry in store.manifest().values())


def test_path_is_one_line_for_scripts(run, tmp_path):
    """`$(armvcpu firmware path NAME)` is the first file."""
    run("fetch", "u-boot")
    assert run("path", "u-boot").output == f"{tmp_path}/firmware/u-boot/u-boot.bin\n"


def test_unfetched_path_names_the_command(run):
    """Nothing is downloaded unless asked to."""
    with pytest.raises(UsageError, match="run `armvcpu firmware fetch edk2`"):
        run("path", "edk2")


@pytest.mark.parametrize("damaged", ["u-boot.bin", store.RECORD])
def test_path_gives_no_file_that_has_changed(run, damaged):
    """It looks at the same sums as `fetch`."""
    run("fetch", "u-boot")
    (store.directory("u-boot") / damaged).write_text("{}")
    with pytest.raises(UsageError, match=r"u-boot.bin: is not what was fetched any more; run `armvcpu firmware fetch"):
        run("path", "u-boot")


def test_a_name_is_nearly_another(run):
    with pytest.raises(UsageError, match=r"did you mean u-boot\?"):
        run("fetch", "uboot")
    with pytest.raises(UsageError, match=r"did you mean u-boot.bin\?"):
        run("path", "u-boot", "uboot.bin")


def test_wrong_name_stops_before_any_download(run):
    """`fetch` looks at all names first."""
    with pytest.raises(UsageError, match="no firmware called 'nothing'"):
        run("fetch", "u-boot", "nothing")
    assert not store.directory("u-boot").exists()


def test_fetch_needs_a_name(run):
    """Without a NAME the usage is shown, with status 2."""
    assert run("fetch").exit_code == 2


def test_initramfs_holds_busybox_and_the_script(run, tmp_path):
    """What `armvcpu run --initrd` takes; no kernel is needed to make it."""
    run("fetch", "busybox")
    (tmp_path / "rc").write_bytes(b"echo \xff from the script\n")
    assert run("initramfs", "--script", str(tmp_path / "rc"), "-o", str(tmp_path / "out")).output == ""
    data = (tmp_path / "out").read_bytes()
    assert data.startswith(b"070701")
    assert b"bin/busybox\0" in data
    assert b"echo \xff from the script\n" in data


def test_initramfs_takes_files_of_the_users(run, tmp_path):
    """Their directories are made, and they are executable."""
    run("fetch", "busybox")
    (tmp_path / "F").write_bytes(b"the contents")
    words = [word for path in ("program", "/opt/a/b") for word in ("--file", f"{path}={tmp_path / 'F'}")]
    assert run("initramfs", *words, "-o", str(tmp_path / "out")).output == ""
    data = (tmp_path / "out").read_bytes()
    assert data.count(b"the contents") == 2
    assert data.index(b"opt\0") < data.index(b"opt/a\0") < data.index(b"opt/a/b\0")
    assert b"%08X" % 0o100755 in data[data.index(b"program\0") - 110 :][:32]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--file", "program", "-o", "OUT"), "--file program: give PATH=F"),
        (("--file", "program=", "-o", "OUT"), "--file program=: give PATH=F"),
        (("--file", "program=/nowhere", "-o", "OUT"), "/nowhere: no such file"),
        (("--file", "../x=/etc/passwd", "-o", "OUT"), "--file ../x=/etc/passwd: give a path as bin/program"),
        (("--file", "/bin=/etc/passwd", "-o", "OUT"), "there is a directory of this name"),
        (("--file", f"{'a/' * 2000}b=/etc/passwd", "-o", "OUT"), "a path has up to 4000 bytes"),
        (("--script", "/nowhere", "-o", "OUT"), "/nowhere: no such file"),
        (("--script", "/dev/zero", "-o", "OUT"), "/dev/zero: "),
        (("-o", "/nowhere/out"), "/nowhere/out: No such file or directory; choose another -o"),
    ],
)
def test_initramfs_tells_what_it_cannot_read_or_write(run, tmp_path, words, message):
    """One line each, and nothing is written."""
    run("fetch", "busybox")
    with pytest.raises(ArmvcpuError, match=message):
        run("initramfs", *(str(tmp_path / "out") if word == "OUT" else word for word in words))
    assert not (tmp_path / "out").exists()


def test_initramfs_wants_busybox_and_drivers_fetched(run, tmp_path):
    """Nothing is downloaded unless asked to."""
    with pytest.raises(UsageError, match="run `armvcpu firmware fetch busybox`"):
        run("initramfs", "-o", str(tmp_path / "out"))
    run("fetch", "busybox")
    with pytest.raises(UsageError, match="run `armvcpu firmware fetch linux-cloud`"):
        run("initramfs", "--virtio", "-o", str(tmp_path / "out"))
