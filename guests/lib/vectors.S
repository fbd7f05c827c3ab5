/* The EL1 vector table (Arm ARM D1.3.1.4 "Exception vectors") and the two ways between C and a lower or other mode.
 *
 * Every exception builds a `struct frame` on SP_EL1 and calls exception(). If that returns, the frame is restored and
 * the interrupted code goes on. run_at() enters code in any mode and returns with the exception that ended it. */
#include "asm.h"

    .text
    .balign 0x800
function vectors
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, \
                 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector_with_frame \offset, save_frame
    .endr
    .balign 0x80
endfunction vectors

function save_frame
    save_registers sp
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #FRAME_ELR]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [sp, #FRAME_ESR]
    add     x1, sp, #FRAME_SIZE
    stp     x1, x0, [sp, #FRAME_SP]
    mov     x0, sp
    bl      exception
    ldp     x1, x2, [sp, #FRAME_ELR]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldp     x30, x1, [sp, #0xf0]
    msr     sp_el0, x1
    load_registers sp
    ldp     x0, x1, [sp], #FRAME_SIZE
    eret
endfunction save_frame

/* void enter(struct context *save, u64 spsr, u64 pc, u64 sp_el0, const u64 x[3]): keep what AAPCS64 lets a caller
 * rely on, then ERET to pc with x0 to x2 from x[] and x30 at the SVC that says "returned normally". */
function enter
    save_callee_saved x0
    mov     x5, sp
    mrs     x6, daif
    stp     x5, x6, [x0, #0x60]
    msr     spsr_el1, x1
    msr     elr_el1, x2
    msr     sp_el0, x3
    ldr     x30, [x4, #24]
    ldr     x2, [x4, #16]
    ldp     x0, x1, [x4]
    eret
endfunction enter

/* void leave(const struct context *saved): return from the enter() that saved this context. */
function leave
    load_callee_saved x0
    ldp     x5, x6, [x0, #0x60]
    mov     sp, x5
    msr     daif, x6
    ret
endfunction leave

    .section .user, "ax"
function user_return
    svc     #0xffff
endfunction user_return
