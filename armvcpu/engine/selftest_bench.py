"""What the engine's self-test and tests run guests on: 64 KiB of RAM, a stage 2 for it, and a note of each trap.

Programs are a few instruction words with their assembly in a comment: the engine layer has no assembler, and a
check must not depend on one.
"""

from __future__ import annotations

import mmap
import struct

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.pstate import DAIF, EL1h
from armvcpu.arch.registers import by_name
from armvcpu.arch.stage2 import ADDRESS_MASK, PAGE_TYPE, S2AP, SH, TABLE_TYPE, XN, MemAttr, Stage2Descriptor
from armvcpu.arch.stage2 import Stage2Geometry as Geometry
from armvcpu.arch.static import TYPE_CHECKING, NamedTuple
from armvcpu.engine.api import PRIVATE_BASE, TABLES_OFFSET, Engine, RunEnd

if TYPE_CHECKING:
    from collections.abc import Callable

RAM, RAM_SIZE, PAGE = 0x4000_0000, 0x1_0000, 0x1000
CODE, VECTORS, DATA = RAM, RAM + 0x1000, RAM + 0x2000
NOWHERE = 0x0900_0018
"""An address that the bench's stage 2 does not map: level 1 has no entry for it."""

NOP, ERET, WFI, UDF = 0xD503_201F, 0xD69F_03E0, 0xD503_207F, 0x0000_0000
ADD_X0_1, ADD_X1_1 = 0x9100_0400, 0x9100_0421  # add x0, x0, #1; add x1, x1, #1
LDR_X0_X0, LDR_X3_X2, STR_X3_X2_8 = (
    0xF940_0000,
    0xF940_0043,
    0xF900_0443,
)  # ldr x0, [x0]; ldr x3, [x2]; str x3, [x2, #8]
BR_X2 = 0xD61F_0040  # br x2
UNMASK_IRQ = 0xD503_42FF  # msr daifclr, #2

HCR_RW = HCR_EL2.of(RW=1)
PSTATE_MASKED = DAIF | EL1h
_GEOMETRY = Geometry(levels=3, input_bits=39)
_PA_BITS = 44  # of the engine's CPU
_TABLES = PRIVATE_BASE + TABLES_OFFSET
_LEVEL_3 = 0x2000
"""Offset of the level 3 table in the engine's memory for tables; levels 1 and 2 have the two pages below."""


def svc(immediate: int) -> int:
    """The word of `svc #immediate`."""
    return 0xD400_0001 | immediate << 5


def hvc(immediate: int) -> int:
    """The word of `hvc #immediate`."""
    return 0xD400_0002 | immediate << 5


def branch(words: int) -> int:
    """The word of `b .+4*words`."""
    return 0x1400_0000 | words & 0x3FF_FFFF


class MismatchError(Exception):
    """The engine did something else than the architecture says; the text is what, in a few words."""


class Seen(NamedTuple):
    """One trap: the handler's arguments, and the state's PC and HPFAR_EL2 as it saw them."""

    target_el: int
    esr: int
    far: int
    pc: int
    hpfar: int


class Bench:
    """An engine with RAM, on which small programs run. By default a trap is noted in `seen` and ends the run.

    Exceptions to EL1 are traps too.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ram = memoryview(mmap.mmap(-1, RAM_SIZE))
        self.seen: list[Seen] = []
        self.on_trap: Callable[[Seen], None] = self._leave
        engine.memory.map_ram(RAM, self.ram)
        engine.set_trap_handler(self._trap)
        engine.listen.hear_exceptions((1 << 64) - 1)

    def start(self, *words: int, hcr: int = 0, stage2: bool = False) -> None:
        """Load a state as after reset and put `words` at CODE, to be executed from there with VBAR_EL1 = VECTORS."""
        self.engine.load(self.engine.new_state())
        self.engine.listen.hear_exceptions((1 << 64) - 1)
        self.seen.clear()
        self.on_trap = self._leave
        self.ram[:] = bytes(RAM_SIZE)
        self.put(CODE, *words)
        self.engine.state.set_pc(CODE)
        self.write("VBAR_EL1", VECTORS)
        self.write("HPFAR_EL2", 0)
        if stage2:
            self.build_stage2()
            hcr |= HCR_EL2.of(VM=1)
        self.write("HCR_EL2", HCR_RW | hcr)

    def put(self, address: int, *words: int) -> None:
        """Write instruction words to RAM, and forget what was translated from there."""
        offset = address - RAM
        self.ram[offset : offset + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
        self.engine.code.invalidate()

    def put_u64(self, address: int, *values: int) -> None:
        """Write data to RAM, 64 bits each."""
        offset = address - RAM
        self.ram[offset : offset + 8 * len(values)] = struct.pack(f"<{len(values)}Q", *values)

    def run(self, limit: int = 0) -> RunEnd:
        """Run the loaded state."""
        return self.engine.run(limit)

    def run_to_trap(self) -> Seen:
        """Run to the next trap that leaves; MismatchError where the run ends in another way."""
        end = self.engine.run()
        if end is not RunEnd.LEFT:
            raise MismatchError(f"no trap came: {end.value}")
        return self.seen[-1]

    def read(self, name: str) -> int:
        """A system register of the loaded state by name."""
        return self.engine.registers.read(by_name[name].encoding)

    def write(self, name: str, value: int) -> None:
        """Write a system register of the loaded state by name."""
        self.engine.registers.write(by_name[name].encoding, value)

    def gpr(self, index: int) -> int:
        """Xn of the loaded state."""
        return self.engine.state.gpr(index)

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn of the loaded state."""
        self.engine.state.set_gpr(index, value)

    # --- stage 2 ----------------------------------------------------------------------------------------------

    def build_stage2(self) -> None:
        """Tables that map RAM to itself in pages with every permission, and nothing else."""
        tables = self.engine.memory.tables
        tables[: _LEVEL_3 + PAGE] = bytes(_LEVEL_3 + PAGE)
        for level, offset in ((1, 0), (2, PAGE)):
            entry = (_TABLES + offset + PAGE) & ADDRESS_MASK | TABLE_TYPE
            struct.pack_into("<Q", tables, offset + 8 * _GEOMETRY.index(RAM, level), entry)
        for page in range(RAM, RAM + RAM_SIZE, PAGE):
            self.map_page(page, page)
        self.write("VTCR_EL2", _GEOMETRY.vtcr_el2(_PA_BITS))
        self.write("VTTBR_EL2", _TABLES)

    def map_page(self, ipa: int, pa: int, s2ap: S2AP = S2AP.RW, xn: XN = XN.EXECUTABLE) -> None:
        """Map one page of the first 2 MiB at RAM."""
        leaf = Stage2Descriptor.of(MemAttr=MemAttr.NORMAL_WB, S2AP=s2ap, SH=SH.INNER, AF=1, XN=xn)
        struct.pack_into("<Q", self.engine.memory.tables, _LEVEL_3 + 8 * _GEOMETRY.index(ipa, 3), pa | PAGE_TYPE | leaf)
        self.engine.memory.flush_tlb()

    # --- traps ------------------------------------------------------------------------------------------------

    def _trap(self, target_el: int, esr: int, far: int) -> None:
        state = self.engine.state
        seen = Seen(target_el, esr, far, state.pc, state.hpfar_el2)
        self.seen.append(seen)
        self.on_trap(seen)

    def _leave(self, _seen: Seen) -> None:
        self.engine.leave()

    def go_on(self, _seen: Seen) -> None:
        """A handler for `on_trap` that lets the guest go on after the trap."""
