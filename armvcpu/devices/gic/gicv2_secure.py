"""What Secure accesses see of the Distributor of a GICv2 with Security Extensions. IHI 0048 4.3.

Interrupts of Group 0 are Secure ones; GICD_NSACR says how much of them Non-secure software may deal with all the same
(`gicv2_nonsecure.py`).
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import FIRST_SPI, GICD_SGIR, GICD_TYPER, SGIS
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Register
from armvcpu.devices.gic.gicv2_distributor import Gicv2Distributor

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv2 import Gicv2

_BITS = 2  # of NS_access
_NSACRS = 64


class NonsecureAccess:
    """GICD_NSACR: NS_access of many interrupts, 0 to 3, of INTID n in bits 2n and 2n + 1 of `fields`.

    `intids` are those that have it.
    """

    def __init__(self, intids: range) -> None:
        self._valid = (1 << _BITS * intids.stop) - (1 << _BITS * intids.start)
        self.fields = 0

    def set(self, fields: int) -> None:
        """Set all of it."""
        self.fields = fields & self._valid

    def allows(self, intid: int, level: int) -> bool:
        """Is that of an interrupt this much at least?"""
        return self.fields >> _BITS * intid & 3 >= level


class SecureDistributor(Gicv2Distributor):
    """GICD with everything in it."""

    GICD_NSACR = Register(0xE00, count=_NSACRS)

    def __init__(self, gic: Gicv2, current_cpu: Callable[[], int]) -> None:
        self._of_spis = NonsecureAccess(gic.shared.intids)
        self._of_sgis = [NonsecureAccess(range(SGIS)) for _ in gic.interfaces]
        super().__init__(gic, current_cpu)

    def reset(self) -> None:
        """As without Security Extensions; of Secure interrupts everything is."""
        self._of_spis.set(0)
        for access in self._of_sgis:
            access.set(0)
        super().reset()

    def access(self, intid: int) -> NonsecureAccess:
        """NS_access of SPIs, or of the SGIs of the CPU that accesses; PPIs have none (4.3.18)."""
        return self._of_spis if intid >= FIRST_SPI else self._of_sgis[self._current_cpu()]

    def read_GICD_TYPER(self) -> int:
        """How many interrupts and CPUs there are; no SPI can be locked."""
        return super().read_GICD_TYPER() | GICD_TYPER.of(SecurityExtn=1)

    def write_GICD_SGIR(self, value: int) -> None:
        """Send an SGI to those CPUs that have it in the group that NSATT names (4.3.15)."""
        sgir = GICD_SGIR(value)
        self.send_sgi(value, self.in_group1(sgir.INTID) ^ (0 if sgir.NSATT else self.everyone))

    def send_nonsecure_sgi(self, value: int) -> None:
        """GICD_SGIR, written by Non-secure software: to CPUs that have the SGI in Group 1 or with NS_access."""
        sgir = GICD_SGIR(value)
        allowed = sum(access.allows(sgir.INTID, 1) << cpu for cpu, access in enumerate(self._of_sgis))
        self.send_sgi(value, self.in_group1(sgir.INTID) | allowed)

    def in_group1(self, sgi: int) -> int:
        """The CPUs that have an SGI in Group 1, as a bitmap."""
        banks = (interface.private for interface in self._gic.interfaces)
        return sum((bank.group1 >> sgi & 1) << cpu for cpu, bank in enumerate(banks))

    # --- GICD_NSACR: of 16 interrupts each, the first one Banked

    def read_GICD_NSACR(self, index: int) -> int:
        """NS_access of 16 interrupts."""
        return self.access(SGIS * index).fields >> 32 * index & 0xFFFF_FFFF

    def write_GICD_NSACR(self, value: int, index: int) -> None:
        """Set it."""
        access = self.access(SGIS * index)
        access.set(access.fields & ~(0xFFFF_FFFF << 32 * index) | value << 32 * index)

    def _stored(self, register: Register[Any], index: int) -> Callable[[], int]:
        if register is type(self).GICD_NSACR:
            return lambda: self.read_GICD_NSACR(index)
        return super()._stored(register, index)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers and all interrupts."""
        sgis = [access.fields for access in self._of_sgis]
        return {**super().state(), "nonsecure_access": {"spis": self._of_spis.fields, "sgis": sgis}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of as many CPUs; the lines follow."""
        self._of_spis.set(state["nonsecure_access"]["spis"])
        for access, fields in zip(self._of_sgis, state["nonsecure_access"]["sgis"], strict=True):
            access.set(fields)
        super().load_state(state)
