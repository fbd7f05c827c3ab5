"""One script: its file, executed; what its decorators declared, put into the machine and taken out again."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from armvcpu.debug.scripts.binding import CALL
from armvcpu.debug.scripts.declared import Declared, Loading, loading
from armvcpu.debug.scripts.failures import MISTAKES, CutShort, one_line, own_traceback, place_of
from armvcpu.debug.scripts.site import Site
from armvcpu.errors import UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.debug.scripts.site import Shared
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.outcome import Outcome


def compiled(path: str) -> CodeType:
    """A script's code; UsageError, with file and line, where it is no Python or can't be read."""
    try:
        with open(path, "rb") as file:
            return compile(file.read(), path, "exec", dont_inherit=True)
    except SyntaxError as mistake:
        place = path if mistake.lineno is None else f"{path}:{mistake.lineno}"
        raise UsageError(f"{place}: {mistake.msg}; the script is not loaded") from None
    except OSError as problem:
        raise UsageError(f"script {path}: {words_of(problem)}") from None
    except ValueError as problem:  # NUL characters
        raise UsageError(f"script {path}: no Python: {problem}") from None


class Script:
    """`state` outlives reloading; everything else of the file is as new."""

    def __init__(self, path: PathLike, shared: Shared, write: Callable[[str], object]) -> None:
        self.path = os.fspath(path)
        self._shared, self._write = shared, write
        self.state = SimpleNamespace()
        self.site = Site(shared, self.state)
        self._declared: list[Declared] = []
        self._removes: list[Remove] = []

    @property
    def name(self) -> str:
        """The file's."""
        return os.path.basename(self.path)

    def load(self) -> None:
        """Execute the file, and put what it declares into the machine; what it declared before is taken out.

        Raises:
            UsageError: it can't be read or has a mistake: what was there before is there still.
        """
        declared = self._execute()
        before = self._declared
        self.remove()
        try:
            self._put(declared)
        except UsageError:
            self._put(before)
            raise

    def _execute(self) -> list[Declared]:
        code = compiled(self.path)
        namespace: dict[str, Any] = {"__name__": "__armvcpu__", "__file__": self.path, "__builtins__": __builtins__}
        script = Loading(self._shared.machine, self.state, [])
        try:
            with loading(script):
                exec(code, namespace)  # noqa: S102
        except UsageError as mistake:  # of ours, a decorator's say
            raise UsageError(one_line(mistake).replace("UsageError: ", "").replace("armvcpu.errors.", "")) from None
        except CutShort as end:
            raise UsageError(f"{place_of(end)}: {end}, and this was still at work") from None
        except MISTAKES as mistake:
            self._write(own_traceback(mistake))
            raise UsageError(f"script {self.path} can't be loaded: {one_line(mistake)}") from None
        return script.declared

    def _put(self, declared: list[Declared]) -> None:
        self._declared = declared
        for each in declared:
            try:
                self._removes.append(each.attach(self.site, each.function))
            except UsageError as mistake:
                self.remove()
                raise UsageError(f"{self.path}:{each.line}: {mistake}") from None

    def remove(self) -> None:
        """Take out all of it."""
        removes, self._removes = self._removes, []
        for remove in reversed(removes):
            remove()
        self._declared = []


def cut_short(frame: FrameType | None, outcome: Outcome) -> None:
    """From a signal's handler in the main thread: where a script is at work there, end that. It may have hung.

    Raises:
        CutShort: in the script.
    """
    while frame is not None:
        if frame.f_code.co_filename == CALL or frame.f_code is Script._execute.__code__:
            raise CutShort(outcome)
        frame = frame.f_back
