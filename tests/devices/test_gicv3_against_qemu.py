"""A GICv3 of CPUs with EL2, and with EL3, does what QEMU 7.2's does: random scripts of accesses from every level.

Of each access what is read, the exception that it becomes, and which of IRQ and FIQ is asserted after it are compared;
`gic_random.py` says what is left out, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gic_levels import IMO, NS
from gic_random import Script
from gic_script import GICD, GICR, Model, Step, run_here, run_on_qemu

from armvcpu.arch.gic_ich import ICH_HCR
from armvcpu.arch.gic_registers import ICC_CTLR, ICC_CTLR_EL3
from armvcpu.errors import UsageError
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

STEPS, SHOWN = 700, 4
_OF_QEMU = sum(ICC_CTLR_EL3.FIELDS[name].mask for name in ("CBPR_EL1S", "EOImode_EL1S", "IDbits", "nDS", "RSS"))
NOT_COMPARED = {
    "ICC_CTLR_EL1": ICC_CTLR.IDbits.mask | ICC_CTLR.RSS.mask,  # INTIDs of 24 bits there; Aff0 up to 255 here
    "ICC_CTLR_EL3": _OF_QEMU,  # also, QEMU shows Non-secure state's modes as those of Secure state
    "ICH_HCR_EL2": ICH_HCR.EOIcount.mask,
}


@pytest.fixture(scope="module")
def qemu() -> str:
    """QEMU's program."""
    try:
        return programs.path("qemu-system-aarch64")
    except UsageError as error:
        pytest.fail(str(error), pytrace=False)


def differences(qemu: str, top: int, steps: list[Step], at: Path) -> list[str]:
    """The first step that differs, with those before it."""
    model, done = Model(top), []
    for n, (step, theirs) in enumerate(zip(steps, run_on_qemu(qemu, top, steps, at), strict=True)):
        ours = model.record(step)
        done.append(f"{n}: {step}: {[hex(x) for x in ours]}, QEMU {[hex(x) for x in theirs]}")
        ignored = 0 if step.value is not None else NOT_COMPARED.get(str(step.where), 0)
        if (ours[0] | ignored, *ours[1:]) != (theirs[0] | ignored, *theirs[1:]):
            return done[-SHOWN:]
    return []


@pytest.mark.parametrize("top", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_random_scripts(qemu: str, tmp_path: Path, top: int, seed: int) -> None:
    """Groups, priorities, SGIs, list registers, traps, and the views of Security states, all at once."""
    assert differences(qemu, top, Script(top, seed, STEPS).steps, tmp_path) == []


@pytest.mark.parametrize("top", [2, 3])
@pytest.mark.parametrize("seed", [5, 6])
def test_the_machine_is_like_the_model(tmp_path: Path, top: Literal[2, 3], seed: int) -> None:
    """The program in this project's own engine: traps with their syndromes, and lines that follow the CPU's level."""
    steps, model = Script(top, seed, STEPS).steps, Model(top)
    found = zip(steps, run_here(top, steps, tmp_path), strict=True)
    differ = [(step, ours, theirs) for step, theirs in found if (ours := model.record(step)) != theirs]
    assert differ[:SHOWN] == []


@pytest.mark.parametrize("top", [2, 3])
def test_reset_values(qemu: str, tmp_path: Path, top: int) -> None:
    """What is there before anybody has written anything."""
    names = ["PMR", "BPR0", "BPR1", "AP0R0", "AP1R0", "RPR", "IGRPEN0", "IGRPEN1", "SRE", "CTLR", "IAR0", "IAR1"]
    el2 = ["ICC_SRE", *(f"ICH_{name}" for name in ("HCR", "VMCR", "MISR", "EISR", "ELRSR", "LR0", "AP0R0"))]
    el3 = ["ICC_SRE_EL3", "ICC_CTLR_EL3", "ICC_IGRPEN1_EL3"] if top == 3 else []
    places = [(GICD, 4), *((GICD + n, 4) for n in (0x80, 0x84, 0xD04, 0xE08)), (GICR + 0x1_0080, 4)]
    steps = [Step(top, 0, 0, GICR + 0x14, None, 4)]  # GICR_WAKER, which QEMU lets Non-secure software see, too
    for el, scr, hcr in ((top, 0, 0), (top, NS, 0), (2, NS, 0), (1, NS, 0), (1, NS, IMO)):
        state = el, scr if top == 3 else 0, hcr
        steps += [Step(*state, f"ICC_{name}_EL1") for name in names]
        steps += [Step(*state, place, None, width) for place, width in places]
        if el > 1:
            steps += [Step(*state, f"{name}_EL2") for name in el2]
        if el == 3:
            steps += [Step(*state, name) for name in el3]
    assert differences(qemu, top, steps, tmp_path) == []


def test_a_difference_is_found(qemu: str, tmp_path: Path) -> None:
    """One access in one of many programs is enough: the model of another board says so."""
    steps = [Step(3, 0, 0, "ICC_BPR0_EL1"), Step(3, 0, 0, GICD, None, 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "record", lambda _model, step: (0x50 if step.where == GICD else 2, 0, 0))
        assert differences(qemu, 3, steps, tmp_path)[-1].startswith("1: EL3 S scr=0 hcr=0: [0x8000000]/4: ['0x50'")
