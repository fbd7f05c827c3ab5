"""HVC and SMC: a handler registered for the number in x0, else what the firmware services and their filter say.

DDI 0487 D17.2.37 (EC 0x16, 0x17), Arm DEN 0028 (SMCCC). The services themselves are `smc.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import no_number
from armvcpu.vcpu.exits import Hypercall
from armvcpu.vcpu.smc_filter import CallAction
from armvcpu.vcpu.traps.guest import PASS_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.vcpu.traps.guest import TrappedVCpu

    Handler = Callable[[Any], int | None]

_IDENTITY = 0xFFFE_FFFF
"""Of x0: W0 without the hint in bit 16 (DEN 0028 2.5)."""
_W0, _FAST = 0xFFFF_FFFF, 1 << 31
_ANSWER, _EXIT, _REFUSE = CallAction.ANSWER, CallAction.EXIT, CallAction.REFUSE


class CallTraps:
    """Answers the calls of one vCPU."""

    def __init__(self, vcpu: TrappedVCpu) -> None:
        self._vcpu, self._listeners = vcpu, vcpu.listeners
        self._hypercalls, self._smcs = vcpu.handlers.hypercalls.by_number, vcpu.handlers.smc.by_number

    def hvc(self, esr: int, _far: int) -> None:
        """HVC: PC is already behind it. What nobody claims is the Hypercall exit."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        number = frame[0]
        handler = self._hypercalls.get(number)
        if handler is not None and self._listeners.observer is None:
            # As `_answer`, without a call: this is the shortest way that a guest has to Python
            value = handler(vcpu)
            if value is None:
                return
            try:
                frame[0] = value  # a mask for every value would take a tenth of the whole call
            except ValueError:  # negative, or longer than 64 bits
                frame[0] = value & 0xFFFF_FFFF_FFFF_FFFF
            except TypeError:
                if value is PASS_ON:
                    self._unclaimed_hvc(esr)
                    return
                raise no_number(f"the handler of HVC {number:#x}", value, handler) from None
            return
        if handler is None and number & _FAST:
            handler = _by_identity(self._hypercalls, number)
        if handler is not None and self._answer("hvc", handler):
            return
        self._unclaimed_hvc(esr)

    def _unclaimed_hvc(self, esr: int) -> None:
        """HVC that no handler has answered."""
        action = self._vcpu.services.action(self._vcpu.state.frame[0] & _IDENTITY)
        if action is _ANSWER:
            self._serve("hvc")
        elif action is _REFUSE:
            self._answer("hvc", _not_supported)
        else:
            self._leave("hvc", esr)

    def heard_hvc(self, _esr: int) -> bool:
        """HVC to the guest's own EL2, PC behind it: has a handler of the user's answered it?"""
        number = self._vcpu.state.frame[0]
        handler = self._hypercalls.get(number)
        if handler is None and number & _FAST:
            handler = _by_identity(self._hypercalls, number)
        return handler is not None and self._answer("hvc", handler)

    def heard_smc(self, _esr: int) -> bool:
        """SMC to the guest's own EL3, PC behind it: likewise."""
        handler = self._smc_handler(self._vcpu.state.frame[0])
        return handler is not None and self._answer("smc", handler)

    def _smc_handler(self, number: int) -> Handler | None:
        handler = self._smcs.get(number & _W0)
        return _by_identity(self._smcs, number) if handler is None and number & _FAST else handler

    def smc(self, esr: int, _far: int) -> None:
        """SMC, trapped by HCR_EL2.TSC with PC on it."""
        self._vcpu.state.set_pc(self._vcpu.state.pc + 4)
        self.smc_above(esr)

    def smc_above(self, esr: int) -> None:
        """SMC with PC behind it. What nobody claims is NOT_SUPPORTED (DEN 0028 5.1), or forwarded as an exit."""
        vcpu = self._vcpu
        number = vcpu.state.frame[0]
        handler = self._smc_handler(number)
        if handler is not None and self._answer("smc", handler):
            return
        action = vcpu.services.action(number & _IDENTITY)
        if action is _ANSWER:
            self._serve("smc")
        elif action is _EXIT or (action is None and vcpu.handlers.forwards_smc):
            self._leave("smc", esr)
        else:
            vcpu.refused_smc = (number, vcpu.state.pc)
            self._answer("smc", _not_supported)

    def _leave(self, conduit: str, esr: int) -> None:
        """The Hypercall exit."""
        frame = self._vcpu.state.frame
        args = frame[1], frame[2], frame[3], frame[4], frame[5], frame[6]
        self._vcpu.leave(Hypercall(frame[0], args, esr & 0xFFFF, conduit))

    def _answer(self, conduit: str, handler: Handler) -> bool:
        """Has a handler answered? Who observes hears of the call as it was, whatever the handler does to registers."""
        vcpu, observer = self._vcpu, self._listeners.observer
        number = vcpu.state.frame[0]
        args: Sequence[int] = () if observer is None else vcpu.state.frame[1:7].tolist()
        value = handler(vcpu)
        if value is PASS_ON:
            return False
        if observer is not None:
            observer.call(vcpu.vcpu_id, vcpu.state, conduit, number, args, value)
        if value is not None:
            try:
                vcpu.state.set_gpr(0, value)
            except TypeError:
                raise no_number(f"the handler of {conduit.upper()} {number:#x}", value, handler) from None
        return True

    def _serve(self, conduit: str) -> None:
        """Let the firmware services answer the call in x0."""
        vcpu, observer = self._vcpu, self._listeners.observer
        number, args = vcpu.state.frame[0], vcpu.state.frame[1:18].tolist()
        result = vcpu.services.call(number & _IDENTITY, args)
        if observer is not None:
            observer.call(vcpu.vcpu_id, vcpu.state, conduit, number, args[:6], result)
        if isinstance(result, tuple):
            for index, value in enumerate(result):
                vcpu.state.set_gpr(index, value)
        else:
            vcpu.state.set_gpr(0, 0)  # SUCCESS, unless whoever acts on the exit finds otherwise
            vcpu.leave(result)


def _by_identity(handlers: dict[int, Handler], number: int) -> Handler | None:
    """The handler of a fast call by its identifier, which is in W0, with or without the hint (DEN 0028 2.5)."""
    return handlers.get(number & _W0) or handlers.get(number & _IDENTITY)


def _not_supported(_vcpu: object) -> int:
    return -1
