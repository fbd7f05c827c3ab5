"""The files of a suite's tests: fetched for `@NAME/FILE`, made for `@initramfs` and disks that the suite describes."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from tempfile import mkdtemp

from armvcpu.testing import firmware
from armvcpu.testing.disk import fat_image
from armvcpu.testing.initramfs import busybox_initramfs

INITRAMFS = "@initramfs"
_WRITABLE = ("disks", "vars")


def real_files(options: dict[str, object], directory: Path) -> dict[str, object]:
    """The options of a test with `@...` and disks as paths; what is made, or the guest may write, is in `directory`."""
    return {key: _real(key, value, directory) for key, value in options.items()}


def _real(key: str, value: object, directory: Path) -> object:
    if isinstance(value, tuple):
        return tuple(_real(key, each, directory) for each in value)
    if isinstance(value, dict):
        return fat_image(_new(directory), {name: _file(file, directory) for name, file in value.items()})
    if isinstance(value, str) and value.startswith("@"):
        file = _file(value, directory)
        return copyfile(file, _new(directory)) if key in _WRITABLE else file
    return value


def _file(value: str, directory: Path) -> Path:
    if value == INITRAMFS:
        firmware.fetch("busybox")
        initramfs = _new(directory)
        initramfs.write_bytes(busybox_initramfs(firmware.path("busybox")))
        return initramfs
    if not value.startswith("@"):
        return Path(value)
    name, _, file = value[1:].partition("/")
    firmware.fetch(name)
    return firmware.path(name, file or None)


def _new(directory: Path) -> Path:
    """A path in `directory` that is not there."""
    return Path(mkdtemp(dir=directory), "file")
