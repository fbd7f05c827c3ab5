"""The programs in docs/ run as they stand, from a checkout, and print what stands below them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import raw_guest as raw

import armvcpu.vcpu.hal
import armvcpu.vcpu.life
from armvcpu import Machine
from armvcpu.devices.gic.gicv2 import Gicv2
from armvcpu.vcpu.observer import Observer

if TYPE_CHECKING:
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
PAGES = ("scripting.md", "vcpu.md", "fuzzing.md", "tracing.md", "coverage.md", "profiling.md", "monitor.md")
PROGRAMS, *OTHERS = ([found.groups() for found in BLOCK.finditer((ROOT / "docs" / name).read_text())] for name in PAGES)


@pytest.mark.parametrize(("program", "printed"), [*PROGRAMS, *(each for page in OTHERS for each in page)])
def test_program_runs_and_prints_what_it_says(program: str, printed: str | None, tmp_path: Path) -> None:
    """Status 0 and nothing on stderr; some output, where the document shows none."""
    first, _, _ = program.partition("\n")
    command = [sys.executable, "-c", program]
    if first.startswith("# armvcpu run "):  # a script
        (tmp_path / "hooks.py").write_text(program)
        words = first.removeprefix("# ").replace("hooks.py", str(tmp_path / "hooks.py")).split()[1:]
        command = [sys.executable, "-m", "armvcpu", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    if printed is not None:
        assert done.stdout == printed


def test_every_method_is_shown() -> None:
    """Those by which a machine calls Python."""
    shown = "\n".join(program for program, _ in PROGRAMS)
    assert [
        name for name in ("on_sysreg", "on_mmio", "on_symbol", "observe", "call") if f"machine.{name}(" not in shown
    ] == []


def test_vcpu_layers_names_are_those_that_there_are() -> None:
    """Each name of the package in the tables' second column can be imported, or is a method of one that can."""
    rows = [row.split("|")[2] for row in (ROOT / "docs" / "vcpu.md").read_text().splitlines() if row.startswith("| `")]
    names = {name for cell in rows for name in re.findall(r"`([A-Z][A-Za-z0-9]+)\b", cell)}
    assert len(names) >= 10
    known = (armvcpu, armvcpu.Hal, armvcpu.vcpu.hal, armvcpu.vcpu.life)
    assert [name for name in sorted(names) if name != "X" and not any(hasattr(each, name) for each in known)] == []


def test_vcpu_layers_names_in_the_text_are_those_that_there_are() -> None:
    """Each can be imported from the package, or from the module that stands behind it."""
    text = (ROOT / "docs" / "vcpu.md").read_text()
    lines = [line for line in text.partition("```text")[2].splitlines() if not line.startswith("|")]
    found = re.findall(r"`([A-Z][A-Za-z]+[a-z])\b[^`]*`(?: \(`(vcpu/\w+\.py)`\))?", "\n".join(lines))
    modules = {name: module for name, module in found if module}
    assert modules == {"BareHal": "vcpu/hal.py", "CallAction": "vcpu/smc_filter.py"}
    for name, module in modules.items():
        assert hasattr(importlib.import_module("armvcpu." + module[:-3].replace("/", ".")), name)
    assert [name for name, _ in found if name not in modules and not hasattr(armvcpu, name)] == []


class Heard(Observer):
    """Each event's method, where `state.pc` was, and an exit's kind."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, str]] = []

    def sysreg(self, _vcpu_id: int, state: CpuState, _encoding: int, _is_read: bool, _value: int) -> None:
        self.events.append(("sysreg", state.pc - raw.BASE, ""))

    def call(self, _vcpu_id: int, state: CpuState, *_: object) -> None:
        self.events.append(("call", state.pc - raw.BASE, ""))

    def mmio(self, _vcpu_id: int, state: CpuState, *_: object) -> None:
        self.events.append(("mmio", state.pc - raw.BASE, ""))

    def irq(self, _vcpu_id: int, state: CpuState, what: str, _intid: int) -> None:
        self.events.append(("irq", state.pc - raw.BASE, what))

    def exit(self, _vcpu_id: int, state: CpuState, reason: Exit) -> None:
        self.events.append(("exit", state.pc - raw.BASE, type(reason).__name__))


POWER_OFF = raw.psci(raw.SYSTEM_OFF)
ON, BEHIND = 16, 20  # a load from GICC_IAR, behind the MOVs of its address
END = BEHIND + 4 * len(POWER_OFF)


@pytest.mark.parametrize(
    ("exact_mmio", "events"),
    [
        (False, [("irq", ON, "acknowledge")]),
        (True, [("exit", BEHIND, "MmioRead"), ("irq", ON, "acknowledge"), ("mmio", ON, "")]),
    ],
)
def test_where_pc_is_for_an_observer(tmp_path: Path, exact_mmio: bool, events: list[tuple[str, int, str]]) -> None:
    """As the table of docs/scripting.md says; and no exit is told of that the host ends a run with."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image([*raw.mov(1, 0x0801_000C), raw.load(2, 1, 4), *POWER_OFF]))
    with Machine(image, gic=2, exact_mmio=exact_mmio) as machine:
        gic, heard = machine.board.gic, Heard()
        for device, offset, value in ((gic.distributor, 0, 1), (gic.distributor, 0x100, 1 << 27)):
            device.write(offset, 4, value)
        assert isinstance(gic, Gicv2)
        gic.cpu_interface.write(0, 4, 1)
        gic.cpu_interface.write(4, 4, 0xFF)
        gic.set_ppi(0, 27, True)
        machine.observe(heard)
        machine.run(max_instructions=4)
        assert heard.events == []
        assert machine.run(timeout=10).ok
        assert machine.vcpu.gpr(2) == 27
    assert heard.events == [*events, ("call", END, ""), ("exit", END, "SystemDown")]


def test_where_pc_is_at_a_system_register(tmp_path: Path) -> None:
    """On the instruction."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image([raw.NOP, raw.mrs(2, "ICC_IAR1_EL1"), *POWER_OFF]))
    with Machine(image) as machine:
        heard = Heard()
        machine.observe(heard)
        assert machine.run(timeout=10).ok
    assert heard.events[0] == ("sysreg", 4, "")
