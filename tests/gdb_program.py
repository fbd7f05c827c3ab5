"""A real gdb-multiarch, driven by a script of its commands against a run of the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT

from armvcpu.testing.firmware import programs

ARMVCPU = str(Path(sys.executable).parent / "armvcpu")
SETTINGS = ("set confirm off", "set pagination off", "set width 0", "set architecture aarch64")


def debug(
    directory: Path, symbols: str | None, commands: list[str], *options: str, timeout: int = 100
) -> tuple[str, str, int]:  # fmt: skip
    """What gdb showed, what the run printed, and its status, of `armvcpu run` with these options that waits for gdb."""
    socket = directory / "gdb"
    command = [sys.executable, "-m", "armvcpu", "run", *options, "--gdb", f"unix:{socket}", "--gdb-wait"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT, text=True) as run:
        try:
            while not socket.exists() and run.poll() is None:
                time.sleep(0.02)
            script = directory / "commands"
            script.write_text("\n".join([*SETTINGS, f"target remote {socket}", *commands, "quit"]) + "\n")
            gdb = [programs.path("gdb-multiarch"), "-q", "-nx", "-batch", "-x", str(script)]
            shown = subprocess.run(
                [*gdb, *([symbols] if symbols else [])], stdin=subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT,
                text=True, timeout=timeout, check=False,
            ).stdout  # fmt: skip
            printed, _ = run.communicate(timeout=timeout)
        finally:
            run.kill()
    return shown, printed, run.returncode
