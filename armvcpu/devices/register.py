"""A row of a device's register map, and the search for the row that an access falls into.

Split from `device.py`, which gives rows their behaviour: this file holds the declaration and the address
arithmetic alone, so that both can be read and tested without a device.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, TypeVar, overload

Stored = TypeVar("Stored", int, list[int])

WIDTHS = (1, 2, 4, 8)
"""Bytes that one access may have."""


class Register(Generic[Stored]):
    """One register of a device's map: offset in bytes, access rights, reset value, width in bytes.

    A device class declares `UARTCR = Register(0x030, reset=0x300)`; on an instance `device.UARTCR` is then
    the value it stores. `mask` has the bits that software can write; the others keep their reset value. With
    `count` the row is an array of that many elements, `stride` bytes apart, and `device.NAME` is the list of
    them. Two registers may share an offset when one is read-only and the other write-only.
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
        mask: int | None = None,
    ) -> None:
        self.offset, self.ro, self.wo, self.reset, self.width = offset, ro, wo, reset, width
        self.is_array = count is not None
        self.count = 1 if count is None else count
        self.stride = stride or width
        self.all_bits = (1 << 8 * width) - 1
        self.mask = self.all_bits if mask is None else mask
        self.name = ""

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
