"""The prompt: line editing, history and completion, by prompt_toolkit, for the run's terminal and for a client's.

It has the terminal while it asks, and none of it else. Who asks for a line may have it given up meanwhile: `look` is
called every now and then, and where it gives True there is no line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output.vt100 import Vt100_Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding.key_processor import KeyPress, KeyPressEvent

    Complete = Callable[[str], tuple[int, list[str]]]
    """As `Monitor.complete`."""

PROMPT = "(armvcpu) "
LOOK_S = 0.05
"""How often is looked whether a line is still wanted."""
BACK = "\0continue"
"""What Ctrl-A C at the prompt gives in place of a line, and Ctrl-A X QUIT."""
QUIT = "\0quit"


class Prompt:
    """On the terminal that standard input is; `complete` gives the words that may come next."""

    def __init__(self, complete: Complete) -> None:
        self._stream = stream = sys.stdout if os.isatty(1) else sys.stderr
        self._input = Vt100Input(open(0, encoding="utf-8", closefd=False))  # noqa: SIM115  the process's own
        self._session: PromptSession[str] = PromptSession(
            PROMPT, history=InMemoryHistory(), completer=_Words(complete), complete_while_typing=False,
            key_bindings=_keys(), input=self._input, enable_suspend=False,
            output=Vt100_Output(stream, self._size, os.environ.get("TERM"), enable_cpr=False),  # not all answer that
        )  # fmt: skip

    def _size(self) -> Size:
        """The window's; one that does not know its own has that of a VT100."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns = rows = 0
        return Size(rows or 24, columns or 80)

    def say(self, text: str) -> None:
        """Lines of text."""
        if text:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def type_ahead(self, data: bytes) -> None:
        """What has been typed before there was a prompt."""
        keys: list[KeyPress] = []
        parser = Vt100Parser(keys.append)
        parser.feed_and_flush(data.decode(errors="replace"))
        if keys:
            store_typeahead(self._input, keys)

    def left(self) -> bytes:
        """What has been typed behind the last line, which is for somebody else then."""
        return "".join(key.data for key in get_typeahead(self._input)).encode(errors="replace")

    def line(self, look: Callable[[], bool]) -> str | None:
        """The next line, BACK or QUIT; None at Ctrl-D, and where `look` says that none is wanted any more."""
        while True:
            try:
                return self._session.prompt(handle_sigint=False, pre_run=lambda: self._watch(look))
            except KeyboardInterrupt:
                continue  # Ctrl-C: the line is dropped
            except EOFError:
                return None

    def _watch(self, look: Callable[[], bool]) -> None:
        app = self._session.app

        async def watch() -> None:
            while not look():
                await asyncio.sleep(LOOK_S)
            app.exit(exception=EOFError())

        app.create_background_task(watch())


class _Words(Completer):
    """The monitor's words, as prompt_toolkit wants them."""

    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Those that begin with what is typed."""
        del complete_event
        return self._words(document.text_before_cursor)

    def _words(self, text: str) -> Iterator[Completion]:
        start, words = self._complete(text)
        for word in words:
            yield Completion(word, start_position=start - len(text))


def _keys() -> KeyBindings:
    """Ctrl-A C and Ctrl-A X mean at the prompt what they mean at the guest's console; Ctrl-Z is for the shell."""
    bindings = KeyBindings()

    def bind(key: str, line: str) -> None:
        def end(event: KeyPressEvent) -> None:
            event.app.exit(result=line)

        add: Any = bindings.add
        add("c-a", key)(end)
        add("c-a", key.upper())(end)

    def suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background(suspend_group=False)  # who has started a run stops with it

    bind("c", BACK)
    bind("x", QUIT)
    bindings.add("c-z")(suspend)
    return bindings
