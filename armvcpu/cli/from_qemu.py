"""QEMU's options where they mean one thing here too: `-m 512`, `-smp 2`, `-kernel F`, `-M virt,gic-version=3`.

The words of a command line behind `run` are rewritten to armvcpu's own before they are read, by `run_options.py` and by
click alike. What means something else here, or nothing, is one line that says so: a run that is not what was asked for
helps nobody. The names and values are those of QEMU 7.2's manual page, qemu-system-aarch64(1).
"""

from __future__ import annotations

import os
import re

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError
from armvcpu.machine.kinds import FLAG, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from armvcpu.machine.option import Option

QEMUS_PORT = "1234"
"""Where QEMU's -s has gdb connect."""
OURS = {
    "kernel": "IMAGE is given by itself, without an option: `armvcpu run F`",
    "bios": "it is --firmware",
    "pflash": "it is --firmware, and --vars for the second bank",
    "smp": "it is --cpus",
    "m": "it is --memory",
    "cpu": "it is --cpu-model",
    "machine": "there is one board, virt; its options are --gic and --virtio",
    "drive": "a disk is --disk F",
    "hda": "a disk is --disk F",
    "device": "devices are --disk, --net and --virtio-console",
    "netdev": "a network is --net user, unix:PATH or HOST:PORT",
    "nic": "a network is --net user, unix:PATH or HOST:PORT",
    "serial": "the UART is on standard input and output, and the Secure one too, or its output in a file",
    "chardev": "the UART is on standard input and output",
    "monitor": "there is no monitor; Ctrl-A X quits",
    "nographic": "it is always so here",
    "icount": "it is --clock instructions",
    "d": "it is --trace KIND,...[:FILE]",
    "D": "it is --trace KIND,...:FILE",
    "trace": "it is --trace KIND,...[:FILE]",
    "loadvm": "it is --snapshot-load F",
    "semihosting-config": "it is --semihosting",
    "enable-kvm": "everything is emulated here: leave it out",
    "accel": "everything is emulated here: leave it out",
    "gdb": "it is --gdb [HOST:]PORT or unix:PATH",
    "el": "it is --el",
}
"""What QEMU's options are called here, or why they are not there; without their dashes."""

_UNITS = {"B": 1, "K": 1 << 10, "": 1 << 20, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
"""Of `-m`, where a number alone is in MiB."""


_GLUED = re.compile(r"(-(?:m|smp))([0-9].*)")
"""A value without a space before it, which QEMU does not take either."""


def hint(flag: str) -> str | None:
    """What stands for an option of QEMU's, with one dash or two; None for what is none of QEMU's."""
    return OURS.get(flag.lstrip("-"))


def translated(words: Sequence[str], known: Mapping[str, Option]) -> list[str]:
    """The words with QEMU's options as armvcpu's `known` ones, by their flags; UsageError where one can't be had."""
    there = _There([])
    rest = iter(words)
    for word in rest:
        if word == "--":
            there.words += [word, *rest]
        elif word in _PLAIN:
            there.words += _PLAIN[word]
        elif word in _VALUED:
            value = next(rest, None)
            if value is None:
                raise UsageError(f"{word}: a value belongs to it")
            _VALUED[word](there, value)
        elif (glued := _GLUED.fullmatch(word)) is not None:
            raise UsageError(f"no option {word}: write {glued[1]} {glued[2]}")
        elif word.startswith("-") and not word.startswith("--") and hint(word):
            raise UsageError(f"no option {word}: {hint(word)}")
        else:
            there.words.append(word)
            option = known.get(word)
            if option is not None and option.kind is not FLAG:
                there.words += [value for value in (next(rest, None),) if value is not None]
    return there.complete()


class _There:
    """What has been read so far. Drives and devices name each other, in either order."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.gic: str | None = None
        self.serials = 0
        """How many UARTs have been told where they are."""
        self.banks: dict[int, str] = {}
        self.drives: dict[str, str] = {}
        """--disk values by the drives' ids."""
        self.plugged: list[tuple[str, str]] = []
        """Ids of drives that a device has, in the devices' order, and what --disk says of the device's slot."""

    def complete(self) -> list[str]:
        """All words, with those that could not be told before the end."""
        added = []
        if self.gic is not None and not any(word.partition("=")[0] == "--gic" for word in self.words):
            added += ["--gic", self.gic]
        for bank, file in sorted(self.banks.items()):
            added += [("--firmware", "--vars")[bank], file]
        for name, slot in self.plugged:
            if name not in self.drives:
                raise UsageError(f"-device virtio-blk-device,drive={name}: no -drive has the id {name}")
            added += ["--disk", self.drives.pop(name) + slot]
        for name in self.drives:
            raise UsageError(f"-drive id={name}: no -device has it, so the guest has it not; write --disk F")
        end = self.words.index("--") if "--" in self.words else len(self.words)
        return self.words[:end] + added + self.words[end:]


def _gdb(there: _There, value: str) -> None:
    """A TCP port, maybe of a host; what else QEMU can listen at, gdb connects to by no name."""
    found = re.fullmatch(
        r"(?:tcp:)?([^:,]*):([0-9]{1,5})(?:,(?:server(?:=on)?|nowait|wait=off|nodelay(?:=on)?))*", value
    )
    is_path = re.fullmatch(r"unix:([^,]+)(?:,(?:server(?:=on)?|nowait|wait=off))*", value)
    if found is None and is_path is None:
        raise UsageError(f"-gdb {value}: give tcp:HOST:PORT or unix:PATH, or --gdb [HOST:]PORT")
    if is_path is not None:
        there.words.append(f"--gdb=unix:{is_path[1]}")
    elif found is not None:
        there.words.append(f"--gdb={found[1]}:{found[2]}" if found[1] else f"--gdb={found[2]}")


def _same(flag: str) -> Callable[[_There, str], None]:
    """An option of ours takes the value as it is."""

    def take(there: _There, value: str) -> None:
        there.words.append(f"{flag}={value}")

    return take


def _only(flag: str, *values: str) -> Callable[[_There, str], None]:
    """These values say what is so here in any case."""

    def take(_there: _There, value: str) -> None:
        if value not in values:
            raise UsageError(f"{flag} {value}: {hint(flag) or f'only {flag} {values[0]} can be had here'}")

    return take


def _serial(there: _There, value: str) -> None:
    """The first UART is on standard input and output; the Secure one's output may be in a file."""
    there.serials += 1
    kind, _, path = value.partition(":")
    if there.serials == 2 and (value in {"null", "none"} or (kind == "file" and path)):
        there.words.append(f"--secure-console={path or os.devnull}")
    elif there.serials > 2 or value not in {"mon:stdio", "stdio"}:
        raise UsageError(f"-serial {value}: {hint('-serial')}")


def _ignore(_there: _There, _value: str) -> None:
    """Nothing depends on it."""


def _image(there: _There, value: str) -> None:
    there.words.append(f"./{value}" if value.startswith("-") else value)


def _memory(there: _There, value: str) -> None:
    found = re.fullmatch(r"(?:size=)?([0-9]{1,15})([bkmgtBKMGT]?)", value)
    if found is None:
        raise UsageError(f"-m {value}: give a size in MiB, or with a unit, 512M or 2G; nothing more can be plugged in")
    there.words.append(f"--memory={format_size(int(found[1]) * _UNITS[found[2].upper()])}")


def _cpus(there: _There, value: str) -> None:
    found = re.fullmatch(r"(?:cpus=)?([0-9]{1,9})", value)
    if found is None:
        raise UsageError(f"-smp {value}: give the number of CPUs alone; the board's have no topology")
    there.words.append(f"--cpus={found[1]}")


def _properties(flag: str, value: str, first: str) -> dict[str, str]:
    """`a,b=c` as {first: "a", "b": "c"}; a comma in a value is written twice, as QEMU has it."""
    parts = value.replace(",,", "\0").split(",")
    if "=" not in parts[0]:
        parts[0] = f"{first}={parts[0]}"
    if not all("=" in part for part in parts):
        raise UsageError(f"{flag} {value}: write NAME=VALUE between the commas")
    return {name: text.replace("\0", ",") for name, _, text in (part.partition("=") for part in parts)}


def _check_left(flag: str, left: Mapping[str, str], allowed: Mapping[str, tuple[str, ...]]) -> None:
    """UsageError for a property that is not there, or has another value than can be had."""
    for name, value in left.items():
        if value not in allowed.get(name, ()):
            can = " or ".join(f"{name}={each}" for each in allowed.get(name, ()))
            raise UsageError(f"{flag} {name}={value}: not to be had here" + (f"; {can} is" if can else ""))


def _machine(there: _There, value: str) -> None:
    given = _properties("-M", value, "type")
    kind = given.pop("type", "virt")
    if re.fullmatch(r"virt(-[0-9]+\.[0-9]+)?", kind) is None:
        raise UsageError(f"-M {kind}: the board is virt")
    version = given.pop("gic-version", "2")  # of QEMU's board, unless told otherwise
    if version not in {"2", "3"}:
        raise UsageError(f"-M gic-version={version}: give 2 or 3")
    has_el2, has_el3 = (_is_on(each, given.pop(each, "off")) for each in ("virtualization", "secure"))
    if has_el3 and not has_el2:
        raise UsageError("-M secure=on: a CPU with EL3 has EL2 too here: add virtualization=on")
    if has_el2:
        there.words.append(f"--el={3 if has_el3 else 2}")
    _check_left("-M", given, {"mte": ("off",), "accel": ("tcg",)})
    there.gic = version


def _is_on(name: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise UsageError(f"-M {name}={value}: give on or off")
    return value == "on"


def _cpu(there: _There, value: str) -> None:
    if "," in value:
        raise UsageError(f"-cpu {value}: a model has no properties here: -cpu {value.partition(',')[0]}")
    there.words.append(f"--cpu-model={value}")


def _semihosting(there: _There, value: str) -> None:
    given = _properties("-semihosting-config", value, "enable")
    enabled = given.pop("enable", "on")
    _check_left("-semihosting-config", given, {"target": ("native", "auto"), "userspace": ("off",)})
    if enabled == "on":
        there.words.append("--semihosting")


def _drive(there: _There, value: str) -> None:
    given = _properties("-drive", value, "file")
    if "file" not in given:
        raise UsageError(f"-drive {value}: it needs file=F")
    file, interface = given.pop("file"), given.pop("if", "none")
    if given.get("format", "raw") != "raw":
        raise UsageError(f"-drive format={given['format']}: disks are raw here: `qemu-img convert -O raw {file} NEW`")
    read_only = given.pop("readonly", given.pop("read-only", "off"))
    name, unit = given.pop("id", f"#{len(there.drives)}"), given.pop("unit", str(len(there.banks)))
    given = {each: text for each, text in given.items() if each not in {"format", "cache", "aio", "media", "index"}}
    _check_left("-drive", given, {"snapshot": ("off",), "discard": ("ignore", "off", "unmap", "on")})
    if interface == "pflash":
        if unit not in {"0", "1"} or int(unit) in there.banks:
            raise UsageError(f"-drive {value}: there are two flash banks, unit=0 and unit=1")
        there.banks[int(unit)] = file
        return
    if interface not in {"none", "virtio"}:
        raise UsageError(f"-drive if={interface}: give if=none and a -device virtio-blk-device, or --disk {file}")
    if name in there.drives:
        raise UsageError(f"-drive id={name}: two drives have it")
    there.drives[name] = file + (",ro" if read_only == "on" else "")
    if interface == "virtio":
        there.plugged.append((name, ""))


def _device(there: _There, value: str) -> None:
    given = _properties("-device", value, "driver")
    driver = given.pop("driver", "")
    if driver == "virtio-rng-device":
        return  # the board has one
    if driver == "loader" and given.keys() - {"force-raw"} == {"file", "addr"}:
        there.words.append(f"--load={given['file']}@{given['addr']}")
        return
    if driver == "guest-loader":
        there.words.append(f"--module={_module(value, given)}")
        return
    if driver != "virtio-blk-device" or "drive" not in given:
        raise UsageError(f"-device {value}: {OURS['device']}")
    drive, bus = given.pop("drive"), given.pop("bus", None)
    there.plugged.append((drive, "" if bus is None else f",slot={_slot(bus)}"))
    given.pop("id", None)
    _check_left("-device virtio-blk-device", given, {})


def _module(value: str, given: dict[str, str]) -> str:
    """What `-device guest-loader` puts into memory: a kernel with boot arguments, or an initrd."""
    if given.keys() - {"bootargs"} == {"addr", "kernel"}:
        bootargs = f",bootargs={given['bootargs']}" if "bootargs" in given else ""
        return f"{given['kernel']}@{given['addr']},kernel{bootargs}"
    if given.keys() == {"addr", "initrd"}:
        return f"{given['initrd']}@{given['addr']},ramdisk"
    raise UsageError(f"-device {value}: give addr=A with kernel=F and bootargs=STR, or with initrd=F")


def _slot(bus: str) -> str:
    """The number of a virtio-mmio bus, as the board calls its slots."""
    found = re.fullmatch(r"virtio-mmio-bus\.([0-9]{1,2})", bus)
    if found is None:
        raise UsageError(f"-device virtio-blk-device,bus={bus}: the buses are virtio-mmio-bus.0 to virtio-mmio-bus.31")
    return found[1]


def _global(there: _There, value: str) -> None:
    if value not in {"virtio-mmio.force-legacy=false", "virtio-mmio.force-legacy=off"}:
        raise UsageError(
            f"-global {value}: only virtio-mmio.force-legacy=false can be had here, which is --virtio modern"
        )
    there.words.append("--virtio=modern")


_PLAIN: dict[str, list[str]] = {
    "-nographic": [],
    "-nodefaults": [],
    "-no-user-config": [],
    "-no-reboot": ["--no-reboot"],
    "-semihosting": ["--semihosting"],
    "-s": [f"--gdb={QEMUS_PORT}"],
    "-S": ["--gdb-wait"],
}
_VALUED: dict[str, Callable[[_There, str], None]] = {
    "-M": _machine,
    "-machine": _machine,
    "-cpu": _cpu,
    "-m": _memory,
    "-smp": _cpus,
    "-kernel": _image,
    "-bios": _same("--firmware"),
    "-initrd": _same("--initrd"),
    "-append": _same("--append"),
    "-fw_cfg": _same("--fw-cfg"),
    "-dtb": _same("--dtb"),
    "-drive": _drive,
    "-device": _device,
    "-gdb": _gdb,
    "-global": _global,
    "-semihosting-config": _semihosting,
    "-serial": _serial,
    "-monitor": _only("-monitor", "none"),
    "-display": _only("-display", "none"),
    "-net": _only("-net", "none"),
    "-nic": _only("-nic", "none"),
    "-accel": _only("-accel", "tcg"),
    "-name": _ignore,
}
