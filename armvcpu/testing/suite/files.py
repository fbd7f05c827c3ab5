"""The files of a suite's tests: fetched for `@NAME/FILE`, made for `@initramfs` and disks that the suite describes."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.flash_file import check_flash_file
from armvcpu.machine.disk_option import check_words
from armvcpu.testing.firmware import store
from armvcpu.testing.firmware.disk import directories_of, fat_image
from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.suite.suite import FILES, map_files, placed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.option import Option
    from armvcpu.testing.suite.suite import Case

INITRAMFS = "@initramfs"


def real_files(options: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The options of a test with `@...` and disks as paths; what is made, or the guest may write, is in `directory`."""

    def real(option: str, value: Any) -> Any:
        if isinstance(value, dict):
            return real_file(value, directory)
        before, name, behind = FILES[option].file_of(value)
        if not name:
            return value
        file = real_file(name if before or behind else value, directory)
        if name.startswith("@") and FILES[option].is_written:
            file = copyfile(str(file), _new(directory))
        return f"{before}{file}{behind}" if before or behind else file

    return map_files(options, real)


def check_files(case: Case, where: str) -> None:
    """UsageError with the place, before anything runs, for a file that is not there, can't be used, or be fetched."""

    def check(option: str, value: object) -> object:
        if isinstance(value, dict):
            with placed(f"{where}: test {case.name}: {option}"):
                directories_of(value)
        for name, file in value.items() if isinstance(value, dict) else [(option, value)]:
            with placed(f"{where}: test {case.name}: {name}"), _readable(file):
                if path := FILES[option].file_of(file)[1]:
                    _check_file(FILES[option], path)
        return value

    map_files(case.options, check)


@contextmanager
def _readable(file: object) -> Iterator[None]:
    """Where the host does not even say whether it is there: a name that is too long, a loop of links."""
    try:
        yield
    except OSError as error:
        raise ImageError(file, f"can't be looked at: {error.strerror}", "check the path") from error


def _check_file(option: Option, file: str) -> None:
    if file.startswith("@"):
        name, _, wanted = file[1:].partition("/")
        if file != INITRAMFS and wanted not in {"", *(files := store.entry(name).files)}:
            raise UsageError(f"{name} has no file {wanted!r}; it has {', '.join(files)}")
    elif "\0" in file or (not option.is_created and not Path(file).exists()):
        if option.name == "disks":
            check_words(file)
        raise ImageError(file, "no such file", "check the path, which begins beside the suite")
    elif Path(file).is_dir():
        raise ImageError(file, "is a directory", "name a file in it")
    elif option.name == "vars" and Path(file).exists():
        check_flash_file(file, file)


def real_file(value: object, directory: Path) -> object:
    """The path of a file that a test names, or of a disk that its suite describes; what is made is in `directory`."""
    if isinstance(value, dict):
        return fat_image(_new(directory), {name: _file(file, directory) for name, file in value.items()})
    return _file(value, directory) if isinstance(value, str) and value.startswith("@") else value


def _file(value: str, directory: Path) -> Path:
    if value == INITRAMFS:
        store.fetch("busybox")
        initramfs = _new(directory)
        initramfs.write_bytes(busybox_initramfs(store.path("busybox")))
        return initramfs
    if not value.startswith("@"):
        return Path(value)
    name, _, file = value[1:].partition("/")
    store.fetch(name)
    return store.path(name, file or None)


def _new(directory: Path) -> Path:
    """A path in `directory` that is not there."""
    return Path(mkdtemp(dir=directory), "file")
