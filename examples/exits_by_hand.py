"""The vCPU layer without a machine: guest memory, stage 2 and the loop over exits are this program's own."""

import struct

from armvcpu import Aarch64PerCpu, Hypercall, MmioRead, MmioWrite, PerCpu, VirtualMachine

RAM = 0x8000_0000  # guest-physical; nothing is at 0x1000_0000, so this program is the device there
CODE = (
    0xD2A2_0001,  # mov x1, #0x10000000
    0xB940_0022,  # ldr w2, [x1]
    0x1100_0442,  # add w2, w2, #1
    0xB900_0422,  # str w2, [x1, #4]
    0xD400_0002,  # hvc #0
)

percpu = PerCpu()
Aarch64PerCpu.register(percpu)
percpu.enable_all()
with VirtualMachine(vm_id=1, memory=1 << 20) as vm, percpu.on(0):
    vm.add_memory(RAM, 4096)
    vm.write(RAM, struct.pack(f"<{len(CODE)}I", *CODE))
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    vcpu.bind(percpu.this_cpu())
    while not isinstance(reason := vcpu.run(), Hypercall):
        print(reason)
        match reason:
            case MmioRead(reg=register):
                vcpu.set_gpr(register, 41)
            case MmioWrite(data=data):
                print(f"the device got {data}")
    print(f"hypercall {reason.nr:#x} at {vcpu.trap_frame.exception_pc:#x}")
percpu.disable_all()
