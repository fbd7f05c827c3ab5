/* Facts of Unicorn 2.1.4 on 64-bit Linux: where things lie in its structures, and the numbers it gives them.
 *
 * Names are the engine's own. `shim_attach` asserts that the pointers among them lead to each other, and the self-test
 * (selftest_checks.py) that the registers are where they are said to be.
 */
#ifndef ARMVCPU_UNICORN_H
#define ARMVCPU_UNICORN_H

#include <stddef.h>
#include <stdint.h>

/* The host's share in the layout: CPUState holds a jmp_buf, and TCGContext sets and arrays of the host's registers. */
#if defined(__x86_64__)
enum { MORE_JMP_BUF = 0, MORE_SETS = 0, MORE_REGISTERS = 0, MORE_CONTEXT = 0 };
#elif defined(__aarch64__)
enum { MORE_JMP_BUF = 112, MORE_SETS = 8, MORE_REGISTERS = 264, MORE_CONTEXT = 288 };
#else
#error "hosts are x86-64 and AArch64"
#endif

#define AT(type, base, offset) (*(type *)((char *)(base) + (offset)))

enum {
    UC_CPU = 440,            /* CPUState * */
    UC_TCG_CONTEXT = 768,    /* TCGContext * */
    UC_SIZE_RECUR_MEM = 1384, /* int: not 0 in the parts of an unaligned access, which hooks on memory don't hear of */
    UC_STOP_REQUEST = 1389,  /* bool */
    UC_INVALID_ERROR = 1424, /* int */
    UC_MAPPED_BLOCKS = 1960, /* MemoryRegion ** */
    UC_MAPPED_BLOCK_COUNT = 1968,
};

enum {
    CPU_EXIT_REQUEST = 21,      /* bool */
    CPU_CFLAGS_NEXT_TB = 24,    /* u32: how to translate the next block, -1 as always */
    CPU_INTERRUPT_REQUEST = 28, /* u32 */
    CPU_JUMP_CACHE = 312 + MORE_JMP_BUF,       /* 4096 of TranslationBlock *, by address */
    CPU_AS = 280 + MORE_JMP_BUF,               /* AddressSpace * */
    CPU_ENV = 296 + MORE_JMP_BUF,              /* CPUARMState * */
    CPU_MEM_IO_PC = 33144 + MORE_JMP_BUF,      /* host address of the device access under way */
    CPU_CLUSTER_INDEX = 33172 + MORE_JMP_BUF, /* u32 */
    CPU_HALTED = 33176 + MORE_JMP_BUF,
    CPU_EXCEPTION_INDEX = 33184 + MORE_JMP_BUF, /* int */
    CPU_UC = 33192 + MORE_JMP_BUF,
    CPU_SIZEOF_TO_ENV = 41808 + MORE_JMP_BUF, /* from the CPU to its env */
    CPU_CP_REGS = 54544 + MORE_JMP_BUF,
    CPU_ID_AA64ISAR0 = 54736 + MORE_JMP_BUF, /* then ISAR1, PFR0, PFR1, MMFR0, MMFR1, MMFR2: what the translator goes by */
};

enum { /* from env */
    ENV_ICOUNT_DECR = -16, /* u32; its upper half is the request to leave the chain of blocks */
    ENV_XREGS = 64,        /* x0 to x30, the current SP, then PC */
    ENV_PC = 320,
    ENV_PSTATE = 328, /* u32: without NZCV, DAIF and BTYPE */
    ENV_AARCH64 = 332,
    ENV_HFLAGS = 336, /* u32: what blocks are told apart by */
    ENV_CF = 520, /* u32 each: CF, VF, NF, ZF */
    ENV_DAIF = 560,
    ENV_BANKED_SPSR = 352, /* u64, by AArch32's modes: EL1's is 1, EL2's 6, EL3's 7 */
    ENV_ELR_EL = 568,
    ENV_SP_EL = 600,
    ENV_SCTLR_EL = 672,
    ENV_CPACR_EL1 = 704,
    ENV_CPTR_EL = 712,
    ENV_TRANSLATION = 768, /* to the end of SCR_EL3: TTBR, VTTBR, TCR, VTCR, HCR */
    ENV_TTBR_EL = ENV_TRANSLATION, /* TTBR0 of EL0 to EL3, then TTBR1 */
    ENV_TCR_EL = 840, /* 16 bytes for each level */
    ENV_TRANSLATION_END = 968,
    ENV_MAIR_EL = 1184,
    ENV_HCR_EL2 = 952,
    ENV_SCR_EL3 = 960,
    ENV_ESR_EL = 984,
    ENV_FAR_EL = 1048,
    ENV_HPFAR_EL2 = 1080,
    ENV_VBAR_EL = 1216,
    ENV_DBGBVR = 1512, /* 16 of u64, then DBGBCR */
    ENV_DBGWVR = 1768,
    ENV_SYNDROME = 3024, /* u32 syndrome, u32 fsr, u64 vaddress, u32 target EL */
    ENV_VADDRESS = 3032,
    ENV_TARGET_EL = 3040,
    ENV_LINES = 3064, /* u32: the virtual interrupt lines, as INTERRUPT_VIRQ and INTERRUPT_VFIQ */
    ENV_ZREGS = 3088, /* 256 bytes for each of V0 to V31 */
    ENV_EXCLUSIVE = 12032, /* u64 each: the address of the exclusive monitor, and the two doublewords that were there */
    ENV_END_OF_STATE = 12336, /* what lies below is all that a reset clears: registers, and no pointer */
    ENV_UC = 12728,
};

enum {
    TB_PC = 0,
    TB_FLAGS = 16,
    TB_ICOUNT = 22, /* u16: instructions */
    TB_CFLAGS = 24,
    CF_HASHED = (int)0xFF0EFFFF, /* of cflags: what a look for a block compares */
    CF_CLUSTER = (int)0xFF000000, /* what it finds: the upper byte is the number of a CPU without a cluster */
    FLAG_STEPPING = 1 << 30, /* of the flags: software step is active */
    TB_CODE = 32, /* host address */
    TB_COUNT_MASK = 0x7FFF, /* of cflags: instructions at most */
    CONTEXT_IS_JMP = 24,    /* int, of DisasContextBase: what comes behind the instruction */
    WATCH_READ = 1,         /* BP_MEM_READ */
    WATCH_WRITE = 2,
};

enum {
    TCG_CPU_ENV = 43248 + MORE_REGISTERS, /* offset of a temporary from the context */
    TCG_UC = 43376 + MORE_CONTEXT,
    TCG_OPS = 29576 + MORE_SETS, /* queue head */
    TCG_NB_OPS = 56, /* int: how many there are, by which the translator ends a block that has too many */
    OP_LINK = 8,
    OP_ARGS = 24,
    OP_SET_LABEL = 1,
    OP_MOVI_I32 = 6,
    OP_LD_I32 = 13,
    OP_MOVI_I64 = 64,
    OP_LD8U_I64 = 67,
    OP_LD32S_I64 = 72,
    OP_LD_I64 = 73,
    OP_ST8_I64 = 74,
    OP_ST32_I64 = 76,
    OP_ST_I64 = 77,
    OP_ADD_I64 = 78,
    OP_SUB_I64 = 79,
    OP_OR_I64 = 88,
    OP_XOR_I64 = 89,
    COND_LT = 2,
    COND_NE = 9,
    EXIT_REQUESTED = 3, /* the end of a block that has not begun */
    TYPE_I32 = 0,
    TYPE_I64 = 1,
};

enum {
    EXCP_UDEF = 1,
    EXCP_DATA_ABORT = 4,
    EXCP_FIQ = 6,
    EXCP_VFIQ = 15,
    INTERRUPT_HARD = 2,
    INTERRUPT_FIQ = 0x10,
    INTERRUPT_VIRQ = 0x40,
    INTERRUPT_VFIQ = 0x200,
    MO_SIZE = 3,
    MO_SIGN = 4,
    MO_BSWAP = 8,
    CP_ACCESS_OK = 0,
    CP_ACCESS_TRAP = 1,
    CP_ACCESS_TRAP_UNCATEGORIZED = 2,
    CP_ACCESS_TRAP_EL2 = 3,
    CP_ACCESS_TRAP_EL3 = 4,
    CP_ACCESS_TRAP_FP_EL2 = 7,
    CP_ACCESS_TRAP_FP_EL3 = 8,
};

/* ARMMMUFaultInfo. */
struct fault_info {
    int type;
    uint64_t s2addr;
    int level, domain;
    bool stage2, s1ptw, ea;
};
enum { STAGE2_INDEX = 0x1B };    /* ARMMMUIdx_Stage2 */
enum { LOAD, STORE, FETCH };     /* MMUAccessType */

/* A register row (ARMCPRegInfo). */
struct reginfo {
    const char *name;
    uint8_t cp, crn, crm, opc0, opc1, opc2;
    int state, type, access, secure;
    void *opaque;
    uint64_t resetvalue;
    ptrdiff_t fieldoffset, bank[2];
    int (*accessfn)(void *env, const struct reginfo *, int is_read);
    uint64_t (*readfn)(void *env, const struct reginfo *);
    void (*writefn)(void *env, const struct reginfo *, uint64_t value);
    void *unused[5];
};
_Static_assert(sizeof(struct reginfo) == 136, "ARMCPRegInfo");

enum {
    CP_STATE_AA64 = 1,
    CP_SPECIAL = 0x701, /* what the translator does by itself: nothing, NZCV, CurrentEL, WFI, DC ZVA */
    CP_NZCV = 0x301,
    CP_CURRENT_EL = 0x401,
    CP_CONST = 0x2,
    CP_SUPPRESS_TB_END = 0x8,
    CP_IO = 0x40,
    CP_NO_RAW = 0x80,
    CP_RAISES_EXC = 0x8000,
    CP_FPU = 0x1000,
    CP_READ_BITS = 0xAA, /* of `access`: by level, two bits each */
    CP_WRITE_BITS = 0x55,
};
#define CP_KEY 0x10130000u /* of an AArch64 system register; below are Op0, Op1, CRn, CRm, Op2 */

/* What uc_mmio_map makes of callbacks (mmio_cbs): the first word is the read callback, the second its data. */
struct mmio {
    void *read, *read_data, *write, *write_data;
};
enum { REGION_OPAQUE = 24, REGION_BLOCK = 8, REGION_ADDRESS = 64, REGION_SIZE = 48, REGION_RAM = 0, BLOCK_HOST = 8, BLOCK_OFFSET = 16 };

/* The TLB, before env: a table for each translation regime, and what its entries say of stores. */
enum { PAGE_BITS = 12, TLB_REGIMES = 12, ENV_TLB = -16 - 16 * TLB_REGIMES, TLB_NOT_DIRTY = 1 << 8 };
struct tlb_entry {
    uint64_t read, write, code; /* virtual page and flags, all ones for none */
    uint64_t physical, host;    /* host: what is added to a virtual address */
    uint64_t unused[3];
};
_Static_assert(sizeof(struct tlb_entry) == 64, "CPUTLBEntry");
struct tlb {
    uint64_t mask; /* the last entry's offset from the first */
    struct tlb_entry *entries;
};

#endif
