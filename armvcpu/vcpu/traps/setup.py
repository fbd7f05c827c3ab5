"""What EL2 traps of a vCPU, and who answers for the registers among it: the work of `Aarch64VCpu.setup`.

DDI 0487 D17.2: HCR_EL2, CNTHCTL_EL2, CPTR_EL2, MDCR_EL2, VMPIDR_EL2, VPIDR_EL2.
"""

from __future__ import annotations

from armvcpu.arch.controls import CNTHCTL_EL2, HCR_EL2
from armvcpu.arch.gic_registers import ICC_SGIR
from armvcpu.arch.registers import by_name
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.exits import SendIPI
from armvcpu.vcpu.icv import VirtualCpuInterface
from armvcpu.vcpu.timer import PhysicalTimer

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CPTR_RES1 = 0x32FF  # DDI 0487 D17.2.31, bits that are RES1 without SVE
_CNTPCT = by_name["CNTPCT_EL0"].encoding


class Aarch64VCpuSetupConfig(Row):
    """What the guest has to itself: interrupts (HCR_EL2.IMO clear), the physical timer (CNTHCTL_EL2)."""

    passthrough_interrupt: bool = False
    passthrough_timer: bool = True


def set_up_traps(vcpu: Aarch64VCpu, config: Aarch64VCpuSetupConfig) -> None:
    """Configure EL2 for a vCPU and fill its table of registers."""
    intercepts = not config.passthrough_interrupt
    registers = vcpu.system_registers
    registers.hcr_el2 |= HCR_EL2.of(  # VM is set already where set_ept_root came first
        RW=1, TSC=1, TWI=1, AMO=intercepts, IMO=intercepts, FMO=intercepts
    )
    registers.cnthctl_el2 = CNTHCTL_EL2.of(EL1PCTEN=1, EL1PCEN=1)
    registers.cptr_el2 = _CPTR_RES1
    registers.cntvoff_el2 = 0
    registers.vmpidr_el2 = 1 << 31 | vcpu.config.mpidr_el1
    registers.vpidr_el2 = vcpu.model.MIDR_EL1
    table = vcpu.sysregs
    if vcpu.config.gicv3 and intercepts:
        vcpu.interrupts = VirtualCpuInterface(
            lambda level: vcpu.set_virtual_interrupts(irq=level), lambda value: vcpu.exit(_sgi(value))
        )
        table.add_all(vcpu.interrupts.registers())
    if not config.passthrough_timer:
        table.add_physical_timer(PhysicalTimer(lambda: vcpu.engine.registers.read(_CNTPCT)))


def _sgi(value: int) -> SendIPI:
    """A write of ICC_SGI1R_EL1 (IHI 0069 12.2.21): an exit, since the machine knows the other CPUs."""
    sgi = ICC_SGIR(value)
    affinity = sgi.Aff3 << 32 | sgi.Aff2 << 16 | sgi.Aff1 << 8
    return SendIPI(affinity, sgi.TargetList, bool(sgi.IRM), False, sgi.INTID)
