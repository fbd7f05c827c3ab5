"""What to try where the guest's own translation tables are what refuses an access: DDI 0487 D8.2, D8.4 and D8.15."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.idfields import PA_RANGE_BITS
from armvcpu.machine.board.virt import RAM_BASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.case import Case
    from armvcpu.debug.surroundings import Descriptor

_SELECTS_TTBR1 = 1 << 55
_UXN, _PXN, _WXN, _PAN = 1 << 54, 1 << 53, 1 << 19, 1 << 22
_AP_EL0_TOO, _AP_READ_ONLY = 1, 2
_RIGHTS = (
    "EL1 may read and write, EL0 may nothing",
    "EL1 and EL0 may read and write",
    "EL1 may read, EL0 may nothing",
    "EL1 and EL0 may read",
)
"""By AP[2:1] (D8.4.1)."""


def translation_tables(case: Case) -> str:
    """The rule for a fault that a stage 1 walk gave; empty for any other."""
    status = case.status if case.status is not None else case.fetch_status
    if status is not None and case.is_stage2:
        return _stage2(case)
    if status is None or case.own("SCTLR") & 1 == 0:
        return _too_large_untranslated(case) if status == 0 else ""
    rule = _BY_STATUS.get(status >> 2)
    return "" if rule is None else rule(case, case.surroundings.descriptor(case.fault.far))


def _stage2(case: Case) -> str:
    """A fault of the guest's own stage 2."""
    ipa = (case.own("HPFAR") & 0xFFF_FFFF_FFF0) << 8
    what = {1: "maps nothing at", 2: "has no access flag set for", 3: "does not allow that at"}
    words = what.get((case.fault.esr & 0x3F) >> 2, "refuses")
    return f"stage 2 (VTTBR_EL2) {words} {ipa:#x}, the intermediate physical address: EL2 has to emulate or map it"


def _too_large_untranslated(case: Case) -> str:
    return f"{case.fault.far:#x} has more bits than this CPU's physical addresses: a bad pointer"


def _ttbr(case: Case) -> str:
    upper = bool(case.fault.far & _SELECTS_TTBR1) and case.level < 3
    return f"TTBR{int(upper)}_EL{case.level}"


def _not_mapped(case: Case, last: Descriptor | None) -> str:
    address, where = case.fault.far, case.surroundings
    why = f"TCR_EL{case.level} and {_ttbr(case)} have no table for it" if last is None else f"the {last} is invalid"
    unmapped = f"the translation tables do not map {address:#x} ({why})"
    if case.fetch_status is not None:
        if where.loaded(address) is not None:
            own = f"look at {_ttbr(case)} and TCR_EL{case.level}"
            return f"{unmapped}, where the code is that runs since SCTLR_EL{case.level}.M was set: {own}"
        return f"{unmapped}: a jump through a bad pointer, a return with a damaged stack, or code left out of them"
    if name := where.name_of(address):
        return f"{unmapped}, where this board has {name.partition('.')[0]}: map it, as Device memory"
    if RAM_BASE <= address < where.ram_ends[0]:
        return f"{unmapped}, where RAM is: map it, or look for a bad pointer"
    return f"{unmapped}: a bad pointer, or memory left out of them"


def _no_access_flag(case: Case, last: Descriptor | None) -> str:
    which = f"the {last}" if last is not None else "the descriptor"
    return f"the access flag (AF, bit 10) of {which} for {case.fault.far:#x} is 0: set it, this CPU does not"


def _not_allowed(case: Case, last: Descriptor | None) -> str:
    if last is None:
        return ""
    return (_no_fetch if case.fetch_status is not None else _no_data)(case, last)


def _no_fetch(case: Case, last: Descriptor) -> str:
    ap, at = last.value >> 6 & 3, f"EL{case.el} may not execute code at {case.fault.far:#x}"
    bit, name = (_UXN, "UXN, bit 54") if case.el == 0 else (_PXN, "PXN, bit 53")
    is_writable = ap == _AP_EL0_TOO or (case.el == 1 and not ap & _AP_READ_ONLY)
    if last.value & bit:
        return f"{at}: {name}, of the {last} is set"
    if case.el == 1 and ap == _AP_EL0_TOO:
        return f"{at}: what EL0 may write, EL1 never executes, and AP[2:1] of the {last} is 0b01"
    if case.own("SCTLR") & _WXN and is_writable:
        return f"{at}: SCTLR_EL{case.level}.WXN is set, and it may write there by the {last}"
    return f"{at}: the {last} allows it, so a table above it forbids it ({name[:3]}Table)"


def _no_data(case: Case, last: Descriptor) -> str:
    ap, verb = last.value >> 6 & 3, "write" if case.is_write else "read"
    at = f"EL{case.el} may not {verb} {case.fault.far:#x}"
    if (case.el == 0 and not ap & _AP_EL0_TOO) or (case.is_write and ap & _AP_READ_ONLY):
        return f"{at}: by AP[2:1] = {ap:#04b} of the {last} {_RIGHTS[ap]}"
    if case.el == 1 and ap & _AP_EL0_TOO and case.fault.pstate & _PAN:
        return f"{at}: PSTATE.PAN is set, and EL0 may access it too by the {last}; clear PAN for that access"
    return f"{at}: the {last} allows it, so a table above it forbids it (APTable), or it was accessed as by EL0 (LDTR)"


def _too_large(case: Case, last: Descriptor | None) -> str:
    field, ips = ("IPS", case.own("TCR") >> 32 & 7) if case.level == 1 else ("PS", case.own("TCR") >> 16 & 7)
    whose = _ttbr(case) if last is None else f"{_ttbr(case)} or a descriptor down to the {last}"
    return (
        f"an address in {whose} has more bits than the CPU has, or than TCR_EL{case.level}.{field} = {ips:#05b} "
        f"allows ({PA_RANGE_BITS[ips]}): set {field} to ID_AA64MMFR0_EL1.PARange"
    )


def _no_table(case: Case, last: Descriptor | None) -> str:
    at = "where no memory is" if last is None else f"at {last.address:#x}, where no memory is"
    return f"the walk for {case.fault.far:#x} reads a translation table {at}: look at {_ttbr(case)} and at its tables"


_BY_STATUS: dict[int, Callable[[Case, Descriptor | None], str]] = {
    0x00 >> 2: _too_large,
    0x04 >> 2: _not_mapped,
    0x08 >> 2: _no_access_flag,
    0x0C >> 2: _not_allowed,
    0x14 >> 2: _no_table,
}
"""By the fault status without its level (D17.2.37)."""
