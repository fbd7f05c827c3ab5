"""General queries: what each side understands, threads, documents (qXfer), `monitor`, QEMU's physical addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from armvcpu.debug.gdb.files import NAME
from armvcpu.debug.gdb.packets import PACKET_SIZE, escaped
from armvcpu.debug.gdb.state import Malformed, address_in, bytes_in, numbers
from armvcpu.debug.gdb.stops import stop_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.gdb.state import State

_ALWAYS = (
    f"PacketSize={PACKET_SIZE:x}", "QStartNoAckMode+", "vContSupported+", "qXfer:features:read+",
    "qXfer:memory-map:read+", "qXfer:threads:read+", "ConditionalBreakpoints+", "swbreak+", "hwbreak+",
    "error-message+",
)  # fmt: skip
_LLDB = f"triple:{b'aarch64-unknown-none'.hex()};endian:little;ptrsize:8;".encode()
"""What LLDB asks for first (its docs/lldb-gdb-remote.txt); it then reads the target description, as gdb does."""
_ADDRESS_BITS = 48
"""Of a virtual address, in the lower range and in the upper one (DDI 0487 D8.1.8)."""
_MOST_OF_DOCUMENT = PACKET_SIZE - 16


class QueryPackets:
    """Those of one session; `tell` shows text in gdb."""

    def __init__(self, state: State, tell: Callable[[str], None]) -> None:
        self._state, self._guest, self._tell = state, state.guest, tell
        self._documents: dict[str, Callable[[], str]] = {
            "features": lambda: self._guest.description.xml,
            "memory-map": self._memory_map,
            "threads": self._threads,
            "exec-file": lambda: NAME,
        }
        self.packets = {
            b"?": lambda _rest: state.end or stop_reply(state),
            b"H": self._choose,
            b"T": self._is_alive,
            b"qSupported": self._features,
            b"QStartNoAckMode": self._stop_acknowledging,
            b"qXfer": self._document,
            b"qC": lambda _rest: f"QC{state.chosen + 1:x}".encode(),
            b"qAttached": lambda _rest: b"1",  # when gdb ends, it detaches and kills nothing
            b"qfThreadInfo": lambda _rest: (
                b"m" + b",".join(b"%x" % (cpu + 1) for cpu in state.cpus) if state.cpus else b"l"
            ),
            b"qsThreadInfo": lambda _rest: b"l",
            b"qThreadExtraInfo": self._doing,
            b"qSymbol": lambda _rest: b"OK",
            b"qRcmd": self._command,
            b"qHostInfo": lambda _rest: _LLDB,
            b"qProcessInfo": lambda _rest: b"pid:1;" + _LLDB,
            b"qMemoryRegionInfo": self._region,
            b"qqemu.PhyMemMode": lambda _rest: b"%d" % state.physical,
            b"Qqemu.PhyMemMode": self._address_physically,
        }

    def _features(self, rest: bytes) -> bytes:
        theirs = rest.split(b";")
        self._state.reads_errors = b"error-message+" in theirs
        self._state.reads_break_reasons = b"swbreak+" in theirs or b"hwbreak+" in theirs
        files = () if self._guest.symbol_file is None else ("qXfer:exec-file:read+",)
        back = ("ReverseStep+", "ReverseContinue+") if self._guest.keeps_history else ()
        return ";".join((*_ALWAYS, *files, *back)).encode()

    def _stop_acknowledging(self, _rest: bytes) -> bytes:
        self._state.acknowledges = False
        return b"OK"

    # --- threads ----------------------------------------------------------------------------------------------

    def _choose(self, rest: bytes) -> bytes:
        cpu = self._state.cpu(rest[1:])
        if rest[:1] == b"g":
            self._state.chosen = self._state.stop.cpu if cpu is None else cpu
        elif rest[:1] == b"c":
            self._state.continued = self._state.stop.cpu if cpu is None else cpu
        else:
            raise Malformed
        return b"OK"

    def _is_alive(self, rest: bytes) -> bytes:
        self._state.cpu(rest)
        return b"OK"

    def _doing(self, rest: bytes) -> bytes:
        cpu = self._state.cpu(rest)
        if cpu is None:
            raise Malformed
        return f"cpu{cpu}: {self._guest.doing(cpu)}".encode().hex().encode()

    def _threads(self) -> str:
        rows = (
            f'<thread id="{cpu + 1:x}" core="{cpu}" name="cpu{cpu}">{escape(self._guest.doing(cpu))}</thread>\n'
            for cpu in self._state.cpus
        )
        return f'<?xml version="1.0"?>\n<threads>\n{"".join(rows)}</threads>\n'

    # --- documents --------------------------------------------------------------------------------------------

    def _document(self, rest: bytes) -> bytes:
        what = rest.split(b":")
        if len(what) != 4 or what[1] != b"read" or (make := self._documents.get(what[0].decode("latin1"))) is None:
            return b""
        if what[2] not in {b"", b"target.xml"} and what[0] != b"exec-file":
            return b"E00"  # there is no such annex
        offset, length = numbers(what[3], 2)
        text = make().encode()
        piece = text[offset : offset + min(length, _MOST_OF_DOCUMENT)]
        return (b"l" if offset + len(piece) >= len(text) else b"m") + escaped(piece)

    def _memory_map(self) -> str:
        rows = []
        for area in self._guest.areas():
            kind = "flash" if area.block else "ram"
            block = f'<property name="blocksize">{area.block:#x}</property>' if area.block else ""
            rows.append(
                f'<memory type="{kind}" start={quoteattr(hex(area.base))} length={quoteattr(hex(area.size))}>'
                f"{block}</memory>\n"
            )
        return (
            '<?xml version="1.0"?>\n<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
            f'"http://sourceware.org/gdb/gdb-memory-map.dtd">\n<memory-map>\n{"".join(rows)}</memory-map>\n'
        )

    def _region(self, rest: bytes) -> bytes:
        """LLDB's question about an address: which area is around it? It looks for one that nothing can be in."""
        address, bits = address_in(rest), _ADDRESS_BITS
        areas = ((0, 1 << bits), (1 << bits, (1 << 64) - (1 << bits)), ((1 << 64) - (1 << bits), 1 << 64))
        begin, end = next(area for area in areas if area[0] <= address < area[1])
        permissions = "" if begin == 1 << bits else "permissions:rwx;"
        return f"start:{begin:x};size:{end - begin:x};{permissions}".encode()

    # --- commands ---------------------------------------------------------------------------------------------

    def _command(self, rest: bytes) -> bytes:
        said = self._guest.monitor(bytes_in(rest).decode("utf-8", "replace"))
        if said:
            self._tell(said if said.endswith("\n") else said + "\n")
        return b"OK"

    def _address_physically(self, rest: bytes) -> bytes:
        if rest not in {b"0", b"1"}:
            raise Malformed
        self._state.physical = rest == b"1"
        return b"OK"
