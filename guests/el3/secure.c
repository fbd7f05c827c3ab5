/* The payload at Secure EL1: a Trusted OS of a few services. */
#include "monitor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"

#define TPIDR 0x5ecul
#define UARTPERIPHID0 0xfe0

static u64 interrupts, last_intid;

void secure_exception(struct frame *frame) {
    if (frame->vector != IRQ_VECTOR) {
        fail("secure", "vector 0x%lx ESR_EL1 0x%lx ELR_EL1 0x%lx", frame->vector, frame->esr, frame->elr);
        frame->elr += 4;
        return;
    }
    last_intid = gic_acknowledge();
    interrupts++;
    gic_end((u32)last_intid);
}

static u64 serve(const struct request *request) {
    switch (request->number) {
    case SECURE_ADD:
        return request->x1 + request->x2;
    case SECURE_TPIDR:
        return read_sysreg(tpidr_el1);
    case SECURE_READ:
        return read32(request->x1);
    case SECURE_INTERRUPTS:
        return last_intid << 32 | interrupts;
    case SECURE_INTERRUPT:
        irq_unmask();
        irq_mask();
        return 0;
    case SECURE_LOOP:
        while (!let_secure_go) {
        }
        return 0x100b;
    default:
        return SMCCC_NOT_SUPPORTED;
    }
}

void secure_main(void) {
    check_equal("Secure: EL1", read_sysreg(CurrentEL) >> 2, 1);
    write_sysreg(tpidr_el1, TPIDR);
    write32(SECURE_RAM, SECURE_MAGIC);
    check_equal("Secure: Secure RAM keeps what is written", read32(SECURE_RAM), SECURE_MAGIC);
    check_equal("Secure: the second PL011", read32(SECURE_UART + UARTPERIPHID0), 0x11);
    write_sysreg(cntps_cval_el1, 0x1234);
    check_equal("Secure: SCR_EL3.ST: CNTPS_CVAL_EL1", read_sysreg(cntps_cval_el1), 0x1234);
    write_sysreg(icc_sre_el1, 7);
    isb();
    write_sysreg(icc_igrpen1_el1, 1);
    isb();
    struct request request;
    u64 answer = 0;
    for (;;) {
        secure_wait(answer, &request);
        answer = serve(&request);
    }
}
