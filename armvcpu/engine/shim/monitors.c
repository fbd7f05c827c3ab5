/* Unicorn's own Performance Monitors (DDI 0487 D13): they count nothing here.
 *
 * It brings every counter up to date when an exception is entered and again when it is returned from, and reads the host's
 * clock for each: a third of what HVC and ERET took. No guest sees those counters. The rows of PMCR_EL0 and the others are
 * Python's (vcpu/pmu.py), or the registers are not there.
 */
#include "shim.h"

void shim_pmu_op_start(void *env)
{
    if (!engine_of_env(env)) real.pmu_op_start(env);
}

void shim_pmu_op_finish(void *env)
{
    if (!engine_of_env(env)) real.pmu_op_finish(env);
}
