"""The vCPU layer without a machine: guest memory, stage 2 and the loop over exits are this program's own."""

import struct

from armvcpu import Aarch64PerCpu, Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig, AddressSpace
from armvcpu import MappingFlags as Flags
from armvcpu.engine.api import PRIVATE_BASE, TABLES_OFFSET
from armvcpu.vcpu.addrspace import TablePool
from armvcpu.vcpu.exits import Hypercall, MmioRead, MmioWrite

RAM, DEVICE = 0x8000_0000, 0x1000_0000  # guest-physical; the RAM is at 0x2_0000_0000 of the "host"
HOST = 0x2_0000_0000
CODE = (
    0xD2A2_0001,  # mov x1, #0x10000000
    0xB940_0022,  # ldr w2, [x1]
    0x1100_0442,  # add w2, w2, #1
    0xB900_0422,  # str w2, [x1, #4]
    0xD400_0002,  # hvc #0
)

memory = memoryview(bytearray(4096))
memory[: 4 * len(CODE)] = struct.pack(f"<{len(CODE)}I", *CODE)
pcpu = Aarch64PerCpu()
pcpu.hardware_enable()
pcpu.engine.memory.map_ram(HOST, memory)
space = AddressSpace(TablePool(PRIVATE_BASE + TABLES_OFFSET, pcpu.engine.memory.tables), input_bits=40, pa_bits=44)
space.map_linear(RAM, HOST, len(memory), Flags.READ | Flags.WRITE | Flags.EXECUTE)
vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
vcpu.setup(Aarch64VCpuSetupConfig())
vcpu.set_ept_root(space.root, space.vtcr)
vcpu.set_entry(RAM)
vcpu.bind(pcpu)
while not isinstance(reason := vcpu.run(), Hypercall):
    print(reason)
    match reason:
        case MmioRead(reg=register):
            vcpu.set_gpr(register, 41)
        case MmioWrite(data=data):
            print(f"the device got {data}")
print(f"hypercall {reason.nr:#x} at {vcpu.trap_frame.exception_pc:#x}")
