"""Translation table descriptors of both stages as fields, and what they say in words: DDI 0487 D8.3 to D8.6.

Whoever shows a walk of a guest's tables reads them from here. The layout of stage 2's is in `stage2.py`.
"""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.stage2 import SH, Stage2Descriptor

LAST_LEVEL = 3


class Stage1Table(RegisterView):
    """A stage 1 table descriptor: what it denies to all that is below it."""

    PXNTable = Field(59)
    UXNTable = Field(60)  # XNTable where the regime has one level only
    APTable = Field(62, 61)  # bit 61: nothing for EL0, bit 62: nobody writes
    NSTable = Field(63)


class Stage1Leaf(RegisterView):
    """A stage 1 block or page descriptor."""

    AttrIndx = Field(4, 2)
    NS = Field(5)
    AP = Field(7, 6)  # AP[2:1]: bit 7 read-only, bit 6 EL0 too
    SH = Field(9, 8)
    AF = Field(10)
    nG = Field(11)
    DBM = Field(51)
    Contiguous = Field(52)
    PXN = Field(53)
    UXN = Field(54)  # XN where the regime has one level only


class Stage2Leaf(Stage2Descriptor):
    """A stage 2 block or page descriptor with what the tables of armvcpu's own don't use."""

    DBM = Field(51)
    Contiguous = Field(52)


_DEVICE = {0x0: "nGnRnE", 0x4: "nGnRE", 0x8: "nGRE", 0xC: "GRE"}
_STAGE2_DEVICE = ("nGnRnE", "nGnRE", "nGRE", "GRE")
_STAGE2_CACHE = {1: "Non-cacheable", 2: "Write-Through", 3: "Write-Back"}
_SHAREABLE: dict[int, str] = {SH.NON: "Non-shareable", SH.OUTER: "Outer Shareable", SH.INNER: "Inner Shareable"}
_RESERVED = "reserved shareability"


def memory_type(attr: int) -> str:
    """What an Attr<n> of MAIR_ELx, 8 bits, says (D17.2.97)."""
    outer, inner = attr >> 4, attr & 0xF
    if not outer:
        return f"Device-{_DEVICE[inner]}" if inner in _DEVICE else f"reserved attribute {attr:#04x}"
    if attr == 0xF0:
        return "Normal Tagged Write-Back"
    if not inner:
        return f"reserved attribute {attr:#04x}"
    if outer == inner:
        return f"Normal {_cacheability(inner)}"
    return f"Normal outer {_cacheability(outer)}, inner {_cacheability(inner)}"


def _cacheability(bits: int) -> str:
    """Four bits of MAIR_ELx: write policy in the upper two, read and write allocation in the lower."""
    if bits == 0b0100:
        return "Non-cacheable"
    policy = "Write-Back" if bits & 0b0100 else "Write-Through"
    hints = {0: " no-allocate", 1: " write-allocate", 2: " read-allocate", 3: ""}[bits & 3]
    return f"{policy}{hints}{'' if bits & 0b1000 else ' transient'}"


def size_words(log2: int) -> str:
    """A power of two of bytes, as `2 MiB`."""
    unit = min(log2 // 10, 4)
    return f"{1 << log2 - 10 * unit} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def table_words(descriptor: int, *, has_two_levels: bool) -> str:
    """What a stage 1 table descriptor denies; empty where that is nothing."""
    table = Stage1Table(descriptor)
    denied = [
        (table.APTable & 2, "read-only"), (table.APTable & 1 and has_two_levels, "nothing for EL0"),
        (table.UXNTable, "UXNTable" if has_two_levels else "XNTable"), (table.PXNTable and has_two_levels, "PXNTable"),
        (table.NSTable, "NSTable"),
    ]  # fmt: skip
    return ", ".join(words for is_so, words in denied if is_so)


def stage1_words(descriptor: int, mair: int, *, level: int, has_two_levels: bool) -> str:
    """A block or page of stage 1. `level`: that of the regime; `has_two_levels`: does EL0 share it?"""
    leaf = Stage1Leaf(descriptor)
    kind = memory_type(mair >> 8 * leaf.AttrIndx & 0xFF)
    words = [kind if kind.startswith("Device") else f"{kind}, {_SHAREABLE.get(leaf.SH, _RESERVED)}"]
    rights = "R" if leaf.AP & 2 else "RW"
    if has_two_levels:
        words.append(f"EL{level} {rights}{'' if leaf.PXN else 'X'}, EL0 {_el0_rights(leaf, rights)}")
    else:
        words.append(f"EL{level} {rights}{'' if leaf.UXN else 'X'}")
    names = (("AF", leaf.AF), ("nG", leaf.nG and has_two_levels), ("contiguous", leaf.Contiguous), ("DBM", leaf.DBM))
    words += [name for name, is_set in names if is_set]
    words += [] if leaf.AF else ["AF 0"]
    return ", ".join(words) + (", NS" if leaf.NS and level == 3 else "")


def _el0_rights(leaf: Stage1Leaf, rights: str) -> str:
    """Execution needs no right to read: an execute-only page is AP[1] = 0 and UXN = 0 (D8.4.1)."""
    return (rights if leaf.AP & 1 else "") + ("" if leaf.UXN else "X") or "nothing"


def stage2_words(descriptor: int, *, has_xnx: bool) -> str:
    """A block or page of stage 2, with HCR_EL2.FWB = 0."""
    leaf = Stage2Leaf(descriptor)
    attr = descriptor >> 2 & 0xF
    if attr >> 2:
        outer, inner = _STAGE2_CACHE[attr >> 2], _STAGE2_CACHE.get(attr & 3, "reserved")
        cached = outer if outer == inner else f"outer {outer}, inner {inner}"
        words = [f"Normal {cached}, {_SHAREABLE.get(descriptor >> 8 & 3, _RESERVED)}"]
    else:
        words = [f"Device-{_STAGE2_DEVICE[attr]}"]
    words.append(_stage2_rights(leaf, has_xnx=has_xnx) or "nothing allowed")
    words += [name for name, is_set in (("contiguous", leaf.Contiguous), ("DBM", leaf.DBM)) if is_set]
    return ", ".join([*words, "AF" if leaf.AF else "AF 0"])


def _stage2_rights(leaf: Stage2Leaf, *, has_xnx: bool) -> str:
    """As `RWX`; FEAT_XNX tells EL1 and EL0 apart (D8.4.3)."""
    data = ("R" if leaf.S2AP & 1 else "") + ("W" if leaf.S2AP & 2 else "")
    where = ("X", " X at EL0", "", " X at EL1")[leaf.XN] if has_xnx else "" if leaf.XN & 2 else "X"
    return f"{data}{where}".lstrip()
