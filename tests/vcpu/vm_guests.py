"""Guests of the tests with several VMs and several physical CPUs, in words: `addr: word  # offset assembly`."""

from __future__ import annotations

import struct

RAM, DEVICE = 0x8000_0000, 0x1000_0000
"""Guest-physical: a page of memory that the guest starts at, and a device that the test is."""
STEP = RAM + 0x400
"""What TICKS adds, a double."""
VECTORS = RAM + 0x800
IRQ = VECTORS + 0x280

TICKS = (
    # Adds STEP to D0 at each wait, writes the sum to the device, and waits for the virtual timer's interrupt; after
    # the fifth (or more) it reads the device and calls: x1 the interrupts, x2 the sum, x4 what it read.
    0x1000_0014,  # 0x00 adr x20, #0
    0xD2A0_0600,  # 0x04 mov x0, #3145728
    0xD518_1040,  # 0x08 msr CPACR_EL1, x0
    0x9120_0281,  # 0x0c add x1, x20, #2048
    0xD518_C001,  # 0x10 msr VBAR_EL1, x1
    0xD280_1FE0,  # 0x14 mov x0, #255
    0xD518_4600,  # 0x18 msr ICC_PMR_EL1, x0
    0xD280_0020,  # 0x1c mov x0, #1
    0xD518_CCE0,  # 0x20 msr ICC_IGRPEN1_EL1, x0
    0xD503_3FDF,  # 0x24 isb
    0xFD42_0281,  # 0x28 ldr d1, [x20, #1024]
    0x9E67_03E0,  # 0x2c fmov d0, xzr
    0xD280_0015,  # 0x30 mov x21, #0
    0xD2A2_0003,  # 0x34 mov x3, #268435456
    0xD28F_424B,  # 0x38 mov x11, #31250
    0xD51B_E30B,  # 0x3c msr CNTV_TVAL_EL0, x11
    0xD280_0020,  # 0x40 mov x0, #1
    0xD51B_E320,  # 0x44 msr CNTV_CTL_EL0, x0
    0xD503_42FF,  # 0x48 msr DAIFClr, #2
    0x1E61_2800,  # 0x4c fadd d0, d0, d1
    0x9E66_0002,  # 0x50 fmov x2, d0
    0xF900_0062,  # 0x54 str x2, [x3]
    0xD503_207F,  # 0x58 wfi
    0xF100_16BF,  # 0x5c cmp x21, #5
    0x54FF_FF6B,  # 0x60 b.lt 0x4c
    0xF940_0464,  # 0x64 ldr x4, [x3, #8]
    0x9E66_0002,  # 0x68 fmov x2, d0
    0xAA15_03E1,  # 0x6c mov x1, x21
    0xD280_0000,  # 0x70 mov x0, #0
    0xD400_0002,  # 0x74 hvc #0
    0x1400_0000,  # 0x78 b 0x78
)
TICKS_IRQ = (
    # Counts in x21, and sets the virtual timer to 0.5 ms from now.
    0xD538_CC0A,  # 0x00 mrs x10, ICC_IAR1_EL1
    0x9100_06B5,  # 0x04 add x21, x21, #1
    0xD51B_E30B,  # 0x08 msr CNTV_TVAL_EL0, x11
    0xD518_CC2A,  # 0x0c msr ICC_EOIR1_EL1, x10
    0xD69F_03E0,  # 0x10 eret
)
LOCKSTEP = (
    # Switches CPU 1 on by PSCI; then both count to 200 in step, each waiting for the other, in x24 and D0; write
    # their number to the device and read from it, and call with HVC #7: x1 the number, x2 the sum, x9 what it read.
    0x1000_0014,  # 0x00 adr x20, #0
    0x9130_0293,  # 0x04 add x19, x20, #3072
    0xD280_0060,  # 0x08 mov x0, #3
    0xF2B8_8000,  # 0x0c movk x0, #50176, lsl #16
    0xD280_0021,  # 0x10 mov x1, #1
    0x1000_0082,  # 0x14 adr x2, #16
    0xD280_0023,  # 0x18 mov x3, #1
    0xD400_0002,  # 0x1c hvc #0
    0xD280_0000,  # 0x20 mov x0, #0
    0x10FF_FEF4,  # 0x24 adr x20, #-36
    0x9130_0293,  # 0x28 add x19, x20, #3072
    0xAA00_03F6,  # 0x2c mov x22, x0
    0xD2A0_0601,  # 0x30 mov x1, #3145728
    0xD518_1041,  # 0x34 msr CPACR_EL1, x1
    0xD503_3FDF,  # 0x38 isb
    0xD240_02D7,  # 0x3c eor x23, x22, #0x1
    0xD280_0018,  # 0x40 mov x24, #0
    0x9E67_03E0,  # 0x44 fmov d0, xzr
    0x1E6E_1001,  # 0x48 fmov d1, #1.00000000
    0x9100_0718,  # 0x4c add x24, x24, #1
    0x1E61_2800,  # 0x50 fadd d0, d0, d1
    0x8B16_0E65,  # 0x54 add x5, x19, x22, lsl #3
    0xC89F_FCB8,  # 0x58 stlr x24, [x5]
    0x8B17_0E66,  # 0x5c add x6, x19, x23, lsl #3
    0xC8DF_FCC7,  # 0x60 ldar x7, [x6]
    0xEB18_00FF,  # 0x64 cmp x7, x24
    0x54FF_FFCB,  # 0x68 b.lt 0x60
    0xF103_231F,  # 0x6c cmp x24, #200
    0x54FF_FEEB,  # 0x70 b.lt 0x4c
    0xD2A2_0003,  # 0x74 mov x3, #268435456
    0xB900_0076,  # 0x78 str w22, [x3]
    0xF940_0469,  # 0x7c ldr x9, [x3, #8]
    0x9E66_0002,  # 0x80 fmov x2, d0
    0xAA16_03E1,  # 0x84 mov x1, x22
    0xD280_0000,  # 0x88 mov x0, #0
    0xD400_00E2,  # 0x8c hvc #0x7
)


def code(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)
