"""`--armvcpu-gdb`: a test that has failed waits for gdb, its machine as it was when it failed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.testing.target.target import Target

PORT = "1234"
"""Where gdb connects, unless told otherwise: as QEMU's -s has it."""


def hold_for_gdb(target: Target, address: str, name: str, say: Callable[[str], object]) -> None:
    """Wait until a gdb has come and left; `name` is the test's. Where it can't come, that is one line."""
    try:
        server = target.serve_gdb(address, say=say)
    except UsageError as error:
        say(f"armvcpu: {error}")
        return
    pc = target.vcpu.state.pc
    place = target.symbols.format(pc)
    image = target.config.image
    program = "" if image is None else f" {shlex.quote(str(image))}"
    say(
        f"armvcpu: {name} failed, its guest at {pc:#x}{f' in {place}' if place else ''}: "
        f"gdb-multiarch{program} -ex 'target remote {server.address}'; it goes on when gdb leaves"
    )
    try:
        server.hold(target.run)
    finally:
        server.close()
