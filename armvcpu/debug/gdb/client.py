"""The debugger's client for gdb: while the guest is stopped it answers gdb, until that has it go on.

All of it happens on the run's thread, with the guest between two instructions. Between two stops `server.py`'s thread
listens. Where gdb is gone, what it has put into the guest is taken out, and the guest goes on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from armvcpu.debug.gdb.connection import Gone
from armvcpu.debug.gdb.packets import shortened
from armvcpu.debug.gdb.resuming import How, Parting, Resume
from armvcpu.debug.gdb.session import Session
from armvcpu.debug.gdb.stops import Reason, Report, Signal
from armvcpu.errors import ArmvcpuError
from armvcpu.machine.debugging.stop import Stop, StopKind
from armvcpu.machine.outcome import SIGNALLED, Ending

if TYPE_CHECKING:
    from armvcpu.debug.gdb.connection import Connection
    from armvcpu.debug.gdb.guest import Guest
    from armvcpu.debug.gdb.moves import Moves
    from armvcpu.debug.gdb.server import Server
    from armvcpu.machine.outcome import Outcome

    Moved = Stop | Outcome


class Client:
    """Of one machine, for one gdb after the other; `waits`: the first stop waits for one."""

    def __init__(self, server: Server, guest: Guest, moves: Moves, *, waits: bool) -> None:
        self._server, self._guest, self._moves, self._waits = server, guest, moves, waits
        self._connection: Connection | None = None
        self._session: Session | None = None

    @property
    def has_gdb(self) -> bool:
        """Has one connected, and not left?"""
        return self._session is not None

    # --- what the debugger asks -------------------------------------------------------------------------------

    def stopped(self, stop: Stop) -> None:
        """The guest stands still: return to have it go on."""
        self._server.stand()
        try:
            if self._is_of_interest(stop):
                self._answer()
        except Gone:
            self._part()
        finally:
            self._server.go(self._connection)

    def ended(self, outcome: Outcome) -> bool:
        """The guest has ended or crashed, or this run has; True where it is to go on."""
        self._server.stand()
        is_over = self._guest.is_end_of_recording(outcome)
        try:
            if is_over or outcome.ending not in {Ending.LIMIT, Ending.STOPPED}:  # else it can go on, in another run
                return self._session is not None and self._goes_back(outcome)
        except Gone:
            self._part()
        finally:
            self._server.go(self._connection)
        return False

    def serves(self, *, ends: Outcome | None) -> bool:
        """Between two runs: stop for a gdb, waited for if there is none; is the guest to run? Not where it `ends`."""
        self._waits = self._connection is None
        self.stopped(self._moves.here())
        if ends is not None and self._connection is not None:
            with suppress(Gone):
                self._tell_end(ends)
            self._part()
        return self._connection is not None

    def close(self, outcome: Outcome | None) -> None:
        """No run comes any more; the last one has ended so."""
        self._server.stand()
        if outcome is not None and self._session is not None:
            with suppress(Gone):
                self._tell_end(outcome)
        self._part()
        self._server.close()

    # --- a stop -----------------------------------------------------------------------------------------------

    def _is_of_interest(self, stop: Stop) -> bool:
        """Is there a gdb to tell, or to begin with? It is told, if it waits for a stop."""
        if self._session is None:
            return self._begin(stop)
        assert self._connection is not None
        if stop.kind is StopKind.PAUSED and not self._connection.was_interrupted():
            return False
        self._report(stop)
        return True

    def _begin(self, stop: Stop) -> bool:
        """A session with the gdb that has connected, waited for where that is wanted; False where there is none."""
        if self._waits and not self._server.wait():
            return False
        self._connection = self._server.take()
        if self._connection is None:
            return False
        self._waits = False
        self._session = Session(self._guest, Report(stop.cpu, Signal.TRAP), self._tell)
        return True

    def _part(self) -> None:
        """There is no gdb, or not any more."""
        session, connection = self._session, self._connection
        self._session = self._connection = None
        if session is not None:
            session.close()
        if connection is not None:
            self._server.give_back(connection)

    def _report(self, stop: Stop) -> None:
        assert self._session is not None
        self._send(self._session.report(self._reported(stop)))

    def _reported(self, stop: Stop) -> Report:
        assert self._session is not None
        points = self._session.points
        match stop.kind:
            case StopKind.PAUSED:
                return Report(stop.cpu, Signal.INT)
            case StopKind.BREAKPOINT:
                return Report(stop.cpu, Signal.TRAP, points.breakpoint_at(stop.pc))
            case StopKind.WATCHPOINT if stop.address is not None:
                reason = points.watched(stop.address, is_write=stop.is_write)
                return Report(stop.cpu, Signal.TRAP, reason, f"{stop.address:x}" if reason is not Reason.NONE else "")
            case StopKind.BEGINNING:
                return Report(stop.cpu, Signal.TRAP, Reason.HISTORY, "begin")
        return Report(stop.cpu)

    # --- answering --------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        """Until gdb has the guest go on, or the run is to end."""
        while (asked := self._next_wish()) is not None:
            if asked is Parting.KILL:
                assert self._session is not None
                self._session.end(b"X09")
                if not self._is_restarted():
                    self._moves.end()
                    return
                continue
            if isinstance(asked, Parting):
                self._part()
                return
            if asked.how is How.RESTART:
                self._report(self._moves.here())
                continue
            if asked.how is How.GO:
                self._moves.run_alone(asked.only)
                return
            moved = self._move(asked)
            if not isinstance(moved, Stop):
                return  # the guest has ended by it, which the debugger tells next
            self._report(moved)

    def _next_wish(self) -> Resume | Parting | None:
        """Answer packets up to one that is a wish; None where the run is to end."""
        session, connection = self._session, self._connection
        assert session is not None
        assert connection is not None
        while (packet := connection.next()) is not None:
            answer = session.answer(packet)
            if isinstance(answer, Resume):
                return answer
            if isinstance(answer, Parting):
                if answer is Parting.DETACH or packet != b"k":  # k has no answer
                    self._send(b"OK")
                return answer
            self._send(answer)
            connection.acknowledges = session.state.acknowledges
        return None

    def _move(self, asked: Resume) -> Moved:
        """A step, or a way back. Where others run before a step, or all wait, gdb can interrupt that."""
        connection = self._connection
        assert connection is not None
        if asked.how in {How.STEP, How.RANGE} and not self._moves.is_next(asked.cpu):
            self._server.go(connection)
            try:
                moved = self._moves.step(asked.cpu)
            finally:
                self._server.stand()
            is_interrupted = isinstance(moved, Stop) and connection.was_interrupted()
            return moved.replace(kind=StopKind.PAUSED) if isinstance(moved, Stop) and is_interrupted else moved
        match asked.how:
            case How.STEP:
                return self._moves.step(asked.cpu)
            case How.RANGE:
                return self._moves.step_in_range(asked.cpu, asked.begin, asked.end, connection.was_interrupted)
        return self._go_back(asked)

    def _go_back(self, asked: Resume) -> Stop:
        """A search gdb can interrupt. Where that can't be gdb shows why, and the guest stands where it is."""
        connection = self._connection
        assert connection is not None
        try:
            if asked.how is How.BACK_STEP:
                return self._moves.step_back()
            self._server.go(connection)
            try:
                return self._moves.go_back(lambda: self._is_given_up(connection))
            finally:
                self._server.stand()
        except ArmvcpuError as refused:
            self._tell(f"armvcpu: {refused}\n")
            return self._moves.here()

    def _is_given_up(self, connection: Connection) -> bool:
        """Has gdb interrupted it, or left? What follows notices that it has; else it is listened to again."""
        try:
            is_given_up = connection.was_interrupted()
        except Gone:
            return True
        if not is_given_up:
            self._server.stand()
            self._server.go(connection)
        return is_given_up

    def _tell(self, text: str) -> None:
        """Show text in gdb, while it waits for an answer."""
        data = text.encode("utf-8", "replace")
        for at in range(0, len(data), _MOST_TEXT):
            self._send(b"O" + data[at : at + _MOST_TEXT].hex().encode())

    def _send(self, data: bytes) -> None:
        assert self._connection is not None
        self._connection.send(shortened(data))

    # --- the end ----------------------------------------------------------------------------------------------

    def _goes_back(self, outcome: Outcome) -> bool:
        """Tell of an end; has gdb taken the guest back from it? A crash is a stop first, for a look around."""
        assert self._session is not None
        if outcome.ending is Ending.CRASHED or self._guest.keeps_history:
            self._tell(f"armvcpu: {outcome.reason}\n")
            signal = Signal.SEGV if outcome.ending is Ending.CRASHED else Signal.TRAP
            self._send(self._session.report(Report(self._guest.current, signal)))
            if self._has_gone_back():
                return True
        if not self.has_gdb:
            return False
        self._tell_end(outcome)
        return self._is_restarted() and self._goes_on()

    def _goes_on(self) -> bool:
        """From another moment: until gdb has the guest go on, which then is so."""
        self._answer()
        return True

    def _has_gone_back(self) -> bool:
        """At an end: until gdb wants the guest to go on. Only from another moment it can."""
        has_moved = False
        while (asked := self._next_wish()) is not None:
            if isinstance(asked, Parting):
                self._part()
                return has_moved and asked is Parting.DETACH
            if asked.how in {How.BACK_STEP, How.BACK_GO}:
                has_moved = True
                self._report(self._go_back(asked))
            elif asked.how is How.RESTART:
                has_moved = True
                self._report(self._moves.here())
            elif not has_moved or asked.how is How.GO:
                return has_moved
            else:
                moved = self._move(asked)
                if not isinstance(moved, Stop):
                    return True  # which the debugger tells
                self._report(moved)
        return False

    def _is_restarted(self) -> bool:
        """The guest has ended, or been killed: does gdb stay (`target extended-remote`), and run it again?"""
        try:
            while self._session is not None and self._session.state.is_extended:
                asked = self._next_wish()
                if isinstance(asked, Resume) and asked.how is How.RESTART:
                    self._report(self._moves.here())
                    return True
                if asked is None or asked is Parting.DETACH:
                    break
                if isinstance(asked, Resume):
                    self._send(b"E.the guest has ended: run it again")
        except Gone:
            pass
        self._part()
        return False

    def _tell_end(self, outcome: Outcome) -> None:
        assert self._session is not None
        status = outcome.status
        reply = f"X{status - SIGNALLED:02x}" if status > SIGNALLED else f"W{status & 0xFF:02x}"
        if self._session.end(reply.encode()):
            self._send(reply.encode())


_MOST_TEXT = 4096
