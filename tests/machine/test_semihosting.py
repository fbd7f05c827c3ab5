"""Semihosting. Arm 100863, 64-bit ABI."""

from __future__ import annotations

import errno
import os
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.semihosting import SemihostingOperation as Op
from armvcpu.arch.semihosting import StopReason
from armvcpu.machine.semihosting import files
from armvcpu.machine.semihosting.attach import free_memory
from armvcpu.machine.semihosting.files import FEATURES, MAX_OPEN_FILES
from armvcpu.machine.semihosting.operations import MAX_PATH, BadGuestAddress, HeapInfo, Semihosting, SemihostingExit

if TYPE_CHECKING:
    from pathlib import Path

RAM = 0x4000_0000
BLOCK, NAME, NAME2, BUFFER = 0x100, 0x200, 0x300, 0x1000
UNMAPPED = 0x8000_0000
R, R_PLUS, W, W_PLUS, A, A_PLUS = 0, 2, 4, 6, 8, 10


class Ram:
    """64 KiB of guest memory at address 0; notes the largest read."""

    def __init__(self) -> None:
        self.data = bytearray(0x1_0000)
        self.largest_read = 0

    def read(self, address: int, size: int) -> bytes:
        self._check(address, size)
        self.largest_read = max(self.largest_read, size)
        return bytes(self.data[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self._check(address, len(data))
        self.data[address : address + len(data)] = data

    def _check(self, address: int, size: int) -> None:
        if address + size > len(self.data):
            raise BadGuestAddress


class Guest:
    """A guest with helpers that lay out argument blocks as its C library would."""

    def __init__(self, directory: Path | None = None, keys: bytes = b"", write_limit: int = 1 << 20) -> None:
        self.ram, self.output, self.now = Ram(), bytearray(), 1000.0
        waiting = iter(keys)
        self.host = Semihosting(
            self.ram,
            self.output.extend,
            lambda: next(waiting, None),
            "prog -x",
            directory,
            lambda: self.now,
            heap=HeapInfo(1, 2, 3, 4),
            write_limit=write_limit,
        )

    def __call__(self, operation: int, *fields: int) -> int | SemihostingExit:
        self.ram.write(BLOCK, struct.pack(f"<{len(fields)}Q", *fields))
        return self.host.call(operation, BLOCK)

    def put(self, address: int, data: bytes) -> tuple[int, int]:
        self.ram.write(address, data + b"\0")
        return address, len(data)

    def open(self, name: str, mode: int) -> int:
        address, length = self.put(NAME, os.fsencode(name))
        handle = self(Op.SYS_OPEN, address, mode, length)
        assert isinstance(handle, int)
        return handle

    def write(self, handle: int, data: bytes) -> object:
        return self(Op.SYS_WRITE, handle, *self.put(BUFFER, data))

    def read(self, handle: int, size: int) -> tuple[object, bytes]:
        rest = self(Op.SYS_READ, handle, BUFFER, size)
        assert isinstance(rest, int)
        return rest, self.ram.read(BUFFER, max(0, size - rest))

    def remove(self, name: str) -> object:
        return self(Op.SYS_REMOVE, *self.put(NAME, os.fsencode(name)))

    def rename(self, old: str, new: str) -> object:
        return self(
            Op.SYS_RENAME,
            *self.put(NAME, os.fsencode(old)),
            *self.put(NAME2, os.fsencode(new)),
        )

    @property
    def errno(self) -> int:
        number = self.host.call(Op.SYS_ERRNO, 0)
        assert isinstance(number, int)
        return number


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "guest"
    directory.mkdir()
    return directory


@pytest.fixture
def guest(root: Path) -> Guest:
    return Guest(root)


# --- console


def test_writec_writes_the_character_that_is_pointed_to() -> None:
    """SYS_WRITEC takes a pointer, not the character."""
    guest = Guest()
    guest.put(BUFFER, b"!")
    guest.host.call(Op.SYS_WRITEC, BUFFER)
    assert guest.output == b"!"


def test_a_long_write_to_the_console_is_shown_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What SYS_WRITE has not written it tells, and the run loop has its turn before the guest asks again."""
    monkeypatch.setattr(files, "MAX_SHOWN", 600)
    guest = Guest()
    handle, text = guest.open(":tt", W), bytes(range(1, 251)) * 4
    assert guest.write(handle, text) == 400
    assert guest.output == text[:600]
    assert guest.write(handle, text[600:]) == 0
    assert guest.output == text


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 5000])
def test_write0_writes_to_the_terminator(length: int) -> None:
    """SYS_WRITE0, for strings that lie in one or several blocks."""
    guest = Guest()
    guest.put(BUFFER + 7, b"s" * length)
    guest.ram.data[BUFFER + 8 + length] = ord("x")
    guest.host.call(Op.SYS_WRITE0, BUFFER + 7)
    assert guest.output == b"s" * length


def test_write0_of_a_string_at_the_end_of_memory() -> None:
    """Looking for the terminator doesn't read beyond the page in which it stands."""
    guest = Guest()
    guest.ram.data[-3:] = b"ok\0"
    assert guest.host.call(Op.SYS_WRITE0, len(guest.ram.data) - 3) == 0
    assert guest.output == b"ok"


def test_write0_without_a_terminator_ends() -> None:
    """The string runs out of memory: the guest's error, no endless loop."""
    guest = Guest()
    guest.ram.data[BUFFER:] = b"s" * (len(guest.ram.data) - BUFFER)
    assert guest.host.call(Op.SYS_WRITE0, BUFFER) == -1
    assert guest.errno == errno.EFAULT


def test_readc_gives_the_next_byte_and_then_minus_1() -> None:
    """SYS_READC."""
    guest = Guest(keys=b"k")
    assert [guest.host.call(Op.SYS_READC, 0) for _ in range(2)] == [ord("k"), -1]


def test_tt_is_stdin_stdout_and_stderr_by_its_mode() -> None:
    """SYS_OPEN of `:tt` with SH_EXT_STDOUT_STDERR; each is interactive."""
    guest = Guest(keys=b"line\nmore")
    stdin, stdout, stderr = (guest.open(":tt", mode) for mode in (R, W, A))
    assert (guest.write(stdout, b"out "), guest.write(stderr, b"err")) == (0, 0)
    assert guest.output == b"out err"
    assert guest.read(stdin, 100) == (95, b"line\n")
    assert [guest(Op.SYS_ISTTY, handle) for handle in (stdin, stdout, stderr)] == [1, 1, 1]


def test_console_streams_have_one_direction_and_no_position() -> None:
    """EBADF for the wrong direction, ESPIPE for SYS_SEEK and SYS_FLEN."""
    guest = Guest()
    stdin, stdout = guest.open(":tt", R), guest.open(":tt", W)
    assert (guest.write(stdin, b"x"), guest.errno) == (1, errno.EBADF)
    assert (guest(Op.SYS_READ, stdout, BUFFER, 1), guest.errno) == (1, errno.EBADF)
    assert (guest(Op.SYS_SEEK, stdout, 0), guest.errno) == (-1, errno.ESPIPE)
    assert (guest(Op.SYS_FLEN, stdin), guest.errno) == (-1, errno.ESPIPE)


# --- features


def test_feature_file_says_which_extensions_there_are() -> None:
    """Magic SHFB, then SH_EXT_EXIT_EXTENDED and SH_EXT_STDOUT_STDERR."""
    guest = Guest()
    handle = guest.open(":semihosting-features", R)
    assert guest(Op.SYS_FLEN, handle) == 5
    assert guest.read(handle, 8) == (3, b"SHFB\x03")
    assert guest(Op.SYS_SEEK, handle, 4) == 0
    assert guest.read(handle, 1) == (0, b"\x03")
    assert guest(Op.SYS_ISTTY, handle) == 0


@pytest.mark.parametrize("mode", range(2, 13))
def test_feature_file_is_opened_for_reading_only(mode: int) -> None:
    """Attempts to open it with any other mode than r and rb must fail."""
    assert Guest().open(":semihosting-features", mode) == -1


def test_feature_file_can_be_open_several_times() -> None:
    """Each handle has a position of its own."""
    guest = Guest()
    first, second = (guest.open(":semihosting-features", R) for _ in range(2))
    guest.read(first, 3)
    assert guest.read(second, 5) == (0, FEATURES)
    assert (guest(Op.SYS_SEEK, first, 6), guest.errno) == (-1, errno.EINVAL)


# --- files


def test_file_is_written_read_and_closed(guest: Guest, root: Path) -> None:
    """SYS_OPEN w+, WRITE, SEEK, READ, FLEN, ISTTY, CLOSE."""
    handle = guest.open("f", W_PLUS)
    assert guest.write(handle, b"hello") == 0
    assert guest(Op.SYS_SEEK, handle, 1) == 0
    assert guest.read(handle, 10) == (6, b"ello")
    assert (guest(Op.SYS_FLEN, handle), guest(Op.SYS_ISTTY, handle)) == (5, 0)
    assert guest(Op.SYS_CLOSE, handle) == 0
    assert (guest(Op.SYS_CLOSE, handle), guest.errno) == (-1, errno.EBADF)
    assert (root / "f").read_bytes() == b"hello"


@pytest.mark.parametrize(
    ("mode", "result", "content"),
    [
        (R, 2, b"old"),
        (R_PLUS, 0, b"NEd"),
        (W, 0, b"NE"),
        (W_PLUS + 1, 0, b"NE"),
        (A, 0, b"oldNE"),
        (A_PLUS + 1, 0, b"oldNE"),
    ],
)
def test_modes_are_those_of_fopen(guest: Guest, root: Path, mode: int, result: int, content: bytes) -> None:
    """SYS_OPEN, "Value of mode"."""
    (root / "f").write_bytes(b"old")
    assert guest.write(guest.open("f", mode), b"NE") == result
    assert (root / "f").read_bytes() == content


@pytest.mark.parametrize("mode", [12, 1 << 63])
def test_other_modes_are_invalid(guest: Guest, mode: int) -> None:
    """EINVAL, for the console too."""
    assert (guest.open("f", mode), guest.errno) == (-1, errno.EINVAL)
    assert (guest.open(":tt", mode), guest.errno) == (-1, errno.EINVAL)


def test_missing_file_is_enoent(guest: Guest) -> None:
    """What the host says reaches SYS_ERRNO."""
    assert (guest.open("none", R), guest.errno) == (-1, errno.ENOENT)


def test_remove_and_rename(guest: Guest, root: Path) -> None:
    """SYS_RENAME replaces, SYS_REMOVE deletes."""
    (root / "a").write_bytes(b"A")
    (root / "b").write_bytes(b"B")
    assert guest.rename("a", "b") == 0
    assert [(p.name, p.read_bytes()) for p in root.iterdir()] == [("b", b"A")]
    assert guest.remove("b") == 0
    assert (guest.remove("b"), guest.errno) == (-1, errno.ENOENT)


# --- nothing outside the directory


@pytest.mark.parametrize("name", ["../secret", "sub/../../secret", "/etc/passwd", "link", "dirlink/secret", ".", ""])
def test_no_name_leads_outside_the_directory(guest: Guest, root: Path, name: str) -> None:
    """By "..", an absolute path or a symbolic link: EACCES, and nothing happens to the file."""
    secret = root.parent / "secret"
    secret.write_bytes(b"s")
    (root / "sub").mkdir()
    (root / "link").symlink_to(secret)
    (root / "dirlink").symlink_to(root.parent)
    for mode in (R, W, A_PLUS):
        assert (guest.open(name, mode), guest.errno) == (-1, errno.EACCES)
    (root / "mine").touch()
    assert name == "link" or (guest.rename("mine", name), guest.errno) == (-1, errno.EACCES)
    assert name == "link" or guest.remove(name) == -1
    assert secret.read_bytes() == b"s"


def test_links_inside_the_directory_may_be_followed(guest: Guest, root: Path) -> None:
    """Only a link that leads out is refused; a loop of links is an error like any other."""
    (root / "real").write_bytes(b"r")
    (root / "alias").symlink_to("real")
    (root / "loop").symlink_to("loop")
    assert guest.read(guest.open("alias", R), 1) == (0, b"r")
    assert (guest.open("loop", R), guest.errno) == (-1, errno.ELOOP)


def test_removing_a_link_leaves_what_it_names(guest: Guest, root: Path) -> None:
    """SYS_REMOVE takes the link itself."""
    outside = root.parent / "secret"
    outside.write_bytes(b"s")
    (root / "link").symlink_to(outside)
    assert guest.remove("link") == 0
    assert outside.read_bytes() == b"s"


@pytest.mark.parametrize("mode", [R, W, A])
def test_only_regular_files_open(guest: Guest, root: Path, mode: int) -> None:
    """A FIFO must not hang the run, whoever put it there."""
    os.mkfifo(root / "fifo")
    assert guest.open("fifo", mode) == -1
    (root / "sub").mkdir()
    assert guest.open("sub", mode) == -1


def test_without_a_directory_there_are_no_files() -> None:
    """None can be made, EACCES, and none is there, ENOENT; console and features work all the same."""
    guest = Guest(directory=None)
    assert (guest.open("f", W), guest.errno) == (-1, errno.EACCES)
    for call in (guest.open("f", R), guest.open("f", R_PLUS), guest.remove("f"), guest.rename("f", "g")):
        assert (call, guest.errno) == (-1, errno.ENOENT)
    assert guest.open(":tt", R) == 1


# --- limits


def test_handles_are_bounded_and_used_again(guest: Guest) -> None:
    """EMFILE at the limit; a closed handle is free again; close() frees all."""
    handles = [guest.open(":tt", W) for _ in range(MAX_OPEN_FILES)]
    assert handles == list(range(1, MAX_OPEN_FILES + 1))
    assert (guest.open(":tt", W), guest.errno) == (-1, errno.EMFILE)
    guest(Op.SYS_CLOSE, 7)
    assert guest.open(":tt", W) == 7
    guest.host.close()
    assert guest.open(":tt", W) == 1


def test_close_gives_back_the_hosts_descriptors(guest: Guest) -> None:
    """No descriptor is left open after close()."""
    before = len(os.listdir("/proc/self/fd"))
    for name in "abc":
        guest.open(name, W)
    guest.host.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("count", [0x2_0000, 1 << 63, (1 << 64) - 1])
def test_huge_counts_are_the_guests_error(guest: Guest, count: int) -> None:
    """A write of more than there is fails without allocating; a read is cut to what the file has."""
    handle = guest.open("f", W_PLUS)
    assert (guest(Op.SYS_WRITE, handle, BUFFER, count), guest.errno) == (count, errno.EFAULT)
    assert guest(Op.SYS_READ, handle, BUFFER, count) == count
    assert guest.ram.largest_read < 1024


def test_the_disk_cannot_be_filled(root: Path) -> None:
    """The write budget ends in a short write, then ENOSPC, whatever file is used."""
    guest = Guest(root, write_limit=2 * 4096 + 10)
    first, second = guest.open("a", W), guest.open("b", W)
    assert guest.write(first, b"12345678") == 0
    assert guest.write(second, b"12345678") == 6
    assert (guest.write(first, b"1"), guest.errno) == (1, errno.ENOSPC)
    assert (guest.open("c", W), guest.errno) == (-1, errno.ENOSPC)


def test_a_failed_transfer_moves_nothing(guest: Guest) -> None:
    """SYS_WRITE and SYS_READ answer the number of bytes that were not moved, so all; a C library subtracts it."""
    assert (guest.write(99, b"four"), guest.errno) == (4, errno.EBADF)
    assert (guest(Op.SYS_READ, 99, BUFFER, 4), guest.errno) == (4, errno.EBADF)
    handle = guest.open("f", W_PLUS)
    assert (guest(Op.SYS_WRITE, handle, UNMAPPED, 4), guest.errno) == (4, errno.EFAULT)
    guest.write(handle, b"four")
    guest(Op.SYS_SEEK, handle, 0)
    assert (guest(Op.SYS_READ, handle, UNMAPPED, 4), guest.errno) == (4, errno.EFAULT)


def test_a_seek_beyond_the_end_is_filled_by_the_next_write(guest: Guest, root: Path) -> None:
    """As POSIX has it, and C libraries expect; SYS_SEEK leaves it open. Nothing is there to be read."""
    handle = guest.open("f", W_PLUS)
    guest.write(handle, b"ab")
    assert (guest(Op.SYS_SEEK, handle, 4), guest(Op.SYS_FLEN, handle)) == (0, 2)
    assert guest.read(handle, 3) == (3, b"")
    assert (guest.write(handle, b"c"), (root / "f").read_bytes()) == (0, b"ab\0\0c")


def test_a_seek_is_paid_for_by_the_next_write(root: Path) -> None:
    """So that no file grows beyond what the guest may put on the disk; appending ignores the position."""
    guest = Guest(root, write_limit=4096 + 100)
    handle = guest.open("f", W)
    assert guest(Op.SYS_SEEK, handle, 1 << 40) == 0
    assert (guest.write(handle, b"x"), guest.errno) == (1, errno.ENOSPC)
    assert guest(Op.SYS_SEEK, handle, 99) == 0
    assert (guest.write(handle, b"yz"), (root / "f").stat().st_size) == (1, 100)
    assert (guest(Op.SYS_SEEK, handle, 1 << 63), guest.errno) == (-1, errno.EINVAL)
    handle = (guest := Guest(root)).open("f", A)
    assert guest(Op.SYS_SEEK, handle, 1 << 40) == 0
    assert (guest.write(handle, b"!"), (root / "f").stat().st_size) == (0, 101)


@pytest.mark.parametrize(
    ("length", "number"),
    [(MAX_PATH + 1, errno.ENAMETOOLONG), (1 << 63, errno.ENAMETOOLONG), (300, errno.ENAMETOOLONG), (3, errno.EINVAL)],
)
def test_unusable_names(guest: Guest, length: int, number: int) -> None:
    """Too long for us, too long for the host, or with a NUL inside."""
    guest.put(NAME, b"a\0b" if length == 3 else b"n" * 300)
    assert (guest(Op.SYS_OPEN, NAME, W, length), guest.errno) == (-1, number)


@pytest.mark.parametrize("operation", [op for op in Op if op not in {0x13, 0x10, 0x11, 0x31, 0x07}])
@pytest.mark.parametrize("parameter", [UNMAPPED, (1 << 64) - 1])
def test_unmapped_parameter_is_an_error_of_the_guest(guest: Guest, operation: int, parameter: int) -> None:
    """No operation raises for an address that is not memory."""
    assert guest.host.call(operation, parameter) == -1


# --- time and environment


def test_time_operations(guest: Guest) -> None:
    """SYS_CLOCK in centiseconds since the start, SYS_TIME since 1970, SYS_ELAPSED in ticks of SYS_TICKFREQ."""
    guest.now += 2.5
    assert guest.host.call(Op.SYS_CLOCK, 0) == 250
    assert guest.host.call(Op.SYS_TIME, 0) == 1002
    assert guest.host.call(Op.SYS_ELAPSED, BUFFER) == 0
    (ticks,) = struct.unpack("<Q", guest.ram.read(BUFFER, 8))
    assert guest.host.call(Op.SYS_TICKFREQ, 0) == ticks / 2.5


def test_get_cmdline_fills_the_buffer_and_the_block(guest: Guest) -> None:
    """SYS_GET_CMDLINE: a terminated string, and its length without the terminator."""
    assert guest(Op.SYS_GET_CMDLINE, BUFFER, 8) == 0
    assert guest.ram.read(BUFFER, 8) == b"prog -x\0"
    assert struct.unpack("<2Q", guest.ram.read(BLOCK, 16)) == (BUFFER, 7)
    assert guest(Op.SYS_GET_CMDLINE, BUFFER, 7) == -1


def test_heapinfo_follows_the_pointer(guest: Guest) -> None:
    """SYS_HEAPINFO: the parameter is the address of a pointer to the block."""
    assert guest(Op.SYS_HEAPINFO, BUFFER) == 0
    assert struct.unpack("<4Q", guest.ram.read(BUFFER, 32)) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("taken", "base", "limit"),
    [
        ({0x8_0000: b"code"}, 0x8_1000, 0x1000_0000),
        ({0: b"x" * 0x1001, 0xFE0_0000: b"tree"}, 0x2000, 0xFE0_0000),
        ({0xA00_0001: b"code"}, 0, 0xA00_0000),
        ({0: bytes(0x1000_0000)}, 0, 0),
    ],
)
def test_heap_is_the_largest_free_piece(taken, base, limit):
    """Of RAM, in whole pages: the heap grows up in it and the stack down."""
    plan = SimpleNamespace(writes=[(RAM + at, data) for at, data in taken.items()], zeroes=[])
    assert free_memory(plan, 256 << 20) == (RAM + base, RAM + limit, RAM + limit, RAM + base)


def test_zeroed_memory_is_no_heap():
    """What an ELF segment has behind its file bytes."""
    plan = SimpleNamespace(writes=[(RAM, b"code")], zeroes=[(RAM + 4, 0x3000)])
    assert free_memory(plan, 1 << 20)[0] == RAM + 0x4000


def test_a_guest_learns_of_its_heap(tmp_path):
    """A raw image with a page of code at RAM + 512 KiB, two pages of device tree in RAM's middle: the larger room."""
    path = tmp_path / "guest.bin"
    block = raw.BASE + 0x800
    words = [*raw.mov(0, Op.SYS_HEAPINFO), *raw.mov(1, block), raw.HLT_SEMIHOSTING, *raw.psci(raw.SYSTEM_OFF)]
    path.write_bytes(raw.image(words).ljust(0x800, b"\0") + struct.pack("<Q", block + 8))
    with Machine(path, semihosting=True) as machine:
        assert machine.run(timeout=20).ok
        answer = struct.unpack("<4Q", machine.memory.read(block + 8, 32))
    base, limit = RAM + (128 << 20) + 0x2000, RAM + (256 << 20)
    assert answer == (base, limit, limit, base)


@pytest.mark.parametrize(("status", "answer"), [(0, 0), (5, 0), ((1 << 64) - 1, 1), (1 << 63, 1)])
def test_iserror(guest: Guest, status: int, answer: int) -> None:
    """SYS_ISERROR: negative is an error."""
    assert guest(Op.SYS_ISERROR, status) == answer


@pytest.mark.parametrize("operation", [Op.SYS_EXIT, Op.SYS_EXIT_EXTENDED])
@pytest.mark.parametrize(
    ("reason", "subcode", "status"),
    [(StopReason.ADP_Stopped_ApplicationExit, code, code) for code in (0, 1, 256)]
    + [(StopReason.ADP_Stopped_DataAbort, 0, 1), (0x1234, 0, 1)],
)
def test_exit_reports_status_and_reason(guest: Guest, operation: int, reason: int, subcode: int, status: int) -> None:
    """SYS_EXIT: the subcode is a status for ADP_Stopped_ApplicationExit only; any other reason is a failure."""
    assert guest(operation, reason, subcode) == SemihostingExit(status, reason)


def test_exit_reads_well() -> None:
    """A known reason by its name, another as a number."""
    assert str(SemihostingExit(0, 0x20026)) == "ADP_Stopped_ApplicationExit, status 0"
    assert str(SemihostingExit(1, 0x99)) == "0x99, status 1"


@pytest.mark.parametrize("operation", [Op.SYS_SYSTEM, Op.SYS_TMPNAM, 0x17, 0x19, 0x32, 0x100, 0])
def test_refused_and_unknown_operations(guest: Guest, operation: int) -> None:
    """-1 and ENOSYS."""
    assert (guest(operation, BUFFER, 4), guest.errno) == (-1, errno.ENOSYS)


def test_only_w0_names_the_operation(guest: Guest) -> None:
    """The upper half of X0 may hold anything."""
    assert guest.host.call(0xFFFF_FFFF_0000_0000 | Op.SYS_TICKFREQ, 0) == guest.host.call(Op.SYS_TICKFREQ, 0)
