"""Call stacks of the guest by its time: taken at moments, as addresses; names come later (`names.py`).

At each moment the CPU that has the engine is looked at: its level, its PC, and the chain of frame records from x29 up
(Procedure Call Standard for AArch64, IHI 0055, "The Frame Pointer"). What the guest has had since the last moment is
that stack's; waiting is not among it.

By the instruction clock a moment is a count, and the sample is made before the block of code in which the count falls:
each block comes up as often as its instructions are, with the registers that it begins with, and the run is what it is
without. By the host's clock the engine is stopped, before the next block: a sample may be as much later as the longest
block takes. What Python does in a trap, as a device or a handler, is the time of the guest's code that has caused it.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.debug.profile.linux_frames import user_registers
from armvcpu.engine.state import FRAME_PC
from armvcpu.machine.board.clock import NS_PER_INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from armvcpu.engine.state import CpuState
    from armvcpu.machine.parts import Parts

    Segment: TypeAlias = tuple[int, ...]
    """Of one level: `level_of`, PC, x30, then the return addresses, innermost first."""
    Stack: TypeAlias = tuple[int, Segment] | tuple[int, Segment, Segment]
    """A CPU, the segment that it is in, and that of the program which has called its kernel."""

SECURE = 8
"""In a segment's level: the Secure one, EL0 to EL2."""
MOST_STACKS = 1 << 18
"""Different ones that are kept; those that come later count as their CPU's and level's only."""


class Sampler:
    """The samples of one machine, one every `interval` microseconds of the guest's time while it runs."""

    def __init__(self, parts: Parts, interval: int) -> None:
        self._engine, self._turns = parts.engine, parts.turns
        self._frames = parts.engine.samples.frames
        self._busy = _busy_time(parts)
        self._repeats = parts.clock.repeats
        self._has_el3 = parts.config.el == 3
        self._interval = interval
        self.stacks: dict[Stack, int] = {}
        """What each has of the guest's time, ns."""
        self.counts: dict[Stack, int] = {}
        """How many samples."""
        self.lost = 0
        """Samples of stacks that are too many to be kept."""
        self._last = 0

    def begin(self) -> None:
        """From now on."""
        ns = self._interval * 1000
        self._last = self._busy()
        if self._repeats:
            self._engine.samples.begin(self.take, instructions=max(1, ns // NS_PER_INSTRUCTION))
        else:
            self._engine.samples.begin(self.take, ns=ns)

    def end(self) -> None:
        """No more; what has passed since the last sample is where the guest is now."""
        self._engine.samples.end()
        if self._turns.cpu.is_bound:
            self.take()

    def take(self) -> None:
        """Look at the guest."""
        now = self._busy()
        passed = max(0, now - self._last)  # a snapshot may have taken it back
        self._last = now
        cpu = self._turns.cpu
        stack = self._stack(cpu.index, cpu.vcpu.state)
        if stack not in self.stacks and len(self.stacks) >= MOST_STACKS:
            self.lost += 1
            stack = (stack[0], (stack[1][0],))
        self.stacks[stack] = self.stacks.get(stack, 0) + passed
        self.counts[stack] = self.counts.get(stack, 0) + 1

    def _stack(self, cpu: int, state: CpuState) -> Stack:
        frame, el = state.frame, state.el
        level = el | SECURE if self._has_el3 and el < 3 and not state.scr_el3 & 1 else el
        returns, last = self._frames(frame[29])
        inner = (level, frame[FRAME_PC], frame[30], *returns)
        if not last or not el:
            return cpu, inner
        caller = user_registers(last, self._engine.memory.read_virtual)
        if caller is None:
            return cpu, inner
        returns, _ = self._frames(caller.x29)
        return cpu, inner, (level & SECURE, caller.pc, caller.x30, *returns)


def _busy_time(parts: Parts) -> Callable[[], int]:
    """What tells the time in ns without that of waiting, and by the host's clock without that between runs."""
    clock, samples = parts.clock, parts.engine.samples
    return (lambda: clock.ns() - clock.idle_ns) if clock.repeats else (lambda: samples.run_ns)
