/* fpsimd: floating point and SIMD against known results, bit for bit, with FPCR's rounding and FPSR's flags
 * (Arm ARM A1.5 "Floating-point support", C7 "A64 Advanced SIMD and Floating-point Instruction Descriptions"). */
#include "guest.h"

#define RP (1ul << 22) /* FPCR.RMode: towards plus infinity, minus infinity, zero */
#define RM (2ul << 22)
#define RZ (3ul << 22)
#define FZ (1ul << 24)
#define DN (1ul << 25)
#define IOC (1ul << 0) /* FPSR's cumulative flags */
#define DZC (1ul << 1)
#define OFC (1ul << 2)
#define UFC (1ul << 3)
#define IXC (1ul << 4)
#define IDC (1ul << 7)
#define QC (1ul << 27)

struct vector {
    u64 low, high;
};
struct operation {
    const char *name, *code;
    struct vector operands[3];
    u64 fpcr;
    struct vector result;
    u64 fpsr;
};
/* A double in the low half, a single in the low quarter; the rest of the register becomes zero. */
#define D(value) {(u64)(value), 0}
#define V(high, low) {low, high}
#define INF_D 0x7ff0000000000000
#define QNAN_D 0x7ff8000000000000
#define SNAN_D 0x7ff0000000000001
#define ONE_D 0x3ff0000000000000
#define THREE_D 0x4008000000000000
#define ROW(name, what, a, b, c, fpcr, result, fpsr) {#name what, fp_##name, {a, b, c}, fpcr, result, fpsr}

#define CODE(name) extern const char fp_##name[];
CODE(fadd_d) CODE(fsub_d) CODE(fmul_d) CODE(fdiv_d) CODE(fsqrt_d) CODE(fmadd_d) CODE(fmax_d) CODE(fmaxnm_d) CODE(fadd_s)
CODE(fdiv_s) CODE(fmul_s) CODE(fcvt_s_d) CODE(fcvt_d_s) CODE(fcvt_h_s) CODE(fcvt_s_h) CODE(frintx_d) CODE(frinta_d)
CODE(fcvtzs_w) CODE(fcvtzu_x) CODE(fcvtns_x) CODE(scvtf_d) CODE(ucvtf_s) CODE(fcmp) CODE(fcmpe) CODE(fcsel) CODE(vadd_4s)
CODE(vmul_8h) CODE(sqadd_16b) CODE(uqsub_8h) CODE(fmla_4s) CODE(faddp_2d) CODE(addv_16b) CODE(uaddlv_8h) CODE(umull_2d)
CODE(tbl_16b) CODE(zip1_16b) CODE(uzp2_8h) CODE(ext_16b) CODE(rev64_16b) CODE(cnt_16b) CODE(cmgt_4s) CODE(bsl_16b)
CODE(sshl_2d) CODE(shrn_8b) CODE(pmull_8h) CODE(dup_ins)

static const struct operation operations[] = {
    ROW(fadd_d, " 0.1 + 0.2", D(0x3fb999999999999a), D(0x3fc999999999999a), D(0), 0, D(0x3fd3333333333334), IXC),
    ROW(fsub_d, " 3 - 1", D(THREE_D), D(ONE_D), D(0), 0, D(0x4000000000000000), 0),
    ROW(fsub_d, " 1 - 1 towards minus", D(ONE_D), D(ONE_D), D(0), RM, D(0x8000000000000000), 0),
    ROW(fadd_d, " inf - inf", D(INF_D), D(INF_D | 1ul << 63), D(0), 0, D(QNAN_D), IOC),
    ROW(fadd_d, " signalling NaN", D(SNAN_D), D(ONE_D), D(0), 0, D(SNAN_D | 1ul << 51), IOC),
    ROW(fadd_d, " quiet NaN", D(QNAN_D | 0x1234), D(ONE_D), D(0), 0, D(QNAN_D | 0x1234), 0),
    ROW(fadd_d, " quiet NaN with DN", D(QNAN_D | 0x1234), D(ONE_D), D(0), DN, D(QNAN_D), 0),
    ROW(fdiv_d, " 1/3 nearest", D(ONE_D), D(THREE_D), D(0), 0, D(0x3fd5555555555555), IXC),
    ROW(fdiv_d, " 1/3 towards plus", D(ONE_D), D(THREE_D), D(0), RP, D(0x3fd5555555555556), IXC),
    ROW(fdiv_d, " 1/3 towards minus", D(ONE_D), D(THREE_D), D(0), RM, D(0x3fd5555555555555), IXC),
    ROW(fdiv_d, " -1/3 towards minus", D(0xbff0000000000000), D(THREE_D), D(0), RM, D(0xbfd5555555555556), IXC),
    ROW(fdiv_d, " -1/3 towards zero", D(0xbff0000000000000), D(THREE_D), D(0), RZ, D(0xbfd5555555555555), IXC),
    ROW(fdiv_d, " 1/0", D(ONE_D), D(0), D(0), 0, D(INF_D), DZC),
    ROW(fdiv_d, " 0/0", D(0), D(0), D(0), 0, D(QNAN_D), IOC),
    ROW(fmul_d, " overflow", D(0x7fefffffffffffff), D(0x4000000000000000), D(0), 0, D(INF_D), OFC | IXC),
    ROW(fmul_d, " overflow towards zero", D(0x7fefffffffffffff), D(0x4000000000000000), D(0), RZ,
        D(0x7fefffffffffffff), OFC | IXC),
    ROW(fmul_d, " underflow", D(0x0010000000000001), D(0x3fe0000000000000), D(0), 0, D(0x0008000000000000), UFC | IXC),
    ROW(fmul_d, " exact denormal", D(0x0010000000000000), D(0x3fe0000000000000), D(0), 0, D(0x0008000000000000), 0),
    ROW(fmul_d, " denormal result with FZ", D(0x0010000000000000), D(0x3fe0000000000000), D(0), FZ, D(0), UFC),
    ROW(fadd_d, " denormal operand with FZ", D(1), D(ONE_D), D(0), FZ, D(ONE_D), IDC),
    ROW(fsqrt_d, " 2", D(0x4000000000000000), D(0), D(0), 0, D(0x3ff6a09e667f3bcd), IXC),
    ROW(fsqrt_d, " -1", D(0xbff0000000000000), D(0), D(0), 0, D(QNAN_D), IOC),
    ROW(fmadd_d, " rounds once", D(0x3ff0000000000001), D(0x3feffffffffffffe), D(0xbff0000000000000), 0,
        D(0xb970000000000000), 0),
    ROW(fmax_d, " with NaN", D(QNAN_D), D(ONE_D), D(0), 0, D(QNAN_D), 0),
    ROW(fmaxnm_d, " with NaN", D(QNAN_D), D(ONE_D), D(0), 0, D(ONE_D), 0),
    ROW(fmax_d, " of zeros", D(0x8000000000000000), D(0), D(0), 0, D(0), 0),
    ROW(fadd_s, " clears the rest", V(~0ul, 0xffffffff3f800000), D(0x40000000), D(0), 0, D(0x40400000), 0),
    ROW(fdiv_s, " 1/3", D(0x3f800000), D(0x40400000), D(0), 0, D(0x3eaaaaab), IXC),
    ROW(fmul_s, " underflow", D(0x00800001), D(0x3f000000), D(0), 0, D(0x00400000), UFC | IXC),
    ROW(fcvt_s_d, " 0.1", D(0x3fb999999999999a), D(0), D(0), 0, D(0x3dcccccd), IXC),
    ROW(fcvt_d_s, " 0.1f", D(0x3dcccccd), D(0), D(0), 0, D(0x3fb99999a0000000), 0),
    ROW(fcvt_h_s, " 65520 overflows", D(0x477ff000), D(0), D(0), 0, D(0x7c00), OFC | IXC),
    ROW(fcvt_s_h, " least denormal", D(0x0001), D(0), D(0), 0, D(0x33800000), 0),
    ROW(frintx_d, " 2.5 nearest even", D(0x4004000000000000), D(0), D(0), 0, D(0x4000000000000000), IXC),
    ROW(frintx_d, " 2.5 towards plus", D(0x4004000000000000), D(0), D(0), RP, D(THREE_D), IXC),
    ROW(frinta_d, " 2.5 away from zero", D(0x4004000000000000), D(0), D(0), 0, D(THREE_D), 0),
    ROW(fcvtzs_w, " 1e10 saturates", D(0x4202a05f20000000), D(0), D(0), 0, D(0x7fffffff), IOC),
    ROW(fcvtzs_w, " NaN is zero", D(QNAN_D), D(0), D(0), 0, D(0), IOC),
    ROW(fcvtzs_w, " -1.5", D(0xbff8000000000000), D(0), D(0), 0, D(0xffffffff), IXC),
    ROW(fcvtzu_x, " -1 saturates", D(0xbff0000000000000), D(0), D(0), 0, D(0), IOC),
    ROW(fcvtns_x, " 3.5 to even", D(0x400c000000000000), D(0), D(0), 0, D(4), IXC),
    ROW(scvtf_d, " 2^53 + 1", D(0x20000000000001), D(0), D(0), 0, D(0x4340000000000000), IXC),
    ROW(ucvtf_s, " 0xffffffff", D(0xffffffff), D(0), D(0), 0, D(0x4f800000), IXC),
    ROW(fcmp, " less", D(ONE_D), D(THREE_D), D(0), 0, D(0x80000000), 0),
    ROW(fcmp, " equal", D(ONE_D), D(ONE_D), D(0), 0, D(0x60000000), 0),
    ROW(fcmp, " unordered", D(QNAN_D), D(ONE_D), D(0), 0, D(0x30000000), 0),
    ROW(fcmpe, " unordered", D(QNAN_D), D(ONE_D), D(0), 0, D(0x30000000), IOC),
    ROW(fcsel, " not greater", D(ONE_D), D(THREE_D), D(0x4010000000000000), 0, D(0x4010000000000000), 0),
    ROW(vadd_4s, " wraps in lanes", V(0xffffffff7fffffff, 0x0000000180000000), V(0x0000000100000001, 0xffffffff80000000),
        D(0), 0, V(0x0000000080000000, 0x0000000000000000), 0),
    ROW(vmul_8h, "", V(0x0001000200030004, 0x0005000600070100), V(0x0002000200020002, 0x0002000200020100), D(0), 0,
        V(0x0002000400060008, 0x000a000c000e0000), 0),
    ROW(sqadd_16b, " saturates", V(0, 0x7f807f0102030405), V(0, 0x01ff000101010101), D(0), 0,
        V(0, 0x7f807f0203040506), QC),
    ROW(uqsub_8h, " saturates", V(0, 0x0001000200030004), V(0, 0x0002000100030001), D(0), 0, V(0, 0x0000000100000003),
        QC),
    ROW(fmla_4s, " 1 + 2 * 3", V(0x4000000040000000, 0x4000000040000000), V(0x4040000040400000, 0x4040000040400000),
        V(0x3f8000003f800000, 0x3f8000003f800000), 0, V(0x40e0000040e00000, 0x40e0000040e00000), 0),
    ROW(faddp_2d, "", V(THREE_D, ONE_D), V(ONE_D, ONE_D), D(0), 0, V(0x4000000000000000, 0x4010000000000000), 0),
    ROW(addv_16b, "", V(0x0102030405060708, 0x090a0b0c0d0e0f10), D(0), D(0), 0, D(0x88), 0),
    ROW(uaddlv_8h, "", V(0xffffffffffffffff, 0xffffffffffffffff), D(0), D(0), 0, D(0x7fff8), 0),
    ROW(umull_2d, "", D(0xffffffff00000002), D(0xffffffff00000003), D(0), 0, V(0xfffffffe00000001, 6), 0),
    ROW(tbl_16b, " out of range is zero", V(0x0f0e0d0c0b0a0908, 0x0706050403020100), V(0x10ff000f01020304, 0x0f0e0d0c0b0a0908),
        D(0), 0, V(0x0000000f01020304, 0x0f0e0d0c0b0a0908), 0),
    ROW(zip1_16b, "", D(0x0706050403020100), D(0x1716151413121110), D(0), 0, V(0x1707160615051404, 0x1303120211011000), 0),
    ROW(uzp2_8h, "", V(0x0007000600050004, 0x0003000200010000), V(0x0017001600150014, 0x0013001200110010), D(0), 0,
        V(0x0017001500130011, 0x0007000500030001), 0),
    ROW(ext_16b, " by 5", V(0x0f0e0d0c0b0a0908, 0x0706050403020100), V(0x1f1e1d1c1b1a1918, 0x1716151413121110), D(0), 0,
        V(0x14131211100f0e0d, 0x0c0b0a0908070605), 0),
    ROW(rev64_16b, "", V(0x0f0e0d0c0b0a0908, 0x0706050403020100), D(0), D(0), 0, V(0x08090a0b0c0d0e0f, 0x0001020304050607), 0),
    ROW(cnt_16b, "", V(0xff7f3f1f0f070301, 0x0080c0e0f0f8fcfe), D(0), D(0), 0, V(0x0807060504030201, 0x0001020304050607), 0),
    ROW(cmgt_4s, " signed", V(0x80000000ffffffff, 0x0000000100000000), V(0x00000000fffffffe, 0x0000000000000000), D(0), 0,
        V(0x00000000ffffffff, 0xffffffff00000000), 0),
    ROW(bsl_16b, "", D(0xff00ff00ff00ff00), D(0x1111111111111111), D(0x2222222222222222), 0, D(0x1122112211221122), 0),
    ROW(sshl_2d, " right by negative", V(0x8000000000000000, 1), V(0x00000000000000ff, 4), D(0), 0, V(0xc000000000000000, 16),
        0),
    ROW(shrn_8b, "", V(0x1234567890abcdef, 0x0123456789abcdef), D(0), D(0), 0, D(0x23670ade12569ade), 0),
    ROW(pmull_8h, " carry-less", D(0xff), D(0xff), D(0), 0, D(0x5555), 0),
    ROW(dup_ins, "", V(0, 0x1122334455667788), V(0xabcd000000000000, 0), D(0), 0, V(0x1122334411223344, 0x112233441122abcd),
        0),
};

static void run(const struct operation *op) {
    struct vector io[4] = {op->operands[0], op->operands[1], op->operands[2], {0, 0}};
    u64 fpsr = ((u64(*)(struct vector *, u64))op->code)(io, op->fpcr);
    if (io[3].low != op->result.low || io[3].high != op->result.high)
        fail(op->name, "got 0x%016lx%016lx, expected 0x%016lx%016lx", io[3].high, io[3].low, op->result.high,
             op->result.low);
    else if (fpsr != op->fpsr)
        fail(op->name, "FPSR 0x%lx, expected 0x%lx", fpsr, op->fpsr);
    else
        pass("%s", op->name);
}

void main(const void *fdt) {
    (void)fdt;
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        run(&operations[i]);
    summary("fpsimd");
}
