"""Where a vCPU's registers are: on the physical CPU that it is bound to, or in memory of their own.

A part of the vCPU's, because moving them is all that `bind` and `unbind` do to an engine. They stay in the engine after
`unbind`, until another vCPU needs the place or another engine wants them (`CpuState.settle`).
"""

from __future__ import annotations

from armvcpu.arch.esr import has_far
from armvcpu.arch.idregs import translated_features
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import StateError
from armvcpu.vcpu.context_frame import GuestSystemRegisters, TrapFrame

if TYPE_CHECKING:
    from armvcpu.arch.idregs import CpuModel
    from armvcpu.engine.api import Engine, Fault
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.pcpu import Aarch64PerCpu


class _NoState:
    """Stands where a state will be: an attribute that is a plain one costs a trap nothing, a property would."""

    def __init__(self, vcpu_id: int) -> None:
        self._vcpu_id = vcpu_id

    def __getattr__(self, name: str) -> Any:
        raise StateError(f"vCPU {self._vcpu_id} has not been bound yet: it has no state, and no {name} of it")


def no_state(vcpu_id: int) -> Any:
    """The state of a vCPU that has not been bound: StateError, whatever is asked of it."""
    return _NoState(vcpu_id)


class Place:
    """That of one vCPU of `model`; `el` is its guest's highest level."""

    def __init__(self, vcpu_id: int, model: CpuModel, el: int = 1) -> None:
        self._vcpu_id, self._features, self._el = vcpu_id, translated_features(model), el
        self.trap_frame = TrapFrame(el)
        self.system_registers = GuestSystemRegisters(el, vhe=model.has_vhe)
        self.pcpu: Aarch64PerCpu | None = None
        """The physical CPU that has them."""
        self._last_pcpu: Aarch64PerCpu | None = None
        """The one that they are on, or were on last."""
        self._state: CpuState | None = None
        self._last_exception: tuple[int, int | None, int] | None = None
        self._fault_history = b""

    @property
    def engine(self) -> Engine:
        """That of the physical CPU; StateError where there is none."""
        if self.pcpu is None:
            raise StateError(f"vCPU {self._vcpu_id} is not bound to a physical CPU")
        return self.pcpu.engine

    @property
    def last_engine(self) -> Engine | None:
        """That of the physical CPU that they are on, or were on last; None before there was one."""
        return None if self._last_pcpu is None else self._last_pcpu.engine

    def load(self, pcpu: Aarch64PerCpu, engine: Engine) -> CpuState:
        """Put them on a physical CPU, which has this engine: the state, always the same object."""
        if self._state is None:
            self._state = engine.new_state(self._el)
        engine.load(self._state)
        engine.fault_history = self._fault_history
        if self._last_pcpu is not pcpu:
            self._last_pcpu = pcpu
            self.system_registers.attach(pcpu, self._state)
            self.trap_frame.attach(self._state)
        engine.highest = self._el
        engine.registers.present(self._features)
        self.pcpu = pcpu
        return self._state

    def configure(self) -> None:
        """Once they are loaded for the first time: write what was set before there was a state."""
        self.system_registers.configure()
        self.trap_frame.configure()

    def leave(self) -> None:
        """The physical CPU may be another's."""
        if self.pcpu is not None:
            if self.pcpu.engine.took_exception:
                self.keep_last_exception()
            self._fault_history = self.pcpu.engine.fault_history
        self.pcpu = None

    def reset(self) -> None:
        """As after reset, the configuration of the levels above the guest's kept."""
        assert self._state is not None
        engine, configuration = self.engine, self.system_registers.configuration()
        engine.reset_state(self._state, self._el)
        self.forget_exception()
        for encoding, value in configuration:
            engine.registers.write(encoding, value)
        if self._el > 1:
            self.system_registers.configure()
        self.trap_frame.configure()

    def forget_exception(self) -> None:
        """The registers are others now, of a guest that has not taken it."""
        self._last_exception, self._fault_history = None, b""

    @property
    def past(self) -> tuple[tuple[int, int | None, int] | None, bytes]:
        """What is remembered of exceptions: the last one, and those that the guest has not returned from."""
        return self.last_exception, self.pcpu.engine.fault_history if self.pcpu else self._fault_history

    @past.setter
    def past(self, past: tuple[tuple[int, int | None, int] | None, bytes]) -> None:
        self._last_exception, self._fault_history = past

    @property
    def last_exception(self) -> tuple[int, int | None, int] | None:
        """(ESR, FAR where the exception has one, ELR) of the guest's own last exception; None where it took none."""
        last = self.pcpu.engine.last_exception if self.pcpu else None
        if last is None or (not last.elr and not last.esr):
            return self._last_exception
        return last.esr, last.far if has_far(last.esr) else None, last.elr

    @property
    def first_fault(self) -> Fault | None:
        """The first of the exceptions that the guest has not returned from, while it is bound."""
        return self.pcpu.engine.first_fault if self.pcpu else None

    def keep_last_exception(self) -> None:
        """The engine is about to have another state, and forgets it."""
        self._last_exception = self.last_exception
