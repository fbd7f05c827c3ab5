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
