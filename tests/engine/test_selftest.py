"""The self-test passes here, finds each kind of broken engine, and is remembered once passed."""

from __future__ import annotations

import os

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.registers import by_name
from armvcpu.engine import selftest
from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest import CheckResult, require, run_selftest
from armvcpu.engine.selftest_checks import CHECKS
from armvcpu.engine.selftest_stamp import ensure_selftest, stamp_path
from armvcpu.engine.unicorn_engine import UnicornEngine
from armvcpu.errors import EngineUnsupported


class WrongSyndrome(UnicornEngine):
    def set_trap_handler(self, handler, on_entry=None):
        super().set_trap_handler(lambda target, esr, far: handler(target, esr & ~0x1F, far), on_entry)


class LosesWrites(UnicornEngine):
    """Some bits of a register are lost when the host writes it."""

    name, lost = "", 0

    def __init__(self):
        super().__init__()
        write = self.registers.write
        encoding = by_name[self.name].encoding
        self.registers.write = lambda e, value: write(e, value & ~self.lost if e == encoding else value)


class NoInterrupts(LosesWrites):
    name, lost = "HCR_EL2", HCR_EL2.VI.mask


class NoStage2(LosesWrites):
    name, lost = "HCR_EL2", HCR_EL2.VM.mask


class NoFloatingPoint(LosesWrites):
    name, lost = "CPACR_EL1", 3 << 20


class StaleCode(UnicornEngine):
    def __init__(self):
        super().__init__()
        self.code.invalidate = lambda *_: None


class ForgetfulLog(UnicornEngine):
    """A page is in the log once."""

    def __init__(self):
        super().__init__()
        take, seen = self.memory.take_dirty, []
        self.memory.take_dirty = lambda: bytes(8) if seen else (seen.append(1), take())[1]


class NoRows(UnicornEngine):
    def __init__(self):
        super().__init__()
        self.registers.use = lambda _rows: None


class NoLines(UnicornEngine):
    def set_lines(self, *, irq, fiq):
        pass


class NoYields(UnicornEngine):
    yields = property(lambda _self: False, lambda _self, _wanted: None)


class BlindDevices(UnicornEngine):
    def look(self):
        return False


class WrongVector(UnicornEngine):
    def take_exception(self, esr, far=0, *, serror=False):
        super().take_exception(esr, far)


class HearsNothing(UnicornEngine):
    """Asked to enter exceptions by itself, it goes on calling the handler."""

    def __init__(self):
        super().__init__()
        hear = self.listen.hear_exceptions
        self.listen.hear_exceptions = lambda classes: hear(classes or -1 % (1 << 64))


class LongSteps(UnicornEngine):
    def step(self):
        super().step()
        super().step()


class LeakyRegisters(UnicornEngine):
    def load(self, state):
        x0 = self.state.gpr(0)
        super().load(state)
        state.set_gpr(0, x0)


class UnsafeStops(UnicornEngine):
    """A stop repeats an instruction."""

    def run(self, limit=0):
        end = super().run(limit)
        if end is RunEnd.STOPPED:
            self.state.set_gpr(1, self.state.gpr(1) + 1)
        return end


class LooseLimits(UnicornEngine):
    def run(self, limit=0):
        return super().run(limit and limit + 1)


class LateStops(UnicornEngine):
    def stop_at(self, instructions):
        super().stop_at(None if instructions is None else instructions + 3)


class Removed:
    def remove(self):
        pass


class FixedHooks(UnicornEngine):
    def __init__(self):
        super().__init__()
        self.listen.probe = lambda *_: Removed()


class EndlessRuns(UnicornEngine):
    def set_trap_handler(self, handler, on_entry=None):
        super().set_trap_handler(lambda *_: None)


def failed(factory) -> list[str]:
    return [result.name for result in run_selftest(factory) if not result.passed]


def test_the_installed_engine_passes():
    """Every check passes, in the order of the table."""
    results = run_selftest()
    assert [(result.name, result.problem) for result in results] == [(check.name, "") for check in CHECKS]


@pytest.mark.parametrize(
    ("factory", "check"),
    [
        (WrongSyndrome, "syndrome"),
        (HearsNothing, "entry"),
        (WrongVector, "SError"),
        (NoRows, "registers"),
        (NoFloatingPoint, "floating point"),
        (NoLines, "IRQ line"),
        (NoInterrupts, "virtual IRQ"),
        (NoYields, "waits"),
        (NoStage2, "stage 2"),
        (BlindDevices, "devices"),
        (StaleCode, "host write"),
        (ForgetfulLog, "written pages"),
        (LongSteps, "single step"),
        (LeakyRegisters, "switch"),
        (UnsafeStops, "stop"),
        (LooseLimits, "counts"),
        (LateStops, "block counts"),
        (FixedHooks, "hooks"),
    ],
)
def test_a_broken_engine_fails_the_check_for_it(monkeypatch, factory, check):
    """Each check can fail."""
    monkeypatch.setattr(selftest, "PATIENCE", 0.2)
    assert check in failed(factory)


def test_an_engine_that_never_stops_does_not_hang_the_self_test(monkeypatch):
    """A guest that runs on is stopped, and its check has failed."""
    monkeypatch.setattr(selftest, "PATIENCE", 0.02)
    assert "syndrome" in failed(EndlessRuns)


def test_failure_is_one_clear_sentence():
    """It names Unicorn, what does not hold, what was seen, and what to do."""
    with pytest.raises(
        EngineUnsupported, match=r"^the installed Unicorn fails .*: stops .*corrupt it \(x\); install .*$"
    ):
        require([CheckResult("a", 0.1), CheckResult("b", 0.1, "stops corrupt it (x)")])


def test_success_is_remembered(tmp_path, monkeypatch):
    """The second time only a file is looked for; another library's size or time would be another file."""
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path / "cache"))
    runs = []
    monkeypatch.setattr(selftest, "run_selftest", lambda: runs.append(1) or [])
    ensure_selftest()
    ensure_selftest()
    assert (len(runs), len(list((tmp_path / "cache").iterdir()))) == (1, 1)


def test_failure_is_not_remembered(tmp_path, monkeypatch):
    """It is raised each time."""
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path))
    monkeypatch.setattr(selftest, "run_selftest", lambda: [CheckResult("stop", 0.1, "bad")])
    for _ in range(2):
        with pytest.raises(EngineUnsupported):
            ensure_selftest()
    assert list(tmp_path.iterdir()) == []


def test_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    """The self-test then runs each time."""
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path / "file" / "cache"))
    runs = []
    monkeypatch.setattr(selftest, "run_selftest", lambda: runs.append(1) or [])
    ensure_selftest()
    ensure_selftest()
    assert len(runs) == 2


def test_stamp_tells_libraries_apart(tmp_path, monkeypatch):
    """By size and modification time."""
    monkeypatch.setenv("ARMVCPU_CACHE", str(tmp_path))
    library, names = tmp_path / "libunicorn", set()
    for size, mtime in ((1, 5), (2, 5), (2, 6)):
        library.write_bytes(bytes(size))
        os.utime(library, (mtime, mtime))
        names.add(stamp_path(library))
    assert len(names) == 3
    assert stamp_path(tmp_path / "missing") is None
