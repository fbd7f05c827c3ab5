"""Look into a guest where it calls a function: its registers, memory, system registers and symbols."""

import sys
from pathlib import Path

from armvcpu import Aarch64VCpu, Machine
from armvcpu.arch.registers import by_name

HELLO = Path(__file__).parents[1] / "guests" / "bin" / "hello.elf"


def main() -> int:
    """The guest's exit status."""
    with Machine(HELLO) as machine:

        @machine.on_symbol("main")
        def look(vcpu: Aarch64VCpu) -> None:
            print(f"main(device_tree = {vcpu.gpr(0):#x}), called from {machine.symbols.format(vcpu.gpr(30))}")
            print(vcpu.trap_frame)
            print(f"the tree's magic: {machine.read(vcpu.gpr(0), 4).hex()}")
            vbar = machine.engine.registers.read(by_name["VBAR_EL1"].encoding)
            print(f"VBAR_EL1 {vbar:#x} {machine.symbols.format(vbar)}")

        outcome = machine.run(timeout=10)
        print(outcome.reason)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
