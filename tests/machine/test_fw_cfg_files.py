"""What the firmware configuration device of a machine holds: SMBIOS tables (DSP0134 3.0), and a user's own items."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from armvcpu import Machine
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.smbios import ANCHOR, TABLES, smbios_files
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.recording import header_of
from armvcpu.machine.fw_cfg_option import FwCfgOption
from armvcpu.testing.suite.files import check_files
from armvcpu.testing.suite.host_files import HostFiles
from armvcpu.testing.suite.suite import load_suite
from armvcpu.testing.suite.worker_files import FileCache

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"


def files_of(machine: Machine) -> dict[str, bytes]:
    """By the directory, item 0x19: size, item, reserved, name."""
    items = machine.board.fw_cfg.items
    (count,) = struct.unpack_from(">I", items[0x19])
    rows = [struct.unpack_from(">IHH56s", items[0x19], 4 + 64 * i) for i in range(count)]
    files = {name.rstrip(b"\0").decode(): items[item] for _size, item, _, name in rows}
    assert [len(data) for data in files.values()] == [row[0] for row in rows]
    return files


def structures(tables: bytes) -> list[tuple[int, int, bytes, list[bytes]]]:
    """(type, handle, formatted area, strings) of each, as DSP0134 6.1 has them."""
    found, at = [], 0
    while at < len(tables):
        kind, length, handle = struct.unpack_from("<BBH", tables, at)
        end = tables.index(b"\0\0", at + length)
        strings = [each for each in tables[at + length : end].split(b"\0") if each]
        found.append((kind, handle, tables[at : at + length], strings))
        at = end + 2
    assert at == len(tables)
    return found


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("opt/x=data.bin", FwCfgOption("opt/x", "data.bin")),
        ("opt/x=a,b=c", FwCfgOption("opt/x", "a,b=c")),
        ("opt/x,file=data.bin", FwCfgOption("opt/x", "data.bin")),
        ("opt/x,string=some, text=1", FwCfgOption("opt/x", None, "some, text=1")),
        ("opt/x,string=", FwCfgOption("opt/x")),
        ("name=opt/x,file=data.bin", FwCfgOption("opt/x", "data.bin")),
        ("name=opt/x,string=text", FwCfgOption("opt/x", None, "text")),
    ],
)
def test_an_item_is_a_file_or_a_text(given, read):
    assert FwCfgOption.parse(given) == read


@pytest.mark.parametrize(
    "given", ["", "opt/x", "=f", "opt/x=", ",string=a", "opt/x,file=", "o" * 56 + "=f", "\u00e4=f", "a\n=f"]
)
def test_what_is_no_item_is_one_line(given):
    with pytest.raises(UsageError, match=r"fw-cfg|fw_cfg"):
        MachineConfig.of(HELLO, fw_cfg=(given,))


def test_the_guest_finds_a_users_items(tmp_path, caplog):
    """A text has no NUL at its end, as QEMU's; a name that is firmware's is warned of."""
    (tmp_path / "data").write_bytes(b"\0\1\2")
    given = (f"opt/file={tmp_path}/data", "opt/text,string=hello", "etc/other,string=x")
    with Machine(HELLO, fw_cfg=given) as machine:
        files = files_of(machine)
    assert (files["opt/file"], files["opt/text"], files["etc/other"]) == (b"\0\1\2", b"hello", b"x")
    assert list(files) == sorted(files)
    assert "etc/other" in caplog.text
    assert "opt/" not in caplog.text.replace("begin with opt/", "")


def test_what_cannot_be_had_is_said(tmp_path):
    with pytest.raises(UsageError, match="two of them are called opt/x"):
        Machine(HELLO, fw_cfg=("opt/x,string=a", "opt/x,string=b"))
    with pytest.raises(UsageError, match="the board has that itself"):
        Machine(HELLO, fw_cfg=("bootorder,string=a",))
    with pytest.raises(ImageError, match="missing"):
        Machine(HELLO, fw_cfg=(f"opt/x={tmp_path}/missing",))


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("opt/x=a,b=c", ("opt/x=", "a,b=c", "")),
        ("name=opt/x,file=data.bin", ("name=opt/x,file=", "data.bin", "")),
        ("opt/x,string=text", ("opt/x,string=text", "", "")),
        ("opt/x", ("opt/x", "", "")),
    ],
)
def test_the_file_of_an_item_is_known(given, parts):
    """To all that deal with a machine's files: recordings, suites, what a run may write."""
    assert MachineConfig.options["fw_cfg"].file_of(given) == parts


def test_a_recording_tells_items_apart_by_their_contents(tmp_path):
    items = (f"opt/x={tmp_path}/data", "opt/y,string=text")
    config = MachineConfig.of(HELLO, clock="instructions", fw_cfg=items)
    (tmp_path / "data").write_bytes(b"one")
    assert header_of(config)["fw_cfg"] == [f"opt/x={hashlib.sha256(b'one').hexdigest()}", "opt/y,string=text"]


def test_a_suites_items_are_files_beside_it(tmp_path):
    """Looked for before anything runs, and sent to a cluster; a text stays as it is."""
    suite = tmp_path / "suite.toml"
    suite.write_text(f"[[test]]\nname='t'\nimage='{HELLO}'\nfw_cfg=['opt/x=data', 'opt/y,string=text']")
    (case,) = load_suite(suite).cases
    assert case.options["fw_cfg"] == (f"opt/x={tmp_path}/data", "opt/y,string=text")
    with pytest.raises(UsageError, match=r"test t: fw_cfg: .*data: no such file"):
        check_files(case, "s")
    (tmp_path / "data").write_bytes(b"one")
    check_files(case, "s")
    sent, text = HostFiles(tmp_path).sent(case).options["fw_cfg"]
    assert (sent.before, sent.path, text) == ("opt/x=", f"{tmp_path}/data", "opt/y,string=text")
    worker = FileCache(tmp_path / "worker")
    (worker.directory / sent.sum).write_bytes(b"one")
    assert worker.place(sent, tmp_path / "here") == f"opt/x={tmp_path}/here"
    assert (tmp_path / "here").read_bytes() == b"one"


def test_the_anchor_is_an_entry_point_of_smbios_3():
    """24 bytes that sum up to 0 (5.2.2); where the tables are is firmware's to say."""
    files = smbios_files(2, 0x410F_D083, "Cortex-A72", 0x4000_0000, 256 << 20)
    anchor = files[ANCHOR]
    assert (anchor[:5], len(anchor), anchor[6], sum(anchor) & 0xFF) == (b"_SM3_", 24, 24, 0)
    assert struct.unpack_from("<IQ", anchor, 12) == (len(files[TABLES]), 0)


@pytest.mark.parametrize("size", [1 << 20, 256 << 20, 64 << 30, 255 << 30])
def test_the_tables_tell_what_the_machine_has(size):
    """The structures of QEMU's board, each with its length of DSP0134 7; CPUs and RAM are the machine's."""
    tables = structures(smbios_files(4, 0x410F_D083, "Cortex-A72", 0x4000_0000, size)[TABLES])
    lengths = {kind: len(area) for kind, _handle, area, _strings in tables}
    assert lengths == {1: 27, 3: 22, 4: 48, 16: 23, 17: 40, 19: 31, 32: 11, 127: 4}
    areas = {kind: area for kind, _handle, area, _strings in tables}
    handles = {kind: handle for kind, handle, _area, _strings in tables}
    assert len(set(handles.values())) == len(tables)
    assert next(strings for kind, _h, _a, strings in tables if kind == 1) == [b"armvcpu", b"virt"]
    assert struct.unpack_from("<Q", areas[4], 8) == (0x410F_D083,)
    assert areas[4][0x23:0x26] == b"\4\4\4"
    assert struct.unpack_from("<HHHH", areas[4], 0x28) == (0x101, 4, 4, 4)
    assert struct.unpack_from("<I", areas[16], 7) == (size >> 10,)
    shown, extended = struct.unpack_from("<H", areas[17], 12)[0], struct.unpack_from("<I", areas[17], 28)[0]
    assert (extended or shown) == size >> 20
    assert struct.unpack_from("<II", areas[19], 4) == (0x4000_0000 >> 10, 0x4000_0000 + size - 1 >> 10)
    for kind, offset in ((17, 4), (19, 12)):
        assert struct.unpack_from("<H", areas[kind], offset) == (handles[16],)


def test_the_board_has_them():
    with Machine(HELLO, cpus=2) as machine:
        files = files_of(machine)
    assert files[TABLES] == smbios_files(2, 0x410F_D083, "Cortex-A72", 0x4000_0000, 256 << 20)[TABLES]
    assert files["bootorder"] == b""
