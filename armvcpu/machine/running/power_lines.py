"""The lines by which Secure firmware switches the board off, or resets it: outputs of the Secure GPIO.

QEMU's board has a `gpio-pwr` device there. The access that drives a line is the last one of the guest's for now: the
engine leaves, and the run loop asks here what came of it.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board.secure import POWER_OFF, RESET
from armvcpu.vcpu.exits import SystemDown, SystemReset

if TYPE_CHECKING:
    from armvcpu.devices.pl061 import Pl061
    from armvcpu.engine.api import Engine
    from armvcpu.vcpu.exits import Exit


class PowerLines:
    """Those of one machine; an attendant of its run loop."""

    def __init__(self, gpio: Pl061, engine: Engine) -> None:
        self._engine = engine
        self._wanted: Exit | None = None
        gpio.watch(self._on_driven)

    def _on_driven(self, levels: int) -> None:
        """In the guest's access: a line that goes high asks for something."""
        if levels >> POWER_OFF & 1:
            self._wanted = SystemDown()
        elif levels >> RESET & 1:
            self._wanted = SystemReset()
        else:
            return
        self._engine.leave()

    def attend(self) -> Exit | None:
        """What the guest has asked for since the last look."""
        wanted, self._wanted = self._wanted, None
        return wanted
