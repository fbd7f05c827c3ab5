"""Finding where each register lies in the context buffer, by experiment on the installed library.

Recognisable values are written through the public API and looked for in what `uc_context_save` copies; the exception
record is found after `svc #0x1234`, whose syndrome is known. docs/engine.md, "The context buffer".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING

from armvcpu.arch.registers import op
from armvcpu.engine.api import PRIVATE_BASE
from armvcpu.engine.library import INTR_CALLBACK, NEVER
from armvcpu.engine.state import FRAME_PC, FRAME_SP, Layout
from armvcpu.errors import EngineUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

_SVC_0X1234 = 0xD402_4681
_ESR_OF_SVC = 0x5600_1234
_known: list[Layout] = []


def calibrate(lib: Library, handle: int, registers: Registers, scratch: memoryview) -> Layout:
    """The layout, found once in a process on a fresh engine; it leaves register values behind: reset afterwards.

    `scratch` is the engine's memory at PRIVATE_BASE. EngineUnsupported where this Unicorn release differs.
    """
    if not _known:
        probe = _Probe(lib, handle)
        try:
            scratch[:4] = _SVC_0X1234.to_bytes(4, "little")
            _known.append(_find_layout(lib, probe, registers, _find_exception(lib, handle, probe)))
        finally:
            probe.release()
    return _known[0]


def _find_exception(lib: Library, handle: int, probe: _Probe) -> int:
    """Run `svc #0x1234` and find its syndrome: the offset of the exception record."""
    found: list[bytes] = []

    def hook(_uc: int, _number: int, _data: int) -> None:
        found.append(probe.snapshot())
        lib.quick.uc_emu_stop(handle)

    callback = INTR_CALLBACK(hook)
    added = lib.add_hook(handle, lib.const.UC_HOOK_INTR, callback)
    lib.check(lib.blocking.uc_emu_start(handle, PRIVATE_BASE, NEVER, 0, 0), "calibration")
    lib.check(lib.quick.uc_hook_del(handle, added), "uc_hook_del")
    pattern = _ESR_OF_SVC.to_bytes(4, "little")
    if len(found) != 1 or found[0].count(pattern) != 1:
        raise EngineUnsupported("cannot find the exception syndrome in the saved context of this Unicorn release")
    return found[0].index(pattern)


class _Probe:
    """Writes recognisable values and finds where they turn up in the context buffer."""

    def __init__(self, lib: Library, handle: int) -> None:
        self.lib, self.handle = lib, handle
        self.size = int(lib.quick.uc_context_size(handle))
        pointer = C.c_void_p()
        lib.check(lib.quick.uc_context_alloc(handle, C.byref(pointer)), "uc_context_alloc")
        assert pointer.value is not None
        self.address = pointer.value

    def snapshot(self) -> bytes:
        self.lib.check(self.lib.quick.uc_context_save(self.handle, self.address), "uc_context_save")
        return C.string_at(self.address, self.size)

    def find(self, name: str, value: int, write: Callable[[int], None]) -> int:
        """The one offset at which writing `value` makes it appear."""
        pattern = value.to_bytes(8, "little")
        before = self.snapshot()
        write(value)
        after = self.snapshot()
        hits = [at for at in range(0, self.size - 7, 4) if after[at : at + 8] == pattern != before[at : at + 8]]
        if len(hits) != 1:
            raise EngineUnsupported(f"cannot find {name} in the saved context of this Unicorn release")
        return hits[0]

    def changed(self, name: str, before: bytes, after: bytes) -> int:
        """The first offset, a multiple of 4, at which two snapshots differ."""
        for at in range(0, self.size, 4):
            if before[at : at + 4] != after[at : at + 4]:
                return at
        raise EngineUnsupported(f"cannot find {name} in the saved context of this Unicorn release")

    def release(self) -> None:
        self.lib.quick.uc_context_free(self.address)


def _find_layout(lib: Library, probe: _Probe, registers: Registers, exception: int) -> Layout:
    reg = lib.reg

    def at_reg(name: str, value: int) -> int:
        return probe.find(name, value, lambda v: registers.write(getattr(reg, f"UC_ARM64_REG_{name}"), v))

    def at_sysreg(name: str, key: int, value: int) -> int:
        return probe.find(name, value, lambda v: registers.write_sysreg(key, v))

    frame = at_reg("X0", 0x1111_2222_3333_0000)
    for index, name in ((30, "X30"), (FRAME_SP, "SP"), (FRAME_PC, "PC")):
        if at_reg(name, 0x1111_2222_3333_0000 + 0x10 * index) != frame + 8 * index:
            raise EngineUnsupported("this Unicorn release keeps the general registers in another order")

    def with_pstate(value: int) -> bytes:
        registers.write(reg.UC_ARM64_REG_PSTATE, value)
        return probe.snapshot()

    plain = with_pstate(0x3C5)
    flags = probe.changed("PSTATE.C", plain, with_pstate(0x2000_03C5))
    if probe.changed("PSTATE.V", plain, with_pstate(0x1000_03C5)) != flags + 4:
        raise EngineUnsupported("this Unicorn release keeps the condition flags in another order")
    pstate = probe.changed("PSTATE.IL", plain, with_pstate(0x0010_03C5))
    unmasked = with_pstate(0x5)
    daif = next(
        (at for at in range(flags + 16, probe.size, 8) if plain[at : at + 2] == b"\xc0\x03" != unmasked[at : at + 2]),
        0,
    )
    aarch64 = pstate + 4
    if plain[aarch64 : aarch64 + 4] != b"\1\0\0\0":
        raise EngineUnsupported("this Unicorn release keeps the execution state in another place")
    if not pstate < flags < daif:
        raise EngineUnsupported("this Unicorn release keeps PSTATE in another order")
    registers.write(reg.UC_ARM64_REG_PSTATE, 0x3C5)
    if (pstate | flags | daif | exception) % 8:
        raise EngineUnsupported("this Unicorn release aligns the saved context in another way")
    return Layout(
        size=probe.size,
        frame=frame,
        pstate=pstate,
        aarch64=aarch64,
        flags=flags,
        daif=daif,
        exception=exception,
        sp_el=at_sysreg("SP_EL1", op(3, 4, 4, 1, 0), 0x4444_0001_5555_0010) - 8,
        vbar_el=at_sysreg("VBAR_EL1", op(3, 0, 12, 0, 0), 0x4444_0002_5555_0800) - 8,
        sctlr_el=at_sysreg("SCTLR_EL1", op(3, 0, 1, 0, 0), 0x0000_0000_30D0_0812) - 8,
        hpfar_el2=at_sysreg("HPFAR_EL2", op(3, 4, 6, 0, 4), 0x0000_0004_5555_0010),
    )
