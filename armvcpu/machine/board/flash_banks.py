"""The contents of the flash banks: host memory that the guest reads as memory, changed by the device only.

A bank is an image with erased flash (0xFF) behind it, or memory that is read from a file, a block of 2 MiB when
somebody first looks at it, and written to that file with each programming: so the file is at every moment what the
guest has programmed. Erased blocks share one block of the host's, until the guest programs them, and are mapped when it
first looks at them.
"""

from __future__ import annotations

import mmap
from functools import cache

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError
from armvcpu.machine.board.virt import FLASH_BASES, FLASH_SIZE, MIB
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.copy_on_write import Image
    from armvcpu.machine.board.flash_file import FlashFile
    from armvcpu.machine.kinds import PathLike
    from armvcpu.vcpu.addrspace import AddressSpace

ROM = MappingFlags.READ | MappingFlags.EXECUTE
DEVICE = MappingFlags.READ | MappingFlags.WRITE | MappingFlags.DEVICE
BLOCK = 2 * MIB
PIECE = 256 << 10
"""What a snapshot keeps at once: a block of the flash chips."""
HOST_BASE = 0xE00_0000_0000
"""Where contents lie in the engine's physical memory: away from the guest's addresses, which alias them."""
_ZEROES = bytes(BLOCK)


class FlashBank:
    """One bank: erased but for what is loaded, or the file `path`, which is created where there is none."""

    def __init__(self, bank: int, path: PathLike | None = None) -> None:
        self._bank, self.base = bank, FLASH_BASES[bank]
        self._host_base = HOST_BASE + (bank + 1) * 2 * FLASH_SIZE
        self._blocks: dict[int, memoryview] = {}
        self._original: dict[int, bytes] = {}
        self.writes = 0
        """How often `put` has written."""
        self._file: FlashFile | None = None
        self._memory: memoryview | None = None
        """All of it, where there is a file; what of it has been read is `_populated`."""
        self._engine: Engine | None = None
        self._space: AddressSpace | None = None
        self._is_shown = self._is_whole = self.shows_device = False
        self.had_commands = False
        """Has the guest stored to it since power-on? That is what takes its contents away."""
        self._populated: set[int] = set()
        self.is_executed = bank == 0
        """May there be translated code of it? Of the firmware's bank from the start, of the other one when it asks."""
        if path is not None:
            from armvcpu.machine.board.flash_file import FlashFile  # most machines have none

            self._file, self._memory = FlashFile(path), memoryview(mmap.mmap(-1, FLASH_SIZE))

    def close(self) -> None:
        """Close its file; may be called twice."""
        if self._file is not None:
            self._file.close()

    def load(self, offset: int, data: bytes) -> None:
        """What it holds there from power-on, before `attach`."""
        end = offset + len(data)
        for block in range(offset & -BLOCK, end, BLOCK):
            first, behind = max(offset - block, 0), min(end - block, BLOCK)
            part = data[block + first - offset : block + behind - offset]
            memory = self._blocks.get(block)
            if memory is None:
                memory = self._blocks[block] = memoryview(mmap.mmap(-1, BLOCK))
                memory[:first] = _erased()[:first]
                memory[behind:] = _erased()[behind:]
                if part == _ZEROES:  # images are padded with them, and fresh memory has them
                    continue
            memory[first:behind] = part

    def __len__(self) -> int:
        return FLASH_SIZE

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(FLASH_SIZE)
        pieces = []
        while start < stop:
            end = min(stop, (start & -BLOCK) + BLOCK)
            pieces.append(bytes(self._block(start & -BLOCK)[start % BLOCK : start % BLOCK + end - start]))
            start = end
        return b"".join(pieces)

    def put(self, offset: int, data: bytes) -> None:
        """Replace bytes, all of them in one block of 256 KiB; OSError, and none is, where the file can't."""
        self.writes += 1
        piece = offset & -PIECE
        if piece not in self._original:
            self._original[piece] = self[piece : piece + PIECE]
        if self._file is not None:
            self._file.write(offset, data, self[offset : offset + len(data)])
        memory = self._own(offset & -BLOCK)
        memory[offset % BLOCK : offset % BLOCK + len(data)] = data
        if self._engine is not None and self.is_executed:
            self._engine.code.invalidate()

    def changes(self) -> dict[int, bytes]:
        """The pieces that have been changed since the start, as they are now."""
        return {piece: self[piece : piece + PIECE] for piece in self._original}

    def load_changes(self, changes: dict[int, bytes]) -> None:
        """Return to what `changes()` gave; ImageError where the file can't be written."""
        try:
            for piece, data in {**self._original, **changes}.items():
                self.put(piece, data)
        except OSError as error:
            path = "" if self._file is None else self._file.path
            raise ImageError(path, f"cannot be written: {error.strerror}", "make room, or use a copy") from error

    # --- memory

    def _block(self, block: int) -> memoryview | bytes:
        if self._file is not None:
            return self._read(self._file, block)
        own = self._blocks.get(block)
        return _erased() if own is None else own

    def _own(self, block: int) -> memoryview:
        """The block as memory of the bank's own."""
        if self._file is not None:
            return self._read(self._file, block)
        memory = self._blocks.get(block)
        if memory is None:
            memory = self._blocks[block] = memoryview(mmap.mmap(-1, BLOCK))
            memory[:] = _erased()
            if self._engine is not None:
                self._engine.memory.map_ram(self._host_base + block, memory)
                if self._is_shown:
                    self.show(False)
                    self.show(True)
        return memory

    def _read(self, file: FlashFile, block: int) -> memoryview:
        """The block as the file has it."""
        assert self._memory is not None
        memory = self._memory[block : block + BLOCK]
        if block not in self._populated:
            file.read_into(memory, block)
            self._populated.add(block)
        return memory

    @property
    def is_missed(self) -> bool:
        """Does no stage 2 of ours ask for what is not shown?"""
        return self._is_whole

    def attach_whole(self, engine: Engine) -> None:
        """Show it to a guest whose stage 2 is its own: the chips are at its addresses, its contents are read elsewhere.

        All of its memory is mapped, since no more can be while the guest accesses a device.
        """
        self._engine, self._is_whole = engine, True
        if self._memory is None:
            self._memory = memoryview(mmap.mmap(-1, FLASH_SIZE))
            for block in range(0, FLASH_SIZE, BLOCK):
                part = self._memory[block : block + BLOCK]
                if block in self._blocks:
                    part[:] = self._blocks[block]
                else:
                    _erased_image().map_over(part)
                self._blocks[block] = part
        else:
            self._populate_all()
        engine.memory.map_ram(self._host_base, self._memory)
        self.show(True)

    def attach(self, engine: Engine, space: AddressSpace, *, shows_device: bool, is_lazy: bool) -> None:
        """Show it to the guest; with `is_lazy` blocks that are not loaded come at the first look.

        The block at HOST_BASE is erased. `shows_device`: in place of its contents the guest may reach the chips without
        a trap. Only where all of the memory is mapped already, since no more can be while the guest accesses a device.
        """
        self._engine, self._space = engine, space
        self.shows_device = shows_device and self._file is not None
        if self._memory is not None:
            engine.memory.map_ram(self._host_base, self._memory)
        for block, memory in self._blocks.items():
            engine.memory.map_ram(self._host_base + block, memory)
        if not is_lazy:
            self._populate_all()
        self.show(True)

    def _populate_all(self) -> None:
        for block in range(0, FLASH_SIZE, BLOCK):
            if self._file is not None:
                self._read(self._file, block)
            self._populated.add(block)

    def show(self, shown: bool) -> None:
        """Have the guest read it as memory, or come to the device."""
        space = self._space
        if (space is None and not self._is_whole) or shown == self._is_shown:
            return
        self._is_shown = shown
        self.had_commands |= not shown
        if space is None:
            assert self._engine is not None
            self._engine.memory.read_elsewhere(self.base, FLASH_SIZE, self._host_base if shown else None)
            return
        space.unmap(self.base, FLASH_SIZE)
        if not shown:
            if self.shows_device:
                space.map_linear(self.base, self.base, FLASH_SIZE, DEVICE)
        else:
            for block in self._populated.union(self._blocks):
                is_own = block in self._blocks or self._file is not None
                self._map(space, block, self._host_base + block if is_own else HOST_BASE)

    def populate(self, address: int) -> bool:
        """After a stage-2 fault: is there a block that nobody has looked at, which the guest sees from now on?"""
        block = address - self.base & -BLOCK
        if not self._is_shown or self._space is None or not 0 <= block < FLASH_SIZE:
            return False
        if block in self._blocks or self._space.translate(self.base + block) is not None:
            return False
        if self._file is not None:
            self._read(self._file, block)
        self._populated.add(block)
        self._map(self._space, block, HOST_BASE if self._file is None else self._host_base + block)
        return True

    def _map(self, space: AddressSpace, offset: int, host: int) -> None:
        if host == HOST_BASE:
            _fill_erased_block()  # now, since it takes 2 ms and most guests never look
        space.map_linear(self.base + offset, host, BLOCK, ROM, lazy_execute=not self.is_executed)


@cache
def _erased() -> memoryview:
    """The contents of an erased block."""
    return memoryview(b"\xff" * BLOCK)


@cache
def _erased_image() -> Image:
    """The same as a file that is mapped copy-on-write: filling a bank would take longer than booting."""
    from armvcpu.machine.board.copy_on_write import Image  # few machines start above EL1

    return Image.of(_erased(), [(0, BLOCK)])


@cache
def erased_block() -> memoryview:
    """What all erased blocks of all machines share; `_fill_erased_block` before a guest sees it."""
    return memoryview(mmap.mmap(-1, BLOCK))


@cache
def _fill_erased_block() -> None:
    erased_block()[:] = _erased()
