/* What happens on an exception: a guest's own handler, or the end of run_at(), or a report and the end. */
#include "guest.h"

struct context {
    u64 registers[12], sp, daif;
};
void enter(struct context *save, u64 spsr, const void *pc, u64 sp_el0, const u64 x[4]);
__attribute__((noreturn)) void leave(const struct context *saved);

bool (*on_exception)(struct frame *frame);
u64 return_address;
static struct context *waiting;
static struct frame *result;

void exception(struct frame *frame) {
    if (on_exception && on_exception(frame))
        return;
    if (waiting) {
        struct context *saved = waiting;
        waiting = NULL;
        *result = *frame;
        leave(saved);
    }
    fail("exception", "vector 0x%lx ESR_EL1 0x%lx ELR_EL1 0x%lx FAR_EL1 0x%lx SPSR_EL1 0x%lx", frame->vector,
         frame->esr, frame->elr, frame->far, frame->spsr);
    power_off();
}

struct frame run_at(u64 spsr, const void *code, u64 sp_el0, u64 x0, u64 x1) {
    struct frame frame;
    struct context context;
    u64 x[4] = {x0, x1, 0, return_address ? return_address : (u64)user_return};
    result = &frame;
    waiting = &context;
    enter(&context, spsr, code, sp_el0, x);
    return frame;
}

struct frame attempt(const void *code, u64 x0, u64 x1) { return run_at(SPSR_DAIF | EL1h, code, 0, x0, x1); }

bool returned(const struct frame *frame) { return frame->esr == 0x5600fffful; }
