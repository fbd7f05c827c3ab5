/* Instructions of the mmu guest that may fault, and those that a CPU may lack. */
#include "asm.h"

    .arch_extension lse
    .arch_extension pan

    .section .user, "ax"
/* x0 = [x0], as EL0 would see it */
function user_ldtr
    ldtr    x0, [x0]
    ret

/* x0: address, x1: operand; returns in x0 what was there */
.macro atomic name, instruction
function user_\name
    mov     x2, x0
    \instruction x1, x0, [x2]
    ret
.endm
    atomic  ldadd, ldaddal
    atomic  ldclr, ldclral
    atomic  ldeor, ldeoral
    atomic  ldset, ldsetal
    atomic  ldsmax, ldsmaxal
    atomic  ldumin, lduminal
    atomic  swp, swpal

/* Compare [x0] with x1; where equal store 42. x0 = what was there */
function user_cas
    mov     x2, x0
    mov     x0, x1
    mov     x1, #42
    casal   x0, x1, [x2]
    ret

    .text
function set_pan
    msr     pan, #1
    ret
function clear_pan
    msr     pan, #0
    ret
