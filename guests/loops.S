/* The timed loops of the loops guest: x0 = 32 KiB buffer, x1 = iterations. Sixteen operations in each iteration;
 * loads and stores walk through the buffer a cache line at a time. */
#include "asm.h"

.macro timed_loop name
function loop_\name
    mov     x2, #0
    add     x3, x0, #0
1:
.endm
.macro end_loop
    add     x2, x2, #128
    and     x2, x2, #0x7fff
    add     x3, x0, x2
    subs    x1, x1, #1
    b.ne    1b
    ret
.endm

    .text
timed_loop load
    .irp offset, 0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120
    ldr     x4, [x3, #\offset]
    .endr
    end_loop
timed_loop store
    .irp offset, 0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120
    str     x1, [x3, #\offset]
    .endr
    end_loop
timed_loop multiply
    mov     x5, #0x5851
    .rept   8
    mul     x4, x1, x5
    madd    x5, x4, x5, x1
    .endr
    end_loop

function loop_call
    stp     x29, x30, [sp, #-16]!
    mov     x29, sp
    mov     x4, #0
1:  .rept   16
    bl      callee
    .endr
    subs    x1, x1, #1
    b.ne    1b
    ldp     x29, x30, [sp], #16
    ret
callee:
    add     x4, x4, #1
    ret

/* A branch behind every instruction, to the next one: what a translator pays for a block. */
timed_loop blocks
    mov     x4, #0
    .irp bit, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3
    add     x4, x4, #1
    tbz     x4, #\bit, 2f
2:
    .endr
    end_loop

timed_loop float
    fmov    d0, #1.0
    fmov    d1, #1.5
    .rept   4
    fadd    d2, d0, d1
    fmul    d0, d2, d1
    fsub    d2, d0, d1
    fmadd   d0, d2, d1, d0
    .endr
    end_loop
