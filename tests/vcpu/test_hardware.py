"""`has_hardware_support` and `probe`: the emulated hardware is really asked."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from armvcpu.arch.idregs import MODELS
from armvcpu.arch.registers import by_name
from armvcpu.cli.probe import probe as probe_command
from armvcpu.engine.selftest import CheckResult
from armvcpu.engine.selftest_checks import CHECKS
from armvcpu.errors import EngineUnsupported, UsageError
from armvcpu.vcpu import hardware
from armvcpu.vcpu.hardware import FEATURES, engine_id_registers, has_hardware_support, probe


@pytest.mark.parametrize("model", [row.name for row in MODELS])
def test_every_model_is_supported(model):
    """What each CPU model shows to guests, the engine has."""
    (support,) = probe(model)
    assert [row for row in support.rows if not row.held] == []
    assert (support.supported, bool(has_hardware_support(model))) == (True, True)


def test_the_engine_itself_is_asked():
    """MRS at Non-secure EL1 reads a CPU with EL2, EL3, 44 bits of PA, LSE and PAN."""
    registers = engine_id_registers()
    said = {feature.name: feature.said(registers) for feature in FEATURES}
    assert (said["EL2"], said["EL3"], said["PARange"]) == ("AArch64, AArch32", "AArch64, AArch32", "44 bits")
    assert (said["LSE atomics"], said["PAN"], said["TGran4"]) == ("yes", "yes, AT S1E1RP", "yes")


def test_models_differ_in_what_guests_are_shown():
    """`max` shows atomics and PAN, an A72 neither."""
    a72, highest = ({row.name: row.presented for row in support.rows} for support in probe("a72", "max"))
    assert (a72["LSE atomics"], a72["PAN"], highest["LSE atomics"], highest["PAN"]) == (
        "no",
        "no",
        "yes",
        "yes, AT S1E1RP",
    )


def test_what_levels_bring_is_said_with_them():
    """EL2 and what belongs to it comes with a guest that starts there, EL3 with another one."""
    a72, highest = ({row.name: row.presented for row in support.rows} for support in probe("a72", "max"))
    assert (a72["EL1"], a72["EL2"], a72["EL3"]) == ("AArch64", "AArch64 with --el 2", "AArch64 with --el 3")
    assert (a72["VH"], a72["VMIDBits"]) == ("no", "8 bits")
    assert (highest["VH"], highest["VMIDBits"]) == ("yes with --el 2", "16 bits with --el 2")


@pytest.mark.parametrize(("register", "value"), [("ID_AA64PFR0_EL1", 0x22), ("ID_AA64MMFR0_EL1", 0xF000_0004)])
def test_engine_without_el2_or_4k_granule_is_no_support(monkeypatch, register, value):
    """A hypervisor needs both."""
    registers = engine_id_registers() | {register: value}
    monkeypatch.setattr(hardware, "engine_id_registers", lambda: registers)
    assert not has_hardware_support()


def test_engine_with_less_than_a_model_shows_is_no_support(monkeypatch):
    """An engine without atomics supports an A72 but not `max`."""
    registers = engine_id_registers() | {"ID_AA64ISAR0_EL1": 0x0001_1120}
    monkeypatch.setattr(hardware, "engine_id_registers", lambda: registers)
    verdict = has_hardware_support("max")
    assert (bool(has_hardware_support("a72")), bool(verdict)) == (True, False)
    assert verdict.problems == (
        "max shows SHA2 SHA-256, SHA-512, the engine has SHA-256",
        "max shows LSE atomics yes, the engine has no",
    )


def test_gic_registers_are_emulated():
    """Guests see GICv3's system registers (ID_AA64PFR0_EL1.GIC), which the engine has not."""
    (support,) = probe("a72")
    row = next(row for row in support.rows if row.name == "GIC registers")
    assert (row.engine, row.presented, row.held) == ("no, GICv3 is emulated", "GICv3", True)


@pytest.mark.parametrize("needs_vhe", [False, True])
def test_vhe_is_looked_at(monkeypatch, needs_vhe):
    """ID_AA64MMFR1_EL1.VH of the engine; without it there is no support for who needs it."""
    here = has_hardware_support(needs_vhe=needs_vhe)
    registers = engine_id_registers() | {"ID_AA64MMFR1_EL1": 0x10_0020}
    monkeypatch.setattr(hardware, "engine_id_registers", lambda: registers)
    without = has_hardware_support(needs_vhe=needs_vhe)
    assert (bool(here), here.has_vhe, bool(without), without.has_vhe) == (True, True, not needs_vhe, False)
    assert without.problems == (("the engine has no VHE (ID_AA64MMFR1_EL1.VH)",) if needs_vhe else ())


def test_failed_self_test_is_no_support(monkeypatch):
    """It is an answer, not an error."""

    def fail():
        raise EngineUnsupported("no")

    monkeypatch.setattr(hardware, "ensure_selftest", fail)
    assert not has_hardware_support()


def test_engine_that_cannot_be_had_is_no_support(monkeypatch):
    """Another Unicorn, a native part that is not built: an answer too; `probe` says which."""

    def fail():
        raise EngineUnsupported("the engine's native part is not built")

    monkeypatch.setattr(hardware, "unicorn_engine", fail)
    assert not has_hardware_support()
    with pytest.raises(EngineUnsupported, match="not built"):
        probe("a72")


@pytest.mark.parametrize("rows", ["a user's", "a bound vCPU's"])
def test_the_engine_is_asked_whatever_vcpus_answer(rows, machine):
    """Registers as rows and models as instructions belong to one engine, not to the process."""
    before = engine_id_registers()
    vcpu = machine.vcpu(0, cpu_model="a53")
    if rows == "a user's":
        vcpu.answer_sysreg(by_name["MIDR_EL1"].encoding, lambda: 5, None)
    vcpu.bind(machine.cpu())
    assert engine_id_registers() == before


@pytest.mark.parametrize("ask", [has_hardware_support, probe])
def test_unknown_model_is_a_usage_error(ask):
    """It names the models there are."""
    with pytest.raises(UsageError, match=r"'m4'.*a53, a57, a72, max"):
        ask("m4")


def test_probe_prints_a_table_and_the_self_test():
    """A column for the engine and one for each model; a line with its time for each check."""
    lines = CliRunner().invoke(probe_command, catch_exceptions=False).output.splitlines()
    assert lines[0].split() == ["engine", "a53", "a57", "a72", "max"]
    assert lines[1].split() == ["MIDR_EL1", "0x000f0510", "0x410fd034", "0x411fd070", "0x410fd083", "0x000f0510"]
    assert [line.split()[-1] for line in lines if line.startswith("self-test")] == ["ok"] * len(CHECKS)


def test_probe_prints_what_is_done_in_unicorns_place():
    """A line for each of its functions: answered or called, and what for; the same in JSON."""
    lines = CliRunner().invoke(probe_command, ["--cpu-model", "a72"], catch_exceptions=False).output.splitlines()
    result = CliRunner().invoke(probe_command, ["--cpu-model", "a72", "--json"], catch_exceptions=False)
    functions = json.loads(result.output)["engine"]["functions"]
    printed = [line.split(maxsplit=2) for line in lines if line.startswith(("answered ", "called "))]
    assert printed == [["answered" if f["answered"] else "called", f["name"], f["purpose"]] for f in functions]
    answered = {f["name"]: f["answered"] for f in functions}
    assert (answered["get_arm_cp_reginfo_aarch64"], answered["tb_flush_aarch64"]) == (True, False)
    assert all(f["purpose"] for f in functions)


def test_probe_prints_json():
    """Registers are numbers, features words."""
    result = CliRunner().invoke(probe_command, ["--cpu-model", "a72", "--json"], catch_exceptions=False)
    facts = json.loads(result.output)
    a72 = facts["models"]["a72"]
    assert (a72["supported"], a72["registers"]["MIDR_EL1"], a72["features"]["PARange"]) == (
        True,
        0x410F_D083,
        "44 bits",
    )
    assert all(check["passed"] for check in facts["selftest"])


def test_probe_prints_all_before_it_fails(monkeypatch):
    """The table and the failed check are shown, then the error ends the command."""
    monkeypatch.setattr(hardware, "run_selftest", lambda: [CheckResult("stop", 0.01, "it corrupts")])
    result = CliRunner().invoke(probe_command, ["--cpu-model", "a72"])
    assert "PARange" in result.output
    assert "FAILED: it corrupts" in result.output
    assert isinstance(result.exception, EngineUnsupported)
