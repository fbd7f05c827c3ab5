"""Is this a root that a CPU can translate by? What `set_ept_root` asks before it changes anything.

DDI 0487 D17.2.139 (VTCR_EL2), D17.2.140 (VTTBR_EL2), D8.2 (concatenated tables). 4 KiB granule, no FEAT_LPA2.
"""

from __future__ import annotations

from armvcpu.arch.stage2 import PAGE_SIZE, PS_BY_PA_BITS, SL0_BY_START_LEVEL, VTCR_EL2, Stage2Geometry
from armvcpu.errors import UsageError

VMID_BITS, VMID_SHIFT = 8, 48
"""Of VTTBR_EL2.VMID with VTCR_EL2.VS = 0."""
ENGINE_PA_BITS = 44
"""Physical address size of the engine's CPU (ID_AA64MMFR0_EL1.PARange)."""
_LEVELS = {sl0: 4 - level for level, sl0 in SL0_BY_START_LEVEL.items()}
_PA_BITS = {ps: bits for bits, ps in PS_BY_PA_BITS.items()}
_VS = 1 << 19


def vttbr_el2(root: int, vtcr: int, vmid: int) -> int:
    """VTTBR_EL2 of a root table at physical address `root` for the VM `vmid`, as `vtcr` describes the tables.

    Raises:
        UsageError: VTCR_EL2 says what no walk can do, the root is not aligned or is no physical address, or the VMID
            does not fit.
    """
    geometry, pa_bits = _geometry(vtcr)
    size = geometry.root_tables * PAGE_SIZE
    if root % size or not 0 <= root < 1 << min(pa_bits, ENGINE_PA_BITS):
        raise UsageError(
            f"stage 2 root {root:#x} is no address of {geometry.root_tables} tables: a multiple of {size:#x}"
            f" below 2^{min(pa_bits, ENGINE_PA_BITS)}"
        )
    if not 0 <= vmid < 1 << VMID_BITS:
        raise UsageError(f"VMID {vmid:#x} does not fit VTTBR_EL2's {VMID_BITS} bits")
    return vmid << VMID_SHIFT | root


def _geometry(vtcr: int) -> tuple[Stage2Geometry, int]:
    """The tables' shape, and how many physical address bits VTCR_EL2.PS gives."""
    value = VTCR_EL2(vtcr)
    levels, pa_bits = _LEVELS.get(value.SL0), _PA_BITS.get(value.PS)
    if not 0 <= vtcr < 1 << 32 or not value.RES1 or value.TG0 or vtcr & _VS or levels is None or pa_bits is None:
        raise UsageError(
            f"VTCR_EL2 {vtcr:#x} is none of 4 KiB tables: RES1 (31) 1, VS and TG0 0, SL0 1 or 2, PS at most 5"
        )
    try:
        geometry = Stage2Geometry(levels, 64 - value.T0SZ)
        geometry.vtcr_el2(pa_bits)
    except UsageError as error:
        raise UsageError(f"VTCR_EL2 {vtcr:#x}: {error}") from None
    return geometry, pa_bits
