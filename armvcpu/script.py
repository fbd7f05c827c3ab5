"""What a script imports: decorators that say when its functions are called, and its machine.

    from armvcpu.script import on_symbol, on_return, on_hypercall

    @on_symbol("malloc")
    def malloc(size, caller):
        print(f"malloc({size}) from {caller}")

    @on_return("malloc")
    def fails_once(size, result): ...

A function gets what it names as parameters: what the event has (said at each decorator), and always `machine`, `vcpu`,
`cpu` (the CPU's number), `time` (seconds of guest time), `caller` (where X30 leads, by name), `state` (see below), and
each register of the vCPU by its name. A function that returns None has only looked, and the guest goes on as if it had
not been there; what another value does is said at each decorator.

`state`, from this module, keeps what it is given when the script is loaded anew: `state.calls = 1`. docs/scripting.md
has a program for each.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.debug.scripts import on_code, on_events
from armvcpu.debug.scripts.declared import current, declare
from armvcpu.debug.scripts.hook import IGNORE
from armvcpu.debug.scripts.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace
    from typing import TypeVar

    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.machine import Machine

    F = TypeVar("F", bound=Callable[..., Any])
    Decorator = Callable[[F], F]

    machine: Machine
    """The machine that the script is loaded into."""
    state: SimpleNamespace
    """What outlives the script's reloading."""

__all__ = [
    "IGNORE", "attach", "machine", "on_address", "on_call", "on_console", "on_end", "on_exception", "on_hypercall",
    "on_interrupt", "on_mmio", "on_prompt", "on_return", "on_smc", "on_start", "on_symbol", "on_sysreg", "on_timer",
    "state",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in {"machine", "state"}:
        return getattr(current(f"`{name}` of armvcpu.script"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def attach(machine: Machine, *paths: PathLike, goes_on: bool = False) -> Scripts:
    """Load scripts into a machine, between two runs, as `run --script` does; `remove()` takes them out again.

    A mistake in one of their functions is told on stderr and ends the run, unless it `goes_on`.

    Raises:
        UsageError: a script can't be loaded.
    """
    scripts = Scripts(machine, *paths, goes_on=goes_on)
    scripts.start()
    return scripts


def on_symbol(*names: str) -> Decorator[Any]:
    """Before the first instruction of each function; a name may be a pattern, as `_raw_spin_*`.

    Names: the function's own parameters, by its DWARF and with their types; `call`, the call in print; `name`, the
    symbol. A number that is returned is the function's result, and nothing of it is executed.
    """
    return declare("on_symbol", on_code.on_symbols(names))


def on_return(*names: str) -> Decorator[Any]:
    """When each function has returned to where it was called, on whichever CPU.

    Names: as at `on_symbol`, and registers and `caller`, too, as they were at the call; `result`; `took`, seconds of
    guest time. A number that is returned becomes the result.
    """
    return declare("on_return", on_code.on_returns(names))


def on_address(*addresses: int) -> Decorator[Any]:
    """Before the instruction at each virtual address. A number that is returned goes to X0, and the guest to X30."""
    return declare("on_address", on_code.on_addresses(addresses))


def on_hypercall(number: int) -> Decorator[Any]:
    """HVC with X0 = number. Names: `number`, `args` (X1 to X6). A number that is returned is X0, the answer."""
    return declare("on_hypercall", on_events.on_call_number("hypercall", number))


def on_smc(number: int) -> Decorator[Any]:
    """SMC with W0 = number, as `on_hypercall`."""
    return declare("on_smc", on_events.on_call_number("SMC", number))


def on_call(function: Any = None) -> Any:
    """Each HVC and SMC that software above the guest has answered. Names: `conduit`, `number`, `args`, `result`."""
    return _with_or_without("on_call", on_events.on_call(), function)


def on_sysreg(name: str) -> Decorator[Any]:
    """MRS and MSR of a system register, by its Arm name, in any case, or as S3_1_C15_C2_1.

    Names: `is_write`; `value`, what is written, or what MRS gives; `name`. A number that is returned is written, or
    given, in its place; IGNORE for a write: it has no effect. A register that the CPU lacks reads as zero.
    """
    return declare("on_sysreg", on_events.on_sysreg(name))


def on_mmio(base: int, size: int) -> Decorator[Any]:
    """Each access of `size` bytes from guest-physical `base` on: of a device, or where none is, which then is no fault.

    Names: `is_write`, `address`, `offset` (from base), `width` in bytes; `value`, what is stored, or what the device
    gives; `register`, the device's by name. What is returned is as at `on_sysreg`.
    """
    return declare("on_mmio", on_events.on_mmio(base, size))


def on_exception(*classes: str | int, el: int | None = None) -> Decorator[Any]:
    """When the guest has taken a synchronous exception or an SError, of these classes (as "SVC64"), to this level.

    Names: `ec`, the class's name; `esr`, `iss`, `far` (None where the class has none), `elr`, `target_el`, `vector`.
    """
    return declare("on_exception", on_events.on_exception(classes, el))


def on_interrupt(function: Any = None) -> Any:
    """When the guest acknowledges an interrupt or ends one. Names: `what` ("acknowledge", "end"), `intid`."""
    return _with_or_without("on_interrupt", on_events.on_interrupt(), function)


def on_console(pattern: str) -> Decorator[Any]:
    """Each line that the guest prints in which the regular expression is found.

    Names: `match`, `text` (the line). Text that is returned is typed.
    """
    return declare("on_console", on_events.on_console(pattern, is_prompt=False))


def on_prompt(pattern: str) -> Decorator[Any]:
    r"""As `on_console`, as soon as it is found, in a line that has not ended: for what waits, as r"login: $"."""
    return declare("on_prompt", on_events.on_console(pattern, is_prompt=True))


def on_timer(seconds: float | None = None, *, every: float | None = None) -> Decorator[Any]:
    """After so many seconds of guest time, once; or `every` so many."""
    return declare("on_timer", on_events.on_timer(seconds, every))


def on_start(function: Any = None) -> Any:
    """Before the guest begins, and when the script has been loaded anew."""
    return _with_or_without("on_start", on_events.on_start(), function)


def on_end(function: Any = None) -> Any:
    """When the run has ended. Names: `outcome`."""
    return _with_or_without("on_end", on_events.on_end(), function)


def _with_or_without(what: str, attach: Any, function: Any) -> Any:
    """A decorator that takes nothing may be written with parentheses and without."""
    return declare(what, attach) if function is None else declare(what, attach)(function)
