"""PSTATE as SPSR_ELx holds it, DDI 0487 D17.2.135 (SPSR_EL1) and D1.4 (process state)."""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView

EL0t = 0b0000
EL1t = 0b0100
EL1h = 0b0101
EL2t = 0b1000
EL2h = 0b1001
EL3t = 0b1100
EL3h = 0b1101

MODE_NAMES = {
    EL0t: "EL0t",
    EL1t: "EL1t",
    EL1h: "EL1h",
    EL2t: "EL2t",
    EL2h: "EL2h",
    EL3t: "EL3t",
    EL3h: "EL3h",
}
"""M[3:0] of AArch64 state to its name; the values missing here are illegal (D1.4.4)."""


class PState(RegisterView):
    """The process state in the layout of SPSR_ELx for an exception from AArch64 state."""

    N = Field(31)
    Z = Field(30)
    C = Field(29)
    V = Field(28)
    TCO = Field(25)
    DIT = Field(24)
    UAO = Field(23)
    PAN = Field(22)
    SS = Field(21)
    IL = Field(20)
    SSBS = Field(12)
    BTYPE = Field(11, 10)
    D = Field(9)
    A = Field(8)
    I = Field(7)
    F = Field(6)
    nRW = Field(4)
    M = Field(3, 0)


DAIF = PState.of(D=1, A=1, I=1, F=1)
"""All four exception masks."""


def el(pstate: int) -> int:
    """The Exception level, 0 to 3, of AArch64 state."""
    return pstate >> 2 & 3


def uses_spx(pstate: int) -> bool:
    """Is the stack pointer SP_ELx (PSTATE.SP = 1) rather than SP_EL0?"""
    return bool(pstate & 1)


def mode_name(pstate: int) -> str:
    """The mode as `EL1h`; `AArch32` where nRW is set, `illegal mode 0b0010` where M has no meaning."""
    state = PState(pstate)
    if state.nRW:
        return "AArch32"
    return MODE_NAMES.get(state.M, f"illegal mode {state.M:#06b}")


def describe_pstate(pstate: int) -> str:
    """PSTATE in words, as `EL1h NzCv DaIF PAN`: capitals are ones, the other bits are named where set."""
    state = PState(pstate)
    extra = (name for name in ("TCO", "DIT", "UAO", "PAN", "SS", "IL", "SSBS") if getattr(state, name))
    return " ".join((mode_name(state), _letters(state, "NZCV"), _letters(state, "DAIF"), *extra))


def _letters(state: PState, names: str) -> str:
    return "".join(name if getattr(state, name) else name.lower() for name in names)
