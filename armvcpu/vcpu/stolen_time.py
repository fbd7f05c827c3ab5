"""PV time: how long a vCPU could have run and had no physical CPU. Arm DEN 0057.

The time that is stolen from a vCPU is that between `unbind` and the next `bind`, unless it waits for something itself:
its last exit was Halt or CpuDown. The guest reads it from a structure in its own memory, which whoever keeps the VM
writes while the vCPU does not run.
"""

from __future__ import annotations

import struct
from time import monotonic_ns

from armvcpu.arch.smccc import Owner, SmcccStatus, fast_call
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.smc import PV_TIME_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.smc import SmcServices

PV_TIME_ST = fast_call(Owner.STANDARD_HYPERVISOR, 0x21, smc64=True)
STRUCTURE_SIZE = 64
"""Bytes; it is aligned to as many (3.2.2). Revision and attributes are zero."""
_STRUCTURE = "<IIQ"


class StolenTime:
    """That of one vCPU: its structure at guest-physical `address`, written by `write(address, data)`."""

    def __init__(
        self, address: int, write: Callable[[int, bytes], None], now_ns: Callable[[], int] = monotonic_ns
    ) -> None:
        self._address, self._write, self._now = address, write, now_ns
        self.stolen_ns = 0
        self._since: int | None = None
        self._show()

    def register(self, services: SmcServices) -> None:
        """Answer PV_TIME_FEATURES and PV_TIME_ST (3.1)."""
        known = (PV_TIME_FEATURES, PV_TIME_ST)
        services.register(
            PV_TIME_FEATURES,
            lambda _id, args: SmcccStatus.SUCCESS if args[0] in known else SmcccStatus.NOT_SUPPORTED,
        )
        services.register(PV_TIME_ST, lambda _id, _args: self._address)

    def leave(self, *, waits: bool) -> None:
        """The vCPU has lost its physical CPU."""
        self._since = None if waits else self._now()

    def enter(self) -> None:
        """It has one again."""
        if self._since is not None:
            self.stolen_ns += self._now() - self._since
            self._since = None
            self._show()

    def _show(self) -> None:
        self._write(self._address, struct.pack(_STRUCTURE, 0, 0, self.stolen_ns))
