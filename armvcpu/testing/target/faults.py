"""Faults to inject into a machine under test: in memory, registers, interrupts, disks, and the power."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from armvcpu.devices.virtio.block import REQUEST, VirtioBlock
from armvcpu.errors import UsageError, kind_in, number_in, seconds_in
from armvcpu.machine.board.memory import PAGE
from armvcpu.testing.arguments import count_in
from armvcpu.testing.target.places import NotReachedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.state import InterruptBank
    from armvcpu.machine.machine import Machine
    from armvcpu.testing.target.guest_state import GuestState

PSTATE_A = 1 << 8


@dataclass
class DiskFailure:
    """Requests of a disk that end in VIRTIO_BLK_S_IOERR; `failed` has (type, first sector, sectors) of those that did.

    A request that has part in `sectors` fails as a whole, and neither reads nor writes.
    """

    kinds: frozenset[int]
    sectors: range | None
    left: int | None
    """How many are still to fail; None: all."""
    failed: list[tuple[int, int, int]] = field(default_factory=list)

    def fails(self, kind: int, sector: int, sectors: int) -> bool:
        """Is it one of them?"""
        if kind not in self.kinds or self.left == 0:
            return False
        if self.sectors is not None and kind != REQUEST.FLUSH:
            touched = range(sector, sector + sectors)
            if not any(at in self.sectors for at in touched):
                return False
        if self.left is not None:
            self.left -= 1
        self.failed.append((kind, sector, sectors))
        return True

    def heal(self) -> None:
        """No more of them fail."""
        self.left = 0


class Faults:
    """The faults that are injected into a machine, until they are healed."""

    def __init__(self, machine: Machine, state: GuestState) -> None:
        self._machine, self._state = machine, state
        self._healers: list[Callable[[], None]] = []

    def inject_serror(self, iss: int = 0, timeout: float = 1.0) -> None:
        """A physical SError (EC 0x2F) with an ISS of 25 bits, taken as soon as PSTATE.A is clear.

        NotReachedError where it stays set for `timeout` seconds.
        """
        number_in("ISS", iss, 25)
        end = time.monotonic() + seconds_in("timeout", timeout)
        while self._machine.vcpu.state.pstate & PSTATE_A:
            if time.monotonic() > end:
                raise NotReachedError(f"PSTATE.A has been set for {timeout} s: the SError stays pending")
            self._machine.run(timeout=0.001)
        self._machine.vcpu.take_serror(iss)

    def flip_register_bit(self, name: str, bit: int) -> None:
        """A fault in a register."""
        if not 0 <= number_in("a bit", bit, 64, signed=True) < 64:
            raise UsageError(f"flip_register_bit({name!r}, {bit}): a register has the bits 0 to 63")
        self._state.set_register(name, self._state.register(name) ^ 1 << bit)

    def poison(self, address: int) -> Callable[[], None]:
        """Have accesses of a page of RAM end in external aborts, until the function that is returned is called.

        The address is virtual where the guest's MMU maps it, else physical.
        """
        page, holes = self._machine.physical(number_in("an address", address, 64)) & -PAGE, self._machine.parts.holes
        holes.add(page)
        healed = [False]

        def heal() -> None:
            if not healed[0]:
                healed[0] = True
                holes.remove(page)

        return self._healed_by(heal)

    # --- interrupts

    def lose_interrupt(self, intid: int, count: int = 1, cpu: int = 0) -> Callable[[], None]:
        """The next `count` assertions of an SPI's line, or of a CPU's PPI, don't reach the interrupt controller.

        Each is lost until the device takes its line back. The function that is returned ends the fault.
        """
        count_in("count", count)
        bank = self._machine.board.gic.line_of(cpu, intid)
        bank.lose(intid, count)
        return self._healed_by(lambda: bank.lose(intid, 0))

    def raise_interrupt(self, intid: int, cpu: int = 0) -> None:
        """A spurious interrupt: an SPI, or a CPU's PPI, is pending once, whatever its device says."""
        bank: InterruptBank = self._machine.board.gic.line_of(cpu, intid)
        bank.set_pending(1 << intid)
        self._machine.board.gic.update()

    # --- disks

    def fail_disk(
        self,
        index: int = 0,
        *,
        reads: bool = True,
        writes: bool = True,
        flushes: bool = False,
        sectors: range | None = None,
        count: int | None = None,
    ) -> DiskFailure:
        """Have requests of a disk fail (VIRTIO_BLK_S_IOERR): those that touch `sectors`, the next `count` of them."""
        disks = [
            device for device in self._machine.parts.peripherals.virtio.values() if isinstance(device, VirtioBlock)
        ]
        if not 0 <= number_in("the number of a disk", index, 32, signed=True) < len(disks):
            raise UsageError(f"there is no disk {index}: this machine has {len(disks)}")
        if sectors is not None:
            kind_in("sectors", sectors, range)
        if count is not None:
            count_in("count", count)
        chosen = ((REQUEST.IN, reads), (REQUEST.OUT, writes), (REQUEST.FLUSH, flushes))
        failure = DiskFailure(frozenset(kind for kind, fails in chosen if fails), sectors, count)
        disks[index].failures.append(failure.fails)
        self._healed_by(failure.heal)
        return failure

    def power_cut(self) -> None:
        """The end without any warning: disks keep exactly what the guest has written."""
        self._machine.close()

    def heal(self) -> None:
        """End every fault that has been injected."""
        while self._healers:
            self._healers.pop()()

    def _healed_by(self, heal: Callable[[], None]) -> Callable[[], None]:
        self._healers.append(heal)
        return heal
