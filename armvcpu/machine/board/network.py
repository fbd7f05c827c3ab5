"""The host's side of a network interface: `--net user`, `unix:PATH` or `HOST:PORT`.

`user` starts passt, a maintained user-mode network that needs no root: it gives the guest 10.0.2.15 by DHCP and takes
its connections to the host's own sockets. It runs as a child process behind a socket pair and ends with the machine.
Whoever listens at an address instead speaks the same framing: another passt, gvproxy, QEMU's `-netdev stream`.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

from armvcpu.arch.rows import Row
from armvcpu.devices.virtio.net import DEFAULT_MAC
from armvcpu.devices.virtio.socket_backend import NoStation, SocketBackend
from armvcpu.errors import UsageError, named
from armvcpu.machine.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.virtio.socket_backend import Waiting

GUEST, GATEWAY, PREFIX = "10.0.2.15", "10.0.2.2", "24"
"""What QEMU's user network has too. The gateway is the host's own loopback to the guest."""
PATIENCE = 0.05
"""Seconds that passt has to end by itself: where it can't run, and when it is told to."""
_FORMS = "user[,tcp=PORTS][,udp=PORTS], unix:PATH or HOST:PORT, each with [,mac=ADDRESS]"


class NetworkSpec(Row):
    """What `--net` says: who carries the frames, ports of the host that lead to the guest, the guest's MAC address."""

    peer: str
    mac: bytes = DEFAULT_MAC
    tcp: str = ""
    udp: str = ""

    @classmethod
    def parse(cls, text: str) -> NetworkSpec:
        """Read `user,tcp=8080:80` and the like; UsageError where it is none of that."""
        peer, *options = text.split(",")
        known: dict[str, str] = {}
        for option in options:
            name, _, value = option.partition("=")
            if name not in {"mac", "tcp", "udp"} or not value or (name != "mac" and peer != "user"):
                raise UsageError(f"{named('networks')} {text}: no option {option!r}; write {_FORMS}")
            known[name] = value
        if peer != "user" and ":" not in peer:
            raise UsageError(f"{named('networks')} {text}: write {_FORMS}")
        return cls(peer, _mac(known.get("mac")), known.get("tcp", ""), known.get("udp", ""))


def _mac(text: str | None) -> bytes:
    if text is None:
        return DEFAULT_MAC
    with contextlib.suppress(ValueError):
        address = bytes.fromhex(text.replace(":", ""))
        if len(address) == len(DEFAULT_MAC) and not address[0] & 1:
            return address
    raise UsageError(f"{text!r} is no MAC address of one interface: write 52:54:00:12:34:57")


class Network:
    """The other end of one network interface, and the program behind it."""

    def __init__(self, spec: NetworkSpec, waiting: Waiting = contextlib.nullcontext) -> None:
        self._passt: subprocess.Popen[bytes] | None = None
        if spec.peer == "user":
            self.backend = SocketBackend(self._start_passt(spec))
        else:
            self.backend = SocketBackend.dial(spec.peer, waiting)

    def _start_passt(self, spec: NetworkSpec) -> socket.socket:
        program = find_program("passt")
        if program is None:
            ways = "apt-get install passt, or without root: armvcpu firmware fetch passt"
            raise UsageError(f"{named('networks')} user needs passt, which is not installed: {ways}")
        ours, theirs = socket.socketpair()
        arguments = [program, "--foreground", "--quiet", "--fd", str(theirs.fileno())]
        arguments += ["--address", GUEST, "--netmask", PREFIX, "--gateway", GATEWAY]
        arguments += ["--tcp-ports", spec.tcp] if spec.tcp else []
        arguments += ["--udp-ports", spec.udp] if spec.udp else []
        with theirs:
            self._passt = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        return ours

    def check(self) -> None:
        """UsageError where passt has ended already: wrong ports, or a host that it can't run on."""
        if self._passt is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, words = self._passt.communicate(timeout=PATIENCE)
            said = [line for line in words.decode(errors="replace").splitlines() if "syslog" not in line and line]
            raise UsageError(f"passt ended with status {self._passt.returncode}: {said[-1] if said else 'no message'}")

    def close(self) -> None:
        """Close the link and end passt. The guest, which there is no more, does not hear of it."""
        self.backend.attach(NoStation())
        self.backend.close()
        if self._passt is not None:
            if self._passt.stderr is not None:
                self._passt.stderr.close()
            self._passt.terminate()
            try:
                self._passt.wait(PATIENCE)
            except subprocess.TimeoutExpired:  # it may be stopped
                self._passt.kill()
                self._passt.wait()


def open_networks(specs: Sequence[str], waiting: Waiting = contextlib.nullcontext) -> list[Network]:
    """Open every one; UsageError, with none left open, where one can't be had."""
    networks: list[Network] = []
    try:
        for spec in specs:
            networks.append(Network(NetworkSpec.parse(spec), waiting))
            networks[-1].check()
    except BaseException:
        close_networks(networks)
        raise
    return networks


def close_networks(networks: Sequence[Network]) -> None:
    """Close them all."""
    for network in networks:
        network.close()
