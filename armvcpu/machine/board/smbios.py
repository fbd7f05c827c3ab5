"""What firmware shows of the machine by SMBIOS, for `dmidecode` and /sys/class/dmi: DMTF DSP0134 3.0.

The tables reach firmware by fw_cfg, as on QEMU's board: EDK2 puts them where an operating system looks for them. The
structures are those that the board has, types 1, 3, 4, 16, 17, 19 and 32; firmware adds its own type 0. Nothing is said
that is not so: what a machine of this kind has none of is "unknown" or zero.
"""

from __future__ import annotations

import struct

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES, ANCHOR = "etc/smbios/smbios-tables", "etc/smbios/smbios-anchor"
"""The files of fw_cfg."""
MANUFACTURER, PRODUCT = "armvcpu", "virt"
NO_HANDLE, NOT_PROVIDED = 0xFFFF, 0xFFFE
_ANCHOR = struct.Struct("<5sBBBBBBBIQ")
_KIB, _MIB = 1 << 10, 1 << 20
_LARGEST_MIB = 0x7FFF
"""Of type 17, where the extended size tells what is more."""
SYSTEM, CHASSIS, PROCESSOR, MEMORY_ARRAY, MEMORY_DEVICE, MAPPED, BOOT, END = 1, 3, 4, 16, 17, 19, 32, 127
ARMV8 = 0x101
"""Processor family 2 (7.5.2)."""


def smbios_files(cpus: int, midr: int, model: str, ram_base: int, ram_size: int) -> dict[str, bytes]:
    """The tables and the anchor, in which firmware fills in where it has put them, of a machine with these parts."""
    tables = b"".join(_structures(cpus, midr, model, ram_base, ram_size))
    return {TABLES: tables, ANCHOR: _anchor(len(tables))}


def _anchor(size: int) -> bytes:
    """The 64-bit entry point (5.2.2), whose bytes sum up to 0."""
    fields = _ANCHOR.pack(b"_SM3_", 0, _ANCHOR.size, 3, 0, 0, 1, 0, size, 0)
    return fields[:5] + bytes([-sum(fields) & 0xFF]) + fields[6:]


def _structures(cpus: int, midr: int, model: str, base: int, size: int) -> Iterator[bytes]:
    names = (MANUFACTURER, PRODUCT)
    yield _structure(SYSTEM, 0x100, "BBBB16sBBB", 1, 2, 0, 0, bytes(16), 6, 0, 0, strings=names)  # 6: power switch
    yield _structure(CHASSIS, 0x300, "BBBBBBBBBIBBBBB", 1, 1, 0, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, strings=names[:1])
    count = min(cpus, 0xFF)
    yield _structure(
        PROCESSOR, 0x400, "BBBBQBBHHHBBHHHBBBBBBHHHHH", 1, 3, 0xFE, 2, midr, 3, 0, 0, 0, 0, 0x41, 1,
        NO_HANDLE, NO_HANDLE, NO_HANDLE, 0, 0, 0, count, count, count, 0x0004 if cpus else 0, ARMV8, cpus, cpus, cpus,
        strings=("CPU 0", "Arm", model),
    )  # fmt: skip  # 0x41: populated and enabled; 4: 64 bits
    yield _structure(MEMORY_ARRAY, 0x1000, "BBBIHHQ", 1, 3, 3, *_capacity(size), strings=())
    mib = size // _MIB
    shown, extended = (mib, 0) if mib < _LARGEST_MIB else (_LARGEST_MIB, mib)
    yield _structure(
        MEMORY_DEVICE, 0x1100, "HHHHHBBBBBHHBBBBBIHHHH", 0x1000, NOT_PROVIDED, 0xFFFF, 0xFFFF, shown, 2, 0, 1, 0, 7, 4,
        0, 0, 0, 0, 0, 0, extended, 0, 0, 0, 0, strings=("RAM",),
    )  # fmt: skip
    yield _structure(MAPPED, 0x1300, "IIHBQQ", base // _KIB, (base + size - 1) // _KIB, 0x1000, 1, 0, 0, strings=())
    yield _structure(BOOT, 0x2000, "6sB", bytes(6), 0, strings=())
    yield _structure(END, 0x7F00, "", strings=())


def _capacity(size: int) -> tuple[int, int, int, int]:
    """Of a memory array: in KiB, no errors to tell of, one device, and in bytes where that is too much for KiB."""
    kib = size // _KIB
    return (kib, NOT_PROVIDED, 1, 0) if kib < 0x8000_0000 else (0x8000_0000, NOT_PROVIDED, 1, size)


def _structure(kind: int, handle: int, layout: str, *values: object, strings: tuple[str, ...]) -> bytes:
    """Header, formatted area, and the strings, which values name by their numbers from 1 on (6.1.2, 6.1.3)."""
    area = struct.pack("<" + layout, *values)
    text = b"".join(each.encode() + b"\0" for each in strings) or b"\0"
    return struct.pack("<BBH", kind, 4 + len(area), handle) + area + text + b"\0"
