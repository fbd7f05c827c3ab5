"""CPU models and what guests are told. Cortex-A53 DDI 0500, Cortex-A57 DDI 0488, Cortex-A72 100095."""

from __future__ import annotations

import pytest

from armvcpu.arch.idfields import (
    ID_AA64DFR0_EL1,
    ID_AA64ISAR0_EL1,
    ID_AA64ISAR1_EL1,
    ID_AA64MMFR0_EL1,
    ID_AA64MMFR1_EL1,
    ID_AA64PFR0_EL1,
    MIDR_EL1,
    PA_RANGE_BITS,
)
from armvcpu.arch.idregs import MODELS, absent_registers, model, presented
from armvcpu.arch.registers import by_name, op
from armvcpu.errors import UsageError


def told(name: str, register: str, **options: int) -> int:
    return presented(model(name), **options)[by_name[register].encoding]


@pytest.mark.parametrize(("name", "part"), [("a53", 0xD03), ("a57", 0xD07), ("a72", 0xD08)])
def test_midr_names_the_core(name: str, part: int) -> None:
    """Implementer is Arm, PartNum the core's."""
    midr = MIDR_EL1(told(name, "MIDR_EL1"))
    assert (midr.Implementer, midr.Architecture, midr.PartNum) == (0x41, 0xF, part)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_without_options_only_aarch64_el0_and_el1_exist(row) -> None:
    """No AArch32, EL2, EL3, GICv3 registers, SVE or PMU is claimed."""
    pfr0 = ID_AA64PFR0_EL1(told(row.name, "ID_AA64PFR0_EL1"))
    assert (pfr0.EL0, pfr0.EL1, pfr0.EL2, pfr0.EL3, pfr0.GIC, pfr0.SVE) == (1, 1, 0, 0, 0, 0)
    assert ID_AA64DFR0_EL1(told(row.name, "ID_AA64DFR0_EL1")).PMUVer == 0
    assert ID_AA64MMFR1_EL1(told(row.name, "ID_AA64MMFR1_EL1")).VH == 0


def test_what_the_machine_has_is_claimed() -> None:
    """Each option sets its own field."""
    options = {"el": 3, "gicv3": True, "pmu": True}
    pfr0 = ID_AA64PFR0_EL1(told("max", "ID_AA64PFR0_EL1", **options))
    assert (pfr0.EL2, pfr0.EL3, pfr0.GIC) == (1, 1, 1)
    assert ID_AA64DFR0_EL1(told("max", "ID_AA64DFR0_EL1", **options)).PMUVer == 1
    assert ID_AA64MMFR1_EL1(told("max", "ID_AA64MMFR1_EL1", **options)).VH == 1


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
@pytest.mark.parametrize("el", [1, 2, 3])
def test_levels_are_told_up_to_the_guests_highest(row, el: int) -> None:
    """ID_AA64PFR0_EL1 as QEMU's `virtualization` and `secure` have it but for AArch32; VH is max's, with EL2."""
    pfr0 = ID_AA64PFR0_EL1(told(row.name, "ID_AA64PFR0_EL1", el=el))
    assert (1, 1, el >= 2, el == 3) == (pfr0.EL0, pfr0.EL1, pfr0.EL2, pfr0.EL3)
    mmfr1 = ID_AA64MMFR1_EL1(told(row.name, "ID_AA64MMFR1_EL1", el=el))
    has_vhe = row.name == "max" and el >= 2
    assert (mmfr1.VH, mmfr1.VMIDBits) == ((1, 2) if has_vhe else (0, 0))


@pytest.mark.parametrize(("name", "bits"), [("a53", 40), ("a57", 44), ("a72", 44), ("max", 44)])
def test_physical_address_size(name: str, bits: int) -> None:
    """PARange is the core's."""
    mmfr0 = ID_AA64MMFR0_EL1(told(name, "ID_AA64MMFR0_EL1"))
    assert PA_RANGE_BITS[mmfr0.PARange] == bits


def test_max_has_lse_and_hides_what_is_slow_or_not_repeatable() -> None:
    """Atomics are presented; pointer authentication and random numbers are not."""
    isar0 = ID_AA64ISAR0_EL1(told("max", "ID_AA64ISAR0_EL1"))
    isar1 = ID_AA64ISAR1_EL1(told("max", "ID_AA64ISAR1_EL1"))
    assert (isar0.Atomic, isar0.RNDR) == (2, 0)
    assert (isar1.APA, isar1.API, isar1.GPA, isar1.GPI) == (0, 0, 0, 0)


def test_aarch32_id_registers_read_as_zero() -> None:
    """Without AArch32 they are UNKNOWN; zero claims nothing."""
    assert {told("a72", f"ID_ISAR{n}_EL1") for n in range(7)} == {0}


@pytest.mark.parametrize(
    ("name", "csselr", "kib"),
    [("a53", 0, 32), ("a53", 1, 32), ("a57", 1, 48), ("a57", 2, 2048), ("a72", 0, 32), ("a72", 2, 1024)],
)
def test_cache_sizes(name: str, csselr: int, kib: int) -> None:
    """CCSIDR_EL1's sets, ways and line size make the cache's size (32-bit format, DDI 0487 D17.2.26)."""
    ccsidr = model(name).ccsidr(csselr)
    sets, ways, line = (ccsidr >> 13 & 0x7FFF) + 1, (ccsidr >> 3 & 0x3FF) + 1, 16 << (ccsidr & 7)
    assert sets * ways * line == kib << 10


def test_cache_that_does_not_exist_reads_zero() -> None:
    """Level 3 and the instruction side of the unified level 2 are not there."""
    assert {model("a72").ccsidr(csselr) for csselr in (3, 4, 5)} == {0}


def test_unknown_model_names_the_choices() -> None:
    """The error tells what exists."""
    with pytest.raises(UsageError, match="a53, a57, a72, max"):
        model("a710")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("RNDR", op(3, 3, 2, 4, 0)),
        ("LORC_EL1", op(3, 0, 10, 4, 3)),
        ("PAN", op(3, 0, 4, 2, 3)),
        ("CVAP", op(1, 3, 7, 12, 1)),
    ],
)
def test_registers_come_with_their_features(name, encoding):
    """A Cortex-A72 has none of these; `max` has all but RNDR, which no two runs could read alike (D17.2)."""
    assert encoding in absent_registers(model("a72"))
    assert (encoding in absent_registers(model("max"))) is (name == "RNDR")
