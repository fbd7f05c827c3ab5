"""A user's own Unicorn in the same process goes on as it was, and several engines of ours don't disturb each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import unicorn

from armvcpu.arch.registers import by_name, instruction_from_access
from armvcpu.engine.api import PYTHON, RegisterRows
from armvcpu.engine.selftest_bench import ADD_X0_1, LDR_X3_X2, PAGE, Bench, branch, hvc, svc
from armvcpu.engine.unicorn_engine import UnicornEngine

SCRIPT = Path(__file__).with_name("plain_unicorn.py")
LIBRARY = Path(unicorn.__file__).parent / "lib/libunicorn.so.2"
ICC_IAR1, DEVICE = by_name["ICC_IAR1_EL1"].encoding, 0x0900_0000
ADD_X4_X3, SUBS_X5_1, B_NE_7_BACK = 0x8B03_0084, 0xF100_04A5, 0x54FF_FF21


def plain(order: str, **environment: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), order], env=os.environ | environment, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_users_engines_do_the_same_before_and_after_ours_is_loaded():
    """Waits, FP, accesses, hooks, counts, stops from hooks, contexts; of AArch64 and of another architecture."""
    assert plain("with") == plain("without")


@pytest.mark.parametrize("as_file", [False, True])
def test_the_library_may_be_another_copy(tmp_path, as_file):
    """LIBUNICORN_PATH is a directory, or a file, which the user's binding does not take: two copies are loaded then."""
    copy = Path(shutil.copy(LIBRARY, tmp_path))
    assert plain("with", LIBUNICORN_PATH=str(copy if as_file else tmp_path)) == plain("without")


def work(number: int, rounds: int) -> tuple[int, ...]:
    """On an engine of one's own: supervisor calls, a row and a device, each answered in Python."""
    engine = UnicornEngine()
    bench, calls = Bench(engine), list[int]()
    rows = RegisterRows()
    rows.reads[ICC_IAR1] = lambda: number
    rows.writes[ICC_IAR1] = calls.append
    rows.shape = ((ICC_IAR1, (PYTHON, PYTHON, 0)),)
    engine.registers.use(rows)
    engine.memory.map_io(DEVICE, PAGE, lambda *_: number, lambda *_: None)
    bench.start(
        instruction_from_access(ICC_IAR1, 1, is_read=True), instruction_from_access(ICC_IAR1, 1, is_read=False),
        LDR_X3_X2, ADD_X4_X3, svc(number), ADD_X0_1, SUBS_X5_1, B_NE_7_BACK, hvc(0),
    )  # fmt: skip
    bench.set_gpr(2, DEVICE)
    bench.set_gpr(5, rounds)
    supervisor: list[int] = []

    def trap(seen):
        if seen.esr >> 26 == 0x16:
            engine.leave()
        else:
            supervisor.append(seen.esr & 0xFFFF)

    bench.on_trap = trap
    engine.run()
    result = (bench.gpr(0), bench.gpr(1), bench.gpr(4), sum(calls), len(calls), sum(supervisor), len(supervisor))
    engine.close()
    return result


def test_engines_in_several_threads_have_their_own_callbacks():
    """Rows, devices and traps, again and again on new engines at addresses that come again."""
    wanted = {n: (50, n, 50 * n, 50 * n, 50, 50 * n, 50) for n in range(1, 9)}
    failures: list[object] = []

    def several(number: int) -> None:
        for _ in range(5):
            result = work(number, 50)
            if result != wanted[number]:
                failures.append((number, result))

    threads = [threading.Thread(target=several, args=(n,)) for n in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_engines_come_and_go_beside_a_users():
    """The user's may lie where ours has been, and the other way round."""
    for n in range(1, 12):
        assert work(n, 3) == (3, n, 3 * n, 3 * n, 3, 3 * n, 3)
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        uc.mem_map(0x1000, PAGE)
        uc.mem_write(0x1000, b"".join(word.to_bytes(4, "little") for word in (0xD503_205F, ADD_X0_1, ADD_X0_1)))
        uc.emu_start(0x1000, 0x100C)
        assert uc.reg_read(unicorn.arm64_const.UC_ARM64_REG_X0) == 2
        del uc


def test_an_engine_in_a_callback_of_another():
    """A handler may run another engine to its end."""
    outer, inner = Bench(UnicornEngine()), Bench(UnicornEngine())
    outer.start(ADD_X0_1, svc(1), ADD_X0_1, hvc(0))
    inner.start(ADD_X0_1, ADD_X0_1, hvc(0), branch(-3))

    def trap(seen):
        if seen.esr >> 26 == 0x16:
            outer.engine.leave()
        else:
            inner.run_to_trap()

    outer.on_trap = trap
    outer.engine.run()
    assert (outer.gpr(0), inner.gpr(0)) == (2, 2)
    outer.engine.close()
    inner.engine.close()
