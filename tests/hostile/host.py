"""What the host does to a run: commands with arguments and limits that can't be, closed and full outputs."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mutate import WORDS

from armvcpu.machine.config import MachineConfig

if TYPE_CHECKING:
    from random import Random

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
DOCUMENTED = {0, 2, 3, 4, 128 + signal.SIGPIPE}
"""Exit statuses, but 1: none of these guests reports failure."""


def _judged(command: list[str], *, can_say: bool = True, **options: object) -> str:
    """A command's status, where it is one of the documented ones and no traceback was shown."""
    done = subprocess.run(command, capture_output=True, timeout=15, check=False, **options)  # type: ignore[call-overload]
    said = (done.stderr or b"") + (done.stdout or b"")
    assert b"Traceback" not in said, said.decode(errors="replace")
    assert done.returncode in DOCUMENTED, f"status {done.returncode}: {said.decode(errors='replace')}"
    if done.returncode == 2 and can_say:
        lines = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        said_once = lines and len(lines) == len(set(lines)) and all(line.startswith("armvcpu: ") for line in lines)
        assert said_once, f"not one line for each mishap: {lines}"
    return f"status {done.returncode}"


def command_line(rng: Random, directory: Path) -> str:
    """`run` with any options and any values."""
    flags = [option.flag or f"--{name.replace('_', '-')}" for name, option in MachineConfig.options.items()]
    flags = [flag for flag in flags if flag.startswith("--")]
    flags += ["--trace", "--json", "--max-instructions", "-x", "--", "--help", "--snapshot-at", "-smp", "-m"]
    values = [
        *(word for word in WORDS if "\0" not in word),
        str(GUESTS / "hello.elf"),
        str(directory),
        "64M",
        "2",
        "0x40000000",
    ]
    arguments = []
    for _ in range(rng.randrange(5)):
        arguments.append(rng.choice(flags))
        if rng.random() < 0.8:
            arguments.append(rng.choice(values))
    arguments.insert(rng.randrange(len(arguments) + 1), str(GUESTS / "hello.elf"))
    command = [sys.executable, "-m", "armvcpu", "run", "--timeout", "5", *arguments]
    return _judged(command, stdin=subprocess.DEVNULL, cwd=directory)


def limits(rng: Random, directory: Path) -> str:
    """Limits of files, descriptors and memory; outputs that are closed, full or go nowhere."""
    limit = rng.choice((None, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS))
    amount = {
        None: 0,
        resource.RLIMIT_NOFILE: rng.randrange(8, 40),
        resource.RLIMIT_FSIZE: rng.choice((0, 100, 4096)),
        resource.RLIMIT_AS: rng.choice((400, 700, 1000, 2000)) << 20,
    }[limit]
    closed = rng.choice(((), (), (1,), (2,), (0,), (1, 2), (0, 1, 2)))
    full = rng.choice((None, None, 1, 2))

    def prepare() -> None:
        if full is not None:
            os.dup2(os.open("/dev/full", os.O_WRONLY), full)
        for descriptor in closed:
            os.close(descriptor)
        if limit is not None:
            resource.setrlimit(limit, (amount, amount))

    guest = rng.choice(("hello", "crash", "exceptions"))
    extra = rng.choice(
        ([], ["--json"], ["--trace", "exits:t"], ["--trace", "exits:/dev/full"], ["--record", "r"],
         ["--record", "/dev/full"], ["--vars", "v"], ["--snapshot-save", "s", "--max-instructions", "500"])
    )  # fmt: skip
    command = [sys.executable, "-m", "armvcpu", "run", "--timeout", "5", str(GUESTS / f"{guest}.elf"), *extra]
    return _judged(
        command, stdin=subprocess.DEVNULL, cwd=directory, preexec_fn=prepare, can_say=full != 2 and 2 not in closed
    )
