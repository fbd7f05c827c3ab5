"""ICC_PMR_EL1, which guests write at each critical section: as the architecture has it, and mostly without Python."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.gic_icc import PMR
from armvcpu.arch.registers import by_name

SPI = 8
INTID = 32 + SPI


def guest(tmp_path, *words: int | list[int]) -> str:
    path = tmp_path / "image.bin"
    path.write_bytes(raw.image(*words, raw.psci(raw.SYSTEM_OFF)))
    return path


def pmr(value: int) -> list[int]:
    return [*raw.mov(0, value), raw.msr("ICC_PMR_EL1", 0)]


def test_writes_that_change_nothing_are_not_pythons(tmp_path, monkeypatch):
    """With nothing pending: a critical section, and what is read back."""
    image = guest(tmp_path, pmr(0x80), pmr(0xFF), pmr(0x13), raw.mrs(5, "ICC_PMR_EL1"))
    with Machine(image) as machine:
        heard = []
        monkeypatch.setattr(machine.board.gic.interface(0), "update", lambda: heard.append(1))
        machine.run(timeout=10)
        assert (machine.vcpu.gpr(5), heard, machine.vcpu.registers["ICC_PMR_EL1"]) == (0x10, [], 0x10)


UNMASK = 0xD503_42FF  # MSR DAIFClr, #2
COUNT_X7 = [raw.add(7, 7, 1), raw.mrs(8, "ICC_IAR1_EL1"), raw.mrs(9, "ELR_EL1"), raw.msr("ICC_EOIR1_EL1", 8), raw.ERET]


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_an_interrupt_that_is_unmasked_comes_at_once(tmp_path, clock):
    """Pending at 0xA0 and masked by 0x80: with the write that lets it through, before the next instruction."""
    path = tmp_path / "image.bin"
    enable = [*raw.mov(1, 1), raw.msr("ICC_IGRPEN1_EL1", 1)]
    words = [raw.set_vectors(), enable, pmr(0x80), UNMASK, pmr(0x88), pmr(0x80), raw.add(6, 7, 0), pmr(0xF0)]
    here = len(raw.flat(*words))
    words += [raw.add(5, 7, 0), raw.psci(raw.SYSTEM_OFF)]
    data = raw.image(*words).ljust(0x800 + 0x280, b"\0")
    path.write_bytes(data + b"".join(word.to_bytes(4, "little") for word in COUNT_X7))
    with Machine(path, clock=clock) as machine:
        gic = machine.board.gic
        gic.distributor.write(0, 4, 3)
        for offset, value in ((0x084, 1 << SPI), (0x104, 1 << SPI)):  # IGROUPR1, ISENABLER1
            gic.distributor.write(offset, 4, value)
        gic.distributor.write(0x400 + INTID, 1, 0xA0)
        gic.pend(INTID)
        assert machine.run(timeout=10).ok
        assert [machine.vcpu.gpr(n) for n in (6, 7, 5, 8)] == [0, 1, 1, INTID]
        assert machine.vcpu.gpr(9) == raw.BASE + 4 * here


def test_a_trace_has_all_of_them(tmp_path):
    """Reads and writes, whether something follows from them or not."""
    seen = []

    class Heard:
        def __getattr__(self, name):
            return lambda *arguments: seen.append((name, *arguments))

        def sysreg(self, _cpu, _state, encoding, is_read, value):
            seen.append((encoding, is_read, value))

    image = guest(tmp_path, pmr(0x80), pmr(0xF8), raw.mrs(5, "ICC_PMR_EL1"))
    with Machine(image) as machine:
        machine.observe(Heard())
        machine.run(timeout=10)
    assert [each for each in seen if each[0] == PMR] == [(PMR, False, 0x80), (PMR, False, 0xF8), (PMR, True, 0xF8)]


def test_who_answers_for_it_is_asked(tmp_path):
    """A script's handler comes in the register's place, as of every other."""
    written = []
    image = guest(tmp_path, pmr(0x80), raw.mrs(5, "ICC_PMR_EL1"))
    with Machine(image) as machine:
        machine.on_sysreg("ICC_PMR_EL1", read=lambda: 0x55, write=written.append)
        machine.run(timeout=10)
        assert (written, machine.vcpu.gpr(5)) == ([0x80], 0x55)


def test_it_is_each_cpus_own(tmp_path):
    """They run the same code by turns, with a mask of their own each."""
    second = len(raw.flat(pmr(0x40), raw.mov(1, 1), raw.mov(2, raw.BASE), raw.mov(0, 0xC400_0003), raw.HVC)) + 2
    words = [pmr(0x40), raw.mov(1, 1), raw.mov(2, raw.BASE + 4 * second), raw.mov(0, 0xC400_0003), raw.HVC]
    words += [raw.WFI, raw.branch(-1)]
    path = tmp_path / "image.bin"
    path.write_bytes(raw.image(*words, pmr(0x80), raw.mrs(5, "ICC_PMR_EL1"), raw.WFI, raw.branch(-1)))
    with Machine(path, cpus=2) as machine:
        machine.run(timeout=0.3)
        assert [cpu.vcpu.registers["ICC_PMR_EL1"] for cpu in machine.cpus] == [0x40, 0x80]
        assert machine.cpus[1].vcpu.registers["x5"] == 0x80


def test_a_snapshot_has_it(tmp_path):
    """Written by the engine alone, taken and returned to, the short way too."""
    image = guest(tmp_path, pmr(0x40), raw.HVC, pmr(0x80), raw.HVC)
    with Machine(image) as machine:
        for value in (0x40, 0x80):
            machine.on_hypercall(value)(lambda _vcpu: machine.quit())
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        for _ in range(3):
            machine.restore(snapshot)
            assert machine.vcpu.registers["ICC_PMR_EL1"] == 0x40
            machine.run(timeout=5)
            assert machine.vcpu.registers["ICC_PMR_EL1"] == 0x80


def test_the_encoding_is_its():
    assert by_name["ICC_PMR_EL1"].encoding == PMR
