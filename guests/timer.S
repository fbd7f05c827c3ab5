/* Accesses to the timers' registers from EL0, for CNTKCTL_EL1's traps; each ends with RET. */
#include "asm.h"

    .section .user, "ax"
.macro reader register
function user_read_\register
    mrs     x0, \register
    ret
endfunction user_read_\register
.endm
.macro writer register
function user_write_\register
    msr     \register, x0
    ret
endfunction user_write_\register
.endm

    .irp register, cntfrq_el0, cntvct_el0, cntpct_el0, cntv_ctl_el0, cntv_cval_el0, cntv_tval_el0, \
                   cntp_ctl_el0, cntp_cval_el0, cntp_tval_el0
    reader  \register
    .endr
    .irp register, cntv_ctl_el0, cntv_cval_el0, cntv_tval_el0, cntp_ctl_el0, cntp_cval_el0, cntp_tval_el0
    writer  \register
    .endr
