/* The timed loops of the traps guest: x0 = count. Each body holds exactly one trap. */
#include "asm.h"

#define HANDLER 0x0b000000

.macro trap_loop name
function trap_\name
    stp     x19, x20, [sp, #-32]!
    str     x30, [sp, #16]
    mov     x19, x0
    mov     x20, #HANDLER
1:
.endm
.macro end_loop
    subs    x19, x19, #1
    b.ne    1b
    ldr     x30, [sp, #16]
    ldp     x19, x20, [sp], #32
    ret
.endm

    .text
trap_loop hvc_hook
    mov     w0, #0x0001
    movk    w0, #0xc600, lsl #16
    hvc     #1
    end_loop
trap_loop hvc_exit
    mov     w0, #0x0002
    movk    w0, #0xc600, lsl #16
    hvc     #1
    end_loop
trap_loop mmio
    ldr     w0, [x20]
    end_loop
trap_loop sysreg
    mrs     x0, ID_AA64PFR0_EL1
    end_loop
trap_loop register
    mrs     x0, ID_AA64AFR0_EL1
    end_loop
trap_loop svc
    svc     #0
    end_loop

/* One interrupt of the virtual timer in each round: set it, take it, acknowledge it, end it. */
trap_loop timer
    mov     x20, #0
    msr     cntv_cval_el0, xzr
    mov     x1, #1
    msr     daifclr, #2
    msr     cntv_ctl_el0, x1
2:  cbz     x20, 2b
    end_loop

/* An EL1 vector table that only returns. */
    .balign 0x800
    .global returning_vectors
returning_vectors:
    .rept   16
    .balign 0x80
    eret
    .endr
    .balign 0x80

/* The same with what a timer's driver does, at the offset of an IRQ from EL1h. */
    .balign 0x800
    .global timer_vectors
timer_vectors:
    .skip   0x280
    mrs     x0, icc_iar1_el1
    msr     cntv_ctl_el0, xzr
    msr     icc_eoir1_el1, x0
    mov     x20, #1
    eret
    .balign 0x800
