"""The guests of guests/bin, each booted to its end: what they check from inside, and what only the host can see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.idregs import model, presented
from armvcpu.arch.registers import by_name
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

GUESTS = Path(__file__).parents[1] / "guests" / "bin"
TIMEOUT = 120
DEVICE, COUNTER, DEVICE_SIZE = 0x0B00_0000, 0x100, 0x1000

PASSES = {
    "hello": 1, "exceptions": 103, "mmu": 114, "smccc": 54, "sysreg": 36, "fpsimd": 69, "lazyfp": 19, "selfmod": 16,
    "loops": 1, "parser": 6,
}  # fmt: skip
"""PASS lines of each guest on a72; those of `mmio`, `echo`, `crash`, `corrupt` and `traps` stand in their own tests."""
PASSES_ON_MAX = PASSES | {"mmu": 183}  # 16 KiB granule, PAN and LSE
MODELS = ("a53", "a57", "max")
ON_EVERY_MODEL = ("hello", "sysreg", "mmu", "exceptions", "fpsimd")
name_of = {row.encoding: name for name, row in by_name.items()}
COUNTED = ("hello", "exceptions", "mmu", "smccc", "lazyfp", "selfmod")


def boot(name: str, *, text: bytes = b"", **options: object) -> tuple[Outcome, list[str]]:
    """Boot a guest and type `text`; the outcome and the lines it printed."""
    console = MemoryConsole()
    console.feed(text)
    with Machine(GUESTS / f"{name}.elf", console=console, **options) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    return outcome, console.output.decode().splitlines()


def check(outcome: Outcome, lines: list[str], name: str, passes: int) -> None:
    """The guest failed nothing, passed `passes` checks, said so, and powered off."""
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert sum(line.startswith("PASS") for line in lines) == passes
    assert lines[-1] == f"{name}: {passes} passed, 0 failed"
    assert (outcome.ending, outcome.status, outcome.ok) == (Ending.POWERED_OFF, 0, True)


class Storage:
    """The device that the mmio guest wants at 0x0B000000 (guests/README.md)."""

    def __init__(self) -> None:
        self.bytes, self.loads = bytearray(256), 0

    def read(self, offset: int, width: int) -> int:
        """A load from storage, which counts, or of the counter."""
        if offset == COUNTER:
            return self.loads
        self.loads += 1
        return int.from_bytes(self.bytes[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """A store to storage."""
        self.bytes[offset : offset + width] = value.to_bytes(width, "little")


def test_every_guest_is_booted_by_this_file():
    """A guest that is added to guests/bin gets its expectations here, or in a file of its own."""
    others = {
        "mmio",
        "echo",
        "crash",
        "corrupt",
        "traps",
        "entry",
        "gic",
        "timer",
        "smp",
        "preempt",
        "wfi",
        "el2",
        "el3",
        "levels",
        "controls",
        "routing",
        "stages",
    }
    assert {path.stem for path in GUESTS.glob("*.elf")} == {*PASSES, *others}


@pytest.mark.parametrize("name", PASSES)
def test_guest_passes_its_checks(name):
    """On the default CPU every guest passes every check."""
    check(*boot(name), name, PASSES[name])


@pytest.mark.parametrize("cpu_model", MODELS)
@pytest.mark.parametrize("name", ON_EVERY_MODEL)
def test_guest_passes_on_every_cpu_model(name, cpu_model):
    """What depends on ID registers and features holds for each CPU that is presented."""
    expected = PASSES_ON_MAX if cpu_model == "max" else PASSES
    check(*boot(name, cpu_model=cpu_model), name, expected[name])


@pytest.mark.parametrize("name", COUNTED)
def test_guest_passes_while_instructions_are_counted(name):
    """Counting instructions changes nothing that a guest can check."""
    check(*boot(name, clock="instructions"), name, PASSES[name])


def test_hello_says_what_it_found():
    """EL1, the CPU of the model, the device tree and memory of the board, the boot arguments."""
    _, lines = boot("hello", memory=64 << 20, append="console=ttyAMA0 quiet")
    assert "  exception level EL1" in lines
    assert "  CPU            Arm Cortex-A72 r0p3, MIDR_EL1 0x410fd083" in lines
    assert "  memory         0x40000000 to 0x43ffffff, 64 MiB" in lines
    assert "  arguments      console=ttyAMA0 quiet" in lines


@pytest.mark.parametrize("cpu_model", ["a53", "a57", "a72", "max"])
def test_id_registers_are_the_models_table(cpu_model):
    """Each `ID name value` line of the sysreg guest is what the model's table has; other ID registers are zero."""
    cpu = model(cpu_model)
    wanted = {name_of[encoding]: value for encoding, value in presented(cpu, gicv3=True, pmu=True).items()}
    wanted |= {"MPIDR_EL1": 1 << 31, "CNTFRQ_EL0": 62_500_000}
    wanted |= {f"CCSIDR_EL1.{name}": cpu.ccsidr(csselr) for name, csselr in (("L1D", 0), ("L1I", 1), ("L2D", 2))}
    lines = [line.split() for line in boot("sysreg", cpu_model=cpu_model)[1] if line.startswith("ID ")]
    seen = {name: int(value, 16) for _, name, value in lines}
    assert len(seen) > 50
    assert seen == {name: wanted.get(name, 0) for name in seen}


def test_smccc_and_psci_answer_by_both_conduits():
    """HVC and, trapped by HCR_EL2.TSC, SMC reach the same services (DEN 0028, DEN 0022)."""
    _, lines = boot("smccc")
    by_hvc = [line.removesuffix(", hvc") for line in lines if line.endswith(", hvc")]
    by_smc = [line.removesuffix(", smc") for line in lines if line.endswith(", smc")]
    assert by_hvc == by_smc
    assert "PASS PSCI_VERSION at least 1.0" in by_hvc


@pytest.mark.parametrize("options", [{}, {"exact_mmio": True}, {"clock": "instructions"}])
def test_handler_is_a_device(options):
    """Loads and stores of every width and kind reach a Python handler once each, with ISV and without."""
    storage, console = Storage(), MemoryConsole()
    with Machine(GUESTS / "mmio.elf", console=console, **options) as machine:
        machine.on_mmio(DEVICE, DEVICE_SIZE, storage.read, storage.write)
        outcome = machine.run(timeout=TIMEOUT)
    lines = console.output.decode().splitlines()
    check(outcome, lines, "mmio", 22)
    assert [line for line in lines if line.startswith("NOTE")] == [
        f"NOTE {name}: served" for name in ("ldp", "stp", "ldr post-index", "str pre-index")
    ]


def test_without_handler_the_guest_takes_external_aborts():
    """Nothing is at 0x0B000000: every access is a synchronous external abort, and the guest goes on."""
    outcome, lines = boot("mmio")
    fails = [line for line in lines if line.startswith("FAIL")]
    assert len(fails) == 10
    assert all("external abort, nothing serves" in line for line in fails)
    assert outcome.ending is Ending.POWERED_OFF


def test_traps_are_answered_by_handlers():
    """A registered hypercall is answered inside the trap, another by the run loop; both 200,000 times."""
    console, calls = MemoryConsole(), [0]

    def answer(_vcpu: Aarch64VCpu) -> int:
        calls[0] += 1
        return 0

    with Machine(GUESTS / "traps.elf", console=console) as machine:
        machine.on_hypercall(0xC600_0001)(answer)
        machine.on_mmio(DEVICE, DEVICE_SIZE, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
        outcome = machine.run(timeout=TIMEOUT)
    check(outcome, console.output.decode().splitlines(), "traps", 7)
    assert calls[0] == 200_001


@pytest.mark.parametrize("options", [{}, {"clock": "instructions"}])
def test_echo_loses_nothing(options):
    """5000 lines that are typed at once come back, complete and in order."""
    typed = [f"line {number} {'x' * (number % 60)}" for number in range(5000)]
    outcome, lines = boot("echo", text="\n".join([*typed, "quit", ""]).encode(), **options)
    assert lines[1:-2] == [f"echo: {line}" for line in typed]
    check(outcome, lines, "echo", 1)


def test_crash_ends_in_a_report_that_names_the_functions():
    """A call through a null pointer without vectors: the exception in words, and who called whom."""
    with Machine(GUESTS / "crash.elf") as machine:
        outcome = machine.run(timeout=TIMEOUT)
        report = machine.crash_report(outcome.reason)
    assert (outcome.ending, outcome.status) == (Ending.CRASHED, 3)
    names = [frame.symbol.partition("+")[0] for frame in report.backtrace]
    assert names == ["", "call_probe", "start_driver", "start_drivers", "main", "_start"]
    assert "instruction abort from the current EL" in report.render()


def test_machines_run_one_after_the_other_and_twice():
    """A machine leaves nothing behind that the next one, or its own second run, would trip over."""
    console = MemoryConsole()
    with Machine(GUESTS / "hello.elf", console=console) as first:
        assert first.run(timeout=TIMEOUT).ok
        first.reset()
        assert first.run(timeout=TIMEOUT).ok
    assert console.output.count(b"Hello from armvcpu's guest.") == 2
    assert boot("crash")[0].status == 3
    assert boot("hello")[0].ok
