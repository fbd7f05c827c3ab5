"""What holds after every test."""

from __future__ import annotations

import threading

import pytest


@pytest.fixture(autouse=True)
def leaves_no_thread():
    """A thread that outlived its machine would be seen by the tests that follow, in the same process."""
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in threading.enumerate() if thread not in before}
    assert not {name for name in left if "armvcpu" in name} - {"armvcpu alarms"}  # which is the process's
