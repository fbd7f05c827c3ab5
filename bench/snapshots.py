"""What a test suite pays: a small guest from its creation to its end, a snapshot, and a return to it."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.machine.machine import Machine
from armvcpu.testing.target.target import Target
from bench.pairs import pair, run

if TYPE_CHECKING:
    from bench.rows import Pair

MIB = 1 << 20
GUESTS = 50


def small_guest_seconds(image: Path) -> float:
    """CPU seconds of one guest among many in this process."""
    start = time.process_time()
    for _ in range(GUESTS):
        with Machine(image) as machine:
            if machine.run(timeout=10).status:
                raise RuntimeError(f"{image} failed: {machine.console}")
    return (time.process_time() - start) / GUESTS


def suite_of_hundred(image: Path, armvcpu: str, rounds: int) -> Pair:
    """Wall seconds of `armvcpu test` with a hundred tests of one guest, beside the CPU seconds of a hundred guests."""
    tests = [f'[[test]]\nname = "{number}"\nimage = "{image}"\n' for number in range(100)]
    with tempfile.TemporaryDirectory() as directory:
        suite = Path(directory) / "hundred.toml"
        suite.write_text('[suite]\nname = "hundred"\n' + "".join(tests))
        return pair("a suite of 100 small guests, wall, beside the CPU time of its guests",
                    lambda: run([armvcpu, "test", str(suite)], "", "100 passed").wall,
                    lambda: 100 * small_guest_seconds(image), rounds, "s", 1.2, "armvcpu")  # fmt: skip


def snapshot_times(kernel: Path, initrd: Path, rounds: int) -> tuple[float, float]:
    """Seconds to take a snapshot at the shell, and to be back at it, the guest having worked meanwhile; medians."""
    options: dict[str, Any] = {
        "initrd": initrd,
        "append": "console=ttyAMA0 quiet",
        "memory": 512 * MIB,
        "record": False,
    }
    taken, restored = [], []
    with Target(kernel, **options) as target:
        target.expect_exact("armvcpu# ")
        for _ in range(rounds):
            start = time.perf_counter()
            snapshot = target.snapshot()
            taken.append(time.perf_counter() - start)
        for number in range(rounds + 1):  # the first return also gives back what the boot has touched
            target.ask("head -c 8000000 /dev/urandom > /tmp/data; md5sum /tmp/data", "armvcpu# ")
            start = time.perf_counter()
            target.restore(snapshot)
            if number:
                restored.append(time.perf_counter() - start)
    return statistics.median(taken), statistics.median(restored)
