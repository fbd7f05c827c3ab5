"""Level-triggered interrupts of a vCPU whose virtual CPU interface knows only those that are injected.

A line that is high makes its interrupt pending; one that is still high when the guest has ended the interrupt makes it
pending again; one that falls takes back an interrupt that the guest has not acknowledged (IHI 0069 4.1, the states of
a level-sensitive interrupt).
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.vcpu.icv import VirtualCpuInterface


class InterruptLines:
    """The lines into one virtual CPU interface."""

    def __init__(self, interface: VirtualCpuInterface) -> None:
        self._interface = interface
        self._high: dict[int, int] = {}  # INTID to priority

    def set(self, intid: int, level: bool, priority: int) -> None:
        """The level of a line."""
        if level and intid not in self._high:
            self._interface.inject(intid, priority)
            self._high[intid] = priority
        elif not level and self._high.pop(intid, None) is not None:
            self._withdraw(intid)

    def ended(self, intid: int) -> None:
        """The guest has written ICC_EOIR1_EL1 or ICC_DIR_EL1."""
        if intid in self._high and not self._is_active(intid):
            self._interface.inject(intid, self._high[intid])

    def reset(self) -> None:
        """The interface has forgotten what was pending: a line that is high is pending again."""
        for intid, priority in self._high.items():
            self._interface.inject(intid, priority)

    def _is_active(self, intid: int) -> bool:
        return any(each["intid"] == intid and each["active"] for each in self._interface.state()["interrupts"])

    def _withdraw(self, intid: int) -> None:
        """Pending no more, by the interface's own way to take a state."""
        state = self._interface.state()
        kept = [each if each["intid"] != intid else each | {"pending": False} for each in state["interrupts"]]
        if kept != state["interrupts"]:
            self._interface.load_state(state | {"interrupts": kept})
