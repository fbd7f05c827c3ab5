"""An initial RAM file system made from files in memory: the cpio `newc` format of Linux's initramfs.

Documentation/driver-api/early-userspace/buffer-format.rst. No root is needed, since nothing is mounted: device nodes
and owners are only entries.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_DIRECTORY, _FILE, _LINK, _CHARACTER_DEVICE = 0o040000, 0o100000, 0o120000, 0o020000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, symbolic link (`data` is where it leads) or character device (`device` is major, minor)."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """A directory, rwxr-xr-x."""
    return Entry(name, _DIRECTORY | 0o755)


def file(name: str, data: bytes, *, executable: bool = False) -> Entry:
    """A regular file."""
    return Entry(name, _FILE | (0o755 if executable else 0o644), data)


def link(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, _LINK | 0o777, target.encode())


def character_device(name: str, major: int, minor: int) -> Entry:
    """A character device, rw-------."""
    return Entry(name, _CHARACTER_DEVICE | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry], *, compress: bool = False) -> bytes:
    """The archive, gzip-compressed where asked; the same entries give the same bytes."""
    parts = [_record(number, entry) for number, entry in enumerate(entries, 1)]
    parts.append(_record(0, Entry("TRAILER!!!", 0)))
    data = b"".join(parts)
    return gzip.compress(data, mtime=0) if compress else data


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode(errors="surrogateescape") + b"\0"
    fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


INIT = b"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='armvcpu# '
echo "armvcpu initramfs: $(uname -r), $(nproc) CPU(s)"
for module in $(cat /etc/modules); do insmod /lib/modules/$module; done
[ -f /etc/rc ] && . /etc/rc
setsid cttyhack sh
poweroff -f
"""


DHCP = b"""#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
for gateway in $router; do ip route add default via $gateway; done
for server in $dns; do echo nameserver $server; done > /etc/resolv.conf
"""
"""What busybox's udhcpc runs by itself when it has a lease: address, route and name servers."""

VIRTIO_MODULES = ("virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_blk.ko")
"""What Debian's cloud kernel needs for a virtio disk, in the order of their dependencies."""

ALL_VIRTIO_MODULES = (*VIRTIO_MODULES, "failover.ko", "net_failover.ko", "virtio_net.ko", "virtio_console.ko")
"""And for disks, networks and consoles."""


_DIRECTORIES = ("bin", "dev", "etc", "etc/udhcpc", "lib", "lib/modules", "proc", "sys", "tmp")
_BUSYBOX = "bin/busybox"


def busybox_initramfs(
    busybox: Path,
    script: bytes = b"",
    *,
    modules: Sequence[Path] = (),
    files: Mapping[str, bytes] | None = None,
    compress: bool = False,
) -> bytes:
    """A user space of one static busybox: mounts /proc, /sys and /dev, runs `script`, and gives a shell.

    The prompt is `armvcpu# `; leaving the shell powers off. `script` is for busybox's sh, and may end the machine
    itself by `poweroff -f` or `reboot -f`. `modules` are kernel modules, inserted in their order before that. `files`
    are more files by path, all of them rwxr-xr-x, which `check_path` has to allow.
    """
    entries = [
        *(directory(name) for name in _DIRECTORIES),
        character_device("dev/console", 5, 1),
        character_device("dev/null", 1, 3),
        file(_BUSYBOX, busybox.read_bytes(), executable=True),
        link("bin/sh", "busybox"),
        file("init", INIT, executable=True),
        file("etc/udhcpc/default.script", DHCP, executable=True),
        file("etc/modules", "".join(f"{path.name}\n" for path in modules).encode()),
        *(file(f"lib/modules/{path.name}", path.read_bytes()) for path in modules),
    ]
    if script:
        entries.append(file("etc/rc", script))
    return archive([*entries, *_more(files or {})], compress=compress)


def check_path(path: str) -> str | None:
    """Why no file can be added at `path`, which may begin with a slash; None where one can."""
    parts = path.removeprefix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "give a path as bin/program"
    if "/".join(parts) in _DIRECTORIES:
        return "there is a directory of this name"
    if len(path.encode(errors="surrogateescape")) > LONGEST_PATH:
        return f"a path has up to {LONGEST_PATH} bytes"
    return None


LONGEST_PATH = 4000
"""Of an archive's record, in bytes: Linux takes no more than PATH_MAX, 4096."""


def _more(files: Mapping[str, bytes]) -> list[Entry]:
    """The files, and before them the directories that they are in."""
    paths = {PurePosixPath(path.removeprefix("/")): data for path, data in files.items()}
    parents = {parent for path in paths for parent in path.parents if str(parent) not in (".", *_DIRECTORIES)}
    return [
        *(directory(str(parent)) for parent in sorted(parents)),
        *(file(str(path), data, executable=True) for path, data in paths.items()),
    ]
