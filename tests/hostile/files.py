"""Files that a user may give: images, device trees, snapshots, recordings, suites, symbols."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutate import another, damaged, number, rearranged

from armvcpu import Machine
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.suite.suite import load_suite

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
SHORT = 3000
"""Instructions that a hostile input that could be loaded may execute."""


def _boot(image: Path | None, **options: Any) -> str:
    with Machine(image, **options) as machine:
        return _ended(machine, machine.run(timeout=10, max_instructions=SHORT))


def _ended(machine: Machine, outcome: Outcome) -> str:
    if outcome.ending is Ending.CRASHED:
        assert outcome.report
        json.dumps(machine.crash_report(outcome.reason).as_dict())
    return outcome.ending.name.lower()


@cache
def _guest(name: str) -> bytes:
    return (GUESTS / f"{name}.elf").read_bytes()


def elf(rng: Random, directory: Path) -> str:
    """ELF files, most changes in their headers; the crash report reads symbols and lines of what still starts."""
    data = _guest(rng.choice(("hello", "crash", "exceptions", "mmu")))
    sections = int.from_bytes(data[40:48], "little")
    where = rng.choice((range(16, 64), range(64, 64 + 56 * 4), range(sections, len(data)), range(len(data))))
    image = directory / "image.elf"
    image.write_bytes(damaged(rng, data, where))
    return _boot(image, memory=rng.choice(("16M", "64M")))


def symbols(rng: Random, directory: Path) -> str:
    """An image that crashes and whose sections are damaged: its report still tells the rest."""
    data = _guest("crash")
    loaded = struct.unpack_from("<Q", data, 64 + 8)[0] + struct.unpack_from("<Q", data, 64 + 32)[0]
    head = data[:40] + damaged(rng, data[40:64])[:24].ljust(24, b"\0") if rng.random() < 0.2 else data[:64]
    image = directory / "image.elf"
    image.write_bytes(head + data[64:loaded] + damaged(rng, data[loaded:]))
    with Machine(image, memory="64M") as machine:
        return _ended(machine, machine.run(timeout=10))


def linux_image(rng: Random, directory: Path) -> str:
    """Linux Images, plain, gzipped and in an EFI zboot wrapper, with headers that can't be."""
    fields = [number(rng, 32), number(rng, 32), number(rng), number(rng), number(rng)]
    usual = [0x1400_0010, 0, 0, 0x10000, 0xA]
    header = [new if rng.random() < 0.3 else old for new, old in zip(fields, usual, strict=True)]
    data = struct.pack("<IIQQQ24x4sI", *header, b"ARM\x64", 0).ljust(4096, b"\x5a")
    kind = rng.randrange(3)
    if kind:
        data = damaged(rng, gzip.compress(data)) if rng.random() < 0.7 else gzip.compress(data)
    if kind == 2:
        offset, size = rng.choice((64, number(rng, 32))), rng.choice((len(data), number(rng, 32)))
        data = struct.pack("<4s4sII8x32s4xI", b"MZ\0\0", b"zimg", offset, size, b"gzip", 0) + data
    image = directory / "Image"
    image.write_bytes(damaged(rng, data, range(64)) if rng.random() < 0.5 else data)
    return _boot(image, memory="64M")


def raw(rng: Random, directory: Path) -> str:
    """Anything at all as an image, with any load address."""
    image = directory / "image.bin"
    start = rng.choice((b"", b"\x7fELF", b"MZ", b"\x1f\x8b", b"#!/bin/sh\n", b"PK\x03\x04", b"\xd0\x0d\xfe\xed"))
    image.write_bytes(start + rng.randbytes(rng.choice((0, 1, 63, 64, 4096, 70_000))))
    options = {} if rng.random() < 0.5 else {"load_address": number(rng)}
    return _boot(image, memory="16M", **options)


@cache
def _tree() -> bytes:
    with Machine(GUESTS / "hello.elf") as machine:
        address = machine.vcpu.gpr(0)
        size = int.from_bytes(machine.read(address + 4, 4), "big")
        return machine.read(address, size)


def device_tree(rng: Random, directory: Path) -> str:
    """A device tree of the user's, damaged in header, structure or strings."""
    tree = directory / "tree.dtb"
    data = _tree()
    tree.write_bytes(damaged(rng, data, rng.choice((range(40), range(56, len(data)), range(len(data))))))
    return _boot(GUESTS / "hello.elf", dtb=tree, append=rng.choice(("x", "y" * 2000)))


@cache
def _snapshot(cpus: int, gic: int) -> tuple[bytes, dict[str, Any], bytes]:
    """(header, description, RAM) of a machine that has run a little."""
    from armvcpu.machine.snapshots.snapshot_file import HEADER, PAGE, save

    path = Path(f"/dev/shm/hostile-{cpus}-{gic}-{__import__('os').getpid()}")
    with Machine(GUESTS / "hello.elf", cpus=cpus, gic=gic, memory=1 << 20 << 4, virtio_console=True) as machine:  # type: ignore[arg-type]
        machine.run(timeout=10, max_instructions=2000)
        save(machine.snapshot(), path)
    data = path.read_bytes()
    path.unlink()
    _, _, _, length, _, _, ram_at, _ = HEADER.unpack_from(data)
    return data[: HEADER.size], json.loads(data[PAGE : PAGE + length]), data[ram_at:]


def snapshot(rng: Random, directory: Path) -> str:
    """Snapshots with one fact changed and the right check sum."""
    from armvcpu.machine.snapshots.snapshot_file import HEADER, MAGIC, PAGE, VERSION

    cpus, gic = rng.choice(((1, 3), (2, 3), (2, 2)))
    _, facts, ram = _snapshot(cpus, gic)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        facts = rearranged(rng, facts)
    description = json.dumps(facts).encode()
    at = -(-(PAGE + len(description)) // PAGE) * PAGE
    header = [MAGIC, VERSION, 0, len(description), zlib.crc32(description), 0, at, len(ram)]
    if rng.random() < 0.05:
        index = rng.randrange(1, len(header))
        header[index] = number(rng, 32)
    path = directory / "snapshot"
    path.write_bytes(HEADER.pack(*header).ljust(PAGE, b"\0") + description.ljust(at - PAGE, b"\0") + ram)
    return _boot(
        GUESTS / "hello.elf", cpus=cpus, gic=gic, memory=1 << 20 << 4, virtio_console=True, snapshot=path
    )  # fmt: skip


@cache
def _recording() -> list[Any]:
    """The lines of one, made by the command."""
    path = Path(f"/dev/shm/hostile-recording-{__import__('os').getpid()}")
    command = [sys.executable, "-m", "armvcpu", "run", str(GUESTS / "hello.elf"), "--record", str(path)]
    subprocess.run(command, input=b"some keys", check=True, capture_output=True, timeout=60)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    return lines


def recording(rng: Random, directory: Path) -> str:
    """Recordings with a fact changed, or with bytes damaged."""
    lines = _recording()
    if rng.random() < 0.7:
        lines = rearranged(rng, lines)
        lines = lines if isinstance(lines, list) else [lines]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    if rng.random() < 0.5:
        text = damaged(rng, text)
    path = directory / "recording"
    path.write_bytes(text)
    return _boot(GUESTS / "hello.elf", replay=path, clock="instructions")


SUITE: dict[str, Any] = {
    "suite": {"name": "boot"},
    "test": [
        {"name": "one", "image": "x.elf", "cpus": 2, "memory": "64M", "timeout": 5, "end": "off", "status": 0,
         "script": [{"expect": "a.*b", "timeout": 3}, {"sendline": "x"}, {"wait": 1}]},
        {"name": "two", "firmware": "@u-boot/u-boot.bin", "disks": ["a", "b,ro"], "gic": 2, "append": "x"},
    ],
}  # fmt: skip


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return json.dumps(value)
        case None:
            return '""'
    return str(value)


def suite(rng: Random, directory: Path) -> str:
    """Suites with a value changed, or with bytes damaged."""
    facts = rearranged(rng, SUITE)
    if not isinstance(facts, dict):
        facts = {"suite": facts}
    text = "\n".join(f"{json.dumps(str(key))} = {_toml(value)}" for key, value in facts.items()).encode()
    if rng.random() < 0.3:
        text = damaged(rng, text)
    path = directory / "suite.toml"
    path.write_bytes(text)
    load_suite(path)
    return "read"


def layout(rng: Random, directory: Path) -> str:
    """Files, RAM and devices at addresses of the user's: overlapping, beyond the end, on the board's own."""
    blob = directory / "blob"
    blob.write_bytes(rng.randbytes(rng.choice((1, 4096, 70_000))))

    def address() -> str:
        return rng.choice(
            (f"{number(rng):#x}", f"{0x4000_0000 + rng.getrandbits(27):#x}", f"{rng.getrandbits(31) & -4096:#x}")
        )

    def some(make: Callable[[], str]) -> tuple[str, ...]:
        return tuple(make() for _ in range(rng.choice((0, 1, 1, 2, 4))))

    given: dict[str, Any] = {
        "loads": some(lambda: f"{blob}@{address()}"),
        "ram": some(lambda: f"{address()}:{rng.choice(('4K', '1M', '64M', '3', '1T', '0'))}"),
        "board_devices": some(
            lambda: (
                f"{rng.choice(('pl011', 'pl031', 'pl061', 'x'))}@{address()}{rng.choice(('', ',spi=40', ',spi=-1'))}"
            )
        ),
        "fw_cfg": some(
            lambda: f"{rng.choice(('opt/x', 'etc/smbios/x', 'y' * 60))}{rng.choice(('=' + str(blob), ',string=z', ''))}"
        ),
        "entry": rng.choice((address(), "main", "none")),
    }
    chosen = {name: given[name] for name in rng.sample(list(given), rng.choice((1, 1, 2, 3, 5)))}
    image = rng.choice((GUESTS / "hello.elf", blob, None))
    return _boot(image, memory="16M", clock=rng.choice(("host", "instructions")), **chosen)


def maps(rng: Random, directory: Path) -> str:
    """Lists of symbols as nm and System.map have them, and ELF files, damaged; a crash asks for names."""
    lines = [f"{0x4008_0000 + 16 * n:016x} {rng.choice('TtWDb')} name_{n}" for n in range(200)]
    data = rng.choice(("\n".join(lines).encode(), _guest("hello")))
    path = directory / "map"
    path.write_bytes(damaged(rng, data))
    with Machine(GUESTS / "crash.elf", symbols=path) as machine:
        return _ended(machine, machine.run(timeout=10))


def option(rng: Random, directory: Path) -> str:
    """Options of Python with values that can't be."""
    from armvcpu.machine.config import MachineConfig

    del directory
    names = [name for name in MachineConfig.options if name not in ("networks", "record", "secure_console")]
    usual: dict[str, Any] = {"memory": "64M", "cpus": 2, "append": "x", "gic": 3}
    chosen = rng.sample(names, rng.choice((1, 2, 3)))
    given = {name: another(rng, usual.get(name, "x")) for name in chosen if name not in ("vars", "disks")}
    if isinstance(given.get("memory"), int):
        given["memory"] = min(given["memory"], 1 << 30)
    given.pop("image", None)
    return _boot(GUESTS / "hello.elf", **given)
