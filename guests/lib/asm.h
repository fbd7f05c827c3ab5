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
