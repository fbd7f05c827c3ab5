"""The self-test passes here, finds each kind of broken engine, and is remembered once passed."""

from __future__ import annotations

import os

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.registers import by_name
from armvcpu.engine import selftest
from armvcpu.engine.selftest import CheckResult, require, run_selftest
from armvcpu.engine.selftest_checks import CHECKS
from armvcpu.engine.selftest_stamp import ensure_selftest, stamp_path
from armvcpu.engine.unicorn_engine import UnicornEngine
from armvcpu.errors import EngineUnsupported


class WrongSyndrome(UnicornEngine):
    def set_trap_handler(self, handler):
        super().set_trap_handler(lambda target, esr, far: handler(target, esr & ~0x1F, far))


class NoInterrupts(UnicornEngine):
    lost = HCR_EL2.VI.mask

    def write_sysreg(self, encoding, value):
        is_hcr = encoding == by_name["HCR_EL2"].encoding
        super().write_sysreg(encoding, value & ~self.lost if is_hcr else value)


class NoStage2(NoInterrupts):
    lost = HCR_EL2.VM.mask


class StaleCode(UnicornEngine):
    def invalidate_code(self):
        pass


class LongSteps(UnicornEngine):
    def step(self):
        super().step()
        super().step()


class LeakyInterrupts(UnicornEngine):
    def load(self, state):
        self.state = state
        self._lib.quick.uc_context_restore(self._handle, state.address)


class UnsafeStops(UnicornEngine):
    """Says that it is in the prompt mode and is not: asynchronous stops come after single accesses."""

    def __init__(self):
        super().__init__()
        self.set_counting(True)
        self.counting = False


class LooseLimits(UnicornEngine):
    def run(self, limit=0):
        return super().run(limit and limit + 1)


class LateStops(UnicornEngine):
    def stop_at(self, instructions):
        super().stop_at(None if instructions is None else instructions + 3)


class EndlessRuns(UnicornEngine):
    def set_trap_handler(self, handler):
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
        (NoInterrupts, "virtual IRQ"),
        (NoStage2, "stage 2"),
        (StaleCode, "host write"),
        (LongSteps, "single step"),
        (LeakyInterrupts, "switch"),
        (UnsafeStops, "stop"),
        (LooseLimits, "counts"),
        (LateStops, "block counts"),
    ],
)
def test_a_broken_engine_fails_the_check_for_it(factory, check):
    """Each check can fail."""
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
