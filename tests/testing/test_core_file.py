"""A machine's state as an ELF core file, read back with pyelftools."""

from __future__ import annotations

import pytest
from elftools.elf.elffile import ELFFile

from armvcpu.testing.core_file import write_core
from armvcpu.testing.mappings import mappings

PR_REG = 112
"""Where `struct elf_prstatus` of a 64-bit architecture has its registers."""


def core_of(target, path):
    snapshot = target.snapshot()
    write_core(path, snapshot, target.memory.read)
    snapshot.close()
    return path


def segments(file, kind):
    return [each for each in ELFFile(file).iter_segments() if each["p_type"] == kind]


def notes(file):
    (segment,) = segments(file, "PT_NOTE")
    return [(note["n_type"], note["n_descdata"]) for note in segment.iter_notes()]


def words(data, count):
    return [int.from_bytes(data[8 * n : 8 * n + 8], "little") for n in range(count)]


def test_registers_are_where_linux_has_them(boot, tmp_path):
    """X0 to X30, SP, PC and PSTATE in NT_PRSTATUS; V0 in NT_FPREGSET."""
    target = boot("echo")
    target.expect_exact("echo")
    target.vcpu.registers["x7"], target.vcpu.registers["v0"] = 0x1234_5678_9ABC_DEF0, 1 << 127 | 3
    with core_of(target, tmp_path / "core").open("rb") as file:
        assert ELFFile(file).header["e_type"] == "ET_CORE"
        assert ELFFile(file)["e_machine"] == "EM_AARCH64"
        found = dict(notes(file))
    status, vectors = found["NT_PRSTATUS"], found.get("NT_FPREGSET", found.get(2))
    registers = words(status[PR_REG:], 34)
    there = target.vcpu.registers
    assert registers[:31] == [there[f"x{n}"] for n in range(31)]
    assert registers[31:] == [there["sp"], there["PC"], there["PSTATE"]]
    assert registers[7] == 0x1234_5678_9ABC_DEF0
    assert (len(status), len(vectors)) == (392, 528)
    assert int.from_bytes(vectors[:16], "little") == 1 << 127 | 3


def test_ram_is_there_at_its_address(boot, tmp_path):
    """All of it, and in the file only what has been written."""
    target = boot("echo", memory="64M")
    target.write(0x4123_4000, b"marked")
    path = core_of(target, tmp_path / "core")
    with path.open("rb") as file:
        (ram,) = segments(file, "PT_LOAD")
        assert (ram["p_vaddr"], ram["p_paddr"], ram["p_memsz"]) == (0x4000_0000, 0x4000_0000, 64 << 20)
        file.seek(ram["p_offset"] + 0x123_4000)
        assert file.read(7) == b"marked\0"
    assert path.stat().st_blocks * 512 < 8 << 20


def test_each_cpu_that_was_on_is_a_thread(boot, tmp_path):
    """The one that ran last is the first."""
    target = boot("smp", cpus=2)
    target.finish()
    with core_of(target, tmp_path / "core").open("rb") as file:
        threads = [int.from_bytes(data[32:36], "little") for kind, data in notes(file) if kind == "NT_PRSTATUS"]
    assert threads[0] == target.current_cpu.index + 1
    assert sorted(threads) == [1, 2]


def test_a_guest_with_its_mmu_on_is_seen_at_its_virtual_addresses(boot, tmp_path):
    """As its own tables translate them, each range; RAM at its physical ones is the last."""
    target = boot("mmu")
    target.run_until(symbol="permission")
    registers = {name: target.register(name) for name in ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1")}
    found = list(mappings(registers, target.memory.read))
    assert found[0] == (0x0900_0000, 0x0900_0000, 0x1000)  # the UART
    assert any(virtual != physical for virtual, physical, _ in found)
    for virtual, physical, size in found:
        assert target.physical(virtual) == physical
        assert target.physical(virtual + size - 1) == physical + size - 1
    with core_of(target, tmp_path / "core").open("rb") as file:
        loads = [(each["p_vaddr"], each["p_paddr"]) for each in segments(file, "PT_LOAD")]
    assert loads == [
        *((virtual, physical) for virtual, physical, _ in found if physical >= 0x4000_0000),
        (0x4000_0000, 0x4000_0000),
    ]


@pytest.mark.parametrize("upper", [False, True])
def test_blocks_and_pages_are_found_and_neighbours_joined(upper):
    """Two pages, a hole, and a block of 2 MiB, from either base register; 4 KiB granule, 39 bits."""
    ram = bytearray(0x10000)

    def put(table, index, value):
        ram[table + 8 * index : table + 8 * index + 8] = value.to_bytes(8, "little")

    put(0x1000, 3, 0x2000 | 3)
    put(0x2000, 1, 0x3000 | 3)
    put(0x2000, 2, 0x4040_0000 | 1)
    put(0x3000, 5, 0x4000_0000 | 3)
    put(0x3000, 6, 0x4000_1000 | 3)
    put(0x3000, 8, 0x4000_2000 | 3)
    put(0x3000, 9, 0x4000_2000 | 1)  # reserved at level 3
    tcr = 25 | 25 << 16 | 2 << 30
    registers = {"SCTLR_EL1": 1, "TCR_EL1": tcr, "TTBR0_EL1": 0x8000, "TTBR1_EL1": 0x8000}
    registers["TTBR1_EL1" if upper else "TTBR0_EL1"] = 0x1000
    first = (0xFFFF_FF80_0000_0000 if upper else 0) + (3 << 30) + (1 << 21)
    assert list(mappings(registers, lambda address, size: bytes(ram[address : address + size]))) == [
        (first + 0x5000, 0x4000_0000, 0x2000),
        (first + 0x8000, 0x4000_2000, 0x1000),
        (first + 0x20_0000, 0x4040_0000, 0x20_0000),
    ]
    registers["SCTLR_EL1"] = 0
    assert list(mappings(registers, lambda address, size: b"")) == []
