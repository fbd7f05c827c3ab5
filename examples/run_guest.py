"""Run a guest from Python, and look at how it ended and what it printed.

python examples/run_guest.py [ELF]
"""

import sys
from pathlib import Path

from armvcpu import Machine, MemoryConsole

HELLO = Path(__file__).parents[1] / "guests" / "bin" / "hello.elf"


def main() -> int:
    """The guest's exit status."""
    console = MemoryConsole()
    with Machine(sys.argv[1] if len(sys.argv) > 1 else HELLO, console=console, memory=64 << 20) as machine:
        outcome = machine.run(timeout=10)
        text = console.output.decode(errors="replace")
        print(f"the guest printed {len(text.splitlines())} lines, the last: {text.splitlines()[-1]!r}")
        print(f"it ended: {outcome.ending.name}, {outcome.reason}, status {outcome.status}")
        print(f"PC {machine.vcpu.state.pc:#x} {machine.symbols.format(machine.vcpu.state.pc)}")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
