"""The bus: puts a board's slots into the engine's physical memory, page by page, and shows them to the guest.

A device that has its pages to itself is called directly from the guest's access; where several share a page (the
virtio-mmio slots) one look-up comes between. A device is put into the engine by the stage-2 abort of its first access,
since many are never used; where runs must repeat it is at once, since an abort more or less, behind a snapshot say,
would be another run. When somebody watches, devices are not shown to the guest at all: each access is then a stage-2
abort with its exact PC, and the machine serves it from here.

Windows of a bus that has nothing on it (PCIe's) are `empty`: all of them reads ones. Who puts a device there has it.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.flash import Flash
from armvcpu.errors import UsageError, no_number, number_in
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import Engine, IoRead, IoWrite
    from armvcpu.machine.board.virt import Slot
    from armvcpu.vcpu.addrspace import AddressSpace

    Watch = Callable[[bool, int, int, int], None]

PAGE = 4096
DEVICE = MappingFlags.READ | MappingFlags.WRITE | MappingFlags.DEVICE


class Window(Row):
    """Whole pages of guest-physical addresses and the callbacks that serve them."""

    base: int
    size: int
    read: IoRead
    write: IoWrite
    io: bool = True
    """Is it always read by its callback? (Flash is read as memory for most of the time.)"""


def empty_window(base: int, size: int) -> Window:
    """One that nothing answers in: a read completes with all ones, a write is dropped (PCI Express 2.3.2)."""
    return Window(base, size, _read_ones, _write_nothing)


def _read_ones(_offset: int, width: int) -> int:
    return (1 << 8 * width) - 1


def _write_nothing(_offset: int, _width: int, _value: int) -> None:
    pass


class Bus:
    """The devices of one machine, in one engine and one address space."""

    def __init__(
        self, engine: Engine, space: AddressSpace, watch: Watch | None = None, *, is_lazy: bool = True,
        empty: Sequence[Window] = (),
    ) -> None:  # fmt: skip
        self._engine, self._space, self._watch, self._is_lazy = engine, space, watch, is_lazy
        self.windows: list[Window] = []
        self.empty = tuple(empty)
        """Windows of nothing, see above."""
        self._opened: list[tuple[int, int]] = []
        """(start, end) of those pieces of empty windows that the guest reaches without an exit."""
        self._mapped: set[int] = set()
        self._is_full = False
        self._abort: Callable[[bool], None] | None = None

    def attach(self, slots: Sequence[Slot], *, is_users: bool = False) -> None:
        """Put every slot on it; `is_users` as `add` has it."""
        pages: dict[int, list[Slot]] = {}
        for slot in slots:
            pages.setdefault(slot.base & -PAGE, []).append(slot)
        for page, sharing in pages.items():
            if len(sharing) == 1 and sharing[0].base == page:
                device = sharing[0].device
                is_memory = isinstance(device, Flash)
                self.add(
                    page, -(-device.size // PAGE) * PAGE, device.read, device.write, io=not is_memory, is_users=is_users
                )
            else:
                shared = _SharedPage(page, sharing)
                self.add(page, PAGE, shared.read, shared.write, is_users=is_users)

    def add(
        self, base: int, size: int, read: IoRead, write: IoWrite, *, io: bool = True, is_users: bool = False
    ) -> None:
        """Put one device on it, by its callbacks. A user's find registers and PC up to date, and may give no number.

        Raises:
            UsageError: base or size is no multiple of 4096 bytes, or the range is taken.
        """
        number_in("a device's address", base, 64)
        number_in("a device's size", size, 64)
        if size % PAGE:
            raise UsageError(f"device at {base:#x} of {size:#x} bytes: base and size must be multiples of {PAGE}")
        self.check_free(base, size, io=io)
        if is_users:
            read, write = _users(self._engine.look, base, read, write)
        if self._watch is not None:
            read, write = _watched(self._watch, base, read, write)
        window = Window(base, size, read, write, io)
        self.windows.append(window)
        if not self._is_lazy:
            self.map(window)
            if self._watch is None:
                self._show_first(window)

    def answer_with(self, window: Window, read: IoRead, write: IoWrite) -> Window:
        """Have other callbacks answer for a window that is there, from now on; the window as it is then.

        At any time, in the middle of one of its own accesses too. They find registers and PC as they are, see `look`.
        """
        changed = window.replace(read=read, write=write)
        self.windows[self.windows.index(window)] = changed
        if window.base in self._mapped:
            self._engine.memory.replace_io(window.base, read, write)
        return changed

    def look(self) -> None:
        """In a callback: bring the vCPU's registers and PC up to date."""
        self._engine.look()

    def remove(self, window: Window) -> None:
        """Take away what `add` has put there; between two runs of the engine."""
        self.windows.remove(window)
        if self._space.translate(window.base) is not None and not self._is_opened(window.base, window.size):
            self.hide(window)
        if window.base in self._mapped:
            self._mapped.discard(window.base)
            self._engine.memory.unmap(window.base, window.size)

    def check_free(self, base: int, size: int, *, io: bool = True) -> None:
        """UsageError unless a device of that size, in whole pages, may come there."""
        number_in("a device's address", base, 64)
        if size <= 0:
            raise UsageError(f"device at {base:#x}: one of {size} bytes can't be reached")
        if base % PAGE:
            raise UsageError(f"device at {base:#x} of {size:#x} bytes: base and size must be multiples of {PAGE}")
        size = -(-size // PAGE) * PAGE
        other = next((w for w in self.windows if base < w.base + w.size and w.base < base + size), None)
        if other is not None:
            there = f"{other.base:#x} to {other.base + other.size - 1:#x}"
            raise UsageError(f"device at {base:#x} of {size:#x} bytes overlaps another one, at {there}")
        if io and not self._is_opened(base, size):
            self._space.check_free(base, size)

    def reveal(self, address: int) -> bool:
        """After a stage-2 fault: was it the first access of a device, which the guest reaches from now on?"""
        window = self.find(address) if self._watch is None else None
        if window in self.empty:
            return self._open(window)
        return window is not None and self._show_first(window)

    def open_empty(self) -> None:
        """Show the empty windows, where that is not to wait for a first access; once all devices are there."""
        for window in self.empty if self._watch is None and not self._is_lazy else ():
            self._open(window)

    def _open(self, window: Window) -> bool:
        """Show what of an empty window no device has. One that comes later is reached through it."""
        end, pieces = window.base + window.size, []
        start = window.base
        for base, size in [*sorted((w.base, w.size) for w in self.windows), (end, 0)]:
            if window.base <= base <= end:
                if base > start:
                    pieces.append((start, base))
                start = max(start, base + size)
        for first, last in pieces:
            if not self._is_opened(first, last - first):
                self._opened.append((first, last))
                if not self._is_full:
                    self._engine.memory.map_io(first, last - first, *self._hole(first))
                self._space.map_linear(first, first, last - first, DEVICE)
        return True

    def _is_opened(self, base: int, size: int) -> bool:
        return any(start <= base and base + size <= end for start, end in self._opened)

    def show_everything(
        self, memory: Sequence[tuple[int, int]], limit: int, abort: Callable[[bool], None] | None = None
    ) -> None:
        """Map all devices, and every other address below `limit` outside of `memory` (base, size) as RAZ/WI.

        For guests that run without stage 2, which then makes no exit of a hole; the engine must not meet an address
        with nothing behind it (docs/engine.md, "Stage 2"). A device that comes later is reached through its hole.
        With `abort` an access where nothing is has the guest take an External abort: called with whether it is a read.
        """
        self._abort = abort
        taken = sorted([*memory, *((w.base, w.size) for w in self.windows)])
        start = 0
        for base, size in [*taken, (limit, 0)]:
            if base > start:
                self._engine.memory.map_io(start, base - start, *self._hole(start))
            start = max(start, base + size)
        for window in self.windows:
            self.map(window)
            self._show_first(window)
        self._is_full = True

    def _show_first(self, window: Window) -> bool:
        """Show it, where it is to be seen and is not yet."""
        if not window.io or self._space.translate(window.base) is not None:
            return False
        self.show(window)
        return True

    def show(self, window: Window) -> None:
        """Let the guest's accesses reach the device without an exit."""
        self.map(window)
        self._space.map_linear(window.base, window.base, window.size, DEVICE)

    def map(self, window: Window) -> None:
        """Put the device into the engine, at its own physical address."""
        is_reached = self._is_full or self._is_opened(window.base, window.size)
        if not is_reached and window.base not in self._mapped:
            self._mapped.add(window.base)
            self._engine.memory.map_io(window.base, window.size, window.read, window.write)

    def _hole(self, start: int) -> tuple[IoRead, IoWrite]:
        def read(offset: int, width: int) -> int:
            window = self.find(start + offset)
            if window is None:
                if self._abort is not None:
                    self._abort(True)
                return 0
            return window.read(start + offset - window.base, width)

        def write(offset: int, width: int, value: int) -> None:
            window = self.find(start + offset)
            if window is None:
                if self._abort is not None:
                    self._abort(False)
            else:
                window.write(start + offset - window.base, width, value)

        return read, write

    def hide(self, window: Window) -> None:
        """Have the guest's accesses come out as exits."""
        self._space.unmap(window.base, window.size)

    def find(self, address: int) -> Window | None:
        """The window that decodes an address: a device's before one that is empty."""
        return next((w for w in (*self.windows, *self.empty) if w.base <= address < w.base + w.size), None)


def _users(look: Callable[[], object], base: int, read: IoRead, write: IoWrite) -> tuple[IoRead, IoWrite]:
    """The same callbacks, the engine's state brought up to date first; UsageError for what they give and is none."""

    def read_now(offset: int, width: int) -> int:
        look()
        value = read(offset, width)
        if not isinstance(value, int):
            raise no_number(f"the device at {base:#x}, offset {offset:#x}", value, read)
        return value

    def write_now(offset: int, width: int, value: int) -> None:
        look()
        write(offset, width, value)

    return read_now, write_now


def _watched(watch: Watch, base: int, read: IoRead, write: IoWrite) -> tuple[IoRead, IoWrite]:
    """The same callbacks, heard by `watch` as (is a read, address, width, value)."""

    def watched_read(offset: int, width: int) -> int:
        value = read(offset, width)
        watch(True, base + offset, width, value)
        return value

    def watched_write(offset: int, width: int, value: int) -> None:
        watch(False, base + offset, width, value)
        write(offset, width, value)

    return watched_read, watched_write


class _SharedPage:
    """A page with several devices; what none of them decodes reads as zero."""

    def __init__(self, base: int, slots: Sequence[Slot]) -> None:
        self._ranges = [(slot.base - base, slot.base - base + slot.size, slot.device) for slot in slots]

    def read(self, offset: int, width: int) -> int:
        for start, end, device in self._ranges:
            if start <= offset < end:
                return device.read(offset - start, width)
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        for start, end, device in self._ranges:
            if start <= offset < end:
                device.write(offset - start, width, value)
                return
