"""Work for the thread that runs a vCPU, from any thread: an injected interrupt, a timer whose time has come.

An engine belongs to the thread that runs it, and so does all that a trap handler may touch. So whoever comes from
another thread leaves what is to be done here, and kicks the vCPU: its run ends, and the thread that runs it does the
work before the guest goes on. On that thread itself, and while the vCPU is bound nowhere, it is done at once.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Mailbox:
    """That of one vCPU; `kick` ends its run, or the one that is about to begin, where there is one."""

    def __init__(self, kick: Callable[[], None]) -> None:
        self._kick = kick
        self.waiting: deque[Callable[[], object]] = deque()
        """What has not been done yet; looked at before each run."""
        self.owner: int | None = None
        """The thread that the vCPU's physical CPU belongs to; None while it is bound to none."""
        self._lock = threading.RLock()
        self._has_come = threading.Event()

    def claim(self) -> None:
        """The calling thread has the vCPU from now on: it binds it, or begins to run it."""
        with self._lock:
            self.owner = threading.get_ident()

    def release(self) -> None:
        """The vCPU is bound nowhere: what waits is done now, since it concerns no engine."""
        with self._lock:
            self.owner = None
            if self.waiting:
                self.collect()

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` done soon; at once where this thread may."""
        with self._lock:
            if self.owner is None or self.owner == threading.get_ident():
                work()
                return
            self.waiting.append(work)
            self._kick()
        self._has_come.set()

    def collect(self) -> None:
        """On the thread that has the vCPU: do what waits."""
        while self.waiting:
            self.waiting.popleft()()

    def wait(self, is_over: Callable[[], bool], timeout: float | None) -> bool:
        """Do what comes until `is_over`; False after `timeout` seconds without that."""
        end = None if timeout is None or timeout > threading.TIMEOUT_MAX else monotonic() + timeout
        while True:
            self._has_come.clear()
            self.collect()
            if is_over():
                return True
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                return False
            self._has_come.wait(left)
