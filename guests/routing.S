/* What the routing guest executes at each level. x0 is the address of a page of data, and x1 is 0. */
#include "asm.h"
#include "snippets.h"

    .arch   armv8.5-a

group nothing
    one nop
    endgroup
group calls
    one svc #0x55
    one hvc #0x66
    one smc #0x77
    one brk #0x88
    one udf #0x99
    endgroup
group unmasks
    one msr daifclr, #4
    one msr daif, x1
    endgroup
group floats
    one fmov d0, d1
    endgroup
group waits
    one wfi
    one wfe
    endgroup
group returns
    one eret
    endgroup
group by_stack
    one ldr x1, [sp]
    one str x1, [sp]
    endgroup

/* x1 shows which register it was. */
group redirected
    .irp name, sctlr, cpacr, ttbr0, ttbr1, tcr, esr, far, afsr0, afsr1, mair, amair, contextidr, elr, spsr, vbar, cntkctl
    one mrs x1, \name\()_el1
    one mrs x1, \name\()_el12
    .endr
    .irp name, sctlr, ttbr0, ttbr1, tcr, esr, far, afsr0, afsr1, mair, amair, contextidr, vbar
    one mrs x1, \name\()_el2
    .endr
    one mrs x1, cptr_el2
    one mrs x1, cnthctl_el2
    .irp timer, cntp, cntv
    one mrs x1, \timer\()_ctl_el0
    one mrs x1, \timer\()_cval_el0
    one mrs x1, \timer\()_ctl_el02
    one mrs x1, \timer\()_cval_el02
    .endr
    one mrs x1, cnthp_ctl_el2
    one mrs x1, cnthp_cval_el2
    one mrs x1, cnthv_ctl_el2
    one mrs x1, cnthv_cval_el2
    one mrs x1, midr_el1
    one mrs x1, mpidr_el1
    endgroup
