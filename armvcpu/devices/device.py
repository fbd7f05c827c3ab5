"""What every memory-mapped device is built from: a declared register map, its decode, a signal line.

A device knows offsets, never its base address; it gets its wires (interrupt line, time, memory) by `connect`, what
else it needs as arguments, and never prints, opens or sleeps. Machines place devices in slots and connect them; this
file must not import them.

    read / write -> already bound?        call it: one dictionary look-up and one call
                    inside a register?    bind it: whole, or the addressed bytes shifted and masked
                    wider than what is    two halves, the lower address first, as an interconnect narrows
                    there?                a wide access for a 32-bit device
                    else                  unclaimed_read / unclaimed_write: RAZ/WI
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Any, ClassVar
from armvcpu.devices.dtnode import DtNode, Ref, reg_cells
from armvcpu.devices.register import Register, Rows, check_handlers, check_rows, claim, covers_some
from armvcpu.devices.wires import SignalLine, Wires, unconnected
from armvcpu.errors import UsageError, kind_in, no_number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Device", "DtNode", "Ref", "Register", "SignalLine", "Wires", "reg_cells", "unconnected"]


class Device:
    """Base of all memory-mapped devices; subclasses declare `Register`s.

    A register NAME is plain storage unless the subclass has `read_NAME(self) -> int` or
    `write_NAME(self, value)`; a register array's methods get the element's index as last argument.
    `write_NAME` receives the bits of the register's mask and stores what it wants in `self.NAME`. When fewer
    bytes are written than the register has, the other bytes of `value` are those stored in `self.NAME`, taken
    without calling `read_NAME`.

    `connect` takes the interrupt line, deadlines and memory that a device needs (the example in `wires.py`).

    Rows that overlap or that no access could find are a UsageError when the class is made, as is a `read_NAME` or
    `write_NAME` without its register, where NAME begins with a capital letter.

    An access that no register allows (none there, read-only, write-only, not aligned) is `unclaimed_read` or
    `unclaimed_write`: zero and ignored, unless the subclass says otherwise.
    """

    REGISTERS: ClassVar[dict[str, Register[Any]]] = {}
    _READABLE: ClassVar[Rows] = ()
    _WRITABLE: ClassVar[Rows] = ()
    _END: ClassVar[int] = 0

    size: int = 0x1000
    """Bytes of address space the device decodes."""
    is_placed: bool = False
    """Has a user put it on a board? Its wires lead to one machine from then on."""

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Register)}
        if own:
            cls.REGISTERS = {**cls.REGISTERS, **own}
            rows = tuple(cls.REGISTERS.values())
            check_rows(cls.__name__, rows)
            cls._READABLE = tuple([row for row in rows if not row.wo])
            cls._WRITABLE = tuple([row for row in rows if not row.ro])
            cls._END = max([row.end for row in rows])
        check_handlers(cls.__name__, vars(cls), cls.REGISTERS)

    def __init__(self, wires: Wires | None = None) -> None:
        """A device that is connected to `wires`, or to nothing yet. UsageError for a register beyond `size`."""
        if self.size < self._END:
            raise UsageError(f"{type(self).__name__}: its size is {self.size:#x}, its registers end at {self._END:#x}")
        # Keys are `offset << 4 | width`. Filled at the first access, so that a device with a thousand
        # registers costs nothing to create; bounded, because only what a register claims is kept.
        self._readers: dict[int, Callable[[], int]] = {}
        self._writers: dict[int, Callable[[int], None]] = {}
        if wires is not None:
            kind_in("what connects a device", wires, Wires)
        self.connect(Wires() if wires is None else wires)
        self.reset()

    def connect(self, wires: Wires) -> None:
        """Take what the device needs of its wires; here nothing.

        Called when it is made, before the first `reset`, with wires that may lead nowhere; and once more by a machine
        that takes a device which its user has made, before the guest can reach it.
        """
        del wires

    def reset(self) -> None:
        """Return to the state after power-on reset."""
        for name, register in self.REGISTERS.items():
            setattr(self, name, register.reset_value())

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode | None:
        """This device's device-tree node when placed at `base` with these SPI numbers, or None."""
        del base, interrupts
        return None

    def read(self, offset: int, width: int) -> int:
        """Read `width` bytes (1, 2, 4 or 8) at `offset` bytes from the device's base."""
        reader = self._readers.get(offset << 4 | width)
        return reader() if reader is not None else self._first_read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write `value`, `width` bytes (1, 2, 4 or 8), at `offset` bytes from the device's base."""
        writer = self._writers.get(offset << 4 | width)
        if writer is not None:
            writer(value)
        else:
            self._first_write(offset, width, value)

    def unclaimed_read(self, offset: int, width: int) -> int:
        """A read that no register allows."""
        del offset, width
        return 0

    def unclaimed_write(self, offset: int, width: int, value: int) -> None:
        """A write that no register allows."""
        del offset, width, value

    def name_of(self, offset: int) -> str:
        """The register with the byte at an offset, as `.UARTDR` or `.GICD_ITARGETSR[3]`, or `+0x40` where none is."""
        for registers in (self._READABLE, self._WRITABLE):
            claimed = claim(registers, offset, 1)
            if claimed is not None:
                register, index, _ = claimed
                return f".{register.element_name(index)}"
        return f"+{offset:#x}"

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep, as plain ints, lists, dicts and bytes."""
        stored = {name: getattr(self, name) for name in self.REGISTERS}
        return {"values": {name: list(v) if isinstance(v, list) else v for name, v in stored.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        for name in self.REGISTERS:
            value = state["values"][name]
            setattr(self, name, list(value) if isinstance(value, list) else value)

    @property
    def is_made(self) -> bool:
        """Has its constructor called this class's?"""
        return hasattr(self, "_readers")

    # --- decode: what happens the first time an offset is accessed in some width

    def _first_read(self, offset: int, width: int) -> int:
        claimed = claim(self._READABLE, offset, width)
        if claimed is not None:
            register, index, shift = claimed
            value: object = self._bind_reader(register, index, 0, register.width)()
            if not isinstance(value, int):  # a look at the first one, for no later access pays
                raise no_number(
                    f"what reads {register.name}", value, getattr(self, f"read_{register.name}", type(self))
                )
            self._readers[offset << 4 | width] = self._bind_reader(*claimed, width)
            return value if width == register.width else value >> shift & (1 << 8 * width) - 1
        if covers_some(self._READABLE, offset, width):
            half = width // 2
            low = self.read(offset, half)
            return low | self.read(offset + half, half) << 8 * half
        return self.unclaimed_read(offset, width)

    def _first_write(self, offset: int, width: int, value: int) -> None:
        claimed = claim(self._WRITABLE, offset, width)
        if claimed is not None:
            writer = self._writers[offset << 4 | width] = self._bind_writer(*claimed, width)
            writer(value)
        elif covers_some(self._WRITABLE, offset, width):
            half = width // 2
            self.write(offset, half, value & (1 << 8 * half) - 1)
            self.write(offset + half, half, value >> 8 * half)
        else:
            self.unclaimed_write(offset, width, value)

    def _stored(self, register: Register[Any], index: int) -> Callable[[], int]:
        """A call that gives the element's stored value."""
        name = register.name
        if register.is_array:
            return lambda: int(getattr(self, name)[index])
        return partial(getattr, self, name)

    def _bind_reader(self, register: Register[Any], index: int, shift: int, width: int) -> Callable[[], int]:
        """A call that reads the `width` bytes at bit `shift` of one register element."""
        method: Callable[..., int] | None = getattr(self, f"read_{register.name}", None)
        whole: Callable[[], int] = self._stored(register, index)
        if method is not None:
            whole = partial(method, index) if register.is_array else method
        if width == register.width:
            return whole
        lane = (1 << 8 * width) - 1
        return lambda: whole() >> shift & lane

    def _bind_writer(self, register: Register[Any], index: int, shift: int, width: int) -> Callable[[int], None]:
        """A call that writes the `width` bytes at bit `shift` of one register element."""
        whole = self._whole_writer(register, index)
        if width == register.width:
            return whole
        stored, lane = self._stored(register, index), (1 << 8 * width) - 1 << shift
        return lambda value: whole(stored() & ~lane | value << shift & lane)

    def _whole_writer(self, register: Register[Any], index: int) -> Callable[[int], None]:
        method: Callable[..., None] | None = getattr(self, f"write_{register.name}", None)
        name, mask, fixed = register.name, register.mask, register.reset & ~register.mask
        if method is None and register.is_array:
            return lambda value: getattr(self, name).__setitem__(index, value & mask | fixed)
        if method is None:
            return lambda value: setattr(self, name, value & mask | fixed)
        if register.is_array:
            return lambda value: method(value & mask, index)
        if mask == register.all_bits:
            return method
        return lambda value: method(value & mask)
