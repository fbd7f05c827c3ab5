"""Two VMs share one physical CPU: each has it for 5 ms, keeps its own memory at the same addresses, and its own timer.

The guest adds up in floating point and prints the sum, by a store to a device, at each interrupt of its virtual timer.
"""

import struct

from armvcpu import Aarch64PerCpu, Aarch64VCpu, ExternalInterrupt, Halt, MmioWrite, PerCpu, VirtualMachine

RAM, CONSOLE = 0x8000_0000, 0x1000_0000
STEP, IRQ = RAM + 0x400, RAM + 0xA80  # what it adds; the vector of an interrupt at EL1h, VBAR_EL1 being RAM + 0x800
START = (
    *(0xD2A0_0600, 0xD518_1040, 0x1000_3FC1, 0xD518_C001),  # FP on in CPACR_EL1; adr x1, RAM + 0x800; VBAR_EL1
    *(0xD280_1FE0, 0xD518_4600, 0xD280_0020, 0xD518_CCE0),  # ICC_PMR_EL1 = 0xff; ICC_IGRPEN1_EL1 = 1
    *(0xD503_3FDF, 0x5C00_1EE1, 0x9E67_03E0, 0xD2A2_0003),  # isb; ldr d1, STEP; fmov d0, xzr; mov x3, #CONSOLE
    *(0xD28F_424B, 0xD51B_E30B, 0xD51B_E320, 0xD503_42FF),  # CNTV_TVAL_EL0 = x11 = 31250; CNTV_CTL_EL0 = 1; daifclr
    *(0xD503_207F, 0x17FF_FFFF),  # wfi; b .-4
)
ON_IRQ = (
    *(0xD538_CC0A, 0x1E61_2800, 0x9E66_0002, 0xF900_0062),  # mrs x10, icc_iar1_el1; fadd d0, d0, d1; str d0 to CONSOLE
    *(0xD51B_E30B, 0xD518_CC2A, 0xD69F_03E0),  # msr cntv_tval_el0, x11; msr icc_eoir1_el1, x10; eret
)


def guest(vm: VirtualMachine, step: float) -> Aarch64VCpu:
    """A vCPU that starts at START."""
    vm.add_memory(RAM, 4096)
    vm.write(RAM, struct.pack(f"<{len(START)}I", *START))
    vm.write(IRQ, struct.pack(f"<{len(ON_IRQ)}I", *ON_IRQ))
    vm.write(STEP, struct.pack("<d", step))
    vcpu = vm.add_vcpu()
    vcpu.set_entry(RAM)
    return vcpu


percpu = PerCpu()
(cpu,) = Aarch64PerCpu.register(percpu)
percpu.enable_all()
with VirtualMachine(1, 1 << 20) as first, VirtualMachine(2, 1 << 20) as second:
    sums: dict[int, list[float]] = {1: [], 2: []}
    vcpus = [guest(first, 1.5), guest(second, -0.25)]
    while min(map(len, sums.values())) < 4:
        for vcpu in vcpus:
            vcpu.bind(cpu)
            match vcpu.run():
                case MmioWrite(addr, _, data) if addr == CONSOLE:
                    sums[vcpu.vm_id] += struct.unpack("<d", data.to_bytes(8, "little"))
                case Halt():
                    vcpu.wait_for_interrupt(timeout=0.005)
                case ExternalInterrupt():
                    pass  # its timer's: the guest takes it when it runs again
            vcpu.unbind()
    for number, values in sums.items():
        print(f"VM {number}: {values[:4]}")
percpu.disable_all()
