"""Looking at the guest from time to time, and a tally of what Python is called for. Off, and free, until asked for."""

from __future__ import annotations

import ctypes as C

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native
from armvcpu.engine.api import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.handle import Handle

MOST_FRAMES = 128


class Samples:
    """Those of one engine."""

    def __init__(
        self, handle: Handle, forget_code: Callable[[], None], device_places: Callable[[], dict[int, int]]
    ) -> None:
        self._handle, self._forget_code, self._device_places = handle, forget_code, device_places
        self._handler: Callable[[], None] = _nobody
        self._frames = (C.c_uint64 * MOST_FRAMES)()
        self._last = C.c_uint64()
        self._frames_at, self._last_at = C.addressof(self._frames), C.addressof(self._last)
        self._words = (C.c_int64 * native.TALLY_WORDS)()
        self.on_sample = native.SAMPLE(self._sampled)

    def begin(self, handler: Callable[[], None], *, instructions: int = 0, ns: int = 0) -> None:
        """Call `handler` at every so many instructions, which must be counted, or ns of the host's clock, in runs.

        It sees the registers as they are before a block of code, may change nothing of the guest, and may leave. By
        instructions that is the block in which the moment falls, and the run is what it is without.
        """
        self._handler = handler
        self._handle.shim.sample(self._handle.engine, instructions, ns)
        self._forget_code()

    def end(self) -> None:
        """Call nobody any more."""
        self._handler = _nobody
        self._handle.shim.sample(self._handle.engine, 0, 0)
        self._forget_code()

    def frames(self, x29: int) -> tuple[Sequence[int], int]:
        """The return addresses of the chain of frame records from X29 up, and where a last one is that has none, or 0.

        At virtual addresses of the level that runs; in any handler as outside of a run.
        """
        count = self._handle.shim.frames(self._handle.engine, x29, self._frames_at, MOST_FRAMES, self._last_at)
        return self._frames[:count], self._last.value

    def tally(self, *, wanted: bool) -> None:
        """Count anew from now on how often Python is called and for how long; or no more."""
        words = (C.c_int64 * native.TALLY_WORDS)() if wanted else None
        self._handle.shim.tally(self._handle.engine, None if words is None else C.addressof(words))
        self._words = self._words if words is None else words

    @property
    def tallied(self) -> Tally:
        """What has been counted since `tally`."""
        words = self._words[:]
        pairs = [(words[at], words[at + 1]) for at in range(0, native.TALLY_DEVICES, 2)]
        first = native.TALLY_TRAPS // 2
        traps = {ec: pair for ec, pair in enumerate(pairs[first : first + 64]) if pair[0]}
        exceptions = {ec: words[native.TALLY_EXCEPTIONS + ec] for ec in range(64)}
        runs, reads, writes, entered, code, samples, waits, accesses = pairs[: native.TALLY_INTERRUPTS // 2]
        return Tally(
            runs, reads, writes, entered, code, samples, waits, accesses, words[native.TALLY_INTERRUPTS], traps,
            {ec: count for ec, count in exceptions.items() if count}, self._devices(words),
        )  # fmt: skip

    def _devices(self, words: Sequence[int]) -> dict[int, tuple[int, int, int]]:
        found, last = {}, native.TALLIED_DEVICES - 1
        places = self._device_places()
        numbers = sorted(places, reverse=True)  # so that the first of those that share a place gives it its name
        told = {min(number, last): places[number] for number in numbers}
        for number, base in told.items():
            for part in range(native.PARTS):
                at = native.TALLY_DEVICES + 3 * (native.PARTS * number + part)
                loads, stores, ns = words[at : at + 3]
                if loads or stores:
                    found[base + (part << native.PART_BITS)] = loads, stores, ns
        return found

    @property
    def run_ns(self) -> int:
        """With a tally: ns of the host's clock that runs have taken since it began, without the samples."""
        return int(self._handle.shim.run_ns(self._handle.engine))

    def _sampled(self) -> None:
        try:
            self._handler()
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)


def _nobody() -> None:
    """One that was under way when it ended."""
