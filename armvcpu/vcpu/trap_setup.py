"""What EL2 traps of a vCPU, and who answers for the registers among it: the work of `Aarch64VCpu.setup`.

DDI 0487 D17.2: HCR_EL2, CNTHCTL_EL2, CPTR_EL2, MDCR_EL2, VMPIDR_EL2, VPIDR_EL2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.arch.controls import CNTHCTL_EL2, CPTR_EL2, HCR_EL2, MDCR_EL2
from armvcpu.arch.gic_registers import ICC_SGIR
from armvcpu.arch.registers import by_name
from armvcpu.vcpu.exits import SendIPI
from armvcpu.vcpu.icv import READERS, WRITERS, VirtualCpuInterface
from armvcpu.vcpu.pmu import COUNTERS
from armvcpu.vcpu.sysreg import CPACR_EL1, MPIDR_EL1
from armvcpu.vcpu.timer import PhysicalTimer

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CPTR_RES1 = 0x32FF  # DDI 0487 D17.2.31, bits that are RES1 without SVE
_CNTPCT = by_name["CNTPCT_EL0"].encoding


@dataclass(frozen=True, slots=True)
class Aarch64VCpuSetupConfig:
    """What the guest has to itself: interrupts (HCR_EL2.IMO clear), the physical timer (CNTHCTL_EL2)."""

    passthrough_interrupt: bool = False
    passthrough_timer: bool = True


def set_up_traps(vcpu: Aarch64VCpu, config: Aarch64VCpuSetupConfig) -> None:
    """Configure EL2 for a vCPU and fill its table of registers."""
    mpidr = 1 << 31 | vcpu.config.mpidr_el1
    registers = vcpu.system_registers
    registers.hcr_el2 |= HCR_EL2.of(  # VM is set already where set_ept_root came first
        RW=1, TPU=1, TSC=1, TID2=1, TID3=1, TWI=1, TWE=1, AMO=1,
        IMO=not config.passthrough_interrupt, FMO=not config.passthrough_interrupt,
    )  # fmt: skip
    registers.cnthctl_el2 = CNTHCTL_EL2.of(EL1PCTEN=config.passthrough_timer, EL1PCEN=config.passthrough_timer)
    registers.cptr_el2 = CPTR_EL2.of(TCPAC=1) | _CPTR_RES1
    registers.cntvoff_el2 = 0
    if vcpu.config.pmu:
        registers.mdcr_el2 = MDCR_EL2.of(HPMN=COUNTERS, TPM=1, TPMCR=1)
    registers.vmpidr_el2 = mpidr
    registers.vpidr_el2 = vcpu.model.MIDR_EL1
    table = vcpu.sysregs
    table.add(MPIDR_EL1, lambda: mpidr, None)
    table.add(
        CPACR_EL1,
        lambda: vcpu.engine.read_cpacr(),  # noqa: PLW0108  the engine it has then
        lambda value: vcpu.engine.write_cpacr(value),  # noqa: PLW0108
    )
    table.add_instruction_cache(lambda address: _invalidate_instruction_cache(vcpu, address))
    if vcpu.config.gicv3 and not config.passthrough_interrupt:
        vcpu.interrupts = VirtualCpuInterface(
            lambda level: vcpu.set_virtual_interrupts(irq=level), lambda value: vcpu.exit(_sgi(value))
        )
        table.add_interface(vcpu.interrupts, READERS, WRITERS)
    if not config.passthrough_timer:
        table.add_physical_timer(PhysicalTimer(lambda: vcpu.engine.read_sysreg(_CNTPCT)))


def _invalidate_instruction_cache(vcpu: Aarch64VCpu, address: int | None) -> None:
    """IC: a page that stage 2 has never let the guest execute holds no code to forget."""
    if address is not None and vcpu.uses_stage2:
        physical = vcpu.engine.translate(address)
        if physical is not None and not vcpu.may_execute(physical):
            return
    vcpu.engine.invalidate_instruction_cache(address)


def _sgi(value: int) -> SendIPI:
    """A write of ICC_SGI1R_EL1 (IHI 0069 12.2.21): an exit, since the machine knows the other CPUs."""
    sgi = ICC_SGIR(value)
    affinity = sgi.Aff3 << 32 | sgi.Aff2 << 16 | sgi.Aff1 << 8
    return SendIPI(affinity, sgi.TargetList, bool(sgi.IRM), False, sgi.INTID)
