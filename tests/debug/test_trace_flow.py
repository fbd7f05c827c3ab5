"""Traces of where execution goes: calls, branches, levels, requests of devices."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from c_guest import build
from command import armvcpu

from armvcpu import Machine
from armvcpu.debug.tracing.flow import holds, kind_of, target_of
from armvcpu.debug.tracing.formats import writer_for
from armvcpu.testing.firmware import store

HELLO, GIC, SMP = "guests/bin/hello.elf", "guests/bin/gic.elf", "guests/bin/smp.elf"
CALLED = """
struct point { int x, y; };
enum colour { RED, GREEN };
static int depth(int n) { return n ? 1 + depth(n - 1) : 0; }
__attribute__((noinline)) int add(int a, unsigned char b) { return a + b; }
__attribute__((noinline)) int paint(const char *name, enum colour c, struct point *p) { return p->x + c + name[0]; }
__attribute__((noinline)) void nothing(void) { __asm__ volatile(""); }
int main(void)
{
    struct point p = {3, 4};
    nothing();
    return add(-1, 255) + paint("door", GREEN, &p) + depth(2);
}
"""


def traced(image, kinds: str, *filters: str, **options) -> list[dict]:
    """The events of a run, as JSON lines have them."""
    lines: list[str] = []
    with Machine(image, **options) as machine:
        trace = machine.trace(kinds.split(","), writer_for("x.jsonl", lines.append), filters)
        machine.run(timeout=20)
        trace.close()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5"])
def called(request, tmp_path_factory):
    """A guest that calls functions with arguments of some types."""
    return build(tmp_path_factory.mktemp("called"), CALLED, request.param, "-O0")


# --- calls


def words_of(events: list[dict]) -> list[str]:
    """Without addresses that a compiler chooses."""
    return [re.sub(r"0x[0-9a-f]+", "0x", event["words"]) for event in events]


def test_calls_have_arguments_and_results_by_their_types(called):
    """Signed, enumerated, text; indented by depth."""
    words = words_of(traced(called, "call"))
    assert words[0] == "main()"
    for line in ("  nothing()", "  nothing = None", "  add(a=-1, b=255)", "  add = 254"):
        assert line in words
    assert any(line.startswith('  paint(name=0x "door", c=GREEN, p=0x') for line in words)
    assert "  depth(n=2)" in words
    assert "      depth(n=0)" in words
    assert words.index("      depth = 0") < words.index("    depth = 1") < words.index("  depth = 2")


def test_each_call_has_its_return(called):
    """At the same depth, in the order of a stack."""
    open_calls: list[tuple[str, int]] = []
    for event in traced(called, "call"):
        call = event["symbol"], event["keys"]["depth"]
        if event["what"] == "call":
            assert event["keys"]["depth"] == len(open_calls)
            open_calls.append(call)
        else:
            assert open_calls.pop() == call
    assert open_calls == []


JUMPS = r"""
long place[4];
int save(long *); void jump(long *, int);
__asm__("save: stp x29, x30, [x0]; mov x1, sp; str x1, [x0, #16]; mov w0, #0; ret");
__asm__("jump: ldp x29, x30, [x0]; ldr x2, [x0, #16]; mov sp, x2; mov w0, w1; ret");
__attribute__((noinline)) void leaf(int n) { __asm__ volatile("" :: "r"(n)); }
__attribute__((noinline)) void deep(int n) { if (!n) jump(place, 1); deep(n - 1); leaf(-1); }
__attribute__((noinline)) void rounds(void)
{
    for (volatile int n = 0; n < 2; n++)
        if (!save(place))
            deep(2);
    leaf(1);
    __asm__ volatile("");
}
int main(void) { rounds(); leaf(2); return 0; }
"""


def test_what_has_been_left_by_a_jump_is_no_depth(tmp_path):
    """longjmp: who jumps has no return, and those that are called next are as deep as they are."""
    words = [event["words"] for event in traced(build(tmp_path, JUMPS, "-g", "-O1"), "call")]
    found = [re.sub(r"0x[0-9a-f]+.*", "", line) for line in words if "save" not in line]
    jumped = ["    deep(n=2)", "      deep(n=1)", "        deep(n=0)", "          jump("]
    ends = ["    leaf(n=1)", "    leaf = None", "  rounds = None", "  leaf(n=2)", "  leaf = None", "main = 0"]
    assert found == ["main()", "  rounds()", *jumped, *jumped, *ends]


def test_functions_of_a_filter_are_heard_with_their_returns(called):
    """The same as among all calls, but for the depth."""
    some = traced(called, "call", "symbol=add,depth")
    every = [event for event in traced(called, "call") if event["symbol"] in {"add", "depth"}]
    assert [(event["what"], event["words"].strip()) for event in some] == [
        (event["what"], event["words"].strip()) for event in every
    ]


def test_calls_without_types_show_registers():
    """X0 to X3, and the symbol."""
    first = traced(HELLO, "call", "first=1")[0]
    assert first["words"].startswith(f"{first['symbol']}({first['keys']['x0']}, ")


def test_calls_of_tasks_are_kept_apart():
    """A scheduler switches stacks: returns still find their calls."""
    events = traced("guests/bin/preempt.elf", "call", clock="instructions")
    assert {event["what"] for event in events} == {"call", "return"}
    assert max(event["keys"]["depth"] for event in events) < 20


# --- branches


def test_branches_lead_to_where_the_guest_goes_on():
    """Of all instructions of a run: each that another than the next one follows is a branch, and each branch is one."""
    lines: list[str] = []
    instructions: list[str] = []
    with Machine(HELLO, clock="instructions") as machine:
        branches = machine.trace({"branch"}, writer_for("x.jsonl", lines.append))
        every = machine.trace({"insn"}, writer_for("x.jsonl", instructions.append))
        machine.run(timeout=20)
        branches.close()
        every.close()
    pcs = [int(json.loads(line)["pc"], 16) for line in instructions]
    jumps = [(pc, following) for pc, following in pairwise(pcs) if following != pc + 4]
    events = [json.loads(line) for line in lines]
    taken = [(int(event["pc"], 16), int(event["keys"]["target"], 16)) for event in events]
    assert [each for each in taken if each[1] != each[0] + 4] == jumps
    assert {event["what"] for event in events} == {"call", "return", "jump", "conditional"}


class Registers:
    """x1 = 0x1_0000_0000, x2 = 5, the flags."""

    pstate = 0b0110 << 28

    def gpr(self, number: int) -> int:
        return {1: 1 << 32, 2: 5}.get(number, 0)


@pytest.mark.parametrize(
    ("word", "kind", "target"),
    [
        (0x1400_0002, "jump", 0x1008),  # b +8
        (0x17FF_FFFF, "jump", 0xFFC),  # b -4
        (0x9400_0001, "call", 0x1004),  # bl +4
        (0xD61F_0040, "jump", 5),  # br x2
        (0xD63F_0040, "call", 5),  # blr x2
        (0xD65F_03C0, "return", 0),  # ret
        (0x5400_0040, "conditional", 0x1008),  # b.eq +8
        (0x5400_0041, "conditional", None),  # b.ne +8
        (0x5400_004E, "conditional", 0x1008),  # b.al +8
        (0x3400_0041, "conditional", 0x1008),  # cbz w1, +8
        (0xB400_0041, "conditional", None),  # cbz x1, +8
        (0xB500_0041, "conditional", 0x1008),  # cbnz x1, +8
        (0x3610_0042, "conditional", None),  # tbz w2, #2, +8
        (0x3710_0042, "conditional", 0x1008),  # tbnz w2, #2, +8
        (0xB700_0041, "conditional", 0x1008),  # tbnz x1, #32, +8
    ],
)
def test_every_branch_is_understood(word, kind, target):
    """DDI 0487 C4.1.65 and C6.2: where it leads, or that it is not taken."""
    assert kind_of(word) == kind
    assert target_of(0x1000, word, Registers()) == target


def test_conditions_hold_as_the_manual_says():
    """DDI 0487 C1.2.4: each code and its opposite, for all flags; AL and NV always hold."""
    names = {
        0: lambda n, z, c, v: z, 1: lambda n, z, c, v: c, 2: lambda n, z, c, v: n, 3: lambda n, z, c, v: v,
        4: lambda n, z, c, v: c and not z, 5: lambda n, z, c, v: n == v, 6: lambda n, z, c, v: n == v and not z,
    }  # fmt: skip
    for flags in range(16):
        bits = [bool(flags >> bit & 1) for bit in (3, 2, 1, 0)]
        for code, condition in names.items():
            assert holds(2 * code, flags) == bool(condition(*bits))
            assert holds(2 * code + 1, flags) != bool(condition(*bits))
        assert holds(14, flags)
        assert holds(15, flags)


# --- levels and requests


def test_interrupts_and_returns_are_changes_of_the_level():
    """Each interrupt that is taken has its ERET; here both are at EL1."""
    events = traced(GIC, "level,irq")
    assert [event["what"] for event in events[:4]] == ["irq", "acknowledge", "end", "eret"]
    assert events[0]["keys"] == {"from": "EL1", "to": "EL1"}
    assert events[0]["symbol"] == "vectors+0x280"


def test_levels_of_a_guest_at_el2():
    """It goes down to EL1 by ERET, and exceptions lead up."""
    events = traced("guests/bin/el2.elf", "level,exception", el=2)
    returns = [event["keys"] for event in events if event["what"] == "eret"]
    assert {"from": "EL2", "to": "EL1"} in returns


@pytest.mark.firmware
def test_requests_of_a_disk_are_traced(tmp_path):
    """U-Boot reads a block: each chain is used once it is available, and `written` says how many bytes came."""
    store.fetch("u-boot")
    disk, trace = tmp_path / "disk", tmp_path / "t.jsonl"
    disk.write_bytes(b"armvcpu!" * 128)
    script = "\n\nvirtio scan\nvirtio read 40200000 0 2\npoweroff\n"
    firmware = ("--firmware", store.path("u-boot"), "--disk", disk)
    done = armvcpu("run", *firmware, "--trace", f"request:{trace}", "--timeout", 50, input=script)
    assert done.returncode == 0
    waiting: set[tuple] = set()
    written: list[int] = []
    for line in trace.read_text().splitlines():
        event = json.loads(line)
        keys = event["keys"]
        request = keys["device"], keys["queue"], keys["head"]
        if event["what"] == "available":
            assert request not in waiting
            waiting.add(request)
        else:
            waiting.remove(request)
            written.append(keys["written"])
    assert not waiting
    assert 1024 + 1 in written


# --- what it does to the guest


@pytest.mark.parametrize(
    ("kinds", "guest"), [("call", "preempt"), ("branch", "gic"), ("level,exception,irq,request", "preempt")]
)
def test_it_changes_nothing_of_a_run_that_repeats(tmp_path, kinds, guest):
    """Instructions, output and status are those without it."""
    words = ("run", f"guests/bin/{guest}.elf", "--clock", "instructions", "--json")
    plain = armvcpu(*words)
    assert armvcpu(*words, "--trace", f"{kinds}:{tmp_path}/t").stdout == plain.stdout


def test_a_closed_trace_hears_of_no_branch():
    """The machine goes on without it."""
    lines: list[str] = []
    with Machine(HELLO) as machine:
        for kind in ("call", "branch", "level", "request"):
            machine.trace({kind}, writer_for(None, lines.append)).close()
        machine.run(timeout=10)
    assert lines == []
