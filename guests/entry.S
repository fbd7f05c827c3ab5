/* What the entry guest executes, and how it crosses into it and back with every register seen.
 *
 * No stack is used between cross() and the end of the vector, so that the stack pointers can be anything. */
#include "asm.h"
#include "snippets.h"

#define STATE_SP_EL0 0xf8
#define STATE_SP_EL1 0x100
#define STATE_ELR 0x108
#define STATE_SPSR 0x110
#define STATE_ESR 0x118
#define STATE_FAR 0x120
#define STATE_VECTOR 0x128
#define STATE_EL 0x130
#define STATE_SPSEL 0x138
#define STATE_DAIF 0x140
#define STATE_NZCV 0x148
#define STATE_PAN 0x150
#define STATE_SIZE 0x158

.macro vector offset
    .balign 0x80
    msr     tpidr_el1, x0
    adrp    x0, after
    add     x0, x0, :lo12:after
    str     x1, [x0, #8]
    mov     x1, #\offset
    b       save_state
.endm

    .text
    .balign 0x800
function entry_vectors
    .irp offset, 0x000, 0x080, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, \
                 0x400, 0x480, 0x500, 0x580, 0x600, 0x680, 0x700, 0x780
    vector \offset
    .endr
    .balign 0x80
endfunction entry_vectors

/* x0 = after, x1 = offset of the vector; x0 and x1 of the interrupted code are in TPIDR_EL1 and in after. Nothing
 * here writes the flags before they are kept. */
function save_state
    str     x1, [x0, #STATE_VECTOR]
    mrs     x1, nzcv
    str     x1, [x0, #STATE_NZCV]
    mrs     x1, daif
    str     x1, [x0, #STATE_DAIF]
    mrs     x1, CurrentEL
    str     x1, [x0, #STATE_EL]
    mrs     x1, SPSel
    str     x1, [x0, #STATE_SPSEL]
    mov     x1, sp
    str     x1, [x0, #STATE_SP_EL1]
    msr     SPSel, #1                   // as it should be already; MRS of SP_EL0 wants it
    mrs     x1, tpidr_el1
    str     x1, [x0]
    save_registers x0
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [x0, #STATE_ELR]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [x0, #STATE_ESR]
    adrp    x1, has_pan
    ldr     x1, [x1, :lo12:has_pan]
    cbz     x1, 1f
    mrs     x1, S3_0_C4_C2_3            // PAN
1:  str     x1, [x0, #STATE_PAN]
    msr     daifset, #15
    adrp    x0, kept
    add     x0, x0, :lo12:kept
    load_callee_saved x0
    ldr     x1, [x0, #0x60]
    mov     sp, x1
    ret                                 // from cross()
endfunction save_state

/* void cross(const struct state *before): ERET to before->elr with every register from there; returns when the vector
 * has filled `after`. */
function cross
    adrp    x1, kept
    add     x1, x1, :lo12:kept
    save_callee_saved x1
    mov     x2, sp
    str     x2, [x1, #0x60]
    ldp     x1, x2, [x0, #STATE_ELR]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    ldr     x1, [x0, #STATE_SP_EL1]
    mov     sp, x1
    ldp     x30, x1, [x0, #0xf0]
    msr     sp_el0, x1
    load_registers x0
    ldp     x0, x1, [x0]
    eret
endfunction cross

/* void fill_fp(void), u64 fold_fp(void): the SIMD registers, FPCR and FPSR, which C code here never touches. */
function fill_fp
    mov     x0, #0x1234
    movk    x0, #0x5678, lsl #48
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    eor     x0, x0, x0, ror #7
    fmov    d\n, x0
    fmov    v\n\().d[1], x0
    .endr
    msr     fpcr, xzr
    msr     fpsr, xzr
    ret
endfunction fill_fp

function fold_fp
    mrs     x0, fpcr
    mrs     x1, fpsr
    eor     x0, x1, x0, ror #11
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fmov    x1, d\n
    eor     x0, x1, x0, ror #7
    fmov    x1, v\n\().d[1]
    eor     x0, x1, x0, ror #7
    .endr
    ret
endfunction fold_fp

    .bss
    .balign 16
kept:
    .skip   0x68
    .balign 16
    .global after
after:
    .skip   STATE_SIZE

/* In any mode, with nothing set up. */
group always
    one svc #0
    one svc #0x1234
    one svc #0xfffe
    one brk #0
    one brk #0xbeef
    one hlt #0
    one hlt #0x1234
    one udf #0
    one udf #0xffff
    one .inst 0xffffffff
    one .inst 0xd503401f
    one .inst 0x1e000c00
    one .inst 0x05000000
    one dcps1
    one mrs x1, S3_7_C15_C15_7
    one mrs x1, hcr_el2
    one msr vbar_el2, x1
    one mrs x1, sctlr_el3
    one tlbi alle2
    one mrs x1, S3_0_C0_C7_7
    endgroup

/* EL0 may not, or only if SCTLR_EL1, CNTKCTL_EL1 or PMUSERENR_EL0 lets it. */
group not_at_el0
    one mrs x1, sctlr_el1
    one msr vbar_el1, x1
    one mrs x1, esr_el1
    one mrs x1, midr_el1
    one mrs x1, id_aa64pfr0_el1
    one mrs x1, CurrentEL
    one mrs x1, SPSel
    one msr SPSel, #0
    one msr tpidrro_el0, x1
    one msr S3_3_C0_C0_1, x1
    one mrs x1, icc_iar1_el1
    one eret
    one hvc #0
    one .inst 0xd4000003
    one tlbi vmalle1
    one ic iallu
    one dc ivac, x0
    one dc isw, x0
    one at s1e1r, x0
    endgroup

group controlled_at_el0
    one mrs x1, daif
    one msr daif, x1
    one msr daifset, #2
    one msr daifclr, #1
    one wfi
    one wfe
    one mrs xzr, ctr_el0
    one mrs xzr, dczid_el0
    one dc zva, x0
    one dc cvau, x0
    one dc cvac, x0
    one dc civac, x0
    one ic ivau, x0
    endgroup

group timers
    one mrs xzr, cntfrq_el0
    one mrs xzr, cntvct_el0
    one mrs xzr, cntpct_el0
    one mrs xzr, cntv_ctl_el0
    one mrs xzr, cntp_ctl_el0
    one msr cntv_cval_el0, x1
    one msr cntp_cval_el0, x1
    endgroup

group performance
    one mrs xzr, pmcr_el0
    one mrs xzr, pmccntr_el0
    one msr pmselr_el0, x1
    one msr pmuserenr_el0, x1
    endgroup

group floats
    one fadd d0, d1, d2
    one fmov x1, d0
    one fmov d0, x1
    one add v0.4s, v1.4s, v2.4s
    one mrs x1, fpcr
    one msr fpsr, x1
    endgroup
group float_accesses
    one ldr d0, [x0]
    one ldr q0, [x0]
    one str q0, [x0]
    one ldp q0, q1, [x0]
    one ld1 {v0.16b, v1.16b}, [x0]
    endgroup

/* x0 is the address. */
group accesses
    one ldr x1, [x0]
    one ldr w1, [x0]
    one ldrh w1, [x0]
    one ldrb w1, [x0]
    one ldrsw x1, [x0]
    one ldrsh w1, [x0]
    one ldrsh x1, [x0]
    one ldrsb w1, [x0]
    one ldrsb x1, [x0]
    one ldr xzr, [x0]
    one ldur x1, [x0, #-8]
    one ldr x1, [x0, #8]!
    one ldr x1, [x0], #8
    one ldr x0, [x0]
    one ldp x1, x2, [x0]
    one ldp x1, x2, [x0, #16]!
    one ldpsw x1, x2, [x0]
    one ldnp x1, x2, [x0]
    one ldtr x1, [x0]
    one ldtrsb x1, [x0]
    one ldxr x1, [x0]
    one ldxrb w1, [x0]
    one ldaxr w1, [x0]
    one ldxp x1, x2, [x0]
    one ldar x1, [x0]
    one ldarb w1, [x0]
    one ldr q0, [x0]
    one ldr b0, [x0]
    one ldp d0, d1, [x0]
    one ld1 {v0.16b, v1.16b}, [x0], #32
    one ld4 {v0.b, v1.b, v2.b, v3.b}[3], [x0]
    one ld1r {v0.4s}, [x0]
    one str x1, [x0]
    one str w1, [x0]
    one strh w1, [x0]
    one strb w1, [x0]
    one str xzr, [x0]
    one str x1, [x0, #8]!
    one str x1, [x0], #8
    one stp x1, x2, [x0]
    one stp x1, x2, [x0, #-16]!
    one stnp w1, w2, [x0]
    one sttr x1, [x0]
    one sttrb w1, [x0]
    one stlr x1, [x0]
    one stxr w3, x1, [x0]
    one str q0, [x0]
    one stp q0, q1, [x0]
    one st1 {v0.8h}, [x0], #16
    one prfm pldl1keep, [x0]
    one dc cvac, x0
    one dc cvau, x0
    one dc civac, x0
    one dc zva, x0
    one ic ivau, x0
    endgroup

/* A load, a store, and the privileged kinds, for the many reasons to fault. */
group load_and_store
    one ldr x1, [x0]
    one str x1, [x0]
    one ldp x1, x2, [x0]
    one stp x1, x2, [x0]
    one ldtr x1, [x0]
    one sttr x1, [x0]
    endgroup

group execute
    one ret x0
    endgroup

group calls
    one blr x0
    endgroup

group aligned
    one ldr x1, [x0]
    one ldrh w1, [x0]
    one str w1, [x0]
    one ldp x1, x2, [x0]
    one ldr q0, [x0]
    one ldxr x1, [x0]
    one ldaxr w1, [x0]
    one stxr w3, x1, [x0]
    one ldxp x1, x2, [x0]
    endgroup

/* Where armvcpu or QEMU checks less than the Arm ARM wants. */
group aligned_acquire
    one ldar x1, [x0]
    one ldarh w1, [x0]
    one stlr x1, [x0]
    one stlr w1, [x0]
    endgroup

group by_stack
    one ldr x1, [sp]
    one str x1, [sp]
    one ldp x1, x2, [sp], #16
    one stp x1, x2, [sp, #-16]!
    one ldr x1, [x0]
    one add sp, sp, #16
    endgroup

group stepped
    one nop
    one add x1, x1, #1
    one ldr x1, [x0]
    one ldxr x1, [x0]
    one ldaxr w1, [x0]
    one str x1, [x0]
    one adds x1, x1, x2
    one mrs x1, tpidr_el0
    endgroup
group svc
    one svc #0x55
    endgroup
group brk
    one brk #0x66
    endgroup
group udf
    one udf #0x77
    endgroup

group watched
    one ldr x1, [x0]
    one ldrb w1, [x0]
    one ldp x1, x2, [x0]
    one ldr q0, [x0]
    one ldxr x1, [x0]
    one ldtr x1, [x0]
    one str x1, [x0]
    one strb w1, [x0]
    one stp x1, x2, [x0]
    one sttr x1, [x0]
    one dc zva, x0
    one prfm pldl1keep, [x0]
    endgroup

group nothing
    one nop
    endgroup

group spinning
    one b .
    endgroup

group not_at_el1t
    one mrs x1, sp_el0
    one msr sp_el0, x1
    endgroup

    .section .user, "ax"
    .balign 8
/* Bytes that read as SVC #0xffff from +2 on, too, for a machine that does not check PC. */
function user_odd
    .hword  0x0000, 0xffe1, 0xd41f, 0x0000
