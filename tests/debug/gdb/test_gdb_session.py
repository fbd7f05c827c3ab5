"""Sessions of gdb's remote protocol: each packet's answer, GDB manual appendix E.2 to E.4; with a made-up guest."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from gdb_guest import RAM, FakeGuest, new_session

from armvcpu.debug.gdb.guest import Area
from armvcpu.debug.gdb.packets import unescaped
from armvcpu.debug.gdb.resuming import How, Parting, Resume
from armvcpu.debug.gdb.stops import Reason, Report, Signal


def test_unknown_packets_have_an_empty_answer():
    """So gdb does without them; and what only begins like a known one is unknown."""
    session, *_ = new_session()
    for packet in (b"vMustReplyEmpty", b"qCRC:0,4", b"QNonStop:1", b"", b"\xff", b"qThreadExtra", b"vContX"):
        assert session.answer(packet) == b"", packet


def test_features_are_told_to_each_other():
    """Errors in words only to a gdb that reads them, backward steps only where there is a history."""
    session, guest, _ = new_session()
    assert b"ReverseStep" not in session.answer(b"qSupported:multiprocess+;swbreak+")
    assert session.answer(b"mfff,4") == b"E14"
    guest.keeps_history = True
    answer = session.answer(b"qSupported:error-message+")
    assert {b"ReverseStep+", b"ReverseContinue+", b"ConditionalBreakpoints+"} <= set(answer.split(b";"))
    assert session.answer(b"mfff,4") == b"E.no memory at 0xfff"


def test_registers_of_the_chosen_thread():
    """All general ones at once, any one by its number, and those of another CPU."""
    session, guest, _ = new_session()
    numbers = {each.name: n for n, each in enumerate(guest.description.registers)}
    guest.values[0]["X1"] = 0x1122334455667788
    assert session.answer(b"g").startswith(b"00000000000000008877665544332211")
    assert len(session.answer(b"g")) == 2 * (33 * 8 + 4 + 32 * 16 + 8)
    assert session.answer(b"Hg2") == b"OK"
    assert session.answer(b"P%x=efbeadde00000000" % numbers["VBAR_EL1"]) == b"OK"
    assert guest.values[1]["VBAR_EL1"] == 0xDEADBEEF
    assert session.answer(b"p%x" % numbers["VBAR_EL1"]) == b"efbeadde00000000"
    assert session.answer(b"P%x=0000000000000000" % numbers["MIDR_EL1"]) == b"E.MIDR_EL1 can't be written"
    assert session.answer(b"G" + b"01" + b"00" * 7) == b"OK"
    assert guest.values[1]["X0"] == 1


def test_memory_is_virtual_unless_told_otherwise():
    """QEMU's Qqemu.PhyMemMode; M in digits, X in bytes."""
    session, guest, _ = new_session()
    virtual = FakeGuest.VIRTUAL + RAM
    assert session.answer(b"M%x,4:01020304" % virtual) == b"OK"
    assert session.answer(b"X%x,4:$#}*" % (virtual + 4)) == b"OK"
    assert session.answer(b"X%x,0:" % virtual) == b"OK"
    assert session.answer(b"m%x,8" % RAM) == b"E14"
    assert session.answer(b"Qqemu.PhyMemMode:1") == b"OK"
    assert session.answer(b"qqemu.PhyMemMode") == b"1"
    assert session.answer(b"m%x,8" % RAM) == b"0102030424237d2a"
    assert bytes(guest.ram[:4]) == b"\1\2\3\4"


def test_a_read_is_as_long_as_a_packet_and_as_memory():
    """gdb asks for the rest itself."""
    session, *_ = new_session()
    session.answer(b"Qqemu.PhyMemMode:1")
    assert 0 < len(session.answer(b"m%x,ffff" % RAM)) <= 0x4000
    assert len(session.answer(b"m%x,100" % (RAM + 0xFFF0))) == 32


def test_memory_is_searched():
    """Also across what is read at once; not found is 0."""
    session, guest, _ = new_session()
    session.answer(b"Qqemu.PhyMemMode:1")
    guest.ram[0x8123:0x8127] = b"}$;x"
    assert session.answer(b"qSearch:memory:%x;10000;}$;x" % RAM) == b"1,%x" % (RAM + 0x8123)
    assert session.answer(b"qSearch:memory:%x;100;abc" % RAM) == b"0"


def test_flash_is_programmed_when_all_of_it_has_come():
    """vFlashErase, vFlashWrite, vFlashDone."""
    session, guest, _ = new_session()
    assert session.answer(b"vFlashErase:0,40000") == b"OK"
    assert session.answer(b"vFlashWrite:10:\x01:\x02") == b"OK"
    assert not guest.flash
    assert session.answer(b"vFlashDone") == b"OK"
    assert (guest.flash, guest.did) == ({0x10: b"\x01:\x02"}, [("erase", 0, 0x40000)])


def test_no_more_is_kept_for_flash_than_it_holds():
    """Whoever sends pieces without an end is refused, and what came before is forgotten."""
    session, guest, _ = new_session()
    guest.areas = lambda: [Area(0, 64, 16), Area(64, 1 << 32)]
    assert [session.answer(b"vFlashWrite:0:" + bytes(32)) for _ in range(3)][:2] == [b"OK", b"OK"]
    assert session.answer(b"vFlashWrite:0:" + bytes(65)).startswith(b"E.that is more than the 0x40 bytes")
    assert session.answer(b"vFlashWrite:0:" + bytes(64)) == b"OK"
    assert (session.answer(b"vFlashDone"), guest.flash) == (b"OK", {0: bytes(64)})


def test_breakpoints_and_watchpoints_come_and_go():
    """Each kind, a second time with another condition, and none is left when gdb has gone."""
    session, guest, _ = new_session()
    for packet in (b"Z0,1000,4", b"Z1,1000,4", b"Z2,2000,8", b"Z3,2000,1", b"Z4,2001,3"):
        assert session.answer(packet) == b"OK"
    assert guest.points[2:] == [(0x2000, 8, False, True), (0x2000, 1, True, False), (0x2001, 3, True, True)]
    assert session.answer(b"Z0,1000,4;X3,220127X3,220027") == b"OK"
    assert [len(conditions) for address, conditions in guest.points[-1:]] == [2]
    assert len(guest.points) == 5
    assert session.answer(b"z2,2000,8") == session.answer(b"z2,2000,8") == b"OK"
    assert session.points.breakpoint_at(0x1000) is Reason.SOFTWARE_BREAKPOINT
    session.close()
    assert guest.points == []


@pytest.mark.parametrize(
    "packet", [b"Z5,0,4", b"Z0,1000", b"Z2,0,0", b"Z2,ffffffffffffffff,2", b"Z0,10000000000000000,4"]
)
def test_points_that_can_not_be_are_refused(packet):
    """With an error, and nothing is added."""
    session, guest, _ = new_session()
    assert session.answer(packet) == b"E22"
    assert session.answer(b"Z0,1001,4").startswith(b"E.0x1001")
    assert session.answer(b"Z0,1000,4;X1,ff").startswith(b"E.the condition has operation 0xff")
    assert session.answer(b"Z0,1000,4;X3,2201") == session.answer(b"Z0,1000,4;X2,zz27") == b"E22"
    assert guest.points == []


@pytest.mark.parametrize(
    ("packet", "resume"),
    [
        (b"c", Resume(How.GO)), (b"s", Resume(How.STEP, 0)), (b"C05", Resume(How.GO)), (b"S05;1000", Resume(How.STEP)),
        (b"vCont;c", Resume(How.GO)), (b"vCont;s:2;c", Resume(How.STEP, 1)), (b"vCont;C05:1;c", Resume(How.GO)),
        (b"vCont;c:2", Resume(How.GO, only=1)), (b"vCont;c:1;c:2", Resume(How.GO)), (b"vCont;c:-1", Resume(How.GO)),
        (b"vCont;r1000,1040:2;c", Resume(How.RANGE, 1, 0x1000, 0x1040)), (b"vCont;S05", Resume(How.STEP, 0)),
    ],
)  # fmt: skip
def test_the_guest_goes_on_as_asked(packet, resume):
    """The first action that steps says which CPU."""
    session, *_ = new_session()
    assert session.answer(packet) == resume


def test_backwards_needs_a_history():
    """Else gdb is told why not."""
    session, guest, _ = new_session()
    assert session.answer(b"bc").startswith(b"E.nothing is kept")
    guest.keeps_history = True
    assert (session.answer(b"bs"), session.answer(b"bc")) == (Resume(How.BACK_STEP), Resume(How.BACK_GO))


def test_gdb_leaves():
    """Detach and kill; run begins anew."""
    session, guest, _ = new_session()
    assert session.answer(b"D") is Parting.DETACH
    assert session.answer(b"vKill;1") is session.answer(b"k") is Parting.KILL
    assert session.answer(b"!") == b"OK"
    assert session.answer(b"vRun;696d616765") == Resume(How.RESTART)
    assert guest.did == ["restart"]


def test_threads_are_cpus():
    """Their ids, what they do, in both of gdb's ways."""
    session, *_ = new_session()
    assert session.answer(b"qfThreadInfo") == b"m1,2"
    assert session.answer(b"qsThreadInfo") == b"l"
    assert bytes.fromhex(session.answer(b"qThreadExtraInfo,2").decode()) == b"cpu1: switched off <by PSCI>"
    assert session.answer(b"T2") == b"OK"
    assert session.answer(b"T3") == session.answer(b"Hg3") == b"E22"
    xml = session.answer(b"qXfer:threads:read::0,1000")
    assert xml[:1] == b"l"
    threads = ElementTree.fromstring(xml[1:].decode())
    assert [(each.get("id"), each.get("name"), each.text) for each in threads][1] == (
        "2", "cpu1", "switched off <by PSCI>",
    )  # fmt: skip


def test_the_map_covers_every_address():
    """So gdb refuses none, and knows flash, in blocks."""
    session, *_ = new_session()
    areas = ElementTree.fromstring(session.answer(b"qXfer:memory-map:read::0,1000")[1:].decode())
    assert [(each.get("type"), int(each.get("start"), 16), int(each.get("length"), 16)) for each in areas] == [
        ("flash", 0, 0x800_0000), ("ram", 0x800_0000, (1 << 64) - 0x800_0000),
    ]  # fmt: skip
    assert areas[0][0].text == "0x40000"
    assert session.answer(b"qMemoryRegionInfo:7ffffff") == b"start:0;size:1000000000000;permissions:rwx;"
    assert session.answer(b"qMemoryRegionInfo:2000000000000") == b"start:1000000000000;size:fffe000000000000;"
    assert session.answer(b"qMemoryRegionInfo:ffffffffffffffff").endswith(b"size:1000000000000;permissions:rwx;")


def test_a_document_comes_in_pieces():
    """`m` as long as there is more, `l` the last."""
    session, guest, _ = new_session()
    text, answer = b"", b"m"
    while answer[:1] == b"m":
        answer = session.answer(b"qXfer:features:read:target.xml:%x,800" % len(text))
        text += answer[1:].replace(b"}\x03", b"#").replace(b"}\x0a", b"*")
    assert text.decode() == guest.description.xml


def test_one_file_is_read_and_no_other():
    """That of the symbols, whose name gdb asks for; nothing of the host's, and nothing is written."""
    session, guest, _ = new_session()
    assert b"qXfer:exec-file:read+" in session.answer(b"qSupported")
    name = session.answer(b"qXfer:exec-file:read:1:0,100")[1:]
    assert session.answer(b"vFile:setfs:0") == b"F0"
    assert session.answer(b"vFile:open:%s,0,0" % b"/etc/passwd".hex().encode()) == b"F-1,2"
    assert session.answer(b"vFile:open:%s,1,0" % name.hex().encode()) == b"F-1,1"
    assert session.answer(b"vFile:open:%s,0,0" % name.hex().encode()) == b"F3"
    status = unescaped(session.answer(b"vFile:fstat:3").partition(b";")[2])
    assert int.from_bytes(status[28:36], "big") == len(guest.symbol_file)
    data = b""
    while piece := unescaped(session.answer(b"vFile:pread:3,4000,%x" % len(data)).partition(b";")[2]):
        data += piece
    assert data == guest.symbol_file
    assert session.answer(b"vFile:pwrite:3,0,a") == session.answer(b"vFile:unlink:61") == b"F-1,1"
    assert session.answer(b"vFile:close:3") == b"F0"
    guest.symbol_file = None
    assert b"exec-file" not in session.answer(b"qSupported")


def test_monitor_commands_show_what_they_say():
    """By the console packet of whoever `tell` is."""
    session, _, told = new_session()
    assert session.answer(b"qRcmd," + b"info cpus".hex().encode()) == b"OK"
    assert told == ["did info cpus\n"]


def test_a_stop_tells_why_and_where():
    """Signal, reason as far as gdb reads it, thread, and the registers that gdb asks for next."""
    session, guest, _ = new_session()
    guest.values[1]["PC"] = 0x40001000
    stop = Report(1, Signal.TRAP, Reason.SOFTWARE_BREAKPOINT)
    assert session.report(stop).startswith(b"T05thread:2;")
    session.answer(b"qSupported:swbreak+")
    assert session.report(stop).startswith(b"T05swbreak:;thread:2;")
    assert session.answer(b"?").endswith(b"20:0010004000000000;")
    assert session.report(Report(0, Signal.TRAP, Reason.WRITE, "40002000")).startswith(b"T05watch:40002000;thread:1;")
    assert session.answer(b"qC") == b"QC1"


@pytest.mark.parametrize("garbage", [
    b"m", b"m1", b"m,", b"mzz,4", b"m 1,4", b"m1,4,5", b"M0,4:1", b"X0,9:a", b"p", b"pffff",
    b"P0", b"P0=00", b"G0", b"G" + b"00" * 4000, b"Z", b"z0", b"H", b"Hx1", b"T", b"vCont;", b"vCont;x", b"vCont;r1:1",
    b"vCont;Czz", b"qXfer:features:read:target.xml:0", b"qSearch:memory:0;1", b"qRcmd,0", b"qThreadExtraInfo",
    b"Qqemu.PhyMemMode:2", b"vFlashErase:0", b"vFlashWrite:", b"m0,ffffffffffffffff", b"mfffffffffffffffff,4",
    b"s+1", b"c_1", b"C", b"Hg-2", b"\x80\xff", b"qXfer", b"qXfer:features", b"vCont;s:9"])  # fmt: skip
def test_garbage_is_an_error_or_unknown(garbage):
    """Never an exception, and never a running guest."""
    session, guest, _ = new_session()
    answer = session.answer(garbage)
    assert answer in {b"", b"E22", b"E14", b"E00"} or answer.startswith(b"E."), answer
    assert guest.points == []
    assert not any(guest.ram)
