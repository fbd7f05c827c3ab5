"""What a snapshot's file may say of each device: names, types, widths and ranges of what its `state()` gives.

Declared registers describe themselves (`Register`); here is what the board's devices keep beside them. It stands with
snapshots, as files are what can't be trusted: a device that is loaded may rely on what it gave itself. A device of a
script's own has the fields that its `state()` has, and looks at them itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.gic_cpu_interface import MAX_BPR, MIN_BPR0, MIN_BPR1
from armvcpu.arch.gic_ich import LIST_REGISTERS
from armvcpu.arch.gich_registers import LIST_REGISTERS as GICH_LRS
from armvcpu.devices import flash
from armvcpu.devices.budget import PAUSE_NS
from armvcpu.devices.dma import DmaError
from armvcpu.devices.flash_query import BUFFER
from armvcpu.devices.fw_cfg import CONTROL, FwCfg
from armvcpu.devices.gic.gicv2 import Gicv2
from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
from armvcpu.devices.gic.gicv3_groups import GroupedBank
from armvcpu.devices.gic.gicv3_secure_interface import ThreeGroupInterface
from armvcpu.devices.gic.nsacr import OpenedBank
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl011_registers import FIFO_DEPTH
from armvcpu.devices.pl031 import Pl031
from armvcpu.devices.pl061 import Pl061
from armvcpu.devices.virtio.block import VirtioBlock
from armvcpu.devices.virtio.console import HELD, VirtioConsole
from armvcpu.devices.virtio.net import LONGEST, WAITING, VirtioNet
from armvcpu.devices.virtio.queue import MAX_CHAIN_BYTES, Virtqueue
from armvcpu.devices.virtio.transport import VirtioTransport
from armvcpu.errors import UsageError
from armvcpu.machine.board.flash_banks import PIECE
from armvcpu.machine.snapshots.fields import (
    anything,
    between,
    bit,
    bitmap,
    data,
    exactly,
    flag,
    maybe,
    number,
    one_of,
    record,
    several,
    table,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.device import Device, Register
    from armvcpu.devices.dma import DmaMemory
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.gicv3_icc import SystemRegisterInterface
    from armvcpu.devices.gic.state import InterruptBank
    from armvcpu.machine.snapshots.fields import Kind

_SECONDS = between(-(1 << 62), 1 << 62)
_SELECTOR_BITS, _CHARACTER_BITS, _PRIORITY_BITS, _LEVELS = 14, 12, 8, 32
_REQUEST_BITS = MAX_CHAIN_BYTES.bit_length()


def device_fields(device: Device, memory: DmaMemory) -> Kind:
    """The state of a device in one of the board's slots; queues lie in the guest's `memory`."""
    values = {"values": _values(device)}
    known = values | _beside(device, memory)
    return record({name: known.get(name, anything) for name in device.state()})


def _values(device: Device) -> Kind:
    return record({name: _register(register) for name, register in device.REGISTERS.items()})


def _register(register: Register[int] | Register[list[int]]) -> Kind:
    value, stored = number(8 * register.width), register.reset_value()
    return several(value, len(stored), len(stored)) if isinstance(stored, list) else value


def _beside(device: Device, memory: DmaMemory) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    match device:
        case flash.Flash():
            kinds = _flash(device)
        case Pl011():
            kinds = {"received": several(number(_CHARACTER_BITS), FIFO_DEPTH), "overrun": flag}
        case Pl031():
            kinds = {"offset": _SECONDS, "alarm": _SECONDS}
        case Pl061():
            kinds = dict.fromkeys(("outputs", "inputs", "edges"), number(8))
        case FwCfg():
            kinds = {"selected": number(_SELECTOR_BITS), "at": number(63), "dma_high": number(32)}
            kinds |= {"transfer": partial(_transfer, memory), "pause": maybe(between(0, PAUSE_NS))}
        case VirtioTransport():
            kinds = _virtio(device, memory)
    return kinds


def _transfer(memory: DmaMemory, value: object, place: str) -> None:
    """Nothing, or the place of a control structure, how many bytes are still to come, and where they go."""
    several(number(64), 3)(value, place)
    assert isinstance(value, list)
    if not value:
        return
    try:
        address, length, target = value
        memory.view(address, CONTROL.size)
        memory.view(target, length)
    except (DmaError, ValueError) as error:
        raise UsageError(f"{place} is no transfer: {error}") from error


def _flash(device: flash.Flash) -> dict[str, Kind]:
    return {
        "mode": one_of(flash.ARRAY, flash.STATUS, flash.IDENTIFY, flash.QUERY),
        "status": number(8),
        "setup": one_of(0, *flash.PROGRAM, flash.ERASE, flash.BUFFERED, flash.LOCK),
        "buffer_left": between(-1, BUFFER),
        "buffer": partial(_programmed, device.size),
        "changes": table(_multiple(PIECE, device.size), data(PIECE, PIECE)),
    }


def _programmed(size: int, value: object, place: str) -> None:
    """Words of the bus, each at a multiple of its width."""
    table(number(size.bit_length() - 1), data(8, 1))(value, place)
    assert isinstance(value, dict)
    for offset, word in value.items():
        if len(word) not in {1, 2, 4, 8} or offset % len(word):
            raise UsageError(f"{place}[{offset:#x}] is no write of the bus")


def _multiple(step: int, end: int) -> Kind:
    def check(value: object, place: str) -> None:
        number(end.bit_length() - 1)(value, place)
        assert isinstance(value, int)
        if value % step:
            raise UsageError(f"{place} is {value:#x}, no multiple of {step:#x}")

    return check


# --- virtio ---------------------------------------------------------------------------------------------------


def _virtio(transport: VirtioTransport, memory: DmaMemory) -> dict[str, Kind]:
    own: dict[str, Kind] = {}
    match transport.device:
        case VirtioConsole():
            own = {"held": data(HELD), "is_in_use": flag, "sent": number(_REQUEST_BITS)}
        case VirtioBlock():
            own = {"done": number(_REQUEST_BITS)}
        case VirtioNet():
            own = {"waiting": several(data(LONGEST), WAITING)}
    return {
        "driver_features": number(64),
        "generation": number(32),
        "fault": maybe(text),
        "unfinished": number(len(transport.queues)),
        "pause": maybe(between(0, PAUSE_NS)),
        "queues": exactly(*(partial(_queue, Virtqueue(memory, queue.maximum)) for queue in transport.queues)),
        "device": record({name: own.get(name, anything) for name in transport.device.state()}),
    }


_QUEUE = record(
    {"size": number(32)}
    | dict.fromkeys(("desc", "driver", "device"), number(64))
    | dict.fromkeys(("ready", "event_index", "indirect"), bit)
    | dict.fromkeys(("_next", "_used", "_signalled"), number(16))
)


def _queue(scratch: Virtqueue, value: object, place: str) -> None:
    """One that can be used where it is: the queue's own rules say so."""
    _QUEUE(value, place)
    assert isinstance(value, dict)
    try:
        scratch.load_state(value)
    except DmaError as error:
        raise UsageError(f"{place}: {error}") from error


# --- interrupt controllers ------------------------------------------------------------------------------------


def gic_fields(gic: Gicv2 | Gicv3) -> Kind:
    """The state of the board's interrupt controller."""
    shared = _bank(gic.shared)
    private = [_bank(interface.private) for interface in gic.interfaces]
    if isinstance(gic, Gicv2):
        return _gicv2_fields(gic, shared, private)
    redistributors = (
        record({"values": _values(device), "private": own})
        for device, own in zip(gic.redistributors, private, strict=True)
    )
    return record(
        {
            "distributor": record({"values": _values(gic.distributor), "spis": shared}),
            "redistributors": exactly(*redistributors),
            "interfaces": exactly(*(record(_interface_of(interface)) for interface in gic.interfaces)),
        }
    )


def _gicv2_fields(gic: Gicv2, shared: Kind, private: Sequence[Kind]) -> Kind:
    interface = {**_interface(), "ctlr": number(11)}
    interfaces = exactly(*(record(interface) for _ in gic.interfaces))
    kinds = {
        "distributor": record({"values": _values(gic.distributor), "spis": shared, "private": exactly(*private)}),
        "cpu_interface": record({"values": _values(gic.cpu_interface), "interfaces": interfaces}),
    }
    if gic.virtual:
        lrs = several(number(32), GICH_LRS, GICH_LRS)
        kinds["virtual"] = exactly(*(record({**interface, "hcr": number(32), "lrs": lrs}) for _ in gic.virtual))
    return record(kinds)


def _bank(bank: InterruptBank) -> Kind:
    kinds: dict[str, Kind] = dict.fromkeys(("line", "latched", "active", "edge", "group1"), bitmap(bank.valid))
    kinds |= {"enabled": bitmap(bank.valid), "priorities": data(bank.intids.stop, bank.intids.stop)}
    if isinstance(bank, OpenedBank):
        kinds |= dict.fromkeys(("nsacr_low", "nsacr_high"), bitmap(bank.openable))
    if isinstance(bank, GroupedBank):
        kinds["modifier"] = bitmap(bank.valid)
    if isinstance(bank, PrivateInterrupts):
        kinds["sources"] = several(number(8), len(bank.sources), len(bank.sources))
    return record(kinds)


def _interface_of(interface: SystemRegisterInterface) -> dict[str, Kind]:
    """What a GICv3's interface has, with its virtual one and Secure Group 1 where there are such."""
    kinds = _interface()
    if interface.virtual is not None:
        lrs = several(number(64), LIST_REGISTERS, LIST_REGISTERS)
        kinds["virtual"] = record({**_interface(), "hcr": number(32), "lr": lrs})
    if isinstance(interface, ThreeGroupInterface):
        kinds |= {
            "enabled_groups": number(3),
            "bpr1_secure": between(MIN_BPR0, MAX_BPR),
            "apr1_secure": number(_LEVELS),
        }
        kinds |= dict.fromkeys(("cbpr_secure", "eoi_mode_secure", "eoi_mode_el3"), bit)
    return kinds


def _interface() -> dict[str, Kind]:
    return {
        "pmr": number(_PRIORITY_BITS),
        "bpr0": between(MIN_BPR0, MAX_BPR),
        "bpr1": between(MIN_BPR1, MAX_BPR),
        "cbpr": bit,
        "eoi_mode": bit,
        "enabled_groups": number(2),
        "apr0": number(_LEVELS),
        "apr1": number(_LEVELS),
    }
