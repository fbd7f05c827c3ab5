/* One SMCCC call with every argument register: x0 points at x0 to x17, before and after. */
#include "asm.h"

.macro call name, instruction:vararg
function call_\name
    mov     x19, x0
    ldp     x2, x3, [x19, #0x10]
    ldp     x4, x5, [x19, #0x20]
    ldp     x6, x7, [x19, #0x30]
    ldp     x8, x9, [x19, #0x40]
    ldp     x10, x11, [x19, #0x50]
    ldp     x12, x13, [x19, #0x60]
    ldp     x14, x15, [x19, #0x70]
    ldp     x16, x17, [x19, #0x80]
    ldp     x0, x1, [x19]
    \instruction
    stp     x0, x1, [x19]
    stp     x2, x3, [x19, #0x10]
    stp     x4, x5, [x19, #0x20]
    stp     x6, x7, [x19, #0x30]
    stp     x8, x9, [x19, #0x40]
    stp     x10, x11, [x19, #0x50]
    stp     x12, x13, [x19, #0x60]
    stp     x14, x15, [x19, #0x70]
    stp     x16, x17, [x19, #0x80]
    ret
.endm

    .text
    call    hvc, hvc #0
    call    smc, .inst 0xd4000003       // SMC #0, which the assembler keeps for CPUs with EL3
