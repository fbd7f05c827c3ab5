"""What an instruction accesses, where the engine tells of an access that it is about to make.

The engine makes some accesses in pieces: a pair is two, an unaligned store one of each byte, an unaligned load two
wider ones, and a compare and swap a load and a store, whatever it compares. What is meant is in the instruction's
encoding.
"""

from __future__ import annotations

from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.arch.accesses import MemoryAccess
    from armvcpu.engine.api import Engine

_DCZID = by_name["DCZID_EL0"].encoding
_FRAME_SP = 31


def instruction_access(engine: Engine) -> MemoryAccess | None:
    """The access of the instruction at PC of the state that is loaded; None where it makes none that is known."""
    from armvcpu.arch.accesses import memory_access  # most guests are not watched

    state = engine.state
    word = engine.memory.fetch_word(state.pc)
    if word is None:
        return None
    zva_size = 4 << (engine.registers.read(_DCZID) & 0xF)
    return memory_access(word, state.pc, state.gpr, state.frame[_FRAME_SP], zva_size)


def touched(engine: Engine, address: int, width: int, *, is_write: bool) -> tuple[int, int] | None:
    """Of an access that the engine tells of: virtual address and bytes of what the instruction at PC accesses.

    None where it won't: a compare and swap whose memory is another does not write.
    """
    access = instruction_access(engine)
    if access is None:
        return address, width
    begin = access.address
    if (begin ^ address) >> 56:  # a tag, which the engine has taken away (DDI 0487 D8.8)
        begin = begin & (1 << 56) - 1 | address >> 56 << 56
    if is_write and access.expected is not None:
        data = engine.memory.read_virtual(begin, access.width)
        if data is not None and int.from_bytes(data, "little") != access.expected:
            return None
    return begin, access.width
