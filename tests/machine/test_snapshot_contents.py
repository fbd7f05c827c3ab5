"""What is in a snapshot's file: registers by their names, and every field is looked at before it is used."""

from __future__ import annotations

import copy
import json
import os
import zlib

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.devices.device import Device, Register
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.copy_on_write import MIB
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file

MEMORY = 64 * MIB
OPTIONS = {"cpus": 2, "memory": MEMORY, "virtio_console": True}
HEADER, PAGE = snapshot_file.HEADER, 4096


@pytest.fixture(scope="module")
def machine():
    """One of the same kind, that has run a little."""
    with Machine("guests/bin/smp.elf", **OPTIONS) as made:
        made.run(max_instructions=1000)
        yield made


class File:
    """A snapshot's file, whose description can be made to say something else."""

    def __init__(self, path):
        self.path = path
        with path.open("rb") as file:
            self.header = HEADER.unpack(file.read(HEADER.size))
            file.seek(PAGE)
            self.facts = json.loads(file.read(self.header[3]))
        self.room = self.header[6] - PAGE

    def say(self, facts) -> None:
        text = json.dumps(facts).encode()
        assert len(text) <= self.room
        magic, version, zero, _, _, nought, at, size = self.header
        with self.path.open("r+b") as file:
            file.write(HEADER.pack(magic, version, zero, len(text), zlib.crc32(text), nought, at, size))
            file.seek(PAGE)
            file.write(text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The SMP guest, stopped in its middle."""
    path = tmp_path_factory.mktemp("contents") / "smp.snap"
    with Machine("guests/bin/smp.elf", **OPTIONS) as machine:
        assert machine.run(max_instructions=300_000).ending is Ending.LIMIT
        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, path)
        snapshot.close()
    return File(path)


def changed(facts, place: str, value) -> dict:
    """The facts with another value at a place, as `cpus.0.power`; ... takes it away."""
    facts = copy.deepcopy(facts)
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    parent = facts
    for part in path:
        parent = parent[part]
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    return facts


def test_a_file_names_what_it_holds(saved):
    """Registers by their Arm names, numbers as they are; nothing that only this release's engine could read."""
    cpu = saved.facts["cpus"][0]
    wanted = {"X0", "PC", "PSTATE", "V31", "FPCR", "SP_EL0", "SP_EL1", "VBAR_EL1", "DBGBCR0_EL1"}
    assert wanted <= cpu["registers"].keys()
    assert all(type(value) is int for value in cpu["registers"].values())
    assert not {name for name in cpu["registers"] if name.endswith(("_EL2", "_EL3"))}
    assert "engine" not in saved.facts["machine"]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("cpus.0.registers.X3", 1 << 64, "X3 has 64 bits"),
        ("cpus.0.registers.X3", -1, "X3 has 64 bits"),
        ("cpus.0.registers.X3", "1", "X3 holds a number"),
        ("cpus.0.registers.X3", 1.0, "X3 holds a number"),
        ("cpus.0.registers.X3", ..., "X3 is missing"),
        ("cpus.0.registers.V9", 1 << 128, "V9 has 128 bits"),
        ("cpus.0.registers.PSTATE", 0x3CD, "AArch64 state"),
        ("cpus.0.registers.PSTATE", 0x1D3, "AArch64 state"),
        ("cpus.0.registers.HCR_EL2", 0, "no register 'HCR_EL2'"),
        ("cpus.0.registers.SCR_EL3", 0, "no register 'SCR_EL3'"),
        ("cpus.0.registers", [], "registers is"),
        ("cpus.0.registers", None, "is on, and has no registers"),
        ("cpus.0.exclusive", [0, 0], "exclusive has 2 parts"),
        ("cpus.0.exclusive.1", 1 << 64, "exclusive"),
        ("cpus.0.power", 3, "power"),
        ("cpus.0.power", True, "power"),
        ("cpus.0.start", [2, 0], "no address of an instruction"),
        ("cpus.0.start", 5, "start"),
        ("cpus.0.waiting", 1, "waiting"),
        ("cpus.0.timers.V.0", 8, "timers.V"),
        ("cpus.0.timers.P", ..., "timers.P is missing"),
        ("cpus.0.pmu.4", 32, "pmu"),
        ("cpus.0.pmu", [], "pmu has 0 parts"),
        ("cpus.0.more", 1, "more is no field"),
        ("cpus.0", 7, "has no fields"),
        ("cpus", [], "cpus has 0 parts"),
        ("current", 2, "current"),
        ("current", None, "current"),
        ("devices.pl011.received", [1] * 33, "received has 33 parts"),
        ("devices.pl011.received", [1 << 12], "received"),
        ("devices.pl011.values.UARTCR", 1 << 32, "UARTCR"),
        ("devices.pl011.values.UARTCR", None, "UARTCR"),
        ("devices.pl011", ..., "pl011 is missing"),
        ("devices.pl012", {}, "pl012 is no field"),
        ("devices.pl031.alarm", 1e400, "alarm"),
        ("devices.flash0.mode", 1, "mode"),
        ("devices.flash0.changes", {"items": [[5, {"bytes": ""}]]}, "changes"),
        ("devices.flash0.buffer", {"items": [[3, {"bytes": "AAAAAA=="}]]}, "buffer"),
        ("devices.fw_cfg.selected", 1 << 14, "selected"),
        ("devices.fw_cfg.transfer", [0x4000_0000], "transfer is no transfer"),
        ("devices.fw_cfg.transfer", [0x4000_0000, 1 << 40, 0x4000_0000], "transfer is no transfer"),
        ("devices.fw_cfg.transfer", [0, 1, 0x4000_0000], "transfer is no transfer"),
        ("gic.distributor.spis.active", 1 << 31, "nothing stands for"),
        ("gic.distributor.spis.latched", 1 << 5000, "latched"),
        ("gic.distributor.spis.priorities", {"bytes": "AAAA"}, "priorities has 3 bytes"),
        ("gic.interfaces", [], "interfaces has 0 parts"),
        ("gic.interfaces.0.bpr0", 8, "bpr0"),
        ("gic", [], "gic"),
        ("instructions", -1, "instructions"),
        ("time", {"clock": []}, "clock is no field"),
        ("blocks", {"x": 0}, "damaged"),
        ("blocks", [], "blocks"),
        ("blocks", {}, "the contents of its RAM have changed"),
        ("machine", [], "machine"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused(saved, machine, place, value, words):
    """One line with the file and the field, and the machine has not changed."""
    saved.say(changed(saved.facts, place, value))
    before = machine.vcpu.registers.save(), bytes(machine.memory.ram[:MIB])
    with pytest.raises(ImageError, match=words) as error:
        machine.restore(snapshot_file.load(saved.path))
    assert (machine.vcpu.registers.save(), bytes(machine.memory.ram[:MIB])) == before
    assert str(error.value).startswith(f"{saved.path}: is a damaged snapshot: ")
    assert "\n" not in str(error.value)


def test_no_machine_is_made_from_what_is_refused(saved, tmp_path):
    """And a recording that was there is still there."""
    saved.say(changed(saved.facts, "cpus.1.registers.PC", -1))
    with pytest.raises(ImageError, match="PC has 64 bits"):
        Machine("guests/bin/smp.elf", snapshot=saved.path, **OPTIONS)
    recording = tmp_path / "recording"
    recording.write_text("kept")
    with Machine("guests/bin/smp.elf", clock="instructions", **OPTIONS) as machine:
        snapshot_file.save(machine.snapshot(), tmp_path / "snap")
    file = File(tmp_path / "snap")
    file.say(changed(file.facts, "cpus.0.registers.PC", -1))
    with pytest.raises(ImageError, match="PC has 64 bits"):
        Machine("guests/bin/smp.elf", clock="instructions", snapshot=file.path, record=recording, **OPTIONS)
    assert recording.read_text() == "kept"


@pytest.mark.parametrize(
    "queue",
    [
        {"size": 3},
        {"size": 0},
        {"size": 1 << 31},
        {"desc": 8},
        {"desc": 0x4400_0000},
        {"driver": 1},
        {"device": 1 << 63},
    ],
)
def test_a_queue_that_cannot_be_used_is_refused(saved, queue):
    """A virtio queue of another size, or outside of RAM, as its driver could not have it either (virtio 1.2 2.7)."""
    name = next(name for name, device in saved.facts["devices"].items() if device.get("queues"))
    good = {"size": 8, "desc": 0x4010_0000, "driver": 0x4010_1000, "device": 0x4010_2000, "ready": 1}
    place = f"devices.{name}.queues.0"
    before = saved.facts["devices"][name]["queues"][0]
    saved.say(changed(saved.facts, place, before | good | queue))
    with pytest.raises(ImageError, match=r"queues\[0\]"):
        Machine("guests/bin/smp.elf", snapshot=saved.path, **OPTIONS)
    saved.say(changed(saved.facts, place, before | good))
    Machine("guests/bin/smp.elf", snapshot=saved.path, **OPTIONS).close()


@pytest.mark.parametrize(
    "text", [b"[]", b"1", b"null", b"{}", b'"x"', b"{", b"[" * 3000, b"\xff", b'{"cpus": 1}', b"NaN"]
)
def test_what_is_no_description_is_refused(saved, text):
    magic, version, zero, _, _, nought, at, size = saved.header
    with saved.path.open("r+b") as file:
        file.write(HEADER.pack(magic, version, zero, len(text), zlib.crc32(text), nought, at, size))
        file.seek(PAGE)
        file.write(text)
    with pytest.raises(ImageError, match="is a damaged snapshot"):
        snapshot_file.load(saved.path)


def test_ram_of_another_size_than_the_machine_says_is_refused(saved):
    saved.say(saved.facts)
    magic, version, zero, length, crc, nought, at, size = saved.header
    with saved.path.open("r+b") as file:
        file.write(HEADER.pack(magic, version, zero, length, crc, nought, at, size + PAGE))
    os.truncate(saved.path, at + size + PAGE)
    try:
        with pytest.raises(ImageError, match=r"damaged snapshot: (its RAM has|its description)"):
            Machine("guests/bin/smp.elf", snapshot=saved.path, **OPTIONS)
    finally:
        os.truncate(saved.path, at + size)


@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_every_device_has_its_fields(tmp_path, gic, clock):
    """What a machine saves, it takes back: disks, networks and consoles, both GICs, both layouts of virtio."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    options = {
        "disks": (disk,), "virtio_console": True, "gic": gic, "clock": clock, "virtio_version": gic - 1, "cpus": 2,
        "memory": MEMORY, "networks": ("user",) if clock == "host" else (),
    }  # fmt: skip
    with Machine("guests/bin/smp.elf", **options) as machine:
        machine.run(max_instructions=200_000)
        snapshot_file.save(machine.snapshot(), tmp_path / "snap")
        taken = machine.snapshot()
    with Machine("guests/bin/smp.elf", snapshot=tmp_path / "snap", **options) as machine:
        again = machine.snapshot()
        assert [cpu.registers for cpu in again.cpus] == [cpu.registers for cpu in taken.cpus]
        assert machine.run(timeout=60).ok


# --- what a CPU goes on with ----------------------------------------------------------------------------------

BREAK_HERE, MDSCR = 0x1E7, 0xA000
DELAY = [*raw.mov(3, 400_000), 0xF100_0463, 0x54FF_FFE1]  # subs x3, x3, #1; b.ne to it


def go_on(tmp_path, *words, vector=None, text="R"):
    """Run a guest until it has printed R, save it, load it into another machine, and run it to its end."""
    image, path = tmp_path / "guest.bin", tmp_path / "guest.snap"
    image.write_bytes(raw.image(*words, vector=vector))
    with Machine(image, memory=MEMORY) as machine:
        while text.encode() not in machine.console.output:
            assert machine.run(max_instructions=500).ending is Ending.LIMIT
        snapshot_file.save(machine.snapshot(), path)
    with Machine(image, memory=MEMORY, snapshot=path) as machine:
        assert machine.run(timeout=10).ok
        registers = {register.name: machine.vcpu.registers[register.name] for register in machine.vcpu.registers}
        return bytes(machine.console.output).decode(), registers


def breakpoints(control: int) -> list[int]:
    """All six at addresses that are never reached."""
    registers = [f"DBGB{kind}R{n}_EL1" for n in range(6) for kind in "VC"]
    values = (control if name[4] == "C" else raw.BASE + 0x400 for name in registers)
    return raw.flat(*([*raw.mov(0, value), raw.msr(name, 0)] for name, value in zip(registers, values, strict=True)))


def test_breakpoints_that_are_written_again_after_loading(tmp_path):
    """Nothing in the file leads to the engine that set them: off, on, and off again."""
    said, registers = go_on(
        tmp_path, breakpoints(BREAK_HERE), raw.ISB, raw.print_text("R"), DELAY, breakpoints(0), raw.ISB,
        breakpoints(BREAK_HERE), raw.ISB, raw.print_text("Z"), raw.psci(raw.SYSTEM_OFF),
    )  # fmt: skip
    assert said == "Z"
    assert [registers[f"DBGBCR{n}_EL1"] for n in range(6)] == [BREAK_HERE] * 6


def test_a_breakpoint_hits_after_loading(tmp_path):
    """EC 0x31, at its address."""
    head = raw.flat(
        raw.set_vectors(), raw.mov(0, 0), raw.msr("OSLAR_EL1", 0), raw.mov(0, 0), raw.msr("DBGBVR3_EL1", 0),
        raw.mov(0, BREAK_HERE), raw.msr("DBGBCR3_EL1", 0), raw.mov(0, MDSCR), raw.msr("MDSCR_EL1", 0), raw.ISB,
        0xD503_48FF, raw.print_text("R"), DELAY,
    )  # fmt: skip
    at = raw.BASE + 4 * len(head)
    head[11:15] = raw.mov(0, at)
    vector = [raw.mrs(21, "ESR_EL1"), raw.mrs(22, "ELR_EL1"), *raw.psci(raw.SYSTEM_OFF)]
    _, registers = go_on(tmp_path, head, raw.NOP, raw.FOREVER, vector=vector)
    assert (registers["X21"] >> 26, registers["X22"]) == (0x31, at)


def test_a_watchpoint_hits_after_loading(tmp_path):
    """EC 0x35, at its address (D2.10)."""
    data = 0x4020_0100
    vector = [raw.mrs(21, "ESR_EL1"), raw.mrs(22, "FAR_EL1"), *raw.psci(raw.SYSTEM_OFF)]
    control = 1 | 1 << 1 | 2 << 3 | 0xFF << 5  # stores of EL1, all bytes
    values = {"OSLAR_EL1": 0, "DBGWVR1_EL1": data, "DBGWCR1_EL1": control, "MDSCR_EL1": MDSCR}
    written = [word for name, value in values.items() for word in (*raw.mov(0, value), raw.msr(name, 0))]
    _, registers = go_on(
        tmp_path, raw.set_vectors(), written, raw.ISB, 0xD503_48FF, raw.print_text("R"), DELAY,
        raw.mov(5, data), raw.store(5, 5), raw.FOREVER, vector=vector,
    )  # fmt: skip
    assert (registers["X21"] >> 26, registers["X22"]) == (0x35, data)


def test_vector_registers_and_the_monitor_go_on(tmp_path):
    """V3, FPCR and FPSR.QC as they were; STXR succeeds where LDXR came before the snapshot."""
    _, registers = go_on(
        tmp_path, raw.mov(0, 3 << 20), raw.msr("CPACR_EL1", 0), raw.ISB, raw.mov(0, 0xABCD), 0x9E67_0003,  # fmov d3, x0
        raw.mov(0, 1 << 24), raw.msr("FPCR", 0), raw.mov(0, 1 << 27 | 0x10), raw.msr("FPSR", 0),
        raw.mov(1, raw.UART), raw.mov(2, ord("R")), raw.mov(5, 0x4020_0000), 0xC85F_7CA6, raw.store(2, 1, 1), DELAY,
        0xC807_7CA2, 0x9E66_0064, raw.mrs(8, "FPCR"), raw.mrs(9, "FPSR"), raw.psci(raw.SYSTEM_OFF),  # stxr w7, x2, [x5]
    )  # fmt: skip
    assert [registers[f"X{n}"] for n in (4, 7, 8, 9)] == [0xABCD, 0, 1 << 24, 1 << 27 | 0x10]


def test_a_cpu_in_aarch32_state_is_no_snapshot(tmp_path):
    """A guest that has left AArch64 state has come to its end."""
    image = tmp_path / "image.bin"
    image.write_bytes(
        raw.image(raw.mov(0, 0x1D0), raw.msr("SPSR_EL1", 0), raw.mov(0, raw.BASE), raw.msr("ELR_EL1", 0), raw.ERET)
    )
    with Machine(image, memory=MEMORY) as machine:
        machine.run(timeout=5)
        with pytest.raises(UsageError, match="AArch32"):
            machine.snapshot()


class Counter(Device):
    """A device of a script's own, with a state of its own."""

    COUNT = Register(0x0)

    def __init__(self):
        super().__init__()
        self.names = {"a": [1.5, None]}

    def state(self):
        return {**super().state(), "names": self.names}

    def load_state(self, state):
        super().load_state(state)
        self.names = state["names"]


def test_a_device_of_a_script_s_own(tmp_path):
    """Its registers are looked at as all others are, and its own fields have to be there."""
    base, path = 0x0B00_0000, tmp_path / "snap"
    for is_loaded in (False, True):
        with Machine("guests/bin/hello.elf", memory=MEMORY) as machine:
            device = Counter()
            machine.add_device(device, base, name="counter")
            if is_loaded:
                machine.restore(snapshot_file.load(path))
                assert (device.COUNT, device.names) == (7, {"a": [1.5, None], "b": 2})
                file = File(path)
                for place, value in (("values.COUNT", 1 << 32), ("values.COUNT", None), ("names", ...), ("other", 1)):
                    file.say(changed(file.facts, f"devices.counter.{place}", value))
                    with pytest.raises(ImageError, match=r"devices\.counter"):
                        machine.restore(snapshot_file.load(path))
            else:
                device.COUNT, device.names["b"] = 7, 2
                snapshot_file.save(machine.snapshot(), path)
