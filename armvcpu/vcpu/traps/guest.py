"""What the exception layer needs of the vCPU that it serves, and what a user registers with it.

A Protocol, so that the traps know the vCPU from below: `Aarch64VCpu` has an exception layer, and not the other way.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.smc import SmcServices
    from armvcpu.vcpu.stage2.mapping import MappingFlags
    from armvcpu.vcpu.sysreg import SysRegTable

VCpu = TypeVar("VCpu")


class TrapHandlers(Generic[VCpu]):
    """A user's Python that answers inside the trap: no exit, a third of the time. Calls are by number.

    A call's handler gets the vCPU, with the arguments in its registers, and gives x0, or None to leave it.
    """

    __slots__ = ("breakpoint", "forwards_smc", "hypercalls", "semihosting", "smc")

    def __init__(self) -> None:
        self.hypercalls: dict[int, Callable[[VCpu], int | None]] = {}
        self.smc: dict[int, Callable[[VCpu], int | None]] = {}
        self.forwards_smc = False
        """Is an SMC that nobody claims a Hypercall exit?"""
        self.semihosting: Callable[[VCpu], None] | None = None
        self.breakpoint: Callable[[VCpu, int], bool] | None = None
        """Asked at each BRK, with its immediate, whether it is a debugger's; if so it has ended the run."""


class Heard(Protocol):
    """Who hears of what the vCPU does."""

    observer: Observer | None


class TrappedVCpu(Protocol):
    """The vCPU whose guest has trapped; `Aarch64VCpu` says what each of these is."""

    vcpu_id: int
    state: CpuState
    services: SmcServices
    sysregs: SysRegTable
    last_trap: tuple[int, int, int]

    @property
    def engine(self) -> Engine:
        """The engine that runs it."""

    @property
    def handlers(self) -> TrapHandlers[Any]:
        """A user's Python."""

    @property
    def listeners(self) -> Heard:
        """Who hears."""

    @property
    def handle_page_fault(self) -> Callable[[int, MappingFlags], bool]:
        """Asked on every stage-2 fault."""

    def leave(self, reason: Exit) -> None:
        """Have `run()` return this."""

    def dump(self) -> dict[str, int]:
        """Its registers by name, for whoever hears that the guest has crashed."""

    def fetch_word(self) -> int | None:
        """The instruction at PC."""
