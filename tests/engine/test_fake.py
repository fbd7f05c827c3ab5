"""The scripted engine: an `Engine` for tests of the layers above."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import by_name
from armvcpu.engine.api import Engine, RegisterRows, RunEnd
from armvcpu.engine.fake import (
    AtCode,
    ExceptionEntry,
    LimitReached,
    ScriptedAccess,
    ScriptedEngine,
    StopRequested,
    Trap,
)
from armvcpu.errors import UsageError

VBAR = by_name["VBAR_EL1"].encoding


def test_it_is_an_engine():
    """mypy checks the assignment; every member of the Protocol is there."""
    engine: Engine = ScriptedEngine()
    assert [name for name in vars(Engine) if not name.startswith("_") and not hasattr(engine, name)] == []


def test_traps_come_in_order_with_their_state():
    """The handler sees arguments, registers, PC, PSTATE and HPFAR_EL2 of each entry."""
    engine = ScriptedEngine(
        [Trap(2, 0x5A00_0000, pc=0x104, regs={0: 7}), Trap(2, 0x9200_0005, far=0x18, hpfar=0x10, pstate=0x8000_0000)]
    )
    seen = []

    def handler(*arguments):
        state = engine.state
        seen.append((*arguments, state.pc, state.gpr(0), state.pstate, state.hpfar_el2))
        if len(seen) == 2:
            engine.leave()

    engine.set_trap_handler(handler)
    assert engine.run() is RunEnd.LEFT
    assert seen[0] == (2, 0x5A00_0000, 0, 0x104, 7, 0x3C5, 0)
    assert seen[1] == (2, 0x9200_0005, 0x18, 0x104, 7, 0x8000_0000, 0x10)


def test_runs_end_as_the_script_says():
    """Stops and limits; and a stop that was requested before the run."""
    engine = ScriptedEngine([StopRequested(), LimitReached()])
    assert (engine.run(), engine.run(limit=5), engine.limits) == (RunEnd.STOPPED, RunEnd.LIMIT, [0, 5])
    engine.request_stop()
    assert engine.run() is RunEnd.STOPPED


@pytest.mark.parametrize("pstate", [0x3C5, 0, 0xF000_0000, 0x4000_0285, 0x9040_0145])
def test_pstate_is_read_as_it_was_set(pstate):
    """Through the same unpacking as Unicorn's."""
    engine = ScriptedEngine([Trap(2, 0, pstate=pstate)])
    engine.set_trap_handler(lambda *_: engine.leave())
    engine.run()
    assert hex(engine.state.pstate) == hex(pstate)


def test_exception_entry_is_done_and_noted():
    """The stack pointer of the old level goes to its bank, and the target's becomes the live one."""
    engine = ScriptedEngine([Trap(1, 0x5600_0001, pc=8, pstate=0x3C0, regs={31: 0x1000})])
    engine.registers.write(by_name["SP_EL1"].encoding, 0x2000)
    engine.registers.write(VBAR, 0x800)

    def enter(_target, esr, far):
        engine.take_exception(esr, far)
        engine.leave()

    engine.set_trap_handler(enter)
    engine.run()
    state, of = engine.state, engine.registers.of
    assert engine.entered == [ExceptionEntry(8, 0x3C0, 0x5600_0001, 0, 0xC00)]
    assert (state.pc, state.frame[31], state.sp_el(0), state.pstate) == (0xC00, 0x2000, 0x1000, 0x3C5)
    assert (of("ELR_EL1"), of("SPSR_EL1"), of("ESR_EL1")) == (8, 0x3C0, 0x5600_0001)
    assert engine.last_exception[:3] == (0x5600_0001, 0, 8)


def test_entries_are_heard_of_where_that_is_asked_for():
    """`observe_exceptions`; an SError has its own vector (D1.3.1)."""
    engine, vectors = ScriptedEngine(), []
    engine.set_trap_handler(lambda *_: None, lambda: vectors.append(engine.state.pc))
    engine.take_exception(0x5600_0001)
    engine.listen.observe_exceptions(True)
    engine.take_exception(0xBE00_0000, serror=True)
    assert vectors == [0x380]


def test_what_is_asked_of_it_is_noted():
    """Lines, rows, the CPU presented, what is listened to, stops."""
    engine, rows = ScriptedEngine(), RegisterRows()
    engine.set_lines(irq=True, fiq=False)
    engine.registers.use(rows)
    engine.registers.present([1, 2, 3, 4, 5, 6])
    engine.listen.hear_exceptions(8)
    engine.listen.hear_semihosting(True)
    engine.stop_at(5)
    assert (engine.lines, engine.registers.presented, engine.stops) == ((True, False), (1, 2, 3, 4, 5, 6), [5])
    assert (engine.registers.rows, engine.listen.heard_exceptions, engine.listen.hears_semihosting) == (rows, 8, True)


def test_each_state_has_its_own_registers():
    """A new state is as after reset, and loading one changes nothing in the others."""
    engine = ScriptedEngine()
    first, second = engine.state, engine.new_state()
    engine.registers.write(VBAR, 0x800)
    engine.state.set_gpr(3, 1)
    engine.load(second)
    assert (engine.registers.read(VBAR), second.gpr(3), hex(second.pstate)) == (0, 0, "0x3c5")
    engine.load(first)
    assert (engine.registers.read(VBAR), first.gpr(3)) == (0x800, 1)
    assert engine.registers.written == [("VBAR_EL1", 0x800)]


def test_devices_can_be_accessed_as_the_guest_would():
    """`io_read` and `io_write` reach the callbacks with offsets; `unmap` takes the device away."""
    engine, written = ScriptedEngine(), []
    engine.memory.map_io(0x1000, 0x1000, lambda offset, width: offset + width, lambda *write: written.append(write))
    engine.memory.io_write(0x1008, 4, 9)
    assert (engine.memory.io_read(0x1010, 2), written) == (0x12, [(8, 4, 9)])
    engine.memory.unmap(0x1000, 0x1000)
    with pytest.raises(UsageError, match="no device"):
        engine.memory.io_read(0x1010, 2)


def test_step_delivers_a_trap_or_moves_on():
    """Without a trap next, PC goes on by 4."""
    engine, seen = ScriptedEngine([Trap(2, 1)]), []
    engine.set_trap_handler(lambda _target, esr, _far: seen.append(esr))
    engine.step()
    engine.step()
    assert (seen, engine.state.pc, engine.steps) == ([1], 4, 2)


def test_code_handlers_are_called_where_they_were_asked_for():
    """`AtCode` calls those of all instructions and of the PC's, until that is removed; a handler may leave."""
    engine, reached, all_of_them = ScriptedEngine([AtCode(0xFC), AtCode(0x104), AtCode(0x104), StopRequested()]), [], []
    engine.listen.on_code(all_of_them.append)
    probe = engine.listen.probe(0x104, lambda pc: (reached.append((pc, engine.state.pc)), engine.leave()))
    assert (engine.run(), reached) == (RunEnd.LEFT, [(0x104, 0x104)])
    probe.remove()
    assert (engine.run(), len(reached), all_of_them) == (RunEnd.STOPPED, 1, [0xFC, 0x104, 0x104])


def test_memory_handlers_are_called_for_accesses():
    """With the arguments that `on_memory` promises."""
    engine, seen = ScriptedEngine([ScriptedAccess(False, 0x10, 4, 7), StopRequested()]), []
    engine.listen.on_memory(lambda *access: seen.append(access))
    assert (engine.run(), seen) == (RunEnd.STOPPED, [(False, 0x10, 4, 7)])


def test_virtual_memory_is_ram_as_it_is():
    """There is no MMU: RAM is at its physical address, and nothing else is there."""
    engine = ScriptedEngine()
    engine.memory.map_ram(0x1000, memoryview(bytearray(b"\x01\x02\x03\x04")))
    assert (engine.memory.fetch_word(0x1000), engine.memory.read_virtual(0x1001, 2)) == (0x0403_0201, b"\x02\x03")
    assert (engine.memory.fetch_word(0x1002), engine.memory.read_virtual(0x1001, 8), engine.memory.translate(0)) == (
        None,
        None,
        None,
    )


def test_reset_state():
    """A state that is reset has lost its registers."""
    engine = ScriptedEngine()
    engine.registers.write(VBAR, 0x800)
    engine.state.set_gpr(2, 5)
    engine.reset_state(engine.state)
    assert (engine.registers.read(VBAR), engine.state.gpr(2), engine.state.pstate) == (0, 0, 0x3C5)


def test_invalidations_are_noted():
    """All code, a range of it, and TLB."""
    engine = ScriptedEngine()
    engine.code.invalidate()
    engine.code.invalidate(0x1000, 64)
    engine.memory.flush_tlb()
    assert (engine.code.invalidations, engine.memory.tlb_flushes) == ([None, (0x1000, 64)], 1)


def test_script_that_is_used_up_is_an_error():
    """A run that nothing ends would hang a real engine."""
    engine = ScriptedEngine([Trap(2, 0)])
    engine.set_trap_handler(lambda *_: None)
    with pytest.raises(UsageError, match="used up"):
        engine.run()


def test_misuse_is_refused_as_by_the_real_engine():
    """A trap without a handler, unmapping what is not there."""
    engine = ScriptedEngine([Trap(2, 0x5A00_0003)])
    for misuse in (engine.run, lambda: engine.memory.unmap(0, 4096)):
        with pytest.raises(UsageError):
            misuse()
