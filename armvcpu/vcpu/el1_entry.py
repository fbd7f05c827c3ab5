"""EL1 entry: what the guest takes at its own EL1, which the engine leaves to us.

The rule is `entry.py`; here it meets a vCPU: its registers are read, the observer hears, and the engine writes all that
changes in one batch. A guest whose vector raises the very exception it is to handle is stopped.
DDI 0487 D1.3, J1.1.2 (AArch64.TakeException).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass as EC  # noqa: N817  the field's own name
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.vectors import VectorKind
from armvcpu.errors import GuestCrash
from armvcpu.vcpu.entry import entry_pstate, hits_own_vector, vector_address

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

UNDEFINED_ESR = int(EC.UNKNOWN) << 26 | 1 << 25
STORM_LIMIT = 64
"""So many exceptions in a row from inside the vector they go to: the guest can't get out of it."""

_HAS_FAR = frozenset(
    (
        EC.IABT_LOWER, EC.IABT_CURRENT, EC.PC_ALIGNMENT, EC.DABT_LOWER, EC.DABT_CURRENT, EC.WATCHPOINT_LOWER,
        EC.WATCHPOINT_CURRENT,
    )
)  # fmt: skip


class El1Entry:
    """Enters exceptions at one vCPU's EL1."""

    def __init__(self, vcpu: Aarch64VCpu) -> None:
        self._vcpu = vcpu
        self._storm = 0
        self._before_storm = (0, 0)

    def take_exception(self, esr: int, far: int) -> None:
        """Enter an exception at EL1: AArch64.TakeException with target EL1."""
        self._take(esr, far, VectorKind.SYNCHRONOUS)

    def take_serror(self, iss: int) -> None:
        """Enter an SError interrupt at EL1 (AArch64.TakePhysicalSErrorException); PSTATE.A is the caller's affair."""
        self._take(int(EC.SERROR) << 26 | 1 << 25 | iss & 0x1FF_FFFF, 0, VectorKind.SERROR)

    def take_undefined(self) -> None:
        """The instruction at PC is UNDEFINED for the guest."""
        self.take_exception(UNDEFINED_ESR, 0)

    def _take(self, esr: int, far: int, kind: VectorKind) -> None:
        vcpu = self._vcpu
        state = vcpu.state
        pstate, elr = state.pstate, state.pc
        vector = vector_address(state.vbar_el(1), pstate, 1, kind)
        has_far = esr >> 26 in _HAS_FAR
        if vcpu.observer is not None:
            vcpu.observer.exception(vcpu.vcpu_id, state, 1, esr, far if has_far else None, vector)
        self._watch_for_storm(elr, vector, esr)
        vcpu.last_exception = (esr, far if has_far else None, elr)
        vcpu.engine.enter_exception(
            1,
            elr=elr,
            spsr=pstate,
            esr=esr,
            far=far if has_far else None,
            pstate=entry_pstate(pstate, 1, state.sctlr_el(1), vcpu.features),
            pc=vector,
        )

    def _watch_for_storm(self, elr: int, vector: int, esr: int) -> None:
        if not hits_own_vector(elr, vector):
            self._storm = 0
            self._before_storm = (esr, elr)
            return
        self._storm += 1
        if self._storm >= STORM_LIMIT:
            self._storm = 0
            first_esr, first_elr = self._before_storm
            raise GuestCrash(
                f"endless exception loop: the vector at {vector:#x} raises the exception it is to handle; "
                f"it began at {first_elr:#x} with: {describe_esr(first_esr)}"
            )
