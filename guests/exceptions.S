/* Code that the exceptions guest runs in every mode. */
#include "asm.h"

    .section .user, "ax"
function user_svc
    svc     #0x1234
function user_brk
    brk     #0xbeef
function user_udf
    udf     #0x42
function user_mrs_el1
    mrs     x0, sctlr_el1
function user_wfi
    wfi
    ret
function user_mrs_ctr
    mrs     x3, ctr_el0
    ret
function user_daifset
    msr     daifset, #2
    ret

/* x0 = SP; from the third instruction on: x1 = CurrentEL, x2 = SPSel (EL1 only) */
function user_state
    mov     x0, sp
    svc     #1
    mrs     x1, CurrentEL
    mrs     x2, SPSel
    svc     #2

/* Bytes that read as an instruction at +2 too, the SVC of user_return, for a machine that does not check PC. */
function user_odd
    .hword  0x0000, 0xffe1, 0xd41f, 0x0000

/* Fills x1 to x29, takes an SVC, and returns in x0 how many of them, of SP and of the flags changed. */
.macro pattern register n
    mov     \register, #(0x1111 * (\n % 13) + \n)
    movk    \register, #(0x8000 + \n), lsl #48
.endm

function user_registers
    mov     x0, sp
    stp     x0, x30, [sp, #-16]!
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
    pattern x\n, \n
    .endr
    mov     x0, #0
    cmp     x0, #1                      // N set, C clear
    svc     #0x5a
    cinc    x0, x0, hs
    cinc    x0, x0, pl
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
    pattern x30, \n
    cmp     x\n, x30
    cinc    x0, x0, ne
    .endr
    ldp     x1, x30, [sp], #16
    mov     x2, sp
    cmp     x1, x2
    cinc    x0, x0, ne
    ret
