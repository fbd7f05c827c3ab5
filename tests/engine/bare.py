"""A bare engine for tests: 128 KiB of RAM, no stage 2, and a handler that keeps each exception and leaves."""

from __future__ import annotations

import mmap
import struct

from armvcpu.arch.registers import by_name
from armvcpu.engine.unicorn_engine import UnicornEngine

RAM, CODE = 0x4000_0000, 0x4000_1000
RAM_SIZE = 0x20000
SVC_END = 0xD400_1E01  # svc #0xf0: what a snippet ends with
END_ESR = 0x5600_00F0
EL0, EL1 = 0x3C0, 0x3C5  # PSTATE: that level, all exceptions masked
ALL_CLASSES = (1 << 64) - 1
NOP, FADD = 0xD503_201F, 0x1E61_2800


class BareEngine:
    """`run_words` executes a snippet and gives (ESR, target EL, offset of PC) of what ended it."""

    def __init__(self, counting: bool = False) -> None:
        self.engine = UnicornEngine()
        if counting:
            self.engine.count_instructions()
        self.ram = memoryview(mmap.mmap(-1, RAM_SIZE))
        self.engine.memory.map_ram(RAM, self.ram)
        self.engine.set_trap_handler(self._trap)
        self.engine.listen.hear_exceptions(ALL_CLASSES)
        self.traps: list[tuple[int, int, int]] = []

    def _trap(self, target: int, esr: int, _far: int) -> None:
        self.traps.append((esr, target, self.engine.state.pc - CODE))
        self.engine.leave()

    def place(self, *words: int, pstate: int = EL1, **sysregs: int) -> None:
        """A fresh state with the snippet at CODE, PC on it and every general register CODE + 4."""
        state = self.engine.new_state()
        self.engine.load(state)
        self.ram[0x1000 : 0x1000 + 4 * len(words) + 4] = struct.pack(f"<{len(words) + 1}I", *words, SVC_END)
        self.engine.code.invalidate()
        for name, value in sysregs.items():
            self.engine.registers.write(by_name[name].encoding, value)
        self.engine.registers.write_pstate(pstate)
        for index in range(31):
            state.set_gpr(index, CODE + 4)
        state.set_pc(CODE)
        self.traps.clear()

    def run_words(self, *words: int, pstate: int = EL1, **sysregs: int) -> tuple[int, int, int]:
        self.place(*words, pstate=pstate, **sysregs)
        self.engine.run()
        return self.traps[-1]

    def close(self) -> None:
        self.engine.close()
