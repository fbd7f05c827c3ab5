/* The snippets of user.h. */
#include "asm.h"

.macro snippet name
    .global \name\()_at
function \name
\name\()_at:
.endm

    .section .user, "ax"
snippet user_load
    ldr     x0, [x0]
    ret
snippet user_store
    str     x1, [x0]
    ret
snippet user_exclusive
    ldxr    x0, [x0]
    ret
snippet user_zva
    dc      zva, x0
    ret
snippet user_jump
    ret     x0                          // not BR: that would set PSTATE.BTYPE
snippet user_push
    str     x1, [sp]
    ret
