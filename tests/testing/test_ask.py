"""`ask` on a shell that echoes what is typed."""

from __future__ import annotations

import pytest

from armvcpu.errors import UsageError
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.expect import Conversation, ExpectConsole


class EchoingShell:
    """Echoes what is typed, and answers `yes` before its prompt."""

    is_running = True
    repeats = False

    def __init__(self, console):
        self.console = console
        self.stopped = ""

    def guest_seconds(self):
        return 0.0

    def quit(self, reason):
        self.stopped = reason

    def run(self, timeout=None):
        typed = self.console.take(1000).replace(b"\r", b"\r\n")
        for byte in typed + b"yes\r\n# ":
            self.console.write(byte)
        return Outcome.of(Ending.POWERED_OFF, self.stopped)


@pytest.mark.parametrize("command", ["echo " + "word " * 20 + "end", "x" * 64, "ab" * 50, ""])
def test_an_answer_has_nothing_of_the_echo_in_it(command):
    """However long the command is, and whatever repeats itself in it."""
    console = ExpectConsole()
    talk = Conversation(EchoingShell(console), console)
    assert talk.ask(command, "# ") == "yes"


@pytest.mark.parametrize("pattern", ["good(", ["fine", "*"], "a{99999999999999999999}"])
def test_what_is_no_regular_expression_is_refused_in_one_line(pattern):
    """Before the guest runs."""
    console = ExpectConsole()
    talk = Conversation(EchoingShell(console), console)
    with pytest.raises(UsageError, match=r"^expect: .* is no regular expression: .*$"):
        talk.expect(pattern)
    assert talk.outcome is None
    assert not console.output
