"""Be a device: 256 bytes of storage at 0x0B000000 and, at offset 0x100, a counter of the loads from it.

The guest `mmio` tries every kind of load and store on it and says what it finds.
"""

import sys
from pathlib import Path

from armvcpu import Machine, MemoryConsole

GUEST = Path(__file__).parents[1] / "guests" / "bin" / "mmio.elf"
storage, loads = bytearray(256), [0]


def read(offset: int, width: int) -> int:
    """A load of `width` bytes at `offset`."""
    if offset == 0x100:
        return loads[0]
    loads[0] += 1
    return int.from_bytes(storage[offset : offset + width], "little")


def write(offset: int, width: int, value: int) -> None:
    """A store."""
    storage[offset : offset + width] = value.to_bytes(width, "little")


def main() -> int:
    """The guest's exit status."""
    console = MemoryConsole()
    with Machine(GUEST, console=console) as machine:
        machine.on_mmio(0x0B00_0000, 0x1000, read, write)
        outcome = machine.run(timeout=10)
    print(console.output.decode().splitlines()[-1])
    print(f"the device served {loads[0]} loads; it holds {storage[8:16].hex(' ')} at offset 8")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
