"""HVC and SMC: a handler registered for the number in x0, else a firmware service, else what the conduit says.

DDI 0487 D17.2.37 (EC 0x16, 0x17), Arm DEN 0028 (SMCCC). The services themselves are `smc.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import no_number
from armvcpu.vcpu.exits import Hypercall

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class CallTraps:
    """Answers the calls of one vCPU."""

    def __init__(self, vcpu: Aarch64VCpu) -> None:
        self._vcpu = vcpu
        self._hypercalls = vcpu.handlers.hypercalls

    def hvc(self, _esr: int, _far: int) -> None:
        """HVC: PC is already behind it. A registered handler, a firmware service, or the Hypercall exit."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        handler = self._hypercalls.get(frame[0])
        if handler is not None:  # as `_answer`, without a call: this is the shortest way that a guest has to Python
            value = handler(vcpu)
            if vcpu.observer is not None:
                self._observe("hvc", value)
            if value is not None:
                try:
                    frame[0] = value & 0xFFFF_FFFF_FFFF_FFFF
                except TypeError:
                    raise no_number(f"the handler of HVC {frame[0]:#x}", value) from None
        elif not self._serve("hvc"):
            vcpu.exit(Hypercall(frame[0], (frame[1], frame[2], frame[3], frame[4], frame[5], frame[6])))

    def smc(self, _esr: int, _far: int) -> None:
        """SMC, trapped by HCR_EL2.TSC with PC on it. What nobody claims is NOT_SUPPORTED (DEN 0028 5.1)."""
        vcpu = self._vcpu
        vcpu.state.set_pc(vcpu.state.pc + 4)
        handler = vcpu.handlers.smc.get(vcpu.state.frame[0] & 0xFFFF_FFFF)
        if handler is not None:
            self._answer("smc", handler(vcpu))
        elif not self._serve("smc"):
            self._answer("smc", -1)

    def _answer(self, conduit: str, value: int | None) -> None:
        vcpu = self._vcpu
        if vcpu.observer is not None:
            self._observe(conduit, value)
        if value is not None:
            try:
                vcpu.state.set_gpr(0, value)
            except TypeError:
                raise no_number(f"the handler of {conduit.upper()} {vcpu.state.frame[0]:#x}", value) from None

    def _serve(self, conduit: str) -> bool:
        """Let the firmware services answer the call in x0; False where none claims it."""
        vcpu = self._vcpu
        frame = vcpu.state.frame
        function_id = frame[0] & 0xFFFE_FFFF  # W0 without the hint in bit 16 (DEN 0028 2.5)
        if not vcpu.services.supports(function_id):
            return False
        result = vcpu.services.call(function_id, frame[1:7].tolist())
        if vcpu.observer is not None:
            self._observe(conduit, result)
        if isinstance(result, tuple):
            for index, value in enumerate(result):
                vcpu.state.set_gpr(index, value)
        else:
            vcpu.state.set_gpr(0, 0)  # SUCCESS, unless whoever acts on the exit finds otherwise
            vcpu.exit(result)
        return True

    def _observe(self, conduit: str, result: object) -> None:
        vcpu = self._vcpu
        assert vcpu.observer is not None
        frame = vcpu.state.frame
        vcpu.observer.call(vcpu.vcpu_id, vcpu.state, conduit, frame[0], frame[1:7].tolist(), result)
