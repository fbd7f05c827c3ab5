"""Functions of the guest's, and addresses: at their first instruction, and when they have returned.

A function's own parameters are those of its DWARF (`debug/dwarf`), by name and with their types. What a hook returns is
the function's result: at the beginning in place of all that the function does, at the end in place of what it gave.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from armvcpu.debug.scripts.binding import at_once, item
from armvcpu.debug.scripts.failures import MISTAKES
from armvcpu.debug.scripts.results import set_result
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.dwarf.function import Function
    from armvcpu.debug.scripts.binding import Getter
    from armvcpu.debug.scripts.declared import Attach
    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.debug.scripts.site import Site
    from armvcpu.vcpu.vcpu import Aarch64VCpu

MOST_MATCHES = 2000
"""Symbols that a pattern may mean."""
_MASK = (1 << 64) - 1


def on_symbols(names: tuple[str, ...]) -> Attach:
    """At the first instruction of each of these functions."""
    return _for_each(names, "on_symbol", _at_start)


def on_returns(names: tuple[str, ...]) -> Attach:
    """When each of these functions has returned."""
    return _for_each(names, "on_return", _at_end)


def on_addresses(addresses: tuple[Any, ...]) -> Attach:
    """At each of these virtual addresses, before the instruction there."""

    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        for address in addresses:
            if not isinstance(address, int) or address % 4 or not 0 <= address <= _MASK:
                raise UsageError(f"on_address: {address!r} is no address of an instruction, a multiple of 4")
        return _all([_at_start(site, function, "", address, f"on_address({address:#x})") for address in addresses])

    return attach


def _for_each(
    names: tuple[str, ...], decorator: str, put: Callable[[Site, Callable[..., Any], str, int, str], Remove]
) -> Attach:
    def attach(site: Site, function: Callable[..., Any]) -> Remove:
        symbols = site.machine.symbols
        done: list[Remove] = []
        try:
            for name in _matching(site, names, decorator):
                done.append(put(site, function, name, symbols.address(name), f"{decorator}({name!r})"))  # noqa: PERF401
        except BaseException:
            _all(done)()
            raise
        return _all(done)

    return attach


def _matching(site: Site, names: tuple[str, ...], decorator: str) -> list[str]:
    """The symbols that are meant; a name with `*`, `?` or `[` is a pattern."""
    found: list[str] = []
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"{decorator}: {name!r} is no name of a symbol; for an address there is on_address")
        if not set("*?[") & set(name):
            found.append(name)
            continue
        matching = [known for known in site.machine.symbols.names() if fnmatchcase(known, name)]
        if not matching or len(matching) > MOST_MATCHES:
            said = f"more than {MOST_MATCHES} symbols match" if matching else "no symbol matches"
            raise UsageError(f"{decorator}: {said} {name!r}")
        found += matching
    return list(dict.fromkeys(found))


def _all(removes: list[Remove]) -> Remove:
    def remove() -> None:
        for each in removes:
            each()

    return remove


def _parameters(site: Site, address: int) -> tuple[Function | None, dict[str, Getter]]:
    """The function at an address as DWARF has it, and its parameters as names."""
    function = site.shared.dwarf.function_from(address)
    if function is None:
        return None, {}
    return function, {parameter.name: parameter.read for parameter in function.parameters if parameter.name}


def _names(site: Site, name: str, address: int) -> tuple[Function | None, dict[str, Getter]]:
    function, own = _parameters(site, address)
    if function is not None:
        own.setdefault("call", function.call)
    own.setdefault("name", lambda _vcpu, _memory: name)
    return function, own


def _bind(
    site: Site, function: Callable[..., Any], own: dict[str, Getter], name: str, what: str, *, has_types: bool
) -> Any:
    try:
        return site.bind(function, own, what)
    except UsageError as problem:
        if has_types or not name:
            raise
        hint = f"{name} has no DWARF, so its arguments are x0, x1, ... here"
        raise UsageError(f"{problem}; {hint}") from None


def _at_start(site: Site, function: Callable[..., Any], name: str, address: int, what: str) -> Remove:
    typed, own = _names(site, name, address)
    call = _bind(site, function, own, name, what, has_types=typed is not None)
    memory, turns, fail = site.machine.read_virtual, site.machine.parts.turns, site.failures.in_trap

    def reached(_pc: int) -> None:
        vcpu = turns.cpu.vcpu
        try:
            answer = call(vcpu, memory)
            if answer is not None:
                set_result(vcpu, answer, typed, what, function)
                vcpu.state.set_pc(vcpu.gpr(30))
        except MISTAKES as error:
            fail(error)

    probe = site.machine.engine.listen.probe(address, reached)
    return probe.remove


def _at_end(site: Site, function: Callable[..., Any], name: str, address: int, what: str) -> Remove:
    """At the entry what the function asks for is read; at the end it is called with that, and with the result."""
    typed, own = _names(site, name, address)
    memory, turns, fail = site.machine.read_virtual, site.machine.parts.turns, site.failures.in_trap
    clock = site.machine.clock
    at_entry = _wanted(site, function, own)
    getters = list(at_entry.values())
    names: dict[str, Getter] = {each: item(index) for index, each in enumerate(at_entry)}
    names["took"] = lambda _vcpu, kept: (clock.ns() - kept[-1]) / 1e9
    if typed is None:
        names["result"] = at_once("vcpu.state.frame[0]", lambda vcpu, _kept: vcpu.gpr(0))
    else:
        read_result = typed.read_result
        names["result"] = lambda vcpu, kept: read_result(vcpu, memory, kept[-2])
    call = _bind(site, function, names, name, what, has_types=typed is not None)
    returns, whose, ns = site.shared.returns, object(), clock.ns

    def returned(vcpu: Aarch64VCpu, kept: list[Any]) -> None:
        try:
            answer = call(vcpu, kept)
            if answer is not None:
                set_result(vcpu, answer, typed, what, function)
        except MISTAKES as error:
            fail(error)

    def entered(_pc: int) -> None:
        vcpu = turns.cpu.vcpu
        try:
            kept = [get(vcpu, memory) for get in getters]
        except MISTAKES as error:
            fail(error)
            return
        kept += vcpu.gpr(8), ns()  # where a large result goes (AAPCS64 6.9)
        returns.expect(vcpu, whose, returned, kept)

    probe = site.machine.engine.listen.probe(address, entered)

    def remove() -> None:
        probe.remove()
        returns.forget(whose)

    return remove


AT_THE_END = {"result", "took", "machine", "vcpu", "cpu", "time", "state"}
"""What `on_return` gives as it is when the function has returned; all else is as it was when it was entered."""


def _wanted(site: Site, function: Callable[..., Any], own: dict[str, Getter]) -> dict[str, Getter]:
    """What a function has as parameters that is to be read at the entry: registers and `caller`, too."""
    from inspect import Parameter, signature

    found: dict[str, Getter] = {}
    for parameter in signature(function).parameters.values():
        name = parameter.name
        if parameter.kind is Parameter.VAR_KEYWORD:
            found = own | found
        elif (getter := own.get(name)) is not None or (name not in AT_THE_END and (getter := site.find(name))):
            found[name] = getter
    return found
