"""A row of a device's register map, and the search for the row that an access falls into.

Split from `device.py`, which gives rows their behaviour: this file holds the declaration and the address
arithmetic alone, so that both can be read and tested without a device.
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter, itemgetter

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, TypeVar, overload
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Stored = TypeVar("Stored", int, list[int])

WIDTHS = (1, 2, 4, 8)
"""Bytes that one access may have."""
_HANDLERS = ("read_", "write_")
_OFFSET = attrgetter("offset")


class Register(Generic[Stored]):
    """One register of a device's map: offset in bytes, access rights, reset value, width in bytes.

    A device class declares `UARTCR = Register(0x030, reset=0x300)`; on an instance `device.UARTCR` is then
    the value it stores. `mask` has the bits that software can write; the others keep their reset value. With
    `count` the row is an array of that many elements, `stride` bytes apart, and `device.NAME` is the list of
    them; the manual's number of its first element is `first`, as 32 of GICD_IROUTER<n>. Two registers may share an
    offset when one is read-only and the other write-only. UsageError for a row that no access could find.
    """

    @overload
    def __init__(
        self: Register[int],
        offset: int,
        *,
        ro: bool = False,
        wo: bool = False,
        reset: int = 0,
        width: int = 4,
        mask: int | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Register[list[int]],
        offset: int,
        *,
        ro: bool = False,
        wo: bool = False,
        reset: int = 0,
        width: int = 4,
        count: int,
        stride: int = 0,
        first: int = 0,
        mask: int | None = None,
    ) -> None: ...
    def __init__(
        self,
        offset: int,
        *,
        ro: bool = False,
        wo: bool = False,
        reset: int = 0,
        width: int = 4,
        count: int | None = None,
        stride: int = 0,
        first: int = 0,
        mask: int | None = None,
    ) -> None:
        self.offset, self.ro, self.wo, self.reset, self.width = offset, ro, wo, reset, width
        self.is_array = count is not None
        self.count = 1 if count is None else count
        self.stride, self.first = stride or width, first
        self.end = offset + (self.count - 1) * self.stride + width  # behind its last byte
        self.all_bits = (1 << 8 * width) - 1
        self.mask = self.all_bits if mask is None else mask
        self.name = ""
        if width not in WIDTHS or offset < 0 or offset % width:
            raise UsageError(f"a register of {width} bytes at {offset:#x}: give 1, 2, 4 or 8, and a multiple of it")
        if self.count < 1 or self.stride < width or self.stride % width:
            raise UsageError(f"a register at {offset:#x} with {count=}, {stride=}: give a multiple of {width}")
        if not 0 <= reset <= self.all_bits >= self.mask >= 0 or (ro and wo):
            raise UsageError(f"a register at {offset:#x} with reset={reset:#x}, mask={self.mask:#x}, {ro=}, {wo=}")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, device: None, owner: type) -> Register[Stored]: ...
    @overload
    def __get__(self, device: object, owner: type) -> Stored: ...
    def __get__(self, device: object | None, owner: type) -> Register[Stored] | Stored:
        # The stored value stands in the instance's own dictionary, which Python prefers to this descriptor
        # because it has no __set__: reading `device.UARTCR` costs no call. Only the class itself gets here.
        if device is None:
            return self
        raise AttributeError(f"{self.name} is used before Device.__init__")

    if TYPE_CHECKING:

        def __set__(self, device: object, value: Stored) -> None: ...

    def element_name(self, index: int) -> str:
        """The name of one element: `UARTDR`, or of an array `GICD_ITARGETSR[3]`."""
        return f"{self.name}[{self.first + index}]" if self.is_array else self.name

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        """Where it is, in pieces without gaps: (first offset, offset behind, name)."""
        if self.stride == self.width:
            return [(self.offset, self.end, self.name)]
        starts = range(self.offset, self.end, self.stride)
        return [(start, start + self.width, self.element_name(index)) for index, start in enumerate(starts)]

    def reset_value(self) -> Any:
        """What an instance stores after a reset."""
        return [self.reset] * self.count if self.is_array else self.reset


Rows = tuple[Register[Any], ...]
"""The registers that allow one kind of access, in the order they were declared."""


def claim(rows: Rows, offset: int, width: int) -> tuple[Register[Any], int, int] | None:
    """The register that holds all `width` bytes at `offset`: (register, index, bit position), or None.

    An access that is not aligned to its width belongs to no register: Device memory allows none (Arm ARM,
    B2.10.2 "Device memory"), so that no bus is built to carry one.
    """
    if width not in WIDTHS or offset % width:
        return None
    for register in rows:
        index, inside = divmod(offset - register.offset, register.stride)
        if 0 <= index < register.count and inside + width <= register.width:
            return register, index, 8 * inside
    return None


def covers_some(rows: Rows, offset: int, width: int) -> bool:
    """Whether an aligned access of `width` bytes, too wide for any one register, touches one."""
    if width not in WIDTHS or offset % width:
        return False
    for register in rows:
        first = max(0, -((register.offset - offset) // register.stride))  # the first element from `offset` on
        if first < register.count and register.offset + first * register.stride < offset + width:
            return True
    return False


def check_rows(device: str, rows: Rows) -> None:
    """UsageError for rows that overlap, so that an access could find several.

    Every start runs it for each device there is, so the usual case, rows apart from each other, is told first.
    """
    end = 0
    for row in sorted(rows, key=_OFFSET):
        if row.offset < end:
            break
        end = row.end
    else:
        return
    for claimed in ([row for row in rows if not row.wo], [row for row in rows if not row.ro]):
        spans = sorted((span for row in claimed for span in row.spans), key=itemgetter(0))
        for (_, end, name), (start, _, other) in pairwise(spans):
            if start < end:
                raise UsageError(f"{device}.{other} at {start:#x} overlaps {name}")


def check_handlers(device: str, names: Iterable[str], registers: Mapping[str, object]) -> None:
    """UsageError for a `read_NAME` or `write_NAME` of a register that is not there."""
    for handler in names:
        if handler.startswith(_HANDLERS):
            name = handler.partition("_")[2]
            if name not in registers and name[:1].isupper():
                raise UsageError(f"{device}.{handler}: there is no register {name}")
