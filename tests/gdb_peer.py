"""The other side of gdb's remote protocol, for tests: packets out, replies in. `gdb_session` is the real gdb."""

from __future__ import annotations

import socket
import threading

from armvcpu.debug.gdb.packets import Reader, framed


def plain(data):
    """What run lengths stand for."""
    found = bytearray()
    at = 0
    while at < len(data):
        if data[at] == ord("*"):
            found += found[-1:] * (data[at + 1] - 29)
            at += 1
        else:
            found.append(data[at])
        at += 1
    return bytes(found)


class Peer:
    """Connected to `address` as GdbServer has it."""

    def __init__(self, address, timeout=20, supports=b"qSupported:swbreak+;hwbreak+;error-message+"):
        if address.startswith(":"):
            self.socket = socket.create_connection(("127.0.0.1", int(address[1:])), timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        self._reader, self._replies = Reader(), []
        assert b"vContSupported+" in self.ask(supports)
        assert self.ask(b"QStartNoAckMode") == b"OK"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Go away without a word."""
        self.socket.close()

    def put(self, data):
        """Send a packet."""
        self.socket.sendall(framed(data))

    def get(self):
        """The next reply, with what O packets have told before it left out."""
        while True:
            while not self._replies:
                data = self.socket.recv(1 << 16)
                if not data:
                    raise EOFError
                self._replies += [each for each in self._reader.feed(data) if isinstance(each, bytes)]
            reply = plain(self._replies.pop(0))
            if reply[:1] != b"O" or reply == b"OK":
                return reply

    def ask(self, data):
        """The reply to a packet."""
        self.put(data)
        return self.get()

    def interrupt(self):
        """Ctrl-C; the stop."""
        self.socket.sendall(b"\x03")
        return self.get()


class Running:
    """A machine that runs in a thread of its own, for a `with` block; `outcome` is there after it."""

    def __init__(self, machine, timeout=60):
        self.machine, self.outcome, self._timeout = machine, None, timeout
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        self.outcome = self.machine.run(timeout=self._timeout)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.machine.quit()
        self.join()

    def join(self):
        """Wait for its end."""
        self._thread.join(60)
        assert not self._thread.is_alive()
