"""What a function of a script costs (`run --script`), with an argument that it names; the loop itself is cheap."""

from __future__ import annotations

import statistics
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu import Machine, script
from bench.rows import Single

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 300_000
PLACE = 0x4008_0008
"""The first instruction of the loop."""
_LOOP = (0xF1000400, 0x54FFFFE1)  # subs x0, x0, #1; b.ne to it
_LOOP_OF_HVC = (0xD2800020, 0xD4000002, 0xF1000673, 0x54FFFFA1)  # mov x0, #1; hvc #0; subs x19, x19, #1; b.ne
_OFF = (0xD2800100, 0xF2B08000, 0xD4000002)  # SYSTEM_OFF by HVC


def scripted(rounds: int) -> Iterator[Single]:
    """Microseconds of guest and host together; the loop without a function is too little to count."""
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        kinds = (
            ("at an address", _image(here / "place.bin", 0, _LOOP), f"@on_address({PLACE:#x})\ndef f(x0): pass\n", 1.5),
            ("of an HVC", _image(here / "hvc.bin", 19, _LOOP_OF_HVC), "@on_hypercall(1)\ndef f(x1): return 2\n", 0.9),
        )
        for name, image, hooks, limit in kinds:
            times = [_seconds(image, hooks, here) * 1e6 for _ in range(rounds)]
            yield Single(f"inside: a script's function {name}, with a register as argument", statistics.median(times),
                         "µs", limit)  # fmt: skip


def _image(path: Path, counter: int, loop: tuple[int, ...]) -> Path:
    """A loop of CALLS rounds, counted in a register, at PLACE; then it powers off."""
    mov = (0xD2800000 | (CALLS & 0xFFFF) << 5 | counter, 0xF2A00000 | (CALLS >> 16) << 5 | counter)
    path.write_bytes(struct.pack(f"<{2 + len(loop) + len(_OFF)}I", *mov, *loop, *_OFF))
    return path


def _seconds(image: Path, hooks: str, directory: Path) -> float:
    """CPU seconds of one call, with the loop around it."""
    path = directory / "hooks.py"
    path.write_text("from armvcpu.script import on_address, on_hypercall\n" + hooks)
    with Machine(image, load_address=PLACE - 8) as machine:
        script.attach(machine, path)
        start = time.process_time()
        machine.run(timeout=120)
        return (time.process_time() - start) / CALLS
