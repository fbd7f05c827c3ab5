"""PSCI: each call of the guest's by name, with its arguments and what it was answered.

armvcpu run guests/bin/smp.elf --cpus 4 --script examples/tracers/psci.py
"""

from armvcpu.arch.psci import PsciStatus, psci_by_id
from armvcpu.script import on_call

STATUS = {status & (1 << bits) - 1: status.name for status in PsciStatus for bits in (32, 64)}


@on_call
def call(cpu, conduit, number, args, result, time):
    function = psci_by_id.get(number & 0xFFFF_FFFF)
    name = f"{number:#x}" if function is None else function.name  # another service's
    answer = STATUS.get(result[0], hex(result[0])) if isinstance(result, tuple) else result
    print(f"{time:.6f} cpu{cpu} {conduit} {name}({', '.join(map(hex, args[:3]))}) = {answer}")
