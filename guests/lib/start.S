/* The first instructions of every guest: stack, vectors, FP on, zeroed data, then main(device tree).
 *
 * A guest is entered at EL1h with the MMU off and PSTATE.DAIF set. x0 holds the address of the device tree
 * (Linux, Documentation/arch/arm64/booting); QEMU leaves 0 there for a bare ELF, fdt_start() sees to that. */
#include "asm.h"

    .section .text.start, "ax"
function _start
    begin_on_stack
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    ldr     x1, =0x30d00800             // SCTLR_EL1: MMU and caches off, the RES1 bits of Armv8.0
    msr     sctlr_el1, x1
    mov     x1, #(3 << 20)              // CPACR_EL1.FPEN: no trap at EL1 and EL0
    msr     cpacr_el1, x1
    isb
    zero_bss
    bl      fdt_start
    bl      main
    b       power_off
endfunction _start

    .section .bss.boot_stack, "aw", @nobits
    .balign 16
    .skip   0x4000
boot_stack_top:
