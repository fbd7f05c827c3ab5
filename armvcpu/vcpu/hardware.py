"""What the emulated hardware supports, found by asking it: `has_hardware_support` and the facts behind it.

The engine's own ID registers are read by MRS in a guest at Non-secure EL1 with no trap set (DDI 0487 D17.2), beside
them stands what a guest of a CPU model is shown (`arch.idregs`), and the engine's self-test is run.
"""

from __future__ import annotations

from dataclasses import dataclass

from armvcpu.arch.idfields import (
    ID_AA64ISAR0_EL1,
    ID_AA64MMFR0_EL1,
    ID_AA64MMFR1_EL1,
    ID_AA64PFR0_EL1,
    PA_RANGE_BITS,
)
from armvcpu.arch.idregs import model as cpu_model
from armvcpu.arch.idregs import presented
from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.selftest import CheckResult, run_selftest, unicorn_engine
from armvcpu.engine.selftest_bench import Bench, hvc
from armvcpu.engine.selftest_stamp import ensure_selftest
from armvcpu.errors import EngineUnsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.arch.fields import Field, RegisterView
    from armvcpu.engine.api import Engine


@dataclass(frozen=True, slots=True)
class Feature:
    """One row: a feature, the ID register field that tells of it, and the words for the field's values."""

    name: str
    register: type[RegisterView]
    field: Field[int]
    words: Mapping[int, str]
    absent: int = 0
    """The field's value that means "not there"."""
    unlisted: int | None = None
    """What the engine has where its own ID register says less; docs/engine.md, "Gaps"."""
    emulated: int | None = None
    """What is answered in the engine's place where it has none."""

    def value(self, registers: Mapping[str, int]) -> int:
        """The field in these ID registers by name."""
        return (registers[self.register.__name__] & self.field.mask) >> self.field.lo

    def said(self, registers: Mapping[str, int]) -> str:
        """The field in words; a value without words as a number."""
        value = self.value(registers)
        return self.words.get(value, "no" if value == self.absent else f"{value:#x}")


_LEVEL = {0: "no", 1: "AArch64", 2: "AArch64, AArch32"}
_PRESENT = {0: "no", 1: "yes"}
_FP = {0: "yes", 1: "yes, half precision", 15: "no"}
_GRANULE = {0: "yes", 15: "no"}
_PFR0, _ISAR0, _MMFR0, _MMFR1 = ID_AA64PFR0_EL1, ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1

FEATURES: tuple[Feature, ...] = (
    *(Feature(f"EL{n}", _PFR0, _PFR0.FIELDS[f"EL{n}"], _LEVEL) for n in range(4)),
    Feature("FP", _PFR0, _PFR0.FP, _FP, absent=15),
    Feature("AdvSIMD", _PFR0, _PFR0.AdvSIMD, _FP, absent=15),
    Feature("SVE", _PFR0, _PFR0.SVE, _PRESENT),
    Feature("GIC registers", _PFR0, _PFR0.GIC, {0: "no", 1: "GICv3"}, emulated=1),
    Feature("PARange", _MMFR0, _MMFR0.PARange, {n: f"{bits} bits" for n, bits in enumerate(PA_RANGE_BITS)}, absent=-1),
    Feature("ASIDBits", _MMFR0, _MMFR0.ASIDBits, {0: "8 bits", 2: "16 bits"}, absent=-1),
    Feature("TGran4", _MMFR0, _MMFR0.TGran4, _GRANULE, absent=15),
    Feature("TGran16", _MMFR0, _MMFR0.TGran16, _PRESENT, unlisted=1),
    Feature("TGran64", _MMFR0, _MMFR0.TGran64, _GRANULE, absent=15),
    Feature("VMIDBits", _MMFR1, _MMFR1.VMIDBits, {0: "8 bits", 2: "16 bits"}, absent=-1),
    Feature("VH", _MMFR1, _MMFR1.VH, _PRESENT),
    Feature("PAN", _MMFR1, _MMFR1.PAN, {0: "no", 1: "yes", 2: "yes, AT S1E1RP"}),
    Feature("HAFDBS", _MMFR1, _MMFR1.HAFDBS, {0: "no", 1: "access flag", 2: "access flag, dirty state"}),
    Feature("AES", _ISAR0, _ISAR0.AES, {0: "no", 1: "yes", 2: "yes, PMULL"}),
    Feature("SHA1", _ISAR0, _ISAR0.SHA1, _PRESENT),
    Feature("SHA2", _ISAR0, _ISAR0.SHA2, {0: "no", 1: "SHA-256", 2: "SHA-256, SHA-512"}),
    Feature("CRC32", _ISAR0, _ISAR0.CRC32, _PRESENT),
    Feature("LSE atomics", _ISAR0, _ISAR0.Atomic, {0: "no", 2: "yes"}),
)
ENGINE_REGISTERS = ("MIDR_EL1", *dict.fromkeys(feature.register.__name__ for feature in FEATURES))
"""What is asked of the engine."""
NEEDED = ("EL1", "EL2", "TGran4")
"""What a hypervisor with 4 KiB stage-2 tables can't do without."""


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A feature in words, as the engine has it and as a guest is shown it; `held`: the engine has what is shown.

    What only a guest is shown that starts above EL1 is said with that option: `AArch64 with --el 2`.
    """

    name: str
    engine: str
    presented: str
    held: bool


@dataclass(frozen=True, slots=True)
class HardwareSupport:
    """What a CPU model comes to on this engine. Registers are by name, 64 bits each; `presented` at EL1."""

    model: str
    engine: Mapping[str, int]
    presented: Mapping[str, int]
    rows: tuple[FeatureRow, ...]
    selftest: tuple[CheckResult, ...]

    @property
    def has_vhe(self) -> bool:
        """Has the engine the Virtualization Host Extensions, ID_AA64MMFR1_EL1.VH?"""
        return ID_AA64MMFR1_EL1(self.engine["ID_AA64MMFR1_EL1"]).VH != 0

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing, a line each: what a hypervisor needs, what the model shows, what the self-test found."""
        needed = (f"the engine has no {row.name}" for row in self.rows if row.name in NEEDED and row.engine == "no")
        held = (
            f"{self.model} shows {row.name} {row.presented}, the engine has {row.engine}"
            for row in self.rows
            if not row.held
        )
        failed = (f"self-test {check.name}: {check.problem}" for check in self.selftest if not check.passed)
        return (*needed, *held, *failed)

    @property
    def supported(self) -> bool:
        """Does the engine behave, have what a hypervisor needs, and all that the model shows?"""
        return not self.problems


@dataclass(frozen=True, slots=True)
class SupportVerdict:
    """Can vCPUs run here: true or false by itself, with the reasons why not."""

    problems: tuple[str, ...]
    has_vhe: bool
    """Has the engine the Virtualization Host Extensions (ID_AA64MMFR1_EL1.VH)? This layer does without them."""

    def __bool__(self) -> bool:
        return not self.problems


def has_hardware_support(model: str = "a72", *, needs_vhe: bool = False) -> SupportVerdict:
    """Can vCPUs of this CPU model run here? Asks the engine; the self-test is run where it was not passed before.

    `needs_vhe`: only with the Virtualization Host Extensions, for a hypervisor whose host runs at EL2 (HCR_EL2.E2H).

    Raises:
        UsageError: there is no such model.
    """
    cpu_model(model)
    try:
        ensure_selftest()
        support = _support(model, engine_id_registers(), ())
    except EngineUnsupported as problem:
        return SupportVerdict((str(problem),), has_vhe=False)
    missing = ("the engine has no VHE (ID_AA64MMFR1_EL1.VH)",) if needs_vhe and not support.has_vhe else ()
    return SupportVerdict(support.problems + missing, support.has_vhe)


def probe(*models: str) -> tuple[HardwareSupport, ...]:
    """What each of these CPU models comes to; the self-test is run once, and its outcome is in each.

    Raises:
        UsageError: there is no such model.
        EngineUnsupported: there is no engine to ask.
    """
    for name in models:
        cpu_model(name)
    engine, results = engine_id_registers(), tuple(run_selftest())
    return tuple(_support(name, engine, results) for name in models)


def engine_id_registers() -> dict[str, int]:
    """ENGINE_REGISTERS by name, as MRS reads them at Non-secure EL1 of a fresh engine."""
    engine = unicorn_engine()
    try:
        return _read_by_mrs(engine)
    finally:
        engine.close()


def _read_by_mrs(engine: Engine) -> dict[str, int]:
    bench = Bench(engine)
    reads = (
        instruction_from_access(by_name[name].encoding, n, is_read=True) for n, name in enumerate(ENGINE_REGISTERS)
    )
    bench.start(*reads, hvc(0))
    bench.run_to_trap()
    return {name: bench.gpr(n) for n, name in enumerate(ENGINE_REGISTERS)}


def _support(model: str, engine: Mapping[str, int], results: tuple[CheckResult, ...]) -> HardwareSupport:
    by_level = {el: presented(cpu_model(model), el=el, gicv3=True) for el in (1, 2, 3)}
    shown = {el: {name: by_key[by_name[name].encoding] for name in ENGINE_REGISTERS} for el, by_key in by_level.items()}
    rows = tuple(_row(feature, engine, shown) for feature in FEATURES)
    return HardwareSupport(model, engine, shown[1], rows, results)


def _row(feature: Feature, engine: Mapping[str, int], shown: Mapping[int, Mapping[str, int]]) -> FeatureRow:
    """`shown` is by the level that a guest starts at: what is there only from one above EL1 on is said with it."""
    has, shows, absent = feature.value(engine), feature.value(shown[3]), feature.absent
    said, level = feature.said(engine), next(el for el in shown if feature.value(shown[el]) == shows)
    presented_as = feature.said(shown[3]) + (f" with --el {level}" if level > 1 else "")
    if feature.unlisted is not None and has == absent:
        has, said = feature.unlisted, f"{feature.words[feature.unlisted]}, not listed"
    if feature.emulated is not None and has == absent:
        has, said = feature.emulated, f"{said}, {feature.words[feature.emulated]} is emulated"
    held = shows == absent or (has != absent and shows <= has)
    return FeatureRow(feature.name, said, presented_as, held)
