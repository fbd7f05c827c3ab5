"""The Unicorn shared library and its constants, loaded without Unicorn's Python binding.

Importing the binding takes some 60 ms and its register access 1.5 to 3 µs; the public C API through prepared
ctypes calls takes 1 ms and 0.3 µs. Two handles to one library: `blocking` lets other Python threads run (only
`uc_emu_start` needs that), `quick` keeps the interpreter lock (everything else).
"""

from __future__ import annotations

import ctypes as C
import os
import sys
from functools import cache

from armvcpu.arch.static import Any
from armvcpu.errors import EngineUnsupported, InternalError, UsageError

KNOWN_RELEASES = ("2.1.4",)
"""The releases of Unicorn whose structures the shim knows (shim/unicorn.h); pyproject.toml pins the newest."""

MEM_CALLBACK = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_uint64, C.c_int, C.c_int64, C.c_void_p)

_NAME = "libunicorn.so.2"
_HANDLE, _POINTER, _SIZE = C.c_void_p, C.c_void_p, C.c_size_t
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "uc_open": (C.c_uint, C.c_uint, _POINTER),
    "uc_close": (_HANDLE,),
    "uc_mem_unmap": (_HANDLE, C.c_uint64, C.c_uint64),
    "uc_mem_map_ptr": (_HANDLE, C.c_uint64, C.c_uint64, C.c_uint32, _POINTER),
    "uc_mmio_map": (_HANDLE, C.c_uint64, C.c_uint64, _POINTER, _POINTER, _POINTER, _POINTER),
    "uc_reg_read": (_HANDLE, C.c_int, _POINTER),
    "uc_reg_write": (_HANDLE, C.c_int, _POINTER),
    "uc_vmem_read": (_HANDLE, C.c_uint64, C.c_int, _POINTER, _SIZE),
    "uc_vmem_translate": (_HANDLE, C.c_uint64, C.c_int, _POINTER),
}


ARCH_ARM64, MODE_ARM, CPU_ARM64_MAX = 2, 0, 3
REG_PC, REG_PSTATE, REG_CP_REG = 260, 265, 290
PROT_READ, PROT_EXEC, PROT_ALL = 1, 4, 7
HOOK_INTR, HOOK_MEM_READ, HOOK_MEM_WRITE = 1 << 0, 1 << 10, 1 << 11
MEM_WRITE = 17
ERR_READ_UNMAPPED, ERR_WRITE_UNMAPPED, ERR_FETCH_UNMAPPED, ERR_FETCH_PROT = 6, 7, 8, 14
CTL_PAGE_SIZE, CTL_USE_EXITS, CTL_CPU_MODEL, _CTL_WRITE = 1, 4, 7, 1 << 30
"""Numbers of Unicorn's API; its own files of them take a millisecond to read."""


class Library:
    """Unicorn's functions, by two handles.

    Functions return Unicorn's error number, 0 for success.
    """

    def __init__(self, directory: str) -> None:
        path = os.environ.get("LIBUNICORN_PATH") or f"{directory}/lib"
        if os.path.isdir(path):
            path = f"{path}/{_NAME}"
        try:
            self.blocking, self.quick = C.CDLL(path), C.PyDLL(path)
        except OSError as error:
            raise EngineUnsupported(f"cannot load Unicorn's library: {error}") from error
        for name, arguments in _PROTOTYPES.items():
            for handle in (self.quick, self.blocking):
                getattr(handle, name).argtypes = arguments
        self.quick.uc_strerror.restype = C.c_char_p
        number = self.quick.uc_version(None, None)
        self.version = ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8))
        if self.version not in KNOWN_RELEASES:
            raise EngineUnsupported(
                f"Unicorn {self.version} is installed; armvcpu knows {', '.join(KNOWN_RELEASES)}"
                f" (pip install 'unicorn=={KNOWN_RELEASES[-1]}')"
            )

    def check(self, error: int, what: str) -> None:
        """InternalError naming `what` unless `error` is 0: used where only a bug of ours can fail."""
        if error:
            raise InternalError(f"{what}: {self.quick.uc_strerror(error).decode()}")

    def require(self, error: int, what: str) -> None:
        """UsageError naming `what` unless `error` is 0: used where what the caller gave can be wrong."""
        if error:
            raise UsageError(f"{what}: {self.quick.uc_strerror(error).decode()}")

    def control(self, handle: int, kind: int, *arguments: Any) -> None:
        """`uc_ctl` in its write direction; the arguments are ctypes values."""
        command = kind | len(arguments) << 26 | _CTL_WRITE
        error = self.quick.uc_ctl(C.c_void_p(handle), C.c_uint(command), *arguments)
        self.check(error, f"uc_ctl {kind}")

    def add_hook(
        self, handle: int, kind: int, callback: Any, begin: int = 1, end: int = 0, *, data: int | None = None
    ) -> int:
        """Add a hook over addresses `begin` to `end` (1 to 0 is everywhere); what `remove_hook` takes.

        `callback` is a ctypes function, or the address of a native one, which gets `data` as its last argument.
        """
        hook = C.c_size_t()
        error = self.quick.uc_hook_add(
            C.c_void_p(handle), C.byref(hook), C.c_int(kind), C.cast(callback, C.c_void_p), C.c_void_p(data),
            C.c_uint64(begin), C.c_uint64(end),
        )  # fmt: skip
        self.check(error, f"uc_hook_add {kind}")
        return hook.value

    def remove_hook(self, handle: int, hook: int) -> None:
        """Remove a hook on memory; one on code would have Unicorn look for what it has translated at each address."""
        self.check(self.quick.uc_hook_del(C.c_void_p(handle), C.c_size_t(hook)), "uc_hook_del")


@cache
def library() -> Library:
    """The process's one Unicorn library; EngineUnsupported with one clear line where there is none."""
    for finder in sys.meta_path:  # as importlib.util.find_spec, whose import takes 4 ms
        spec = finder.find_spec("unicorn", None)
        if spec is not None and spec.submodule_search_locations:
            return Library(next(iter(spec.submodule_search_locations)))
    raise EngineUnsupported(f"the package unicorn is not installed (pip install 'unicorn=={KNOWN_RELEASES[-1]}')")
