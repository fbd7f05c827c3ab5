"""The report of a run that ends at a limit: of the moment the run ended, and only where somebody reads it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from armvcpu import Machine
from armvcpu.machine.outcome import QUIT, Ending

LOOPS, HELLO, ECHO, CRASH = (f"guests/bin/{name}.elf" for name in ("loops", "hello", "echo", "crash"))


def stopped_at(report: str) -> str:
    """PC as a report has it."""
    return next(line.split()[1] for line in report.splitlines() if line.startswith("PC "))


@pytest.mark.parametrize("limit", [{"timeout": 0.05}, {"max_instructions": 30_000}], ids=["time-out", "limit"])
def test_a_limit_has_the_report_of_where_the_guest_is(limit):
    """As text and as data, with registers, the code around PC, and who called whom."""
    with Machine(LOOPS) as machine:
        outcome = machine.run(**limit)
        pc, frames = machine.vcpu.state.pc, machine.backtrace()
    report, details = outcome.report, outcome.details
    assert report.startswith("armvcpu: cpu0 stopped")
    assert outcome.reason in report.splitlines()[0]
    assert stopped_at(report) == f"{pc:#018x}"
    assert f"#{len(frames) - 1} {frames[-1].pc:#018x} _start" in report
    assert details is not None
    assert (details.as_dict()["pc"], details.as_dict()["reason"]) == (f"{pc:#x}", outcome.reason)
    assert f"=> {pc:#018x}" in report


def test_a_quit_has_one_where_the_guest_does_not_wait():
    """Who quits at a prompt knows where the guest is; who ends a run by a reason of their own, too."""
    with Machine(HELLO) as machine:
        machine.on_symbol("main")(lambda _vcpu: machine.quit())
        busy = machine.run(timeout=10)
    with Machine(HELLO) as machine:
        machine.on_symbol("main")(lambda _vcpu: machine.quit("seen enough"))
        own = machine.run(timeout=10)
    with Machine("guests/bin/wfi.elf") as machine:
        machine.interrupt(15)
        signalled = machine.run(timeout=10)
    assert (busy.reason, busy.ending) == (QUIT, Ending.POWERED_OFF)
    assert "backtrace #0" in busy.report
    assert "main" in busy.report
    assert (own.report, own.details, signalled.report) == ("", None, "")


def test_a_report_is_that_of_its_run(monkeypatch):
    """One that was read stays; one that was not says so, where the guest has gone on."""
    with Machine(LOOPS, clock="instructions") as machine:
        read = machine.run(max_instructions=1000)
        before = read.report
        unread = machine.run(max_instructions=1000)
        at = machine.vcpu.state.pc
        machine.run(max_instructions=1000)
        assert read.report == before
        assert f"was at {at:#x} in " in unread.report
        assert "before the next run" in unread.report
        assert unread.details is None
        snapshot = machine.snapshot()
        last = machine.run(max_instructions=1000)
        machine.restore(snapshot)
        assert "gone on since" in last.report
        kept = machine.run(max_instructions=1000)
    assert stopped_at(pickle.loads(pickle.dumps(kept)).report) == stopped_at(kept.report)


def test_nobody_pays_for_a_report_that_nobody_reads(monkeypatch):
    """Slices of a run make none, whether or not their outcome is kept until the next."""
    with Machine(LOOPS, clock="instructions") as machine:
        monkeypatch.setattr(Machine, "crash_report", lambda *_: pytest.fail("a report was made"))
        for _ in range(3):
            outcome = machine.run(max_instructions=1000)
        del outcome


def test_what_a_report_does_not_show_is_not_loaded():
    """No disassembler for a hang in some lines, no reader of DWARF for an image that has none: the end is prompt."""
    program = (
        "import sys; from armvcpu import Machine\n"
        f"with Machine({LOOPS!r}) as machine: print(machine.run(max_instructions=9).details.render_short())\n"
        "print(sorted({'capstone', 'elftools'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "backtrace #0" in done.stdout


def test_a_crash_keeps_its_report_whatever_comes():
    """It is made at once: the machine may return to another state."""
    with Machine(CRASH) as machine:
        start = machine.snapshot()
        outcome = machine.run(timeout=10)
        machine.restore(start)
        assert outcome.ending is Ending.CRASHED
        assert outcome.details is not None
        assert outcome.report == outcome.details.render()
