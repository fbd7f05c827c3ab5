"""A machine under test: a `Machine` with expect and send, assertions on what the guest did, and faults to inject.

with Target("image.elf") as target:
    target.expect_exact("=> ")
    target.sendline("version")
    target.run_until(symbol="panic", timeout=5)
    assert target.symbol("counter").u32 == 3
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, seconds_in
from armvcpu.machine.machine import Machine
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.expect import TIMER_HZ, Conversation, ExpectConsole
from armvcpu.testing.target.faults import Faults
from armvcpu.testing.target.guest_state import GuestState
from armvcpu.testing.target.places import NotReachedError, Places
from armvcpu.testing.target.recorder import Call, DeviceAccess, Recorder, Taken

if TYPE_CHECKING:
    from typing import Unpack

    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.option_types import TargetOptions
    from armvcpu.machine.snapshots.snapshot import Snapshot

__all__ = ["NotReachedError", "Target"]

TIMEOUT = 30.0


class Target(Machine):
    """The machine; `timeout` is the patience of `expect` and `run_until`, seconds, unless they are given another.

    `record` keeps exits, calls and exceptions for assertions; a guest pays a few per cent for it. Where it is the name
    of a file, what is typed is kept there besides, for `replay`.
    """

    def __init__(
        self,
        image: PathLike | None = None,
        *,
        record: bool | PathLike = True,
        timeout: float = TIMEOUT,
        **options: Unpack[TargetOptions],
    ) -> None:
        seconds_in("timeout", timeout)
        self.activity = 0
        """How often something has been done with it: it ran, or returned to a state."""
        self.ended: Outcome | None = None
        """How the guest ended, once it has and can't go on."""
        self.is_closed = False
        self.typed = ExpectConsole()
        file = None if isinstance(record, bool) else record
        super().__init__(image, console=self.typed, record=file, **options)
        self.timeout = timeout
        self.talk = talk = Conversation(self, self.typed, timeout)
        self.expect, self.expect_exact, self.ask = talk.expect, talk.expect_exact, talk.ask
        self.send, self.sendline, self.sendcontrol = talk.send, talk.sendline, talk.sendcontrol

        state = GuestState(self)
        self.symbol, self.at, self.watch = state.symbol, state.at, state.watch
        self.register, self.set_register = state.register, state.set_register

        places = Places(self, state, talk, timeout)
        self.run_until, self.count_instructions = places.run_until, places.count_instructions

        self._faults = faults = Faults(self, state)
        self.inject_serror, self.flip_register_bit, self.poison = (
            faults.inject_serror, faults.flip_register_bit, faults.poison,
        )  # fmt: skip
        self.lose_interrupt, self.raise_interrupt = faults.lose_interrupt, faults.raise_interrupt
        self.fail_disk, self.power_cut, self.heal = faults.fail_disk, faults.power_cut, faults.heal

        self.recorder = Recorder(self.name_of, places.on_exit)
        if record is not False:
            self.observe(self.recorder)

    # --- what a machine does, noted

    def run(self, timeout: float | None = None, max_instructions: int = 0) -> Outcome:
        """Run as every machine does."""
        self.activity += 1
        outcome = super().run(timeout, max_instructions)
        self.ended = None if self.can_go_on else outcome
        return outcome

    def step(self) -> Outcome | None:
        """Run one instruction."""
        self.activity += 1
        outcome = super().step()
        self.ended = None if self.can_go_on else outcome
        return outcome

    def close(self) -> None:
        """Free the engine and close files; the machine can't run after. May be called twice."""
        super().close()
        self.is_closed = True

    # --- what the guest says

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self.typed.output.decode(errors="replace").replace("\r", "")

    @property
    def before(self) -> str:
        """What it printed before the last match."""
        return str(self.talk.before).replace("\r", "")

    def guest_seconds(self) -> float:
        """The guest's own time: CNTPCT_EL0 in seconds."""
        return self.cpus[0].time.count() / TIMER_HZ

    def finish(self, timeout: float | None = None) -> Outcome:
        """Run to the guest's end; NotReachedError where it does not end."""
        __tracebackhide__ = True
        if self.talk.outcome is None:
            outcome = self.run(timeout=self.timeout if timeout is None else seconds_in("timeout", timeout))
            if outcome.ending is Ending.LIMIT:
                raise NotReachedError(f"the guest did not end: {outcome.reason}\n{self.talk}")
            self.talk.outcome = outcome
        return self.talk.outcome

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state; what was said and recorded since is past, and faults are healed. Watches go on."""
        self.activity += 1
        self.ended = None
        self.heal()
        super().restore(snapshot)
        self.typed.new_output()
        self.talk.start_over()

    # --- what it did

    def exceptions_at(self, symbol: str) -> list[Taken]:
        """The exceptions that the guest took inside a function."""
        return [taken for taken in self.recorder.exceptions if self.symbols.format(taken.elr).split("+")[0] == symbol]

    def calls(self, function_id: int) -> list[Call]:
        """The HVCs and SMCs with this function identifier."""
        return [call for call in self.recorder.calls if call.function_id == function_id]

    def mmio(self, device: str) -> list[DeviceAccess]:
        """The accesses of a device, as `pl011`; of a machine with `exact_mmio`."""
        if not self.config.exact_mmio:
            raise UsageError("device accesses are heard of with exact_mmio=True only, since they cost much")
        return [access for access in self.recorder.accesses if access.name.split(".")[0] == device]
