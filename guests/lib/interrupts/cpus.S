/* Where PSCI CPU_ON enters a CPU: at EL1h, MMU off, interrupts masked, x0 = the struct start of cpus.c. */
#include "asm.h"

    .section .text.cpu_entry, "ax"
function cpu_entry
    ldp     x1, x2, [x0]                // stack_top, index
    mov     sp, x1
    msr     tpidr_el1, x2
    mov     x29, xzr
    mov     x30, xzr
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    ldr     x1, =0x30d00800             // as start.S
    msr     sctlr_el1, x1
    mov     x1, #(3 << 20)
    msr     cpacr_el1, x1
    isb
    b       cpu_main
endfunction cpu_entry
