"""Fuzz a function of a guest: libFuzzer finds the packet with which its parser jumps to where the packet says."""

from pathlib import Path

from armvcpu.testing.fuzz import fuzz
from armvcpu.testing.target.target import Target

PARSER = Path(__file__).parents[1] / "guests" / "bin" / "parser.elf"
BUFFER = 0x4100_0000
SEED = b"AVM\x01\x02\x01\x14firmware update 1.42\x02\x02\x39\x30"  # a packet of two records that is well

with Target(PARSER, record=False) as target:
    target.run_until(symbol="main")

    def parse(data: bytes) -> None:
        """Have the guest read one packet, which lies at BUFFER."""
        target.call("parse", BUFFER, len(data), timeout=1)

    finding = fuzz(target, parse, write=BUFFER, seeds=[SEED], seconds=50, max_length=64)
    if finding is None:
        raise SystemExit("nothing was found")
    print(f"a packet of {len(finding.data)} bytes, {finding.data!r}")
    print(finding.reason)
    print(finding.report)
