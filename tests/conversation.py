"""A conversation with a guest on its console: type, and run the machine until it has said something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine

if TYPE_CHECKING:
    from armvcpu.machine.outcome import Outcome

HEARD = "heard what was waited for"


class Conversation:
    """A machine and its console. `options` are MachineConfig's."""

    def __init__(self, image: Any = None, **options: Any) -> None:
        self.console = MemoryConsole(self._listen)
        self.machine = Machine(image, console=self.console, **options)
        self._wanted, self._seen = b"", 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.close()

    def _listen(self, byte: int) -> None:
        wanted = self._wanted
        if wanted and byte == wanted[-1] and self.console.output.endswith(wanted, self._seen):
            self._wanted = b""
            self.machine.quit(HEARD)

    def say(self, line: str) -> None:
        """Type a line and Return."""
        self.console.feed(line.encode() + b"\r")

    def expect(self, text: str, timeout: float = 60) -> str:
        """Run until the guest has printed `text` after what was expected before; what came before it."""
        wanted = text.encode()
        if self.console.output.find(wanted, self._seen) < 0:
            self._wanted = wanted
            outcome = self.machine.run(timeout=timeout)
            assert outcome.reason == HEARD, f"{outcome}; waiting for {text!r} after {self._tail()!r}"
        at = self.console.output.index(wanted, self._seen)
        said, self._seen = self.console.output[self._seen : at], at + len(wanted)
        return said.decode(errors="replace").replace("\r", "")

    def ask(self, line: str, prompt: str) -> str:
        """Type a command and return what it printed before the next prompt, without its echo."""
        self.say(line)
        self.expect(line)
        return self.expect(prompt).strip("\n")

    def end(self, timeout: float = 60) -> Outcome:
        """Run until the guest ends."""
        return self.machine.run(timeout=timeout)

    def _tail(self) -> str:
        return self.console.output[-300:].decode(errors="replace")
