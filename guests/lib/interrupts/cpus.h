/* The other CPUs: who they are by the device tree, and PSCI to start and stop them (DEN 0022). */
#pragma once
#include "guest.h"

#define MAX_CPUS 32
extern unsigned cpu_count;
extern u64 cpu_mpidr[MAX_CPUS]; /* the first is the CPU that booted */

/* From /cpus/cpu@* or, where a bare ELF gets no device tree, from the Redistributors. */
void find_cpus(const void *fdt);
/* PSCI CPU_ON: the CPU runs `function(index)` at EL1h on its own stack, with the guest's vectors, MMU off and
 * interrupts masked; when it returns the CPU is switched off. Returns PSCI's answer. */
int64_t start_cpu(unsigned index, void (*function)(unsigned index));
int64_t affinity_info(unsigned index);
__attribute__((noreturn)) void stop_cpu(void);
/* The number of the CPU that calls: 0 to cpu_count - 1, from TPIDR_EL1, which start_cpu() sets. */
static inline unsigned this_cpu(void) { return (unsigned)read_sysreg(tpidr_el1); }

#define PSCI_SUCCESS 0
#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_ALREADY_ON (-4)
enum affinity_state { PSCI_ON = 0, PSCI_OFF = 1, PSCI_ON_PENDING = 2 };

/* Waiting for another CPU. */
#define wait_until(condition)                                                                                          \
    do {                                                                                                               \
        __asm__ volatile("sevl");                                                                                      \
        do                                                                                                             \
            __asm__ volatile("wfe" ::: "memory");                                                                      \
        while (!(condition));                                                                                          \
    } while (0)
#define load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
/* A store that others wait for in wait_until(). */
#define publish(p, value)                                                                                              \
    do {                                                                                                               \
        __atomic_store_n(p, value, __ATOMIC_RELEASE);                                                                  \
        __asm__ volatile("dsb ish\n\tsev" ::: "memory");                                                               \
    } while (0)
