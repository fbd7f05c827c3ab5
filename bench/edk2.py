"""EDK2 to its shell and off: CPU seconds, less those in which the firmware only waits for time to pass.

It waits by polling CNTVCT_EL0, which costs both sides the same seconds, less those in which a busy host lets them wait.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from armvcpu.testing.firmware.store import fetch, path
from bench.pairs import environment, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Pair

WAITS = 3.02
"""Seconds of them in Debian 12's EDK2 2022.11: what the instruction clock skips at reads of the counter."""
COUNTDOWN, SHELL, OFF = "any other key to continue", "Shell> ", "reset -s\r"


def edk2(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """One row."""
    fetch("edk2")
    code, variables = str(path("edk2", "AAVMF_CODE.fd")), path("edk2", "AAVMF_VARS.fd")
    with tempfile.TemporaryDirectory() as directory:
        own = Path(directory) / "vars.fd"
        shutil.copy(variables, own)
        ours = [armvcpu, "run", "--firmware", code, "--vars", str(own)]
        theirs = [*qemu, "-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
        theirs += ["-drive", f"if=pflash,format=raw,file={own}"]

        def work(command: list[str]) -> float:
            shutil.copy(variables, own)
            cpu, share = cost(command)
            return cpu - WAITS * share

        yield pair(f"EDK2 to its shell and off, CPU less {WAITS} s of waits", lambda: work(ours),
                   lambda: work(theirs), rounds, "s", 1.0)  # fmt: skip


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds of one run, and the share of the time that it had a CPU of that in which it wanted one."""
    child = pexpect.spawn(command[0], command[1:], env=environment(), timeout=120)
    share = 1.0
    for awaited, answer in ((COUNTDOWN, "\x1b"), (SHELL, OFF)):
        child.expect_exact(awaited)
        share = _share(child.pid)
        child.send(answer)
    child.expect(pexpect.EOF)
    _, _, usage = os.wait4(child.pid, 0)
    return usage.ru_utime + usage.ru_stime, share


def _share(pid: int) -> float:
    """Of all threads so far: nanoseconds on a CPU and on a run queue (Linux, Documentation/scheduler/sched-stats)."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    times = [[int(field) for field in file.read_text().split()] for file in files]
    ran, waited = (sum(time[index] for time in times) for index in range(2))
    return ran / (ran + waited)
