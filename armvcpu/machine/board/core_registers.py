"""What the cores' own IMPLEMENTATION DEFINED registers say of the machine around them.

Cortex-A72 (100095) 4.3.59, L2CTLR_EL1, and 4.3.68, CBAR_EL1; those of the A53 and the A57 are the same. Written, they
keep what they say. The values are those of QEMU's board, `max` included, which counts on where the field ends.
"""

from __future__ import annotations

from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CORES = 24
"""L2CTLR_EL1, from this bit on: the number of cores, less one."""


def core_registers(
    cpus: int, periphbase: int
) -> Iterator[tuple[int, Callable[[], int] | None, Callable[[int], object] | None]]:
    """How each is read and written, of a machine with `cpus` CPUs whose interrupt controller is at `periphbase`."""
    yield by_name["L2CTLR_EL1"].encoding, lambda: cpus - 1 << _CORES, _ignore
    yield by_name["CBAR_EL1"].encoding, lambda: periphbase, None


def _ignore(_value: int) -> None:
    """What hardware says, not software."""
