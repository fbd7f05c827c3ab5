/* LDSMIN and LDSMAX, and their ST forms, of bytes, halfwords and words: Unicorn loads the old value as unsigned.
 *
 * The memory operation gets its sign bit, so that both operands are sign-extended; the result, which is the old value, is
 * extended with zeroes to the register then (DDI 0487 C6.2, LDSMAXB: ZeroExtend(data)).
 */
#include "shim.h"

typedef void operation(void *, void *, void *, void *, uintptr_t, int);

static void signed_operation(operation *own, void *tcg, void *result, void *address, void *value, uintptr_t index, int op)
{
    if (!translating || (op & MO_SIZE) == 3) {
        own(tcg, result, address, value, index, op);
        return;
    }
    own(tcg, result, address, value, index, op | MO_SIGN);
    switch (op & MO_SIZE) {
    case 0: real.tcg_gen_ext8u_i64(tcg, result, result); break;
    case 1: real.tcg_gen_ext16u_i64(tcg, result, result); break;
    default: real.tcg_gen_ext32u_i64(tcg, result, result);
    }
}

void shim_smin(void *tcg, void *result, void *address, void *value, uintptr_t index, int op)
{
    signed_operation(real.smin, tcg, result, address, value, index, op);
}

void shim_smax(void *tcg, void *result, void *address, void *value, uintptr_t index, int op)
{
    signed_operation(real.smax, tcg, result, address, value, index, op);
}
