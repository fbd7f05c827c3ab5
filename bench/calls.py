"""What a fuzzer pays: a function called, and the machine returned to a snapshot; and writes of ICC_PMR_EL1."""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.target.target import Target
from bench.pairs import pair, run
from bench.rows import Single

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Row

BUFFER = 0x4100_0000
PACKET = b"AVM\x03\x04\x01\x05hello\x02\x02\x39\x30" + 2 * (b"\x03\x20" + bytes(range(32)))
"""Some 600 instructions, which write five pages."""
CALLS = 2000


def calls(parser: Path) -> Iterator[Single]:
    """CPU microseconds of `write`, `call` and `restore`; then the parts alone."""
    with Target(parser, record=False) as target:
        target.run_until(symbol="main", timeout=10)
        snapshot = target.snapshot()
        target.restore(snapshot)
        for name, is_called, is_restored in (
            ("input written, function called, snapshot restored", True, True),
            ("input written, function called", True, False),
            ("input written, snapshot restored", False, True),
        ):
            start = time.process_time()
            for _ in range(CALLS):
                target.write(BUFFER, PACKET)
                if is_called:
                    target.call("parse", BUFFER, len(PACKET))
                if is_restored:
                    target.restore(snapshot)
            yield Single(f"{name}, CPU", (time.process_time() - start) / CALLS * 1e6, "µs", 200 if is_called else None)


def priority_mask(rounds: int, armvcpu: str, qemu: list[str]) -> Row:
    """CPU seconds of pairs of writes of ICC_PMR_EL1, as at the begin and the end of a critical section."""
    mov = [0xD2801F00, 0xD2801001, 0xD2A01E82]  # x0 = 0xF8, x1 = 0x80, x2 = 0xF4 << 16
    loop = [0xD5184600, 0xD5184601, 0xF1000842, 0x54FFFFAC]  # MSR ICC_PMR_EL1 twice, SUBS X2, X2, #2, B.GT
    off = [0xD2800100, 0xF2B08000, 0xD4000002]  # SYSTEM_OFF by HVC
    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory, "pmr.bin")
        image.write_bytes(struct.pack("<10I", *mov, *loop, *off))
        return pair("16 million writes of ICC_PMR_EL1, CPU", lambda: run([armvcpu, "run", str(image)]).cpu,
                    lambda: run([*qemu, "-kernel", str(image)]).cpu, rounds, "s", 1.0)  # fmt: skip
