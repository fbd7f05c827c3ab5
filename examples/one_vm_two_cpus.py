"""One VM on two physical CPUs: a thread runs each of its vCPUs, at the same time, over the same memory.

The first vCPU switches the second on (PSCI CPU_ON). Then each counts, and waits for the other's count, 100 times.
"""

import struct
import threading

from armvcpu import Aarch64PerCpu, Aarch64VCpu, CpuUp, Hypercall, PerCpu, VirtualMachine

RAM = 0x8000_0000
CODE = (
    *(0xD280_0060, 0xF2B8_8000, 0xD280_0021, 0x1000_0082),  # x0 = CPU_ON (0xC4000003); x1 = 1; adr x2, both
    *(0xD280_0023, 0xD400_0002, 0xD280_0000),  # mov x3, #1; hvc #0; mov x0, #0
    *(0x1000_0014, 0xD240_0017, 0xD280_0018),  # both: adr x20, both; eor x23, x0, #1; mov x24, #0
    *(0x9108_0294, 0x8B00_0E85, 0x8B17_0E86),  # x20 += 0x200; x5 = &count[x0]; x6 = &count[x23]
    *(0x9100_0718, 0xC89F_FCB8),  # again: add x24, x24, #1; stlr x24, [x5]
    *(0xC8DF_FCC7, 0xEB18_00FF, 0x54FF_FFCB),  # wait: ldar x7, [x6]; cmp x7, x24; b.lt wait
    *(0xF101_931F, 0x54FF_FF4B),  # cmp x24, #100; b.lt again
    *(0xAA00_03E1, 0xAA18_03E2, 0xD280_0000, 0xD400_0002),  # x1 = number; x2 = count; x0 = 0; hvc #0
)

percpu = PerCpu(count=2)
Aarch64PerCpu.register(percpu)
percpu.enable_all()
threads: list[threading.Thread] = []
calls: dict[int, int] = {}


def serve(vm: VirtualMachine, vcpu: Aarch64VCpu) -> None:
    """What one thread does: run one vCPU on the physical CPU of its number."""
    with percpu.on(vcpu.vcpu_id):
        vcpu.bind(percpu.this_cpu())
        while True:
            match vcpu.run():
                case CpuUp() as up:
                    start(vm, vm.cpu_up(up))
                case Hypercall(args=(number, count, *_)):
                    calls[number] = count
                    vcpu.unbind()
                    return


def start(vm: VirtualMachine, vcpu: Aarch64VCpu) -> None:
    """Run a vCPU in a thread of its own."""
    thread = threading.Thread(target=serve, args=(vm, vcpu))
    thread.start()
    threads.append(thread)


with VirtualMachine(vm_id=1, memory=1 << 20) as vm:
    vm.add_memory(RAM, 4096)
    vm.write(RAM, struct.pack(f"<{len(CODE)}I", *CODE))
    boot, _ = vm.add_vcpu(), vm.add_vcpu()
    boot.set_entry(RAM)
    start(vm, boot)
    while threads:
        threads.pop().join()
    print(f"vCPU 0 counted to {calls[0]}, vCPU 1 to {calls[1]}")
percpu.disable_all()
