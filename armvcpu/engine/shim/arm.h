/* The architecture's own numbers that several files need: encodings, controls of EL2 and EL3, the level that executes. */
#ifndef ARMVCPU_ARM_H
#define ARMVCPU_ARM_H

/* A system register, packed: Op0, Op1, CRn, CRm, Op2 (DDI 0487 C5.1.2). */
#define SYSREG(op0, op1, crn, crm, op2) ((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))

/* HCR_EL2 (D17.2.48). */
#define HCR_AMO (1ull << 5)
#define HCR_VSE (1ull << 8)
#define HCR_DC (1ull << 12)
#define HCR_TIDCP (1ull << 20)
#define HCR_TGE (1ull << 27)
#define HCR_HCD (1ull << 29)
#define HCR_RW (1ull << 31)
#define HCR_E2H (1ull << 34)
#define HCR_TEA (1ull << 37)
#define HCR_HOST (HCR_E2H | HCR_TGE)

/* SCR_EL3 (D17.2.117). */
#define SCR_NS (1ull << 0)
#define SCR_RW (1ull << 10)
#define SCR_EA (1ull << 3)

/* The Exception level that executes. */
static inline uint32_t level_of(const void *env) { return AT(uint32_t, env, ENV_PSTATE) >> 2 & 3; }

static inline bool is_nonsecure(const void *env) { return AT(uint64_t, env, ENV_SCR_EL3) & SCR_NS; }

#endif
