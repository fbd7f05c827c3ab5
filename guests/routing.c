/* routing: which level gets what is not a trap: calls, returns, interrupts, debug exceptions, and under VHE, accesses.
 *
 *     NS IMO, IRQ pending, EL1h, unmasked, nop: EL2 vector=0x480 elr=code+0x0 spsr=0x5
 *
 * The lines say what happened, to be compared with those of another machine, as in `entry` and `controls`. */
#include "interrupts/gic.h"
#include "levels/levels.h"

extern const struct snippet nothing[], calls[], unmasks[], floats[], waits[], returns[], by_stack[], redirected[];

static unsigned lines;
static bool has_vhe;

struct place {
    const char *name;
    u64 spsr; /* M[3:0] */
};
static const struct place places[] = {{"EL0", 0},  {"EL1t", 4},  {"EL1h", 5}, {"EL2t", 8},
                                      {"EL2h", 9}, {"EL3t", 12}, {"EL3h", 13}};
enum { PLACES = 7 };

struct named {
    const char *name;
    u64 value;
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct event *go(const struct snippet *snippet, u64 spsr, u64 hcr, u64 sp_offset) {
    struct crossing crossing = {
        .x = {SCRATCH, 0},
        .elr = (u64)snippet->code,
        .spsr = spsr,
        .hcr = hcr,
        .sp_el0 = STACK(1) + sp_offset,
        .sp_el1 = STACK(2) + sp_offset,
        .sp_el2 = STACK(3) + sp_offset,
        .sp_top = STACK(4) + sp_offset,
    };
    isb();
    cross(&crossing);
    lines++;
    return first_event();
}

static void finish(const struct snippet *snippet, const struct event *event) {
    print(", %s: ", snippet->text);
    print_event(event, (u64)snippet->code, SCRATCH);
    print(" daif=0x%lx\n", event->daif);
    write_bases();
}

/* States of HCR_EL2 (or'ed to RW and VM) and SCR_EL3 for everything here. */
static const struct named hcrs[] = {
    {"", 0},
    {" TGE", HCR_TGE},
    {" E2H", HCR_E2H},
    {" E2H TGE", HCR_E2H | HCR_TGE},
};
static bool has_hcr(u64 hcr) { return has_vhe || !(hcr & HCR_E2H); }

/* Under E2H, CPTR_EL2 and CNTHCTL_EL2 have another format. */
static void prepare(u64 hcr) {
    write_control(cptr_el2_, hcr & HCR_E2H ? 0x300000 : 0x33ff);
    write_control(cnthctl_el2_, hcr & HCR_E2H ? 0xf03 : 3);
}

/* --- ERET ---------------------------------------------------------------------------------------------------- */

static void returns_from_top(u64 scr, const char *security) {
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        if (!has_hcr(hcrs[i].value))
            continue;
        for (u64 m = 0; m < 16; m++) {
            for (u64 il = 0; il < 2; il++) {
                base[scr_el3_] = scr;
                write_bases();
                prepare(hcrs[i].value);
                const struct event *event = go(nothing, SPSR_DAIF | m | il << 20 | 9ul << 28, base[hcr_el2_] | hcrs[i].value, 0);
                print("ERET from EL%u %s%s, M 0x%lx%s", top_level(), security, hcrs[i].name, m, il ? " IL" : "");
                finish(nothing, event);
            }
        }
    }
}

static void returns_from_lower(u64 scr, const char *security, u64 from) {
    for (u64 m = 0; m < 16; m++) {
        base[scr_el3_] = scr;
        write_bases();
        write_sysreg(elr_el1, (u64)nothing->code);
        write_sysreg(spsr_el1, SPSR_DAIF | m);
        if (from == 9) {
            write_sysreg(elr_el2, (u64)nothing->code);
            write_sysreg(spsr_el2, SPSR_DAIF | m);
        }
        const struct event *event = go(returns, SPSR_DAIF | from, base[hcr_el2_], 0);
        print("ERET from %s %s, M 0x%lx", from == 9 ? "EL2h" : "EL1h", security, m);
        finish(returns, event);
    }
}

/* --- calls --------------------------------------------------------------------------------------------------- */

struct call_state {
    const char *name;
    u64 hcr, scr, mdcr_el2;
};
/* `scr` is exclusive-or'ed. */
static const struct call_state call_states[] = {
    {"", 0, 0, 0},
    {" TSC", 1ul << 19, 0, 0},
    {" HCD", 1ul << 29, 0, 0},
    {" TDE", 0, 0, 1ul << 8},
    {" SMD", 0, SCR_SMD, 0},
    {" TSC SMD", 1ul << 19, SCR_SMD, 0},
    {" HCE 0", 0, SCR_HCE, 0},
};

static void all_calls(u64 scr, const char *security) {
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (unsigned j = 0; has_hcr(hcrs[i].value) && j < COUNT(call_states); j++) {
            const struct call_state *state = &call_states[j];
            if (state->scr && top_level() != 3)
                continue;
            u64 flags = 1;
            for (unsigned p = 0; p < PLACES && places[p].spsr >> 2 <= top_level(); p++) {
                for (const struct snippet *snippet = calls; snippet->text; snippet++) {
                    base[scr_el3_] = scr ^ state->scr;
                    base[cptr_el3_] = state->scr & SCR_SMD ? CPTR_TCPAC : 0; /* the way up without SMC */
                    write_bases();
                    prepare(hcrs[i].value);
                    write_control(mdcr_el2_, base[mdcr_el2_] | state->mdcr_el2);
                    u64 spsr = places[p].spsr | SPSR_DAIF | flags << 28;
                    flags = flags % 15 + 1;
                    const struct event *event = go(snippet, spsr, base[hcr_el2_] | hcrs[i].value | state->hcr, 0);
                    print("%s%s%s, %s", security, hcrs[i].name, state->name, places[p].name);
                    finish(snippet, event);
                }
            }
        }
    }
    base[cptr_el3_] = 0;
}

/* --- floating point ------------------------------------------------------------------------------------------ */

static void floating_point(u64 scr, const char *security) {
    base[scr_el3_] = scr;
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        if (!has_hcr(hcrs[i].value))
            continue;
        for (u64 el1 = 0; el1 < 4; el1++) {
            for (u64 el2 = 0; el2 < 8; el2++) { /* FPEN, TFP */
                for (unsigned p = 0; p < PLACES && places[p].spsr >> 2 <= top_level(); p += 2) {
                    write_bases();
                    prepare(hcrs[i].value);
                    write_control(cpacr_el1_, el1 << 20);
                    u64 cptr = hcrs[i].value & HCR_E2H ? (el2 & 3) << 20 : 0x33ff & ~(1ul << 10);
                    write_control(cptr_el2_, cptr | (el2 & 4) << 8);
                    const struct event *event = go(floats, SPSR_DAIF | places[p].spsr, base[hcr_el2_] | hcrs[i].value, 0);
                    print("%s%s, CPACR_EL1.FPEN %lu, CPTR_EL2.FPEN %lu TFP %lu, %s", security, hcrs[i].name, el1, el2 & 3,
                          el2 >> 2, places[p].name);
                    finish(floats, event);
                }
            }
        }
    }
}

/* --- waits --------------------------------------------------------------------------------------------------- */

#define NTW (1ul << 16 | 1ul << 18)

/* A WFI that nothing traps ends by the EL1 physical timer, which stays masked. */
static void all_waits(u64 scr, const char *security) {
    static const struct named traps[] = {{"", 0}, {" TWI TWE", HCR_TWI | HCR_TWE}};
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (unsigned how = 0; has_hcr(hcrs[i].value) && how < 16; how++) {
            if (how >= 8 && top_level() != 3)
                continue;
            for (unsigned p = 0; p < PLACES && places[p].spsr >> 2 <= top_level(); p += 2) {
                for (const struct snippet *snippet = waits; snippet->text; snippet++) {
                    base[scr_el3_] = scr | (how & 8 ? 3ul << 12 : 0);
                    write_bases();
                    prepare(hcrs[i].value);
                    write_control(sctlr_el1_, base[sctlr_el1_] & ~(how & 1 ? NTW : 0));
                    write_control(sctlr_el2_, (base[sctlr_el2_] | NTW) & ~(how & 2 ? NTW : 0));
                    write_sysreg(cntp_tval_el0, 300000); /* QEMU's counter has 62.5 MHz */
                    write_sysreg(cntp_ctl_el0, snippet == waits);
                    u64 hcr = hcrs[i].value | traps[how >> 2 & 1].value;
                    const struct event *event = go(snippet, SPSR_DAIF | places[p].spsr, base[hcr_el2_] | hcr, 0);
                    write_sysreg(cntp_ctl_el0, 0);
                    print("%s%s%s%s%s%s, %s", security, hcrs[i].name, traps[how >> 2 & 1].name,
                          how & 8 ? " SCR TWI TWE" : "", how & 1 ? " SCTLR_EL1 0" : "", how & 2 ? " SCTLR_EL2 0" : "",
                          places[p].name);
                    finish(snippet, event);
                }
            }
        }
    }
}

/* --- interrupts ---------------------------------------------------------------------------------------------- */

enum { FIQ_INTID = 0, IRQ_INTID = 1 };

static void interrupts_init(void) {
    u64 rd = GICR_BASE + GICR_SGI_BASE;
    if (top_level() == 3) {
        write_sysreg(S3_6_C12_C12_5, 0xf); /* ICC_SRE_EL3 */
        isb();
    }
    write_sysreg(S3_4_C12_C9_5, 0xf); /* ICC_SRE_EL2 */
    isb();
    write32(GICD_BASE + GICD_CTLR, top_level() == 3 ? 0x37 : 0x13); /* all groups, ARE */
    u32 waker = read32(GICR_BASE + GICR_WAKER);
    write32(GICR_BASE + GICR_WAKER, waker & ~GICR_WAKER_PROCESSOR_SLEEP);
    while (read32(GICR_BASE + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP) {
    }
    write32(rd + GICD_IGROUPR, ~(1u << FIQ_INTID));
    write32(rd + 0xd00, 0); /* GICR_IGRPMODR0 */
    for (u64 i = 0; i < 32; i += 4)
        write32(rd + GICD_IPRIORITYR + i, 0x80808080);
    write32(rd + GICD_ISENABLER, 1u << FIQ_INTID | 1u << IRQ_INTID | 1u << PHYSICAL_TIMER_INTID);
    write_sysreg(icc_pmr_el1, 0xff);
    write_sysreg(icc_igrpen0_el1, 1);
    if (top_level() == 3)
        write_sysreg(S3_6_C12_C12_7, 3); /* ICC_IGRPEN1_EL3 */
    else
        write_sysreg(icc_igrpen1_el1, 1);
    isb();
}

/* VI, VF and VSE make theirs pending; the physical ones come from the GIC. */
static const struct named sources[] = {{"IRQ", 1u << IRQ_INTID}, {"FIQ", 1u << FIQ_INTID}, {"vIRQ", HCR_VI},
                                       {"vFIQ", HCR_VF},         {"vSError", HCR_VSE}};
static const struct named takers[] = {
    {"", 0},
    {" IMO", HCR_IMO},
    {" FMO", HCR_FMO},
    {" AMO", HCR_AMO},
    {" IMO FMO AMO", HCR_IMO | HCR_FMO | HCR_AMO},
};

static void interrupts(u64 scr, const char *security) {
    u64 rd = GICR_BASE + GICR_SGI_BASE;
    base[scr_el3_] = scr;
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (unsigned t = 0; has_hcr(hcrs[i].value) && t < COUNT(takers); t++) {
            for (unsigned s = 0; s < COUNT(sources); s++) {
                for (unsigned p = 0; p < PLACES && places[p].spsr >> 2 <= top_level(); p += 2) {
                    for (u64 masks = 0; masks < 2; masks++) {
                        u64 hcr = base[hcr_el2_] | hcrs[i].value | takers[t].value | (s < 2 ? 0 : sources[s].value);
                        write_bases();
                        prepare(hcrs[i].value);
                        if (s < 2)
                            write32(rd + GICD_ISPENDR, (u32)sources[s].value);
                        const struct event *event = go(nothing, (masks ? SPSR_DAIF : 0) | places[p].spsr, hcr, 0);
                        if (s < 2)
                            write32(rd + GICD_ICPENDR, (u32)sources[s].value);
                        print("%s%s%s, %s, %s %s", security, hcrs[i].name, takers[t].name, sources[s].name,
                              places[p].name, masks ? "masked" : "unmasked");
                        finish(nothing, event);
                    }
                }
            }
        }
    }
}

/* A virtual SError that comes in when it is unmasked. */
static void unmasking(u64 scr, const char *security) {
    base[scr_el3_] = scr;
    for (unsigned p = 0; p < 3; p += 2) {
        for (const struct snippet *snippet = unmasks; snippet->text; snippet++) {
            write_bases();
            const struct event *event = go(snippet, SPSR_DAIF | places[p].spsr, base[hcr_el2_] | HCR_AMO | HCR_VSE, 0);
            print("%s AMO, vSError, %s", security, places[p].name);
            finish(snippet, event);
        }
    }
}

/* --- debug exceptions, stack alignment ------------------------------------------------------------------------------ */

#define MDSCR_SS (1ul << 0)
#define MDSCR_KDE (1ul << 13)
#define MDSCR_MDE (1ul << 15)
#define MDCR_TDE (1ul << 8)
#define SPSR_SS (1ul << 21)

static void debug(u64 scr, const char *security) {
    base[scr_el3_] = scr;
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (unsigned how = 0; has_hcr(hcrs[i].value) && how < 16; how++) {
            for (unsigned p = 0; p < PLACES && places[p].spsr >> 2 <= top_level(); p += 2) {
                write_bases();
                prepare(hcrs[i].value);
                bool step = how & 1, masked = how & 8;
                write_control(mdcr_el2_, base[mdcr_el2_] | (how & 2 ? MDCR_TDE : 0));
                if (!step) {
                    write_sysreg(dbgbvr0_el1, (u64)nothing->code);
                    write_sysreg(dbgbcr0_el1, 0x21e7); /* HMC, PMC 3: every level; E */
                    write_control(mdscr_el1_, MDSCR_MDE | (how & 4 ? MDSCR_KDE : 0));
                } else {
                    write_control(mdscr_el1_, MDSCR_SS | (how & 4 ? MDSCR_KDE : 0));
                }
                u64 spsr = places[p].spsr | (SPSR_DAIF & ~(masked ? 0 : 1ul << 9)) | (step ? SPSR_SS : 0);
                const struct event *event = go(nothing, spsr, base[hcr_el2_] | hcrs[i].value, 0);
                write_control(mdscr_el1_, 0);
                write_sysreg(dbgbcr0_el1, 0);
                isb();
                print("%s%s%s%s, %s, %s %s", security, hcrs[i].name, how & 2 ? " TDE" : "", how & 4 ? " KDE" : "",
                      step ? "step" : "breakpoint", places[p].name, masked ? "masked" : "unmasked");
                finish(nothing, event);
            }
        }
    }
}

static void stack_alignment(u64 scr, const char *security) {
    base[scr_el3_] = scr;
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (unsigned p = 0; has_hcr(hcrs[i].value) && p < PLACES && places[p].spsr >> 2 <= top_level(); p++) {
            for (const struct snippet *snippet = by_stack; snippet->text; snippet++) {
                write_bases();
                prepare(hcrs[i].value);
                write_control(sctlr_el1_, base[sctlr_el1_] | 3ul << 3);
                write_control(sctlr_el2_, base[sctlr_el2_] | 3ul << 3);
                const struct event *event = go(snippet, SPSR_DAIF | places[p].spsr, base[hcr_el2_] | hcrs[i].value, 8);
                print("%s%s, SP + 8, %s", security, hcrs[i].name, places[p].name);
                finish(snippet, event);
            }
        }
    }
}

/* --- registers under VHE ------------------------------------------------------------------------------------- */

/* Values of EL1's and EL2's registers that tell them apart, and that all of their bits are there for. */
static void distinguish(void) {
    write_sysreg(contextidr_el1, 0x11);
    write_sysreg(S3_4_C13_C0_1, 0x12); /* CONTEXTIDR_EL2 */
    write_sysreg(ttbr0_el1, 0x21000);
    write_sysreg(ttbr0_el2, 0x22000);
    write_sysreg(ttbr1_el1, 0x31000);
    write_sysreg(S3_4_C2_C0_1, 0x32000); /* TTBR1_EL2 */
    write_sysreg(tcr_el1, 0x19);
    write_sysreg(tcr_el2, 0x1a);
    write_sysreg(esr_el1, 0x51);
    write_sysreg(esr_el2, 0x52);
    write_sysreg(far_el1, 0x61);
    write_sysreg(far_el2, 0x62);
    write_sysreg(mair_el1, 0x71);
    write_sysreg(mair_el2, 0x72);
    write_sysreg(elr_el1, 0x81000);
    write_sysreg(spsr_el1, 0x3c5);
    write_sysreg(cntkctl_el1, 0x303);
    write_sysreg(cntp_cval_el0, 0xc1);
    write_sysreg(cntp_ctl_el0, 2);
    write_sysreg(cntv_cval_el0, 0xd1);
    write_sysreg(cntv_ctl_el0, 2);
    write_sysreg(cnthp_cval_el2, 0xc2);
    write_sysreg(cnthp_ctl_el2, 3);
    write_sysreg(S3_4_C14_C3_2, 0xd2); /* CNTHV_CVAL_EL2 */
    write_sysreg(S3_4_C14_C3_1, 3);
}

static void redirection(void) {
    u64 same = base[vbar_el1_] - 1; /* vectors are somewhere else in each build */
    for (unsigned i = 0; i < COUNT(hcrs); i++) {
        for (const struct snippet *snippet = redirected; snippet->text; snippet++) {
            write_bases();
            distinguish();
            prepare(hcrs[i].value);
            const struct event *event = go(snippet, SPSR_DAIF | 9, base[hcr_el2_] | hcrs[i].value, 0);
            u64 x1 = journal.x[1];
            if (x1 >= (u64)levels_vectors_el1 && x1 <= (u64)levels_vectors_el3)
                x1 -= same;
            bool read = ESR_EC(event->esr) == 0x15;
            print("redirected%s, %s: ", hcrs[i].name, snippet->text);
            print_event(event, (u64)snippet->code, SCRATCH);
            print(" x1=0x%lx\n", read ? x1 : 0);
        }
    }
    write_sysreg(cnthp_ctl_el2, 0);
    write_sysreg(S3_4_C14_C3_1, 0);
    write_sysreg(cntp_ctl_el0, 0);
    write_sysreg(cntv_ctl_el0, 0);
}

static void in_world(u64 scr, const char *security, bool has_el2) {
    returns_from_top(scr, security);
    returns_from_lower(scr, security, 5);
    if (has_el2 && top_level() == 3)
        returns_from_lower(scr, security, 9);
    all_calls(scr, security);
    floating_point(scr, security);
    debug(scr, security);
    stack_alignment(scr, security);
    all_waits(scr, security);
    interrupts(scr, security);
    unmasking(scr, security);
}

void main(const void *fdt) {
    (void)fdt;
    levels_init();
    has_vhe = bits(read_sysreg(id_aa64mmfr1_el1), 11, 8);
    interrupts_init();
    u64 usual = base[scr_el3_];
    in_world(usual, "NS", true);
    if (top_level() == 3) {
        in_world(usual & ~SCR_NS, "S", false);
        interrupts(usual | SCR_IRQ, "NS SCR IRQ");
        interrupts(usual | SCR_FIQ, "NS SCR FIQ");
        interrupts(usual | SCR_EA, "NS SCR EA");
        interrupts(usual | SCR_IRQ | SCR_FIQ | SCR_EA, "NS SCR IRQ FIQ EA");
        interrupts((usual & ~SCR_NS) | SCR_IRQ | SCR_FIQ | SCR_EA, "S SCR IRQ FIQ EA");
    } else if (has_vhe) {
        redirection();
    }
    print("end, %u lines\n", lines);
    levels_end();
}
