/* sysreg: what the identification registers say (one `ID name value` line each, for a host to compare with its table),
 * whether they agree with each other, and whether the EL1 registers hold what is written to them. */
#include "mmu.h"

extern const char read_id[];

/* Arm ARM D23.3.1: CRm 1 to 7, op2 0 to 7; what has no name here is reserved and reads as zero. */
static const char *const names[7][8] = {
    {"ID_PFR0_EL1", "ID_PFR1_EL1", "ID_DFR0_EL1", "ID_AFR0_EL1", "ID_MMFR0_EL1", "ID_MMFR1_EL1", "ID_MMFR2_EL1",
     "ID_MMFR3_EL1"},
    {"ID_ISAR0_EL1", "ID_ISAR1_EL1", "ID_ISAR2_EL1", "ID_ISAR3_EL1", "ID_ISAR4_EL1", "ID_ISAR5_EL1", "ID_MMFR4_EL1",
     "ID_ISAR6_EL1"},
    {"MVFR0_EL1", "MVFR1_EL1", "MVFR2_EL1", NULL, "ID_PFR2_EL1", "ID_DFR1_EL1", "ID_MMFR5_EL1", NULL},
    {"ID_AA64PFR0_EL1", "ID_AA64PFR1_EL1", "ID_AA64PFR2_EL1", NULL, "ID_AA64ZFR0_EL1", "ID_AA64SMFR0_EL1", NULL,
     "ID_AA64FPFR0_EL1"},
    {"ID_AA64DFR0_EL1", "ID_AA64DFR1_EL1", "ID_AA64DFR2_EL1", NULL, "ID_AA64AFR0_EL1", "ID_AA64AFR1_EL1", NULL, NULL},
    {"ID_AA64ISAR0_EL1", "ID_AA64ISAR1_EL1", "ID_AA64ISAR2_EL1", "ID_AA64ISAR3_EL1", NULL, NULL, NULL, NULL},
    {"ID_AA64MMFR0_EL1", "ID_AA64MMFR1_EL1", "ID_AA64MMFR2_EL1", "ID_AA64MMFR3_EL1", "ID_AA64MMFR4_EL1", NULL, NULL,
     NULL},
};

static void id(const char *name, u64 value) { print("ID %s 0x%016lx\n", name, value); }
#define ID(name) id(#name, read_sysreg(name))

static void identification_space(void) {
    unsigned undefined = 0, reserved = 0;
    for (unsigned i = 0; i < 56; i++) {
        const char *name = names[i / 8][i % 8];
        struct frame f = attempt(read_id + 8 * i, 0, 0);
        if (!returned(&f))
            undefined++, print("ID S3_0_C0_C%u_%u undefined\n", i / 8 + 1, i % 8);
        else if (name)
            id(name, f.x[0]);
        else if (f.x[0])
            reserved++, print("ID S3_0_C0_C%u_%u 0x%016lx\n", i / 8 + 1, i % 8, f.x[0]);
    }
    check_equal("all of the ID space can be read", undefined, 0);
    check_equal("reserved ID registers read as zero", reserved, 0);
}

static void caches(void) {
    static const char *const kinds[] = {"D", "I"};
    u64 clidr = read_sysreg(clidr_el1);
    for (u64 level = 0; level < 7; level++) {
        u64 type = bits(clidr, 3 * level + 2, 3 * level);
        for (u64 instruction = 0; instruction < 2; instruction++) {
            if (instruction ? !(type & 1) : type < 2)
                continue;
            write_sysreg(csselr_el1, level << 1 | instruction);
            isb();
            print("ID CCSIDR_EL1.L%lu%s 0x%016lx\n", level + 1, kinds[instruction], read_sysreg(ccsidr_el1));
        }
    }
    check("CLIDR_EL1: LoC is at least LoUU", bits(clidr, 26, 24) >= bits(clidr, 29, 27));
}

static void consistency(void) {
    u64 pfr0 = read_sysreg(id_aa64pfr0_el1), mmfr0 = read_sysreg(id_aa64mmfr0_el1);
    u64 dfr0 = read_sysreg(id_aa64dfr0_el1), ctr = read_sysreg(ctr_el0), mpidr = read_sysreg(mpidr_el1);
    check("AArch64 at EL0 and EL1", bits(pfr0, 3, 0) >= 1 && bits(pfr0, 7, 4) >= 1);
    check("AArch32 at EL1 only with AArch32 at EL0", bits(pfr0, 7, 4) != 2 || bits(pfr0, 3, 0) == 2);
    check_equal("FP and AdvSIMD agree", bits(pfr0, 19, 16), bits(pfr0, 23, 20));
    check("PARange is defined", bits(mmfr0, 3, 0) <= 7);
    check("a granule of 4 or 64 KiB", granule_supported(GRANULE_4K) || granule_supported(GRANULE_64K));
    check("DebugVer is at least Armv8", bits(dfr0, 3, 0) >= 6);
    check("at least two breakpoints and watchpoints", bits(dfr0, 15, 12) >= 1 && bits(dfr0, 23, 20) >= 1);
    check_equal("MPIDR_EL1 bit 31 is one", bits(mpidr, 31, 31), 1);
    check_equal("CTR_EL0 bit 31 is one", bits(ctr, 31, 31), 1);
    check("cache lines of 16 to 2048 bytes", bits(ctr, 3, 0) >= 2 && bits(ctr, 19, 16) >= 2);
    check("DC ZVA block is at most 2 KiB", bits(read_sysreg(dczid_el0), 3, 0) <= 9);
    check("CNTFRQ_EL0 is set", read_sysreg(cntfrq_el0) != 0);
    check_equal("CurrentEL", read_sysreg(CurrentEL), 4);
}

/* Writes a value and its complement within the bits that exist, and puts the old value back. */
#define KEEPS(name, mask) KEEPS_AS(name, #name, mask)
#define KEEPS_AS(name, text, mask)                                                                                     \
    do {                                                                                                               \
        u64 old = read_sysreg(name), one = 0x5a5aa5a5c3c33c3cul & (mask), two = ~one & (mask);                         \
        write_sysreg(name, one);                                                                                       \
        isb();                                                                                                         \
        u64 first = read_sysreg(name) & (mask);                                                                        \
        write_sysreg(name, two);                                                                                       \
        isb();                                                                                                         \
        u64 second = read_sysreg(name) & (mask);                                                                       \
        write_sysreg(name, old);                                                                                       \
        isb();                                                                                                         \
        if (first == one && second == two)                                                                             \
            pass("%s keeps what is written", text);                                                                    \
        else                                                                                                           \
            fail(text, "wrote 0x%lx and 0x%lx, read 0x%lx and 0x%lx", one, two, first, second);                        \
    } while (0)

static void read_back(void) {
    KEEPS(VBAR_EL1, 0x0000fffffffff800ul);
    KEEPS(TPIDR_EL0, ~0ul);
    KEEPS(TPIDR_EL1, ~0ul);
    KEEPS(TPIDRRO_EL0, ~0ul);
    KEEPS(CONTEXTIDR_EL1, 0xfffffffful);
    KEEPS(MAIR_EL1, 0xfffffffffffffffful);
    KEEPS(TCR_EL1, 0x0000007fffbfffbful & ~(0x7ul << 32) & ~(3ul << 14) & ~(3ul << 30));
    KEEPS(TTBR0_EL1, 0xff00fffffffff000ul);
    KEEPS(TTBR1_EL1, 0xff00fffffffff000ul);
    KEEPS(ELR_EL1, 0xfffffffffffffffcul);
    KEEPS(SPSR_EL1, 0xf00003c5ul);
    KEEPS(ESR_EL1, 0xfffffffful);
    KEEPS(FAR_EL1, ~0ul);
    KEEPS(SP_EL0, ~0ul);
    KEEPS(CPACR_EL1, 0x00300000ul);
    KEEPS(CNTKCTL_EL1, 0x3fful);
    KEEPS(CNTV_CVAL_EL0, ~0ul);
    KEEPS(CNTP_CVAL_EL0, ~0ul);
    KEEPS_AS(S3_3_C4_C4_0, "FPCR", 0x02c00000ul);
    KEEPS_AS(S3_3_C4_C4_1, "FPSR", 0x0800009ful);
}

void main(const void *fdt) {
    (void)fdt;
    ID(MIDR_EL1);
    ID(MPIDR_EL1);
    ID(REVIDR_EL1);
    identification_space();
    ID(CTR_EL0);
    ID(DCZID_EL0);
    ID(CLIDR_EL1);
    caches();
    ID(CNTFRQ_EL0);
    consistency();
    read_back();
    summary("sysreg");
}
