"""What a machine is made of, and what of that cannot be."""

from __future__ import annotations

import os

from armvcpu.arch.idregs import model
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Literal
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    PathLike = str | os.PathLike[str]

MIB = 1 << 20
MAX_CPUS = {2: 8, 3: 32}
"""By the version of the GIC."""
RAM_LIMIT = 0x40_0000_0000 - 0x4000_0000
"""RAM may reach up to 256 GiB, where QEMU's board has its high devices."""
MAX_PLUGGED = 31
"""Virtio slots, less that of the entropy source."""


_FILE = ((str, os.PathLike), "the name of a file")
_TEXT = ((str,), "text")
_NUMBER = ((int,), "a number")
_CHOICE = ((bool,), "true or false")
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("image", "firmware", "vars", "initrd", "dtb", "record", "replay", "snapshot"), _FILE),
    "append": _TEXT, "cpu_model": _TEXT, "clock": _TEXT,
    "load_address": _NUMBER, "cpus": _NUMBER, "gic": _NUMBER, "virtio_version": _NUMBER,
    "memory": ((int,), "a number of bytes"),
    **dict.fromkeys(("virtio_console", "reboot", "semihosting", "exact_mmio"), _CHOICE),
    "semihosting_directory": ((str, os.PathLike), "the name of a directory"),
}  # fmt: skip
"""What the options may be, and how that is said; of those that are not several."""


class MachineConfig(Row):
    """One `virt` machine. Sizes are bytes; the rest is named as on the command line."""

    image: PathLike | None = None
    firmware: PathLike | None = None
    vars: PathLike | None = None
    """The file that is flash bank 1, where firmware keeps its variables; created, erased, where there is none."""
    initrd: PathLike | None = None
    dtb: PathLike | None = None
    append: str | None = None
    load_address: int | None = None
    memory: int = 256 * MIB
    cpu_model: str = "a72"
    cpus: int = 1
    gic: Literal[2, 3] = 3
    disks: tuple[PathLike, ...] = ()
    """Raw images as virtio block devices; with `,ro` behind the name, and where it can't be written, read-only."""
    networks: tuple[str, ...] = ()
    """Network interfaces: `user`, `unix:PATH` or `HOST:PORT`; machine/board/network.py has their options."""
    virtio_console: bool = False
    """A virtio console beside the UART, which gets the input once the guest has used it."""
    virtio_version: Literal[1, 2] = 1
    """The register layout of the virtio-mmio slots: 1 legacy, as on QEMU's board, or 2."""
    clock: Literal["host", "instructions"] = "host"
    record: PathLike | None = None
    """Keep what is typed, and when, in this file; for `replay`. Needs the instruction clock."""
    replay: PathLike | None = None
    """Take the input from a recording of the same machine, at the same moments. Needs the instruction clock."""
    reboot: bool = True
    semihosting: bool = False
    semihosting_directory: Path | None = None
    snapshot: PathLike | None = None
    """A snapshot file of the same machine, to go on from instead of power-on."""
    exact_mmio: bool = False
    """Have every device access come out with its exact PC: for tracing; some ten times slower."""

    def check(self) -> None:
        """UsageError for what contradicts itself."""
        self._check_types()
        model(self.cpu_model)
        check_ram_size(self.memory)
        if self.image is None and self.firmware is None:
            raise UsageError("nothing to run: give an IMAGE or --firmware")
        if self.load_address is not None and self.load_address % 4:
            raise UsageError(f"--load-address {self.load_address:#x} is no multiple of 4, where instructions are")
        plugged = len(self.disks) + len(self.networks) + self.virtio_console
        if plugged > MAX_PLUGGED:
            raise UsageError(f"{plugged} disks, networks and consoles: the board has room for {MAX_PLUGGED}")
        if self.gic not in MAX_CPUS:
            raise UsageError(f"no GICv{self.gic}: 2 or 3")
        if self.virtio_version not in {1, 2}:
            raise UsageError(f"no virtio version {self.virtio_version}: 1 (legacy) or 2 (modern)")
        if not 1 <= self.cpus <= MAX_CPUS[self.gic]:
            raise UsageError(f"--cpus {self.cpus}: 1 to {MAX_CPUS[self.gic]} with a GICv{self.gic}")
        if self.clock not in {"host", "instructions"}:
            raise UsageError(f"no clock {self.clock!r}: host or instructions")
        self._check_recording()
        if self.semihosting_directory is not None and not self.semihosting:
            raise UsageError("--semihosting-directory without --semihosting has no effect: add --semihosting")
        if self.semihosting_directory is not None and not os.path.isdir(self.semihosting_directory):
            raise UsageError(f"{self.semihosting_directory}: not a directory; name one for --semihosting-directory")

    def _check_types(self) -> None:
        for name, (kinds, words) in _KINDS.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
                raise UsageError(f"{name} = {value!r}: give {words}")
        self._check_each("disks", _FILE)
        self._check_each("networks", _TEXT)

    def _check_each(self, name: str, kind: tuple[tuple[type, ...], str]) -> None:
        values = getattr(self, name)
        if not isinstance(values, tuple | list) or not all(isinstance(value, kind[0]) for value in values):
            raise UsageError(f"{name} = {values!r}: give a tuple, each of it {kind[1]}")

    def _check_recording(self) -> None:
        if self.record is None and self.replay is None:
            return
        if self.record is not None and self.replay is not None:
            raise UsageError("--record and --replay exclude each other: a replay is its own recording")
        if self.clock != "instructions":
            raise UsageError("a recording needs --clock instructions: by the host's clock no run repeats another")
        if self.networks:
            raise UsageError("--net can't be recorded or replayed: only what is typed is kept")


def check_ram_size(size: int) -> None:
    """UsageError for RAM that the board can't have."""
    if size % MIB or not MIB <= size <= RAM_LIMIT:
        raise UsageError(f"--memory of {size} bytes: a multiple of 1 MiB from 1 MiB to {RAM_LIMIT >> 30} GiB")
