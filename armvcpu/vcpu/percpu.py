"""Per-CPU storage: variables that every *physical* CPU has its own copy of.

In this layer because the physical CPUs' state (`pcpu.py`) and the vCPU bound to each are looked up from here.
The registry owns the values; a variable is a typed key into it, so two machines in one process share nothing.

    percpu = PerCpu(count=2)
    CURRENT_VCPU: PerCpuVariable[Aarch64VCpu | None] = percpu.declare("current_vcpu", initial=None)
    with percpu.on(1):
        CURRENT_VCPU.set(vcpu)          # CPU 1's copy; CPU 0 still has None
"""

from __future__ import annotations

from contextlib import contextmanager

from armvcpu.arch.static import TYPE_CHECKING, Any, Generic, TypeVar, overload
from armvcpu.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


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


class PerCpu:
    """The physical CPUs 0 to `count` - 1, their variables, and which of them is being run."""

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise UsageError(f"a machine has at least one physical CPU, not {count}")
        self._values: list[dict[str, Any]] = [{} for _ in range(count)]
        self._current: int | None = None

    @property
    def count(self) -> int:
        """How many physical CPUs there are; their ids count from 0."""
        return len(self._values)

    @property
    def current(self) -> int:
        """The id of the CPU being run; StateError outside `on`."""
        if self._current is None:
            raise StateError("no physical CPU is current; name one, or enter `with percpu.on(cpu_id)`")
        return self._current

    @contextmanager
    def on(self, cpu_id: int) -> Iterator[int]:
        """Make `cpu_id` current for a `with` block; they nest. UsageError for an unknown CPU."""
        self.values_of(cpu_id)
        previous, self._current = self._current, cpu_id
        try:
            yield cpu_id
        finally:
            self._current = previous

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
        if name in self._values[0]:
            raise UsageError(f"per-CPU variable {name!r} is declared already; choose another name")
        initials = [initial if factory is None else factory(cpu_id) for cpu_id in range(self.count)]
        for values, value in zip(self._values, initials, strict=True):
            values[name] = value
        return PerCpuVariable(self, name)

    def values_of(self, cpu_id: int | None = None) -> dict[str, Any]:
        """Every variable of a CPU (None: the current one) by name, as a debugger lists them."""
        wanted = self.current if cpu_id is None else cpu_id
        if not 0 <= wanted < self.count:
            raise UsageError(f"physical CPU {wanted} is not registered; there are CPUs 0 to {self.count - 1}")
        return self._values[wanted]
