"""The registers of one vCPU by their Arm names: what a script, a debugger and a snapshot read and write.

    vcpu.registers["x0"] = 1; vcpu.registers["TTBR0_EL1"]; vcpu.registers["q3"]
    for register in vcpu.registers: print(register.name, register.bits, register.is_writable)

There is one row for each: X0 to X30, PC, PSTATE and V0 to V31 here, the system registers in `arch/registers.py`. Who
answers for a system register when the guest reads it answers here too: the vCPU's own table (`sysreg.py`), else the
engine. A vCPU that is not bound has the same registers; before its first binding they hold what was written to them.

`save` and `load` are about the rows that *keep* something of the guest's, and together are all that a CPU goes on from:

- What shows other registers is left out: fields of PSTATE, TVAL, the EL12 aliases.
- What another part of the machine keeps is left to that: Performance Monitors, ICC_* and ICH_*, and a machine's timers,
  of which the engine's own registers are here, and unused. Timers that the vCPU itself has are here.
- Registers of levels above the guest's are the hypervisor's configuration, and stay as they are in the vCPU that is
  loaded: EL2's and EL3's where the guest starts at EL1. So does HCR_EL2.VI then, a virtual interrupt that is pending:
  its level is the virtual interface's, and shown again at `bind`. Those of the guest's own levels are kept.
- AArch32's registers (SPSR_abt, DACR32_EL2, ...) mean nothing to a guest that can't leave AArch64 state, and are kept
  only as registers of its own EL2.
- The local exclusive monitor is no register. It could be dropped, since it may be cleared at any time (DDI 0487
  B2.12.1), but then STXR would fail once where it had not. So it is kept beside them, as `CpuState.exclusive`.
"""

from __future__ import annotations

from armvcpu.arch.pstate import el, uses_spx
from armvcpu.arch.registers import (
    NATIVE,
    RO,
    SYSREGS,
    WO,
    Access,
    SysReg,
    by_encoding,
    encoding_of,
    register_name,
)
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, kind_in
from armvcpu.vcpu.register_rows import (
    MPIDR,
    Register,
    check_pstate,
    check_width,
    general_registers,
    kept_access,
    names,
    read_pstate,
    system_access,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Registers:
    """All of one vCPU. A name is an Arm name, or `sp`, `lr`, `fp`, W0, Q0, D0, S0 and so on, in any case."""

    def __init__(self, vcpu: Aarch64VCpu) -> None:
        self._vcpu, self._highest = vcpu, vcpu.config.el
        self._early: dict[str, int] = {}
        """By name: what was written before there was a state, and neither of the vCPU's windows holds."""
        self._kept: tuple[Register, ...] | None = None

    def __getitem__(self, name: str) -> int:
        """The value; UsageError where there is no such register."""
        register, bits = self._find(name)
        return register.read(self) & (1 << bits) - 1

    def __setitem__(self, name: str, value: int) -> None:
        """Write it, zero-extended; UsageError, with nothing changed, where that can't be or the value does not fit."""
        register, bits = self._find(name)
        if not register.is_writable:
            raise UsageError(f"{register.name} can't be written")
        check_width(name, bits, value)
        if register.name == "PSTATE":
            check_pstate(value, self._highest)
        if register.name == "PC" and value % 4:
            raise UsageError(f"PC {value:#x} is no address of an instruction: a multiple of 4")
        register.write(self, value)

    def __contains__(self, name: object) -> bool:
        try:
            self._find(str(name))
        except UsageError:
            return False
        return True

    def __iter__(self) -> Iterator[Register]:
        """Every register that has a row, the general ones first."""
        yield from general_registers(self._highest)
        for row in SYSREGS:
            if self._access(row.encoding, row) & RO:
                yield self._of(row.encoding, row)

    def kept(self) -> tuple[Register, ...]:
        """Those that `save` gives: the same for every vCPU of a model, whoever answers for them."""
        if self._kept is None:
            rows = (row for row in SYSREGS if self._is_kept(row))
            system = (Register(row.name, 64, True, *kept_access(row.encoding)) for row in rows)
            self._kept = *general_registers(self._highest), *system
        return self._kept

    def _is_kept(self, row: SysReg) -> bool:
        if row.home is not NATIVE or row.encoding in self._vcpu.sysregs.lacked or row.is_window or row.pstate:
            return False
        return row.level <= self._highest and not row.is_alias and (row.access is Access.RW or row.is_settable)

    def save(self) -> dict[str, int]:
        """By name: all that the vCPU goes on from."""
        with self._vcpu.system_registers.loaded():
            return {register.name: register.read(self) for register in self.kept()}

    def check(self, values: Mapping[str, object]) -> None:
        """UsageError where `values` is nothing that `save` gives: a name, a type, a width, a value that can't be."""
        widths = {register.name: register.bits for register in self.kept()}
        if different := values.keys() ^ widths.keys():
            name = min(different)
            raise UsageError(f"there is no register {name!r}" if name in values else f"{name} is missing")
        for name, value in values.items():
            check_width(name, widths[name], value)
        check_pstate(values["PSTATE"], self._highest)

    def load(self, values: Mapping[str, int]) -> None:
        """Go on from what `save` gave, everything else as after reset, but for the configuration of levels above."""
        vcpu, system = self._vcpu, self._vcpu.system_registers
        with system.loaded() as engine:
            configuration = system.configuration()
            engine.reset_state(vcpu.state, self._highest)
            for encoding, value in configuration:
                engine.registers.write(encoding, value)
            for register in self.kept():  # PSTATE before the stack pointers, which it selects
                register.write(self, values[register.name])

    def configure(self) -> None:
        """The vCPU has its state, and is bound: write what was written before."""
        early, self._early = self._early, {}
        for name, value in early.items():
            self[name] = value

    # --- one by its name --------------------------------------------------------------------------------------

    def _find(self, name: str) -> tuple[Register, int]:
        """The register of a name, and how many of its bits the name is about."""
        kind_in("a register's name", name, str)
        upper = name.upper()
        if upper == "SP":
            pstate = read_pstate(self)
            upper = f"SP_EL{el(pstate) if uses_spx(pstate) else 0}"
        if (general := names(self._highest).get(upper)) is not None:
            return general
        encoding = encoding_of(upper)
        row = None if encoding is None else by_encoding.get(encoding)
        if encoding is None or not (access := self._access(encoding, row)):
            raise UsageError(f"this CPU has no register {name!r}: X0 to X30, SP, PC, PSTATE, V0 to V31, or an Arm name")
        if not access & RO:
            raise UsageError(f"{register_name(encoding)} holds nothing: what the guest does with it is an action")
        return self._of(encoding, row), 64

    def _access(self, encoding: int, row: SysReg | None) -> Access:
        """Can it be read and written from here? Neither where the vCPU has none, and not read where that acts."""
        table = self._vcpu.sysregs
        reads, writes = encoding in table.readers, encoding in table.writers
        if row is not None and row.acts:
            return WO if reads else Access(0)
        if reads or writes:
            return (RO if reads else Access(0)) | (WO if writes else Access(0))
        if encoding == MPIDR:
            return RO
        if row is None or row.home is not NATIVE or row.is_alias or encoding in table.undefined:
            return Access(0)
        return row.access | (WO if row.is_settable else Access(0))

    def _of(self, encoding: int, row: SysReg | None) -> Register:
        is_writable = bool(self._access(encoding, row) & WO)
        return Register(register_name(encoding), 64, is_writable, *system_access(encoding))

    # --- what rows read and write -----------------------------------------------------------------------------

    @property
    def vcpu(self) -> Aarch64VCpu:
        """Whose they are."""
        return self._vcpu

    def early(self, name: str, reset: int = 0) -> int:
        """Before there is a state: what was written, or the value after reset."""
        return self._early.get(name, reset)

    def set_early(self, name: str, value: int) -> None:
        """Keep it until there is a state."""
        self._early[name] = value
