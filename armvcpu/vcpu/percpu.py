"""Per-CPU storage: the registry of the *physical* CPUs, and variables that each of them has its own copy of.

In this layer because the physical CPUs (`pcpu.py`) and the vCPU bound to each are looked up from here. Each thread that
runs a physical CPU has its own idea of which CPU is current, so that hooks find theirs without being told.
The registry owns the values; a variable is a typed key into it, so two machines in one process share nothing.

    percpu = PerCpu(count=2)
    Aarch64PerCpu.register(percpu)
    percpu.enable_all()
    HITS: PerCpuVariable[int] = percpu.declare("hits", initial=0)
    with percpu.on(1):
        HITS.set(7)                     # CPU 1's copy; CPU 0 still has 0
        vcpu.bind(percpu.this_cpu())
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, TypeVar, overload
from armvcpu.errors import StateError, UsageError, callable_in, kind_in, number_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

T = TypeVar("T")

MOST_CPUS = 1 << 16
"""More than any machine has: each costs a little memory, wanted or not."""
AARCH64_PERCPU = "aarch64_percpu"
"""The variable that holds each CPU's `Aarch64PerCpu`."""


class PerCpuVariable(Generic[T]):
    """The key of one declared variable; made by `PerCpu.declare`. `cpu_id` None means the current CPU."""

    __slots__ = ("_registry", "name")

    def __init__(self, registry: PerCpu, name: str) -> None:
        self._registry, self.name = registry, name

    def get(self, cpu_id: int | None = None) -> T:
        """This CPU's value. UsageError for an unknown CPU, StateError when none is current."""
        value: T = self._registry.values_of(cpu_id)[self.name]
        return value

    def set(self, value: T, cpu_id: int | None = None) -> None:
        """Replace this CPU's value. Errors as `get`."""
        self._registry.values_of(cpu_id)[self.name] = value

    def for_all(self) -> Iterator[tuple[int, T]]:
        """(cpu_id, value) of every CPU, in order of id."""
        return ((cpu_id, self.get(cpu_id)) for cpu_id in range(self._registry.count))

    def __repr__(self) -> str:
        return f"<PerCpuVariable {self.name}>"


class _Here(threading.local):
    """Which CPU a thread has entered by `on`."""

    cpu_id: int | None = None


class PerCpu:
    """The physical CPUs 0 to `count` - 1, their variables, and which of them the calling thread runs."""

    def __init__(self, count: int = 1) -> None:
        if not 1 <= number_in("the number of physical CPUs", count, 64, signed=True) <= MOST_CPUS:
            raise UsageError(f"a machine has at least one physical CPU and at most {MOST_CPUS}, not {count}")
        self._values: list[dict[str, Any]] = [{} for _ in range(count)]
        self._here = _Here()

    # --- which CPU --------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many physical CPUs there are; their ids count from 0."""
        return len(self._values)

    @property
    def current(self) -> int:
        """The id of the CPU that this thread runs; StateError where it runs none.

        That is the one whose guest has called us, in a handler; else the one that the thread entered by `on`.
        """
        thread = threading.get_ident()
        for cpu in self.cpus():
            if cpu.runs_on(thread):
                return cpu.cpu_id
        if self._here.cpu_id is None:
            raise StateError("no physical CPU is current; name one, or enter `with percpu.on(cpu_id)`")
        return self._here.cpu_id

    @contextmanager
    def on(self, cpu_id: int) -> Iterator[int]:
        """Make `cpu_id` current in this thread for a `with` block; they nest. UsageError for an unknown CPU."""
        self.values_of(cpu_id)
        here = self._here
        previous, here.cpu_id = here.cpu_id, cpu_id
        try:
            yield cpu_id
        finally:
            here.cpu_id = previous

    # --- the physical CPUs ------------------------------------------------------------------------------------

    def register(self, cpu: Aarch64PerCpu) -> None:
        """Put a physical CPU in its place; UsageError where that does not exist or is taken."""
        self.require_place(cpu.cpu_id)
        self._values[cpu.cpu_id][AARCH64_PERCPU] = cpu

    def require_place(self, cpu_id: int) -> None:
        """UsageError where there is no place for a physical CPU of this number, or another one has it."""
        if not 0 <= number_in("the number of a physical CPU", cpu_id, 64, signed=True) < self.count:
            raise UsageError(f"physical CPU {cpu_id} has no place: the registry is for CPUs 0 to {self.count - 1}")
        if AARCH64_PERCPU in self._values[cpu_id]:
            raise UsageError(f"physical CPU {cpu_id} is registered already")

    def cpus(self) -> list[Aarch64PerCpu]:
        """Those that are registered, in order of id."""
        return [values[AARCH64_PERCPU] for values in self._values if AARCH64_PERCPU in values]

    def cpu(self, cpu_id: int | None = None) -> Aarch64PerCpu:
        """One of them (None: the current one). UsageError for an unknown CPU, StateError when none is current."""
        cpu: Aarch64PerCpu | None = self.values_of(cpu_id).get(AARCH64_PERCPU)
        if cpu is None:
            wanted = self.current if cpu_id is None else cpu_id
            raise UsageError(f"physical CPU {wanted} is not registered: make an Aarch64PerCpu of it")
        return cpu

    def this_cpu(self) -> Aarch64PerCpu:
        """The physical CPU that this thread runs; StateError when none is current."""
        return self.cpu(None)

    def current_vcpu(self) -> Aarch64VCpu | None:
        """The vCPU bound to the current CPU, or None. StateError when no CPU is current."""
        return self.this_cpu().bound

    def enable_all(self) -> None:
        """`hardware_enable` on every CPU that is not enabled yet; where one fails, those before are disabled again."""
        enabled: list[Aarch64PerCpu] = []
        try:
            for cpu in self.cpus():
                if not cpu.is_enabled():
                    cpu.hardware_enable()
                    enabled.append(cpu)
        except BaseException:
            for cpu in enabled:
                cpu.hardware_disable()
            raise

    def disable_all(self) -> None:
        """`hardware_disable` on every enabled CPU; StateError, and nothing done, while a vCPU is bound to one."""
        cpus = [cpu for cpu in self.cpus() if cpu.is_enabled()]
        for cpu in cpus:
            cpu.require_unbound()
        for cpu in cpus:
            cpu.hardware_disable()

    # --- variables --------------------------------------------------------------------------------------------

    @overload
    def declare(self, name: str, *, initial: T) -> PerCpuVariable[T]: ...
    @overload
    def declare(self, name: str, *, factory: Callable[[int], T]) -> PerCpuVariable[T]: ...
    def declare(
        self, name: str, *, initial: Any = None, factory: Callable[[int], Any] | None = None
    ) -> PerCpuVariable[Any]:
        """Give every CPU a variable: one immutable `initial` for all, or `factory(cpu_id)` for each.

        UsageError if the name is taken.
        """
        kind_in("the name of a variable", name, str)
        if name == AARCH64_PERCPU or name in self._values[0]:
            raise UsageError(f"per-CPU variable {name!r} is declared already; choose another name")
        if factory is not None:
            callable_in("the factory of a variable", factory)
        initials = [initial if factory is None else factory(cpu_id) for cpu_id in range(self.count)]
        for values, value in zip(self._values, initials, strict=True):
            values[name] = value
        return PerCpuVariable(self, name)

    def values_of(self, cpu_id: int | None = None) -> dict[str, Any]:
        """Every variable of a CPU (None: the current one) by name, as a debugger lists them."""
        wanted = self.current if cpu_id is None else number_in("the number of a physical CPU", cpu_id, 64, signed=True)
        if not 0 <= wanted < self.count:
            raise UsageError(f"physical CPU {wanted} is not registered; there are CPUs 0 to {self.count - 1}")
        return self._values[wanted]
