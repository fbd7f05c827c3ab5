"""RAM shared with the host, code that changes, and devices."""

from __future__ import annotations

import pytest

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import CODE, DATA, LDR_X3_X2, PAGE, STR_X3_X2_8, branch, hvc
from armvcpu.engine.selftest_checks import check_host_write

DEVICE = 0x0900_0000
STR_W1_X2, BLR_X2, RET = 0xB900_0041, 0xD63F_0040, 0xD65F_03C0  # str w1, [x2]; blr x2; ret
IC_IVAU_X2, DSB, ISB = 0xD50B_7522, 0xD503_3F9F, 0xD503_3FDF


def test_host_changes_code(bench):
    """What the host overwrote is executed as it is now, once `code.invalidate` was called."""
    check_host_write(bench)


def test_guest_changes_code(bench):
    """By a store, IC IVAU, DSB and ISB: B2.4.4, "Concurrent modification and execution"."""
    function = CODE + PAGE - 0x100
    bench.start(BLR_X2, STR_W1_X2, IC_IVAU_X2, DSB, ISB, BLR_X2, hvc(0))
    bench.put(function, 0xD280_0020, RET)  # mov x0, #1
    bench.set_gpr(1, 0xD280_0040)  # mov x0, #2
    bench.set_gpr(2, function)
    bench.run_to_trap()
    assert bench.gpr(0) == 2


def test_ram_is_the_hosts_buffer(bench):
    """A guest's store is in the buffer at once."""
    bench.start(STR_X3_X2_8, hvc(0))
    bench.set_gpr(2, DATA)
    bench.set_gpr(3, 0x55AA)
    bench.run_to_trap()
    assert bench.ram[DATA - CODE + 8 : DATA - CODE + 10] == b"\xaa\x55"


@pytest.mark.parametrize(("word", "width"), [(0x3940_0043, 1), (0x7940_0043, 2), (0xB940_0043, 4), (LDR_X3_X2, 8)])
def test_device_read_has_its_offset_and_width(bench, word, width):
    """ldrb, ldrh, ldr w3 and ldr x3, [x2] reach the callback as they are."""
    asked = []
    bench.engine.memory.map_io(DEVICE, PAGE, lambda offset, size: asked.append((offset, size)) or 0x7F, lambda *_: None)
    bench.start(word, hvc(0))
    bench.set_gpr(2, DEVICE + 0x18)
    bench.run_to_trap()
    assert (asked, bench.gpr(3)) == ([(0x18, width)], 0x7F)


def test_a_store_of_8_bytes_is_one_access_of_a_device(bench):
    """B2.2.1: an aligned access of a general-purpose register is single-copy atomic."""
    written = []
    bench.engine.memory.map_io(DEVICE, PAGE, lambda *_: 0, lambda *write: written.append(write))
    bench.start(STR_X3_X2_8, hvc(0))
    bench.set_gpr(2, DEVICE)
    bench.set_gpr(3, 0x1111_1111_2222_2222)
    bench.run_to_trap()
    assert written == [(8, 8, 0x1111_1111_2222_2222)]


def test_exception_in_a_device_ends_the_run(bench):
    """The device's Python exception is raised by `run`."""

    def fail(_offset, _width):
        raise ValueError("broken device")

    bench.engine.memory.map_io(DEVICE, PAGE, fail, lambda *_: None)
    bench.start(LDR_X3_X2, hvc(0))
    bench.set_gpr(2, DEVICE)
    with pytest.raises(ValueError, match="broken device"):
        bench.run()


def test_unmapped_device_is_gone(bench):
    """Another device can be mapped where one was taken away."""
    for value in (1, 2):
        bench.engine.memory.map_io(DEVICE, PAGE, lambda *_, value=value: value, lambda *_: None)
        bench.start(0xB940_0043, hvc(0))
        bench.set_gpr(2, DEVICE)
        bench.run_to_trap()
        assert bench.gpr(3) == value
        bench.engine.memory.unmap(DEVICE, PAGE)


def test_state_is_current_after_a_device_that_leaves(bench):
    """PC and registers are those behind the block of the access, which is not repeated."""
    reads = []
    bench.engine.memory.map_io(DEVICE, PAGE, lambda *_: (reads.append(1), bench.engine.leave(), 7)[2], lambda *_: None)
    bench.start(0xB940_0043, branch(1), hvc(0))  # ldr w3, [x2]; b .+4
    bench.set_gpr(2, DEVICE)
    assert bench.run() is RunEnd.LEFT
    assert (bench.gpr(3), bench.engine.state.pc, len(reads)) == (7, CODE + 8, 1)
