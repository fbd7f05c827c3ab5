"""Registering Python with a machine: hypercalls, SMCs, system registers, devices, code addresses.

Handlers run inside the guest's instruction, in less than a microsecond; a machine that has none pays nothing for them.
docs/scripting.md has a program for each.
"""

from __future__ import annotations

from armvcpu.arch.registers import encoding_of, lowest_el
from armvcpu.arch.static import TYPE_CHECKING, Any, TypeVar
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine, IoRead, IoWrite
    from armvcpu.machine.board.bus import Bus
    from armvcpu.machine.boot.loader import BootPlan
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.running.cpus import Cpu
    from armvcpu.vcpu.traps.exception import CallHandler
    from armvcpu.vcpu.vcpu import Aarch64VCpu

F = TypeVar("F", bound="Callable[..., Any]")


class Handlers:
    """The `on_...` methods of a machine: decorators, or called with the function."""

    cpus: list[Cpu]
    engine: Engine
    bus: Bus
    plan: BootPlan
    _symbols: Symbols | None = None

    def on_hypercall(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """Answer HVC with x0 = `number`: the function gets the vCPU and gives x0, or None to leave it."""
        return _register([cpu.vcpu.handlers.hypercalls for cpu in self.cpus], number, "hypercall")

    def on_smc(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """Answer SMC with x0 = `number`."""
        return _register([cpu.vcpu.handlers.smc for cpu in self.cpus], number, "SMC")

    def on_sysreg(
        self, name: str, read: Callable[[], int] | None = None, write: Callable[[int], None] | None = None
    ) -> None:
        """Answer the guest's MRS and MSR of a system register, by its Arm name or as `S3_1_C15_C2_1`, in any case.

        `read` gives what MRS reads, `write` gets what MSR writes, in place of the register. A direction without one
        stays the register's own; of a register that the CPU does not have, it is UNDEFINED.

        Raises:
            UsageError: there is no such register, or one that EL1 can't access, so that nobody would be called.
        """
        encoding = encoding_of(name)
        if encoding is None:
            raise UsageError(f"no system register {name!r}: a name as VBAR_EL1, or S<op0>_<op1>_C<n>_C<m>_<op2>")
        if lowest_el(encoding) > 1:
            raise UsageError(f"{name} is a register of EL{lowest_el(encoding)}: the guest runs at EL1 and EL0")
        for cpu in self.cpus:
            cpu.vcpu.answer_sysreg(encoding, read, write)

    def on_mmio(self, base: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Be the device at `base`: read(offset, width) and write(offset, width, value); whole pages of 4096 bytes.

        `machine.vcpu` is up to date there, PC on the instruction, and the guest goes on with what is written to it.
        """
        look = self.engine.look

        def read_now(offset: int, width: int) -> int:
            look()
            return read(offset, width)

        def write_now(offset: int, width: int, value: int) -> None:
            look()
            write(offset, width, value)

        self.bus.add(base, size, read_now, write_now)

    def on_symbol(self, name: str) -> Callable[[F], F]:
        """Call the function with the vCPU each time the guest reaches the symbol `name`, before it executes."""
        address = self.symbols.address(name)

        def add(function: F) -> F:
            self.engine.listen.on_code(address, address, lambda _pc: function(self.vcpu))
            return function

        return add

    @property
    def vcpu(self) -> Aarch64VCpu:
        """The vCPU that runs, or ran last."""
        raise NotImplementedError

    @property
    def symbols(self) -> Symbols:
        """The image's symbols; empty for an image without any."""
        if self._symbols is None:
            from armvcpu.machine.boot.symbols import Symbols  # noqa: PLC0415  most runs never look at one

            image = self.plan.image
            self._symbols = Symbols.from_elf(image.elf) if image is not None and image.elf else Symbols()
        return self._symbols


def _register(tables: list[dict[int, CallHandler]], number: int, kind: str) -> Callable[[CallHandler], CallHandler]:
    def add(function: CallHandler) -> CallHandler:
        for table in tables:
            if number in table:
                raise UsageError(f"{kind} {number:#x} has a handler already")
            table[number] = function
        return function

    return add
