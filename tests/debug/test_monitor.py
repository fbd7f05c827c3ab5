"""The monitor's table: how a line is read, what is said of mistakes, and each command on a small guest."""

from __future__ import annotations

import pytest
from raw_guest import BASE, NOP, SYSTEM_OFF, WFI, image, mov

from armvcpu import Machine
from armvcpu.debug.monitor.table import COMMANDS
from armvcpu.errors import StateError, UsageError

HELLO = "guests/bin/hello.elf"
SVC, MSR_DAIFCLR = 0xD400_0001, 0xD503_44FF


@pytest.fixture(scope="module")
def machine():
    """A machine that has executed some of hello.elf, and is looked at."""
    with Machine(HELLO, clock="instructions", cpus=2) as machine:
        machine.run(max_instructions=2000)
        yield machine


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("help", ("info cpus", "translate ADDRESS [EL] [CPU]")),
        ("help info gic", ("interrupt that is in use",)),
        ("help info", ("info cpus", "info mtree")),
        ("info cpus", ("* cpu0  MPIDR_EL1 0x80000000  runs  EL1h", "cpu1  MPIDR_EL1 0x80000001  off")),
        ("info registers", ("x30", "pstate 0x")),
        ("info sysregs MIDR", ("MIDR_EL1 0x00000000410fd083",)),
        ("info sysregs ttbr?_el1", ("TTBR0_EL1", "TTBR1_EL1")),
        ("info gic", ("GICv3, INTIDs 0 to 287", "cpu1: enabled no group")),
        ("info timers", ("cpu0: physical count", "CNTV_EL0 (INTID 27) disabled")),
        (
            "info mtree",
            ("0x0000000009000000 to 0x0000000009000fff        4K  pl011", "256M  RAM", "virtio-mmio0 to 30"),
        ),
        ("info devices", ("pl011          0x000009000000  Pl011", "VirtioEntropy")),
        ("info devices pl011", ("UARTCR 0x",)),
        ("info exits", ("exit yet",)),
        ("info snapshots", ("there is no snapshot",)),
        ("print $pc", (" = ",)),
        ("p main + 0x10 - 16", (" = main",)),
        ("print -1", ("0xffffffffffffffff = -1",)),
        ("print x29", ("0x",)),
        ("x/2i $pc", ("=> 0x",)),
        ("x/4xb main", (": 0x",)),
        ("x/2gx $sp", (": 0x",)),
        ("x/a $sp-8", (": 0x",)),
        ("x/c 0x40000000", (r"208 '\xd0'",)),  # the device tree's magic number
        ("xp/xw 0x40000000", ("0x0000000040000000: 0xedfe0dd0",)),
        ("xp/2ob 0x40000000", ("0o320 0o15",)),
        ("xp/db 0x40000000", (": -48",)),
        ("xp/ub 0x40000000", (": 208",)),
        ("xp/tb 0x40000000", (": 11010000",)),
        ("disassemble main 2", ("<main>", "<main+0x4>")),
        ("dis", ("=> 0x",)),
        ("translate main", ("SCTLR_EL1.M is 0", "RAM", "execute  goes through")),
        ("translate 0x9000018", ("pl011.UARTFR",)),
        ("translate 0xb000000", ("nothing is there",)),
        ("backtrace", ("#0 0x",)),
        ("symbols main", (" main",)),
        ("symbols $pc", ("0x",)),
        ("cpu 0", ("* cpu0",)),
        ("i cpus", ("cpu1",)),
        ("info m", ("pl011",)),
    ],
)
def test_a_command_looks(machine, line, words):
    """It says so, and the guest is as it was."""
    before = machine.vcpu.registers.save()
    said = machine.monitor(line)
    assert [word for word in words if word not in said] == []
    assert machine.vcpu.registers.save() == before


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("foo", "there is no command 'foo'"),
        ("transalte 0", "did you mean translate?"),
        ("info", "info what? cpus, registers"),
        ("info xyz", "info what?"),
        ("sn x y", "'y' is too much"),
        ("translate", "translate: ADDRESS is missing"),
        ("translate 0 4", "the guest has no EL4: its levels are EL0 to EL1"),
        ("translate 0 el1 2", "there is no CPU 2: this machine has 0 to 1"),
        ("translate 0 1 0 9", "'9' is too much"),
        ("translate 12z", "'12z' is not a number"),
        ("info registers 1", "cpu1 was never switched on"),
        ("info sysregs ZZZ", "no system register of this CPU matches"),
        ("info devices pl01", "; did you mean pl0"),
        ("print nosuch", "no symbol 'nosuch'"),
        ("print $nosuch", "no register 'nosuch'"),
        ("print 1 2", "'1 2' is not an address"),
        ("print", "VALUE is missing"),
        ("set x40 1", "no register 'x40'"),
        ("set MIDR_EL1 1", "MIDR_EL1 can't be written"),
        ("set w0 0x100000000", "W0 has 32 bits".lower()),
        ("x/zz 0", "/zz is no format"),
        ("x/0x 0", "from 1 to"),
        ("x/xx 0", "/xx is no format"),
        (f"x/{'1' * 5000}x 0", "1x is no format"),
        ("info/x cpus", "has no /FORMAT"),
        ("x/x 0xb000000", "no memory is behind the virtual address 0xb000000: `translate 0xb000000` says why"),
        ("xp 0x9000000", "0x9000000 is pl011.UARTDR: reading would act on it; `info devices pl011`"),
        ("xp 0xb000000", "no memory is at the physical address"),
        ("write 0xb000000 1", "no RAM is behind"),
        ("writep 0xb000000 1", "no RAM"),
        ("write main 1 3", "3 bytes: write 1, 2, 4 or 8"),
        ("write main 0x100 1", "0x100 does not fit into 1 bytes"),
        ("dis main 0", "0 is no count"),
        ("symbols nosuchsymbol", "no symbol 'nosuchsymbol'"),
        ("inject irq 9999", "there is no interrupt 9999"),
        ("inject serror", "PSTATE.A masks SErrors"),
        ("inject powerkey sideways", "is no position: down, up"),
        ("restore nosuch", "there is no snapshot 'nosuch'"),
    ],
)
def test_a_mistake_is_one_line(machine, line, error):
    """It says what there is instead, and nothing has changed."""
    before = machine.vcpu.registers.save()
    with pytest.raises(UsageError) as refused:
        machine.monitor(line)
    said = str(refused.value)
    assert error.lower() in said.lower()
    assert "\n" not in said
    assert machine.vcpu.registers.save() == before


def test_every_command_can_be_found_by_its_name_and_has_help(machine):
    """The table is what `help` prints."""
    said = machine.monitor("help").splitlines()
    assert len(said) == len(COMMANDS)
    for command in COMMANDS:
        assert command.help in machine.monitor(f"help {command.name}")


@pytest.mark.parametrize(
    "line",
    ["\0\1\2", "é ü", "x/999999999999x 0", "print " + "1+" * 5000, "a" * 100_000, "help " + "b" * 5000, "//", "$"],
)
def test_garbage_is_refused(machine, line):
    """Whatever comes over a socket is a line."""
    with pytest.raises(UsageError):
        machine.monitor(line)


def test_an_empty_line_says_nothing(machine):
    """So it is with Return at a prompt."""
    assert machine.monitor("") == machine.monitor("  ") == ""


def test_registers_and_memory_are_written(machine):
    """As a user reads them back."""
    machine.monitor("snapshot here")
    machine.monitor("set x5 = main + 4")
    assert machine.vcpu.gpr(5) == machine.symbols.address("main") + 4
    machine.monitor("set VBAR_EL1 0x40080800")
    assert machine.vcpu.registers["VBAR_EL1"] == 0x4008_0800
    machine.monitor("write 0x44000000 -2")
    machine.monitor("writep 0x44000008 0x1122334455667788 8")
    assert machine.monitor("xp/2gx 0x44000000") == "0x0000000044000000: 0x00000000fffffffe 0x1122334455667788"
    machine.write(0x4400_0010, b'a "b"\n\0next\0')
    assert machine.monitor("x/2s 0x44000010") == '0x0000000044000010: "a "b"\\n"\n0x0000000044000017: "next"'
    machine.monitor("restore here")
    assert machine.read(0x4400_0000, 4) == bytes(4)


def test_x_goes_on_where_it_ended(machine):
    """As gdb's does, without an address."""
    machine.monitor("x/2xw 0x40000000")
    assert machine.monitor("x/xw").startswith("0x0000000040000008: ")
    machine.monitor("dis main 2")
    assert "<main+0x8>" in machine.monitor("x/i")


def test_snapshots_have_names_and_go_with_the_machine(machine):
    """One of a name is replaced; the list has them."""
    machine.monitor("snapshot one")
    machine.monitor("snapshot one")
    machine.monitor("snapshot two")
    said = machine.monitor("info snapshots")
    assert "one  at 2000 instructions" in said
    assert "two  at 2000 instructions" in said
    with pytest.raises(UsageError, match="did you mean two"):
        machine.monitor("restore twoo")


def test_state_is_kept_from_a_running_guest(tmp_path):
    """In a handler commands may look, but not go back."""
    path, said = tmp_path / "guest.bin", []
    path.write_bytes(image(mov(0, SYSTEM_OFF), 0xD400_0002))
    with Machine(path) as machine:

        @machine.on_hypercall(SYSTEM_OFF)
        def look(_vcpu):
            said.append(machine.monitor("info cpus"))
            with pytest.raises(StateError):
                machine.monitor("snapshot now")
            machine.monitor("quit")

        assert machine.run(timeout=10).status == 0
    assert "PC 0x40080014" in said[0]


@pytest.mark.parametrize("gic", [2, 3])
def test_an_interrupt_is_injected(tmp_path, gic):
    """It is pending then, and `info gic` says so; of a GICv2's SGIs only a CPU can send one."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(NOP, WFI))
    with Machine(path, gic=gic) as machine:
        machine.monitor("inject irq 33")
        assert "  33 SPI 1    disabled pending" in machine.monitor("info gic")
        machine.monitor("inject irq 30 0")
        assert "timer CNTP_EL0 of cpu0" in machine.monitor("info gic")
        if gic == 2:
            with pytest.raises(UsageError, match="only a CPU sends"):
                machine.monitor("inject irq 1")


def test_a_serror_is_taken(tmp_path):
    """To EL1's vector, with the syndrome that is given."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(MSR_DAIFCLR, NOP))
    with Machine(path) as machine:
        machine.run(max_instructions=1)
        machine.vcpu.registers["VBAR_EL1"] = BASE
        machine.monitor("inject serror 0x11")
        assert machine.vcpu.state.pc == BASE + 0x380
        assert machine.vcpu.registers["ESR_EL1"] == 0xBE00_0011


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x/4", []),
        ("nothing", []),
        ("tran", ["translate"]),
        ("info m", ["mtree"]),
        ("info devices pl0", ["pl011", "pl031", "pl061"]),
        ("set SCTLR", ["SCTLR_EL1"]),
        ("print $x2", ["$x2", *(f"$x{n}" for n in range(20, 30))]),
        ("translate mai", ["main"]),
        ("translate main el", ["el0", "el1"]),
        ("inject powerkey ", ["down", "up"]),
        ("nosuch ", []),
        ("quit ", []),
    ],
)
def test_completion(machine, text, words):
    """Commands, registers, symbols, devices and levels."""
    start, found = machine.monitor.complete(text)
    assert [word for word in words if word not in found] == []
    assert len(found) == len(words)
    assert text[start:] == (text.split()[-1] if not text.endswith(" ") else "")
