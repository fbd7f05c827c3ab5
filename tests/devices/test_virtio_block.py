"""The virtio block device (VIRTIO 1.2, 5.2) and the raw image under it, through both register layouts."""

from __future__ import annotations

import errno
import os
import random
from typing import TYPE_CHECKING

import pytest
from virtio_driver import BASE, F_INDIRECT, WRITE, Driver, Version

from armvcpu.devices.virtio.block import VirtioBlock
from armvcpu.devices.virtio.disk import DiskImage
from armvcpu.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER, STATUS, DATA, TABLE = BASE + 0x1_0000, BASE + 0x1_0100, BASE + 0x2_0000, BASE + 0x1_1000
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
OK, IOERR, UNSUPP = 0, 1, 2
F_RO, F_FLUSH = 1 << 5, 1 << 9
SECTORS = 16
CONTENTS = random.Random(5).randbytes(512 * SECTORS)


class Bench(Driver):
    """A driver that makes block requests of a header, data buffers and a status byte."""

    def request(self, kind: int, sector: int = 0, *data: tuple[int, int], indirect: bool = False) -> tuple[int, int]:
        """(status byte, bytes written as the used ring has it)."""
        self.ram.put("<IIQ", HEADER, kind, 0, sector)
        self.ram.put("<B", STATUS, 0xEE)
        flags = WRITE if kind in (IN, GET_ID) else 0
        buffers = ((HEADER, 16, 0), *((address, size, flags) for address, size in data), (STATUS, 1, WRITE))
        if indirect:
            self.queues[0].add_indirect(TABLE, *buffers)
        else:
            self.queues[0].add(*buffers)
        self.notify()
        ((_, written),) = self.queues[0].used()
        return self.ram.get("<B", STATUS)[0], written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENTS)
    return path


@pytest.fixture
def disk(path: Path) -> Iterator[DiskImage]:
    with DiskImage(path) as disk:
        yield disk


@pytest.fixture(params=[1, 2], ids=["legacy", "modern"])
def bench(request: pytest.FixtureRequest, disk: DiskImage) -> Bench:
    bench = Bench(VirtioBlock(disk, serial="SN1"), request.param)
    bench.start(F_FLUSH | F_INDIRECT)
    return bench


def read_only(path: Path, version: Version = 2) -> Bench:
    bench = Bench(VirtioBlock(DiskImage(path, read_only=True)), version)
    bench.start()
    return bench


def test_configuration_space(bench: Bench) -> None:
    """Capacity in sectors, seg_max, blk_size (5.2.4)."""
    assert (bench.slot.read(0x100, 8), bench[0x10C], bench[0x114]) == (SECTORS, 254, 512)


def test_read(bench: Bench, path: Path) -> None:
    """Any number of buffers; the used length counts data and status (5.2.6)."""
    assert bench.request(IN, 3, (DATA, 512), (DATA + 0x1000, 1024)) == (OK, 1537)
    assert bench.ram.read(DATA, 512) == CONTENTS[3 * 512 : 4 * 512]
    assert bench.ram.read(DATA + 0x1000, 1024) == CONTENTS[4 * 512 : 6 * 512]
    assert path.read_bytes() == CONTENTS


@pytest.mark.parametrize("status", [0, 3, 11])
def test_a_modern_disk_works_before_driver_ok(disk: DiskImage, status: int) -> None:
    """As on QEMU's board, where VIRTIO 3.1.1 is not kept: whatever the driver has said of itself."""
    bench = Bench(VirtioBlock(disk), 2)
    bench[0x70] = 0
    bench[0x70] = status
    bench.set_up(0, 8)
    assert bench.request(IN, 2, (DATA, 512)) == (OK, 513)
    assert bench.ram.read(DATA, 512) == CONTENTS[1024:1536]
    assert (bench[0x60], bench[0x70] & 4) == (1, 0)
    bench[0x70] = status | 4
    assert bench.request(IN, 3, (DATA, 512)) == (OK, 513)


def test_write(bench: Bench, path: Path) -> None:
    """Those sectors and no others (5.2.6)."""
    bench.ram.view(DATA, 1024)[:] = b"\xa5" * 1024
    assert bench.request(OUT, 2, (DATA, 100), (DATA + 100, 924)) == (OK, 1)
    assert path.read_bytes() == CONTENTS[:1024] + b"\xa5" * 1024 + CONTENTS[2048:]


def test_requests_may_be_indirect(bench: Bench) -> None:
    """The last sector, through a table (2.7.5.3)."""
    assert bench.request(IN, SECTORS - 1, (DATA, 512), indirect=True) == (OK, 513)
    assert bench.ram.read(DATA, 512) == CONTENTS[-512:]


def test_a_request_may_be_cut_anywhere(bench: Bench) -> None:
    """Header and status share buffers with data: any layout is allowed (2.7.4)."""
    bench.ram.put("<IIQ", HEADER, IN, 0, 1)
    bench.queues[0].add((HEADER, 3, 0), (HEADER + 3, 13, 0), (DATA, 100, WRITE), (DATA + 100, 413, WRITE))
    bench.notify()
    assert bench.queues[0].used() == [(0, 513)]
    assert bench.ram.read(DATA, 513) == CONTENTS[512:1024] + b"\0"


@pytest.mark.parametrize(
    ("sector", "size"),
    [(SECTORS, 512), (SECTORS - 1, 1024), (1 << 63, 512), ((1 << 64) - 1, 512), (0, 511), (0, 513), (0, 1)],
)
@pytest.mark.parametrize("kind", [IN, OUT])
def test_a_request_beyond_the_disk_is_an_error(bench: Bench, path: Path, kind: int, sector: int, size: int) -> None:
    """Nothing is transferred, and the request says so (5.2.6.2)."""
    status, written = bench.request(kind, sector, (DATA, size))
    assert (status, written) == (IOERR, 0 if kind == IN else 1)
    assert bench.ram.read(DATA, size) == bytes(size)
    assert path.read_bytes() == CONTENTS
    assert not bench.broken


def test_flush_and_unknown_requests(bench: Bench) -> None:
    """VIRTIO_BLK_S_UNSUPP for what is not offered (5.2.6.2)."""
    assert bench.request(FLUSH) == (OK, 1)
    assert bench.request(11, 0, (DATA, 16)) == (UNSUPP, 1)
    assert bench.request(0xFFFF_FFFF) == (UNSUPP, 1)


@pytest.mark.parametrize(("room", "text", "written"), [(20, b"SN1" + bytes(17), 21), (2, b"SN", 3), (30, b"SN1", 20)])
def test_get_id(bench: Bench, room: int, text: bytes, written: int) -> None:
    """The serial in 20 bytes, padded with zeroes (5.2.6)."""
    assert bench.request(GET_ID, 0, (DATA, room)) == (OK, written)
    assert bench.ram.read(DATA, len(text)) == text


@pytest.mark.parametrize("version", [1, 2])
def test_a_read_only_disk_refuses_writes(path: Path, version: Version) -> None:
    """VIRTIO_BLK_F_RO is offered; a write is an error that changes nothing (5.2.5.1, 5.2.6.2)."""
    bench = read_only(path, version)
    assert bench.offered() & F_RO
    assert bench.request(OUT, 0, (DATA, 512)) == (IOERR, 1)
    assert bench.request(IN, 0, (DATA, 512)) == (OK, 513)
    assert bench.request(FLUSH) == (OK, 1)
    assert path.read_bytes() == CONTENTS


def test_a_writable_disk_is_not_read_only(bench: Bench) -> None:
    """The bit tells (5.2.3)."""
    assert not bench.offered() & F_RO


@pytest.mark.parametrize("buffers", [[(HEADER, 15, 0), (STATUS, 1, WRITE)], [(HEADER, 16, 0)], [(STATUS, 1, WRITE)]])
def test_a_request_without_header_or_status_needs_a_reset(bench: Bench, buffers: list[tuple[int, int, int]]) -> None:
    """There is no place to tell an error (2.1.2)."""
    bench.queues[0].add(*buffers)
    bench.notify()
    assert bench.broken
    assert bench.queues[0].used() == []


class FailingDisk:
    """A disk whose host has trouble, and which counts flushes."""

    sectors = 8

    def __init__(self, *, fails: bool = True, read_only: bool = False) -> None:
        self.fails, self.read_only, self.flushes = fails, read_only, 0

    def read_into(self, buffers: object, offset: int) -> None:
        if self.fails:
            raise OSError(errno.EIO, "bad medium")

    write_from = read_into

    def flush(self) -> None:
        self.flushes += 1
        self.read_into(None, 0)


@pytest.mark.parametrize(("kind", "written"), [(IN, 0), (OUT, 1)])
def test_a_host_error_is_an_io_error_in_the_guest(kind: int, written: int) -> None:
    """Whatever the errno was (5.2.6)."""
    bench = Bench(VirtioBlock(FailingDisk()))
    bench.start(F_FLUSH)
    assert bench.request(kind, 0, (DATA, 512)) == (IOERR, written)
    assert bench.request(FLUSH) == (IOERR, 1)


def test_the_device_itself_refuses_writes_to_a_read_only_disk() -> None:
    """It does not rely on the image to do so (5.2.6.2)."""
    bench = Bench(VirtioBlock(FailingDisk(fails=False, read_only=True)))
    bench.start()
    assert bench.request(OUT, 0, (DATA, 512)) == (IOERR, 1)


@pytest.mark.parametrize(("features", "flushes"), [(0, 1), (F_FLUSH, 0)])
def test_without_flush_each_write_is_durable(features: int, flushes: int) -> None:
    """A driver that cannot flush expects a write-through cache (5.2.6.2)."""
    disk = FailingDisk(fails=False)
    bench = Bench(VirtioBlock(disk))
    bench.start(features)
    assert bench.request(OUT, 0, (DATA, 512)) == (OK, 1)
    assert disk.flushes == flushes


def test_a_file_cut_short_meanwhile_is_an_io_error(bench: Bench, path: Path) -> None:
    """Reading beyond its end gives nothing, and must not be tried for ever."""
    os.truncate(path, 512)
    assert bench.request(IN, 0, (DATA, 1024)) == (IOERR, 0)


BAD_FILES = {
    "odd size": (b"x" * 1000, "has 1000 bytes, not a multiple of 512; extend it with `truncate -s 1024`"),
    "empty": (b"", "is empty; give it a size, as `truncate -s 64M` does"),
    "qcow2": (b"QFI\xfb" + bytes(508), "is a qcow2 image; convert it with `qemu-img convert -O raw`"),
}


@pytest.mark.parametrize(("contents", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_an_unusable_image_is_refused(tmp_path: Path, contents: bytes, message: str) -> None:
    """With what is wrong and what to do."""
    path = tmp_path / "bad.img"
    path.write_bytes(contents)
    with pytest.raises(ImageError) as caught:
        DiskImage(path)
    assert str(caught.value) == f"{path}: {message}"
    assert path.read_bytes() == contents


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    """It is not created."""
    with pytest.raises(ImageError, match=r"cannot be opened: No such file.*; check the path"):
        DiskImage(tmp_path / "none.img")
    assert not (tmp_path / "none.img").exists()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_only_files_and_block_devices_are_disks(tmp_path: Path, make: object) -> None:
    """A directory or FIFO is refused at once."""
    make(tmp_path / "odd")  # type: ignore[operator]
    with pytest.raises(ImageError):
        DiskImage(tmp_path / "odd", read_only=True)


def test_two_machines_do_not_share_a_writable_image(path: Path) -> None:
    """One writer, or any number of readers (flock)."""
    with DiskImage(path), pytest.raises(ImageError, match="is in use by another machine"):
        DiskImage(path, read_only=True)
    reader, other = DiskImage(path, read_only=True), DiskImage(path, read_only=True)
    with reader, other, pytest.raises(ImageError, match="is in use by another machine"):
        DiskImage(path)
    DiskImage(path).close()


def test_many_buffers_need_several_calls(disk: DiskImage) -> None:
    """The host takes at most 1024 of them at once (IOV_MAX)."""
    target = bytearray(4096)
    disk.read_into([memoryview(target)[i : i + 1] for i in range(4096)], 512)
    assert target == CONTENTS[512 : 512 + 4096]


def test_a_closed_image_can_be_closed_again(disk: DiskImage) -> None:
    """Closing is idempotent."""
    disk.close()
    disk.close()


def test_a_failure_that_is_injected(bench: Bench, path: Path) -> None:
    """Asked with type, first sector and sectors; the request reads and writes nothing, and the next is served."""
    asked = []
    device = bench.slot.device
    device.failures.append(lambda *request: asked.append(request) or request[1] == 3)
    bench.ram.put("<Q", DATA, 0x55)
    assert bench.request(IN, 3, (DATA, 1024)) == (IOERR, 0)
    assert bench.request(OUT, 3, (DATA, 512))[0] == IOERR
    assert (bench.ram.get("<Q", DATA), path.read_bytes()) == ((0x55,), CONTENTS)
    assert bench.request(OUT, 4, (DATA, 512))[0] == OK
    assert asked == [(IN, 3, 2), (OUT, 3, 1), (OUT, 4, 1)]


# --- requests that take more than one budget


def long_request(bench: Bench, kind: int, buffers: int, sectors: int = SECTORS) -> None:
    """One over all of the disk, as often the same buffer as it needs; and a short one behind it."""
    bench.ram.put("<IIQ", HEADER, kind, 0, 0)
    flags = WRITE if kind == IN else 0
    data = [(DATA, 512 * sectors, flags)] * buffers
    bench.queues[0].add_indirect(TABLE, (HEADER, 16, 0), *data, (STATUS, 1, WRITE))
    bench.queues[0].add((HEADER, 16, 0), (STATUS + 1, 1, WRITE))
    bench.notify()


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Bench]:
    """A disk of 8 MiB."""
    path = tmp_path / "large.img"
    path.write_bytes(random.Random(6).randbytes(8 << 20))
    with DiskImage(path) as disk:
        bench = Bench(VirtioBlock(disk))
        bench.start(F_FLUSH | F_INDIRECT)
        bench.ram.put("<BB", STATUS, 0xEE, 0xEE)
        yield bench


def test_a_long_request_is_carried_out_in_pieces(large: Bench, tmp_path: Path) -> None:
    """The run loop has its turn between them, and only the end is told (5.2.6)."""
    long_request(large, IN, 16, 1024)
    assert large.queues[0].used() == []
    assert large.ram.get("<B", STATUS) == (0xEE,)
    assert large.turns() >= 4
    assert large.queues[0].used() == [(0, (8 << 20) + 1), (1, 1)]
    assert large.ram.get("<BB", STATUS) == (OK, OK)
    assert large.ram.read(DATA, 512 * 1024) == (tmp_path / "large.img").read_bytes()[-512 * 1024 :]
    assert not large.broken


def test_a_long_request_goes_on_from_a_snapshot(large: Bench, tmp_path: Path) -> None:
    """Where it was: so is one that writes."""
    text = bytes(range(256)) * 2048
    large.ram.view(DATA, len(text))[:] = text
    long_request(large, OUT, 16, 1024)
    with DiskImage(_copy(tmp_path)) as disk:
        other = Bench(VirtioBlock(disk))
        other.ram.bytes[:] = large.ram.bytes
        other.slot.load_state(large.slot.state())
        assert other.turns() >= 4
        assert other.ram.get("<BB", STATUS) == (OK, OK)
    assert (tmp_path / "copy.img").read_bytes() == text * 16


def _copy(directory: Path) -> Path:
    copy = directory / "copy.img"
    copy.write_bytes((directory / "large.img").read_bytes())
    return copy


def test_a_reset_forgets_a_request_that_is_not_finished(large: Bench) -> None:
    """Nothing is left to be done, and the next request begins at its beginning (2.1.2)."""
    long_request(large, IN, 16, 1024)
    large[0x70] = 0
    assert large.turns() == 0
    large.queues.clear()
    large.start(F_FLUSH | F_INDIRECT)
    assert large.request(IN, 0, (DATA, 512)) == (OK, 513)


def test_an_error_in_the_middle_ends_a_long_request(large: Bench, tmp_path: Path) -> None:
    """The file has become shorter: an I/O error, and the next request is served."""
    long_request(large, IN, 16, 1024)
    os.truncate(tmp_path / "large.img", 3 << 20)
    large.turns()
    assert large.ram.get("<BB", STATUS)[0] == IOERR
    assert len(large.queues[0].used()) == 2
