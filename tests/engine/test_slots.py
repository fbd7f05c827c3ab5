"""The table of what the native part answers in Unicorn's place, and how it refuses a library that is another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from armvcpu.engine import native
from armvcpu.engine.unicorn_engine import UnicornEngine

ANSWERED = {  # by the tests that fail without it
    "arm_cpu_do_interrupt_aarch64": "test_entry.py",
    "get_arm_cp_reginfo_aarch64": "test_register_rows.py",
    "fp_exception_el_aarch64": "test_fp_trap.py",
    "translator_loop_temp_check_aarch64": "test_cuts.py",
    "cpu_watchpoint_address_matches_aarch64": "test_watches.py",
    "cpu_check_watchpoint_aarch64": "test_watches.py",
    "get_phys_addr_aarch64": "test_address_size.py",
    "tlb_set_page_with_attrs_aarch64": "test_memory_ranges.py",
    "tcg_gen_callN_aarch64": "test_counts.py",
    "tcg_gen_exit_tb_aarch64": "test_counts.py",
    "tcg_gen_brcondi_i32_aarch64": "test_records.py",
    "tcg_gen_brcondi_i64_aarch64": "test_records.py",
    "check_exit_request_aarch64": "test_runs.py",
    "gen_intermediate_code_aarch64": "test_counts.py",
    "cpu_exec_aarch64": "test_lines.py",
    "cpu_ldl_code_aarch64": "test_unallocated_words.py",
    "abort": "test_unallocated_words.py",
    "fprintf": "test_unallocated_words.py",
    "printf": "test_unallocated_words.py",
    "tlb_flush_aarch64": "test_flushes.py",
    "tlb_flush_by_mmuidx_aarch64": "test_flushes.py",
    "tlb_reset_dirty_by_vaddr_aarch64": "test_code.py",
    "tb_invalidate_phys_page_fast_aarch64": "test_dirty_pages.py",
    "tlb_set_dirty_aarch64": "test_dirty_pages.py",
    "pmu_op_start_aarch64": "test_monitors.py",
    "pmu_op_finish_aarch64": "test_monitors.py",
    "memory_region_dispatch_read_aarch64": "test_devices.py",
    "memory_region_dispatch_write_aarch64": "test_devices.py",
    "tcg_gen_atomic_fetch_smin_i64_aarch64": "test_atomics.py",
    "tcg_gen_atomic_fetch_smax_i64_aarch64": "test_atomics.py",
}
BIND = """
import ctypes, sys
from armvcpu.engine.shim_library import load
functions = load().quick
functions.shim_bind.restype, functions.shim_bind.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)
print(functions.shim_bind(ctypes.CDLL(sys.argv[1])._handle).decode())
"""


def test_each_function_that_is_answered_has_tests():
    """A new one comes with its own; and each row says what it is for."""
    symbols = native.shim().symbols()
    assert {symbol.name for symbol in symbols if symbol.is_answered} == set(ANSWERED)
    assert all((Path(__file__).parent / name).exists() for name in ANSWERED.values())
    assert len({symbol.name for symbol in symbols}) == len(symbols)
    assert [symbol.name for symbol in symbols if not symbol.purpose] == []


@pytest.mark.parametrize(
    ("library", "problem"), [("libc.so.6", "it does not export"), ("libm.so.6", "it does not export")]
)
def test_another_library_is_refused_in_a_few_words(library, problem):
    """Nothing is written there, and the process goes on."""
    done = subprocess.run([sys.executable, "-c", BIND, library], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(problem)


def test_what_is_shared_lies_as_both_sides_say():
    """The count of entries is the last word before those of faults; all but a few begin as 0."""
    engine = UnicornEngine()
    words = list(engine._shared)
    engine.close()
    faults = native.FAULTS - native.STORM + native.KEPT_FAULTS * native.FAULT_WORDS
    assert len(words) == native.SHARED_WORDS == native.ENTRIES + 1 + faults
    begins = {native.COUNTDOWN, native.STOP_AT, native.HIGHEST}
    assert {word for index, word in enumerate(words) if index not in begins} == {0}
    assert words[native.COUNTDOWN] == words[native.STOP_AT] == native.NEVER
    assert words[native.HIGHEST] == 1


def test_an_unknown_function_of_it_is_named():
    """By the attribute that was asked for."""
    with pytest.raises(AttributeError, match="no function nonsense"):
        _ = native.shim().nonsense
