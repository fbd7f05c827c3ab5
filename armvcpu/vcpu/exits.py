"""Why `Aarch64VCpu.run()` returned: a closed set of immutable rows, matched in one place by the caller.

Register numbers are 0 to 30, and 31 is XZR: a read into it is dropped, a write from it has been taken as 0.
Addresses of memory are guest physical (IPA). The vCPU has already stepped over the instruction that caused
the exit, except for NestedPageFault, after which it is tried again.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.vcpu.stage2.mapping import MappingFlags


class Hypercall(Row):
    """An HVC that no service claims: `nr` is x0 (64 bits), `args` are x1 to x6; the answer goes to x0.

    Also a call that a filter lets through, and an SMC that is forwarded. `immediate` is the instruction's (16 bits),
    `conduit` "hvc" or "smc".
    """

    nr: int
    args: tuple[int, int, int, int, int, int]
    immediate: int = 0
    conduit: str = "hvc"


class MmioRead(Row):
    """A load from where no memory is: `width` 1, 2, 4 or 8 bytes at `addr` are to be placed in `reg`.

    The register is `reg_width` bytes (4 or 8) wide; `signed_ext` extends the value's sign to it, else zeros.
    """

    addr: int
    width: int
    reg: int
    reg_width: int
    signed_ext: bool


class MmioWrite(Row):
    """A store to where no memory is: `width` 1, 2, 4 or 8 bytes at `addr`; `data` is cut to that width.

    With `is_denied` memory is there, which may not be written: ROM.
    """

    addr: int
    width: int
    data: int
    is_denied: bool = False


class SysRegRead(Row):
    """MRS, into `reg`, of a register that nobody answers for.

    `addr` names it as ESR_EL2.ISS lays it out (ISS & 0x3FFC1E).
    """

    addr: int
    reg: int


class SysRegWrite(Row):
    """MSR of the 64-bit `value` likewise; `addr` names the register as SysRegRead.addr does."""

    addr: int
    value: int


class ExternalInterrupt(Row):
    """An interrupt of the physical CPU ended the run; `vector` is its INTID."""

    vector: int


class NestedPageFault(Row):
    """Stage 2 has no translation, or (`is_denied`) not the permission, for `access_flags` at `addr`."""

    addr: int
    access_flags: MappingFlags
    is_denied: bool = False


class Halt(Row):
    """The vCPU waits for an interrupt: WFI, or CPU_SUSPEND; or for a character, by semihosting, still at its HLT.

    Where `entry_point` is given (a power-down suspend, DEN 0022 5.4) the vCPU lost its state: on wake-up it
    enters there with x0 = `arg`, as after CpuUp. Without, it goes on after the instruction.
    """

    entry_point: int | None = None
    arg: int = 0


class CpuUp(Row):
    """CPU_ON: start the CPU of MPIDR affinity `target_cpu` at `entry_point` (guest physical), x0 = `arg`."""

    target_cpu: int
    entry_point: int
    arg: int


class CpuDown(Row):
    """CPU_OFF of the calling vCPU; `state` is the PSCI power state, 0 where the call carries none."""

    state: int = 0


class SystemDown(Row):
    """SYSTEM_OFF: the whole machine powers off."""


class SystemReset(Row):
    """SYSTEM_RESET (`reset_type` None: a cold reset) or SYSTEM_RESET2 (its 32-bit reset_type and cookie)."""

    reset_type: int | None = None
    cookie: int = 0


class SendIPI(Row):
    """A software generated interrupt, INTID `vector` (0 to 15), by a write of ICC_SGI1R_EL1 or its like.

    `target_cpu` is the affinity Aff3.Aff2.Aff1 in MPIDR_EL1's layout with Aff0 = 0, `target_cpu_aux` the
    TargetList (bit n is Aff0 = n). With `send_to_all` every CPU but the sender is meant, with
    `send_to_self` the sender.
    """

    target_cpu: int
    target_cpu_aux: int
    send_to_all: bool
    send_to_self: bool
    vector: int


class FailEntry(Row):
    """The vCPU could not be entered; `reason` says why, in one line."""

    reason: str


class Nothing(Row):
    """Nothing to do for the caller; run again."""


Exit = (
    Hypercall
    | MmioRead
    | MmioWrite
    | SysRegRead
    | SysRegWrite
    | ExternalInterrupt
    | NestedPageFault
    | Halt
    | CpuUp
    | CpuDown
    | SystemDown
    | SystemReset
    | SendIPI
    | FailEntry
    | Nothing
)
