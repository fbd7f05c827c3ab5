"""Unicorn's own Performance Monitors, which no guest sees: nothing is counted at an exception (DDI 0487 D13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.engine.selftest_bench import ERET, VECTORS, Bench, svc

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCEPTIONS = 10


def states(bench: Bench) -> Iterator[bytes]:
    """The registers after some exceptions and returns, and after as many more."""
    bench.start(*[svc(1)] * 2 * EXCEPTIONS)
    bench.engine.listen.hear_exceptions(0)
    bench.put(VECTORS + 0x200, ERET)
    for _ in range(2):
        bench.run(limit=2 * EXCEPTIONS)
        yield bytes(bench.engine.state.raw)


def test_no_counter_is_brought_up_to_date(bench: Bench) -> None:
    """Each would take the host's clock into the registers: no two runs would leave the same."""
    assert list(states(bench)) == list(states(bench))
