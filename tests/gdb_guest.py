"""A guest for sessions of gdb's protocol, without a machine: registers in a dict, memory in one block."""

from __future__ import annotations

from armvcpu.debug.gdb.description import Description
from armvcpu.debug.gdb.guest import Area, Refused
from armvcpu.debug.gdb.session import Session
from armvcpu.debug.gdb.stops import Report
from armvcpu.vcpu.register_rows import Register, general_registers

RAM = 0x4000_0000
SYSTEM = [Register(name, 64, name != "MIDR_EL1", int, int) for name in ("MIDR_EL1", "VBAR_EL1", "FPCR", "FPSR")]


class FakeGuest:
    """Two CPUs, 64 KiB of RAM at RAM, flash at 0; virtual addresses have VIRTUAL added."""

    keeps_history = False
    symbol_file = bytes(range(256)) * 100
    cpus, current = 2, 0
    VIRTUAL = 0xFFFF_0000_0000_0000

    def __init__(self):
        self.description = Description([*general_registers(), *SYSTEM])
        self.values = [{each.ours: 0 for each in self.description.registers} for _ in range(self.cpus)]
        self.ram = bytearray(0x10000)
        self.points, self.flash, self.did = [], {}, []

    def is_end_of_recording(self, _outcome):
        return False

    def doing(self, cpu):
        return "EL1h" if cpu == 0 else "switched off <by PSCI>"

    def read_register(self, cpu, register):
        return self.values[cpu][register.ours]

    def write_register(self, cpu, register, value):
        if register.ours == "MIDR_EL1":
            raise Refused("MIDR_EL1 can't be written")
        self.values[cpu][register.ours] = value

    def _place(self, address, physical):
        at = address - (0 if physical else self.VIRTUAL) - RAM
        if not 0 <= at < len(self.ram):
            raise Refused(f"no memory at {address:#x}")
        return at

    def read(self, cpu, address, size, *, physical):
        at = self._place(address, physical)
        return bytes(self.ram[at : at + size])

    def write(self, cpu, address, data, *, physical):
        at = self._place(address, physical)
        self.ram[at : at + len(data)] = data

    def areas(self):
        return [Area(0, 0x800_0000, 0x4_0000), Area(0x800_0000, (1 << 64) - 0x800_0000)]

    def erase(self, address, size):
        self.did.append(("erase", address, size))

    def program(self, address, data):
        self.flash[address] = data

    def add_breakpoint(self, address, conditions):
        self.points.append((address, list(conditions)))
        return self.points[-1]

    def add_watchpoint(self, address, size, *, read, write):
        self.points.append((address, size, read, write))
        return self.points[-1]

    def remove(self, point):
        self.points = [each for each in self.points if each is not point]

    def monitor(self, line):
        return f"did {line}"

    def restart(self):
        self.did.append("restart")


def new_session(guest=None):
    """(session, guest, what it told)."""
    guest, told = guest or FakeGuest(), []
    return Session(guest, Report(0), told.append), guest, told
