"""The private interrupts of one CPU in a GICv2: an SGI is pending once for each CPU that sent it.

IHI 0048 4.3.15 to 4.3.17 (GICD_SGIR, GICD_CPENDSGIR, GICD_SPENDSGIR).
"""

from __future__ import annotations

from typing import Any

from armvcpu.arch.gic_registers import ALL_SGIS, FIRST_SPI, SGIS
from armvcpu.devices.gic.device import Fields
from armvcpu.devices.gic.state import InterruptBank


class PrivateInterrupts(InterruptBank):
    """SGIs, always edge-triggered and enabled, and PPIs.

    An SGI is pending while any CPU's bit is set in `sources`; software changes that by GICD_SPENDSGIR and
    GICD_CPENDSGIR, not by GICD_ISPENDR and GICD_ICPENDR (4.3.7, 4.3.8).
    """

    def __init__(self) -> None:
        super().__init__(range(FIRST_SPI), always_edge=ALL_SGIS, always_enabled=ALL_SGIS)

    def reset(self) -> None:
        """The state after reset."""
        self.sources = [0] * SGIS
        super().reset()

    def send(self, sgi: int, sources: int) -> None:
        """Make an SGI pending from the CPUs of a bitmap."""
        self.sources[sgi] |= sources
        self._latch(sgi)

    def withdraw(self, sgi: int, sources: int) -> None:
        """Make it not pending from these."""
        self.sources[sgi] &= ~sources
        self._latch(sgi)

    def source(self, intid: int) -> int:
        """The CPU whose SGI would be acknowledged next: the lowest; 0 for anything else."""
        pending = self.sources[intid] if intid < SGIS else 0
        return (pending & -pending).bit_length() - 1 if pending else 0

    def acknowledge(self, intid: int) -> None:
        """One source's SGI becomes active; from others it stays pending."""
        super().acknowledge(intid)
        if intid < SGIS:
            self.withdraw(intid, 1 << self.source(intid))

    def set_pending(self, intids: int) -> None:
        """Software sets PPIs pending."""
        super().set_pending(intids & ~ALL_SGIS)

    def clear_pending(self, intids: int) -> None:
        """Software takes PPIs back."""
        super().clear_pending(intids & ~ALL_SGIS)

    def _latch(self, sgi: int) -> None:
        self.latched = self.latched & ~(1 << sgi) | bool(self.sources[sgi]) << sgi
        self.settle()

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"sources": list(self.sources)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self.sources = list(state["sources"])
        super().load_state(state)


def _read_sources(bank: InterruptBank, first: int, count: int) -> int:
    assert isinstance(bank, PrivateInterrupts)
    return int.from_bytes(bytes(bank.sources[first : first + count]), "little")


def _set_sources(bank: InterruptBank, first: int, count: int, value: int) -> None:
    assert isinstance(bank, PrivateInterrupts)
    for sgi, sources in enumerate(value.to_bytes(count, "little"), first):
        bank.send(sgi, sources)


def _clear_sources(bank: InterruptBank, first: int, count: int, value: int) -> None:
    assert isinstance(bank, PrivateInterrupts)
    for sgi, sources in enumerate(value.to_bytes(count, "little"), first):
        bank.withdraw(sgi, sources)


SPENDSGIR = Fields(8, _read_sources, _set_sources, is_command=True)
CPENDSGIR = Fields(8, _read_sources, _clear_sources, is_command=True)
