/* One FP or SIMD instruction each: x0 = four vectors, three operands and the result; x1 = FPCR. Returns FPSR. */
#include "asm.h"

.macro operation name, instruction
function fp_\name
    msr     fpcr, x1
    msr     fpsr, xzr
    ldp     q0, q1, [x0]
    ldr     q2, [x0, #32]
    mov     x2, x0
    \instruction
    str     q0, [x2, #48]
    mrs     x0, fpsr
    msr     fpcr, xzr
    ret
.endm

    .text
    operation fadd_d, "fadd d0, d0, d1"
    operation fsub_d, "fsub d0, d0, d1"
    operation fmul_d, "fmul d0, d0, d1"
    operation fdiv_d, "fdiv d0, d0, d1"
    operation fsqrt_d, "fsqrt d0, d0"
    operation fmadd_d, "fmadd d0, d0, d1, d2"
    operation fmax_d, "fmax d0, d0, d1"
    operation fmaxnm_d, "fmaxnm d0, d0, d1"
    operation fadd_s, "fadd s0, s0, s1"
    operation fdiv_s, "fdiv s0, s0, s1"
    operation fmul_s, "fmul s0, s0, s1"
    operation fcvt_s_d, "fcvt s0, d0"
    operation fcvt_d_s, "fcvt d0, s0"
    operation fcvt_h_s, "fcvt h0, s0"
    operation fcvt_s_h, "fcvt s0, h0"
    operation frintx_d, "frintx d0, d0"
    operation frinta_d, "frinta d0, d0"
    operation fcvtzs_w, "fcvtzs w3, d0; fmov s0, w3"
    operation fcvtzu_x, "fcvtzu x3, d0; fmov d0, x3"
    operation fcvtns_x, "fcvtns x3, d0; fmov d0, x3"
    operation scvtf_d, "fmov x3, d0; scvtf d0, x3"
    operation ucvtf_s, "fmov w3, s0; ucvtf s0, w3"
    operation fcmp, "fcmp d0, d1; mrs x3, nzcv; fmov d0, x3"
    operation fcmpe, "fcmpe d0, d1; mrs x3, nzcv; fmov d0, x3"
    operation fcsel, "fcmp d0, d1; fcsel d0, d0, d2, gt"
    operation vadd_4s, "add v0.4s, v0.4s, v1.4s"
    operation vmul_8h, "mul v0.8h, v0.8h, v1.8h"
    operation sqadd_16b, "sqadd v0.16b, v0.16b, v1.16b"
    operation uqsub_8h, "uqsub v0.8h, v0.8h, v1.8h"
    operation fmla_4s, "mov v3.16b, v2.16b; fmla v3.4s, v0.4s, v1.4s; mov v0.16b, v3.16b"
    operation faddp_2d, "faddp v0.2d, v0.2d, v1.2d"
    operation addv_16b, "addv b0, v0.16b"
    operation uaddlv_8h, "uaddlv s0, v0.8h"
    operation umull_2d, "umull v0.2d, v0.2s, v1.2s"
    operation tbl_16b, "tbl v0.16b, {v0.16b}, v1.16b"
    operation zip1_16b, "zip1 v0.16b, v0.16b, v1.16b"
    operation uzp2_8h, "uzp2 v0.8h, v0.8h, v1.8h"
    operation ext_16b, "ext v0.16b, v0.16b, v1.16b, #5"
    operation rev64_16b, "rev64 v0.16b, v0.16b"
    operation cnt_16b, "cnt v0.16b, v0.16b"
    operation cmgt_4s, "cmgt v0.4s, v0.4s, v1.4s"
    operation bsl_16b, "bsl v0.16b, v1.16b, v2.16b"
    operation sshl_2d, "sshl v0.2d, v0.2d, v1.2d"
    operation shrn_8b, "shrn v0.8b, v0.8h, #4"
    operation pmull_8h, "pmull v0.8h, v0.8b, v1.8b"
    operation dup_ins, "dup v0.4s, v0.s[1]; ins v0.h[0], v1.h[7]"
