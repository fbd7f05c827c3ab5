"""A virtual CPU's registers: the trap frame and the system registers that a switch keeps.

Both are windows, not copies. Until the vCPU is first bound to a physical CPU they hold what was written to them;
from then on they show the engine's saved state, so reading a register in a trap costs no call into the engine.
"""

from __future__ import annotations

from functools import cache
from operator import index as as_index

from armvcpu.arch.pstate import DAIF, describe_pstate
from armvcpu.arch.registers import NATIVE, RW, by_encoding, by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.sysregs_el2 import EL2_REGISTERS, EL3_REGISTERS
from armvcpu.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.arch.registers import SysReg
    from armvcpu.engine.api import Engine
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.pcpu import Aarch64PerCpu

_U64 = 0xFFFF_FFFF_FFFF_FFFF
STACK_POINTERS = {by_name[f"SP_EL{el}"].encoding: el for el in (0, 1, 2)}
"""Those that MSR and MRS can name; SP_EL3 has no level above."""


def reset_pstate(el: int) -> int:
    """PSTATE of a vCPU that was never run: EL1h, EL2h or EL3h, all exceptions masked (DDI 0487 D1.4, reset)."""
    return int(DAIF) | el << 2 | 1


class TrapFrame:
    """x0 to x30, SP_EL0, ELR and SPSR of the guest, as at its last exception to us. Values are 64 bits.

    `el` is the Exception level that it starts at.
    """

    def __init__(self, el: int = 1) -> None:
        self._reset_pstate = reset_pstate(el)
        self._early: dict[int, int] = {}
        self._early_pc: int | None = None
        self._state: CpuState | None = None

    def start_at(self, value: int) -> None:
        """Choose where the guest starts, now and after each reset."""
        self._early_pc = value
        if self._state:
            self._state.set_pc(value)

    def attach(self, state: CpuState) -> None:
        """Become a window on `state`."""
        self._state = state

    def configure(self) -> None:
        """Write to the state what was written before there was one: how the vCPU starts."""
        assert self._state is not None
        for index, value in self._early.items():
            self._state.set_gpr(index, value)
        if self._early_pc is not None:
            self._state.set_pc(self._early_pc)

    def gpr(self, index: int) -> int:
        """Xn, 0 to 30; 31 is XZR and reads as zero. UsageError for another number."""
        try:
            _check_register(index)
            return self._state.gpr(index) if self._state else self._early.get(as_index(index), 0)
        except TypeError:  # caught, and not looked for: this is asked in traps
            raise no_register(index) from None

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn with the low 64 bits of `value`; register 31, XZR, ignores it. UsageError for what is no number."""
        try:
            _check_register(index)
            if self._state:
                self._state.set_gpr(index, value)
            elif index != 31:
                self._early[as_index(index)] = value & _U64
        except TypeError:
            raise UsageError(f"x{index} can't hold {value!r}: give two numbers") from None

    @property
    def has_entry(self) -> bool:
        """Has anybody said where the guest starts, or goes on?"""
        return self._early_pc is not None or (self._state is not None and self._state.pc != 0)

    def set_argument(self, value: int) -> None:
        """Write x0, the first argument of what runs next."""
        self.set_gpr(0, value)

    @property
    def exception_pc(self) -> int:
        """ELR: where the guest goes on."""
        return self._state.pc if self._state else self._early_pc or 0

    def set_exception_pc(self, value: int) -> None:
        """Choose where the guest goes on."""
        if self._state:
            self._state.set_pc(value)
        else:
            self._early_pc = value & _U64

    elr = exception_pc

    @property
    def spsr(self) -> int:
        """The guest's PSTATE in the layout of SPSR_EL2."""
        return self._state.pstate if self._state else self._reset_pstate

    @property
    def sp(self) -> int:
        """The stack pointer that PSTATE selects."""
        return self._state.frame[31] if self._state else 0

    @property
    def sp_el0(self) -> int:
        """SP_EL0, wherever PSTATE.SP and the Exception level have put it."""
        if self._state is None:
            return 0
        return self._state.sp_el(0) if self.spsr & 1 else self._state.frame[31]

    def __str__(self) -> str:
        lines = []
        for first in range(0, 31, 3):
            registers = range(first, min(first + 3, 31))
            lines.append("  ".join(f"{f'x{i}':>3} {self.gpr(i):016x}" for i in registers))
        lines[-1] += f"   sp {self.sp:016x}  sp_el0 {self.sp_el0:016x}"
        lines.append(f" pc {self.exception_pc:016x}  pstate {self.spsr:08x} ({describe_pstate(self.spsr)})")
        return "\n".join(lines)


def _check_register(index: int) -> None:
    if not 0 <= index <= 31:
        raise no_register(index)


def no_register(index: object) -> UsageError:
    """The error of a general-purpose register that there is not."""
    return UsageError(f"there is no general-purpose register x{index}: x0 to x30 by their numbers, and 31 for XZR")


SWITCHED = tuple(
    by_name[name]
    for name in (
        "SCTLR_EL1", "ACTLR_EL1", "CPACR_EL1", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "ESR_EL1", "FAR_EL1", "AFSR0_EL1",
        "AFSR1_EL1", "MAIR_EL1", "AMAIR_EL1", "VBAR_EL1", "CONTEXTIDR_EL1", "TPIDR_EL0", "TPIDRRO_EL0", "TPIDR_EL1",
        "ELR_EL1", "SPSR_EL1", "SP_EL1", "PAR_EL1", "MDSCR_EL1", "CSSELR_EL1", "CNTKCTL_EL1", "CNTV_CTL_EL0",
        "CNTV_CVAL_EL0", "CNTP_CTL_EL0", "CNTP_CVAL_EL0", "HCR_EL2", "VTCR_EL2", "VTTBR_EL2", "VMPIDR_EL2",
        "VPIDR_EL2", "CNTVOFF_EL2", "CNTHCTL_EL2", "CPTR_EL2", "MDCR_EL2", "HSTR_EL2", "HPFAR_EL2",
    )
)  # fmt: skip
"""The rows a switch keeps: the guest's own EL1 and EL0 registers, and EL2's configuration for it."""

_CONFIGURATION = {
    1: tuple(row.encoding for row in SWITCHED if row.name.endswith("_EL2") and row.name != "HPFAR_EL2"),
    2: (by_name["SCR_EL3"].encoding,),
    3: (),
}
"""By the guest's highest level: the registers of the levels above it."""


@cache
def switched(el: int, *, vhe: bool) -> tuple[SysReg, ...]:
    """Those rows, and of a guest whose highest level is EL2 or EL3 also that level's; `vhe`: with what VHE brings."""
    if el == 1:
        return SWITCHED
    listed = {row.encoding for row in SWITCHED}
    own = (row for row in (*EL2_REGISTERS, *EL3_REGISTERS) if row.encoding not in listed and row.is_there(el, vhe=vhe))
    return *SWITCHED, *(row for row in own if row.home is NATIVE and row.access is RW and not row.is_window)


@cache
def _names(el: int, *, vhe: bool) -> dict[str, int]:
    return {row.name.lower(): row.encoding for row in switched(el, vhe=vhe)}


class GuestSystemRegisters:
    """System registers by their Arm names in lower case: `regs.vbar_el1`, `regs.hcr_el2 = ...`; or by encoding.

    `el` is the guest's highest level: where that is EL2 or EL3 their registers are the guest's own, and nobody's
    configuration. `vhe`: its CPU has the Virtualization Host Extensions.
    """

    _early: dict[int, int]
    _el: int
    _names: dict[str, int]
    _pcpu: Aarch64PerCpu
    _rows: tuple[SysReg, ...]
    _state: CpuState | None

    def __init__(self, el: int = 1, *, vhe: bool = False) -> None:
        vars(self).update(_early={}, _el=el, _names=_names(el, vhe=vhe), _rows=switched(el, vhe=vhe), _state=None)

    def attach(self, pcpu: Aarch64PerCpu, state: CpuState) -> None:
        """Become a window on `state`, which the engine of `pcpu` has loaded."""
        vars(self).update(_pcpu=pcpu, _state=state)

    def configure(self) -> None:
        """Write to the state what was written before there was one: the vCPU's configuration."""
        for encoding, value in self._early.items():
            self.write(encoding, value)

    @property
    def engine(self) -> Engine | None:
        """The engine that has them in place now; None where they lie in memory of their own."""
        if self._state is None:
            return None
        engine = self._pcpu.engine
        return engine if engine.state is self._state else None

    def loaded(self) -> _visiting:
        """Have them in the engine for a `with` block, which gives the engine: many accesses for one visit."""
        if self._state is None:
            raise StateError("a vCPU that has not been bound yet has no registers")
        return _visiting(self._pcpu, self._state)

    def configured(self) -> tuple[int, ...]:
        """The encodings of `configuration`."""
        return _CONFIGURATION[self._el]

    def configuration(self) -> list[tuple[int, int]]:
        """(encoding, value) of the registers of the levels above the guest's: what a reset of it leaves as it is."""
        return [(encoding, self.read(encoding)) for encoding in self.configured()]

    def read(self, encoding: int) -> int:
        """A register by its packed encoding."""
        if self._state is None:
            return self._early.get(encoding, by_encoding[encoding].reset or 0)
        if encoding in STACK_POINTERS:
            return self._state.stack_pointer(STACK_POINTERS[encoding])
        engine = self._pcpu.engine
        if engine.state is self._state:
            return engine.registers.read(encoding)
        with _visiting(self._pcpu, self._state):
            return engine.registers.read(encoding)

    def write(self, encoding: int, value: int) -> None:
        """Write one by its packed encoding."""
        if self._state is None:
            self._early[encoding] = value
            return
        if encoding in STACK_POINTERS:
            self._state.set_stack_pointer(STACK_POINTERS[encoding], value)
            return
        engine = self._pcpu.engine
        if engine.state is self._state:
            engine.registers.write(encoding, value)
            return
        with _visiting(self._pcpu, self._state):
            engine.registers.write(encoding, value)

    def __getattr__(self, name: str) -> int:
        if name not in self._names:
            raise AttributeError(f"no system register {name!r} among those a switch keeps")
        return self.read(self._names[name])

    def __setattr__(self, name: str, value: int) -> None:
        if name not in self._names:
            raise AttributeError(f"no system register {name!r} among those a switch keeps")
        self.write(self._names[name], value)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """(name, value) of every register that a switch keeps."""
        for row in self._rows:
            yield row.name, self.read(row.encoding)


class _visiting:  # used as a function
    """Load another vCPU's state for a moment: some µs, for looking at one that is not bound."""

    def __init__(self, pcpu: Aarch64PerCpu, state: CpuState) -> None:
        self._engine, self._bound, self._state = pcpu.engine, pcpu.bound, state
        self._before = self._engine.state

    def __enter__(self) -> Engine:
        if self._bound is not None:
            self._bound.keep_last_exception()
        self._faults = self._engine.fault_history
        self._engine.load(self._state)
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._engine.load(self._before)
        self._engine.fault_history = self._faults
