/* Single instructions as data, for assembly: each has its own text as its name, and an SVC behind it that says that it
 * took no exception. C has them as arrays of `struct snippet`, which end with an empty one. */
#pragma once

.macro one text:vararg
    .section .rodata.texts, "a"
8:  .asciz  "\text"
    .section .user, "ax"
    .balign 4
9:  \text
    svc     #0xffff
    .section .data.groups, "aw"
    .quad   8b, 9b
.endm
.macro group name
    .section .data.groups, "aw"
    .balign 8
    .global \name
\name:
.endm
.macro endgroup
    .section .data.groups, "aw"
    .quad   0, 0
.endm
