/* The exits of a guest and what each leads to: a table by exception class, the calls, one emulated device. */
#include "hypervisor.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"
#include "virtual_gic.h"

#define PAGE 0x1000ul
#define CPTR_RES1 0x33fful
#define CPTR_TFP (1ul << 10)
#define CPTR_FPEN (3ul << 20)    /* with VHE */
#define CNTHCTL_EL1PCTEN (1ul << 0) /* with VHE ten bits higher */
#define CNTHCTL_EL1PCEN (1ul << 1)

/* ISS of a data abort, and of a trapped register */
#define ISV(esr) bits(esr, 24, 24)
#define SAS(esr) bits(esr, 23, 22)
#define SSE(esr) bits(esr, 21, 21)
#define SRT(esr) bits(esr, 20, 16)
#define SF(esr) bits(esr, 15, 15)
#define WNR(esr) bits(esr, 6, 6)
#define SYSREG_RT(esr) bits(esr, 9, 5)
#define SYSREG_READ 1ul
#define SYSREG(op0, op1, crn, crm, op2) ((op0) << 20 | (op2) << 17 | (op1) << 14 | (crn) << 10 | (crm) << 1)

static u64 get(const struct vcpu *vcpu, u64 number) { return number == 31 ? 0 : vcpu->frame.x[number]; }

static void set(struct vcpu *vcpu, u64 number, u64 value) {
    if (number != 31)
        vcpu->frame.x[number] = value;
}

static void skip_instruction(struct vcpu *vcpu) { vcpu->frame.elr += 4; }

/* --- what the guest may use -------------------------------------------------------------------------------------- */

static void allow_fp(const struct vcpu *vcpu) {
    if (vcpu->vhe)
        write_sysreg(cptr_el2, vcpu->has_fp ? CPTR_FPEN : 0);
    else
        write_sysreg(cptr_el2, vcpu->has_fp ? CPTR_RES1 : CPTR_RES1 | CPTR_TFP);
}

static void allow_count(const struct vcpu *vcpu, bool allowed) {
    u64 value = CNTHCTL_EL1PCEN | (allowed ? CNTHCTL_EL1PCTEN : 0);
    write_sysreg(cnthctl_el2, vcpu->vhe ? value << 10 : value);
}

/* --- calls ------------------------------------------------------------------------------------------------------- */

/* A name in the image, at the guest's address. */
static const char *name_of(u64 ipa) { return (const char *)(ipa - IPA_OFFSET); }

void judge(const struct vcpu *vcpu, const char *name, u64 got, u64 wanted) {
    const char *mode = vcpu->vhe ? ", VHE" : "";
    if (got == wanted)
        pass("cpu %u%s: %s", vcpu->cpu, mode, name);
    else
        fail(name, "cpu %u%s: got 0x%lx, expected 0x%lx", vcpu->cpu, mode, got, wanted);
}

static void start_timer(u64 ticks) {
    write_sysreg(cnthp_tval_el2, ticks);
    write_sysreg(cnthp_ctl_el2, CTL_ENABLE);
}

static bool call(struct vcpu *vcpu) {
    u64 *x = vcpu->frame.x;
    switch ((enum call)x[0]) {
    case CALL_END:
        return false;
    case CALL_CHECK:
        judge(vcpu, name_of(x[1]), x[2], x[3]);
        break;
    case CALL_SKIP:
        skip(name_of(x[1]), name_of(x[2]));
        break;
    case CALL_ADD:
        x[0] = x[1] + x[2];
        break;
    case CALL_LAST:
        x[0] = ((u64 *)&vcpu->last)[x[1]];
        break;
    case CALL_HCR:
        vcpu->hcr = (vcpu->hcr | x[1]) & ~x[2];
        break;
    case CALL_TRAP_COUNT:
        allow_count(vcpu, false);
        break;
    case CALL_OFFSET:
        x[0] = read_sysreg(cntvoff_el2);
        break;
    case CALL_UNMAP:
        unmap_guest_page(vcpu->cpu, x[1]);
        break;
    case CALL_TRANSLATE:
        x[0] = translate(vcpu->hcr, x[1]);
        break;
    case CALL_INJECT:
        x[0] = virtual_inject((u32)x[1], (u8)x[2], 0, x[3]);
        break;
    case CALL_PENDING:
        x[0] = virtual_used();
        break;
    case CALL_ACTIVE:
        x[0] = gic_active((u32)x[1]);
        break;
    case CALL_TICK:
        vcpu->tick_at = x[2];
        start_timer(x[1]);
        break;
    case CALL_MAINTENANCE:
        x[0] = vcpu->misr << 32 | vcpu->maintenance;
        break;
    }
    return true;
}

/* --- exits ------------------------------------------------------------------------------------------------------- */

/* With a virtual interrupt pending WFI does not wait (D1.6.2). Any physical interrupt ends it, though masked. */
static void wait_for_interrupt(struct vcpu *vcpu) {
    if (!virtual_used())
        __asm__ volatile("wfi" ::: "memory");
    skip_instruction(vcpu);
}

static void allow_fp_now(struct vcpu *vcpu) {
    vcpu->has_fp = true;
    allow_fp(vcpu);
}

static void forward_smc(struct vcpu *vcpu) {
    u64 *x = vcpu->frame.x;
    x[0] = smc(x[0], x[1], x[2], x[3]);
    skip_instruction(vcpu); /* a trapped SMC is the address to return to, unlike an HVC */
}

static void access_register(struct vcpu *vcpu) {
    u64 esr = vcpu->frame.esr, rt = SYSREG_RT(esr);
    switch (ESR_ISS(esr) & ~(31ul << 5)) {
    case SYSREG(3, 0, 13, 0, 1): /* CONTEXTIDR_EL1, HCR_EL2.TVM */
        write_el1(vcpu, contextidr_el1, CONTEXTIDR_EL12, get(vcpu, rt) + 1);
        break;
    case SYSREG(3, 0, 0, 6, 0) | SYSREG_READ: /* ID_AA64ISAR0_EL1, HCR_EL2.TID3 */
        set(vcpu, rt, 0x10);
        break;
    case SYSREG(3, 0, 1, 0, 1) | SYSREG_READ: /* ACTLR_EL1, HCR_EL2.TACR */
        set(vcpu, rt, 0xac);
        break;
    case SYSREG(3, 3, 14, 0, 1) | SYSREG_READ: /* CNTPCT_EL0, CNTHCTL_EL2.EL1PCTEN */
        set(vcpu, rt, read_sysreg(cntpct_el0));
        allow_count(vcpu, true);
        break;
    default:
        fail("trapped register", "ESR_EL2 0x%lx", esr);
    }
    skip_instruction(vcpu);
}

static u64 load(const struct vcpu *vcpu, u64 ipa, unsigned size) {
    u64 value = 0;
    if ((ipa & -PAGE) == UART_BASE)
        return read32(ipa);
    for (unsigned i = 0; i < size; i++)
        value |= (u64)vcpu->storage[(ipa + i) % sizeof vcpu->storage] << 8 * i;
    return value;
}

static void store(struct vcpu *vcpu, u64 ipa, unsigned size, u64 value) {
    if ((ipa & -PAGE) == UART_BASE)
        write32(ipa, (u32)value);
    for (unsigned i = 0; i < size && (ipa & -PAGE) == STORAGE; i++)
        vcpu->storage[(ipa + i) % sizeof vcpu->storage] = (u8)(value >> 8 * i);
}

static void access_device(struct vcpu *vcpu, u64 ipa) {
    u64 esr = vcpu->frame.esr;
    unsigned size = 1u << SAS(esr);
    if (WNR(esr)) {
        store(vcpu, ipa, size, get(vcpu, SRT(esr)));
        return;
    }
    u64 value = load(vcpu, ipa, size);
    if (SSE(esr))
        value = (u64)((int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size));
    set(vcpu, SRT(esr), SF(esr) ? value : (u32)value);
}

static bool in_guest_ram(u64 ipa) { return ipa >= GUEST_RAM && ipa < GUEST_RAM + GUEST_PAGES * PAGE; }

/* A page of RAM that was taken away comes back, be it the guest's data or its translation table; the access is made
 * again. What no device answers is skipped. */
static void data_abort(struct vcpu *vcpu) {
    u64 ipa = vcpu->last.hpfar << 8 | vcpu->frame.far % PAGE;
    if (in_guest_ram(ipa)) {
        map_guest_page(vcpu->cpu, ipa & -PAGE);
        return;
    }
    if (ISV(vcpu->frame.esr))
        access_device(vcpu, ipa);
    skip_instruction(vcpu);
}

/* A branch to where nothing is: as if it returned at once. */
static void instruction_abort(struct vcpu *vcpu) { vcpu->frame.elr = vcpu->frame.x[30]; }

static void (*const handlers[64])(struct vcpu *) = {
    [0x01] = wait_for_interrupt, [0x07] = allow_fp_now,      [0x17] = forward_smc,
    [0x18] = access_register,    [0x20] = instruction_abort, [0x24] = data_abort,
};

static bool synchronous(struct vcpu *vcpu) {
    u64 esr = vcpu->frame.esr;
    if (ESR_EC(esr) == 0x16)
        return call(vcpu);
    vcpu->last = (struct exit){esr, vcpu->frame.far, read_sysreg(hpfar_el2), vcpu->frame.elr, vcpu->last.count + 1};
    if (!handlers[ESR_EC(esr)]) {
        fail("exit", "ESR_EL2 0x%lx ELR_EL2 0x%lx FAR_EL2 0x%lx", esr, vcpu->frame.elr, vcpu->frame.far);
        return false;
    }
    handlers[ESR_EC(esr)](vcpu);
    return true;
}

static void tick(struct vcpu *vcpu) {
    write_sysreg(cnthp_ctl_el2, 0);
    *guest_memory(vcpu->cpu, vcpu->tick_at) = 1;
}

/* The guest's timer stays active until the guest ends it (HW); the hypervisor's own interrupts end here. */
static bool interrupt(struct vcpu *vcpu) {
    u32 intid = gic_take();
    if (intid >= SPURIOUS - 3)
        return true;
    if (intid == VIRTUAL_TIMER_INTID) {
        virtual_inject(intid, 0x80, intid, false);
        gic_drop(intid);
        return true;
    }
    if (intid == MAINTENANCE_INTID) {
        vcpu->maintenance++;
        vcpu->misr = virtual_maintenance();
    } else if (intid == HYPERVISOR_TIMER_INTID) {
        tick(vcpu);
    } else {
        fail("interrupt", "INTID %u", intid);
        return false;
    }
    isb();
    gic_drop(intid);
    gic_deactivate(intid);
    return true;
}

static bool handle(struct vcpu *vcpu) {
    switch (vcpu->frame.vector) {
    case LOWER_SYNC_VECTOR:
        return synchronous(vcpu);
    case LOWER_IRQ_VECTOR:
        return interrupt(vcpu);
    default:
        fail("exit", "vector 0x%lx ESR_EL2 0x%lx", vcpu->frame.vector, vcpu->frame.esr);
        return false;
    }
}

void run(struct vcpu *vcpu) {
    u64 host = read_sysreg(hcr_el2);
    vcpu->hcr = HCR_GUEST | (vcpu->vhe ? HCR_E2H : 0);
    allow_fp(vcpu);
    allow_count(vcpu, true);
    write_sysreg(cntvoff_el2, read_sysreg(cntpct_el0)); /* its time begins now */
    stage_2_on(vcpu->cpu);
    virtual_begin();
    do {
        write_sysreg(hcr_el2, vcpu->hcr);
        isb();
        enter_guest(vcpu);
        vcpu->hcr = read_sysreg(hcr_el2); /* HCR_EL2.VSE is clear once the SError is taken */
        write_sysreg(hcr_el2, host);
        isb();
    } while (handle(vcpu));
    virtual_end();
    vcpu->has_fp = true;
    allow_fp(vcpu);
    write_sysreg(cntvoff_el2, 0);
}
