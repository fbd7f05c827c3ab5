/* Position-independent code that the selfmod guest copies into RAM. */
#include "asm.h"

    .section .rodata.patching, "a"
    .balign 8
    .global patching, patching_end
/* Stores w0, an instruction, over the one marked below, makes it visible, and runs into it. */
patching:
    adr     x1, 1f
    str     w0, [x1]
    dc      cvau, x1
    dsb     ish
    ic      ivau, x1
    dsb     ish
    isb
1:  mov     w0, #0
    ret
patching_end:
