"""ICC_*_EL1 and ICC_*_EL3 in a GICv3 with two Security states: what MRS and MSR do. IHI 0069 12.2.

Registers of Group 1 are banked: SCR_EL3.NS chooses the copy, at EL3 too. At EL3 all else is that of Secure state.
Where SCR_EL3.FIQ keeps Group 0 from Non-secure software, that sees the lower half of the priorities (4.8.6).
"""

from __future__ import annotations

from armvcpu.arch.controls import SCR_EL3
from armvcpu.arch.gic_cpu_interface import MAX_BPR
from armvcpu.arch.gic_icc import ENCODINGS, IccRegisters
from armvcpu.arch.gic_registers import ICC_CTLR, ICC_CTLR_EL3, SPURIOUS
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.gicv3_icc import CTLR_FIXED
from armvcpu.devices.gic.gicv3_ich import SRE_WITH_ENABLE
from armvcpu.devices.gic.security import NONSECURE_BIT, nonsecure_priority, physical_priority

if TYPE_CHECKING:
    from armvcpu.devices.gic.gicv3_icc import Rows
    from armvcpu.devices.gic.gicv3_secure_interface import ThreeGroupInterface
    from armvcpu.devices.gic.processor import Processor
    from armvcpu.devices.gic.security import Security

FOR_SECURE_EL1, FOR_NONSECURE = 1020, 1021
"""Special INTIDs, which EL3 reads of Group 0: one of Group 1 is pending, of this Security state (2.2)."""
_CTLR_EL3_FIXED = ICC_CTLR_EL3.of(PRIbits=4, A3V=1, RSS=1)
_INTID_MASK = 0xFF_FFFF
_FIQ, _IRQ = SCR_EL3.FIQ.mask, SCR_EL3.IRQ.mask


class SecureIccRegisters:
    """The registers of one interface: read_NAME for those that can be read, write_NAME for those that can be written.

    Who may access them at all has been looked at (`gicv3_access.py`).
    """

    def __init__(self, interface: ThreeGroupInterface, processor: Processor, security: Security) -> None:
        self._interface, self._processor, self._security = interface, processor, security

    def rows(self) -> Rows:
        """Each ICC_*_EL1's packed encoding, with who answers MRS and who MSR; None where it is UNDEFINED."""
        shared = IccRegisters(self._interface, _no_sgi, CTLR_FIXED)  # what is not banked is as ever
        for encoding, name in ENCODINGS.items():
            yield encoding, self._handler(shared, f"read_{name}"), self._handler(shared, f"write_{name}")

    def _handler(self, shared: IccRegisters, name: str) -> Any:
        return getattr(self, name, None) or getattr(shared, name, None)

    def el3_rows(self) -> Rows:
        """The same for ICC_*_EL3."""
        yield by_name["ICC_CTLR_EL3"].encoding, self.read_CTLR_EL3, self.write_CTLR_EL3
        yield by_name["ICC_SRE_EL3"].encoding, lambda: SRE_WITH_ENABLE, lambda _value: None
        yield by_name["ICC_IGRPEN1_EL3"].encoding, self.read_IGRPEN1_EL3, self.write_IGRPEN1_EL3

    # --- where the PE is

    def _is_nonsecure_bank(self) -> bool:
        return bool(self._processor.scr_el3 & 1)

    def _group1(self) -> int:
        """The number of the Group 1 whose registers are accessed."""
        return 1 if self._processor.scr_el3 & 1 else 2

    def _sees_secure(self) -> bool:
        return self._security.is_disabled or self._processor.is_secure

    def _sees_nonsecure_group1(self) -> bool:
        """Of EL1: Secure state doesn't, as its Group 1 is another one."""
        processor = self._processor
        return not processor.is_secure or processor.el == 3 or self._security.is_disabled

    def _has_nonsecure_priorities(self) -> bool:
        return bool(self._processor.scr_el3 & _FIQ) and not self._processor.is_secure

    # --- acknowledge and end, by group

    def read_HPPIR0(self) -> int:
        """The highest priority pending interrupt if it is of Group 0; of Group 1 EL3 learns for whom it is."""
        interface = self._interface
        if interface.hppi == SPURIOUS:
            return SPURIOUS
        if interface.hppi_group:
            if self._processor.el != 3:
                return SPURIOUS
            return FOR_SECURE_EL1 if interface.hppi_group == 2 else FOR_NONSECURE
        return interface.hppi if self._sees_secure() else SPURIOUS

    def read_HPPIR1(self) -> int:
        """The highest priority pending interrupt if it is of a Group 1 that this state has."""
        interface = self._interface
        group = interface.hppi_group
        if not group or not (self._sees_secure() if group == 2 else self._sees_nonsecure_group1()):
            return SPURIOUS
        return interface.hppi

    def read_IAR0(self) -> int:
        """Acknowledge what ICC_HPPIR0_EL1 shows, if it is signalled."""
        return self._acknowledge(self.read_HPPIR0())

    def read_IAR1(self) -> int:
        """Acknowledge what ICC_HPPIR1_EL1 shows, if it is signalled."""
        return self._acknowledge(self.read_HPPIR1())

    def _acknowledge(self, shown: int) -> int:
        interface = self._interface
        if not interface.signalled:
            return SPURIOUS
        return interface.acknowledge() if shown == interface.hppi else shown

    def write_EOIR0(self, value: int) -> None:
        """End an interrupt of Group 0."""
        if self._interface.active_group == 0 and self._sees_secure():
            self._interface.end_active(value & _INTID_MASK, self._is_split())

    def write_EOIR1(self, value: int) -> None:
        """End an interrupt of a Group 1 that this state has."""
        group = self._interface.active_group
        if group and (self._sees_secure() if group == 2 else self._sees_nonsecure_group1()):
            self._interface.end_active(value & _INTID_MASK, self._is_split())

    def _is_split(self) -> int:
        """EOImode, of which EL3 and each Security state have their own."""
        interface = self._interface
        if self._processor.el == 3:
            return interface.eoi_mode_el3
        return interface.eoi_mode if self._is_nonsecure_bank() else interface.eoi_mode_secure

    def write_DIR(self, value: int) -> None:
        """Deactivate an interrupt, with EOImode 1; one whose group is taken at a higher level is left alone."""
        intid = value & _INTID_MASK
        if self._is_split() and self._may_deactivate(intid):
            self._interface.deactivate_now(intid)

    def _may_deactivate(self, intid: int) -> bool:
        processor, is_single = self._processor, self._security.is_disabled
        if processor.el == 3:
            return True
        if intid >= self._interface.shared.intids.stop:
            return False
        group = self._interface.group_of(intid)
        if not group:
            return not processor.scr_el3 & _FIQ and (is_single or processor.is_secure)
        if processor.scr_el3 & _IRQ:
            return False
        return group == 1 or processor.is_secure

    # --- priorities

    def read_RPR(self) -> int:
        """The running priority."""
        return self._seen(self._interface.running_priority)

    def read_PMR(self) -> int:
        """The priority mask."""
        return self._seen(self._interface.pmr)

    def _seen(self, priority: int) -> int:
        if priority == 0xFF or not self._has_nonsecure_priorities():
            return priority
        return nonsecure_priority(priority)

    def write_PMR(self, value: int) -> None:
        """Set the priority mask; Non-secure software can't while it is in the Secure half."""
        interface = self._interface
        if self._has_nonsecure_priorities():
            if not interface.pmr & NONSECURE_BIT:
                return
            value = physical_priority(value & 0xFF)
        interface.set_pmr(value)

    def read_BPR1(self) -> int:
        """The binary point of this state's Group 1; with CBPR that of Group 0, one more in Non-secure state."""
        interface, below_el3 = self._interface, self._processor.el != 3
        if self._is_nonsecure_bank():
            if interface.cbpr and below_el3:
                return min(interface.bpr0 + 1, MAX_BPR)
            return interface.bpr1
        return interface.bpr0 if interface.cbpr_secure and below_el3 else interface.bpr1_secure

    def write_BPR1(self, value: int) -> None:
        """Set it; with CBPR Secure software sets that of Group 0, and Non-secure software none."""
        interface, below_el3 = self._interface, self._processor.el != 3
        if self._is_nonsecure_bank():
            if not (interface.cbpr and below_el3):
                interface.set_bpr(1, value)
        else:
            interface.set_bpr(0 if interface.cbpr_secure and below_el3 else 2, value)

    def read_AP1R0(self) -> int:
        """The active priorities of this state's Group 1."""
        return self._interface.apr(self._group1())

    def write_AP1R0(self, value: int) -> None:
        """Set them."""
        self._interface.set_apr(self._group1(), value)

    # --- control

    def read_CTLR(self) -> int:
        """This state's modes, and what is implemented."""
        interface = self._interface
        if self._is_nonsecure_bank():
            return int(CTLR_FIXED) | interface.cbpr | interface.eoi_mode << 1
        return int(CTLR_FIXED) | interface.cbpr_secure | interface.eoi_mode_secure << 1

    def write_CTLR(self, value: int) -> None:
        """Set this state's EOImode; CBPR is for EL3 to set, unless there is only one Security state."""
        interface, written = self._interface, ICC_CTLR(value)
        if self._is_nonsecure_bank():
            interface.eoi_mode = written.EOImode
            if self._security.is_disabled:
                interface.cbpr = written.CBPR
        else:
            interface.eoi_mode_secure = written.EOImode
            if self._security.is_disabled:
                interface.cbpr_secure = written.CBPR
        interface.settle()
        interface.update()

    def read_CTLR_EL3(self) -> int:
        """The modes of EL3 and of both states, and what is implemented."""
        interface = self._interface
        return int(
            _CTLR_EL3_FIXED.replace(
                CBPR_EL1S=interface.cbpr_secure,
                CBPR_EL1NS=interface.cbpr,
                EOImode_EL3=interface.eoi_mode_el3,
                EOImode_EL1S=interface.eoi_mode_secure,
                EOImode_EL1NS=interface.eoi_mode,
            )
        )

    def write_CTLR_EL3(self, value: int) -> None:
        """Set them."""
        interface, written = self._interface, ICC_CTLR_EL3(value)
        interface.cbpr_secure, interface.cbpr = written.CBPR_EL1S, written.CBPR_EL1NS
        interface.eoi_mode_el3 = written.EOImode_EL3
        interface.eoi_mode_secure, interface.eoi_mode = written.EOImode_EL1S, written.EOImode_EL1NS
        interface.settle()
        interface.update()

    def read_IGRPEN1(self) -> int:
        """Is this state's Group 1 enabled?"""
        return self._interface.enabled_groups >> self._group1() & 1

    def write_IGRPEN1(self, value: int) -> None:
        """Enable it."""
        self._interface.enable(self._group1(), value)

    def read_IGRPEN1_EL3(self) -> int:
        """EnableGrp1NS and EnableGrp1S."""
        return self._interface.enabled_groups >> 1

    def write_IGRPEN1_EL3(self, value: int) -> None:
        """Enable both, or one, or none."""
        self._interface.enable(1, value)
        self._interface.enable(2, value >> 1)

    # --- SGIs

    def write_SGI1R(self, value: int) -> None:
        """Send one that its targets have in this state's Group 1."""
        self._send(value, 2, 1)

    def write_ASGI1R(self, value: int) -> None:
        """Send one that its targets have in the other state's Group 1."""
        self._send(value, 1, 2)

    def write_SGI0R(self, value: int) -> None:
        """Send one that its targets have in Group 0."""
        self._send(value, 0, 0)

    def _send(self, value: int, secure: int, nonsecure: int) -> None:
        interface = self._interface
        if self._security.is_disabled:
            interface.send_sgi(value, 0b11 if secure == 2 else 0b01)  # ICC_SGI1R_EL1: whatever group, as ever
        elif self._processor.is_secure:
            interface.send_group(value, secure, nonsecure=False)
        else:
            interface.send_group(value, nonsecure, nonsecure=True)


def _no_sgi(_value: int, _groups: int) -> None:
    """SGIs are sent here."""
