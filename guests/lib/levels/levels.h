/* For guests that start at EL2 or EL3: code at any level under any control registers, and all exceptions until the
 * level that the guest has started at, the top, gets one. */
#pragma once
#include "guest.h"

struct snippet {
    const char *text, *code;
};

/* What cross() goes down with; layout shared with cross.S. */
struct crossing {
    u64 x[4], elr, spsr, hcr, sp_el0, sp_el1, sp_el2, sp_top;
};
/* An exception. */
struct event {
    u64 level, vector, esr, elr, spsr, far, hpfar, daif;
};
enum { MOST_EVENTS = 8 };
#define UNREAD ~0ul
/* What came, in order, with x0 to x3 at the first of them. Handlers below the top try to get up to it by HVC, SMC and
 * whatever traps; what they meet on their way is in the journal too. */
extern struct journal {
    u64 scratch[4], x[4], count, tries[2], top, hcr, unused;
    struct event events[MOST_EVENTS];
} journal;

void levels_init(void); /* first: finds the top, sets vectors of all levels and an identity map for stage 2 */
static inline unsigned top_level(void) { return (unsigned)journal.top; }
/* Exceptions until the top gets one. HCR_EL2 is crossing->hcr in between, and journal.hcr afterwards. */
void cross(const struct crossing *crossing);
/* The first exception of the journal that is none of the way up, or NULL. */
const struct event *first_event(void);
extern const char levels_vectors_el1[], levels_vectors_el2[], levels_vectors_el3[], way_up_end[];
__attribute__((noreturn)) void levels_end(void); /* power off, from the top */

/* Addresses that code below the top may use, with the page of code and a stack of each level. */
#define SCRATCH 0x42000000ul
#define STACK(level) (SCRATCH + 0x10000 * (level))
/* Where stage 2 maps nothing: the last way up from EL1. */
#define NOT_MAPPED 0x300000000ul

#define SPSR(el, sp) (((u64)(el) << 2) | (sp) | SPSR_DAIF)

/* Control registers, by numbers, each with the value that it usually has, its base. */
#define CONTROLS_EL2(X)                                                                                                \
    X(mdcr_el2) X(cptr_el2) X(hstr_el2) X(cnthctl_el2) X(sctlr_el2) X(vttbr_el2) X(vtcr_el2) X(tcr_el2) X(ttbr0_el2)   \
    X(mair_el2) X(sctlr_el1) X(tcr_el1) X(ttbr0_el1) X(ttbr1_el1) X(mair_el1) X(cpacr_el1) X(cntkctl_el1)              \
    X(mdscr_el1) X(pmuserenr_el0) X(vbar_el1)
#define CONTROLS_EL3(X) X(scr_el3) X(mdcr_el3) X(cptr_el3) X(sctlr_el3)
enum control {
#define X(name) name##_,
    CONTROLS_EL2(X) CONTROLS_EL3(X)
#undef X
    hcr_el2_,
    CONTROLS
};
extern const char *const control_names[CONTROLS];
extern u64 base[CONTROLS];
u64 read_control(enum control control);
void write_control(enum control control, u64 value);
void write_bases(void);  /* of all that the top has, HCR_EL2 with journal.hcr */
void settle_bases(void); /* the same, and a base is then what the register holds of it */

#define HCR_VM (1ul << 0)
#define HCR_FMO (1ul << 3)
#define HCR_IMO (1ul << 4)
#define HCR_AMO (1ul << 5)
#define HCR_VF (1ul << 6)
#define HCR_VI (1ul << 7)
#define HCR_VSE (1ul << 8)
#define HCR_DC (1ul << 12)
#define HCR_TWI (1ul << 13)
#define HCR_TWE (1ul << 14)
#define HCR_TGE (1ul << 27)
#define HCR_RW (1ul << 31)
#define HCR_E2H (1ul << 34)
#define SCR_NS (1ul << 0)
#define SCR_IRQ (1ul << 1)
#define SCR_FIQ (1ul << 2)
#define SCR_EA (1ul << 3)
#define SCR_SMD (1ul << 7)
#define SCR_HCE (1ul << 8)
#define SCR_RW (1ul << 10)
#define CPTR_TCPAC (1ul << 31)

/* `vector=... esr=...` of an event: what is near `code` or `x0` by its distance. */
void print_event(const struct event *event, u64 code, u64 x0);
