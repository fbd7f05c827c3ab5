"""HVC and SMC: a handler registered for the number in x0, else what the firmware services and their filter say.

DDI 0487 D17.2.37 (EC 0x16, 0x17), Arm DEN 0028 (SMCCC). The services themselves are `smc.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import no_number
from armvcpu.vcpu.exits import Hypercall
from armvcpu.vcpu.smc_filter import CallAction

if TYPE_CHECKING:
    from armvcpu.vcpu.traps.guest import TrappedVCpu

_IDENTITY = 0xFFFE_FFFF
"""Of x0: W0 without the hint in bit 16 (DEN 0028 2.5)."""
_NOT_SUPPORTED = -1
_ANSWER, _EXIT, _REFUSE = CallAction.ANSWER, CallAction.EXIT, CallAction.REFUSE


class CallTraps:
    """Answers the calls of one vCPU."""

    def __init__(self, vcpu: TrappedVCpu) -> None:
        self._vcpu, self._listeners = vcpu, vcpu.listeners
        self._hypercalls = vcpu.handlers.hypercalls

    def hvc(self, esr: int, _far: int) -> None:
        """HVC: PC is already behind it. What nobody claims is the Hypercall exit."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        handler = self._hypercalls.get(frame[0])
        if handler is not None:  # as `_answer`, without a call: this is the shortest way that a guest has to Python
            value = handler(vcpu)
            if self._listeners.observer is not None:
                self._observe("hvc", value)
            if value is not None:
                try:
                    frame[0] = value & 0xFFFF_FFFF_FFFF_FFFF
                except TypeError:
                    raise no_number(f"the handler of HVC {frame[0]:#x}", value) from None
        else:
            action = vcpu.services.action(frame[0] & _IDENTITY)
            if action is _ANSWER:
                self._serve("hvc")
            elif action is _REFUSE:
                self._answer("hvc", _NOT_SUPPORTED)
            else:
                self._leave("hvc", esr)

    def smc(self, esr: int, _far: int) -> None:
        """SMC, trapped by HCR_EL2.TSC with PC on it.

        What nobody claims is NOT_SUPPORTED (DEN 0028 5.1), or forwarded as an exit.
        """
        vcpu = self._vcpu
        vcpu.state.set_pc(vcpu.state.pc + 4)
        handler = vcpu.handlers.smc.get(vcpu.state.frame[0] & 0xFFFF_FFFF)
        if handler is not None:
            self._answer("smc", handler(vcpu))
            return
        action = vcpu.services.action(vcpu.state.frame[0] & _IDENTITY)
        if action is _ANSWER:
            self._serve("smc")
        elif action is _EXIT or (action is None and vcpu.handlers.forwards_smc):
            self._leave("smc", esr)
        else:
            self._answer("smc", _NOT_SUPPORTED)

    def _leave(self, conduit: str, esr: int) -> None:
        """The Hypercall exit."""
        frame = self._vcpu.state.frame
        args = frame[1], frame[2], frame[3], frame[4], frame[5], frame[6]
        self._vcpu.leave(Hypercall(frame[0], args, esr & 0xFFFF, conduit))

    def _answer(self, conduit: str, value: int | None) -> None:
        vcpu = self._vcpu
        if self._listeners.observer is not None:
            self._observe(conduit, value)
        if value is not None:
            try:
                vcpu.state.set_gpr(0, value)
            except TypeError:
                raise no_number(f"the handler of {conduit.upper()} {vcpu.state.frame[0]:#x}", value) from None

    def _serve(self, conduit: str) -> None:
        """Let the firmware services answer the call in x0."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        result = vcpu.services.call(frame[0] & _IDENTITY, frame[1:18].tolist())
        if self._listeners.observer is not None:
            self._observe(conduit, result)
        if isinstance(result, tuple):
            for index, value in enumerate(result):
                vcpu.state.set_gpr(index, value)
        else:
            vcpu.state.set_gpr(0, 0)  # SUCCESS, unless whoever acts on the exit finds otherwise
            vcpu.leave(result)

    def _observe(self, conduit: str, result: object) -> None:
        vcpu = self._vcpu
        assert self._listeners.observer is not None
        frame = vcpu.state.frame
        self._listeners.observer.call(vcpu.vcpu_id, vcpu.state, conduit, frame[0], frame[1:7].tolist(), result)
