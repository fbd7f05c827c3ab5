"""Step through the first instructions of a guest and print each with the registers it changed."""

import sys
from pathlib import Path

from armvcpu import Machine
from armvcpu.debug.disasm import disassemble

HELLO = Path(__file__).parents[1] / "guests" / "bin" / "hello.elf"


def main() -> int:
    """0 when all steps were done."""
    with Machine(HELLO) as machine:
        vcpu = machine.vcpu
        for _ in range(12):
            pc, before = vcpu.state.pc, [vcpu.gpr(i) for i in range(31)]
            word = vcpu.fetch_word()
            assert word is not None
            vcpu.step()
            changes = [f"x{i} = {vcpu.gpr(i):#x}" for i in range(31) if vcpu.gpr(i) != before[i]]
            print(f"{pc:#x} {machine.symbols.format(pc):12} {disassemble(word, pc):36} {', '.join(changes)}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
