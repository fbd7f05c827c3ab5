/* The busy loops of the preempt guest: they see for themselves whether an interrupt changed a register. */
#include "asm.h"

.macro fp_all operation
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \operation \n
    .endr
.endm
.macro fill_fp n
    add     x9, x2, #(\n + 100)
    dup     v\n\().2d, x9
.endm
.macro check_fp n
    mov     x10, v\n\().d[0]
    add     x11, x2, #(\n + 100)
    cmp     x10, x11
    cset    x12, ne
    add     x9, x9, x12
    mov     x10, v\n\().d[1]
    cmp     x10, x11
    cset    x12, ne
    add     x9, x9, x12
.endm
.macro for_general operation
    .irp n, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
    \operation \n
    .endr
.endm
.macro fill_general n
    add     x\n, x2, #\n
.endm
.macro check_general n
    add     x11, x2, #\n
    cmp     x\n, x11
    cset    x12, ne
    add     x9, x9, x12
.endm
.macro push a, b
    stp     \a, \b, [sp, #-16]!
.endm

/* u64 busy(const volatile u64 *stop, u64 *turns, u64 seed): until *stop, with seed + n in x3 to x8 and x13 to x29, and
 * seed + 100 + n in both halves of v0 to v31, and NZCV set; *turns counts rounds. Returns how many registers were wrong
 * in the end. Runs at EL1, and at EL0 on a stack. */
    .section .user, "ax"
function busy
    push    x19, x20
    push    x21, x22
    push    x23, x24
    push    x25, x26
    push    x27, x28
    push    x29, x30
    fp_all  fill_fp
    for_general fill_general
    mov     x30, #0
1:  add     x30, x30, #1
    str     x30, [x1]
    ldr     x9, [x0]
    cmn     x9, x9                      // Z set while *stop is 0
    b.eq    1b
    mov     x9, #0
    for_general check_general
    fp_all  check_fp
    mov     x0, x9
    ldp     x29, x30, [sp], #16
    ldp     x27, x28, [sp], #16
    ldp     x25, x26, [sp], #16
    ldp     x23, x24, [sp], #16
    ldp     x21, x22, [sp], #16
    ldp     x19, x20, [sp], #16
    ret
endfunction busy

    .text
/* void spoil_fp(void): what an interrupt handler does to the FP registers that it has saved. */
.macro spoil n
    movi    v\n\().16b, #0xa5
.endm
function spoil_fp
    fp_all  spoil
    mov     x0, #(1 << 22)
    msr     fpcr, x0
    ret
endfunction spoil_fp

/* void fp_save(u64 area[66]), void fp_load(const u64 area[66]): v0 to v31, FPCR, FPSR */
.macro save_one n
    str     q\n, [x0], #16
.endm
.macro load_one n
    ldr     q\n, [x0], #16
.endm
function fp_save
    fp_all  save_one
    mrs     x1, fpcr
    mrs     x2, fpsr
    stp     x1, x2, [x0]
    ret
endfunction fp_save
function fp_load
    fp_all  load_one
    ldp     x1, x2, [x0]
    msr     fpcr, x1
    msr     fpsr, x2
    ret
endfunction fp_load
