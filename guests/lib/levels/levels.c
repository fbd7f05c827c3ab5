/* What C needs to go down from EL2 or EL3: control registers by number, stage 2, the journal. */
#include "levels.h"

struct journal journal;
u64 base[CONTROLS];

const char *const control_names[CONTROLS] = {
#define X(name) [name##_] = #name,
    CONTROLS_EL2(X) CONTROLS_EL3(X)
#undef X
    [hcr_el2_] = "hcr_el2",
};

u64 read_control(enum control control) {
    switch (control) {
#define X(name)                                                                                                        \
    case name##_:                                                                                                      \
        return read_sysreg(name);
        CONTROLS_EL2(X)
        CONTROLS_EL3(X)
#undef X
    default:
        return read_sysreg(hcr_el2);
    }
}

void write_control(enum control control, u64 value) {
    switch (control) {
#define X(name)                                                                                                        \
    case name##_:                                                                                                      \
        write_sysreg(name, value);                                                                                     \
        break;
        CONTROLS_EL2(X)
        CONTROLS_EL3(X)
#undef X
    default:
        write_sysreg(hcr_el2, value);
    }
}

void write_bases(void) {
    if (read_sysreg(hcr_el2) != journal.hcr)
        write_sysreg(hcr_el2, journal.hcr);
#define X(name)                                                                                                        \
    if (read_sysreg(name) != base[name##_])                                                                            \
        write_sysreg(name, base[name##_]); /* many of them cost a machine all of its TLB */
    CONTROLS_EL2(X)
    if (journal.top == 3) {
        CONTROLS_EL3(X)
    }
#undef X
    isb();
}

void settle_bases(void) {
    write_bases();
#define X(name) base[name##_] = read_sysreg(name);
    CONTROLS_EL2(X)
    if (journal.top == 3) {
        CONTROLS_EL3(X)
    }
#undef X
}

/* Stage 2 of 39 bits that begins at level 1: 1 GiB blocks, the second for RAM, and the first for devices. */
static u64 stage2[512] __attribute__((aligned(4096)));
#define S2_BLOCK (1ul | 3ul << 6 | 3ul << 8 | 1ul << 10) /* valid, S2AP read and write, SH inner, AF */
#define S2_NORMAL (15ul << 2)

void levels_init(void) {
    journal.top = read_sysreg(CurrentEL) >> 2;
    stage2[0] = S2_BLOCK | 1ul << 2; /* Device-nGnRE */
    stage2[1] = RAM_BASE | S2_BLOCK | S2_NORMAL;
    base[vtcr_el2_] = 1ul << 31 | 2ul << 16 | 3ul << 12 | 1ul << 10 | 1ul << 8 | 1ul << 6 | (64 - 39);
    base[vttbr_el2_] = (u64)stage2;
    journal.hcr = base[hcr_el2_] = HCR_RW | HCR_VM;
    base[mdcr_el2_] = bits(read_sysreg(pmcr_el0), 15, 11); /* HPMN: all counters */
    base[cptr_el2_] = 0x33ff;
    base[cnthctl_el2_] = 3;
    base[sctlr_el2_] = base[sctlr_el3_] = 0x30c50830;
    base[tcr_el2_] = 1ul << 31 | 1ul << 23 | 2ul << 16 | (64 - 39);
    /* EL1 lets EL0 do what it can: UMA, DZE, UCT, nTWI, nTWE, UCI. */
    base[sctlr_el1_] = 0x30d00800 | 1ul << 9 | 1ul << 14 | 1ul << 15 | 1ul << 16 | 1ul << 18 | 1ul << 26;
    base[cpacr_el1_] = 3ul << 20;
    base[cntkctl_el1_] = 0x303;
    base[pmuserenr_el0_] = 0xf;
    base[vbar_el1_] = (u64)levels_vectors_el1;
    base[scr_el3_] = SCR_NS | SCR_HCE | SCR_RW | 3ul << 4;
    if (journal.top == 3)
        write_sysreg(vbar_el3, levels_vectors_el3);
    write_sysreg(vbar_el2, levels_vectors_el2);
    write_sysreg(oslar_el1, 0);
    write_sysreg(cntvoff_el2, 0);
    write_bases();
    settle_bases();
}

/* A vector of EL1 whose read of ESR_EL1 has been trapped (HCR_EL2.TRVM) has not come far. */
static void complete(struct event *event) {
    if (event->level == 1 && event->esr == UNREAD) {
        event->esr = read_sysreg(esr_el1);
        event->far = read_sysreg(far_el1);
    }
}

const struct event *first_event(void) {
    for (u64 i = 0; i < journal.count; i++) {
        u64 elr = journal.events[i].elr;
        if (elr >= (u64)levels_vectors_el1 && elr < (u64)way_up_end)
            continue;
        complete(&journal.events[i]);
        return &journal.events[i];
    }
    return NULL;
}

static void print_near(const char *key, u64 value, u64 code, u64 x0) {
    if (value - code < 0x40)
        print(" %s=code+0x%lx", key, value - code);
    else if (value - x0 < 0x2000)
        print(" %s=x0+0x%lx", key, value - x0);
    else
        print(" %s=0x%lx", key, value);
}

/* Aborts, PC alignment and watchpoints have a FAR_ELx (Arm ARM D24.2.42). */
static bool has_far(u64 esr) {
    u64 ec = ESR_EC(esr);
    return (ec >= 0x20 && ec <= 0x25) || ec == 0x34 || ec == 0x35;
}

/* HPFAR_EL2 is valid for stage 2 translation and access flag faults, and faults of a stage 1 walk (D24.2.60). */
static bool has_hpfar(const struct event *event) {
    u64 ec = ESR_EC(event->esr), status = event->esr & 0x3c;
    if (event->level != 2 || (ec != 0x20 && ec != 0x24))
        return false;
    return status == 0x04 || status == 0x08 || event->esr & 1ul << 7;
}

void print_event(const struct event *event, u64 code, u64 x0) {
    bool interrupt = event->vector & 0x180;
    print("EL%lu vector=0x%lx", event->level, event->vector);
    if (!interrupt || (event->vector & 0x180) == 0x180)
        print(" esr=0x%lx", event->esr);
    print_near("elr", event->elr, code, x0);
    print(" spsr=0x%lx", event->spsr);
    if (!interrupt && has_far(event->esr))
        print_near("far", event->far, code, x0);
    if (!interrupt && has_hpfar(event))
        print_near("hpfar", event->hpfar << 8, code, x0);
}

/* By PSCI, or at EL3, where firmware of one's own decides, by the Secure GPIO block that QEMU's board has for it. */
void levels_end(void) {
    enum { SECURE_GPIO = 0x090b0000, GPIODIR = 0x400, GPIODATA_0 = 4 };
    if (journal.top == 3) {
        write32(SECURE_GPIO + GPIODIR, 1);
        write32(SECURE_GPIO + GPIODATA_0, 0);
        write32(SECURE_GPIO + GPIODATA_0, 1);
    } else {
        register u64 x0 __asm__("x0") = 0x84000008;
        __asm__ volatile("smc #0" : "+r"(x0)::"x1", "x2", "x3", "memory");
    }
    for (;;)
        __asm__ volatile("wfi");
}
