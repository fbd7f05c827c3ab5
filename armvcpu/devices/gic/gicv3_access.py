"""Who answers an access to ICC_*_EL1 where there is an EL2: IHI 0069 12.2, "Accessing" of each register.

    from EL1    ICH_HCR_EL2.TC, TALL0, TALL1, TDIR, Non-secure state    trapped to EL2
                HCR_EL2.FMO, IMO                                        ICV_*: the virtual interface; SGIs are trapped
    from EL1    SCR_EL3.FIQ, IRQ                                        trapped to EL3
    and EL2
    else                                                                the physical interface

Registers of Group 0 go by TALL0, FMO and FIQ, those of Group 1 by TALL1, IMO and IRQ; what both groups have in common
by TC, by FMO or IMO, and by FIQ with IRQ.
"""

from __future__ import annotations

from armvcpu.arch.controls import HCR_EL2, SCR_EL3
from armvcpu.arch.gic_icc import ENCODINGS
from armvcpu.arch.gic_ich import ICH_HCR
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.gic.gicv3_ich import IcvRegisters

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv3_icc import Rows
    from armvcpu.devices.gic.gicv3_virtual import VirtualInterface
    from armvcpu.devices.gic.processor import Processor

PHYSICAL, VIRTUAL, TRAPPED = range(3)


class Rule(Row):
    """What concerns an access: bits of ICH_HCR_EL2, of HCR_EL2, and of SCR_EL3, which must all be set there."""

    ich_hcr: int
    hcr: int
    scr: int


_FMO, _IMO, _FIQ, _IRQ = HCR_EL2.FMO.mask, HCR_EL2.IMO.mask, SCR_EL3.FIQ.mask, SCR_EL3.IRQ.mask
_GROUP0 = Rule(ICH_HCR.TALL0.mask, _FMO, _FIQ)
_GROUP1 = Rule(ICH_HCR.TALL1.mask, _IMO, _IRQ)
_COMMON = Rule(ICH_HCR.TC.mask, _FMO | _IMO, _FIQ | _IRQ)
_DIR = Rule(ICH_HCR.TC.mask | ICH_HCR.TDIR.mask, _FMO | _IMO, _FIQ | _IRQ)
RULES = {
    **dict.fromkeys(("IAR0", "EOIR0", "HPPIR0", "BPR0", "AP0R0", "IGRPEN0"), _GROUP0),
    **dict.fromkeys(("IAR1", "EOIR1", "HPPIR1", "BPR1", "AP1R0", "IGRPEN1"), _GROUP1),
    **dict.fromkeys(("PMR", "RPR", "CTLR", "SGI1R", "ASGI1R", "SGI0R"), _COMMON),
    "DIR": _DIR,
}
"""By ICC_<name>_EL1. Of ICC_SRE_EL1, which can't be changed, none is trapped."""


class GuardedRegisters:
    """ICC_*_EL1 of one CPU: those of its physical interface, or of its `virtual` one, or trapped."""

    def __init__(self, processor: Processor, virtual: VirtualInterface, *, has_el3: bool) -> None:
        self._processor, self._virtual, self._has_el3 = processor, virtual, has_el3

    def rows(self, physical: Rows) -> Rows:
        """The rows of the physical interface's registers, guarded."""
        icv = IcvRegisters(self._virtual, self._trap_sgi)
        virtual = {encoding: (read, write) for encoding, read, write in icv.rows()}
        for encoding, read, write in physical:
            rule = RULES.get(ENCODINGS.get(encoding, ""))
            if rule is None:
                yield encoding, read, write
            else:
                route = self._route_below_el3(rule) if self._has_el3 else self._route(rule)
                virtual_read, virtual_write = virtual[encoding]
                yield (
                    encoding,
                    read and virtual_read and _reader(route, read, virtual_read),
                    write and virtual_write and _writer(route, write, virtual_write),
                )

    def _trap_sgi(self, _value: int, _groups: int) -> None:
        self._processor.trap(2)

    def _route(self, rule: Rule) -> Callable[[], int]:
        """A call that says where an access under way goes: to PHYSICAL, to VIRTUAL, or TRAPPED."""
        processor, interface, ich_hcr, hcr = self._processor, self._virtual, rule.ich_hcr, rule.hcr

        def route() -> int:
            if processor.el != 1:
                return PHYSICAL
            if interface.hcr & ich_hcr and not processor.is_secure:
                processor.trap(2)
                return TRAPPED
            return VIRTUAL if processor.hcr_el2 & hcr else PHYSICAL

        return route

    def _route_below_el3(self, rule: Rule) -> Callable[[], int]:
        """The same, where there is an EL3."""
        processor, scr, route_by_el2 = self._processor, rule.scr, self._route(rule)

        def route() -> int:
            chosen = route_by_el2()
            if chosen == PHYSICAL and processor.scr_el3 & scr == scr and processor.el != 3:
                processor.trap(3)
                return TRAPPED
            return chosen

        return route


def _reader(route: Callable[[], int], physical: Callable[[], int], virtual: Callable[[], int]) -> Callable[[], int]:
    by_route = (physical, virtual, _nothing)

    def read() -> int:
        return by_route[route()]()

    return read


def _writer(
    route: Callable[[], int], physical: Callable[[int], None], virtual: Callable[[int], None]
) -> Callable[[int], None]:
    by_route = (physical, virtual, _ignore)

    def write(value: int) -> None:
        by_route[route()](value)

    return write


def _nothing() -> int:
    return 0


def _ignore(_value: int) -> None:
    """A trapped write."""
