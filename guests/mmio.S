/* One load or store of each kind: x0 = address, x1 = value; the loaded value comes back in x0. */
#include "asm.h"

.macro access name, instruction
function mmio_\name
    mov     x2, x0
    \instruction
    ret
.endm

    .text
    access  ldrb, "ldrb w0, [x2]"
    access  ldrh, "ldrh w0, [x2]"
    access  ldrw, "ldr w0, [x2]"
    access  ldrx, "ldr x0, [x2]"
    access  ldrsb_w, "ldrsb w0, [x2]"
    access  ldrsb_x, "ldrsb x0, [x2]"
    access  ldrsh_w, "ldrsh w0, [x2]"
    access  ldrsh_x, "ldrsh x0, [x2]"
    access  ldrsw_x, "ldrsw x0, [x2]"
    access  ldr_wzr, "ldr wzr, [x2]"
    access  ldr_x30, "str x30, [sp, #-16]!; ldr x30, [x2]; mov x0, x30; ldr x30, [sp], #16"
    access  strb, "strb w1, [x2]"
    access  strh, "strh w1, [x2]"
    access  strw, "str w1, [x2]"
    access  strx, "str x1, [x2]"
    access  str_xzr, "str xzr, [x2]"
    access  str_wzr, "str wzr, [x2]"
    access  ldr_offset, "sub x3, x2, #8; ldr w0, [x3, #8]"
    access  ldr_register, "mov x3, #2; sub x4, x2, #8; ldr w0, [x4, x3, lsl #2]"
/* Without a syndrome (ISV clear): write-back and pairs */
    access  ldp, "ldp w0, w3, [x2]"
    access  stp, "stp w1, w1, [x2]"
    access  ldr_post, "ldr w0, [x2], #4"
    access  str_pre, "str w1, [x2, #-4]!"
