"""Everything else that a function of a script may be for: calls, registers, devices, exceptions, the console, time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from armvcpu.arch.esr import ExceptionClass
from armvcpu.debug.scripts.binding import items
from armvcpu.debug.scripts.failures import MISTAKES
from armvcpu.debug.scripts.hook import IGNORE
from armvcpu.errors import UsageError, did_you_mean, no_number, number_in
from armvcpu.vcpu.traps.guest import PASS_ON

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.scripts.binding import Bound
    from armvcpu.debug.scripts.declared import Attach
    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.debug.scripts.site import Site
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.outcome import Outcome
    from armvcpu.vcpu.vcpu import Aarch64VCpu

NS = 1_000_000_000
SHORTEST, LONGEST = 1e-6, 1e9
"""Seconds of guest time between two calls of a timer's function."""


def on_call_number(kind: str, number: int) -> Attach:
    """HVC ("hypercall") or SMC with this number; what the function returns is x0, and None has others answer."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        what = f"on_{kind.lower()}({number!r})"
        number_in(f"{what}: the number", number, 64)
        call = site.bind(function, {"number": lambda vcpu, _: vcpu.gpr(0), "args": _arguments}, what)
        handlers, fail = site.machine.handlers, site.failures.in_trap

        def answer(vcpu: Aarch64VCpu) -> Any:
            try:
                value = call(vcpu, None)
                if value is None:
                    return PASS_ON
                if not isinstance(value, int):
                    raise no_number(what, value, function)
            except MISTAKES as error:
                fail(error)
                return PASS_ON
            return value

        (handlers.on_hypercall if kind == "hypercall" else handlers.on_smc)(number)(answer)
        return lambda: handlers.forget_call(kind, number)

    return attach


def _arguments(vcpu: Aarch64VCpu, _event: object) -> tuple[int, ...]:
    return tuple(vcpu.gpr(index) for index in range(1, 7))


def on_call() -> Attach:
    """Every HVC and SMC that software above the guest has answered, with the result."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        call = site.bind(function, items("conduit", "number", "args", "result"), "on_call")
        return site.shared.hearing.on_call(_guarded(site, call))

    return attach


def on_sysreg(name: str) -> Attach:
    """MRS and MSR of a register."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        what = f"on_sysreg({name!r})"
        encoding = site.machine.handlers.register(name)
        call = site.bind(function, items("is_write", "value") | {"name": lambda _vcpu, _event: name}, what)
        fail = site.failures.in_trap

        def look(vcpu: Aarch64VCpu, is_write: bool, value: int) -> Any:
            try:
                return _value(call(vcpu, (is_write, value)), what, function, may_ignore=is_write)
            except MISTAKES as error:
                fail(error)
                return None

        return site.shared.registers.add(encoding, look)

    return attach


def on_mmio(base: int, size: int) -> Attach:
    """Each access of a range of guest-physical addresses that is no memory."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        what = f"on_mmio({base!r}, {size!r})"
        number_in(f"{what}: the address", base, 64)
        if number_in(f"{what}: the size", size, 64) == 0 or base + size > 1 << 64:
            raise UsageError(f"{what}: there are no {size} bytes at {base:#x}")
        name_of, fail = site.machine.name_of, site.failures.in_trap
        names = items("is_write", "address", "width", "value") | {
            "offset": lambda _vcpu, event: event[1] - base,
            "register": lambda _vcpu, event: name_of(event[1]) or f"{event[1]:#x}",
        }
        call = site.bind(function, names, what)

        def look(vcpu: Aarch64VCpu, is_write: bool, address: int, width: int, value: int) -> Any:
            try:
                return _value(call(vcpu, (is_write, address, width, value)), what, function, may_ignore=is_write)
            except MISTAKES as error:
                fail(error)
                return None

        return site.shared.devices.add(base, size, look)

    return attach


def _value(given: Any, what: str, function: object, *, may_ignore: bool) -> Any:
    """What a function gives in place of a value: a number, or nothing."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool)) or (given is IGNORE and may_ignore):
        return given
    raise no_number(what, given, function)


def on_exception(classes: tuple[str | int, ...], el: int | None) -> Attach:
    """Each synchronous exception and SError that the guest takes, of these classes (all, where there are none)."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        numbers = frozenset(map(_exception_class, classes)) or None
        names = items("esr", "far", "elr", "target_el", "vector") | {
            "ec": lambda _vcpu, event: _name_of_class(event[0] >> 26 & 0x3F),
            "iss": lambda _vcpu, event: event[0] & 0x1FF_FFFF,
        }
        heard = _guarded(site, site.bind(function, names, "on_exception"))
        if el is None:
            return site.shared.hearing.on_exception(numbers, heard)
        if el not in range(1, site.machine.config.el + 1):
            raise UsageError(f"on_exception: el={el!r} is no level that this guest takes exceptions to")

        def heard_there(vcpu: Aarch64VCpu, event: tuple[Any, ...]) -> None:
            if event[3] == el:
                heard(vcpu, event)

        return site.shared.hearing.on_exception(numbers, heard_there)

    return attach


def _exception_class(given: str | int) -> int:
    if isinstance(given, int) and 0 <= given < 64:
        return int(given)
    found = next((each for each in ExceptionClass if each.name == str(given).upper()), None)
    if found is None:
        near = did_you_mean(str(given).upper(), [each.name for each in ExceptionClass], 3)
        raise UsageError(f"on_exception: no exception class {given!r}{near or ': a name as SVC64, or a number'}")
    return int(found)


def _name_of_class(number: int) -> str:
    try:
        return ExceptionClass(number).name
    except ValueError:
        return f"{number:#x}"


def on_interrupt() -> Attach:
    """Each interrupt that the guest acknowledges or ends."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        call = site.bind(function, items("what", "intid"), "on_interrupt")
        return site.shared.hearing.on_interrupt(_guarded(site, call))

    return attach


def _guarded(site: Site, call: Bound) -> Callable[[Aarch64VCpu, tuple[Any, ...]], None]:
    fail = site.failures.in_trap

    def heard(vcpu: Aarch64VCpu, event: tuple[Any, ...]) -> None:
        try:
            call(vcpu, event)
        except MISTAKES as error:
            fail(error)

    return heard


def on_console(pattern: str, *, is_prompt: bool) -> Attach:
    """Each line that the guest prints in which a regular expression is found; what the function returns is typed."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        what = f"{'on_prompt' if is_prompt else 'on_console'}({pattern!r})"
        try:
            compiled = re.compile(pattern)
        except (re.error, TypeError) as problem:
            raise UsageError(f"{what}: no regular expression: {problem}") from None
        call = site.bind(
            function, {"match": lambda _vcpu, found: found, "text": lambda _vcpu, found: found.string}, what
        )
        turns, fail = site.machine.parts.turns, site.failures.between

        def heard(found: re.Match[str]) -> str | bytes | None:
            try:
                answer = call(turns.cpu.vcpu, found)
                if answer is not None and not isinstance(answer, str | bytes):
                    raise UsageError(f"{what} gave {answer!r}: return the text to type, or nothing")
            except MISTAKES as error:
                fail(error)
                return None
            return answer

        printed = site.shared.printed
        return (printed.on_prompt if is_prompt else printed.on_line)(compiled, heard)

    return attach


def on_timer(after: float | None, every: float | None) -> Attach:
    """Once so many seconds of guest time have passed since the function was put there, or again and again."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        repeats, seconds = every is not None, after if every is None else every
        if (after is None) == (every is None):
            raise UsageError("on_timer: give seconds, or every=seconds")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not SHORTEST <= seconds <= LONGEST:
            raise UsageError(f"on_timer: {seconds!r} is no time in seconds, from {SHORTEST:g} to {LONGEST:g}")
        call, fail = site.bind(function, {}, "on_timer"), site.failures.between
        clock, schedule, turns = site.machine.clock, site.machine.parts.schedule, site.machine.parts.turns
        period = int(seconds * NS)

        def due() -> None:
            if repeats:
                deadline.set(clock.ns() + period)
            try:
                call(turns.cpu.vcpu, None)
            except MISTAKES as error:
                fail(error)

        deadline = schedule.add(due)
        deadline.set(clock.ns() + period)
        return lambda: schedule.remove(deadline)

    return attach


def on_end() -> Attach:
    """When the run has ended; `outcome` is how."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        call = site.bind(function, items("outcome"), "on_end")

        def end(outcome: Outcome) -> ArmvcpuError | None:
            try:
                call(site.machine.vcpu, (outcome,))
            except MISTAKES as error:
                return site.failures.at_end(error)
            return None

        return site.add_end(end)

    return attach


def on_start() -> Attach:
    """Before the guest's first instruction; again when the script has been loaded anew."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        call = site.bind(function, {}, "on_start")
        return site.add_start(lambda: call(site.machine.vcpu, None))

    return attach
