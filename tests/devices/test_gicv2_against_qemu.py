"""A GICv2 of CPUs with EL2, and with EL3, does what QEMU 7.2's does: random scripts of accesses from every level.

Of each access what is read, and which of IRQ and FIQ is asserted after it; `gicv2_random.py` says what is left out, and
why. The same programs run on the machine, whose accesses come from the engine with their Security state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gic_guest import IAR
from gic_script import run_here, run_on_qemu
from gicv2_random import GICC, SecurityScript, VirtualScript

from armvcpu.errors import UsageError
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from gicv2_random import Script

STEPS, SHOWN = 700, 6
NOTHING = (1022, 1023)


@pytest.fixture(scope="module")
def qemu() -> str:
    """QEMU's program."""
    try:
        return programs.path("qemu-system-aarch64")
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)


def new_script(kind: str, seed: int) -> Script:
    """Of two Security states, or of a hypervisor below EL3 or with nothing above it."""
    return SecurityScript(seed, STEPS) if kind == "security" else VirtualScript(int(kind[-1]), seed, STEPS)


def differences(script: Script, theirs: list[tuple[int, ...]]) -> list[str]:
    """The first step that differs, with those before it."""
    done = []
    for n, (step, ours, other) in enumerate(zip(script.steps, script.records, theirs, strict=True)):
        done.append(f"{n}: {step}: {[hex(x) for x in ours]}, there {[hex(x) for x in other]}")
        is_open = step.where == GICC + IAR and ours[0] in NOTHING and other[0] in NOTHING
        if ours[is_open:] != other[is_open:]:
            return done[-SHOWN:]
    return []


@pytest.mark.parametrize("kind", ["security", "hypervisor of EL2", "hypervisor below EL3"])
@pytest.mark.parametrize("seed", range(3))
def test_random_scripts_on_qemu(qemu: str, tmp_path: Path, kind: str, seed: int) -> None:
    """The model says what QEMU says."""
    script = new_script(kind, seed)
    theirs = run_on_qemu(qemu, script.top, script.steps, tmp_path, gic=2)
    assert differences(script, list(theirs)) == []


@pytest.mark.parametrize("kind", ["security", "hypervisor of EL2", "hypervisor below EL3"])
def test_random_scripts_on_the_machine(tmp_path: Path, kind: str) -> None:
    """And so does the machine."""
    script = new_script(kind, seed=7)
    top: Literal[2, 3] = 3 if script.top == 3 else 2
    assert differences(script, list(run_here(top, script.steps, tmp_path, gic=2))) == []


def test_a_difference_is_found(qemu: str, tmp_path: Path) -> None:
    """One access in one of many programs is enough."""
    script = new_script("security", 0)
    value, became, isr = script.records[20]
    script.records[20] = (value ^ 8, became, isr)
    found = differences(script, list(run_on_qemu(qemu, script.top, script.steps, tmp_path, gic=2)))
    assert found[-1].startswith("20: ")
