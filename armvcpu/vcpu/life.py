"""The life of a vCPU: which state it is in, and which step is allowed when.

    setup         bind          run
    CREATED -----> FREE <------> READY <---> RUNNING
                        unbind    ^
                                  | block, unblock
                                  v
                               BLOCKED

A part of its own, because it is the one thing that every operation of a vCPU asks first, and that changes nothing else.
"""

from __future__ import annotations

from enum import Enum

from armvcpu.errors import StateError


class VCpuState(Enum):
    """Where a vCPU is in its life cycle."""

    CREATED = "created"
    FREE = "free"
    READY = "ready"
    RUNNING = "running"
    BLOCKED = "blocked"


_CREATED, _FREE, _READY, _BLOCKED = VCpuState.CREATED, VCpuState.FREE, VCpuState.READY, VCpuState.BLOCKED

STEPS: dict[str, tuple[VCpuState, VCpuState]] = {
    "setup": (_CREATED, _FREE),
    "bind": (_FREE, _READY),
    "unbind": (_READY, _FREE),
    "block": (_READY, _BLOCKED),
    "unblock": (_BLOCKED, _READY),
    "run": (_READY, VCpuState.RUNNING),
    "step": (_READY, VCpuState.RUNNING),
    "reset": (_READY, _READY),
    "load_registers": (_FREE, _FREE),
    "take_serror": (_READY, _READY),
    "take_debug_exception": (_READY, _READY),
}
"""Each step: the one state that it is allowed in, and the state that it leads to."""


class LifeCycle:
    """The present state of one vCPU. A step that is not allowed raises StateError and changes nothing."""

    __slots__ = ("_vcpu_id", "state")

    def __init__(self, vcpu_id: int) -> None:
        self._vcpu_id, self.state = vcpu_id, VCpuState.CREATED

    def require(self, step: str) -> None:
        """StateError unless `step`, a row of STEPS, is allowed now."""
        wanted = STEPS[step][0]
        if self.state is not wanted:
            raise StateError(
                f"vCPU {self._vcpu_id}: {step} is not allowed while {self.state.value}, only while {wanted.value}"
            )

    def take(self, step: str) -> None:
        """Go where `step` leads; StateError where it is not allowed."""
        self.require(step)
        self.state = STEPS[step][1]

    def forbid_running(self, what: str) -> None:
        """StateError while the vCPU runs."""
        if self.state is VCpuState.RUNNING:
            raise StateError(f"vCPU {self._vcpu_id}: {what} is not allowed while running")
