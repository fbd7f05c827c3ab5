"""A conversation with a guest of QEMU's `virt` board, as `conversation.Conversation` has one with a machine's.

It takes the options of a machine, and says them in QEMU's words, so that a test has both boards boot the same.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

from armvcpu.machine.layout import parse_module
from armvcpu.testing.firmware import programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CPU_MODELS = {"a57": "cortex-a57", "a72": "cortex-a72", "max": "max"}
LEVELS = {1: "", 2: ",virtualization=on", 3: ",virtualization=on,secure=on"}
_FILES = {"firmware": "-bios", "initrd": "-initrd", "append": "-append"}


def words(image: Path | None, options: dict[str, Any], secure_output: Path) -> Iterator[str]:
    """The command line for the board of these options; what the Secure UART prints goes to a file."""
    yield from (programs.path("qemu-system-aarch64"), "-display", "none", "-monitor", "none", "-net", "none")
    yield from ("-serial", "stdio", "-serial", f"file:{secure_output}")
    yield from ("-M", f"virt,gic-version={options.get('gic', 3)}{LEVELS[options.get('el', 1)]}")
    yield from ("-cpu", CPU_MODELS[options["cpu_model"]], "-smp", str(options.get("cpus", 1)))
    yield from ("-m", options.get("memory", "256M"))
    if image is not None:
        yield from ("-kernel", str(image))
    for name, flag in _FILES.items():
        if name in options:
            yield from (flag, str(options[name]))
    for module in map(parse_module, options.get("modules", ())):
        kind = "initrd" if module.kind == "ramdisk" else module.kind
        bootargs = "" if module.bootargs is None else f",bootargs={module.bootargs}"
        yield from ("-device", f"guest-loader,addr={module.load.address:#x},{kind}={module.load.path}{bootargs}")


class QemuConversation:
    """QEMU and its console; `secure_output` is a file for what the Secure UART prints."""

    def __init__(self, image: Path | None, secure_output: Path, **options: Any) -> None:
        command: Sequence[str] = tuple(words(image, options, secure_output))
        self._secure_output = secure_output
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self._output, self._seen = bytearray(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def output(self) -> str:
        """All that has been printed, by the Secure UART too."""
        secure = self._secure_output.read_bytes() if self._secure_output.exists() else b""
        return (bytes(self._output) + secure).decode(errors="replace")

    def type(self, keys: str) -> None:
        """Type as it is."""
        assert self._process.stdin is not None
        self._process.stdin.write(keys.encode())

    def expect(self, text: str, timeout: float) -> None:
        """Wait until the guest has printed `text` after what was expected before."""
        wanted, deadline = text.encode(), time.monotonic() + timeout
        while (at := self._output.find(wanted, self._seen)) < 0:
            assert self._read(deadline), f"waiting for {text!r} after {bytes(self._output[-300:])!r}"
        self._seen = at + len(wanted)

    def _read(self, deadline: float) -> bool:
        """Read on; False where there is no more, or no time left."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0, deadline - time.monotonic())):
                return False
        data = os.read(self._process.stdout.fileno(), 65536)
        self._output += data
        return bool(data)

    def end(self, timeout: float) -> int:
        """Wait until QEMU has ended; its status."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return self._process.wait(max(1, deadline - time.monotonic()))
