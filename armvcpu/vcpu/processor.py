"""A vCPU as an interrupt controller and timers see it: its level, its Security state, what EL2 and EL3 have configured.

DDI 0487 D1.1 (Exception levels, Security states), D17.2.37 (EC 0x18: a trapped MSR or MRS).
"""

from __future__ import annotations

from armvcpu.arch.controls import HCR_EL2, SCR_EL3
from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.registers import access_from_instruction, iss_from_encoding
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.sysreg import SysRegIss

if TYPE_CHECKING:
    from armvcpu.vcpu.traps.guest import TrappedVCpu

_IRQ_FIQ = SCR_EL3.IRQ.mask | SCR_EL3.FIQ.mask
_IMO_FMO_TGE = HCR_EL2.IMO.mask | HCR_EL2.FMO.mask | HCR_EL2.TGE.mask
_NS, _E2H, _TGE = SCR_EL3.NS.mask, HCR_EL2.E2H.mask, HCR_EL2.TGE.mask
_TRAPPED = int(ESR.of(EC=ExceptionClass.MSR_MRS, IL=1))
_UNDEFINED = int(ESR.of(EC=ExceptionClass.UNKNOWN, IL=1))


class Processor:
    """That of one vCPU, which is there when it is asked, and loaded; `highest` is the guest's highest level."""

    _vcpu: TrappedVCpu

    def __init__(self, highest: int) -> None:
        self._highest = highest

    def attach(self, vcpu: TrappedVCpu) -> None:
        """Be this vCPU's."""
        self._vcpu = vcpu

    @property
    def el(self) -> int:
        """The Exception level that executes, 0 to 3."""
        return self._vcpu.state.el

    @property
    def is_secure(self) -> bool:
        """Is it in Secure state: at EL3, or below while SCR_EL3.NS is 0? False where there is no EL3."""
        state = self._vcpu.state
        return self._highest == 3 and (state.el == 3 or not state.scr_el3 & _NS)

    @property
    def hcr_el2(self) -> int:
        """HCR_EL2, 64 bits; 0 where there is no EL2 of the guest's, and while SCR_EL3.NS is 0."""
        state = self._vcpu.state
        return state.hcr_el2 if self._highest > 1 and state.scr_el3 & _NS else 0

    @property
    def scr_el3(self) -> int:
        """SCR_EL3, 64 bits; 0 where there is no EL3 of the guest's."""
        return self._vcpu.state.scr_el3 if self._highest == 3 else 0

    @property
    def is_host(self) -> bool:
        """Do names of EL1's registers and timers mean EL2's: at EL2 with E2H, and at EL0 with TGE too (D8.10)?"""
        hcr, el = self.hcr_el2, self._vcpu.state.el
        return bool(hcr & _E2H) and (el == 2 or (el == 0 and bool(hcr & _TGE)))

    @property
    def interrupt_level(self) -> int:
        """The highest level that physical IRQs or FIQs are routed to from below (D1.3.6): 1 where it is just EL1."""
        if self.scr_el3 & _IRQ_FIQ:
            return 3
        return 2 if self.hcr_el2 & _IMO_FMO_TGE else 1

    def trap(self, el: int) -> None:
        """The register access under way becomes an exception to this level, EC 0x18 with its ISS."""
        word = self._vcpu.fetch_word()
        access = None if word is None else access_from_instruction(word)
        if access is None:
            self.undefined()
            return
        iss = iss_from_encoding(access.encoding) | int(SysRegIss.of(Rt=access.Rt, Direction=access.is_read))
        self._vcpu.engine.take_exception(_TRAPPED | iss, el=el)

    def undefined(self) -> None:
        """It becomes an UNDEFINED exception, at the present level, from EL0 at that which has its exceptions."""
        self._vcpu.engine.take_exception(_UNDEFINED, el=self.home)

    @property
    def home(self) -> int:
        """Where synchronous exceptions of the present level go that no control routes elsewhere (D1.3.1)."""
        return self._vcpu.state.el or (2 if self.hcr_el2 & _TGE else 1)
