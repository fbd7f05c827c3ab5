/* Entry at EL2, the timed loops of EL1, and what EL2 does in each round. x19 counts rounds down: EL2 sees 0 and goes
 * back to C. */
#include "asm.h"

#define SCTLR_RES1 0x30c50830
#define CURRENT_EL2 (2 << 2)
    .arch   armv8-a

    .section .text.start, "ax"
function _start
    begin_on_stack
    zero_bss
    mrs     x1, CurrentEL
    cmp     x1, #CURRENT_EL2
    b.ne    wrong_level
    ldr     x1, =SCTLR_RES1             // MMU and caches off
    msr     sctlr_el2, x1
    mov     x1, #0x33ff                 // CPTR_EL2: no trap, RES1
    msr     cptr_el2, x1
    isb
    mov     x0, xzr
    bl      main
    b       power_off
endfunction _start

/* u64 smc(u64 x0) and hvc(u64 x0): arguments and answer are where SMCCC (DEN 0028) wants them. */
function smc
    smc     #0
    ret
endfunction smc
function hvc
    hvc     #0
    ret
endfunction hvc

/* u64 run_el1(const char *loop, u64 count, u64 x20): ERET to the loop at EL1h; the ticks that it took. */
function run_el1
    sub     sp, sp, #0x60
    save_callee_saved sp
    mov     x19, x1
    mov     x20, x2
    msr     elr_el2, x0
    mov     x3, #0x3c5                  // EL1h, masked
    msr     spsr_el2, x3
    isb
    mrs     x21, cntvct_el0
    eret
done:
    isb
    mrs     x0, cntvct_el0
    sub     x0, x0, x21
    load_callee_saved sp
    add     sp, sp, #0x60
    ret
endfunction run_el1

function loop_hvc
1:  sub     x19, x19, #1
    hvc     #0
    b       1b
endfunction loop_hvc

function loop_load
1:  sub     x19, x19, #1
    ldr     w0, [x20]
    b       1b
endfunction loop_load

/* A vector table with one vector, for exceptions from EL1. */
.macro vectors_with name
    .balign 0x800
    .global \name
\name:
    .skip   0x400
.endm

vectors_with returning
    cbz     x19, done
    eret

/* What a hypervisor does at least: every register kept, the syndrome read, the address of a trapped instruction moved. */
.macro leave_and_enter
    sub     sp, sp, #FRAME_SIZE
    stp     x0, x1, [sp]
    save_registers sp
    mrs     x1, elr_el2
    mrs     x2, spsr_el2
    stp     x1, x2, [sp, #FRAME_ELR]
    mrs     x3, esr_el2
    mrs     x4, hpfar_el2
    stp     x3, x4, [sp, #FRAME_ESR]
    cbz     x19, 2f
    ubfx    x3, x3, #26, #6
    cmp     x3, #0x24                   // a data abort: the instruction is skipped; HVC's address is the next one
    b.ne    1f
    add     x1, x1, #4
1:  msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x30, x1, [sp, #0xf0]
    msr     sp_el0, x1
    load_registers sp
    ldp     x0, x1, [sp], #FRAME_SIZE
    eret
2:  add     sp, sp, #FRAME_SIZE
    b       done
.endm
vectors_with exiting
    b       exit
    .balign 0x80
function exit
    leave_and_enter
endfunction exit

    .section .bss.boot_stack, "aw", @nobits
    .balign 16
    .skip   0x4000
boot_stack_top:
