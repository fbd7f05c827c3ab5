"""What tests of the command line have in common."""

from __future__ import annotations

import pytest
from terminal import Terminal


@pytest.fixture
def terminal():
    """Start programs in terminals; ends them all."""
    opened: list[Terminal] = []

    def terminal(*command: object) -> Terminal:
        opened.append(Terminal(*map(str, command)))
        return opened[-1]

    yield terminal
    for each in opened:
        each.close()
