"""Symbols that a user names for an image that has none: --symbols, as System.map, nm's output, or an ELF file."""

from __future__ import annotations

import os
import threading

import pytest
import raw_guest as raw
from command import armvcpu
from elf_symbols import make_elf, symbol

from armvcpu import Machine
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.boot.symbols import Symbols
from armvcpu.testing.target.target import Target

BASE = raw.BASE
SYSTEM_MAP = """\
0000000000000000 A _kernel_flags_le_hi32
ffff800008000000 T _text
ffff800008010000 t primary_entry
ffff800008010000 T __inittext_begin
ffff8000080100a0 d data_in_between
ffff800008ff0000 B _end
"""
NM = f"""\
{BASE:016x} T _start
{BASE + 0x10:016x} t spin
                 U printf
{BASE + 0x10:016x} t $x
{BASE + 0x40:016x} W weak
{BASE + 0x80:016x} b .Lbss
"""
NM_SIZES = f"{BASE:016x} 0000000000000008 T _start\n{BASE + 0x10:016x} 0000000000000010 t spin\n"
NM_POSIX = f"_start T {BASE:x} 8\nspin t {BASE + 0x10:x} 10\nprintf U\n"
NM_CXX = f"{BASE:016x} T kernel::start(int, char**)\n{BASE + 0x10:016x} t operator new(unsigned long)\n"


def named(text: str) -> Symbols:
    """Those of a file with this text."""
    return Symbols.from_elf(text.encode())


def test_system_map():
    """Its addresses are virtual; a symbol reaches to the next, and a constant is no place."""
    symbols = named(SYSTEM_MAP)
    assert symbols.format(0xFFFF_8000_0801_0010) == "__inittext_begin+0x10"
    assert symbols.format(0xFFFF_8000_0801_00A4) == "data_in_between+0x4"
    assert symbols.format(0x10) == ""
    assert (symbols.address("primary_entry"), symbols.address("_kernel_flags_le_hi32")) == (0xFFFF_8000_0801_0000, 0)
    assert symbols.format(0xFFFF_8000_0FF0_0000) == ""


@pytest.mark.parametrize(
    "text", [NM, NM_SIZES, NM_POSIX, NM_SIZES.upper().replace("SPIN", "spin").replace("START", "start")]
)
def test_what_nm_prints(text):
    """With sizes and without, and as POSIX has it."""
    symbols = named(text)
    assert symbols.format(BASE + 4) == "_start+0x4"
    assert symbols.format(BASE + 0x1C) == "spin+0xc"
    assert (symbols.format(BASE + 0x30), symbols.size("spin")) == (("spin+0x20", 0) if text is NM else ("", 0x10))


def test_names_of_cxx_are_one_word():
    """A line of a trace is split at spaces."""
    assert named(NM_CXX).format(BASE) == "kernel::start(int,char**)"
    assert named(NM_CXX).format(BASE + 0x14) == "operatornew(unsignedlong)+0x4"


BAD = {
    "image": b"\0" * 4096, "text": b"This is no table.\n", "empty": b"", "elf32": b"\x7fELF\x01\x01" + bytes(100),
    "C source": b"int main(void)\n{\n    return 0;\n}\n", "only undefined": b"                 U printf\n",
    "Debian's": b"ffffffffffffffff B The real System.map is in the linux-image-6.1.0-dbg package\n",
    "numbers": b"1 2 3\n4 5 6\n", "config": b"CONFIG_A=y\nCONFIG_B=m\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", [*BAD, "missing", "directory"])
def test_file_without_symbols_is_refused(tmp_path, kind):
    """One line, before anything runs."""
    path, image = tmp_path / "symbols", tmp_path / "guest.bin"
    image.write_bytes(raw.image(raw.FOREVER))
    if kind in BAD:
        path.write_bytes(BAD[kind])
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(ImageError, match=r"symbols: (has no symbols; give an ELF file|cannot be read)"):
        Machine(image, symbols=path)


@pytest.mark.parametrize(("machine", "name"), [(62, "x86-64"), (243, "RISC-V"), (4711, "machine 4711")])
def test_elf_file_of_another_architecture_is_refused(tmp_path, machine, name):
    """Its names would be those of other code (gABI, e_machine)."""
    elf, image = tmp_path / "symbols.elf", tmp_path / "guest.bin"
    image.write_bytes(raw.image(raw.FOREVER))
    data = bytearray(make_elf(symbol("main", raw.BASE, 4)))
    data[18:20] = machine.to_bytes(2, "little")
    elf.write_bytes(data)
    with pytest.raises(ImageError, match=f"symbols.elf: its symbols are those of a program for {name}; give"):
        Machine(image, symbols=elf)


@pytest.fixture
def guest(tmp_path):
    """A raw image that jumps from `_start` to `spin`, and a file with these names."""
    image, names = tmp_path / "guest.bin", tmp_path / "names"
    image.write_bytes(raw.image(raw.branch(4), raw.NOP, raw.NOP, raw.NOP, raw.FOREVER))
    names.write_text(NM)
    return image, names


def test_raw_image_gets_names(guest):
    """In on_symbol, symbols and backtraces."""
    image, names = guest
    with Machine(image, symbols=names, memory="32M") as machine:
        reached = []
        machine.on_symbol("spin")(lambda vcpu: reached.append(vcpu.state.pc) or machine.quit())
        machine.run(timeout=10)
        assert set(reached) == {BASE + 0x10}
        assert machine.backtrace()[0].symbol == "spin"
        assert machine.crash_report("hung").place.symbol == "spin"
        with pytest.raises(UsageError, match="did you mean spin"):
            machine.on_symbol("spim")


def test_run_until_a_symbol_of_the_file(guest):
    """In tests of a guest."""
    image, names = guest
    with Target(image, symbols=str(names), memory="32M") as target:
        target.run_until(symbol="spin")
        assert target.vcpu.state.pc == BASE + 0x10


def test_entry_may_be_one_of_them(guest):
    """Of an image that has no symbols of its own."""
    image, names = guest
    with Machine(image, symbols=names, entry="spin") as machine:
        assert machine.vcpu.state.pc == BASE + 0x10


def test_named_symbols_come_before_the_image_s_own(tmp_path):
    """And these are there too."""
    image = tmp_path / "guest.elf"
    image.write_bytes(make_elf(symbol("own", BASE, 8), symbol("other", BASE + 8, 8), vaddr=BASE))
    symbols = named(f"{BASE:x} 4 T mine\n").and_of(image.read_bytes())
    assert (symbols.format(BASE), symbols.format(BASE + 4), symbols.format(BASE + 8)) == ("mine", "own+0x4", "other")


def run(*arguments):
    """`armvcpu run`."""
    return armvcpu("run", *arguments, text=False)


def test_command_line_has_it_for_reports_and_traces(guest, tmp_path):
    """The time-out says where, and so does each line of a trace."""
    image, names = guest
    done = run(image, "--symbols", names, "--timeout", "0.3")
    assert (done.returncode, done.stderr.splitlines()[0]) == (4, b"armvcpu: time-out; PC 0x40080010 spin")
    trace = run(image, "--symbols", names, "--trace", "insn", "--max-instructions", "2").stderr.decode().splitlines()
    assert [line.split()[2] for line in trace[:2]] == ["_start", "spin"]
    names.write_text("nothing\n")
    done = run(image, "--symbols", names)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_file_may_be_a_pipe(guest, tmp_path):
    """`--symbols <(nm image.elf)`."""
    image, _names = guest
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(NM))
    writer.start()
    with Machine(image, symbols=pipe) as machine:
        assert machine.symbols.address("spin") == BASE + 0x10
    writer.join()
