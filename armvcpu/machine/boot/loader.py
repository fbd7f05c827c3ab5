"""Where everything goes before the first instruction: a boot request in, a boot plan out.

The order follows QEMU's `virt` board (hw/arm/boot.c), so that what boots there finds the same memory: image, then
initrd at 128 MiB into RAM (or half of it), then the device tree at the first 2 MiB boundary behind the initrd, or from
its place on where there is none; for ELF files and firmware it is at the start of RAM. Where that is taken it goes
near the end of RAM. The machine carries the plan out. Entry conditions are those of
Documentation/arch/arm64/booting.rst ("Call the kernel image").
"""

from __future__ import annotations

from types import MappingProxyType

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import ImageError, UsageError, named
from armvcpu.machine.board.devicetree import DeviceTree, render, with_boot
from armvcpu.machine.board.devicetree_cache import rendered
from armvcpu.machine.board.memory_map import Region
from armvcpu.machine.boot.image import GIB, KIB, LINUX_KINDS, MIB, ImageKind, LoadedImage, Segment, identify
from armvcpu.machine.boot.image_file import GUESTS_RAM, load_firmware, load_image, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from armvcpu.devices.dtnode import DtValue
    from armvcpu.machine.board.memory_map import MemoryMap
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.layout import Load, Module

DTB_ALIGNMENT = 2 * MIB
DTB_MAX_SIZE = 2 * MIB
"""The most that booting.rst allows, since kernels map one block of it."""
INITRD_ALIGNMENT = 4 * KIB

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class BootRequest(Row):
    """What to boot, and on which memory. `firmware` starts from flash bank 0, an `image` is its kernel."""

    memory: MemoryMap
    device_tree: DeviceTree
    """The board's own tree; `dtb` replaces it."""
    image: PathLike | None = None
    firmware: PathLike | None = None
    initrd: PathLike | None = None
    dtb: PathLike | None = None
    append: str | None = None
    load_address: int | None = None
    entry: int | str | None = None
    """Where to start, in place of where image or firmware says: an address, or a symbol of the image."""
    loads: tuple[Load, ...] = ()
    """Further files in memory; with an `entry` they may be all that there is."""
    modules: tuple[Module, ...] = ()
    """Further files in memory, which the device tree tells of."""
    symbols: Symbols | None = None
    """Names for addresses beside the image's own."""
    chosen: Mapping[str, DtValue] = _NOTHING
    """Further properties of /chosen, such as rng-seed."""


class BootPlan(Row):
    """What to put where, and how to enter it; x1 to x3 are zero in every case."""

    entry: int
    x0: int
    dtb_addr: int | None
    """Where the device tree is; None where the image leaves no room for it."""
    segments: tuple[Segment, ...]
    description: tuple[str, ...]
    image: LoadedImage | None = None
    """The image that is entered; None when firmware is, or a file of `loads`."""
    fw_cfg: Mapping[str, bytes] = _NOTHING
    """What firmware fetches by itself: "kernel", "initrd" and "cmdline", as far as given."""

    @property
    def is_linux(self) -> bool:
        """Is a Linux kernel entered, by its own boot protocol?"""
        return self.image is not None and self.image.kind in LINUX_KINDS

    @property
    def writes(self) -> Iterator[tuple[int, bytes]]:
        """Address and contents of every write."""
        return ((segment.addr, segment.data) for segment in self.segments)

    @property
    def zeroes(self) -> Iterator[tuple[int, int]]:
        """Address and size of what must read as zero; it does after power-on, not after a reset in place."""
        for segment in self.segments:
            if segment.memory_size > len(segment.data):
                yield segment.addr + len(segment.data), segment.memory_size - len(segment.data)


def plan_boot(request: BootRequest) -> BootPlan:
    """Decide what goes where.

    Raises:
        ImageError: a file cannot be used or does not fit.
        UsageError: the options contradict each other.
    """
    _check_options(request)
    return _plan_firmware(request, request.firmware) if request.firmware is not None else _plan_image(request)


def _check_options(request: BootRequest) -> None:
    if request.image is None and request.firmware is None and request.entry is None:
        raise UsageError(f"nothing to run: give an {named('image')} or {named('firmware')}")
    if request.load_address is not None and request.firmware is not None:
        raise UsageError(
            f"{named('load_address')} and {named('firmware')} contradict each other: "
            "firmware starts from flash; leave one out"
        )


def _plan_image(request: BootRequest) -> BootPlan:
    image = None
    if request.image is not None:
        image = load_image(request.image, request.memory, request.load_address)
    segments = list(image.segments) if image is not None else []
    segments += _load_files(request, segments)
    entry = _entry(request, image, segments)
    initrd = _place_initrd(request, segments)
    dtb_addr = _place_device_tree(request, segments, initrd, image=image)
    what = "nothing but files" if image is None else f"{image.kind.value} {request.image}"
    lines = [f"{what}, entered at {entry:#x}"]
    if image is not None:
        lines += [f"  {s.addr:#x} to {s.end - 1:#x}" for s in image.segments]
        lines += [f"  {note}" for note in image.notes]
    lines += _describe(dtb_addr, initrd, request)
    return BootPlan(entry, dtb_addr or 0, dtb_addr, _cut(request, segments), tuple(lines), image=image)


def _load_files(request: BootRequest, segments: list[Segment]) -> list[Segment]:
    """The files of `loads` and `modules`, none of which may lie over another or what is there, as on QEMU's board."""
    memory = request.memory
    taken = [Region(str(request.image or request.firmware), s.addr, s.memory_size) for s in segments]
    loaded: list[Segment] = []
    for load in (*request.loads, *(module.load for module in request.modules)):
        data = read_file(load.path, max(memory.ram.size, GIB), "what is loaded at all")
        memory.place(load.path, "the file", load.address, len(data), "load it elsewhere")
        region = Region(load.path, load.address, len(data))
        if other := next((each for each in taken if each.overlaps(load.address, len(data))), None):
            raise UsageError(f"{other} and {region} overlap; load one of them elsewhere")
        taken.append(region)
        loaded.append(Segment(load.address, data, len(data)))
    return loaded


def _entry(request: BootRequest, image: LoadedImage | None, segments: list[Segment]) -> int:
    """Where the first CPU starts, as a physical address."""
    wanted, elf = request.entry, image.elf if image is not None else None
    if wanted is None:
        assert image is not None
        assert request.image is not None
        _check_entry(request.image, image, segments)
        return image.entry
    if isinstance(wanted, str):
        from armvcpu.machine.boot.symbols import Symbols  # most runs begin where their image says

        try:
            wanted = (request.symbols or Symbols()).and_of(elf).address(wanted)
        except UsageError as error:
            raise UsageError(f"{named('entry')}: {error.said(named)}") from error
    place = wanted
    if elf is not None and (isinstance(request.entry, str) or request.memory.holding(wanted) is None):
        from armvcpu.machine.boot.image_elf import physical

        place = physical(elf, wanted)
    if place % 4:
        raise UsageError(f"{named('entry')} {wanted:#x}: instructions are at multiples of 4")
    if request.memory.holding(place) is None:
        there = next((str(each) for each in request.memory.devices if each.overlaps(place, 4)), "nothing")
        raise UsageError(
            f"{named('entry')} {wanted:#x}: {there} is there, and no memory: give an address of {request.memory.ram}"
        )
    return place


def _check_entry(path: PathLike, image: LoadedImage, segments: list[Segment]) -> None:
    if not any(segment.addr <= image.entry < segment.end for segment in segments):
        problem = f"its entry point {image.entry:#x} lies in no segment"
        raise ImageError(path, problem, f"set ENTRY() in its linker script, or give {named('entry')}")


def _cut(request: BootRequest, segments: list[Segment]) -> tuple[Segment, ...]:
    """The segments, each in one memory: those that span two are cut."""
    cut: list[Segment] = []
    for segment in segments:
        for _, at, size in request.memory.pieces(segment.addr, segment.memory_size):
            start = at - segment.addr
            cut.append(
                segment if size == segment.memory_size else Segment(at, segment.data[start : start + size], size)
            )
    return tuple(cut)


def _plan_firmware(request: BootRequest, firmware: PathLike) -> BootPlan:
    bank = request.memory.flash[0]
    segments = [load_firmware(firmware, request.memory)]
    segments += _load_files(request, segments)
    entry = bank.base if request.entry is None else _entry(request, None, segments)
    fw_cfg: dict[str, bytes] = {}
    initrd: Segment | None = None
    if request.image is None:
        initrd = _place_initrd(request, segments)
    else:  # the firmware asks for them, and decides itself where they go
        ram = request.memory.ram
        kernel = read_file(request.image, ram.size, GUESTS_RAM)
        from armvcpu.machine.boot.image_linux import unwrap

        is_gzip = identify(kernel) is ImageKind.GZIP  # firmware expects EFI applications, but unpacks nothing
        fw_cfg["kernel"] = unwrap(request.image, kernel, ram.size) if is_gzip else kernel
        if request.initrd is not None:
            fw_cfg["initrd"] = read_file(request.initrd, ram.size, GUESTS_RAM)
        if request.append is not None:
            fw_cfg["cmdline"] = request.append.encode() + b"\0"
    dtb_addr = _place_device_tree(request, segments, initrd)
    lines = [f"firmware {firmware} in {bank.name}, entered at {entry:#x}"]
    lines += [f"  fw_cfg {name}: {len(data)} bytes" for name, data in fw_cfg.items()]
    lines += _describe(dtb_addr, initrd, request)
    # Flash is where the CPU comes out of reset, so x0 is zero; firmware finds the tree at the start of RAM.
    return BootPlan(entry, 0, dtb_addr, _cut(request, segments), tuple(lines), fw_cfg=fw_cfg)


def _describe(dtb_addr: int | None, initrd: Segment | None, request: BootRequest) -> list[str]:
    if dtb_addr is None:
        lines = [f"no device tree: the image leaves no room for one in {request.memory.ram}, and x0 is 0"]
    else:
        lines = [f"device tree {request.dtb or 'of the board'} at {dtb_addr:#x}"]
    lines += [f"{load.path} at {load.address:#x}" for load in request.loads]
    lines += [f"{module.kind} {module.load.path} at {module.load.address:#x}" for module in request.modules]
    if initrd is not None:
        lines.append(f"initrd {request.initrd} at {initrd.addr:#x} to {initrd.end - 1:#x}")
    return lines


def _place_initrd(request: BootRequest, segments: list[Segment]) -> Segment | None:
    """Read the initrd and add it to `segments`."""
    if request.initrd is None:
        return None
    ram = request.memory.ram
    data = read_file(request.initrd, ram.size, GUESTS_RAM)
    addr = first_fit(ram, segments, _middle(ram), len(data), INITRD_ALIGNMENT)
    if addr is None:
        raise ImageError(request.initrd, f"no room for its {len(data)} bytes in {ram}", f"raise {named('memory')}")
    initrd = Segment(addr, data, len(data))
    segments.append(initrd)
    return initrd


def _middle(ram: Region) -> int:
    """From where on the initrd goes, and the device tree behind it."""
    return ram.base + min(ram.size // 2, 128 * MIB)


def _place_device_tree(
    request: BootRequest, segments: list[Segment], initrd: Segment | None, *, image: LoadedImage | None = None
) -> int | None:
    """Complete the device tree, add it to `segments` and return its address; None where an image has no need of it."""
    ram, path = request.memory.ram, "the device tree" if request.dtb is None else request.dtb
    more = tuple((region.base, region.size) for region in request.memory.more)
    memory, initrd_at = (ram.base, ram.size), (initrd.addr, initrd.end) if initrd is not None else None
    if request.dtb is None:
        tree = _with_modules(request, request.device_tree, segments)
        blob = rendered(tree, memory, more, request.append, initrd_at, request.chosen)
    else:
        from armvcpu.machine.board.devicetree_reader import parse  # most runs have the board's own

        given = parse(request.dtb, read_file(request.dtb, DTB_MAX_SIZE, "a device tree may be"))
        tree = with_boot(
            _with_modules(request, given, segments), memory=memory, more=more, bootargs=request.append,
            initrd=initrd_at, chosen=request.chosen, path=path,
        )  # fmt: skip
        blob = render(tree)
    addr = _find_place(ram, segments, initrd, len(blob), image)
    is_asked_for = bool(request.dtb is not None or request.append is not None or initrd is not None or request.modules)
    is_needed = request.firmware is not None or (image is not None and image.kind in LINUX_KINDS)
    if addr is None and not is_needed and not is_asked_for:
        return None
    if addr is None or len(blob) > DTB_MAX_SIZE:
        raise ImageError(path, f"no room for its {len(blob)} bytes in {ram}", f"raise {named('memory')}")
    segments.append(Segment(addr, blob, len(blob)))
    return addr


def _with_modules(request: BootRequest, tree: DeviceTree, segments: list[Segment]) -> DeviceTree:
    """`tree`, which tells of the files of `modules` where they lie."""
    if not request.modules:
        return tree
    from armvcpu.machine.boot.modules import with_modules  # few machines have any

    sizes = {segment.addr: len(segment.data) for segment in segments}
    return with_modules(tree, [(module, sizes[module.load.address]) for module in request.modules])


def _find_place(
    ram: Region, segments: list[Segment], initrd: Segment | None, size: int, image: LoadedImage | None
) -> int | None:
    """Where a device tree of `size` bytes goes, or None: where the board has it, else where it fits."""
    is_below = image is None or image.kind is ImageKind.ELF
    middle = _middle(ram) if initrd is None else initrd.end
    addr = first_fit(ram, segments, ram.base if is_below else middle, size, DTB_ALIGNMENT)
    if addr is None or (is_below and addr != ram.base):
        # Behind an image its heap begins: rather where RAM ends.
        end = first_fit(ram, segments, max(ram.base, ram.end - DTB_MAX_SIZE & -DTB_ALIGNMENT), size, 8)
        first = first_fit(ram, segments, ram.base, size, DTB_ALIGNMENT)
        addr = next((each for each in (end, addr, first) if each is not None), None)
    return addr


def first_fit(ram: Region, taken: list[Segment], start: int, size: int, alignment: int) -> int | None:
    """The lowest aligned address from `start` at which `size` bytes are free, or None."""
    addr = -(-start // alignment) * alignment
    for segment in sorted(taken, key=lambda segment: segment.addr):
        if segment.addr < addr + size and addr < segment.end:
            addr = -(-segment.end // alignment) * alignment
    return addr if ram.contains(addr, size) else None
