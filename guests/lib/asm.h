/* What the assembly files share: function symbols with a size, and the layout of `struct frame` in guest.h. */
#pragma once

.macro function name
    .global \name
    .type   \name, %function
    .balign 4
\name:
.endm

.macro endfunction name
    .size   \name, . - \name
.endm

#define FRAME_SP_EL0 0xf8
#define FRAME_ELR 0x100
#define FRAME_SPSR 0x108
#define FRAME_ESR 0x110
#define FRAME_FAR 0x118
#define FRAME_SP 0x120
#define FRAME_VECTOR 0x128
#define FRAME_SIZE 0x130

/* x2 to x30 and SP_EL0 into a frame; x1 is lost. */
.macro save_registers frame
    stp     x2, x3, [\frame, #0x10]
    stp     x4, x5, [\frame, #0x20]
    stp     x6, x7, [\frame, #0x30]
    stp     x8, x9, [\frame, #0x40]
    stp     x10, x11, [\frame, #0x50]
    stp     x12, x13, [\frame, #0x60]
    stp     x14, x15, [\frame, #0x70]
    stp     x16, x17, [\frame, #0x80]
    stp     x18, x19, [\frame, #0x90]
    stp     x20, x21, [\frame, #0xa0]
    stp     x22, x23, [\frame, #0xb0]
    stp     x24, x25, [\frame, #0xc0]
    stp     x26, x27, [\frame, #0xd0]
    stp     x28, x29, [\frame, #0xe0]
    mrs     x1, sp_el0
    stp     x30, x1, [\frame, #0xf0]
.endm

/* x2 to x29 out of a frame. */
.macro load_registers frame
    ldp     x28, x29, [\frame, #0xe0]
    ldp     x26, x27, [\frame, #0xd0]
    ldp     x24, x25, [\frame, #0xc0]
    ldp     x22, x23, [\frame, #0xb0]
    ldp     x20, x21, [\frame, #0xa0]
    ldp     x18, x19, [\frame, #0x90]
    ldp     x16, x17, [\frame, #0x80]
    ldp     x14, x15, [\frame, #0x70]
    ldp     x12, x13, [\frame, #0x60]
    ldp     x10, x11, [\frame, #0x50]
    ldp     x8, x9, [\frame, #0x40]
    ldp     x6, x7, [\frame, #0x30]
    ldp     x4, x5, [\frame, #0x20]
    ldp     x2, x3, [\frame, #0x10]
.endm

/* What AAPCS64 lets a caller rely on, x19 to x30, into 0x60 bytes and out of them. */
.macro save_callee_saved to
    stp     x19, x20, [\to]
    stp     x21, x22, [\to, #0x10]
    stp     x23, x24, [\to, #0x20]
    stp     x25, x26, [\to, #0x30]
    stp     x27, x28, [\to, #0x40]
    stp     x29, x30, [\to, #0x50]
.endm
.macro load_callee_saved from
    ldp     x19, x20, [\from]
    ldp     x21, x22, [\from, #0x10]
    ldp     x23, x24, [\from, #0x20]
    ldp     x25, x26, [\from, #0x30]
    ldp     x27, x28, [\from, #0x40]
    ldp     x29, x30, [\from, #0x50]
.endm

/* A vector: x0 and x1 go into a frame on the stack, x0 = its offset. And one for exceptions from a level below, whose frame
 * is elsewhere: they are on the stack alone, x1 = its offset. */
.macro vector_with_frame offset, to
    .balign 0x80
    sub     sp, sp, #FRAME_SIZE
    stp     x0, x1, [sp]
    mov     x0, #\offset
    b       \to
.endm
.macro vector_from_below offset, to
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\offset
    b       \to
.endm

/* ELR, SPSR, ESR and FAR of a level into a frame; x2 and x3 are lost. */
.macro save_syndrome frame, el
    mrs     x2, elr_el\el
    mrs     x3, spsr_el\el
    stp     x2, x3, [\frame, #FRAME_ELR]
    mrs     x2, esr_el\el
    mrs     x3, far_el\el
    stp     x2, x3, [\frame, #FRAME_ESR]
.endm

/* After `vector_with_frame`: fill the frame, call `handler` with it, and go on with what it has left there. */
.macro call_and_return handler, el
    save_registers sp
    save_syndrome sp, \el
    add     x1, sp, #FRAME_SIZE
    stp     x1, x0, [sp, #FRAME_SP]
    mov     x0, sp
    bl      \handler
    ldp     x1, x2, [sp, #FRAME_ELR]
    msr     elr_el\el, x1
    msr     spsr_el\el, x2
    ldr     x30, [sp, #0xf0]
    load_registers sp
    ldp     x0, x1, [sp], #FRAME_SIZE
    eret
.endm

/* The first instructions of a guest: a stack, and zeroed data; x1 and x2 are lost, and labels 1 and 2 are used. */
.macro begin_on_stack
    adrp    x1, boot_stack_top
    add     x1, x1, :lo12:boot_stack_top
    mov     sp, x1
    mov     x29, xzr                    // the end of every backtrace by frame pointer
    mov     x30, xzr
.endm
.macro zero_bss
    adrp    x1, __bss_start
    add     x1, x1, :lo12:__bss_start
    adrp    x2, __bss_end
    add     x2, x2, :lo12:__bss_end
1:  cmp     x1, x2
    b.hs    2f
    stp     xzr, xzr, [x1], #16
    b       1b
2:
.endm
