"""Gives a function of a script the arguments that it names, and nothing that it does not.

A name is looked for among those of the event (a function's own parameters, `value`, `result`), then among those that
are always there (`machine`, `vcpu`, `time`, ...), then among the vCPU's registers: `x0`, `sp`, `ESR_EL1`. Which it is,
is settled when the function is put in its place; in a trap only what is named is read.
"""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Getter = Callable[[Aarch64VCpu, Any], Any]
    """Gives an argument, called with the vCPU and what the event itself has."""
    Bound = Callable[[Aarch64VCpu, Any], Any]
    """Calls the function."""


def item(index: int) -> Getter:
    """The argument that an event has at this place."""
    return lambda _vcpu, event: event[index]


def items(*names: str) -> dict[str, Getter]:
    """Those of an event that is a tuple, by name."""
    return {name: item(index) for index, name in enumerate(names)}


def register(name: str, vcpu: Aarch64VCpu) -> Getter | None:
    """A register of that name, if there is one."""
    if name[:1] in {"x", "X"} and name[1:].isdecimal() and int(name[1:]) <= 30:  # without the look-up of a name
        number = int(name[1:])
        return lambda vcpu, _event: vcpu.gpr(number)
    if name not in vcpu.registers:
        return None
    return lambda vcpu, _event: vcpu.registers[name]


class Binder:
    """Binds functions to events of one machine; `common` are the names that every event has."""

    def __init__(self, common: Mapping[str, Getter], vcpu: Aarch64VCpu) -> None:
        self._common, self._vcpu = common, vcpu

    def bind(self, function: Callable[..., Any], own: Mapping[str, Getter], what: str) -> Bound:
        """What calls a function with the arguments that it names.

        Raises:
            UsageError: it names something that there is not.
        """
        positional: list[Getter] = []
        named: dict[str, Getter] = {}
        for parameter in _parameters(function, what):
            if parameter.kind is Parameter.VAR_KEYWORD:
                taken = {each.name for each in _parameters(function, what)}
                named |= {name: getter for name, getter in own.items() if name not in taken}
                continue
            getter = self._find(parameter, own, what)
            if getter is None:
                continue  # it has a value of its own
            if parameter.kind is Parameter.KEYWORD_ONLY or len(positional) < _index(function, parameter):
                named[parameter.name] = getter
            else:
                positional.append(getter)
        return _call(function, positional, named)

    def _find(self, parameter: Parameter, own: Mapping[str, Getter], what: str) -> Getter | None:
        name = parameter.name
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise UsageError(f"{what}: *{name} names nothing; name what is wanted, or all of it by **{name}")
        getter = own.get(name) or self._common.get(name) or register(name, self._vcpu)
        if getter is None and parameter.default is Parameter.empty:
            known = [*own, *self._common]
            has = f"{', '.join(own)}; and always " if own else ""
            near = did_you_mean(name, known) or f": there are {has}{', '.join(self._common)}, and the registers"
            raise UsageError(f"{what}: nothing is called {name!r}{near}")
        return getter


def _parameters(function: Callable[..., Any], what: str) -> Iterable[Parameter]:
    try:
        return signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"{what} is for a function whose parameters Python knows, not for {function!r}") from None


def _index(function: Callable[..., Any], parameter: Parameter) -> int:
    return list(signature(function).parameters).index(parameter.name)


def _call(function: Callable[..., Any], getters: Sequence[Getter], named: Mapping[str, Getter]) -> Bound:
    """With few arguments there is no list of them: this is the way of every call."""
    if named:
        return lambda vcpu, event: function(
            *[get(vcpu, event) for get in getters], **{name: get(vcpu, event) for name, get in named.items()}
        )
    match getters:
        case []:
            return lambda _vcpu, _event: function()
        case [first]:
            return lambda vcpu, event: function(first(vcpu, event))
        case [first, second]:
            return lambda vcpu, event: function(first(vcpu, event), second(vcpu, event))
        case [first, second, third]:
            return lambda vcpu, event: function(first(vcpu, event), second(vcpu, event), third(vcpu, event))
        case _:
            return lambda vcpu, event: function(*[get(vcpu, event) for get in getters])
