/* A hypervisor as small as one can be: what one guest is, and what its exits lead to.
 *
 * The guest runs at EL1 at intermediate physical addresses (IPA) that are the machine's plus IPA_OFFSET; it sees the
 * image read-only, and RAM of its own. Every CPU has one guest with one vCPU. */
#pragma once
#include "guest.h"

#define HCR_VM (1ul << 0)
#define HCR_SWIO (1ul << 1)
#define HCR_FMO (1ul << 3)
#define HCR_IMO (1ul << 4)
#define HCR_AMO (1ul << 5)
#define HCR_VF (1ul << 6)
#define HCR_VI (1ul << 7)
#define HCR_VSE (1ul << 8)
#define HCR_TWI (1ul << 13)
#define HCR_TID3 (1ul << 18)
#define HCR_TSC (1ul << 19)
#define HCR_TACR (1ul << 21)
#define HCR_TVM (1ul << 26)
#define HCR_TGE (1ul << 27)
#define HCR_RW (1ul << 31)
#define HCR_E2H (1ul << 34)
#define HCR_GUEST (HCR_VM | HCR_SWIO | HCR_FMO | HCR_IMO | HCR_AMO | HCR_TWI | HCR_TSC | HCR_RW)

#define SERROR_VECTOR 0x380u
#define LOWER_SYNC_VECTOR 0x400u
#define LOWER_IRQ_VECTOR 0x480u

struct exit {
    u64 esr, far, hpfar, elr, count; /* count: of exits other than calls and interrupts, with this one */
};

struct vcpu {
    struct frame frame; /* start.S knows these two */
    u64 host[12];
    unsigned cpu;
    bool vhe, has_fp;
    u64 hcr;
    struct exit last;
    u64 tick_at;           /* where its timer is to leave a mark, an IPA */
    u64 maintenance, misr; /* maintenance interrupts, and ICH_MISR_EL2 of the last */
    u8 storage[32];        /* the emulated device at STORAGE */
};
void enter_guest(struct vcpu *vcpu);
/* Runs the guest until it calls CALL_END. */
void run(struct vcpu *vcpu);
/* One line, PASS or FAIL, with the CPU and whether it is with VHE. */
void judge(const struct vcpu *vcpu, const char *name, u64 got, u64 wanted);

/* An EL1 register as the hypervisor sees it: with VHE by its _EL12 name, since _EL1 names EL2's own (D13.1.2.1). */
#define write_el1(vcpu, name, name_el12, value)                                                                        \
    do {                                                                                                               \
        if ((vcpu)->vhe)                                                                                               \
            write_sysreg(name_el12, value);                                                                            \
        else                                                                                                           \
            write_sysreg(name, value);                                                                                 \
    } while (0)
/* Registers that the assembler has no name for: macros, which these two expand. */
#define write_encoded(name, value) write_sysreg(name, value)
#define read_encoded(name) read_sysreg(name)
#define SCTLR_EL12 S3_5_C1_C0_0
#define CPACR_EL12 S3_5_C1_C0_2
#define CONTEXTIDR_EL12 S3_5_C13_C0_1
#define VBAR_EL12 S3_5_C12_C0_0
#define CNTKCTL_EL12 S3_5_C14_C1_0
#define CNTV_CTL_EL02 S3_5_C14_C3_1
#define CNTHV_CTL_EL2 S3_4_C14_C3_1
#define CNTHV_CVAL_EL2 S3_4_C14_C3_2

/* memory.c */
#define IPA_OFFSET 0x40000000ul
#define GUEST_RAM 0x90000000ul /* an IPA */
#define GUEST_PAGES 16u
#define UNMAPPED 0xa0000000ul /* IPAs without anything behind them: RAM, a device */
#define STORAGE 0x0b000000ul
#define GUEST_MPIDR 0x80000500ul /* what it sees as its own identity */
#define GUEST_MIDR 0x414fd0b1ul
#define ALIAS 0x200000000ul  /* in EL2's stage 1: one page of the image, read-only */
#define EL0_CODE 0x300000000ul /* and the page of .user, for EL0 of a host with VHE */
void make_stage_1(bool vhe);
void stage_1_on(bool vhe);
void stage_1_off(void);
void make_stage_2(unsigned cpu);
void stage_2_on(unsigned cpu);
void unmap_guest_page(unsigned cpu, u64 ipa);
void map_guest_page(unsigned cpu, u64 ipa);
volatile u64 *guest_memory(unsigned cpu, u64 ipa); /* a word of its RAM */
u64 translate(u64 hcr, u64 va); /* by the guest's two stages: a machine address; 1 where there is none */

/* SMC Calling Convention */
u64 smc(u64 x0, u64 x1, u64 x2, u64 x3);

/* What the guest asks for: HVC #0 with the number in x0; arguments from x1, the answer in x0. */
enum call {
    CALL_END,        /* the guest is done */
    CALL_CHECK,      /* x1 = IPA of a name, x2 = got, x3 = wanted: one PASS or FAIL line */
    CALL_SKIP,       /* x1 = IPA of a name, x2 = IPA of why */
    CALL_ADD,        /* x1 + x2 */
    CALL_LAST,       /* the last exit other than calls: x1 = which member of struct exit, counted from 0 */
    CALL_HCR,        /* x1 = HCR_EL2 bits to set from now on, x2 = bits to clear */
    CALL_TRAP_COUNT, /* CNTPCT_EL0 traps, once */
    CALL_OFFSET,     /* CNTVOFF_EL2 */
    CALL_UNMAP,      /* x1 = an IPA: its page goes from stage 2, until it is used again */
    CALL_TRANSLATE,  /* x1 = an address of the guest: the machine's */
    CALL_INJECT,     /* x1 = virtual INTID, x2 = priority, x3 = maintenance interrupt at its end */
    CALL_PENDING,    /* how many list registers are in use */
    CALL_ACTIVE,     /* x1 = physical INTID: is it active in the GIC? */
    CALL_TICK,       /* the hypervisor's own timer fires x1 ticks later, and sets the word at x2, an IPA in guest RAM */
    CALL_MAINTENANCE /* maintenance interrupts so far, and ICH_MISR_EL2 of the last above bit 32 */
};
