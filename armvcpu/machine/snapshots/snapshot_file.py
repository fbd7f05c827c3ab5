"""A snapshot in a file: `armvcpu run --snapshot-save F` and `--snapshot-load F`.

    0      magic, version, length and CRC-32 of the description, offset and size of RAM
    4096   the description: JSON, with bytes as {"bytes": base64}
    ...    RAM from a multiple of 4096 on, as a sparse file has it

RAM is mapped copy-on-write from the file itself, so loading reads only what is there to be checked: each MiB that holds
data has its CRC-32 in the description. A file appears under its name when it is complete, and not before.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.errors import ImageError, UsageError, words_of
from armvcpu.machine.board.copy_on_write import MIB, Image
from armvcpu.machine.files import appearing, private
from armvcpu.machine.snapshots.contents import DESCRIPTION, cpu_fields
from armvcpu.machine.snapshots.snapshot import REMEDY, CpuSnapshot, Snapshot, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.parts import Parts

MAGIC = b"armvcpu snapshot"
VERSION = 6
HEADER = struct.Struct("<16sIIQIIQQ")  # magic, version, 0, length, CRC, 0, RAM's offset and size
PAGE = 4096


def save(snapshot: Snapshot, path: str | Path) -> None:
    """Write a snapshot; ImageError where the host can't, with what was there before still there."""
    path = Path(path)
    blocks = _blocks(snapshot.ram)
    description = _describe(snapshot, blocks)
    ram_at = -(-(PAGE + len(description)) // PAGE) * PAGE
    header = HEADER.pack(
        MAGIC, VERSION, 0, len(description), zlib.crc32(description), 0, ram_at, snapshot.ram.size
    )  # fmt: skip
    try:
        with appearing(path) as temporary, open(temporary, "xb", opener=private) as file:
            file.write(header.ljust(PAGE, b"\0") + description)
            for start, end in snapshot.ram.extents:
                for at in range(start, end, MIB):
                    file.seek(ram_at + at)
                    file.write(snapshot.ram.read(at, min(MIB, end - at)))
            file.truncate(ram_at + snapshot.ram.size)
    except OSError as error:
        raise ImageError(path, f"cannot be written: {error.strerror}", "choose another place") from error


def load(path: PathLike) -> Snapshot:
    """Read one; ImageError, with what is wrong with it, where it is none that can be used."""
    try:
        # O_NONBLOCK: to open a named pipe must not wait for a writer
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise ImageError(path, f"cannot be opened: {words_of(error)}", "check the path") from error
    ram = Image(fd)
    try:
        return _load(ram, path)
    except ImageError:
        ram.close()
        raise
    except (UsageError, TypeError, ValueError, OverflowError, RecursionError, struct.error, OSError) as error:
        ram.close()
        raise ImageError(path, f"is a damaged snapshot: {error}", REMEDY) from error
    except BaseException:
        ram.close()
        raise


def load_for(parts: Parts, path: PathLike) -> Snapshot:
    """Read one that a machine can go on from; ImageError where it is none, or one of another kind of machine."""
    snapshot = load(path)
    try:
        check(snapshot, parts)
    except ImageError:
        snapshot.close()
        raise
    except UsageError as error:
        snapshot.close()
        raise ImageError(path, str(error), "start with the options it was made with") from error
    return snapshot


def _load(ram: Image, path: PathLike) -> Snapshot:
    fd = ram.fd
    status = os.fstat(fd)
    header = os.pread(fd, HEADER.size, 0) if stat.S_ISREG(status.st_mode) else b""
    if not header.startswith(MAGIC):
        raise ImageError(path, "is no snapshot", REMEDY)
    _, version, zero, length, crc, nought, ram_at, ram_size = HEADER.unpack(header)
    if version != VERSION:
        raise ImageError(path, f"is a snapshot of version {version}, not {VERSION}", REMEDY)
    if status.st_size != ram_at + ram_size:
        raise ImageError(path, "is a truncated snapshot", REMEDY)
    if zero or nought or ram_at % PAGE or not 0 < length <= ram_at - PAGE:
        raise ImageError(path, "is a damaged snapshot: its header has changed", REMEDY)
    description = os.pread(fd, length, PAGE)
    if zlib.crc32(description) != crc:
        raise ImageError(path, "is a damaged snapshot: its description has changed", REMEDY)
    facts = _decode(json.loads(description))
    DESCRIPTION(facts, "")
    ram.offset, ram.size = ram_at, ram_size
    ram.find_extents()
    if _blocks(ram) != {int(block): crc for block, crc in facts["blocks"].items()}:
        raise ImageError(path, "is a damaged snapshot: the contents of its RAM have changed", REMEDY)
    return Snapshot(
        facts["machine"], ram, [_cpu(cpu, f"cpus[{index}]") for index, cpu in enumerate(facts["cpus"])],
        facts["current"], facts["devices"], facts["gic"], facts["instructions"], facts["time"], unchecked=path,
    )  # fmt: skip


def _cpu(facts: Any, place: str) -> CpuSnapshot:
    cpu_fields()(facts, place)
    start = facts["start"] and tuple(facts["start"])
    return CpuSnapshot(**{**facts, "start": start, "exclusive": tuple(facts["exclusive"])})


def _describe(snapshot: Snapshot, blocks: dict[int, int]) -> bytes:
    facts = {
        "machine": snapshot.machine,
        "cpus": [cpu.as_dict() for cpu in snapshot.cpus],
        "current": snapshot.current,
        "devices": snapshot.devices,
        "gic": snapshot.gic,
        "instructions": snapshot.instructions,
        "time": snapshot.time,
        "blocks": {str(block): crc for block, crc in blocks.items()},
    }
    return json.dumps(_encode(facts)).encode()


def _blocks(ram: Image) -> dict[int, int]:
    """CRC-32 of each MiB that holds anything but zeroes, by its number."""
    numbers = sorted({at // MIB for start, end in ram.extents for at in range(start & -MIB, end, MIB)})
    sums = {}
    for number in numbers:
        data = ram.read(number * MIB, min(MIB, ram.size - number * MIB))
        if data.count(0) != len(data):
            sums[number] = zlib.crc32(data)
    return sums


def _encode(value: Any) -> Any:
    """Plain values as JSON has them."""
    match value:
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(value).decode()}
        case dict() if all(isinstance(key, str) for key in value) and set(value) not in ({"bytes"}, {"items"}):
            return {key: _encode(item) for key, item in value.items()}
        case dict():
            return {"items": [[_encode(key), _encode(item)] for key, item in value.items()]}
        case list() | tuple():
            return [_encode(item) for item in value]
        case bool() | None | str() | float():
            return value
        case int():
            return int(value)
    raise TypeError(f"a snapshot can't hold a {type(value).__name__}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    decoders: dict[frozenset[str], Callable[[Any], Any]] = {
        frozenset({"bytes"}): lambda text: base64.b64decode(text, validate=True),
        frozenset({"items"}): lambda items: {_decode(key): _decode(item) for key, item in items},
    }
    special = decoders.get(frozenset(value))
    if special is not None:
        return special(next(iter(value.values())))
    return {key: _decode(item) for key, item in value.items()}
