"""The `virt` board as data: slots of (name, base, device, interrupts), which bus, device tree and listing all walk.

    0x0000_0000  flash bank 0, 64 MiB         firmware starts here
    0x0400_0000  flash bank 1, 64 MiB         its variables
    0x0800_0000  GICD
    0x0801_0000  GICC, and GICv2m at 0x0802_0000   (with a GICv2)
    0x0803_0000  GICH, and GICV at 0x0804_0000     (with a GICv2 and EL2)
    0x080A_0000  GICR, 128 KiB for each CPU        (with a GICv3)
    0x0900_0000  PL011 UART                   SPI 1
    0x0901_0000  PL031 real-time clock        SPI 2
    0x0902_0000  fw_cfg
    0x0903_0000  PL061 GPIO, power key        SPI 7
    0x0904_0000  PL011 UART, Secure           SPI 8     (with an EL3, as all that is Secure)
    0x090B_0000  PL061 GPIO, Secure           SPI 0     lines that switch the board off, or reset it
    0x0A00_0000  virtio-mmio, 32 of 0x200     SPI 16 up
    0x0E00_0000  RAM, Secure, 16 MiB
    0x1000_0000  PCIe memory window
    0x3EFF_0000  PCIe I/O window
    0x4000_0000  RAM
    0x40_1000_0000  PCIe ECAM, 256 MiB        INTx SPI 3 to 6
    0x80_0000_0000  PCIe high memory window, 512 GiB

The map is that of QEMU's `virt` board (`qemu-system-aarch64 -M virt,dumpdtb=F`), so that firmware made for it boots.
With an EL3 flash bank 0 is Secure, too: Non-secure accesses to what is Secure abort.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Literal
from armvcpu.devices.dtnode import Ref
from armvcpu.devices.flash import Flash
from armvcpu.devices.fw_cfg import FwCfg
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.devices.pcie_ecam import PcieEcam, PcieWindow, Space
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl031 import Pl031
from armvcpu.devices.pl061 import Pl061
from armvcpu.devices.virtio.mmio import VirtioMmio
from armvcpu.devices.wires import Wires, unconnected
from armvcpu.errors import UsageError, named
from armvcpu.machine.board.memory_map import MemoryMap, Region
from armvcpu.machine.board.tree import board_tree
from armvcpu.machine.disk_option import SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from armvcpu.devices.deadline import Schedule
    from armvcpu.devices.device import Device
    from armvcpu.devices.dma import DmaMemory
    from armvcpu.devices.flash import Contents
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.stream import Stream
    from armvcpu.devices.virtio.device import VirtioDevice
    from armvcpu.devices.wires import DeviceClock
    from armvcpu.machine.board.devicetree import DeviceTree
    from armvcpu.machine.board.interrupts import Lines
    from armvcpu.machine.layout import Ram

MIB, GIB = 1 << 20, 1 << 30
RAM_BASE = 0x4000_0000
FLASH_BASES, FLASH_SIZE = (0x0000_0000, 0x0400_0000), 64 * MIB
GICD_BASE, GICC_BASE, GICV2M_BASE = 0x0800_0000, 0x0801_0000, 0x0802_0000
GICH_BASE, GICV_BASE = 0x0803_0000, 0x0804_0000
GICR_BASE, GICR_LIMIT = 0x080A_0000, 0xF6_0000
UART_BASE, UART_SPI = 0x0900_0000, 1
RTC_BASE, RTC_SPI = 0x0901_0000, 2
FW_CFG_BASE = 0x0902_0000
GPIO_BASE, GPIO_SPI = 0x0903_0000, 7
SEED_SIZE = 40
"""Bytes of the Secure world's seeds: 32 of rng-seed and 8 of kaslr-seed."""
SECURE_RAM_BASE, SECURE_RAM_SIZE = 0x0E00_0000, 16 * MIB
VIRTIO_BASE, VIRTIO_SLOTS, VIRTIO_STRIDE, VIRTIO_SPI = 0x0A00_0000, SLOTS, 0x200, 16
ECAM_BASE, PCIE_SPIS = 0x40_1000_0000, (3, 4, 5, 6)
PCIE_WINDOWS = (
    PcieWindow(Space.IO, 0, 0x3EFF_0000, 0x1_0000),
    PcieWindow(Space.MEMORY_32, 0x1000_0000, 0x1000_0000, 0x2EFF_0000),
    PcieWindow(Space.MEMORY_64, 0x80_0000_0000, 0x80_0000_0000, 0x80_0000_0000),
)
PAGE = 4096
INPUT_BITS = 40
"""Bits of guest-physical address: enough for the high PCIe window."""


class Slot(Row):
    """A device at its place: base in the guest-physical map, SPI numbers (SPI 0 is INTID 32)."""

    name: str
    base: int
    device: Device
    spis: tuple[int, ...] = ()
    is_secure: bool = False
    """Is it the Secure world's alone?"""

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.device.size


class Board(Row):
    """The slots of one machine, its RAM and its CPUs."""

    slots: list[Slot]
    ram_size: int
    wiring: Wiring
    gic: Gicv2 | Gicv3
    uart: Pl011
    rtc: Pl031
    gpio: Pl061
    flash: tuple[Flash, Flash]
    fw_cfg: FwCfg
    cpu_compatible: str
    mpidrs: Sequence[int]
    added: list[Slot]
    """Those of the slots that a user has added."""
    more: tuple[Ram, ...] = ()
    """RAM of the user's, beside the board's own."""
    covered: tuple[Slot, ...] = ()
    """What is not on this board, since the user's RAM lies there."""

    @property
    def pcie_windows(self) -> tuple[PcieWindow, ...]:
        """Those of its PCIe, where that is there."""
        return PCIE_WINDOWS if any(isinstance(slot.device, PcieEcam) for slot in self.slots) else ()

    @property
    def secure_ram(self) -> tuple[Ram, ...]:
        """RAM of the Secure world."""
        return secure_ram(self.wiring.el)

    @property
    def secure_ranges(self) -> tuple[tuple[int, int], ...]:
        """(base, size) of each piece, in whole pages, at which Non-secure accesses abort."""
        slots = (slot for slot in self.slots if slot.is_secure)
        places = [(ram.base, ram.size) for ram in self.secure_ram] + [(slot.base, slot.size) for slot in slots]
        return tuple((base, -(-size // PAGE) * PAGE) for base, size in places)

    @property
    def console(self) -> Pl011:
        """The UART that has what is typed: the first that the user has put on the console, else the board's own."""
        stream = self.wiring.stream
        added = (slot.device for slot in self.added)
        return next((each for each in added if isinstance(each, Pl011) and each.stream is stream), self.uart)

    def add(self, device: Device, base: int, spi: int | None = None, name: str | None = None) -> Slot:
        """Put one more device on the board, connected to its wires; its slot, named after its class by default.

        Raises:
            UsageError: there is no such SPI, or the name or the SPI is another device's.
        """
        name = type(device).__name__.lower() if name is None else name
        if not _is_node_name(name):
            raise UsageError(f"{name!r} is no device's name: a letter, then letters, digits and , . _ + -, up to 31")
        if not device.is_made:
            raise UsageError(
                f"{type(device).__name__}.__init__ does not call super().__init__(), which makes the device"
            )
        if device.is_placed:
            raise UsageError(f"{name} is on a board already: a device has one place")
        if spi is not None and type(spi) is not int:
            raise UsageError(f"SPI {spi!r}: give a number, or None")
        if any(slot.name == name for slot in self.slots):
            raise UsageError(f"there is a device {name!r} already: give another name")
        if spi is not None and (taken := next((slot for slot in self.slots if spi in slot.spis), None)):
            raise UsageError(f"SPI {spi} is that of {taken.name}: give another one")
        device.connect(self.wiring.wires(self.gic, spi))
        device.is_placed = True
        slot = Slot(name, base, device, () if spi is None else (spi,))
        self.slots.append(slot)
        self.added.append(slot)
        return slot

    def find(self, address: int) -> Slot | None:
        """The slot that decodes an address."""
        return next((slot for slot in self.slots if slot.base <= address < slot.base + slot.size), None)

    def name_of(self, address: int) -> str:
        """The device and register at a guest-physical address, as `pl011.UARTDR`; empty where there is none."""
        slot = self.find(address)
        return "" if slot is None else f"{slot.name}{slot.device.name_of(address - slot.base)}"

    def flash_at(self, base: int) -> Flash | None:
        """The flash bank whose slot begins there."""
        return next((flash for flash, at in zip(self.flash, FLASH_BASES, strict=True) if at == base), None)

    def memory_map(self) -> MemoryMap:
        """What an image may use and must not touch."""
        there = {slot.base for slot in self.slots if isinstance(slot.device, Flash)}
        flash = tuple(
            Region(f"flash bank {i}", base, FLASH_SIZE) for i, base in enumerate(FLASH_BASES) if base in there
        )
        others = tuple(Region(s.name, s.base, s.size) for s in self.slots if not isinstance(s.device, Flash))
        more = tuple(Region("RAM", ram.base, ram.size) for ram in self.more)
        secure = tuple(Region("Secure RAM", ram.base, ram.size) for ram in self.secure_ram)
        return MemoryMap(Region("RAM", RAM_BASE, self.ram_size), flash, devices=others, more=more, secure=secure)

    def device_tree(self) -> DeviceTree:
        """The tree of this board, one object for all boards like it; memory and boot arguments come with the image."""
        return board_tree(self)


def _is_node_name(name: object) -> bool:
    """May a device-tree node be called so (Devicetree Specification 2.2.1)?"""
    if not isinstance(name, str) or len(name) > 31 or not name.isascii() or not name[:1].isalpha():
        return False
    return all(letter.isalnum() or letter in ",._+-" for letter in name)


def affinity(index: int) -> int:
    """MPIDR_EL1's affinity of a CPU: clusters of 16, so that one ICC_SGI1R_EL1 reaches a whole cluster."""
    return index // 16 << 8 | index % 16


class Wiring(Row):
    """What a board is connected to: its console, flash contents, CPUs, memory for DMA, virtio devices, time."""

    stream: Stream
    flash: tuple[Contents, Contents]
    lines: Lines
    schedule: Schedule
    clock: DeviceClock
    memory: DmaMemory | None = None
    virtio: Mapping[int, VirtioDevice] = MappingProxyType({})
    """By their slots."""
    virtio_version: Literal[1, 2] = 1
    gic: Literal[2, 3] = 3
    el: Literal[1, 2, 3] = 1
    """The highest Exception level that the CPUs have: with 3 the board has its Secure devices."""
    secure_stream: Stream | None = None
    """The Secure UART's console, where that is not the first one's."""

    def wires(self, gic: Gicv2 | Gicv3, spi: int | None = None) -> Wires:
        """The wires of one device with this SPI, or with no interrupt."""
        line = unconnected if spi is None else gic.spi_line(spi)
        return Wires(line, schedule=self.schedule, clock=self.clock, memory=self.memory)


def virt_board(ram_size: int, wiring: Wiring, cpu_model: str = "a72", more: tuple[Ram, ...] = ()) -> Board:
    """The `virt` board with as many CPUs as there are lines to; what `more` RAM covers is not there.

    Raises:
        UsageError: it covers the interrupt controller.
    """
    mpidrs = tuple(affinity(index) for index in range(len(wiring.lines.inputs)))
    lines, el = wiring.lines, wiring.el
    gic, gic_slots = _gicv3(mpidrs, lines, el) if wiring.gic == 3 else _gicv2(lines, el)
    first, second = (not is_covered(base, FLASH_SIZE, more) for base in FLASH_BASES)
    is_split = wiring.el == 3
    in_first, in_second = (1, 1) if is_split else (1 + second, int(not first))
    flash = (Flash(wiring.flash[0], banks_in_node=in_first), Flash(wiring.flash[1], banks_in_node=in_second))
    fw_cfg = FwCfg(len(mpidrs), wiring.wires(gic))
    slots = [Slot("flash0", FLASH_BASES[0], flash[0], is_secure=is_split), Slot("flash1", FLASH_BASES[1], flash[1])]
    slots += gic_slots
    uart = Pl011(wiring.stream, wiring.wires(gic, UART_SPI))
    rtc, gpio = Pl031(wiring.wires(gic, RTC_SPI)), Pl061(wiring.wires(gic, GPIO_SPI))
    slots.append(Slot("pl011", UART_BASE, uart, (UART_SPI,)))
    slots.append(Slot("pl031", RTC_BASE, rtc, (RTC_SPI,)))
    slots.append(Slot("fw_cfg", FW_CFG_BASE, fw_cfg))
    slots.append(Slot("pl061", GPIO_BASE, gpio, (GPIO_SPI,)))
    if wiring.el == 3:
        from armvcpu.machine.board.secure import secure_slots  # most boards have no Secure world

        slots += secure_slots(wiring, gic)
    empty = _empty_slots(wiring.virtio_version)
    slots += [_virtio_slot(i, wiring, gic) if i in wiring.virtio else empty[i] for i in range(VIRTIO_SLOTS)]
    msi = Ref("v2m") if wiring.gic == 2 else None
    slots.append(Slot("pcie-ecam", ECAM_BASE, PcieEcam(PCIE_WINDOWS, gic=Ref("gic"), msi=msi), PCIE_SPIS))
    compatible = "arm,armv8" if cpu_model == "max" else f"arm,cortex-{cpu_model}"
    covered = _covered(slots, gic_slots, more) if more else ()
    if covered:
        slots = [slot for slot in slots if slot not in covered]
    return Board(
        slots, ram_size, wiring, gic, uart, rtc, gpio, flash, fw_cfg, compatible, mpidrs, [], more, covered
    )  # fmt: skip


def secure_ram(el: int) -> tuple[Ram, ...]:
    """The Secure world's RAM on a board whose CPUs have the levels up to `el`."""
    if el < 3:
        return ()
    from armvcpu.machine.layout import Ram  # most boards have none

    return (Ram(SECURE_RAM_BASE, SECURE_RAM_SIZE),)


def is_covered(base: int, size: int, more: tuple[Ram, ...]) -> bool:
    """Does the user's RAM lie over any of this?"""
    return any(ram.overlaps(base, size) for ram in more)


def _covered(slots: Sequence[Slot], gic_slots: Sequence[Slot], more: tuple[Ram, ...]) -> tuple[Slot, ...]:
    """What the user's RAM lies over. PCIe is there with its windows or not at all."""
    for slot in gic_slots:
        if ram := next((each for each in more if each.overlaps(slot.base, slot.size)), None):
            where = f"{slot.name} at {slot.base:#x}"
            raise UsageError(f"{named('ram')} {ram} covers the interrupt controller ({where}); give another place")
    windows = any(is_covered(window.cpu_addr, window.size, more) for window in PCIE_WINDOWS)
    return tuple(
        slot for slot in slots
        if is_covered(slot.base, slot.size, more) or (windows and isinstance(slot.device, PcieEcam))
    )  # fmt: skip


def _gicv3(mpidrs: Sequence[int], lines: Lines, el: int) -> tuple[Gicv3, list[Slot]]:
    inputs = lines.inputs
    gic = Gicv3(
        mpidrs, [each.set_irq for each in inputs], [each.set_fiq for each in inputs], el=el,
        processors=lines.processors, access_is_secure=lines.access_is_secure,
        virq=[each.set_virq for each in inputs], vfiq=[each.set_vfiq for each in inputs],
        redistributor_base=GICR_BASE, redistributor_size=GICR_LIMIT,
    )  # fmt: skip
    slots = [Slot("gicd", GICD_BASE, gic.distributor)]
    slots += [Slot(f"gicr{i}", GICR_BASE + i * device.size, device) for i, device in enumerate(gic.redistributors)]
    return gic, slots


def _gicv2(lines: Lines, el: Literal[1, 2, 3]) -> tuple[Gicv2, list[Slot]]:
    from armvcpu.devices.gic.gicv2 import Gicv2  # most machines have a GICv3

    inputs = lines.inputs
    gic = Gicv2(
        [each.set_irq for each in inputs], [each.set_fiq for each in inputs], current_cpu=lines.current_cpu, el=el,
        access_is_secure=lines.access_is_secure, virq=[each.set_virq for each in inputs],
        vfiq=[each.set_vfiq for each in inputs], cpu_interface_base=GICC_BASE, msi_frame_base=GICV2M_BASE,
        gich_base=GICH_BASE, gicv_base=GICV_BASE,
    )  # fmt: skip
    slots = [
        Slot("gicd", GICD_BASE, gic.distributor),
        Slot("gicc", GICC_BASE, gic.gicc),
        Slot("gicv2m", GICV2M_BASE, gic.msi_frame),
    ]
    for name, base, frame in zip(("gich", "gicv"), (GICH_BASE, GICV_BASE), gic.hypervisor_frames, strict=False):
        slots.append(Slot(name, base, frame))
    return gic, slots


def _virtio_slot(index: int, wiring: Wiring, gic: Gicv2 | Gicv3) -> Slot:
    from armvcpu.devices.virtio.layouts import virtio_slot  # most machines have none

    wires = wiring.wires(gic, VIRTIO_SPI + index)
    return _slot(index, virtio_slot(wiring.virtio_version, wiring.virtio[index], wires))


@cache
def _empty_slots(version: Literal[1, 2]) -> tuple[Slot, ...]:
    """Every slot with nothing in it. An empty one has no state, so all of all boards may share it."""
    empty = VirtioMmio(version)
    return tuple(_slot(index, empty) for index in range(VIRTIO_SLOTS))


def _slot(index: int, device: Device) -> Slot:
    return Slot(f"virtio-mmio{index}", VIRTIO_BASE + index * VIRTIO_STRIDE, device, (VIRTIO_SPI + index,))
