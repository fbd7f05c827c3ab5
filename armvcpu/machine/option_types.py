"""The options of a machine as a caller writes them, for type checkers: `**options: Unpack[MachineOptions]`.

They can't be derived from MachineConfig's fields: those have what has been read (bytes, a tuple), these what may be
given ("512M", a list). tests/machine/test_config.py holds the two together. No run imports this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from armvcpu.machine.kinds import PathLike


class TargetOptions(TypedDict, total=False):
    """What every machine may be given by name; config.py tells what each is."""

    firmware: PathLike | None
    vars: PathLike | None
    cpus: int
    gic: Literal[2, 3]
    el: Literal[1, 2, 3]
    disks: tuple[PathLike, ...] | list[PathLike]
    networks: tuple[str, ...] | list[str]
    virtio_console: bool
    rng: bool
    fw_cfg: tuple[PathLike, ...] | list[PathLike]
    virtio_version: Literal[1, 2]
    memory: int | str
    cpu_model: str
    append: str | None
    initrd: PathLike | None
    dtb: PathLike | None
    load_address: int | None
    entry: int | str | None
    loads: tuple[PathLike, ...] | list[PathLike]
    modules: tuple[PathLike, ...] | list[PathLike]
    symbols: PathLike | None
    ram: tuple[str, ...] | list[str]
    board_devices: tuple[str, ...] | list[str]
    clock: Literal["host", "instructions"]
    semihosting: bool
    semihosting_directory: PathLike | None
    snapshot: PathLike | None
    replay: PathLike | None
    secure_console: PathLike | None
    reboot: bool
    exact_mmio: bool


class MachineOptions(TargetOptions, total=False):
    """A Machine's; a Target's `record` means more."""

    record: PathLike | None
