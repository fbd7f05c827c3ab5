"""Physical ranges of the engine's that are not just what is mapped there: read elsewhere, or Secure."""

from __future__ import annotations

import mmap

import pytest

from armvcpu.engine.api import TARGET_WAIT
from armvcpu.engine.unicorn_engine import UnicornEngine
from armvcpu.errors import UsageError

RAM, ROM, CONTENTS, SECURE = 0x4000_0000, 0x0, 0x100_0000_0000, 0x0E00_0000
WFI = 0xD503_207F


@pytest.fixture
def engine():
    engine = UnicornEngine()
    yield engine
    engine.close()


def run(engine: UnicornEngine, *words: int, el: int = 2, **registers: int) -> list[tuple[int, int, int]]:
    """Run at a level up to a WFI; the traps that came."""
    traps: list[tuple[int, int, int]] = []

    def trap(target: int, esr: int, far: int) -> None:
        traps.append((target, esr, far))
        engine.leave()

    engine.set_trap_handler(trap)
    engine.listen.hear_exceptions((1 << 64) - 1, el)
    memory = memoryview(mmap.mmap(-1, 0x1000))
    for index, word in enumerate((*words, WFI)):
        memory[4 * index : 4 * index + 4] = word.to_bytes(4, "little")
    engine.memory.map_ram(RAM, memory)
    engine.load(engine.new_state(el))
    engine.highest = el
    for name, value in registers.items():
        engine.state.set_gpr(int(name[1:]), value)
    engine.state.set_pc(RAM)
    engine.run()
    return traps


def filled(byte: int) -> memoryview:
    memory = memoryview(mmap.mmap(-1, 0x1000))
    memory[:] = bytes([byte]) * 0x1000
    return memory


def test_loads_find_what_is_elsewhere_and_stores_go_where_they_say(engine):
    """LDR, STR, LDR of the same page, in turn: a flash bank."""
    written = []
    engine.memory.map_ram(CONTENTS, filled(0x5A))
    engine.memory.map_io(ROM, 0x1000, lambda _offset, _width: 0, lambda *access: written.append(access))
    engine.memory.read_elsewhere(ROM, 0x1000, CONTENTS)
    traps = run(engine, 0xB940_0402, 0xB900_0401, 0xB940_0403, x0=ROM, x1=0x1234)  # ldr w2, [x0, #4]; str; ldr w3
    assert [target for target, _, _ in traps] == [TARGET_WAIT]
    assert (engine.state.gpr(2), engine.state.gpr(3)) == (0x5A5A_5A5A, 0x5A5A_5A5A)
    assert written == [(4, 4, 0x1234)]


def test_a_range_that_no_longer_is_elsewhere_is_the_devices(engine):
    engine.memory.map_ram(CONTENTS, filled(0x5A))
    engine.memory.map_io(ROM, 0x1000, lambda offset, width: 0x77, lambda *_access: None)
    engine.memory.read_elsewhere(ROM, 0x1000, CONTENTS)
    engine.memory.read_elsewhere(ROM, 0x1000, None)
    run(engine, 0xB940_0402, x0=ROM)
    assert engine.state.gpr(2) == 0x77


def test_code_is_executed_from_elsewhere(engine):
    contents = filled(0)
    contents[:8] = (0xD280_0540).to_bytes(4, "little") + WFI.to_bytes(4, "little")  # mov x0, #42
    engine.memory.map_ram(CONTENTS, contents)
    engine.memory.map_io(ROM, 0x1000, lambda _offset, _width: 0, lambda *_access: None)
    engine.memory.read_elsewhere(ROM, 0x1000, CONTENTS)
    run(engine, 0xD61F_0000, x0=ROM)  # br x0
    assert (engine.state.gpr(0), engine.state.pc) == (42, ROM + 8)


@pytest.mark.parametrize(("el", "aborts"), [(2, True), (3, False)], ids=["Non-secure", "Secure"])
def test_non_secure_accesses_of_secure_memory_abort(engine, el, aborts):
    """With EC 0x25 and DFSC 0x10; EL3 reads it."""
    engine.memory.map_ram(SECURE, filled(0x33))
    engine.memory.set_secure([(SECURE, 0x1000)])
    ((target, esr, far),) = run(engine, 0xB940_0402, el=el, x0=SECURE)
    if aborts:
        assert (target, esr >> 26, esr & 0x3F, far) == (2, 0x25, 0x10, SECURE + 4)
    else:
        assert (target, engine.state.gpr(2)) == (TARGET_WAIT, 0x3333_3333)


def test_too_many_ranges_are_refused(engine):
    with pytest.raises(UsageError, match="17 ranges of Secure memory: 16 at most"):
        engine.memory.set_secure([(n << 20, 0x1000) for n in range(17)])
    for n in range(4):
        engine.memory.read_elsewhere(n << 20, 0x1000, CONTENTS)
    with pytest.raises(UsageError, match="5 ranges that are read elsewhere: 4 at most"):
        engine.memory.read_elsewhere(4 << 20, 0x1000, CONTENTS)
