"""Answer a guest's hypercalls: a function gets the vCPU with the arguments in its registers and gives x0."""

import struct
import sys
import tempfile

from armvcpu import Aarch64VCpu, Machine

ADD = 0xC600_0001  # an SMC64 fast call of the vendor hypervisor's own (Arm DEN 0028, 2.5)
GUEST = (
    0xD280_0020,  # mov  x0, #1
    0xF2B8_C000,  # movk x0, #0xc600, lsl #16
    0xD280_0281,  # mov  x1, #20
    0xD280_02C2,  # mov  x2, #22
    0xD400_0002,  # hvc  #0
    0xAA00_03F3,  # mov  x19, x0
    *(0xD280_0100, 0xF2B0_8000, 0xD400_0002),  # PSCI SYSTEM_OFF
)


def main() -> int:
    """0 when the guest got its sum."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as image:
        image.write(struct.pack(f"<{len(GUEST)}I", *GUEST))
        image.flush()
        with Machine(image.name) as machine:

            @machine.on_hypercall(ADD)
            def add(vcpu: Aarch64VCpu) -> int:
                print(f"hypercall {vcpu.gpr(0):#x}: {vcpu.gpr(1)} + {vcpu.gpr(2)}")
                return vcpu.gpr(1) + vcpu.gpr(2)

            outcome = machine.run(timeout=10)
            print(f"the guest keeps {machine.vcpu.gpr(19)}; {outcome.reason}")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
