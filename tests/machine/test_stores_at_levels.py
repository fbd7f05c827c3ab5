"""Stores of a guest that starts at EL2 or EL3, whose stage 2 is its own: as fast as at EL1, and code is heard of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path

DATA = 0x4020_0000
STORES = 4_000_000
SUBS_X1, BNE_BACK_2, BLR_X3 = 0xF100_0421, 0x54FF_FFC1, 0xD63F_0060  # subs x1, x1, #1; b.ne .-8; blr x3
MOVZ_X4, RET = 0xD280_0004, 0xD65F_03C0


def seconds_of_stores(tmp_path: Path, el: int) -> float:
    """CPU time of a loop of stores with the MMU off, the least of three."""
    image = tmp_path / f"stores{el}.bin"
    image.write_bytes(raw.image(raw.mov(1, STORES), raw.mov(2, DATA), raw.store(1, 2), SUBS_X1, BNE_BACK_2, raw.UDF))
    times = []
    for _ in range(3):
        with Machine(image, el=el) as machine:
            start = time.process_time()
            machine.run(timeout=60)
            times.append(time.process_time() - start)
            assert machine.vcpu.gpr(1) == 0
    return min(times)


@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("el", [2, 3])
def test_a_store_costs_what_it_costs_at_el1(tmp_path: Path, el: int) -> None:
    """With the MMU off every page could be executed; one that is not is not checked against translated code."""
    assert seconds_of_stores(tmp_path, el) < 2.5 * seconds_of_stores(tmp_path, 1)


@pytest.mark.parametrize("el", [1, 2, 3])
def test_code_that_is_written_again_is_what_runs(tmp_path: Path, el: int) -> None:
    """A page that has been written is executed, and written once more: by the mapping that it is executed by."""

    def write(value: int) -> list[int | list[int]]:
        return [raw.mov(1, RET << 32 | MOVZ_X4 | value << 5), raw.store(1, 3)]

    words = [raw.mov(3, DATA), *write(1), BLR_X3, raw.add(5, 4, 0), *write(2), BLR_X3, raw.add(6, 4, 0), raw.UDF]
    image = tmp_path / "again.bin"
    image.write_bytes(raw.image(*words))
    with Machine(image, el=el, clock="instructions") as machine:
        outcome = machine.run(timeout=20, max_instructions=100)
        assert outcome.ending in {Ending.CRASHED, Ending.LIMIT}
        assert (machine.vcpu.gpr(5), machine.vcpu.gpr(6)) == (1, 2)
