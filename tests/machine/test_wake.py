"""The thread that ends runs: in time, and once."""

from __future__ import annotations

import threading
import time

from armvcpu.machine.running.wake import Waker

LONG = 60_000_000_000


class Listener:
    """Counts how often it is asked to attend."""

    def __init__(self):
        self.said = 0
        self._spoken = threading.Condition()

    def attend(self):
        with self._spoken:
            self.said += 1
            self._spoken.notify()

    def wait_for(self, times):
        with self._spoken:
            assert self._spoken.wait_for(lambda: self.said >= times, 10)


def test_a_deadline_is_told_once():
    """And then the thread sleeps: nothing is polled."""
    listener = Listener()
    with Waker(listener.attend) as waker:
        waker.set_deadline(time.monotonic_ns())
        listener.wait_for(1)
        time.sleep(0.005)
    assert listener.said == 1


def test_an_earlier_deadline_is_not_overslept():
    """Whatever the thread sleeps for: for ever, or for a later one."""
    listener = Listener()
    with Waker(listener.attend) as waker:
        waker.set_deadline(time.monotonic_ns() + 1_000_000)
        listener.wait_for(1)
        waker.set_deadline(time.monotonic_ns() + LONG)
        time.sleep(0.005)
        waker.set_deadline(time.monotonic_ns() + 1_000_000)
        listener.wait_for(2)
    assert listener.said == 2
