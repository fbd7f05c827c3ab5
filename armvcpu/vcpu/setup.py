"""What EL2 traps of a vCPU, and who answers for the registers among it: the work of `Aarch64VCpu.setup`.

DDI 0487 D17.2: HCR_EL2, CNTHCTL_EL2, CPTR_EL2, MDCR_EL2, VMPIDR_EL2, VPIDR_EL2.
"""

from __future__ import annotations

from armvcpu.arch.controls import CNTHCTL_EL2, HCR_EL2
from armvcpu.arch.gic_registers import ICC_SGIR
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.exits import SendIPI

if TYPE_CHECKING:
    from armvcpu.vcpu.config import Aarch64VCpuSetupConfig
    from armvcpu.vcpu.interrupts import VCpuInterrupts
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CPTR_RES1 = 0x32FF  # DDI 0487 D17.2.31, bits that are RES1 without SVE


def set_up_traps(vcpu: Aarch64VCpu, config: Aarch64VCpuSetupConfig, interrupts: VCpuInterrupts) -> None:
    """Configure EL2 for a vCPU and fill its table of registers."""
    intercepts = not config.passthrough_interrupt
    registers = vcpu.system_registers
    offset = 0 if vcpu.vm is None else vcpu.vm.cntvoff_el2
    registers.vmpidr_el2 = 1 << 31 | vcpu.config.mpidr_el1
    registers.vpidr_el2 = vcpu.model.MIDR_EL1
    if vcpu.config.el == 1:
        registers.hcr_el2 |= HCR_EL2.of(  # VM is set already where set_ept_root came first
            RW=1, TSC=1, TWI=1, AMO=intercepts, IMO=intercepts, FMO=intercepts
        )
        registers.cnthctl_el2 = CNTHCTL_EL2.of(EL1PCTEN=1, EL1PCEN=1)
        registers.cptr_el2, registers.cntvoff_el2 = _CPTR_RES1, offset
    else:
        registers.mdcr_el2 = vcpu.model.PMCR_EL0 >> 11 & 0x1F  # HPMN is N: EL1 has all event counters (D17.3.17)
        _show_identity(vcpu)
    if vcpu.config.gicv3 and intercepts:
        interrupts.intercept(vcpu.sysregs, lambda value: vcpu.leave(_sgi(value)))
    vcpu.handlers.forwards_smc = config.forward_smc
    if intercepts:
        interrupts.add_timers(vcpu, passthrough=config.passthrough_timer, offset=offset)


def _show_identity(vcpu: Aarch64VCpu) -> None:
    """MPIDR_EL1 and MIDR_EL1 above EL1, where VMPIDR_EL2 and VPIDR_EL2 have no part in them (D17.2.98, D17.2.97)."""
    processor, registers = vcpu.processor, vcpu.system_registers
    for name, real, virtual in (
        ("MPIDR_EL1", 1 << 31 | vcpu.config.mpidr_el1, "VMPIDR_EL2"),
        ("MIDR_EL1", vcpu.model.MIDR_EL1, "VPIDR_EL2"),
    ):
        shown = by_name[virtual].encoding

        def read(real: int = real, shown: int = shown) -> int:
            below = vcpu.has_state and processor.el < 2 and not processor.is_secure
            return registers.read(shown) if below else real

        vcpu.sysregs.add(by_name[name].encoding, read, None)


def _sgi(value: int) -> SendIPI:
    """A write of ICC_SGI1R_EL1 (IHI 0069 12.2.21): an exit, since the machine knows the other CPUs."""
    sgi = ICC_SGIR(value)
    affinity = sgi.Aff3 << 32 | sgi.Aff2 << 16 | sgi.Aff1 << 8
    return SendIPI(affinity, sgi.TargetList, bool(sgi.IRM), False, sgi.INTID)
