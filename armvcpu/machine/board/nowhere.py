"""Physical addresses with nothing behind them, where no stage 2 of ours makes an exit of an access.

The access of the instruction at PC ends in a synchronous External abort, as a bus has it that decodes no such address.
"""

from __future__ import annotations

from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.state import FRAME_SP

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine

_DABT = int(ESR.of(EC=ExceptionClass.DABT_LOWER, IL=1)) | int(DataAbortIss.of(DFSC=0x10))
_WNR = DataAbortIss.WnR.mask


class Nowhere:
    """Those of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def abort(self, is_read: bool) -> None:
        """In the callback of an access: the guest takes an External abort in its place, FAR is the virtual address."""
        from armvcpu.arch.accesses import memory_access  # few guests ever get here

        engine = self._engine
        if not engine.look():
            return  # a walk of the MMU, or an access of the host's
        state = engine.state
        word = engine.memory.fetch_word(state.pc)
        access = None if word is None else memory_access(word, state.pc, state.gpr, state.frame[FRAME_SP])
        engine.take_external_abort(_DABT if is_read else _DABT | _WNR, 0 if access is None else access.address)
