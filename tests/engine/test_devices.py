"""Devices: what a callback sees and changes, and where the guest goes on (DDI 0487 B2.2.1, C6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.controls import SCTLR_EL1
from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import (
    ADD_X0_1,
    CODE,
    DATA,
    LDR_X3_X2,
    NOP,
    PAGE,
    UNMASK_IRQ,
    VECTORS,
    branch,
    hvc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.engine.selftest_bench import Bench

DEVICE = 0x0900_0000
PATTERN = bytes(range(0x80, 0x100)) * 64
LDRSB_X3, LDRSH_W3, LDRSW_X3 = 0x3980_0043, 0x79C0_0043, 0xB980_0043  # each of [x2]
LDP_X3_X4, LDP_W3_W4, LDPSW, STP_X3_X4 = 0xA940_1043, 0x2940_1043, 0x6940_1043, 0xA900_1043  # [x2]
LDR_POST, STR_POST, STR_X3, STRB_W3 = 0xF840_8443, 0xF800_8443, 0xF900_0043, 0x3900_0043  # [x2], #8; [x2]
LD4_16B, DC_ZVA_X2, LDR_Q0 = 0x4C40_0040, 0xD50B_7422, 0x3DC0_0040
ADD_X9_X5, ADD_X9_X3 = 0x8B05_0129, 0x8B03_0129  # add x9, x9, x5; add x9, x9, x3


class Device:
    """Two pages of a pattern. It notes each access, and calls `on_access` in each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.accesses: list[tuple[object, ...]] = []
        self.on_access: Callable[[], None] = lambda: None
        for page in (0, 1):
            bench.engine.memory.map_io(
                DEVICE + page * PAGE, PAGE, lambda *a, page=page: self.read(page * PAGE, *a),
                lambda *a, page=page: self.write(page * PAGE, *a),
            )  # fmt: skip

    def read(self, page: int, offset: int, width: int) -> int:
        self.accesses.append((page + offset, width))
        self.on_access()
        return int.from_bytes(PATTERN[page + offset : page + offset + width], "little")

    def write(self, page: int, offset: int, width: int, value: int) -> None:
        self.accesses.append((page + offset, width, value))
        self.on_access()

    def change_x5(self) -> None:
        """Looks, and counts in X5."""
        assert self.bench.engine.look()
        self.bench.set_gpr(5, self.bench.gpr(5) + 1)


@pytest.fixture
def device(bench: Bench) -> Iterator[Device]:
    device = Device(bench)
    yield device
    for page in (0, 1):
        bench.engine.memory.unmap(DEVICE + page * PAGE, PAGE)


def run(bench: Bench, *words: int, x2: int = DEVICE, **x: int) -> None:
    """The words, with X2 at the device and X9 = 0, up to a HVC."""
    bench.start(*words, hvc(0))
    bench.set_gpr(2, x2)
    for name, value in x.items():
        bench.set_gpr(int(name[1:]), value)
    assert bench.run_to_trap().pc == CODE + 4 * len(words) + 4


LOADS = [
    pytest.param(word, widths, x3, x4, id=name)
    for name, word, widths, x3, x4 in (
        ("ldrsb x3", LDRSB_X3, [1], -0x80 % (1 << 64), None),
        ("ldrsh w3", LDRSH_W3, [2], 0xFFFF_8180, None),
        ("ldrsw x3", LDRSW_X3, [4], 0xFFFF_FFFF_8382_8180, None),
        ("ldr x3", LDR_X3_X2, [8], 0x8786_8584_8382_8180, None),
        ("ldp x3, x4", LDP_X3_X4, [8, 8], 0x8786_8584_8382_8180, 0x8F8E_8D8C_8B8A_8988),
        ("ldp w3, w4", LDP_W3_W4, [4, 4], 0x8382_8180, 0x8786_8584),
        ("ldpsw x3, x4", LDPSW, [4, 4], 0xFFFF_FFFF_8382_8180, 0xFFFF_FFFF_8786_8584),
        ("ldr x3, post-index", LDR_POST, [8], 0x8786_8584_8382_8180, None),
    )
]


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize(("word", "widths", "x3", "x4"), LOADS)
def test_a_load_has_its_result_whatever_the_callback_changes(bench, device, changes, word, widths, x3, x4):
    """Each access comes once, and what the callback wrote is what the next instruction sees."""
    if changes:
        device.on_access = device.change_x5
    run(bench, NOP, word, ADD_X9_X5)
    assert [width for _, width in device.accesses] == widths
    assert (bench.gpr(3), bench.gpr(5), bench.gpr(9)) == (x3, *[len(widths) * changes] * 2)
    assert x4 in {None, bench.gpr(4)}
    assert bench.gpr(2) == DEVICE + 8 * (word == LDR_POST)


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize(
    ("word", "accesses"),
    [
        (STR_X3, [(0, 8, 0x1122_3344_5566_7788)]),
        (STRB_W3, [(0, 1, 0x88)]),
        (STP_X3_X4, [(0, 8, 0x1122_3344_5566_7788), (8, 8, 4)]),
        (STR_POST, [(0, 8, 0x1122_3344_5566_7788)]),
        (DC_ZVA_X2, [(offset, 1, 0) for offset in (0, 0, *range(64))]),  # the engine tries the first byte twice
    ],
    ids=["str", "strb", "stp", "str, post-index", "dc zva"],
)
def test_a_store_comes_once_whatever_the_callback_changes(bench, device, changes, word, accesses):
    """Also where it is several accesses; what the callback wrote is what the next instruction sees."""
    if changes:
        device.on_access = device.change_x5
    run(bench, NOP, word, ADD_X9_X5, x3=0x1122_3344_5566_7788, x4=4)
    assert device.accesses == accesses
    assert (bench.gpr(5), bench.gpr(9)) == (len(accesses) * changes,) * 2
    assert bench.gpr(2) == DEVICE + 8 * (word == STR_POST)


def test_registers_of_the_instruction_are_its_own(bench, device):
    """A callback's write to what is loaded is overwritten, and one to what is stored comes too late."""

    def change() -> None:
        bench.engine.look()
        bench.set_gpr(3, 0x77)

    device.on_access = change
    run(bench, LDR_X3_X2)
    assert (bench.gpr(3), len(device.accesses)) == (0x8786_8584_8382_8180, 1)
    run(bench, STR_X3, x3=5)
    assert (bench.gpr(3), device.accesses[1:]) == (0x77, [(0, 8, 5)])


def test_vectors_of_a_device_come_element_by_element(bench, device):
    """LD4 of bytes is 64 accesses (C7.2.181), all of which may change registers."""
    device.on_access = device.change_x5
    bench.engine.registers.present([0] * 6)
    bench.start(LD4_16B, 0x6F00_E400, hvc(0))
    bench.write("CPACR_EL1", 3 << 20)
    bench.set_gpr(2, DEVICE)
    bench.run_to_trap()
    assert (bench.gpr(5), sum(width for _, width in device.accesses)) == (64, 64)


@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("offset", [1, PAGE - 5, PAGE - 1])
@pytest.mark.parametrize("word", [LDR_X3_X2, STR_X3], ids=["ldr", "str"])
def test_unaligned_accesses_end_also_across_two_pages(bench, device, changes, offset, word):
    """B2.6.2: to Device memory they are not supported; here they are several, and each comes once."""
    if changes:
        device.on_access = device.change_x5
    run(bench, word, ADD_X9_X5, x2=DEVICE + offset, x3=0x1122_3344_5566_7788)
    if word == LDR_X3_X2:
        assert bench.gpr(3) == int.from_bytes(PATTERN[offset : offset + 8], "little")
        assert [at for at, _ in device.accesses] == [offset & ~7, (offset & ~7) + 8]
    else:
        stored = 0x1122_3344_5566_7788.to_bytes(8, "little")
        assert device.accesses == [(offset + n, 1, byte) for n, byte in enumerate(stored)]
    assert bench.gpr(9) == len(device.accesses) * changes


def test_hooks_on_memory_hear_of_what_comes_after_an_unaligned_access_that_was_left(bench, device):
    """Of its parts they don't hear."""
    heard = []
    bench.engine.listen.on_memory(lambda *access: heard.append(access))
    device.on_access = device.change_x5
    run(bench, LDR_X3_X2, 0xF940_0026, x2=DEVICE + 1, x1=DATA)  # ldr x6, [x1]
    assert heard[-1] == (True, DATA, 8, None)


@pytest.mark.parametrize(("word", "swapped"), [(LDR_X3_X2, 8), (0xB940_0043, 4), (0x7940_0043, 2), (0x3940_0043, 1)])
def test_loads_of_a_big_endian_guest_are_swapped(bench, device, word, swapped):
    """SCTLR_EL1.EE (D17.2.118): the value of a device is little-endian."""
    device.on_access = device.change_x5
    bench.start(NOP, word, hvc(0))
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | SCTLR_EL1.EE.mask)
    bench.engine.registers.write_pstate(bench.engine.state.pstate)
    bench.set_gpr(2, DEVICE)
    bench.run_to_trap()
    assert bench.gpr(3) == int.from_bytes(PATTERN[:swapped], "big")


def test_stores_of_a_big_endian_guest_are_swapped(bench, device):
    """Likewise."""
    bench.start(STR_X3, 0xB900_0043, hvc(0))  # str w3, [x2]
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | SCTLR_EL1.EE.mask)
    bench.engine.registers.write_pstate(bench.engine.state.pstate)
    bench.set_gpr(2, DEVICE)
    bench.set_gpr(3, 0x1122_3344_5566_7788)
    bench.run_to_trap()
    assert device.accesses == [(0, 8, 0x8877_6655_4433_2211), (0, 4, 0x8877_6655)]


def test_pc_set_in_a_callback_is_where_the_guest_goes_on(bench, device):
    """At once: the load has no result, and the instructions between are not executed."""

    def skip() -> None:
        bench.engine.look()
        assert bench.engine.state.pc == CODE + 4
        bench.engine.state.set_pc(CODE + 12)

    device.on_access = skip
    run(bench, NOP, LDR_X3_X2, ADD_X0_1, NOP, x3=1)
    assert (bench.gpr(3), bench.gpr(0), len(device.accesses)) == (1, 0, 1)


def test_pc_is_exact_in_each_access_of_a_block(bench, device):
    """And counts are, where the callback looks."""
    seen: list[tuple[int, int]] = []

    def look() -> None:
        bench.engine.look()
        seen.append((bench.engine.state.pc - CODE, bench.engine.instructions))

    device.on_access = look
    bench.engine.count_instructions()
    run(bench, NOP, LDR_X3_X2, NOP, STR_X3, LDP_X3_X4)
    first = seen[0][1] - 1
    assert seen == [(4 * n, first + n) for n in (1, 3, 4, 4)]


def test_state_can_be_looked_at_only_in_a_callback(bench, device):
    """After an access, in another handler, there is none under way; also after one that was answered twice."""
    device.on_access = device.change_x5
    looked: list[tuple[bool, int]] = []
    bench.engine.listen.probe(CODE + 8, lambda _pc: looked.append((bench.engine.look(), bench.engine.state.pc)))
    run(bench, NOP, LDR_X3_X2, NOP)
    assert (looked, bench.engine.look()) == ([(False, CODE + 8)], False)


def test_a_hook_on_the_instruction_is_called_once(bench, device):
    """Although it is executed again after a callback that has changed a register."""
    reached: list[int] = []
    device.on_access = device.change_x5
    for at in range(CODE, CODE + 16, 4):
        bench.engine.listen.probe(at, reached.append)
    run(bench, NOP, LDP_X3_X4, NOP)
    assert reached == [CODE, CODE + 4, CODE + 8, CODE + 12]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_steps_and_limits_count_an_access_that_changes_registers_as_one(bench, device, limit):
    """The instruction is complete when the run ends."""
    device.on_access = device.change_x5
    bench.start(LDP_X3_X4, LDR_POST, STR_X3, branch(-3))
    bench.set_gpr(2, DEVICE)
    bench.engine.count_instructions()
    begin = bench.engine.instructions
    for n in range(1, 7):
        end = bench.run(limit) if limit > 1 else bench.engine.step()
        assert end in {None, RunEnd.LIMIT}
        assert bench.engine.instructions - begin == n * limit
        assert bench.engine.state.pc == CODE + n * limit % 4 * 4


def test_a_callback_that_leaves_and_changes_a_register_has_its_access_done(bench, device):
    """The run ends behind the instruction, which is not repeated by the next run or after a switch."""

    def leave() -> None:
        device.change_x5()
        bench.engine.leave()

    device.on_access = leave
    bench.start(NOP, LDP_X3_X4, NOP, hvc(0))
    bench.set_gpr(2, DEVICE)
    state = bench.engine.state
    assert (bench.run(), state.pc, len(device.accesses)) == (RunEnd.LEFT, CODE + 8, 2)
    bench.engine.load(bench.engine.new_state())
    bench.engine.load(state)
    assert (bench.run_to_trap().pc, len(device.accesses), bench.gpr(3)) == (CODE + 16, 2, 0x8786_8584_8382_8180)


def test_an_irq_raised_in_a_callback_is_taken_behind_the_access(bench, device):
    """Not between the access and its instruction's end, where the handler's own accesses would come."""

    def interrupt() -> None:
        device.change_x5()
        if len(device.accesses) == 1:
            bench.engine.set_lines(irq=True, fiq=False)

    device.on_access = interrupt
    bench.start(UNMASK_IRQ, LDR_POST, NOP, branch(0))
    bench.put(VECTORS + 0x280, STR_X3, hvc(0))
    bench.set_gpr(2, DEVICE)
    bench.run_to_trap()
    bench.engine.set_lines(irq=False, fiq=False)
    assert device.accesses == [(0, 8), (8, 8, 0x8786_8584_8382_8180)]
    assert bench.read("ELR_EL1") - CODE in {8, 12}


def test_a_loop_over_a_device_has_each_value_once(bench, device):
    """Answers that were kept are not given again: a FIFO that is read at one address, by a callback that counts."""
    values = iter(range(100))
    bench.engine.memory.map_io(
        DEVICE + 2 * PAGE, PAGE, lambda *_: (device.change_x5(), next(values))[1], lambda *_: None
    )
    bench.start(LDR_X3_X2, ADD_X9_X3, 0xF100_0400, 0x54FF_FFA1, hvc(0))  # subs x0, x0, #1; b.ne .-12
    bench.set_gpr(0, 20)
    bench.set_gpr(2, DEVICE + 2 * PAGE)
    bench.run_to_trap()
    assert (bench.gpr(9), bench.gpr(5)) == (sum(range(20)), 20)


@pytest.mark.parametrize(
    ("word", "offsets"), [(LDR_X3_X2, [0]), (STR_X3, [0]), (LDP_X3_X4, [0, 8]), (STP_X3_X4, [0, 8])]
)
def test_an_access_that_is_watched_is_told_of_once_whatever_its_callback_changes(bench, device, word, offsets):
    """The instruction is executed again with the device's answers, and in a loop it is another one each time."""
    told = []
    bench.engine.listen.watch(DEVICE, 64, lambda at, *_: told.append(at - DEVICE), reads=True, writes=True)
    device.on_access = device.change_x5
    bench.start(word, 0xD100_0400, 0xB5FF_FFC0, hvc(0))  # sub x0, x0, #1; cbnz x0, . - 8
    bench.set_gpr(2, DEVICE)
    bench.set_gpr(0, 3)
    bench.run_to_trap()
    assert (told, len(device.accesses)) == (offsets * 3, 3 * len(offsets))
