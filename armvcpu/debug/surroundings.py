"""What a hint has to know of the machine that the guest went wrong on, and where other boards have their UARTs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.arch.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable


def _itself(address: int) -> int:
    return address


class Descriptor(NamedTuple):
    """The last one that a walk of the guest's tables has read, or wanted to."""

    address: int
    """Physical."""
    value: int
    """Zero where no memory is."""

    def __str__(self) -> str:
        return f"descriptor {self.value:#x} at {self.address:#x}"


class Surroundings(Row):
    """One machine. `is_memory`, `physical` and `descriptor` get virtual addresses, the others physical ones."""

    is_memory: Callable[[int], bool]
    """Can an instruction word be read there?"""
    physical: Callable[[int], int] = _itself
    """The physical address behind a virtual one."""
    descriptor: Callable[[int], Descriptor | None] = lambda _address: None
    """Where a walk for an address ended; None where TCR_EL1 has no table for it, and with the MMU off."""
    loaded: Callable[[int], int | None] = lambda _address: None
    """The word that the image had at an address when it was loaded; None where it had none."""
    name_of: Callable[[int], str] = lambda _address: ""
    """The device at a physical address; empty where there is none."""
    is_flash: Callable[[int], bool] = lambda _address: False
    had_commands: Callable[[int], bool] = lambda _address: False
    """Has the guest stored to the flash bank at an address?"""
    ram_ends: tuple[int, ...] = (0x5000_0000,)
    """Behind the last byte of each piece of RAM, the board's own first."""
    highest: int = 1
    """The highest level that the guest has."""
    is_linux: bool = False
    """Was an arm64 Image entered, by its boot protocol, and no firmware?"""
    state: str = ""
    """The level and Security state that it is in, where it has EL2 or EL3."""
    walk: Callable[[int, int], tuple[str, ...]] = lambda _address, _el: ()
    """Where a virtual address leads at a level, in words; of both stages."""
    is_secure_memory: Callable[[int], bool] = lambda _address: False
    """Does a Non-secure access of a physical address abort?"""
    gic: int = 3
    cpu_model: str = "a72"
    semihosting: bool = False
    runs_from_flash: bool = False
    refused_smc: tuple[int, int] | None = None
    """The last SMC that nobody answered: its number, and PC behind it."""
    pcie_touched: bool = False
    """Has the guest accessed the PCIe memory window, where no device is?"""


_UARTS: tuple[tuple[int, str], ...] = (
    (0x3F20_1000, "a Raspberry Pi 3"),
    (0x3F21_5000, "a Raspberry Pi 3 (the small one)"),
    (0xFE20_1000, "a Raspberry Pi 4"),
    (0xFE21_5000, "a Raspberry Pi 4 (the small one)"),
    (0x10_7D00_1000, "a Raspberry Pi 5"),
    (0x1000_0000, "RISC-V's virt board"),
    (0x1000_9000, "a Versatile Express of Arm's"),
    (0x101F_1000, "a Versatile PB of Arm's"),
    (0x1C09_0000, "an FVP or Versatile Express of Arm's"),
    (0x7FF8_0000, "a Juno of Arm's"),
    (0x6000_0000, "SBSA's reference board"),
    (0xFF00_0000, "a ZynqMP"),
    (0xFF1A_0000, "an RK3399"),
    (0xFEB5_0000, "an RK3588"),
    (0x3086_0000, "an i.MX 8M"),
    (0x5A06_0000, "an i.MX 8X"),
    (0x3089_0000, "an i.MX 8M"),
    (0xF801_5000, "a HiKey"),
)
"""Where serial ports of other boards are, as their manuals and device trees say; where flash is here, none aborts."""
_PAGE = 0x1000


def uart_elsewhere(address: int) -> str:
    """Whose UART is at a physical address; empty for an address of none."""
    return next((whose for base, whose in _UARTS if base <= address < base + _PAGE), "")
