"""The engine on Unicorn: one `uc_engine` is one physical CPU, with EL2 under the control of Python.

The only file with a run loop around `uc_emu_start`. A trap costs one call from C (0.3 µs), one copy of the
registers (0.5 µs) and one batch of writes (0.5 µs); no Python object is made on the way but the handler's own.
The guest runs at Non-secure EL1 and EL0 under a real HCR_EL2, so traps arrive with the architecture's syndrome.
docs/engine.md tells what Unicorn leaves to us and why.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from armvcpu.arch.registers import op
from armvcpu.engine import priming
from armvcpu.engine.api import PRIVATE_BASE, RunEnd
from armvcpu.engine.block_counter import LONGEST_BLOCK, NO_LIMIT
from armvcpu.engine.core import PSTATE_EL1H_MASKED, EngineCore
from armvcpu.engine.library import INTR_CALLBACK, NEVER
from armvcpu.engine.repair import repair_syndrome
from armvcpu.engine.state import FRAME_PC
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from armvcpu.engine.api import TrapHandler
    from armvcpu.engine.state import CpuState

MDCR_EL2, MDSCR_EL1 = op(3, 4, 1, 1, 1), op(2, 0, 0, 2, 2)
MDCR_TDE, MDSCR_SS, PSTATE_SS = 1 << 8, 1, 1 << 21
_EXTERNAL_ABORT_IFSC = 0x10
_EC_SOFTSTEP_LOWER = 0x32
_IL, _EC_1 = 1 << 25, 1 << 26
_STOP_AGAIN = 0.001
_SYSTEM_MASK, _DEBUG_REGISTER = 0xFFD8_0000, 0xD510_0000  # MSR and MRS with op0 = 2


class UnicornEngine(EngineCore):
    """One physical CPU on Unicorn; see `armvcpu.engine.api.Engine` for what each method promises."""

    def __init__(self) -> None:
        super().__init__()
        self._stop, self._start = self._lib.quick.uc_emu_stop, self._lib.blocking.uc_emu_start
        self._handler: TrapHandler = _no_handler
        self._left = self._stopping = self._stepping = self._closed = False
        self.counting = True  # as Unicorn starts
        self._runner: int | None = None
        self._stop_lock = threading.RLock()
        self._install_trap_hook()
        self._mode_state = self._allocate_state()
        self.state = self.new_state()
        self.set_counting(False)

    # --- traps ------------------------------------------------------------------------------------------------

    def _install_trap_hook(self) -> None:
        handle, save, lib, counter = self._handle, self._save, self._lib, self._counter
        write_back = self.registers.write_back

        def hook(_uc: int, _number: int, _data: int) -> None:
            state = self.state
            save(handle, state.address)
            try:
                self._stale = False
                words, at = state.words, state.exception_at
                syndrome, far, target = words[at] & 0xFFFF_FFFF, words[at + 1], words[at + 2] & 0xFFFF_FFFF
                if counter.active:
                    counter.trapped(state.frame[FRAME_PC], syndrome)
                if self._stepping and syndrome >> 26 == _EC_SOFTSTEP_LOWER:
                    self.leave()
                    return
                if syndrome < _EC_1 or not syndrome & _IL:
                    syndrome, target = repair_syndrome(self, syndrome, target)
                    if not syndrome:
                        return
                self._handler(target, syndrome, far)
                if state.dirty_to >= 0:
                    write_back(state)
                if not self._left:
                    self._stale = True
            except BaseException as failure:  # it must not pass through C; `run` raises it again
                self._fail(failure)

        self._trap_callback = INTR_CALLBACK(hook)
        lib.add_hook(handle, lib.const.UC_HOOK_INTR, self._trap_callback)

    def set_trap_handler(self, handler: TrapHandler) -> None:
        """Install the one trap handler."""
        self._handler = handler

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Run until the handler leaves, a stop is requested, or `limit` instructions are done."""
        if limit and not self.counting:
            return self._run_exactly(limit)
        state = self.state
        if state.dirty_to >= 0:
            self.registers.write_back(state)
        if self.memory.code_is_stale:
            self.memory.drain()
        self.fp_trap.drain()
        self.instruction_cache.forget()
        self._left = False
        self._runner = threading.get_ident()
        try:
            return self._run(state, limit)
        finally:
            self._runner = None

    def _run(self, state: CpuState, limit: int) -> RunEnd:
        while not self._stopping:
            self._stale = True
            error = self._start(self._handle, state.frame[FRAME_PC], NEVER, 0, limit)
            if self.fp_trap.pending:
                self.fp_trap.drain()
            if self._stale:
                self._save(self._handle, state.address)
            if self._counter.active:
                self._counter.finish(state.frame[FRAME_PC])
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if error:
                self._engine_error(error)
            if self._has_left():
                return RunEnd.LEFT
            if limit and not error:
                return RunEnd.LIMIT  # a stop that was requested meanwhile ends the next run before it starts
            if self._counter.is_at_limit:
                return RunEnd.STOPPED
        with self._stop_lock:
            self._stopping = False
        return RunEnd.STOPPED

    def _run_exactly(self, limit: int) -> RunEnd:
        """Promptly up to the last block or two, and the rest in the counting mode."""
        counter = self._counter
        if not counter.active:
            raise InternalError("an instruction limit needs the counting mode, or count_instructions")
        target = counter.instructions + limit
        if limit > LONGEST_BLOCK:
            counter.bound(target - LONGEST_BLOCK)
            try:
                end = self.run()
            finally:
                counter.bound(NO_LIMIT)
            if end is RunEnd.LEFT or counter.instructions < target - LONGEST_BLOCK or counter.is_at_stop:
                return end
        counter.bound(0)
        self.set_counting(True)
        try:
            end = self.run(target - counter.instructions)
        finally:
            self.set_counting(False)
            counter.bound(NO_LIMIT)
        if end is RunEnd.LIMIT:
            counter.set(target)
        return end

    def _has_left(self) -> bool:
        return self._left

    def _engine_error(self, error: int) -> None:
        """Unicorn gave up: a fetch from a device is the guest's external abort, all else a bug of ours."""
        if error != self._lib.const.UC_ERR_FETCH_PROT:
            self._lib.check(error, f"uc_emu_start at PC {self.state.pc:#x}")
        ec = 0x21 if self.state.pstate & 0xC else 0x20
        self._handler(1, ec << 26 | 1 << 25 | _EXTERNAL_ABORT_IFSC, self.state.pc)
        if self.state.dirty_to >= 0:
            self.registers.write_back(self.state)

    def step(self) -> None:
        """Run one instruction under software step from EL2 (DDI 0487 D2.12): EC 0x32, or its own exception."""
        word = self.fetch_word(self.state.pc)
        if word is not None and word & _SYSTEM_MASK == _DEBUG_REGISTER:
            self._step_by_count()
            return
        registers = self.registers
        mdcr, mdscr = registers.read_sysreg(MDCR_EL2), registers.read_sysreg(MDSCR_EL1)
        pstate = self.state.pstate
        registers.write_sysreg(MDCR_EL2, mdcr | MDCR_TDE)
        registers.write_sysreg(MDSCR_EL1, mdscr | MDSCR_SS)
        registers.write_pstate(pstate | PSTATE_SS)
        self._stepping = True
        try:
            self.run()
        finally:
            self._stepping = False
            self.store()
            registers.write_sysreg(MDCR_EL2, mdcr)
            registers.write_sysreg(MDSCR_EL1, mdscr)
            registers.write_pstate(self.state.pstate & ~PSTATE_SS)
            self.store()

    def _step_by_count(self) -> None:
        """An access to a debug register, which MDCR_EL2.TDE would trap: one instruction in the counting mode."""
        counting, executed = self.counting, self._counter.instructions
        self.set_counting(True)
        try:
            self.run(1)
        finally:
            self.set_counting(counting)
            self._counter.set(executed + 1)
            self.store()

    def leave(self) -> None:
        """In a callback: let `run` return."""
        self._left = True
        if self._counter.is_in_block and not self.counting:
            self._counter.stop_now()
        else:
            self._stop(self._handle)

    def request_stop(self, *, wait: bool = True) -> None:
        """From any thread. A stop that comes just before `uc_emu_start` is lost, so it is repeated until taken."""
        self._stopping = True
        again = self.repeat_stop()
        while again and wait:
            time.sleep(_STOP_AGAIN)
            again = self.repeat_stop()

    def repeat_stop(self) -> bool:
        """From any thread. In the counting mode, which can't be stopped, a run looks for the request itself."""
        return not self.counting and self._stop_once() and self._runner not in {None, threading.get_ident()}

    def _stop_once(self) -> bool:
        """Stop, unless the request has been met meanwhile: a later run, or another engine here, must not hear of it."""
        with self._stop_lock:
            wanted = self._stopping and not self._closed
            if wanted and self._counter.active:
                if not self.counting:
                    self._counter.stop_now()
            elif wanted:
                self._stop(self._handle)
        return wanted

    def set_counting(self, counting: bool) -> None:
        """Change the mode by translating one Thumb instruction; see `priming`."""
        if counting == self.counting:
            return
        before, registers, executed = self.state, self.registers, self._counter.instructions
        registers.write_back(before) if before.dirty_to >= 0 else None
        self.store()
        code = priming.program(primed=not counting)
        self._scratch[: len(code)] = code
        self.state = self._mode_state  # the trap hook saves into it, so it can't be the reset state itself
        self.state.raw[:] = self._reset_state.raw
        self.fp_trap.pause()
        self._lib.check(self._lib.quick.uc_context_restore(self._handle, self.state.address), "uc_context_restore")
        registers.write_sysreg(priming.SPSR_EL1, priming.AARCH32_USER_THUMB)
        registers.write_sysreg(op(3, 0, 4, 0, 1), priming.THUMB_ENTRY)
        registers.write_sysreg(priming.VTCR_EL2, priming.VTCR_39_BITS)
        registers.write_sysreg(priming.VTTBR_EL2, PRIVATE_BASE + priming.L1_OFFSET)
        registers.write_sysreg(priming.HCR_EL2, priming.HCR_RW | priming.HCR_VM)
        registers.write_pstate(PSTATE_EL1H_MASKED)
        handler, self._handler = self._handler, lambda *_: self.leave()
        bound = self._counter.mute()
        try:
            self._left, self.changing_mode = False, True
            self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)
            self._start(self._handle, 0, NEVER, 0, 0)
            while not self._left and self._failure is None:  # a stop that was meant for a run
                self._counter.mute()
                self._start(self._handle, registers.read(self._lib.reg.UC_ARM64_REG_PC), NEVER, 0, 0)
        finally:
            self._handler, self._left, self.changing_mode = handler, False, False
            self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)
            self.load(before)
            self._counter.set(executed)
            with self._stop_lock:
                self._counter.mute()
                self._counter.bound(bound)
                self.counting = counting

    def close(self) -> None:
        """Free the engine."""
        if not self._closed:
            with self._stop_lock:
                self._closed = True
            self._lib.quick.uc_close(self._handle)


def _no_handler(target: int, syndrome: int, _far: int) -> None:
    raise InternalError(f"no trap handler is installed (target EL{target}, ESR {syndrome:#x})")
