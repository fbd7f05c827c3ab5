/* Every encoding of the AArch64 identification space, op0 = 3, op1 = 0, CRn = 0, CRm = 1 to 7: 8 bytes of code each. */
#include "asm.h"

    .text
function read_id
    .irp crm, 1, 2, 3, 4, 5, 6, 7
    .irp op2, 0, 1, 2, 3, 4, 5, 6, 7
    mrs     x0, S3_0_C0_C\crm\()_\op2
    ret
    .endr
    .endr
