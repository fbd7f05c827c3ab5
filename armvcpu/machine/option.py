"""Options as fields with all that is known of them: `cpus: int = option(1, NUMBER, "CPUs, up to 32.", metavar="N")`.

A class of options is a row whose fields are made by `option()`. Whoever deals with options walks `options` of such a
class: `armvcpu run` with its help, suites, the pytest plugin, recordings, snapshots. So a new option is one field.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row, RowType
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import UsageError, did_you_mean, named
from armvcpu.machine.kinds import FLAG, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class Option(Row):
    """One option: what its values are, how it is called where, and who has to know it."""

    default: Any
    kind: Kind
    help: str
    """A sentence for `--help`."""
    flag: str | None = None
    """Its name on a command line, in place of `--` and the field's own; empty where a command line has it not."""
    metavar: str | None = None
    choices: tuple[tuple[str, Any], ...] = ()
    """(word on a command line, value), where these are all that there are."""
    words: Callable[[], Sequence[str]] | None = None
    """What a value may be, where another table has that: looked up for help and completion only."""
    joined_by: str = ""
    """What stands between several of these words in one value."""
    smallest: int | None = None
    check: Callable[[Any], None] | None = None
    """UsageError for a value that can't be, whatever the other options are."""
    split: Callable[[str], tuple[str, str, str]] | None = None
    """Of files: what stands before the name in a value, the name, empty where none is named, what stands behind it."""
    recorded_part: Callable[[str], str] = str
    """Of files: what of the words behind the name a recording and the machine must agree in."""
    is_several: bool = False
    """Is its value a tuple? A command line has it any number of times."""
    is_recorded: bool = False
    """Must a recording and the machine that repeats it agree in it? Of files: in their contents."""
    is_snapshotted: bool = False
    """Must a snapshot and the machine that goes on from it agree in it?"""
    is_of_board: bool = False
    """Does it say what is on the board, so that `armvcpu machine`, which shows that, has it too?"""
    is_of_layout: bool = False
    """Does it say what goes where in memory, so that `armvcpu inspect`, which shows that, has it too?"""
    is_in_suites: bool = True
    is_in_pytest: bool = False
    """Has pytest's command line it too, for all machines that say nothing else?"""
    is_written: bool = False
    """Does the guest write to the file?"""
    is_created: bool = False
    """May that file be missing, since it is made then?"""
    is_output: bool = False
    """Is the file one that the run makes?"""
    tool: str = ""
    """Of what looks at a run (cli/looking.py): "module:function" that opens it."""
    name: str = ""
    """The field's, which its class knows."""

    def called(self, name: str) -> Option:
        """This option as the field of that name."""
        flag = ("--no-" if self.default is True else "--") + name.replace("_", "-")
        return self.replace(name=name, flag=flag if self.flag is None else self.flag)

    def file_of(self, value: Any) -> tuple[str, str, str]:
        """What `split` gives of a value, which together is its text."""
        text = str(value)
        return ("", text, "") if self.split is None else self.split(text)

    def accept(self, value: Any) -> Any:
        """The field's value for what Python or a suite says; UsageError for what it can't be."""
        if value is None and self.default is None:
            return None
        if self.is_several:
            if not isinstance(value, tuple | list) or not all(self.kind.includes(each) for each in value):
                such = f", as [{_shown(value)}]" if isinstance(value, str) else ""
                problem = f"give a tuple, each of it {self.kind.words}{such}"
                raise UsageError(f"{named(self.name)} = {_shown(value)}: {problem}")
            return tuple(value)
        if self.kind.is_read_in_python and isinstance(value, str):
            return self.read(value)
        if not self.kind.includes(value):
            raise UsageError(f"{named(self.name)} = {_shown(value)}: give {self.kind.words}")
        if self.choices and value not in [choice for _, choice in self.choices]:
            words = " or ".join(repr(choice) for _, choice in self.choices)
            raise UsageError(f"{named(self.name)} = {_shown(value)}: give {words}")
        return self._checked(value)

    def read(self, text: str) -> Any:
        """The value that a text on a command line stands for, of several one; UsageError where it stands for none."""
        if self.choices:
            for word, value in self.choices:
                if word == text:
                    return value
            raise UsageError(f"{named(self.name)} {text}: give {' or '.join(word for word, _ in self.choices)}")
        try:
            value = self.kind.parse(text)
        except UsageError as error:
            raise UsageError(f"{named(self.name)}: {error.said(named)}") from error
        return self._checked(value)

    def _checked(self, value: Any) -> Any:
        if self.smallest is not None and value < self.smallest:
            raise UsageError(f"{named(self.name)} {value}: give {self.smallest} or more")
        if self.check is not None:
            self.check(value)
        return value

    @property
    def value_of_flag(self) -> bool:
        """What its name alone says on a command line."""
        return not self.default

    @property
    def shown_default(self) -> str | None:
        """The text on a command line that stands for the default; None where there is none to show."""
        return None if self.default is None or self.is_several or self.kind is FLAG else self.written(self.default)

    def written(self, value: Any) -> str:
        """The contrary of `read`: the text on a command line for a value, of several for one."""
        return next((word for word, choice in self.choices if choice == value), self.kind.show(value))

    @property
    def sentence(self) -> str:
        """Its help, with the words that there are."""
        if self.words is None:
            return self.help
        *others, last = self.words()
        return f"{self.help.removesuffix('.')}: {', '.join(others)} or {last}."

    @property
    def shown_metavar(self) -> str | None:
        """What `--help` has in the place of a value."""
        return "|".join(word for word, _ in self.choices) if self.choices else self.metavar


_LONGEST = 80
"""Characters of a wrong value that a message shows."""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def option(default: Any, kind: Kind, help: str, **more: Any) -> Any:
    """A field of a class of options: its default, as `dataclasses.field` has it, and what else an Option is."""
    return Option(default, kind, help, **more)


class OptionsType(RowType):
    """The class of classes of options: `options` has them by the names of the fields."""

    options: dict[str, Option]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> OptionsType:
        """Make a class; its fields' defaults become plain values."""
        own = {field: given.called(field) for field, given in namespace.items() if isinstance(given, Option)}
        namespace |= {field: known.default for field, known in own.items()}
        made = super().__new__(cls, name, bases, namespace)
        assert isinstance(made, OptionsType)
        made.options = {**getattr(made, "options", {}), **own}
        return made


def check_names(names: Iterable[str], known: Iterable[str], whose: str = "") -> None:
    """UsageError, with the nearest one and all that there are, for a name that is none of an option."""
    there = sorted(known)
    for name in names:
        if name not in there:
            raise UsageError(f"no option {name!r}{whose}; there are {', '.join(there)}{did_you_mean(name, there)}")
