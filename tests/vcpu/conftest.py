"""Fixtures of the vCPU layer's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unicorn_bench import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Closed after the test."""
    made = Machine()
    yield made
    made.close()
