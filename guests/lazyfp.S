/* The parts of the lazyfp guest that touch FP registers or stacks; the C code never does (-mgeneral-regs-only). */
#include "asm.h"

    .text
/* void switch_stack(u64 *save_sp, u64 load_sp): what AAPCS64 lets a caller rely on, FP aside, goes to the stack. */
function switch_stack
    stp     x29, x30, [sp, #-96]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    mov     x2, sp
    str     x2, [x0]
    mov     sp, x1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #96
    ret

/* \operation n, n + 1 for all 32 registers */
.macro for_each_pair operation
    \operation 0, 1
    \operation 2, 3
    \operation 4, 5
    \operation 6, 7
    \operation 8, 9
    \operation 10, 11
    \operation 12, 13
    \operation 14, 15
    \operation 16, 17
    \operation 18, 19
    \operation 20, 21
    \operation 22, 23
    \operation 24, 25
    \operation 26, 27
    \operation 28, 29
    \operation 30, 31
.endm

/* void fp_save(u64 area[66]), void fp_load(const u64 area[66]): v0 to v31, FPCR, FPSR */
.macro save_pair a, b
    stp     q\a, q\b, [x0], #32
.endm
.macro load_pair a, b
    ldp     q\a, q\b, [x0], #32
.endm

function fp_save
    for_each_pair save_pair
    mrs     x1, fpcr
    mrs     x2, fpsr
    stp     x1, x2, [x0]
    ret

function fp_load
    for_each_pair load_pair
    ldp     x1, x2, [x0]
    msr     fpcr, x1
    msr     fpsr, x2
    ret

/* The three parts of a task's computation. <name>_fp is the first FP instruction of each, the one that may trap. */
    .global fill_fp, step_fp, sum_fp

/* void fill(u64 seed, u64 fpcr): v0 to v15 two doubles each, v16 to v30 bits, v31 the divisor seed + 2. */
.macro random n
    madd    x0, x0, x3, x4
    ins     v\n\().d[0], x0
    madd    x0, x0, x3, x4
    ins     v\n\().d[1], x0
.endm
.macro random_pair a, b
    random  \a
    random  \b
.endm

function fill
    mov     x3, #0x7f2d                 // a linear congruential generator
    movk    x3, #0x4c95, lsl #16
    movk    x3, #0xf42d, lsl #32
    movk    x3, #0x5851, lsl #48
    mov     x4, #0x1405
    add     x5, x0, #2
fill_fp:
    msr     fpcr, x1
    msr     fpsr, xzr
    for_each_pair random_pair
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    scvtf   v\n\().2d, v\n\().2d
    .endr
    dup     v31.2d, x5
    scvtf   v31.2d, v31.2d
    ret

/* void step(void): each double becomes (itself + its neighbour) / divisor, each bit vector is mixed with its own. */
.macro mix_double a, b
    fadd    v\a\().2d, v\a\().2d, v\b\().2d
    fdiv    v\a\().2d, v\a\().2d, v31.2d
.endm
.macro mix_bits a, b
    ext     v\a\().16b, v\a\().16b, v\b\().16b, #3
    add     v\a\().4s, v\a\().4s, v\b\().4s
.endm

function step
    mov     x1, #1                      // integer work before, in the same block
    add     x1, x1, x1
step_fp:
    mix_double 0, 1
    mix_double 1, 2
    mix_double 2, 3
    mix_double 3, 4
    mix_double 4, 5
    mix_double 5, 6
    mix_double 6, 7
    mix_double 7, 8
    mix_double 8, 9
    mix_double 9, 10
    mix_double 10, 11
    mix_double 11, 12
    mix_double 12, 13
    mix_double 13, 14
    mix_double 14, 15
    mix_double 15, 0
    mix_bits 16, 17
    mix_bits 17, 18
    mix_bits 18, 19
    mix_bits 19, 20
    mix_bits 20, 21
    mix_bits 21, 22
    mix_bits 22, 23
    mix_bits 23, 24
    mix_bits 24, 25
    mix_bits 25, 26
    mix_bits 26, 27
    mix_bits 27, 28
    mix_bits 28, 29
    mix_bits 29, 30
    mix_bits 30, 16
    ret

/* u64 sum(void): all of v0 to v31 and FPCR in one number. */
.macro sum_one n
    fmov    x1, d\n
    mov     x2, v\n\().d[1]
    eor     x0, x1, x0, ror #7
    eor     x0, x2, x0, ror #11
.endm
.macro sum_pair a, b
    sum_one \a
    sum_one \b
.endm

function sum
    mov     x0, #0
sum_fp:
    mrs     x1, fpcr
    add     x0, x0, x1
    for_each_pair sum_pair
    ret

/* Instructions that use FP registers, each after an integer one: x0 = 16 bytes of memory. For EL0 and EL1. */
.macro using name, instruction
function fp_using_\name
    mov     x1, x0
    \instruction
    ret
.endm

    .section .user, "ax"
    using   fadd, "fadd d0, d0, d1"
    using   fcmp, "fcmp s0, #0.0"
    using   fmov_from, "fmov w2, s0"
    using   fmov_to, "fmov d0, x1"
    using   fcvtzs, "fcvtzs w2, d0"
    using   ldr_q, "ldr q0, [x1]"
    using   str_d, "str d0, [x1]"
    using   ldp_s, "ldp s0, s1, [x1]"
    using   st1, "st1 {v0.16b}, [x1]"
    using   add_4s, "add v0.4s, v1.4s, v2.4s"
    using   movi, "movi v0.2d, #0"
    using   tbl, "tbl v0.16b, {v1.16b}, v2.16b"
    using   mrs_fpcr, "mrs x2, fpcr"
    using   msr_fpsr, "msr fpsr, xzr"

/* An FP instruction that is never reached. */
function fp_jumped_over
    cbz     xzr, 1f
    fadd    d0, d0, d1
1:  ret
