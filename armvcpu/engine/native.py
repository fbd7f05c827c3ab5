"""The shim's functions, with their types, bound to Unicorn once in a process; and the words that it shares with Python.

`shim/slots.c` has the table of what it answers in Unicorn's place, `shim_library.py` finds the compiled library.
"""

from __future__ import annotations

import ctypes as C
from functools import cache

from armvcpu.arch.static import NamedTuple
from armvcpu.engine.library import library
from armvcpu.engine.shim_library import load
from armvcpu.errors import EngineUnsupported

(LEFT, COUNTING, COUNTDOWN, STOP_AT, BLOCK, POSITION, EXACT, HEAR, HEAR_EL2, HEAR_EL3, HIGHEST, SECURE, OBSERVE,
 SEMIHOSTING, YIELDS, YIELDED, LAST_ESR, LAST_FAR, LAST_ELR, LAST_EL, RETURN_PC, RETURN_SP, RETURNS, EDGE, TRANSLATIONS,
 ENTRIES, STORM, LOOP, IS_PAIR, INTERRUPTS, FAULTED, FAULTS) = range(32)  # fmt: skip
"""Indices of `struct shared` (shim/shim.h): 64 bits each. From STORM on it is what faults.c keeps."""
FAULT_WORDS, KEPT_FAULTS = 8, 4
SHARED_WORDS = FAULTS + KEPT_FAULTS * FAULT_WORDS
FAILED = 2
"""In LEFT: a callback has failed."""
LAYOUT_WORDS = 12
"""Of `shim_layout` (shim/engines.c), as `state.Layout` has fields."""
(TALLY_RUNS, TALLY_READS, TALLY_WRITES, TALLY_ENTERED, TALLY_CODE, TALLY_SAMPLES, TALLY_WAITS, TALLY_ACCESSES,
 TALLY_INTERRUPTS, TALLY_TRAPS) = range(0, 20, 2)  # fmt: skip
TALLY_EXCEPTIONS = TALLY_TRAPS + 128
TALLY_DEVICES = TALLY_EXCEPTIONS + 64
TALLIED_DEVICES, PARTS, PART_BITS = 64, 8, 9
TALLY_WORDS = TALLY_DEVICES + 3 * PARTS * TALLIED_DEVICES
"""Places of a tally, 64 bits each (shim/tally.h)."""
LONGEST_BLOCK = 512
"""Instructions: TCG_MAX_INSNS of the translator."""
NEVER = (1 << 63) - 1 >> 1
"""A count of instructions that is not reached."""

TRAP = C.CFUNCTYPE(None, C.c_uint32, C.c_uint32, C.c_uint64)
READ = C.CFUNCTYPE(C.c_uint64, C.c_uint32)
WRITE = C.CFUNCTYPE(C.c_uint64, C.c_uint32, C.c_uint64)
ENTERED = C.CFUNCTYPE(None, C.c_uint32)
IO_READ = C.CFUNCTYPE(C.c_uint64, C.c_void_p, C.c_uint64, C.c_uint32)
IO_WRITE = C.CFUNCTYPE(None, C.c_void_p, C.c_uint64, C.c_uint32, C.c_uint64)
CROSSED = TRACED = C.CFUNCTYPE(None)
BRANCH = C.CFUNCTYPE(None, C.c_uint64, C.c_uint32)
LEVEL = C.CFUNCTYPE(None, C.c_uint32, C.c_uint32)
CODE = PROBE = C.CFUNCTYPE(None, C.c_uint64)
WATCHED = C.CFUNCTYPE(None, C.c_uint64, C.c_uint32, C.c_uint32)
SAMPLE = C.CFUNCTYPE(None)

_ENGINE, _U32, _U64, _I64, _INT = C.c_void_p, C.c_uint32, C.c_uint64, C.c_int64, C.c_int
_PROTOTYPES: dict[str, tuple[object, ...]] = {  # result first
    "shim_bind": (C.c_char_p, C.c_void_p),
    "shim_symbol": (C.c_char_p, C.c_uint, C.POINTER(C.c_int), C.POINTER(C.c_char_p)),
    "shim_attach": (C.c_void_p, C.c_void_p, C.c_void_p),
    "shim_detach": (None, _ENGINE),
    "shim_free": (None, _ENGINE),
    "shim_env": (C.c_void_p, _ENGINE),
    "shim_switch": (None, _ENGINE, C.c_void_p, C.c_void_p),
    "shim_put": (None, _ENGINE, C.c_char_p, C.c_void_p, C.c_uint),
    "shim_field": (_I64, _ENGINE, _U32),
    "shim_rebuild": (None, _ENGINE),
    "shim_update_breakpoints": (None, _ENGINE),
    "shim_present": (None, _ENGINE, C.c_void_p),
    "shim_take_exception": (None, _ENGINE, _U32, _U32, _U64, _INT),
    "shim_take_abort": (None, _ENGINE, _U32, _U64),
    "shim_watch_el3": (None, _ENGINE, C.c_void_p),
    "shim_set_row": (_INT, _ENGINE, _U32, _INT, _INT, _U64),
    "shim_set_word": (None, _ENGINE, _U32, C.c_void_p),
    "shim_forget_row": (None, _ENGINE, _U32),
    "shim_instructions": (_I64, _ENGINE),
    "shim_set_instructions": (None, _ENGINE, _I64),
    "shim_stop_at": (None, _ENGINE, _I64),
    "shim_next_block": (None, _ENGINE, _U32),
    "shim_set_lines": (None, _ENGINE, _U32),
    "shim_set_virtual_lines": (None, _ENGINE, _U32),
    "shim_set_secure": (_INT, _ENGINE, C.c_void_p, C.c_uint),
    "shim_set_aliases": (_INT, _ENGINE, C.c_void_p, C.c_uint),
    "shim_set_count_origin": (None, _ENGINE, _U64),
    "shim_request_stop": (None, _ENGINE),
    "shim_end_run": (None, _ENGINE),
    "shim_take_stop": (_INT, _ENGINE),
    "shim_written": (None, _ENGINE, _U64, _U64),
    "shim_number_ram": (None, _ENGINE, _U64),
    "shim_track_dirty": (_INT, _ENGINE, _U64, _U64),
    "shim_untrack_dirty": (None, _ENGINE),
    "shim_take_dirty": (C.c_size_t, _ENGINE, C.c_void_p),
    "shim_copy_pages": (None, _ENGINE, C.c_char_p, C.c_size_t, C.c_void_p),
    "shim_call": (None, _ENGINE, _U64, _U64, _U64),
    "shim_log_compares": (None, _ENGINE, C.c_void_p),
    "shim_count_edges": (None, _ENGINE, C.c_void_p),
    "shim_hear_branches": (None, _ENGINE, _U32),
    "shim_hear_levels": (None, _ENGINE, _INT),
    "shim_trace_blocks": (C.c_void_p, _ENGINE, _INT),
    "shim_keep_records": (_INT, _ENGINE, _INT),
    "shim_record_count": (_U32, _ENGINE, _U32),
    "shim_records": (C.c_void_p, _ENGINE, _U32),
    "shim_alarm": (_INT, _ENGINE, _U64),
    "shim_take_alarm": (_INT, _ENGINE),
    "shim_forget_all": (None, _ENGINE),
    "shim_flush_tlb": (None, _ENGINE),
    "shim_look": (_INT, _ENGINE),
    "shim_first_fault": (_INT, _ENGINE),
    "shim_hear_code": (None, _ENGINE, _INT),
    "shim_probe": (_INT, _ENGINE, _U64, _INT),
    "shim_watch": (_INT, _ENGINE, C.c_void_p, C.c_uint),
    "shim_suspend_watches": (None, _ENGINE, _INT),
    "shim_rest": (_U32, _ENGINE),
    "shim_set_rest": (None, _ENGINE, _U32),
    "shim_sample": (None, _ENGINE, _I64, _U64),
    "shim_frames": (C.c_uint, _ENGINE, _U64, C.c_void_p, C.c_uint, C.c_void_p),
    "shim_run_ns": (_I64, _ENGINE),
    "shim_tally": (None, _ENGINE, C.c_void_p),
}


class Callbacks(C.Structure):
    """`struct callbacks` of the shim."""

    _fields_ = tuple(
        (name, C.c_void_p)
        for name in (
            "trap",
            "read",
            "write",
            "entered",
            "io_read",
            "io_write",
            "code",
            "sample",
            "probe",
            "watched",
            "branch",
            "level",
            "traced",
            "crossed",
        )
    )


class Symbol(NamedTuple):
    """A function of Unicorn's that the shim relies on."""

    name: str
    is_answered: bool
    purpose: str


class Shim:
    """The functions by their names without `shim_`; they keep the interpreter's lock."""

    def __init__(self) -> None:
        functions, unicorn = load().quick, library()
        for name, (result, *arguments) in _PROTOTYPES.items():
            function = getattr(functions, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("shim_"), function)
        self.run = load().blocking.shim_run
        """It lets other Python threads run."""
        self.run.restype, self.run.argtypes = _INT, (_ENGINE,)
        problem = functions.shim_bind(unicorn.quick._handle)
        if problem is not None:
            raise EngineUnsupported(f"the installed Unicorn {unicorn.version} can't be used: {problem.decode()}")
        self.trap, self.device = (C.cast(getattr(functions, f"shim_{name}"), C.c_void_p) for name in ("trap", "device"))
        """Addresses that are handed to Unicorn."""
        self.layout: tuple[int, ...] = tuple((C.c_uint32 * LAYOUT_WORDS).in_dll(functions, "shim_layout"))

    def __getattr__(self, name: str) -> C._NamedFuncPointer:
        raise AttributeError(f"the shim has no function {name}")

    def symbols(self) -> list[Symbol]:
        """The table of what the shim answers in Unicorn's place, and calls."""
        found: list[Symbol] = []
        answered, purpose = C.c_int(), C.c_char_p()
        while name := self.symbol(len(found), answered, purpose):
            found.append(Symbol(name.decode(), bool(answered.value), (purpose.value or b"").decode()))
        return found


@cache
def shim() -> Shim:
    """The process's one; EngineUnsupported with one line where this host, or this Unicorn, can't have it."""
    return Shim()
