"""What of a machine's layout is said in a text: a file at an address, RAM at an address, a device at an address.

`FILE@ADDRESS`, `FILE@ADDRESS,kernel[,bootargs=TEXT]`, `BASE:SIZE` and `NAME@ADDRESS[,spi=N]`, as the options `loads`,
`modules`, `ram` and `board_devices` have them.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.errors import UsageError, named
from armvcpu.machine.kinds import format_size, parse_address, parse_size

PAGE = 4096
MODULES = ("kernel", "ramdisk")
"""What `modules` can tell of; the names are those of the compatible strings "multiboot,kernel" and so on."""
DEVICES = ("pl011", "pl031", "pl061")
"""What `board_devices` can put on the board."""


class Load(Row):
    """A file whose bytes are in memory from `address` on."""

    path: str
    address: int


class Module(Row):
    """A file in memory that the guest is told of as something to start: a "kernel" or its "ramdisk"."""

    load: Load
    kind: str
    bootargs: str | None = None


class Ram(Row):
    """`size` bytes of RAM at `base`, both multiples of 4096."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.base + self.size

    def overlaps(self, base: int, size: int) -> bool:
        """Does any of the `size` bytes from `base` belong to it?"""
        return base < self.end and self.base < base + size

    def __str__(self) -> str:
        return f"{self.base:#x}:{format_size(self.size)}"


class BoardDevice(Row):
    """One of DEVICES at an address, with its interrupt, or none."""

    kind: str
    base: int
    spi: int | None = None


def split_load(text: str) -> tuple[str, str, str]:
    """As `Option.split` has it: `@ADDRESS` stands behind the name."""
    path, at, address = text.rpartition("@")
    return ("", path, at + address) if at else ("", text, "")


def parse_load(text: str) -> Load:
    """UsageError where it is no file at an address."""
    _, path, behind = split_load(text)
    if not path or not behind:
        raise UsageError(f"{named('loads')} {text}: give FILE@ADDRESS, kernel.bin@0x40200000 say")
    return Load(path, _address("loads", text, behind[1:]))


def split_symbols(text: str) -> tuple[str, str, str]:
    """As `Option.split` has it: `@OFFSET` may stand behind the name, which may have an @ of its own."""
    path, at, offset = text.rpartition("@")
    return ("", path, at + offset) if path and offset[:1].isdecimal() and "/" not in offset else ("", text, "")


def parse_symbols(text: str) -> tuple[str, int]:
    """The file, and how far behind its addresses the guest has what it names; UsageError where it is no offset."""
    _, path, behind = split_symbols(text)
    return path, _address("symbols", text, behind[1:]) if behind else 0


def split_module(text: str) -> tuple[str, str, str]:
    """As `Option.split` has it: `@ADDRESS,kernel` stands behind the name, and then anything, as boot arguments."""
    import re  # few machines have any

    found = re.search(rf"@[^@,]*,(?:{'|'.join(MODULES)})(?:,|$)", text, re.DOTALL)
    if found is None:
        return split_load(text)
    return "", text[: found.start()], text[found.start() :]


def parse_module(text: str) -> Module:
    """UsageError where it is no file at an address, of a kind that there is."""
    _, path, behind = split_module(text)
    address, _, rest = behind.removeprefix("@").partition(",")
    kind, comma, more = rest.partition(",")
    option = f"{named('modules')} {text}"
    if not path or not behind:
        raise UsageError(f"{option}: give FILE@ADDRESS,kernel or FILE@ADDRESS,ramdisk, Image@0x48000000,kernel say")
    if kind not in MODULES:
        raise UsageError(f"{option}: say behind the address what it is: {' or '.join(f',{each}' for each in MODULES)}")
    name, _, bootargs = more.partition("=")
    if comma and name != "bootargs":
        raise UsageError(f"{option}: {more!r} is no boot arguments; write bootargs=console=hvc0")
    return Module(Load(path, _address("modules", text, address)), kind, bootargs if comma else None)


def parse_ram(text: str) -> Ram:
    """UsageError where it is no RAM at an address."""
    base, colon, size = text.partition(":")
    if not colon:
        raise UsageError(f"{named('ram')} {text}: give BASE:SIZE, 0x80000000:64M say")
    try:
        ram = Ram(_address("ram", text, base), parse_size(size))
    except UsageError as error:
        raise UsageError(str(error) if text in str(error) else f"{named('ram')} {text}: {error}") from error
    if ram.base % PAGE or ram.size % PAGE or not ram.size:
        raise UsageError(f"{named('ram')} {text}: base and size are multiples of {PAGE} bytes, of one page at least")
    return ram


def parse_device(text: str) -> BoardDevice:
    """UsageError where it is no device that there is, at an address."""
    option = f"{named('board_devices')} {text}"
    kind, at, rest = text.partition("@")
    if not at:
        raise UsageError(f"{option}: give NAME@ADDRESS[,spi=N], pl011@0x1c090000,spi=5 say")
    if kind not in DEVICES:
        raise UsageError(f"{option}: no device {kind!r}; there are {', '.join(DEVICES)}")
    address, comma, more = rest.partition(",")
    name, _, number = more.partition("=")
    if comma and (name != "spi" or not number.isdecimal() or len(number) > 4):
        raise UsageError(f"{option}: {more!r} is no interrupt; write spi=5")
    base = _address("board_devices", text, address)
    if base % PAGE:
        raise UsageError(f"{option}: the address is a multiple of {PAGE}")
    return BoardDevice(kind, base, int(number) if comma else None)


def _address(option: str, text: str, digits: str) -> int:
    try:
        return parse_address(digits)
    except UsageError as error:
        raise UsageError(f"{named(option)} {text}: {error.said(named)}") from error
