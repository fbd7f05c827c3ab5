"""One gdb's session: which packet is answered how. No socket and no time: packets come in, replies go out.

GDB manual, appendix E.2 (Packets), E.4 (General Query Packets), and QEMU 7.2's PhyMemMode. The packets of one kind are
in one part, each with a table by their names: `registers.py`, `memory.py`, `points.py`, `queries.py`, `resuming.py`,
`files.py`; `state.py` is what all share. An empty reply says that a packet is unknown, and gdb does without.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from armvcpu.debug.gdb.files import FilePackets
from armvcpu.debug.gdb.guest import Refused
from armvcpu.debug.gdb.memory import MemoryPackets
from armvcpu.debug.gdb.points import PointPackets
from armvcpu.debug.gdb.queries import QueryPackets
from armvcpu.debug.gdb.registers import RegisterPackets
from armvcpu.debug.gdb.resuming import Parting, Resume, ResumePackets
from armvcpu.debug.gdb.state import Malformed, State
from armvcpu.debug.gdb.stops import stop_reply
from armvcpu.errors import ArmvcpuError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.gdb.guest import Guest
    from armvcpu.debug.gdb.stops import Report

    Answer = bytes | Resume | Parting

_HAVE_WORDS = {b"q", b"Q", b"v"}
"""Packets whose names are words; all others have one letter."""
_NAME = re.compile(rb"([^:;,?]*)[:;,]?")
_ARE_NUMBERED = {b"m", b"p", b"g"}
"""Packets whose errors older gdbs take for an answer unless they are a number."""
_PLAIN = bytes.maketrans(b"#$}*", b"????")
"""What text must not have in a packet."""


class Session:
    """The session of a gdb that has connected; `tell` shows text in it, while a packet is answered."""

    def __init__(self, guest: Guest, stop: Report, tell: Callable[[str], None]) -> None:
        self.state = state = State(guest, stop)
        self.points = PointPackets(state)
        parts = (
            RegisterPackets(state), MemoryPackets(state), self.points, ResumePackets(state), QueryPackets(state, tell),
            FilePackets(state),
        )  # fmt: skip
        self._packets: dict[bytes, Callable[[bytes], Answer]] = {
            name: handler for part in parts for name, handler in part.packets.items()
        }

    def answer(self, packet: bytes) -> Answer:
        """The reply to a packet, or that the guest is to go on, or that gdb takes its leave."""
        name, rest = packet[:1], packet[1:]
        if name in _HAVE_WORDS:
            found = _NAME.match(packet)
            assert found is not None
            name, rest = found[1], packet[found.end() :]
        handler = self._packets.get(name)
        if handler is None:
            return b""
        try:
            return handler(rest)
        except Malformed:
            return b"E22"  # EINVAL
        except (Refused, ArmvcpuError) as refused:
            if packet[:1] in _ARE_NUMBERED and not self.state.reads_errors:
                return b"E14"  # EFAULT
            return b"E." + str(refused).encode("ascii", "replace").translate(_PLAIN)

    def report(self, stop: Report) -> bytes:
        """The guest has stopped: what gdb is told."""
        self.state.stop, self.state.end = stop, b""
        self.state.chosen = self.state.continued = stop.cpu
        return stop_reply(self.state)

    def end(self, reply: bytes) -> bool:
        """The guest has ended, as a reply says that gdb may ask for again; False where gdb knows already."""
        is_news = not self.state.end
        self.state.end = reply
        return is_news

    def close(self) -> None:
        """When gdb has gone: nothing of its is left in the guest."""
        self.points.remove_all()
