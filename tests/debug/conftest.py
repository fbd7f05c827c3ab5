"""What tests of reports and hints have in common."""

from __future__ import annotations

import pytest
from raw_guest import image

from armvcpu import Machine
from armvcpu.machine.outcome import Ending


@pytest.fixture
def crashed(tmp_path):
    """Run words to their crash, with a machine's options: the report."""

    def run(*words, vector=None, **options):
        path = tmp_path / "guest.bin"
        path.write_bytes(image(*words, vector=vector))
        with Machine(path, **options) as machine:
            outcome = machine.run(timeout=20)
            assert (outcome.ending, outcome.status) == (Ending.CRASHED, 3), outcome
            return machine.crash_report(outcome.reason)

    return run
