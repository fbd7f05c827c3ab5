"""The Unicorn shared library and its constants, loaded without Unicorn's Python binding.

Importing the binding takes some 60 ms and its register access 1.5 to 3 µs; the public C API through prepared
ctypes calls takes 1 ms and 0.3 µs. Two handles to one library: `blocking` lets other Python threads run (only
`uc_emu_start` needs that), `quick` keeps the interpreter lock (everything else).
"""

from __future__ import annotations

import ctypes as C  # noqa: N812  the customary short name in signature tables
import importlib.machinery
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.errors import EngineUnsupported, InternalError

if TYPE_CHECKING:
    from types import ModuleType

KNOWN_RELEASES = ("2.1.4",)
"""The releases of Unicorn whose structures the shim knows (shim/unicorn.h); pyproject.toml pins the newest."""

NEVER = 0xFFFF_FFFF_FFFF_FFF0
"""`until` of an endless run: an address in the last page of all, where no guest has code."""

MEM_CALLBACK = C.CFUNCTYPE(None, C.c_void_p, C.c_int, C.c_uint64, C.c_int, C.c_int64, C.c_void_p)

_NAME = "libunicorn.so.2"
_HANDLE, _POINTER, _SIZE = C.c_void_p, C.c_void_p, C.c_size_t
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "uc_open": (C.c_uint, C.c_uint, _POINTER),
    "uc_close": (_HANDLE,),
    "uc_emu_start": (_HANDLE, C.c_uint64, C.c_uint64, C.c_uint64, _SIZE),
    "uc_mem_unmap": (_HANDLE, C.c_uint64, C.c_uint64),
    "uc_mem_map_ptr": (_HANDLE, C.c_uint64, C.c_uint64, C.c_uint32, _POINTER),
    "uc_mmio_map": (_HANDLE, C.c_uint64, C.c_uint64, _POINTER, _POINTER, _POINTER, _POINTER),
    "uc_reg_read": (_HANDLE, C.c_int, _POINTER),
    "uc_reg_write": (_HANDLE, C.c_int, _POINTER),
    "uc_vmem_read": (_HANDLE, C.c_uint64, C.c_int, _POINTER, _SIZE),
    "uc_vmem_translate": (_HANDLE, C.c_uint64, C.c_int, _POINTER),
}


class Library:
    """Unicorn's functions and constants: `lib.emu_stop(handle)`, `lib.reg.UC_ARM64_REG_PC`, `lib.const.UC_PROT_ALL`.

    Functions return Unicorn's error number, 0 for success.
    """

    def __init__(self, directory: Path) -> None:
        path = os.environ.get("LIBUNICORN_PATH") or str(directory / "lib")
        if os.path.isdir(path):
            path = f"{path}/{_NAME}"
        try:
            self.blocking, self.quick = C.CDLL(path), C.PyDLL(path)
        except OSError as error:
            raise EngineUnsupported(f"cannot load Unicorn's library: {error}") from error
        self.const = _constants(directory, "unicorn_const")
        self.reg = _constants(directory, "arm64_const")
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

    def control(self, handle: int, kind: int, *arguments: Any) -> None:
        """`uc_ctl` in its write direction; the arguments are ctypes values."""
        command = kind | len(arguments) << 26 | self.const.UC_CTL_IO_WRITE << 30
        error = self.quick.uc_ctl(C.c_void_p(handle), C.c_uint(command), *arguments)
        self.check(error, f"uc_ctl {kind}")

    def add_hook(
        self,
        handle: int,
        kind: int,
        callback: Any,
        begin: int = 1,
        end: int = 0,
        *,
        instruction: int | None = None,
        data: int | None = None,
    ) -> int:
        """Add a hook over addresses `begin` to `end` (1 to 0 is everywhere); returns its handle for `uc_hook_del`.

        `callback` is a ctypes function, or the address of a native one, which gets `data` as its last argument.
        """
        hook = C.c_size_t()
        extra = () if instruction is None else (C.c_int(instruction),)
        error = self.quick.uc_hook_add(
            C.c_void_p(handle), C.byref(hook), C.c_int(kind), C.cast(callback, C.c_void_p), C.c_void_p(data),
            C.c_uint64(begin), C.c_uint64(end), *extra,
        )  # fmt: skip
        self.check(error, f"uc_hook_add {kind}")
        return hook.value


@cache
def library() -> Library:
    """The process's one Unicorn library; EngineUnsupported with one clear line where there is none."""
    spec = importlib.util.find_spec("unicorn")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnsupported("the package unicorn is not installed (pip install 'unicorn==2.1.4')")
    return Library(Path(next(iter(spec.submodule_search_locations))))


def _constants(directory: Path, name: str) -> ModuleType:
    """One of the package's generated constant files, without importing the package around it."""
    path = directory / f"{name}.py"
    loader = importlib.machinery.SourceFileLoader(f"armvcpu.engine._{name}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
