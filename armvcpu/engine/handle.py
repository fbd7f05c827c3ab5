"""One engine as its parts see it: Unicorn's handle, the shim's, the words that they share, and a failure kept."""

from __future__ import annotations

import ctypes as C
import mmap
from _weakref import ref  # `weakref.finalize` is this with more to import
from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Any, NoReturn
from armvcpu.engine import native
from armvcpu.engine.library import (
    ARCH_ARM64,
    CPU_ARM64_MAX,
    CTL_CPU_MODEL,
    CTL_PAGE_SIZE,
    CTL_USE_EXITS,
    MODE_ARM,
    REG_PC,
    library,
)
from armvcpu.errors import EngineUnsupported, StateError, UsageError, name_handler

if TYPE_CHECKING:
    from collections.abc import Mapping


CODE_BUFFER = 1 << 30
"""What an engine takes of the address space for translated code; where it gets none it ends the process."""
MORE = 64 << 20
"""What else of it one takes, at most, before it has memory for a guest."""

_open: dict[int, ref[Handle]] = {}
"""By its uc_engine: every handle that is not closed. One that is dropped is closed when it is collected: callbacks from
C make each engine a circle of references."""


def closed(name: str) -> NoReturn:
    """Refuse what an engine had before it was closed.

    Raises:
        StateError: it had it; AttributeError: no engine has.
    """
    if name in {"engine", "uc", "shim", "unicorn", "registers", "_shim", "_go", "_shared"}:
        raise StateError("the engine is closed: make another one")
    raise AttributeError(f"an engine has no attribute {name!r}")


class Handle:
    """An open uc_engine with the MAX model; `attach` makes it the shim's."""

    is_open = True

    def __init__(self) -> None:
        self.unicorn, self.shim = library(), native.shim()
        _require_room()
        unicorn, pointer = self.unicorn, C.c_void_p()
        unicorn.check(unicorn.quick.uc_open(ARCH_ARM64, MODE_ARM, C.byref(pointer)), "uc_open")
        assert pointer.value is not None
        self.uc: int = pointer.value
        _open[self.uc] = ref(self, partial(_free, unicorn, self.shim, self.uc, 0))
        unicorn.control(self.uc, CTL_CPU_MODEL, C.c_int(CPU_ARM64_MAX))
        unicorn.control(self.uc, CTL_PAGE_SIZE, C.c_uint32(4096))
        unicorn.control(self.uc, CTL_USE_EXITS, C.c_int(1))  # there are none: `until` costs a look at each run's end
        self.engine = self.env = 0
        self.shared = memoryview(b"")
        self.failure: BaseException | None = None
        self._kept: object = None

    def attach(self, callbacks: Mapping[str, object]) -> None:
        """Have the shim answer for the engine, and call Python's `callbacks`, by the names of `native.Callbacks`."""
        self._kept = callbacks
        table = native.Callbacks()
        for name, function in callbacks.items():
            setattr(table, name, C.cast(function, C.c_void_p))  # type: ignore[arg-type]
        makes_the_cpu = self.unicorn.quick.uc_reg_read
        makes_the_cpu(self.uc, REG_PC, C.byref(C.c_uint64()))
        engine = self.shim.attach(self.uc, C.byref(table))
        if engine is None:
            raise EngineUnsupported(
                f"the installed Unicorn {self.unicorn.version} keeps its CPU in another place than release 2.1.4"
            )
        self.engine = engine
        _open[self.uc] = ref(self, partial(_free, self.unicorn, self.shim, self.uc, engine))
        words = (C.c_int64 * native.SHARED_WORDS).from_address(engine)
        self.shared = memoryview(words).cast("B").cast("q")
        self.env = self.shim.env(engine)

    def fail(self, failure: BaseException) -> None:
        """Keep an exception raised in a callback until `run` can raise it; the run ends."""
        if self.failure is None:
            name_handler(failure)
            self.failure = failure
        self.shared[native.LEFT] = native.FAILED

    def close(self) -> None:
        """Free the engine and what the shim has of it."""
        self.shared = memoryview(b"")
        _free(self.unicorn, self.shim, self.uc, self.engine)
        del self.engine, self.uc, self.shim, self.unicorn
        self.__class__ = ClosedHandle


class ClosedHandle(Handle):
    """One that is closed: what it had is refused before C would look into memory that is gone.

    A class of its own, since with `__getattr__` Python finds every attribute by a slower way.
    """

    is_open = False

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """What `close` has taken away."""
            return closed(name)


def _require_room() -> None:
    """UsageError where the host's limits leave no room for another engine."""
    try:
        mmap.mmap(-1, CODE_BUFFER + MORE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError as error:
        raise UsageError(
            "the host gives an engine no 1 GiB of address space for translated code; raise its limit, see `ulimit -v`"
        ) from error


def _free(unicorn: Any, shim: Any, uc: int, engine: int, _dropped: ref[Handle] | None = None) -> None:
    """Close a uc_engine, and what the shim has of it, where it has it already."""
    if _open.pop(uc, None) is None:
        return
    if engine:
        shim.detach(engine)
    unicorn.quick.uc_close(uc)
    if engine:
        shim.free(engine)
