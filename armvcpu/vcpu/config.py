"""What a vCPU is made and set up with."""

from __future__ import annotations

from armvcpu.arch.psci import PSCI_VERSION_1_1
from armvcpu.arch.rows import Row
from armvcpu.arch.smccc import SMCCC_VERSION_1_2
from armvcpu.errors import UsageError, kind_in, number_in

AFFINITY_BITS = 0xFF_00FF_FFFF
"""MPIDR_EL1's Aff3, Aff2, Aff1 and Aff0."""
PSCI_VERSIONS = (0x0_0002, 0x1_0000, PSCI_VERSION_1_1)
SMCCC_VERSIONS = (0x1_0000, 0x1_0001, SMCCC_VERSION_1_2)


class Aarch64VCpuCreateConfig(Row):
    """What a vCPU is: its affinity (MPIDR_EL1, 64 bits), where its device tree lies, which CPU it shows.

    UsageError where a value can't be.
    """

    mpidr_el1: int = 0
    dtb_addr: int = 0
    cpu_model: str = "a72"
    el: int = 1
    """The highest Exception level that the guest has and starts at, 1 to 3; 3 has EL2 too."""
    gicv3: bool = True
    """Does the CPU have the GICv3 system register interface (ID_AA64PFR0_EL1.GIC)?"""
    pmu: bool = False
    """Does it have Performance Monitors (ID_AA64DFR0_EL1.PMUVer)? Whoever says so adds a `Pmu` to `sysregs`."""
    psci_version: int = PSCI_VERSION_1_1
    """As PSCI_VERSION answers it: 0x2, 0x10000 or 0x10001."""
    smccc_version: int = SMCCC_VERSION_1_2
    """As SMCCC_VERSION answers it: 0x10000 to 0x10002. With 1.0 there is no SMCCC_VERSION."""

    def __post_init__(self) -> None:
        if number_in("MPIDR_EL1", self.mpidr_el1, 64) & ~AFFINITY_BITS:
            raise UsageError(f"MPIDR_EL1 {self.mpidr_el1:#x} has bits besides its affinity, {AFFINITY_BITS:#x}")
        number_in("the address of the device tree", self.dtb_addr, 64)
        kind_in("cpu_model", self.cpu_model, str)
        if number_in("el", self.el, 8) not in (1, 2, 3):
            raise UsageError(f"el {self.el}: a guest starts at Exception level 1, 2 or 3")
        kind_in("gicv3", self.gicv3, bool)
        kind_in("pmu", self.pmu, bool)
        number_in("psci_version", self.psci_version, 32)
        number_in("smccc_version", self.smccc_version, 32)
        if self.psci_version not in PSCI_VERSIONS:
            raise UsageError(f"there is no PSCI {self.psci_version:#x}: {', '.join(map(hex, PSCI_VERSIONS))}")
        if self.smccc_version not in SMCCC_VERSIONS:
            raise UsageError(f"there is no SMCCC {self.smccc_version:#x}: {', '.join(map(hex, SMCCC_VERSIONS))}")


class Aarch64VCpuSetupConfig(Row):
    """What the guest has to itself."""

    passthrough_interrupt: bool = False
    """Interrupts are the host's (HCR_EL2.IMO clear), and so are the timers; else the vCPU has a virtual interface."""
    passthrough_timer: bool = False
    """The physical timer's interrupt is the host's, an ExternalInterrupt; else the vCPU's own, INTID 30."""
    forward_smc: bool = False
    """An SMC that nobody claims is a Hypercall exit; else it is NOT_SUPPORTED."""

    def __post_init__(self) -> None:
        kind_in("passthrough_interrupt", self.passthrough_interrupt, bool)
        kind_in("passthrough_timer", self.passthrough_timer, bool)
        kind_in("forward_smc", self.forward_smc, bool)
