"""The thread that ends runs: in time, once, and again where it was not heard."""

from __future__ import annotations

import threading
import time

from armvcpu.machine import wake
from armvcpu.machine.wake import Waker

LONG = 60_000_000_000


class Listener:
    """Hears only what is said for the fourth time."""

    def __init__(self):
        self.said = []
        self._spoken = threading.Condition()

    def attend(self):
        self._say("attend")

    def insist(self):
        self._say("insist")
        return len(self.said) < 4

    def _say(self, word):
        with self._spoken:
            self.said.append(word)
            self._spoken.notify()

    def wait_for(self, words):
        with self._spoken:
            assert self._spoken.wait_for(lambda: len(self.said) >= words, 10)


def test_it_insists_until_it_is_heard():
    """And then sleeps: nothing is polled."""
    listener = Listener()
    with Waker(listener.attend, listener.insist) as waker:
        waker.set_deadline(time.monotonic_ns())
        listener.wait_for(4)
        time.sleep(5 * wake.AGAIN_NS / 1e9)
    assert listener.said == ["attend", "insist", "insist", "insist"]


def test_an_earlier_deadline_is_not_overslept():
    """Whatever the thread sleeps for: for ever, or for a later one."""
    listener = Listener()
    with Waker(listener.attend, listener.insist) as waker:
        waker.set_deadline(time.monotonic_ns() + 1_000_000)
        listener.wait_for(4)
        waker.set_deadline(time.monotonic_ns() + LONG)
        time.sleep(5 * wake.AGAIN_NS / 1e9)
        waker.set_deadline(time.monotonic_ns() + 1_000_000)
        listener.wait_for(5)
    assert listener.said[4] == "attend"
