"""What MRS and MSR of a register do that is not just the engine's: one table from its encoding to who answers for it.

The rows of `arch/registers.py` decide: identification registers show the CPU model, registers that the engine lacks
read as zero, those of absent features are UNDEFINED. Emulated groups (the virtual CPU interface, the physical
timer) and a user's handlers are added to the same table. What is in no table leaves `run()` as an exit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from armvcpu.arch.idregs import absent_registers, presented
from armvcpu.arch.instructions import IC_IALLU, IC_IALLUIS, IC_IVAU
from armvcpu.arch.registers import (
    ABSENT,
    IMPDEF,
    RAZ,
    RO,
    SYSREGS,
    TRAPPED,
    WO,
    Access,
    by_encoding,
    by_name,
    lowest_el,
    op,
)
from armvcpu.arch.registers import NATIVE as IN_THE_ENGINE
from armvcpu.arch.static import TYPE_CHECKING, Any, NamedTuple
from armvcpu.engine.api import (
    ALIAS,
    BEFORE_NATIVE,
    CONSTANT,
    COUNT,
    IGNORED,
    INSTRUCTION_CACHE,
    NATIVE,
    PYTHON,
    REGIME,
    UNDEFINED,
    WHOLE_INSTRUCTION_CACHE,
    WORD,
    RegisterRows,
    word_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from armvcpu.arch.idregs import CpuModel
    from armvcpu.arch.registers import SysReg
    from armvcpu.engine.api import RowShape

ReadRegister = Callable[[], int]
WriteRegister = Callable[[int], object]
Listener = Callable[[int], int]
"""Called with what the guest writes to a register; gives what is written."""
NONE = Access(0)
Observe = Callable[[int, bool, int], None]


CSSELR_EL1 = by_name["CSSELR_EL1"].encoding
CCSIDR_EL1 = by_name["CCSIDR_EL1"].encoding
_DCZID_EL0 = by_name["DCZID_EL0"].encoding
_NO_REGISTER = op(2, 0, 0, 1, 0)
"""The engine has MDCCSR_EL0 there, whose op1 is 3 (D17.3.15)."""
_REGIME = tuple(by_name[name].encoding for name in ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "HCR_EL2"))
"""What of the TLB follows from a write of these is EL1's and EL0's."""
PMU_REGISTERS = frozenset(row.encoding for row in SYSREGS if row.name.startswith("PM") and row.home is TRAPPED)


class Answers(NamedTuple):
    """Who answers for one register, and what is known of it."""

    read: ReadRegister | None
    write: WriteRegister | None
    listener: Listener | None
    """Of a register of the engine's own: who hears of what the guest writes, and says what is written."""
    follower: WriteRegister | None
    is_undefined: bool
    constant: int | None
    words: memoryview | None
    native: Access | None


class SysRegTable:
    """Who answers for which register: `readers` and `writers` by packed encoding, and those that are UNDEFINED.

    `rows` is what an engine takes of it: constants become part of the translated code, all others are asked here. `el`
    is the guest's highest Exception level, 1 to 3. Registers above it are not among those that are UNDEFINED: the
    engine has them, and lets no lower level access them.
    """

    def __init__(self, model: CpuModel, *, el: int = 1, gicv3: bool, pmu: bool = False) -> None:
        constants, readers, writers, undefined = _fixed(model, el=el, gicv3=gicv3, pmu=pmu)
        self._constants, self._el = dict(constants), el
        self.readers, self.writers, self.undefined = dict(readers), dict(writers), set(undefined)
        self.looks: dict[int, ReadRegister] = {}
        """How a register is looked at, where a read of the guest's changes something beside it."""
        self.kept: dict[int, tuple[ReadRegister, WriteRegister]] = {}
        """The registers whose value is nowhere but here, whoever else answers for them."""
        self.lacked = undefined
        """What the model lacks; a handler may answer for it all the same."""
        self._listeners: dict[int, tuple[Listener, int]] = {}
        self.followers: dict[int, WriteRegister] = {}
        """Who hears of each value that a register of the engine's own gets, and has no say."""
        self._others: dict[int, tuple[int, int, int]] = {}
        """Registers of the engine's own that are read as something else of the engine's, and not written."""
        self._native: dict[int, Access] = {}
        """Registers of the engine's own that somebody answers for here, and which directions they have there."""
        self._words: dict[int, memoryview] = {}
        self._observe: Observe | None = None
        self._rows: RegisterRows | None = None
        self._add_cache_selection(model)

    def add(self, encoding: int, read: ReadRegister | None, write: WriteRegister | None) -> None:
        """Answer for a register; without a reader MRS of it is UNDEFINED, without a writer MSR.

        A register that the engine has itself keeps it for the direction that nobody answers.
        """
        self._rows = None
        self.undefined.discard(encoding)
        self._constants.pop(encoding, None)
        self._words.pop(encoding, None)
        row = by_encoding.get(encoding)
        if row is not None and row.home is IN_THE_ENGINE:
            self._native[encoding] = row.access
        if read is not None:
            self.readers[encoding] = read
        if write is not None:
            self.writers[encoding] = write

    def answers(self, encoding: int) -> Answers:
        """Who answers for a register now: what `put_back` returns to."""
        return Answers(
            self.readers.get(encoding), self.writers.get(encoding), self._listeners.get(encoding, (None, 0))[0],
            self.followers.get(encoding), encoding in self.undefined, self._constants.get(encoding),
            self._words.get(encoding), self._native.get(encoding),
        )  # fmt: skip

    def put_back(self, encoding: int, before: Answers) -> None:
        """Have those answer for a register who did before `add`."""
        self._rows = None
        kept: tuple[tuple[dict[int, Any], object], ...] = (
            (self.readers, before.read), (self.writers, before.write), (self._constants, before.constant),
            (self._words, before.words), (self._native, before.native),
        )  # fmt: skip
        for table, value in kept:
            if value is None:
                table.pop(encoding, None)
            else:
                table[encoding] = value
        if before.is_undefined:
            self.undefined.add(encoding)

    def share(self, encoding: int, words: memoryview) -> None:
        """A register that is answered here is a number that the engine may read, and mostly write, itself.

        `words` are four of 64 bits: the value, the lowest and the highest that nothing follows from when it is written,
        and the bits that are kept. Who answers is asked where a write is of another value; nobody is, of the others.
        """
        self._rows = None
        self._words[encoding] = words

    def listen(self, encoding: int, listener: Listener | None, bits: int = 0) -> None:
        """Call `listener` with what the guest writes to a register of the engine's own; what it gives is written.

        With `bits`, of a register without side effects, only where one of them is set, before or by the write.
        """
        self._rows = None
        if listener is None:
            self._listeners.pop(encoding, None)
        else:
            self._listeners[encoding] = listener, bits

    def follow(self, encoding: int, follower: WriteRegister) -> None:
        """Call `follower` with each value that a register of the engine's own is about to get, whoever writes it."""
        self._rows, self.followers[encoding] = None, follower

    def read_as(self, encoding: int, other: int) -> None:
        """Have a register of the engine's own, that can't be written, read as another one of it."""
        self._rows, self._others[encoding] = None, (ALIAS, UNDEFINED, other)

    def count_from_origin(self, *encodings: int) -> None:
        """Have counts of the engine's own be read less where counts begin (`Engine.set_count_origin`)."""
        self._rows = None
        self._others |= dict.fromkeys(encodings, (COUNT, UNDEFINED, 0))

    def observe(self, observe: Observe | None) -> None:
        """Have `observe` hear of each access that is answered here, constants too: encoding, is a read, value."""
        if observe is not self._observe:
            self._rows, self._observe = None, observe

    @property
    def rows(self) -> RegisterRows:
        """What answers in an engine; another object after each change."""
        if self._rows is None:
            self._rows = self._make_rows()
        return self._rows

    def _make_rows(self) -> RegisterRows:
        rows = RegisterRows()
        shape: dict[int, tuple[int, int, int]] = {
            encoding: (UNDEFINED, UNDEFINED, 0)
            for encoding in self.undefined
            if encoding not in self.readers and encoding not in self.writers
        }
        shape |= self._others
        for encoding in self.readers.keys() | self.writers.keys():
            shape[encoding] = self._directions(encoding)
        for encoding in self._listeners.keys() | self.followers.keys():
            if encoding not in self.writers:  # somebody who answers a write comes first: the engine's register has none
                follower = self.followers.get(encoding)
                listener, bits = self._listeners.get(encoding, (None, 0))
                shape[encoding] = shape.get(encoding, (NATIVE,))[0], BEFORE_NATIVE, 0 if follower else bits
                rows.writes[encoding] = _followed(listener, follower)
        rows.words.update(self._words)
        rows.reads.update(self.readers)
        rows.writes.update(self.writers)
        if self._observe is not None:
            for encoding, read in self.readers.items():
                rows.reads[encoding] = _observed_read(read, encoding, self._observe)
            for encoding, write in self.writers.items():
                rows.writes[encoding] = _observed_write(write, encoding, self._observe)
        for encoding in (IC_IALLUIS, IC_IALLU):
            shape.setdefault(encoding, (UNDEFINED, WHOLE_INSTRUCTION_CACHE, 0))
        shape.setdefault(IC_IVAU, (UNDEFINED, INSTRUCTION_CACHE, 0))
        for encoding in _REGIME if self._el > 1 else ():
            shape.setdefault(encoding, (NATIVE, REGIME, 0))
        found = tuple(sorted(shape.items()))
        rows.shape = _shapes.setdefault(found, found)
        return rows

    def _directions(self, encoding: int) -> tuple[int, int, int]:
        native = self._native.get(encoding, NONE)
        read = PYTHON if encoding in self.readers else NATIVE if native & RO else UNDEFINED
        write = PYTHON if encoding in self.writers else NATIVE if native & WO else UNDEFINED
        if self._observe is None:
            if encoding in self._words:
                return WORD, WORD, 0
            if self.writers.get(encoding) is _ignore:
                write = IGNORED
            if encoding in self._constants and write in {UNDEFINED, IGNORED}:
                return CONSTANT, write, self._constants[encoding]
        return read, write, 0

    def add_all(self, registers: Iterable[tuple[int, ReadRegister | None, WriteRegister | None]]) -> None:
        """Answer for a group of registers, as `add` does for each: those of a GICv3 CPU interface, for example."""
        for encoding, read, write in registers:
            self.add(encoding, read, write)

    def add_pmu(
        self,
        registers: Iterable[tuple[int, ReadRegister | None, WriteRegister | None]],
        words: Mapping[int, memoryview],
    ) -> None:
        """Answer for the registers of Performance Monitors; those that they do not have are UNDEFINED.

        `words` are those of them that the engine keeps (`share`).
        """
        self.undefined |= PMU_REGISTERS
        self.add_all(registers)
        for encoding, word in words.items():
            self.share(encoding, word)

    def fix(self, encoding: int) -> None:
        """A register that is answered here has the value that it is read as now, which no write changes."""
        read = self.readers[encoding]
        self.add(encoding, read, _ignore)
        self._constants[encoding] = read()

    def is_undefined(self, encoding: int, *, is_read: bool) -> bool:
        """Is the access UNDEFINED by the architecture or the CPU model?"""
        if encoding in self.undefined:
            return True
        if encoding not in self.readers and encoding not in self.writers:
            return False
        if encoding in (self.readers if is_read else self.writers):
            return False
        return not self._native.get(encoding, NONE) & (RO if is_read else WO)

    def _add_cache_selection(self, model: CpuModel) -> None:
        selected = word_of(0xF)

        def select(value: int) -> None:
            selected[0] = value & 0xF

        self.kept[CSSELR_EL1] = lambda: selected[0], select
        self.add(CSSELR_EL1, *self.kept[CSSELR_EL1])
        self.share(CSSELR_EL1, selected)
        self.add(CCSIDR_EL1, lambda: model.ccsidr(selected[0]), None)


def _followed(listener: Listener | None, follower: WriteRegister | None) -> Listener:
    if follower is None:
        assert listener is not None
        return listener

    def written(value: int) -> int:
        if listener is not None:
            value = listener(value)
        follower(value)
        return value

    return written


_shapes: dict[RowShape, RowShape] = {}
"""One object for all equal shapes, so that vCPUs of one kind switch without a look at them."""


def _observed_read(read: ReadRegister, encoding: int, observe: Observe) -> ReadRegister:
    def observed() -> int:
        value = read()
        observe(encoding, True, value)
        return value

    return observed


def _observed_write(write: WriteRegister, encoding: int, observe: Observe) -> Callable[[int], int]:
    def observed(value: int) -> int:
        observe(encoding, False, value)
        write(value)
        return 0

    return observed


@cache
def _fixed(
    model: CpuModel, *, el: int, gicv3: bool, pmu: bool
) -> tuple[dict[int, int], dict[int, ReadRegister], dict[int, WriteRegister], frozenset[int]]:
    """Constants, readers, writers and UNDEFINED registers that every vCPU of a model and a level has."""
    constants = dict(presented(model, el=el, gicv3=gicv3, pmu=pmu))
    if el > 1:
        del constants[_DCZID_EL0]  # its DZP follows HCR_EL2.TDZ, and is right in the engine (D17.2.35)
    writers: dict[int, WriteRegister] = {}
    for crm in range(1, 8):  # DDI 0487 D17.1: what is not allocated in this space reads as zero
        for op2 in range(8):
            constants.setdefault(3 << 14 | crm << 3 | op2, 0)
    undefined = (
        absent_registers(model) | {_NO_REGISTER} | {row.encoding for row in SYSREGS if _is_absent(row, model, el)}
    )
    for row in SYSREGS:
        if row.home in {RAZ, IMPDEF} and row.encoding not in undefined:
            if row.access & RO:
                constants[row.encoding] = 0
            if row.access & WO:
                writers[row.encoding] = _ignore
    if not pmu:
        undefined |= PMU_REGISTERS
    readers = {encoding: _constant(value) for encoding, value in constants.items()}
    return constants, readers, writers, frozenset(undefined - readers.keys() - writers.keys())


def _is_absent(row: SysReg, model: CpuModel, el: int) -> bool:
    """Is it UNDEFINED? One of a level above is so in the engine, where its encoding says which level that is."""
    if row.home is ABSENT or (row.is_highests and row.level != el):
        return True
    return lowest_el(row.encoding) <= el and not row.is_there(el, vhe=model.has_vhe)


def _ignore(_value: int) -> None:
    """A write without effect."""


def _constant(value: int) -> ReadRegister:
    return lambda: value
