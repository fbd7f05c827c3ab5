"""Which of some files have been written: told by the host (inotify(7)), in a thread that sleeps until then.

Their directories are watched, since most editors write another file and give it the name.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_IN_CLOSE_WRITE, _IN_MOVED_TO = 0x8, 0x80
_IN_CLOEXEC, _IN_NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_EVENT = struct.Struct("iIII")
"""struct inotify_event: wd, mask, cookie, len; then the name."""


class Changes:
    """`call` is called, in the thread, when there is one to `take`. On a host without inotify there never is."""

    def __init__(self, paths: Iterable[str], call: Callable[[], object]) -> None:
        self._call = call
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._files: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
        """The paths, as they were given, by the watch of their directory and their names."""
        self._inotify = -1
        libc = ctypes.CDLL(None, use_errno=True)
        with suppress(AttributeError):  # of another system's C library
            self._inotify = libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
        self._end_read, self._end_write = os.pipe()
        self._thread = threading.Thread(target=self._wait, name="armvcpu-scripts", daemon=True)
        if self._inotify >= 0:
            for path in paths:
                directory, name = os.path.split(os.path.abspath(path))
                mask = _IN_CLOSE_WRITE | _IN_MOVED_TO
                watch = libc.inotify_add_watch(self._inotify, os.fsencode(directory), mask)
                self._files[watch, name].add(path)
            self._thread.start()

    def take(self) -> set[str]:
        """Those that have been written since the last time."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def close(self) -> None:
        """Watch no more."""
        if self._inotify >= 0:
            os.write(self._end_write, b"\0")
            self._thread.join()
            os.close(self._inotify)
        os.close(self._end_read)
        os.close(self._end_write)

    def _wait(self) -> None:
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they belong to the main thread
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._end_read, select.POLLIN)
        while True:
            if self._end_read in {fd for fd, _ in poll.poll()}:
                return
            changed = {path for each in self._events() for path in self._files.get(each, ())}
            if changed:
                with self._lock:
                    self._changed |= changed
                self._call()

    def _events(self) -> list[tuple[int, str]]:
        data, at = os.read(self._inotify, 1 << 16), 0
        found = []
        while at < len(data):
            watch, _mask, _cookie, size = _EVENT.unpack_from(data, at)
            name = data[at + _EVENT.size : at + _EVENT.size + size].rstrip(b"\0")
            found.append((watch, os.fsdecode(name)))
            at += _EVENT.size + size
        return found
