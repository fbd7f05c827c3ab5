"""The guest's time while it stands still: by the host's clock it must not see that it did, as QEMU's guests don't."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.running.cpu import Cpu


LEAST_NS = 1_000_000
"""Where many steps are made one after the other, what lies between them is too short to be taken off."""


class Standing:
    """A context in which the counts of all CPUs stand; of a clock that counts instructions they do so by themselves."""

    def __init__(self, cpus: Sequence[Cpu], clock: Clock) -> None:
        self._cpus, self._clock = cpus, clock
        self._since = 0
        self.is_entered = False
        """Does the guest stand still?"""

    def __enter__(self) -> Standing:
        self.begin_anew()
        self.is_entered = True
        return self

    def interrupt(self) -> None:
        """The guest is about to execute something, and stands still again after that."""
        if self.is_entered and not self._clock.repeats and self._clock.ns() - self._since > LEAST_NS:
            self._take_off()

    def begin_anew(self) -> None:
        """The guest has been taken to a state whose time goes on from now."""
        self._since = self._clock.ns()

    def __exit__(self, *_: object) -> None:
        self.is_entered = False
        if not self._clock.repeats:
            self._take_off()

    def _take_off(self) -> None:
        stood = self._clock.ns() - self._since
        for cpu in self._cpus:
            cpu.time.stand(stood)
            if cpu.is_bound:
                cpu.go_on()
