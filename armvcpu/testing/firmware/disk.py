"""A disk image with a FAT file system, made from files: what firmware and boot loaders read.

    from armvcpu.testing.firmware.disk import fat_image
    fat_image("disk.img", {"EFI/BOOT/BOOTAA64.EFI": Path("grub.efi"), "boot/grub/grub.cfg": b"..."})

The whole disk is one FAT32 file system without a partition table, which EDK2, U-Boot, GRUB and Linux take as it is.
GNU mtools make it, so neither root nor a mount is needed; the same files give the same bytes. They are the host's, or
fetched when they are first needed (`programs`).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from armvcpu.errors import ImageError, UsageError
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MIB = 1 << 20
SMALLEST = 64 * MIB
"""By default; FAT32 has 65525 clusters or more."""
LARGEST_CLUSTER = 32 << 10
_IMAGE, _CONTENTS = "disk.img", "contents"
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",  # the charset of names
    "MTOOLSRC": os.devnull,  # no configuration of the user's
    "SOURCE_DATE_EPOCH": "315532800",  # every time in the image is FAT's first, 1980-01-01
    "TZ": "UTC0",
}
_FORBIDDEN = re.compile(r'[\x00-\x1f"*:<>?\\|]')


def fat_image(path: str | Path, files: Mapping[str, bytes | Path], size: int | None = None) -> Path:
    """Write a disk image with `files` on it to `path`, and return that; it appears when it is complete.

    `files` has contents, or a file of the host with them, by name on the disk: `EFI/BOOT/BOOTAA64.EFI`; directories
    are made. The image has `size` bytes, or what the files need and at least 64 MiB; it is sparse.

    Raises:
        UsageError: a name cannot be on a FAT disk, or mtools cannot be had or fail.
        ImageError: a file cannot be read, or the image not be written.
    """
    path = Path(path)
    directories = directories_of(files)
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.absolute().parent) as temporary:
            workplace = Path(temporary)
            with (workplace / _IMAGE).open("wb") as image:
                image.truncate(_size(files) if size is None else size)
            _mtool(workplace, "mformat", "-F", "-N", "0", "::")
            if directories:
                _mtool(workplace, "mmd", *(f"::{each}" for each in directories))
            for name, contents in files.items():
                if isinstance(contents, bytes):
                    (workplace / _CONTENTS).write_bytes(contents)
                with (contents if isinstance(contents, Path) else workplace / _CONTENTS).open("rb") as file:
                    _mtool(workplace, "mcopy", "-", f"::{name}", stdin=file)
            (workplace / _IMAGE).replace(path)
    except OSError as error:
        raise ImageError(error.filename or path, error.strerror or str(error)) from error
    return path


def directories_of(names: Collection[str]) -> list[str]:
    """The directories that files are in, each behind its own; UsageError for names that FAT has no place for."""
    directories: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        if _FORBIDDEN.search(name) or any(not part or part.rstrip(" .") != part for part in parts):
            raise UsageError(f"{name!r} is no name on a FAT disk; one is EFI/BOOT/BOOTAA64.EFI")
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            directories[str(parent).casefold()] = str(parent)
    taken = set(directories)
    for name in names:
        if name.casefold() in taken:
            raise UsageError(f"{name!r} is twice on the disk; FAT makes no difference between upper and lower case")
        taken.add(name.casefold())
    return list(directories.values())


def _size(files: Mapping[str, bytes | Path]) -> int:
    """Enough for the contents in whole clusters, their directories, and both tables."""
    lengths = [len(each) if isinstance(each, bytes) else each.stat().st_size for each in files.values()]
    needed = sum(lengths) + 2 * LARGEST_CLUSTER * len(lengths)
    return max(SMALLEST, -(-needed * 33 // 32 // MIB) * MIB + MIB)


def _mtool(workplace: Path, program: str, *words: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> None:
    """Run one of the mtools on the image."""
    done = subprocess.run(
        [programs.path(program), "-i", _IMAGE, *words],
        cwd=workplace,
        env={**os.environ, **_ENVIRONMENT},
        stdin=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise UsageError(f"{program} {words[-1]}: {said}")
