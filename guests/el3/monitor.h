/* A secure monitor as small as one can be: two worlds, and the calls by which they reach it and each other.
 *
 * Everything lies in RAM that both worlds see, but for one page in Secure RAM. */
#pragma once
#include "guest.h"

#define SCR_NS (1ul << 0)
#define SCR_IRQ (1ul << 1)
#define SCR_FIQ (1ul << 2)
#define SCR_EA (1ul << 3)
#define SCR_RES1 (3ul << 4)
#define SCR_SMD (1ul << 7)
#define SCR_HCE (1ul << 8)
#define SCR_RW (1ul << 10)
#define SCR_ST (1ul << 11)
#define SCR_TWI (1ul << 12)

#define SECURE_RAM 0x0e000000ul
#define SECURE_UART 0x09040000ul
#define SECURE_GPIO 0x090b0000ul
#define SECURE_FLASH 0x00000000ul
#define EL2h 9u /* SPSR.M */
#define SECURE_MAGIC 0x5ec2e7u

#define SECURE_TIMER_INTID 29u
#define SECURE_SGI 8u
#define NORMAL_SGI 1u
#define HYPERVISOR_TIMER_INTID 26u

#define LOWER_SYNC_VECTOR 0x400u
#define LOWER_IRQ_VECTOR 0x480u
#define LOWER_FIQ_VECTOR 0x500u

struct el1 {
    u64 sctlr, vbar, ttbr0, ttbr1, tcr, mair, cpacr, contextidr, tpidr, sp, elr, spsr, esr, far, cntkctl;
};

struct world {
    struct frame frame; /* start.S knows these two */
    u64 host[12];
    u64 scr;
    struct el1 el1;
};
void enter_world(struct world *world);

/* What a world may call by SMC (DEN 0028); the rest is SMCCC_NOT_SUPPORTED. */
#define SMCCC_NOT_SUPPORTED (~0ul)
#define PSCI_VERSION 0x84000000u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_1_1 0x10001u
enum monitor_call { /* from Non-secure, for the tests; SMC64, fast, OEM service */
    MONITOR_SCR = 0xc3000001, /* SCR_EL3 bits of Non-secure: x1 to set, x2 to clear */
    MONITOR_LAST,             /* the last exit that was no call: x1 = which member of struct exit, counted from 0 */
    MONITOR_TRAP_FP,          /* CPTR_EL3.TFP, for one trap */
    MONITOR_TIMER,            /* the Secure physical timer fires x1 ticks later, and counts in secure_ticks */
    MONITOR_PEND,             /* x1 = an INTID to make pending */
    MONITOR_RESUME            /* the Secure world goes on after SECURE_PREEMPTED */
};
enum secure_call { /* to the Trusted OS; fast */
    SECURE_DONE = 0xb2000000, /* from Secure: x1 = the answer */
    SECURE_ADD,                         /* x1 + x2 */
    SECURE_TPIDR,                       /* its TPIDR_EL1 */
    SECURE_READ,                        /* the word in Secure RAM at x1 */
    SECURE_INTERRUPTS,                  /* how many it took, with the INTID of the last above bit 32 */
    SECURE_LOOP,                        /* loops until `let_secure_go` is set */
    SECURE_INTERRUPT                    /* from the monitor: take what is pending */
};
#define SECURE_PREEMPTED 0xfffe0001u /* an answer: an interrupt of Non-secure waits */

struct exit {
    u64 esr, far, elr, vector, count;
};
struct request {
    u64 number, x1, x2;
};

extern volatile u64 secure_ticks, let_secure_go;
void run_worlds(void);
u64 smc(u64 x0, u64 x1, u64 x2, u64 x3);
void secure_wait(u64 result, struct request *request);
void run_el1(void (*code)(void), u64 stack);
extern const char secure_entry[], normal_entry[], el1_done[], el1_vectors[];
