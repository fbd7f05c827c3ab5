"""The real gdb-multiarch of Debian against `armvcpu run --gdb`: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time

from armvcpu.testing.firmware import programs

GDB = ("-q", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set pagination off", "-iex",
       "set confirm off", "-iex", "set width 0")  # fmt: skip


class Run:
    """`armvcpu run` with these words, and a socket for gdb in `directory`; ended with its `with` block."""

    def __init__(self, directory, *words, waits=True, environment=None):
        self.socket = directory / "gdb"
        gdb = ["--gdb", f"unix:{self.socket}", *(["--gdb-wait"] if waits else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "armvcpu", "run", *map(str, words), *gdb],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not self.socket.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def gdb(self, *commands, elf=None, timeout=60):
        """What gdb says to these commands, once it has connected."""
        return gdb(f"target remote {self.socket}", *commands, elf=elf, timeout=timeout)

    def end(self, timeout=60):
        """Its end: (status, stdout, stderr)."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def gdb(*commands, elf=None, timeout=60, options=GDB):
    """What gdb says to these commands, its errors too; it stops at none of them."""
    words = [word for command in commands for word in ("-ex", command)]
    done = subprocess.run(
        [programs.path("gdb-multiarch"), *options, *words, *([] if elf is None else [str(elf)])],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
    )  # fmt: skip
    return done.stdout.decode(errors="replace")
