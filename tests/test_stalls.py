"""Guests that ask a device for more than it can do at once: time-outs are heard, and a run repeats to the byte.

Each makes the longest request or the most requests that its queue can hold, and then spins.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import ExitStack

import pytest
from raw_guest import BASE, FOREVER, branch, flat, image, mov, store

from armvcpu import Machine
from armvcpu.machine.board.virt import FW_CFG_BASE, RAM_BASE

MIB = 1 << 20
DESCRIPTORS, AVAILABLE, USED = (RAM_BASE + 16 * MIB + offset for offset in (0, 0x8000, 0x1_0000))
HEADER, STATUS, BUFFER = RAM_BASE + 17 * MIB, RAM_BASE + 17 * MIB + 16, RAM_BASE + 32 * MIB
QUEUE_SIZE = 1024
WRITABLE, NEXT = 2, 1
REQUESTS = {  # device, queue, chains, bytes of a buffer, buffers
    "one disk request of 4 GiB": (2, 0, 1, 4 * MIB, 1000),
    "a thousand disk requests of a thousand buffers": (2, 0, 1024, 512, 1000),
    "entropy for a thousand buffers, a thousand times": (4, 0, 1024, 1, 1024),
    "8 GiB for the console": (3, 1, 1024, MIB, 8),
    "a thousand frames in a thousand pieces": (1, 1, 1024, 1, 1000),
}

LOCAL = {name: request for name, request in REQUESTS.items() if request[0] != 1}
"""Without the network, which is the host's: frames that it does not take wait for it."""


@pytest.fixture
def boot(tmp_path):
    """A machine with every device, whose network takes what it is sent and says nothing."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(str(tmp_path / "net"), family=socket.AF_UNIX))
        with (tmp_path / "disk").open("wb") as disk:
            disk.truncate(8 << 30)
        (tmp_path / "guest.bin").write_bytes(bytes(4))

        def drain() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while connection.recv(MIB):
                        pass

        threading.Thread(target=drain, daemon=True).start()
        stack.callback(server.shutdown, socket.SHUT_RDWR)

        def boot(**options) -> Machine:
            plugged = {"disks": (f"{tmp_path}/disk,ro",), "networks": (f"unix:{tmp_path}/net",)}
            return stack.enter_context(
                Machine(
                    tmp_path / "guest.bin", virtio_version=2, virtio_console=True, memory=64 * MIB, **plugged, **options
                )
            )

        yield boot


def ask(machine: Machine, kind: int, queue: int, chains: int, size: int, count: int) -> None:
    """Have the guest make so many chains available at once, all of them the same one."""
    slot = next(s for s in machine.board.slots if s.name.startswith("virtio") and s.device.read(8, 4) == kind)
    areas = ((0x80, DESCRIPTORS), (0x90, AVAILABLE), (0xA0, USED))
    writes = [(0x70, 0), (0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11), (0x30, queue), (0x38, QUEUE_SIZE)]
    writes += [*areas, (0x44, 1), (0x70, 15), (0x50, queue)]
    words = flat(*([*mov(0, slot.base + register), *mov(1, value), store(1, 0, 4)] for register, value in writes))
    machine.write(BASE, image(words, FOREVER))
    flags = WRITABLE if kind in (2, 4) else 0
    chain = [(BUFFER, size, flags)] * count
    if kind == 2:
        chain[0], chain[-1] = (HEADER, 16, 0), (STATUS, 1, WRITABLE)
    for index, (address, length, flag) in enumerate(chain):
        more = NEXT if index < count - 1 else 0
        machine.write(DESCRIPTORS + 16 * index, struct.pack("<QIHH", address, length, flag | more, index + 1))
    machine.write(AVAILABLE, struct.pack("<HH", 0, chains))


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_time_out_is_heard_while_a_device_has_much_to_do(boot, request_):
    """Within 0.2 s on a host that has nothing else to do; here it may have."""
    machine = boot()
    ask(machine, *request_)
    start = time.monotonic()
    outcome = machine.run(timeout=0.3)
    assert outcome.reason == "time-out"
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("request_", LOCAL.values(), ids=LOCAL)
def test_what_a_device_does_in_pieces_repeats(boot, request_):
    """By the instruction clock it is as far at the same instruction in every run."""
    states = []
    for _ in range(2):
        machine = boot(clock="instructions")
        ask(machine, *request_)
        machine.run(max_instructions=100_000)
        states.append((machine.read(USED, 4), [slot.device.state() for slot in machine.board.slots[-40:]]))
        machine.close()
    assert states[0] == states[1]
    assert any(state.get("unfinished") for state in states[0][1])


def test_a_time_out_is_heard_while_fw_cfg_fills_all_of_ram(boot):
    """A transfer without end: it begins anew as often as it is finished."""
    machine = boot()
    control = struct.pack(">IIQ", 2, 46 * MIB, RAM_BASE + 18 * MIB)
    start = int.from_bytes(HEADER.to_bytes(8, "big"), "little")
    machine.write(HEADER, control)
    words = flat(mov(0, FW_CFG_BASE + 0x10), mov(1, start))
    machine.write(BASE, image(words, store(1, 0, 8), branch(-1)))
    assert machine.run(timeout=0.3).reason == "time-out"
