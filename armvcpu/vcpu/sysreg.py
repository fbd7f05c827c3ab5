"""What a trapped MRS or MSR does: one table from a register's encoding to who answers for it.

The rows of `arch/registers.py` decide: identification registers show the CPU model, registers that the engine lacks
read as zero, those of absent features are UNDEFINED. Emulated groups (the virtual CPU interface, the physical
timer) and a user's handlers are added to the same table. What is in no table leaves `run()` as an exit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from armvcpu.arch.idregs import presented
from armvcpu.arch.instructions import DC_CVAU, IC_IALLU, IC_IALLUIS, IC_IVAU
from armvcpu.arch.registers import ABSENT, IMPDEF, RAZ, RO, SYSREGS, TRAPPED, WO, by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from armvcpu.arch.idregs import CpuModel
    from armvcpu.vcpu.pmu import Pmu
    from armvcpu.vcpu.timer import PhysicalTimer

ReadRegister = Callable[[], int]
WriteRegister = Callable[[int], object]


class CpuInterface(Protocol):
    """A GICv3 CPU interface."""

    def write(self, encoding: int, value: int) -> bool:
        """MSR of one of its registers."""


Interface = TypeVar("Interface", bound=CpuInterface)

MPIDR_EL1 = by_name["MPIDR_EL1"].encoding
CPACR_EL1 = by_name["CPACR_EL1"].encoding
CTR_EL0 = by_name["CTR_EL0"].encoding
CSSELR_EL1 = by_name["CSSELR_EL1"].encoding
CCSIDR_EL1 = by_name["CCSIDR_EL1"].encoding
PMU_REGISTERS = frozenset(row.encoding for row in SYSREGS if row.name.startswith("PM") and row.home is TRAPPED)


class SysRegTable:
    """Who answers for which register: `readers` and `writers` by packed encoding, and those that are UNDEFINED."""

    def __init__(self, model: CpuModel, *, gicv3: bool, pmu: bool = False) -> None:
        readers, writers, undefined = _fixed(model, gicv3=gicv3, pmu=pmu)
        self.readers, self.writers, self.undefined = dict(readers), dict(writers), set(undefined)
        self.in_place: set[int] = set()
        """What comes so often that the engine is to answer it without a trap: constants, and what it does itself."""
        self._add_cache_selection(model)

    def add(self, encoding: int, read: ReadRegister | None, write: WriteRegister | None) -> None:
        """Answer for a register; without a reader MRS of it is UNDEFINED, without a writer MSR."""
        self.undefined.discard(encoding)
        self.in_place.discard(encoding)
        if read is not None:
            self.readers[encoding] = read
        if write is not None:
            self.writers[encoding] = write

    def add_interface(
        self, interface: Interface, readers: Mapping[int, Callable[[Interface], int]], writers: Iterable[int]
    ) -> None:
        """Answer for the registers of a GICv3 CPU interface, emulated or virtual, that are read and written so."""
        for encoding, reader in readers.items():
            self.add(encoding, partial(reader, interface), None)
        for encoding in writers:
            self.add(encoding, None, partial(interface.write, encoding))

    def add_instruction_cache(self, invalidate: Callable[[int | None], None]) -> None:
        """Act on cache maintenance to the Point of Unification, which HCR_EL2.TPU traps.

        The engine notices a store to code only where the store's own mapping is executable; a guest that writes
        code through another mapping relies on IC. DC CVAU has nothing to clean.
        """
        for encoding in (IC_IALLUIS, IC_IALLU):
            self.add(encoding, None, lambda _value: invalidate(None))
        self.add(IC_IVAU, None, invalidate)
        self.add(DC_CVAU, None, _ignore)
        self.in_place |= {CTR_EL0, IC_IVAU, DC_CVAU}  # not IC IALLU: it may free the very code that runs

    def add_physical_timer(self, timer: PhysicalTimer) -> None:
        """Answer for CNTP_* and CNTPCT_EL0, which CNTHCTL_EL2 traps."""
        self.add(by_name["CNTPCT_EL0"].encoding, lambda: timer.count, None)
        for name in ("ctl", "cval", "tval"):
            row = by_name[f"CNTP_{name.upper()}_EL0"]
            self.add(row.encoding, _attribute_reader(timer, name), _attribute_writer(timer, name))

    def add_pmu(self, pmu: Pmu) -> None:
        """Answer for the Performance Monitors; what of them it does not have is UNDEFINED."""
        self.undefined |= PMU_REGISTERS
        for encoding, read, write in pmu.registers():
            self.add(encoding, read, write)

    def is_undefined(self, encoding: int, *, is_read: bool) -> bool:
        """Is the access UNDEFINED by the architecture or the CPU model?"""
        if encoding in self.undefined:
            return True
        known = encoding in self.readers or encoding in self.writers
        return known and encoding not in (self.readers if is_read else self.writers)

    def _add_cache_selection(self, model: CpuModel) -> None:
        selected = [0]

        def select(value: int) -> None:
            selected[0] = value & 0xF

        self.add(CSSELR_EL1, lambda: selected[0], select)
        self.add(CCSIDR_EL1, lambda: model.ccsidr(selected[0]), None)


@cache
def _fixed(
    model: CpuModel, *, gicv3: bool, pmu: bool
) -> tuple[dict[int, ReadRegister], dict[int, WriteRegister], frozenset[int]]:
    """Readers, writers and UNDEFINED registers that every vCPU of a model has."""
    readers: dict[int, ReadRegister] = {
        encoding: _constant(value) for encoding, value in presented(model, gicv3=gicv3, pmu=pmu).items()
    }
    writers: dict[int, WriteRegister] = {}
    for crm in range(1, 8):  # DDI 0487 D17.1: what is not allocated in this space reads as zero
        for op2 in range(8):
            readers.setdefault(3 << 14 | crm << 3 | op2, _zero)
    for row in SYSREGS:
        if row.home in {RAZ, IMPDEF}:
            if row.access & RO:
                readers[row.encoding] = _zero
            if row.access & WO:
                writers[row.encoding] = _ignore
    undefined = frozenset(row.encoding for row in SYSREGS if row.home is ABSENT)
    return readers, writers, undefined - readers.keys() - writers.keys()


def _zero() -> int:
    return 0


def _ignore(_value: int) -> None:
    """A write without effect."""


def _constant(value: int) -> ReadRegister:
    return lambda: value


def _attribute_reader(timer: PhysicalTimer, name: str) -> ReadRegister:
    return lambda: int(getattr(timer, name))


def _attribute_writer(timer: PhysicalTimer, name: str) -> WriteRegister:
    return lambda value: setattr(timer, name, value)
