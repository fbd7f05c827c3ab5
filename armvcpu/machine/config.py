"""What a machine is made of: one field for each option, with all that is known of it, and what of that cannot be."""

from __future__ import annotations

import os

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any, Literal
from armvcpu.errors import UsageError, named
from armvcpu.machine.disk_option import SLOTS, DiskOption, recorded_slot, split_disk
from armvcpu.machine.kinds import ADDRESS, DIRECTORY, FILE, FLAG, MODEL, NUMBER, PLACE, SIZE, TEXT
from armvcpu.machine.option import OptionsType, check_names, option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.option_types import MachineOptions

MIB = 1 << 20
MAX_CPUS = {2: 8, 3: 32}
"""By the version of the GIC."""
RAM_LIMIT = 0x40_0000_0000 - 0x4000_0000
"""RAM may reach up to 256 GiB, where QEMU's board has its high devices."""


def check_ram_size(size: int) -> None:
    """UsageError for RAM that the board can't have."""
    if size % MIB or not MIB <= size <= RAM_LIMIT:
        allowed = f"a multiple of 1 MiB from 1 MiB to {RAM_LIMIT >> 30} GiB"
        # MiB without a unit are QEMU's habit
        meant = f"; {size}M?" if 0 < size < MIB and size * MIB <= RAM_LIMIT else ""
        raise UsageError(f"{named('memory')} of {size} bytes: {allowed}{meant}")


def cpu_models() -> tuple[str, ...]:
    """The names of the CPU models."""
    from armvcpu.arch.idregs import MODELS  # who only looks at the options needs none of their registers

    return tuple(model.name for model in MODELS)


def _check_load_address(address: int) -> None:
    if address % 4:
        raise UsageError(f"{named('load_address')} {address:#x} is no multiple of 4, where instructions are")


def _split_load(text: str) -> tuple[str, str, str]:
    from armvcpu.machine.layout import split_load  # most machines load no further file

    return split_load(text)


def _split_symbols(text: str) -> tuple[str, str, str]:
    from armvcpu.machine.layout import split_symbols  # most machines are told of none

    return split_symbols(text)


def _split_module(text: str) -> tuple[str, str, str]:
    from armvcpu.machine.layout import split_module  # few machines have any

    return split_module(text)


def _split_fw_cfg(text: str) -> tuple[str, str, str]:
    from armvcpu.machine.fw_cfg_option import FwCfgOption  # few machines have any

    return FwCfgOption.split(text)


def _check_entry(place: int | str) -> None:
    if isinstance(place, int) and (place < 0 or place % 4):
        raise UsageError(f"{named('entry')} {place:#x} is no multiple of 4, where instructions are")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{named('append')} {text!r}: the guest gets UTF-8, which has no such characters") from None


def _check_directory(path: PathLike) -> None:
    if not os.path.isdir(path):
        raise UsageError(f"{named('semihosting_directory')} {path}: not a directory; name one")


class MachineConfig(Row, metaclass=OptionsType):
    """One `virt` machine: what `MachineConfig.of` makes of options. Sizes are bytes.

    Whoever reads options, shows them or compares them walks `MachineConfig.options`. A new one is a field here, and
    its type for callers in option_types.py.
    """

    image: PathLike | None = option(
        None, FILE, "Image to boot.", flag="IMAGE", metavar="F", is_recorded=True, is_in_pytest=True
    )
    firmware: PathLike | None = option(
        None, FILE, "Start from flash bank 0 with this in it.", metavar="F", is_recorded=True, is_in_pytest=True
    )
    vars: PathLike | None = option(
        None, FILE, "File that is flash bank 1; created where there is none.",
        metavar="F", is_recorded=True, is_written=True, is_created=True,
    )  # fmt: skip
    """Where firmware keeps its variables; created, erased."""
    cpus: int = option(
        1, NUMBER, "CPUs, up to 32.", metavar="N",
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_in_pytest=True,
    )  # fmt: skip
    gic: Literal[2, 3] = option(
        3, NUMBER, "Version of the GIC, 2 or 3.", choices=(("2", 2), ("3", 3)),
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_in_pytest=True,
    )  # fmt: skip
    el: Literal[1, 2, 3] = option(
        1, NUMBER, "Exception level that the guest starts at: 1, 2 or 3.", choices=(("1", 1), ("2", 2), ("3", 3)),
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_of_layout=True, is_in_pytest=True,
    )  # fmt: skip
    """The CPU has the levels up to this one; 3 has EL2 too."""
    disks: tuple[PathLike, ...] = option(
        (), FILE, "Raw image as a virtio block device; may be repeated.",
        flag="--disk", metavar="F[,ro][,slot=N]", is_several=True, is_recorded=True, is_of_board=True, is_written=True,
        split=split_disk, recorded_part=recorded_slot,
    )  # fmt: skip
    """With `,ro` behind the name, and where it can't be written, read-only; disk_option.py reads it."""
    networks: tuple[str, ...] = option(
        (), TEXT, "Network interface: user[,tcp=PORTS], unix:PATH or HOST:PORT; may be repeated.",
        flag="--net", metavar="SPEC", is_several=True,
    )  # fmt: skip
    """machine/board/network.py has their options."""
    fw_cfg: tuple[PathLike, ...] = option(
        (), FILE, "An item that firmware reads by fw_cfg; may be repeated.",
        metavar="NAME=FILE|NAME,string=TEXT", is_several=True, is_recorded=True,
        split=_split_fw_cfg,
    )  # fmt: skip
    """fw_cfg_option.py has its forms."""
    virtio_console: bool = option(
        False, FLAG, "A virtio console (hvc0) beside the UART.", is_recorded=True, is_of_board=True
    )
    """It gets the input once the guest has used it."""
    rng: bool = option(True, FLAG, "No virtio entropy source.", is_recorded=True, is_of_board=True)
    """The help is that of the flag, `--no-rng`."""
    virtio_version: Literal[1, 2] = option(
        1, NUMBER, "Register layout of the virtio-mmio slots.",
        flag="--virtio", choices=(("legacy", 1), ("modern", 2)),
        is_recorded=True, is_snapshotted=True, is_of_board=True,
    )  # fmt: skip
    """Legacy is that of QEMU's board."""
    memory: int = option(
        256 * MIB, SIZE, "RAM.", metavar="SIZE", check=check_ram_size,
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_of_layout=True, is_in_pytest=True,
    )  # fmt: skip
    cpu_model: str = option(
        "a72", MODEL, "CPU model.", metavar="NAME", words=cpu_models,
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_in_pytest=True,
    )  # fmt: skip
    append: str | None = option(
        None, TEXT, "Boot arguments, in /chosen of the device tree.", metavar="STR", check=_check_text, is_recorded=True
    )
    initrd: PathLike | None = option(
        None, FILE, "Initial RAM disk, in /chosen of the device tree.", metavar="F", is_recorded=True
    )
    dtb: PathLike | None = option(
        None, FILE, "Device tree in place of the board's own.", metavar="F", is_recorded=True
    )  # fmt: skip
    load_address: int | None = option(
        None, ADDRESS, "Where a raw image goes. [default: RAM + 0x80000]",
        metavar="ADDRESS", smallest=0, check=_check_load_address, is_recorded=True, is_of_layout=True,
    )  # fmt: skip
    entry: int | str | None = option(
        None, PLACE, "Where the first CPU starts: an address, or a symbol of IMAGE.",
        metavar="A", check=_check_entry, is_recorded=True, is_of_layout=True,
    )  # fmt: skip
    loads: tuple[PathLike, ...] = option(
        (), FILE, "Put a file's bytes at an address of RAM or flash; may be repeated.",
        flag="--load", metavar="FILE@ADDRESS", is_several=True, is_recorded=True, is_of_layout=True,
        split=_split_load,
    )  # fmt: skip
    """Beside an image or firmware, or, with `entry`, in place of one."""
    modules: tuple[PathLike, ...] = option(
        (), FILE, "A file at an address that the image, as Xen, is told of to start it; may be repeated.",
        flag="--module", metavar="FILE@ADDRESS,kernel|ramdisk[,bootargs=TEXT]",
        is_several=True, is_recorded=True, is_of_layout=True, split=_split_module,
    )  # fmt: skip
    """In /chosen of the device tree, as QEMU's guest-loader has it there."""
    symbols: PathLike | None = option(
        None, FILE, "Names for addresses: an ELF file, System.map or what nm prints.",
        metavar="F[@OFFSET]", is_of_layout=True, split=_split_symbols,
    )  # fmt: skip
    """Asked before the image's own, for reports, traces, `on_symbol` and backtraces."""
    ram: tuple[str, ...] = option(
        (), TEXT, "RAM at another place, too; may be repeated.",
        metavar="BASE:SIZE", is_several=True,
        is_recorded=True, is_snapshotted=True, is_of_board=True, is_of_layout=True,
    )  # fmt: skip
    """Where it covers flash or devices of the board, those are not there."""
    board_devices: tuple[str, ...] = option(
        (), TEXT, "A pl011, pl031 or pl061 at another place, too; may be repeated.",
        flag="--device", metavar="NAME@ADDRESS[,spi=N]", is_several=True,
        is_recorded=True, is_of_board=True, is_of_layout=True,
    )  # fmt: skip
    """A pl011 among them has the console, in place of the board's own."""
    clock: Literal["host", "instructions"] = option(
        "host", TEXT, "What time is for the guest and how the engine runs: promptly, or repeatably.",
        choices=(("host", "host"), ("instructions", "instructions")), is_snapshotted=True,
    )  # fmt: skip
    semihosting: bool = option(
        False, FLAG, "Answer HLT #0xF000: console, exit, clock, command line.", is_recorded=True
    )  # fmt: skip
    semihosting_directory: PathLike | None = option(
        None, DIRECTORY, "Let semihosting use files in DIR.", metavar="DIR", check=_check_directory
    )
    snapshot: PathLike | None = option(
        None, FILE, "Go on from a snapshot of the same machine.", flag="--snapshot-load", metavar="F", is_recorded=True
    )
    record: PathLike | None = option(
        None, FILE, "Keep what is typed in F, for --replay.", metavar="F", is_in_suites=False, is_output=True
    )  # fmt: skip
    """With the moments of it. Needs the instruction clock."""
    secure_console: PathLike | None = option(
        None, FILE, "What the Secure UART sends, in F and not on stdout.", metavar="F",
        is_in_suites=False, is_output=True,
    )  # fmt: skip
    """Of the board that `el` 3 has."""
    replay: PathLike | None = option(None, FILE, "Type what F has, at the same moments of the guest.", metavar="F")
    """Needs the instruction clock."""
    reboot: bool = option(True, FLAG, "End when the guest asks for a reset.", is_recorded=True)
    """SYSTEM_RESET starts the machine anew. The help is that of the flag, `--no-reboot`."""
    exact_mmio: bool = option(False, FLAG, "Device accesses with their exact PCs.", flag="", is_recorded=True)
    """For tracing; some ten times slower."""

    @classmethod
    def of(cls, image: PathLike | None = None, **given: Unpack[MachineOptions]) -> MachineConfig:
        """The machine that these options describe.

        Raises:
            UsageError: there is no such option, a value can't be, or two contradict each other.
        """
        config = cls._accepted({"image": image, **given})
        config.check()
        return config

    @classmethod
    def of_board(cls, **given: Unpack[MachineOptions]) -> MachineConfig:
        """The board that these options describe, to be looked at: there need be nothing to run.

        Raises:
            UsageError: as `of`.
        """
        config = cls._accepted(given)
        config._check_board()
        return config

    @classmethod
    def _accepted(cls, options: Mapping[str, Any]) -> MachineConfig:
        check_names(options, cls.options)
        return cls(**{name: cls.options[name].accept(value) for name, value in options.items()})

    def check(self) -> None:
        """UsageError for options that contradict each other."""
        if self.image is None and self.firmware is None and not (self.loads and self.entry is not None):
            loads = f"or {named('loads')} and {named('entry')}" if self.loads or self.entry is not None else ""
            raise UsageError(f"nothing to run: give an {named('image')} or {named('firmware')} {loads}".rstrip())
        if self.loads:
            from armvcpu.machine.layout import parse_load  # most machines load no further file

            for each in self.loads:
                parse_load(str(each))
        if self.modules:
            from armvcpu.machine.layout import parse_module  # few machines have any

            for each in self.modules:
                parse_module(str(each))
        self._check_board()
        self._check_recording()
        if self.secure_console is not None and self.el < 3:
            secure, el = named("secure_console"), named("el")
            raise UsageError(f"{secure} without {el} 3 has no effect: no other board has a Secure UART")
        if self.semihosting_directory is not None and not self.semihosting:
            directory, semihosting = named("semihosting_directory"), named("semihosting")
            raise UsageError(f"{directory} without {semihosting} has no effect: add {semihosting}")

    def _check_board(self) -> None:
        if self.ram or self.board_devices:
            from armvcpu.machine.layout import parse_device, parse_ram  # most boards are as they are

            for text in self.ram:
                parse_ram(text)
            for text in self.board_devices:
                parse_device(text)
        self._check_slots()
        if self.fw_cfg:
            from armvcpu.machine.fw_cfg_option import check_fw_cfg  # few machines have any

            check_fw_cfg(self.fw_cfg)
        if not 1 <= self.cpus <= MAX_CPUS[self.gic]:
            raise UsageError(f"{named('cpus')} {self.cpus}: 1 to {MAX_CPUS[self.gic]} with a GICv{self.gic}")

    def _check_slots(self) -> None:
        taken = [slot for slot in (DiskOption.parse(disk).slot for disk in self.disks) if slot is not None]
        for slot in taken:
            if taken.count(slot) > 1:
                raise UsageError(f"{named('disks')}: two of them want slot {slot}; give each its own")
        plugged, room = len(self.disks) + len(self.networks) + self.virtio_console, SLOTS - self.rng
        if plugged > room:
            raise UsageError(f"{plugged} disks, networks and consoles: the board has room for {room}")

    def _check_recording(self) -> None:
        if self.record is None and self.replay is None:
            return
        if self.record is not None and self.replay is not None:
            raise UsageError(
                f"{named('record')} and {named('replay')} exclude each other: a replay is its own recording"
            )
        if self.clock != "instructions":
            raise UsageError(
                f"a recording needs {named('clock')} instructions: by the host's clock no run repeats another"
            )
        if self.networks:
            raise UsageError(f"{named('networks')} can't be recorded or replayed: only what is typed is kept")
