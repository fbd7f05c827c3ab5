"""Images that are linked or loaded into flash: they lie where they belong and execute there."""

from __future__ import annotations

import pytest
import raw_guest as asm
from image_bytes import RAM, load, make_elf

from armvcpu.errors import UsageError
from armvcpu.machine.machine import Machine

BANKS = (0, 0x0400_0000)
HELLO = asm.image(asm.print_text("here"), asm.psci(asm.SYSTEM_OFF))


def run(path, contents: bytes, **options) -> str:
    path.write_bytes(contents)
    with Machine(path, **options) as machine:
        outcome = machine.run(timeout=20)
        assert outcome.status == 0, outcome.report
        return machine.console.output.decode()


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("at", [0, 0x20_1000, 0x0400_0000, 0x0412_3000, 0x0400_0000 - 64])
def test_elf_executes_in_flash(tmp_path, at, clock):
    """A segment goes to its address in either bank, or over both, and not to the start of one."""
    assert run(tmp_path / "f", make_elf(load(at, HELLO), entry=at), clock=clock) == "here"


@pytest.mark.parametrize("at", [0x1000, 0x0400_1000])
def test_raw_image_executes_in_flash(tmp_path, at):
    """`--load-address` may be one in flash."""
    assert run(tmp_path / "f", HELLO, load_address=at) == "here"


def test_code_in_flash_with_data_in_ram_and_the_other_bank(tmp_path):
    """Each segment lies where its file says, and the memory around it is erased flash."""
    elf = make_elf(load(0x1000, HELLO), load(RAM, b"ram"), load(0x0400_0010, b"bank", memsz=8), entry=0x1000)
    (tmp_path / "f").write_bytes(elf)
    with Machine(tmp_path / "f") as machine:
        assert machine.read(0x0FFC, 8) == b"\xff\xff\xff\xff" + HELLO[:4]
        assert machine.read(RAM, 4) == b"ram\0"
        assert machine.read(0x0400_000C, 16) == b"\xff\xff\xff\xffbank\0\0\0\0\xff\xff\xff\xff"
        assert machine.run(timeout=20).status == 0


def test_reset_starts_an_image_in_flash_again(tmp_path):
    """SYSTEM_RESET leaves flash as it is and enters the image there once more."""
    guest = asm.image(asm.print_text("x"), asm.psci(asm.SYSTEM_RESET))
    (tmp_path / "f").write_bytes(make_elf(load(0x0400_0000, guest), entry=0x0400_0000))
    with Machine(tmp_path / "f") as machine:
        machine.run(max_instructions=400)
        assert machine.console.output.startswith(b"xxx")


def test_the_users_flash_file_is_not_overwritten(tmp_path):
    """An image in bank 1 is refused beside `--vars`, whose file that bank is."""
    (tmp_path / "f").write_bytes(make_elf(load(0x0400_0000, HELLO), entry=0x0400_0000))
    with pytest.raises(UsageError, match="overlaps the device flash bank 1 of vars"):
        Machine(tmp_path / "f", vars=tmp_path / "vars")
