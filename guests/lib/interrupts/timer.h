/* The generic timers (Arm ARM D11): the count, and waiting by it. */
#pragma once
#include "guest.h"

#define CTL_ENABLE 1ul
#define CTL_IMASK 2ul
#define CTL_ISTATUS 4ul

static inline u64 virtual_count(void) {
    isb();
    return read_sysreg(cntvct_el0);
}
static inline u64 physical_count(void) {
    isb();
    return read_sysreg(cntpct_el0);
}
static inline u64 ticks_of_us(u64 microseconds) { return read_sysreg(cntfrq_el0) * microseconds / 1000000; }
static inline u64 us_of_ticks(u64 ticks) { return ticks * 1000000 / read_sysreg(cntfrq_el0); }
