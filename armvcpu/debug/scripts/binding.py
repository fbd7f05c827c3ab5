"""Gives a function of a script the arguments that it names, and nothing that it does not.

A name is looked for among those of the event (a function's own parameters, `value`, `result`), then among those that
are always there (`machine`, `vcpu`, `time`, ...), then among the vCPU's registers: `x0`, `sp`, `ESR_EL1`. Which it is,
is settled when the function is put in its place; in a trap only what is named is read.
"""

from __future__ import annotations

from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Getter = Callable[[Aarch64VCpu, Any], Any]
    """Gives an argument, called with the vCPU and what the event itself has."""
    Bound = Callable[[Aarch64VCpu, Any], Any]
    """Calls the function."""


CALL = f"{__file__}: call"
"""What Python has as the file of the code that calls a script's function: so it is told apart on a stack."""
_sources: WeakKeyDictionary[Getter, str] = WeakKeyDictionary()


def at_once(source: str, getter: Getter) -> Getter:
    """A getter with what it does as an expression of `vcpu` and `event`, for where a call of it would cost too much."""
    _sources[getter] = source
    return getter


def item(index: int) -> Getter:
    """The argument that an event has at this place."""
    return at_once(f"event[{index}]", lambda _vcpu, event: event[index])


def items(*names: str) -> dict[str, Getter]:
    """Those of an event that is a tuple, by name."""
    return {name: item(index) for index, name in enumerate(names)}


def register(name: str, vcpu: Aarch64VCpu) -> Getter | None:
    """A register of that name, if there is one."""
    if name[:1] in {"x", "X"} and name[1:].isdecimal() and int(name[1:]) <= 30:  # without the look-up of a name
        number = int(name[1:])
        return at_once(f"vcpu.state.frame[{number}]", lambda vcpu, _event: vcpu.gpr(number))
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
        if iscoroutinefunction(function) or isgeneratorfunction(function) or isasyncgenfunction(function):
            raise UsageError(f"{what} is for a function that is called, not for one with `async` or `yield`")
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

    def find(self, name: str) -> Getter | None:
        """What every event has by this name, or a register's value; None where there is neither."""
        return self._common.get(name) or register(name, self._vcpu)

    def _find(self, parameter: Parameter, own: Mapping[str, Getter], what: str) -> Getter | None:
        name = parameter.name
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise UsageError(f"{what}: *{name} names nothing; name what is wanted, or all of it by **{name}")
        getter = own.get(name) or self.find(name)
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
    """A lambda for just these arguments: the way of every call, on which each Python call less is a tenth of it."""
    space: dict[str, Any] = {"function": function}
    arguments = [_source(getter, f"get{index}", space) for index, getter in enumerate(getters)]
    arguments += [f"{name}={_source(getter, f'get_{name}', space)}" for name, getter in named.items()]
    source = f"lambda vcpu, event: function({', '.join(arguments)})"  # whose names are those of Python's own parameters
    bound: Bound = eval(compile(source, CALL, "eval"), space)  # noqa: S307
    return bound


def _source(getter: Getter, name: str, space: dict[str, Any]) -> str:
    """An argument in Python: what `at_once` has said of it, or a call of its getter."""
    if (source := _sources.get(getter)) is not None:
        return source
    space[name] = getter
    return f"{name}(vcpu, event)"
