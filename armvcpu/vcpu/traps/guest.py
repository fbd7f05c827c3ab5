"""What the exception layer needs of the vCPU that it serves, and what a user registers with it.

A Protocol, so that the traps know the vCPU from below: `Aarch64VCpu` has an exception layer, and not the other way.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from armvcpu.errors import callable_in, number_in

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
PASS_ON: Any = object()
"""What the handler of a call gives that has only looked: whoever would be asked without it is."""


class CallTable(Generic[VCpu]):
    """Handlers of calls by number, which has at most `bits` bits: another one would never be called, so UsageError."""

    __slots__ = ("_bits", "_what", "by_number")

    def __init__(self, what: str, bits: int) -> None:
        self._what, self._bits = what, bits
        self.by_number: dict[int, Callable[[VCpu], int | None]] = {}
        """For a trap to look into: Python looks faster into a dict than into any other class."""

    def __setitem__(self, number: int, handler: Callable[[VCpu], int | None]) -> None:
        number_in(f"the number of {self._what}", number, self._bits)
        callable_in(f"the handler of {self._what} {number:#x}", handler, 1)
        self.by_number[number] = handler

    def __delitem__(self, number: int) -> None:
        del self.by_number[number]

    def __contains__(self, number: object) -> bool:
        return number in self.by_number

    def __len__(self) -> int:
        return len(self.by_number)

    def clear(self) -> None:
        """No call has a handler."""
        self.by_number.clear()


class TrapHandlers(Generic[VCpu]):
    """A user's Python that answers inside the trap: no exit, a third of the time. Calls are by number.

    A call's handler gets the vCPU, with the arguments in its registers, and gives x0, None to leave it, or PASS_ON.
    """

    __slots__ = ("forwards_smc", "hypercalls", "semihosting", "smc")

    def __init__(self) -> None:
        self.hypercalls: CallTable[VCpu] = CallTable("HVC", 64)
        """By x0; a fast call of the SMC Calling Convention also by W0 alone."""
        self.smc: CallTable[VCpu] = CallTable("SMC", 32)
        """By W0."""
        self.forwards_smc = False
        """Is an SMC that nobody claims a Hypercall exit?"""
        self.semihosting: Callable[[VCpu], None] | None = None


class Heard(Protocol):
    """Who hears of what the vCPU does."""

    observer: Observer | None


class Undefining(Protocol):
    """Who can take an UNDEFINED exception at the level that has it."""

    def undefined(self) -> None:
        """Take it."""


class TrappedVCpu(Protocol):
    """The vCPU whose guest has trapped; `Aarch64VCpu` says what each of these is."""

    vcpu_id: int
    state: CpuState
    services: SmcServices
    sysregs: SysRegTable
    last_trap: tuple[int, int, int]
    refused_smc: tuple[int, int] | None

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

    @property
    def processor(self) -> Undefining:
        """How it takes exceptions."""

    def leave(self, reason: Exit) -> None:
        """Have `run()` return this."""

    def dump(self) -> dict[str, int]:
        """Its registers by name, for whoever hears that the guest has crashed."""

    def fetch_word(self) -> int | None:
        """The instruction at PC."""
