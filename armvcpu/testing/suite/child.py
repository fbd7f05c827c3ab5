"""One test in a process of a cluster's worker: `python -m armvcpu.testing.suite.child PLACE`.

It reads PLACE/case, writes PLACE/verdict, and ends at once when standard input does: with the worker.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path

from armvcpu.testing.suite.case import run_once

CASE, VERDICT = "case", "verdict"


def main() -> None:
    """Run it; status 0 when the verdict is there."""
    place = Path(sys.argv[1])
    threading.Thread(target=_follow_worker, daemon=True).start()
    case = pickle.loads((place / CASE).read_bytes())  # noqa: S301  the worker has written it
    (place / VERDICT).write_bytes(pickle.dumps(run_once(case)))


def _follow_worker() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
