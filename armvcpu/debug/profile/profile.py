"""A profile: the stacks of a machine's guest by its time, and a summary of what armvcpu has had to do.

with machine.profile() as profile:
    machine.run(timeout=10)
profile.write("boot.speedscope.json")
print(profile.summary())
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.profile.names import IDLE, Frame, Names
from armvcpu.debug.profile.sampler import Sampler
from armvcpu.debug.profile.summary import Summary, Times, summary_of
from armvcpu.debug.profile.write import write_profile
from armvcpu.errors import UsageError, number_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.run_loop import RunLoop

INTERVAL = 1000
"""Microseconds of the guest's time between two samples, unless another number is given."""
LONGEST_INTERVAL = 10**9


class Sample(NamedTuple):
    """A stack, outermost first: what of the guest's time it has had, and how often it was seen."""

    frames: tuple[Frame, ...]
    ns: int
    seen: int


class Profile:
    """What is known so far; complete once the `with` block is over."""

    def __init__(self, parts: Parts, loop: RunLoop, symbols: Symbols, interval: int) -> None:
        if not 0 < number_in("the interval of a profile", interval, 64) <= LONGEST_INTERVAL:
            raise UsageError(f"a profile has a sample every {interval} microseconds: give 1 to {LONGEST_INTERVAL}")
        self.interval = interval
        self._parts = parts
        self._sampler = Sampler(parts, interval)
        self._times = Times(parts, loop)
        self._names = Names(symbols)

    def begin(self) -> None:
        """From now on."""
        self._times.begin()
        self._sampler.begin()

    def end(self) -> None:
        """No more."""
        self._sampler.end()
        self._times.end()

    def samples(self) -> list[Sample]:
        """Every stack that was seen, as addresses with their names; that of all CPUs' waiting is one of its own."""
        names, sampler = self._names, self._sampler
        found: dict[tuple[Frame, ...], list[int]] = {}
        for stack, ns in sampler.stacks.items():
            sums = found.setdefault(names.stack(stack), [0, 0])
            sums[0] += ns
            sums[1] += sampler.counts[stack]
        samples = [Sample(frames, ns, count) for frames, (ns, count) in found.items()]
        if idle := self._times.idle_ns:
            samples.append(Sample((Frame(IDLE),), idle, 1))
        return samples

    def stacks(self) -> dict[tuple[str, ...], int]:
        """By the names of a stack's frames, outermost first, what it has had of the guest's time, in ns.

        The outermost is the CPU, then comes the Exception level, then its functions; for a program that has called its
        kernel, EL0 and its functions, then EL1 and the kernel's. Where all CPUs wait there is one frame.
        """
        found: dict[tuple[str, ...], int] = {}
        for sample in self.samples():
            names = tuple(frame.name for frame in sample.frames)
            found[names] = found.get(names, 0) + sample.ns
        return found

    def place(self, frame: Frame) -> tuple[str, int]:
        """The source file and line of a frame, as far as the image's DWARF has it; else empty and 0."""
        return self._names.place(frame.address)

    def summary(self) -> Summary:
        """Where the time went: the guest's code, waiting, Python; exits by kind, accesses by device."""
        return summary_of(self._times, self._parts)

    def write(self, path: PathLike) -> None:
        """Write it in the format that the file's name ends in: see `FORMATS` of `write.py`.

        Raises:
            UsageError: it ends otherwise, or the host can't write it.
        """
        write_profile(self, path)


@contextmanager
def profiling(parts: Parts, loop: RunLoop, symbols: Symbols, interval: int) -> Iterator[Profile]:
    """See `Machine.profile`."""
    profile = Profile(parts, loop, symbols, interval)
    profile.begin()
    try:
        yield profile
    finally:
        profile.end()
