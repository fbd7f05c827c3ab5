"""What a report page says of a machine under test: who hears it, and the facts when its test is over.

This is for `armvcpu test --report` and `--armvcpu-report`, and is loaded only then.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from armvcpu.debug.page.collector import TEST, Collector
from armvcpu.debug.page.ends import report_of
from armvcpu.debug.page.facts import gather
from armvcpu.debug.page.flame import flame_facts
from armvcpu.debug.profile.names import IDLE

if TYPE_CHECKING:
    from armvcpu.debug.page.facts import MachineFacts
    from armvcpu.debug.report import CrashReport
    from armvcpu.testing.target.target import Target


class Looker:
    """Hears one machine from the moment that it is made; `profiled`, where no test may want a profile of its own."""

    def __init__(self, target: Target, *, profiled: bool) -> None:
        self._target, self._collector = target, Collector(TEST)
        self._running = ExitStack()
        self._profile = self._running.enter_context(target.profile()) if profiled else None
        target.parts.held.callback(self._running.close)
        self.forget = self._collector.forget
        target.typed.hear(self._collector.hear)
        self._collector.attach(target.parts, target.observe)

    @property
    def is_over(self) -> bool:
        """Has the machine been closed?"""
        return self._target.is_closed

    def facts(self, *, failed: bool) -> MachineFacts:
        """What it did since `forget`; where it is, for a test that failed."""
        self._running.close()
        flame = None if self._profile is None else flame_facts(self._profile.stacks(), IDLE)
        end = self._end(failed=failed)
        return gather(self._collector, self._target.parts, self._target.symbols, end, flame=flame)

    def _end(self, *, failed: bool) -> CrashReport | None:
        outcome = self._target.talk.outcome or self._target.ended
        if outcome is not None and (report := report_of(outcome)) is not None:
            return report
        if not failed or self._target.is_closed or outcome is not None:
            return None
        return self._target.crash_report("the test failed here, and the guest still runs")
