"""Registering Python with a machine: hypercalls, SMCs, system registers, devices, code addresses.

Handlers run inside the guest's instruction, in less than a microsecond; a machine that has none pays nothing for them.
docs/scripting.md has a program for each.
"""

from __future__ import annotations

from armvcpu.arch.registers import by_name, encoding_of, lowest_el
from armvcpu.arch.static import TYPE_CHECKING, Any, TypeVar
from armvcpu.errors import UsageError, callable_in, did_you_mean, kind_in, number_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine, IoRead, IoWrite
    from armvcpu.machine.board.bus import Bus
    from armvcpu.machine.boot.boot import Boot
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.traps.guest import CallTable
    from armvcpu.vcpu.vcpu import Aarch64VCpu, CallHandler

F = TypeVar("F", bound="Callable[..., Any]")


class Handlers:
    """What a script registers; `Machine` has a method of the same name for each, which tells what it does."""

    def __init__(self, boot: Boot, bus: Bus, engine: Engine, turns: Turns) -> None:
        self._boot, self._bus, self._engine, self._turns = boot, bus, engine, turns
        self._symbols: Symbols | None = None

    def on_hypercall(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """HVC with x0 = `number`."""
        return self._register([cpu.vcpu.handlers.hypercalls for cpu in self._turns.cpus], number, "hypercall")

    def on_smc(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """SMC with x0 = `number`."""
        return self._register([cpu.vcpu.handlers.smc for cpu in self._turns.cpus], number, "SMC")

    def _register(
        self, tables: list[CallTable[Aarch64VCpu]], number: int, kind: str
    ) -> Callable[[CallHandler], CallHandler]:
        def add(function: CallHandler) -> CallHandler:
            for table in tables:
                if number in table:
                    raise UsageError(f"{kind} {number:#x} has a handler already")
                table[number] = function
            for cpu in self._turns.cpus:
                cpu.vcpu.settle_listeners()
            return function

        return add

    def forget_call(self, kind: str, number: int) -> None:
        """Take a handler of "hypercall" or "SMC" away."""
        for cpu in self._turns.cpus:
            handlers = cpu.vcpu.handlers
            del (handlers.hypercalls if kind == "hypercall" else handlers.smc)[number]
            cpu.vcpu.settle_listeners()

    def on_sysreg(
        self, name: str, read: Callable[[], int] | None = None, write: Callable[[int], None] | None = None
    ) -> None:
        """MRS and MSR of a system register."""
        encoding = self.register(name)
        for what, function in (("read", read), ("write", write)):
            if function is not None:
                callable_in(f"on_sysreg's {what}", function, 0 if what == "read" else 1)
        for cpu in self._turns.cpus:
            cpu.vcpu.answer_sysreg(encoding, read, write)

    def register(self, name: str) -> int:
        """The encoding of a register of the guest's levels; UsageError for another name."""
        kind_in("a system register's name", name, str)
        encoding = encoding_of(name)
        if encoding is None:
            near = did_you_mean(name.upper(), by_name, 3)
            raise UsageError(f"no system register {name!r}: a name as VBAR_EL1, or S<op0>_<op1>_C<n>_C<m>_<op2>{near}")
        highest = self._turns.cpu.vcpu.config.el
        if lowest_el(encoding) > highest:
            raise UsageError(
                f"{name} is a register of EL{lowest_el(encoding)}: the guest has no level above EL{highest}"
            )
        return encoding

    def on_mmio(self, base: int, size: int, read: IoRead, write: IoWrite) -> None:
        """The device at `base`, by its callbacks."""
        callable_in("on_mmio's read", read, 2)
        callable_in("on_mmio's write", write, 3)
        self._bus.add(base, size, read, write, is_users=True)

    def on_address(self, address: int, what: str = "on_address") -> Callable[[F], F]:
        """Code at an address; `what` is what the caller has called."""
        number_in("an instruction's address", address, 64)
        if address % 4:
            raise UsageError(f"{what}: {address:#x} is no address of an instruction, which is a multiple of 4")

        def add(function: F) -> F:
            callable_in(what, function, 1)
            self._engine.listen.probe(address, lambda _pc: function(self._turns.cpu.vcpu))
            return function

        return add

    def on_symbol(self, name: str) -> Callable[[F], F]:
        """Code at a symbol."""
        return self.on_address(self.symbols.address(name), f"on_symbol({name!r})")

    @property
    def symbols(self) -> Symbols:
        """Those of the file that a user has named, then the image's; empty where there are none."""
        if self._symbols is None:
            self._symbols = self._boot.symbols()
        return self._symbols
