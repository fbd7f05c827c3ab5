"""Coverage against a hook on every instruction, and against gcov's counts of the same program (docs/coverage.md)."""

from __future__ import annotations

from collections import Counter

import pytest
from coverage_guest import BRANCHES, CALLS, HEADER_LINES, LINES, branches_of, covered_guest, heard

from armvcpu import Machine
from armvcpu.debug.coverage.coverage import Coverage
from armvcpu.debug.coverage.lines import branches_of as branches_in
from armvcpu.errors import ArmvcpuError, StateError

COMPILERS = [("clang", "-gdwarf-4"), ("clang", "-gdwarf-5"), ("gcc", "-gdwarf-4"), ("gcc", "-gdwarf-5")]
RELOCATE = """\
.globl _start
_start:
    adr x0, _start              // linked at 0x40080000, and entered there
    ldr x1, =0x48000000
    mov x2, #0x4000
1:  ldr x3, [x0, x2]
    str x3, [x1, x2]
    subs x2, x2, #8
    b.ge 1b
    adr x4, 2f
    sub x4, x4, x0
    add x4, x4, x1
    br x4
2:  ldr x1, =0x41000000
    mov sp, x1
    bl main
    ldr w0, =0x84000008         // SYSTEM_OFF
    hvc #0
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """Compiles the guest with flags, once for each of them."""
    made = {}

    def make(*flags, **options):
        key = flags, *options.items()
        if key not in made:
            made[key] = covered_guest(tmp_path_factory.mktemp("guest"), *flags, **options)
        return made[key]

    return make


def covered(image, **options) -> Coverage:
    """What a whole run executes."""
    with Machine(image, **options) as machine, machine.coverage() as coverage:
        assert machine.run(timeout=20).status == 0
    return coverage


def named(files, name):
    return next(file for path, file in files.items() if path.endswith(f"/{name}"))


@pytest.mark.parametrize(("compiler", "dwarf"), COMPILERS)
def test_lines_functions_and_branches_are_those_of_gcov(guest, compiler, dwarf):
    """Of the program without optimisation; a line that is in no loop as often as its function is called."""
    files = covered(guest("-O0", dwarf, compiler=compiler)).files()
    main, header = named(files, "main.c"), named(files, "util.h")
    assert {line: main.lines[line] for line in LINES} == LINES
    assert {line: header.lines[line] for line in HEADER_LINES} == HEADER_LINES
    calls = {name: function.calls for file in (main, header) for name, function in file.functions.items()}
    assert calls == CALLS
    assert main.functions["sum"].line == 9
    assert header.functions["clamp"].line == 1
    branches = {line: [{*main.branches[line, n]} for n in range(len(ways))] for line, ways in BRANCHES.items()}
    assert branches == BRANCHES
    assert {line for line, _ in main.branches} == BRANCHES.keys()


@pytest.mark.parametrize(("compiler", "dwarf"), COMPILERS)
def test_functions_that_are_inlined_are_counted_where_they_are(guest, compiler, dwarf):
    """With -O2: each call, wherever the function's code is; and lines that the compiler leaves."""
    files = covered(guest("-O2", dwarf, compiler=compiler)).files()
    calls = {name: function.calls for file in files.values() for name, function in file.functions.items()}
    assert calls["main"] == 1
    assert calls["sum"] == 2
    if compiler == "clang":  # GCC makes one instruction of the other, and tells of no copy
        assert calls["clamp"] == 11
    main = named(files, "main.c")
    assert (main.lines[13], main.lines[19]) == (10, 1)


@pytest.mark.parametrize(("compiler", "dwarf"), COMPILERS[1:3])
@pytest.mark.parametrize("optimised", ["-O0", "-O2", "-O3"])
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_every_instruction_and_branch_is_counted_as_a_hook_hears_it(guest, compiler, dwarf, optimised, clock):
    """Each address as often as it was executed, and each conditional branch as often as it was taken, and not."""
    with Machine(guest(optimised, dwarf, compiler=compiler), clock=clock) as machine, machine.coverage() as coverage:
        trace = heard(machine)
        assert machine.run(timeout=20).status == 0
        (program,) = coverage.programs
        assert coverage.executed(program) == Counter(trace)
        counted = coverage.tally(program.key).branches(branches_in(program))
        assert counted == branches_of(machine, trace)


@pytest.mark.parametrize("name", ["el2", "el3", "smp", "traps", "timer", "preempt"])
def test_every_instruction_of_a_guest_is_counted(name):
    """At every level, on several CPUs, with interrupts and traps: as many as the clock counts."""
    level = int(name[2:]) if name in {"el2", "el3"} else 1
    options = {"el": level, "cpus": 2 if name == "smp" else 1, "clock": "instructions"}
    with Machine(f"guests/bin/{name}.elf", **options) as machine, machine.coverage() as coverage:
        machine.run(timeout=30, max_instructions=400_000)
        (program,) = coverage.programs
        assert sum(coverage.executed(program).values()) == machine.instructions > 1000


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
def test_functions_that_are_in_another_file_are_told_of(guest, compiler):
    """Split DWARF, of version 5 and as it was before: lines and branches are there all the same."""
    coverage = covered(guest("-gdwarf-4" if compiler == "clang" else "-gdwarf-5", "-gsplit-dwarf", compiler=compiler))
    file = named(coverage.files(), "main.c")
    assert (file.functions, {line: file.lines[line] for line in LINES}) == ({}, LINES)
    (problem,) = coverage.problems
    assert "have their functions in other files (.dwo), which are not read: compile without -gsplit-dwarf" in problem


def test_the_first_access_of_a_device_is_executed_and_heard_once():
    """By the host's clock a device is shown to the guest then, and the instruction is executed again for it."""
    heard, reached = Counter(), Counter()
    with Machine("guests/bin/hello.elf", clock="host") as machine, machine.coverage() as coverage:
        first = machine.symbols.address("put_formatted") + 0x68  # LDR of UARTFR
        machine.trace_instructions(lambda pc: heard.update([pc]))
        machine.on_address(first)(lambda vcpu: reached.update([first]))
        machine.run(timeout=10)
    (program,) = coverage.programs
    executed = coverage.executed(program)
    assert executed[first] == executed[first + 4] == heard[first] == heard[first + 4] == reached[first] > 0


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
def test_a_program_that_moves_itself_has_its_lines_all_the_same(guest, compiler):
    """As U-Boot does: linked and entered at one address, copied to another and executed there."""
    files = covered(guest("-O0", "-g", compiler=compiler, start=RELOCATE)).files()
    main = named(files, "main.c")
    assert {line: main.lines[line] for line in LINES} == LINES


def test_a_raw_image_has_the_lines_of_its_symbols_file(guest, tmp_path):
    """The ELF file that it was made from, by --symbols, wherever it is loaded."""
    elf = guest("-O0", "-g", compiler="gcc")
    with Machine(elf) as machine:
        (segment,) = (each for each in machine.plan.segments if each.addr == 0x4008_0000)
    raw = tmp_path / "guest.bin"
    raw.write_bytes(segment.data + bytes(0x1000))
    coverage = covered(raw, symbols=elf, load_address=0x4400_0000)
    assert named(coverage.files(), "main.c").lines[20] == 11
    assert [program.path for program in coverage.programs] == [str(raw), str(elf)]


def test_runs_and_machines_are_added(guest):
    """Here and in another process."""
    image = guest("-O0", "-g")
    both = covered(image)
    both.add(covered(image))
    both.unpack(covered(image).pack())
    elsewhere = Coverage()
    elsewhere.unpack(both.pack())
    for coverage in (both, elsewhere):
        main = named(coverage.files(), "main.c")
        assert {line: main.lines[line] for line in LINES} == {line: 3 * count for line, count in LINES.items()}
        assert main.functions["sum"].calls == 6
        assert {*main.branches[26, 0]} == {3, 0}


def test_what_is_executed_again_after_a_restore_is_counted_again(guest):
    """From the snapshot on; and nothing that comes before the block, or after it."""
    with Machine(guest("-O0", "-g")) as machine:
        machine.run(max_instructions=3)
        snapshot = machine.snapshot()
        machine.run(timeout=20)
        with machine.coverage() as coverage:
            for _ in range(3):
                machine.restore(snapshot)
                machine.run(timeout=20)
        machine.restore(snapshot)
        machine.run(timeout=20)
    main = named(coverage.files(), "main.c")
    assert {line: main.lines[line] for line in LINES} == {line: 3 * count for line, count in LINES.items()}


def test_coverages_in_each_other_count_what_they_enclose(guest):
    """Each from its own beginning, while the other goes on; asked in between, it is up to date."""
    with Machine(guest("-O0", "-g")) as machine, machine.coverage() as outer:
        snapshot = machine.snapshot()
        machine.run(timeout=20)
        assert named(outer.files(), "main.c").lines[13] == 10
        machine.restore(snapshot)
        with machine.coverage() as inner:
            machine.run(timeout=20)
    assert named(outer.files(), "main.c").lines[13] == 20
    assert named(inner.files(), "main.c").lines[13] == 10


def test_coverage_can_be_asked_for_after_its_machine(guest):
    """One that is closed within the block."""
    machine = Machine(guest("-O0", "-g"))
    with machine.coverage() as coverage:
        machine.run(timeout=20)
        machine.close()
    assert named(coverage.files(), "main.c").lines[13] == 10


def test_coverage_does_not_begin_while_the_guest_runs(guest):
    """In a handler, say."""
    with Machine(guest("-O0", "-g")) as machine:

        @machine.on_symbol("sum")
        def called(_vcpu):
            with pytest.raises(StateError, match="can't begin or end"), machine.coverage():
                pass

        assert machine.run(timeout=20).status == 0


def test_another_elf_file_is_told_of_too(guest):
    """One that the guest loads itself; what of it is not executed is not covered."""
    image, other = guest("-O0", "-g"), guest("-O2", "-g")
    with Machine(image) as machine, machine.coverage(other) as coverage:
        machine.run(timeout=20)
    assert [program.path for program in coverage.programs] == [str(image), str(other)]
    with Machine(image) as machine, pytest.raises(ArmvcpuError, match="no such file"), machine.coverage("nothing.elf"):
        pass
