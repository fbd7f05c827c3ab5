"""Engines for tests: a bench for each, a bare one for each file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bare import BareEngine

from armvcpu.engine.selftest_bench import Bench
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[Bench]:
    """RAM and small programs on an engine; see `armvcpu/engine/selftest_bench.py`."""
    engine = UnicornEngine()
    yield Bench(engine)
    engine.close()


@pytest.fixture(scope="module")
def bare() -> Iterator[BareEngine]:
    """An engine beside which no hypervisor stands; see `bare.py`."""
    machine = BareEngine()
    yield machine
    machine.close()
