"""A machine that gdb can connect to: the listener, its thread and the debugger's client put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.gdb.address import Address, listen
from armvcpu.debug.gdb.client import Client
from armvcpu.debug.gdb.machine_guest import MachineGuest
from armvcpu.debug.gdb.moves import Moves
from armvcpu.debug.gdb.server import Server
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.gdb.address import Listener
    from armvcpu.debug.gdb.moves import GoesBack
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.parts import Parts

_KILLED = Outcome.of(Ending.POWERED_OFF, "ended from gdb")


class GdbServer:
    """Where a gdb connects to a machine, from now until it is closed, which the machine does at the latest.

    `monitor` carries out a command of the monitor's, `reset` switches the machine off and on, `history`
    gives what it keeps of its past, `symbols` the guest's, `say` tells the user.
    """

    def __init__(
        self, parts: Parts, debugger: Debugger, listener: Listener, *, waits: bool, monitor: Callable[[str], str],
        reset: Callable[[], None], history: Callable[[], GoesBack | None], symbols: Callable[[], Symbols],
        say: Callable[[str], object],
    ) -> None:  # fmt: skip
        self._debugger = debugger
        self._end = parts.end
        self._server = Server(listener, debugger.pause, say, parts.end.patience)
        guest = MachineGuest(parts, debugger, monitor, reset, history, symbols)
        moves = Moves(debugger, parts.turns, lambda: parts.end.by_host(_KILLED), history, repeats=parts.clock.repeats)
        self._client = Client(self._server, guest, moves, waits=waits)
        debugger.attach(self._client, at_start=waits)

    @property
    def address(self) -> str:
        """As gdb's `target remote` takes it."""
        return str(self._server.address)

    def hold(self, run: Callable[[], Outcome]) -> None:
        """Between two runs: wait here for a gdb, and have the guest `run` as it says, until it leaves.

        A guest that has ended can be looked at, and does not go on.
        """
        end = self._end
        end.patience.renew()  # the last run's may have ended
        while self._client.serves(ends=None if end.can_go_on else end.last):
            run()
            if not self._client.has_gdb:
                return

    def close(self) -> None:
        """Let gdb go, and listen no longer; may be called twice."""
        self._debugger.detach(self._client)
        self._client.close(self._end.last)


def open_listener(address: str | int) -> Listener:
    """Listen at `[HOST:]PORT` or `unix:PATH`; UsageError where that is no place, or can't be had."""
    return listen(Address.of(str(address)))
