"""The files of a suite's tests: fetched for `@NAME/FILE`, made for `@initramfs` and disks that the suite describes."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from tempfile import mkdtemp

from armvcpu.testing import firmware
from armvcpu.testing.disk import fat_image
from armvcpu.testing.initramfs import busybox_initramfs
from armvcpu.testing.suite import map_files

INITRAMFS = "@initramfs"
_WRITABLE = ("disks", "vars")


def real_files(options: dict[str, object], directory: Path) -> dict[str, object]:
    """The options of a test with `@...` and disks as paths; what is made, or the guest may write, is in `directory`."""

    def real(option: str, value: object) -> object:
        file = real_file(value, directory)
        is_fetched = isinstance(value, str) and value.startswith("@")
        return copyfile(str(file), _new(directory)) if is_fetched and option in _WRITABLE else file

    return map_files(options, real)


def real_file(value: object, directory: Path) -> object:
    """The path of a file that a test names, or of a disk that its suite describes; what is made is in `directory`."""
    if isinstance(value, dict):
        return fat_image(_new(directory), {name: _file(file, directory) for name, file in value.items()})
    return _file(value, directory) if isinstance(value, str) and value.startswith("@") else value


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
