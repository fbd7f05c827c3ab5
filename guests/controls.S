/* What the controls guest executes: one of every kind of instruction that a control register of EL2 or EL3 can trap.
 *
 * x0 is the address of a page of data, and x1 is 0, which every register that is written here may have. */
#include "asm.h"
#include "snippets.h"

    .arch   armv8.5-a

.macro rw name
    one mrs x1, \name
    one msr \name, x1
.endm

group everywhere
    one svc #0
    one hvc #0
    one smc #0
    one brk #0
    one udf #0
    one wfe
    one fmov d0, d1
    one ldr q0, [x0]
    one mrs x1, fpcr
    one dc cvac, x0
    one dc civac, x0
    one dc cvau, x0
    one dc zva, x0
    one ic ivau, x0
    one mrs x1, ctr_el0
    one mrs x1, dczid_el0
    one mrs x1, cntpct_el0
    one mrs x1, cntvct_el0
    one mrs x1, cntfrq_el0
    rw cntp_ctl_el0
    rw cntp_cval_el0
    rw cntp_tval_el0
    rw cntv_ctl_el0
    rw cntv_cval_el0
    rw cntv_tval_el0
    .irp name, pmcr_el0, pmcntenset_el0, pmcntenclr_el0, pmovsclr_el0, pmselr_el0, pmccntr_el0, pmccfiltr_el0, \
               pmxevtyper_el0, pmxevcntr_el0, pmovsset_el0, pmuserenr_el0, pmevcntr0_el0, pmevtyper0_el0
    rw \name
    .endr
    one msr pmswinc_el0, x1
    one mrs x1, pmceid0_el0
    one mrs x1, pmceid1_el0
    one mrs x1, mdccsr_el0
    one mrs x1, dbgdtr_el0
    one mrs x1, dbgdtrrx_el0
    one mrs x1, tpidr_el0
    one mrs x1, tpidrro_el0
    one mrs x1, daif
    one mrs x1, S3_3_C15_C0_0
    one mrs x1, S3_0_C11_C0_0
    one sys #0, C11, C0, #0, x0
    one mrs x1, midr_el1
    one mrs x1, id_aa64pfr0_el1
    one mrs x1, hcr_el2
    one mrs x1, scr_el3
    one mrs x1, sctlr_el12
    endgroup

group at_el1
    .irp crm, 1, 2, 3, 4, 5, 6, 7
    .irp op2, 0, 1, 2, 3, 4, 5, 6, 7
    one mrs x1, S3_0_C0_C\crm\()_\op2
    .endr
    .endr
    one mrs x1, mpidr_el1
    one mrs x1, revidr_el1
    one mrs x1, aidr_el1
    one mrs x1, clidr_el1
    one mrs x1, ccsidr_el1
    rw csselr_el1
    .irp name, sctlr_el1, ttbr0_el1, ttbr1_el1, tcr_el1, esr_el1, far_el1, afsr0_el1, afsr1_el1, mair_el1, amair_el1, \
               contextidr_el1, actlr_el1, cpacr_el1, par_el1, elr_el1, spsr_el1, cntkctl_el1
    rw \name
    .endr
    one mrs x1, vbar_el1
    one mrs x1, sp_el0
    one mrs x1, tpidr_el1
    one mrs x1, isr_el1
    one mrs x1, rvbar_el1
    one dc ivac, x0
    one dc isw, xzr
    one dc csw, xzr
    one dc cisw, xzr
    .irp operation, vmalle1, vmalle1is, alle1, alle1is, alle2, alle2is, vmalls12e1, vmalls12e1is, alle3
    one tlbi \operation
    .endr
    .irp operation, vae1, aside1, vaae1, vale1, vaale1, vae1is, aside1is, vaae1is, vale1is, vaale1is, ipas2e1is, \
                    ipas2le1is, vae2, vae2is, vae3
    one tlbi \operation, x1
    .endr
    .irp operation, s1e1r, s1e1w, s1e0r, s1e0w, s1e2r, s12e1r, s12e0w, s1e3r
    one at \operation, x0
    .endr
    .irp name, mdscr_el1, mdccint_el1, osdtrrx_el1, osdtrtx_el1, oseccr_el1, osdlr_el1, dbgprcr_el1, dbgclaimset_el1, \
               dbgclaimclr_el1, dbgbvr0_el1, dbgbcr0_el1, dbgwvr0_el1, dbgwcr0_el1
    rw \name
    .endr
    one msr oslar_el1, x1
    one mrs x1, oslsr_el1
    one mrs x1, mdrar_el1
    one mrs x1, dbgauthstatus_el1
    rw pmintenset_el1
    rw pmintenclr_el1
    one mrs x1, S3_0_C15_C0_0
    one mrs x1, S3_1_C11_C0_0
    one mrs x1, S3_1_C15_C0_0
    one sys #0, C15, C0, #0, x0
    .irp name, cntps_ctl_el1, cntps_cval_el1
    rw \name
    .endr
    .irp name, vpidr_el2, vmpidr_el2, sctlr_el2, actlr_el2, mdcr_el2, cptr_el2, hstr_el2, hacr_el2, ttbr0_el2, tcr_el2, \
               vttbr_el2, vtcr_el2, spsr_el2, elr_el2, sp_el1, esr_el2, far_el2, hpfar_el2, mair_el2, vbar_el2, \
               tpidr_el2, cntvoff_el2, cnthctl_el2, cnthp_ctl_el2, cnthp_cval_el2, cnthp_tval_el2, dacr32_el2, \
               ifsr32_el2, fpexc32_el2, dbgvcr32_el2, spsr_abt, sctlr_el3, cptr_el3, mdcr_el3, esr_el3, vbar_el3, \
               sder32_el3
    one mrs x1, \name
    .endr
    one msr cptr_el2, x1
    one msr cpacr_el12, x1
    one msr tpidr_el2, x1
    endgroup

/* These cost a machine all of its translations, so they are executed for HCR_EL2 alone. */
group whole_cache
    one ic iallu
    one ic ialluis
    endgroup

/* Registers of extensions; those of EL12 are in Armv8.1 CPUs only. */
group of_extensions
    .irp name, lorsa_el1, lorea_el1, lorn_el1, lorc_el1
    rw \name
    .endr
    one mrs x1, lorid_el1
    one dc cvap, x0
    .irp name, ttbr0_el12, ttbr1_el12, tcr_el12, esr_el12, far_el12, afsr0_el12, afsr1_el12, mair_el12, amair_el12, \
               contextidr_el12, cpacr_el12, elr_el12, spsr_el12, vbar_el12, cntkctl_el12, cntp_ctl_el02, \
               cntp_cval_el02, cntp_tval_el02, cntv_ctl_el02, cntv_cval_el02, cntv_tval_el02, cnthv_ctl_el2, \
               cnthv_cval_el2, cnthv_tval_el2, contextidr_el2, ttbr1_el2
    one mrs x1, \name
    .endr
    one at s1e1rp, x0
    one at s1e1wp, x0
    .irp operation, vmalle1os, alle1os, alle2os
    one tlbi \operation
    .endr
    one tlbi vae1os, x1
    one tlbi rvae1, x1
    one tlbi rvae1is, x1
    one mrs x1, S3_0_C4_C2_3 // PAN
    endgroup
