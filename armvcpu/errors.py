"""The kinds of error armvcpu tells apart; every layer may import this file and it imports none.

What the guest did wrong is none of these: it becomes an architectural exception inside the guest.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_VARARGS = 4
"""co_flags of a function with `*args`."""
_MARK = "\ufdd0"
"""Unicode keeps this for a program's own use: no text of a user has it."""
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
"""Control characters, as Python writes them: an error that quotes a user is one line, and moves no cursor."""


def named(option: str) -> str:
    """The name of an option in the words of an error, which is shown as the reader writes it: `memory`, `--memory`."""
    return f"{_MARK}{option}{_MARK}"


def spell_names(words: str, spell: Callable[[str], str]) -> str:
    """The words with each `named` option as `spell` writes it."""
    return "".join(spell(part) if number % 2 else part for number, part in enumerate(words.split(_MARK)))


class ArmvcpuError(Exception):
    """Base of every error armvcpu raises on purpose. `str()` of it is one line for the user."""

    status = 2
    """A command's, where there is nothing worse to tell."""

    def __str__(self) -> str:
        """The words, with options as Python and suites write them."""
        return self.said(str)

    def said(self, spell: Callable[[str], str]) -> str:
        """The words, with each option's name as `spell` writes it."""
        return spell_names(super().__str__(), spell).translate(_CONTROLS)


class UsageError(ArmvcpuError):
    """The caller asked for something that cannot be: bad option, unusable image, illegal state change."""


class ImageError(UsageError):
    """A file cannot be used: names the file, what is wrong with it and what to do."""

    def __init__(self, path: object, problem: str, remedy: str = "") -> None:
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{self.path or repr(self.path)}: {problem}" + (f"; {remedy}" if remedy else ""))


class StateError(UsageError):
    """An operation is not allowed in the object's present state; nothing was changed."""


def did_you_mean(name: object, known: Iterable[str], most: int = 1) -> str:
    """Words for the end of an error: the `known` names, at `most` so many, that `name` is nearly; or nothing."""
    from difflib import get_close_matches  # needed for messages only

    near = get_close_matches(str(name), list(known), most)
    return f"; did you mean {', '.join(near)}?" if near else ""


def words_of(error: OSError | ValueError) -> str:
    """Why the host refuses a file: its own words, or Python's where the name has a NUL character (ValueError)."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def no_number(who: str, value: object, function: object = None) -> UsageError:
    """The error of a caller's function that gives the guest something else than a number; `function` names it."""
    named_so = "" if function is None else f", {described(function)},"
    return UsageError(f"{who}{named_so} gave {value!r}: return a number")


def described(function: object) -> str:
    """The qualified name of what a caller has given to be called, and where it is written, where Python knows that."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    inner = getattr(function, "__func__", function)
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    code = getattr(inner, "__code__", None)
    return str(name) if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def name_handler(error: BaseException) -> None:
    """Note on an exception which function of a caller's it comes out of, where it comes out of one.

    `run` calls a great many of them, in traps, between two blocks and when it ends. The first function that is none of
    armvcpu's is the one that was registered, so nothing has to be wrapped, and none that works pays.
    """
    import os

    ours = (os.path.dirname(__file__) + os.sep, "<frozen ")
    library = os.path.dirname(os.__file__) + os.sep
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        is_library = code.co_filename.startswith(library) and "-packages" not in code.co_filename
        if not code.co_filename.startswith(ours) and not is_library:
            note = f"armvcpu called {code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            return
        trace = trace.tb_next


def number_in(what: str, value: object, bits: int, *, signed: bool = False) -> int:
    """`value`, where it is a number of that many bits, or with `signed` a negative one; else UsageError says `what` is.

    True and False are no numbers here: an address of True is a mistake.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{what} is a number, not {value!r}")
    if not (-(1 << bits - 1) if signed else 0) <= value < 1 << bits:
        raise UsageError(f"{what} has {bits} bits: {value:#x} does not fit")
    return value


def seconds_in(what: str, value: object) -> float:
    """`value`, where it is a time in seconds, of 0 or more and maybe infinite; else UsageError says `what` is."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:  # which NaN is not
        raise UsageError(f"{what} = {value!r}: give seconds")
    return value


def callable_in(what: str, value: object, arguments: int | None = None) -> None:
    """UsageError unless `value`, which is to be `what`, can be called, with so many arguments.

    Of what is no plain function or method Python tells when it is called.
    """
    if not callable(value):
        raise UsageError(f"{what} is a function, not {value!r}")
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    if arguments is None or code is None or code.co_flags & _VARARGS:
        return
    function: Any = getattr(value, "__func__", value)
    is_method = function is not value
    most = code.co_argcount - is_method
    least = most - len(function.__defaults__ or ())
    missing = code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
    if not least <= arguments <= most or missing:
        raise UsageError(f"{what}, {described(value)}, is called with {arguments} arguments, which it can't take")


def kind_in(what: str, value: object, kind: type) -> None:
    """UsageError unless `value`, which is to be `what`, is one of this class."""
    if not isinstance(value, kind):
        raise UsageError(f"{what} is of the class {kind.__name__}, not {value!r}")


class EngineUnsupported(ArmvcpuError):
    """The installed Unicorn does not behave as the engine layer needs; says which check failed."""


class Unmodelled(ArmvcpuError):
    """The guest used something armvcpu does not model; says what, and the row that would add it."""


class GuestCrash(ArmvcpuError):
    """The guest can make no further progress; says why. `registers` has its registers by Arm's names, as they were.

    `outcome` is how a run ended in which a function that was called did not return (`machine.outcome.Outcome`).
    """

    def __init__(self, why: str, registers: Mapping[str, int] | None = None, outcome: Any = None) -> None:
        super().__init__(why)
        self.registers: dict[str, int] = dict(registers or {})
        self.outcome = outcome


class InternalError(ArmvcpuError):
    """A bug in armvcpu itself."""
