/* el2: a hypervisor that starts at EL2, and its guest at EL1. On every CPU, one after the other: without VHE and, where
 * ID_AA64MMFR1_EL1.VH says so, with it. GICv2 or GICv3. PSCI by SMC. */
#include "hypervisor.h"
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "interrupts/timer.h"
#include "mmu.h"
#include "virtual_gic.h"

#define PSCI_VERSION 0x84000000u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_CPU_OFF 0x84000002u
#define PSCI_CPU_ON 0xc4000003u
#define NO_ADDRESS 0x400000000ul /* that stage 1 of EL2 has nothing for */
#define EC_WNR_DFSC 0xfc00007ful /* QEMU 7.2 has ISV and what goes with it, too, which is for stage 2 */

struct start {
    u64 stack_top, index; /* start.S knows this layout */
};
extern const char secondary_entry[], guest_start[], el2_vectors[], __image_start[];

static struct start starts[MAX_CPUS];
static char stacks[MAX_CPUS][0x4000] __attribute__((aligned(16)));
static struct vcpu vcpus[MAX_CPUS];
static u64 done;
static u64 taken; /* ESR_EL2 of the last exception from EL2 itself */

void own_exception(struct frame *frame) {
    taken = frame->esr;
    if (ESR_EC(frame->esr) != 0x25) {
        fail("exception", "vector 0x%lx ESR_EL2 0x%lx ELR_EL2 0x%lx FAR_EL2 0x%lx", frame->vector, frame->esr,
             frame->elr, frame->far);
        power_off();
    }
    frame->elr += 4;
}

void power_off(void) {
    smc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

void wrong_level(void) {
    fail("start", "this hypervisor starts at EL2: armvcpu run --el 2, QEMU -M virt,virtualization=on");
    summary("el2");
    if (read_sysreg(CurrentEL) >> 2 == 1)
        hvc(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;)
        __asm__ volatile("wfi");
}

/* --- EL2 itself --------------------------------------------------------------------------------------------------- */

static void own_translation(const struct vcpu *vcpu) {
    judge(vcpu, "EL2: an alias", read32(ALIAS), read32((u64)__image_start));
    write32(ALIAS, 0);
    judge(vcpu, "EL2: a store to a read-only page", taken & EC_WNR_DFSC, 0x9400004f);
    read32(NO_ADDRESS);
    judge(vcpu, "EL2: a load from nowhere", taken & EC_WNR_DFSC, 0x94000005);
}

/* _EL1 names EL2's registers, _EL12 the guest's; an application at EL0 is the hypervisor's own. */
static void host_extensions(struct vcpu *vcpu) {
    write_encoded(VBAR_EL12, 0x12345800);
    judge(vcpu, "VBAR_EL1 is VBAR_EL2", read_sysreg(vbar_el1), (u64)el2_vectors);
    judge(vcpu, "VBAR_EL12 is the guest's", read_encoded(VBAR_EL12), 0x12345800);
    write_sysreg(sctlr_el1, read_sysreg(sctlr_el2));
    judge(vcpu, "SCTLR_EL1 is SCTLR_EL2", read_sysreg(sctlr_el1), read_sysreg(sctlr_el2));
    vcpu->frame.spsr = SPSR_DAIF | EL0t;
    vcpu->frame.elr = EL0_CODE + (u64)user_return % 0x1000;
    enter_guest(vcpu);
    judge(vcpu, "SVC from EL0 comes to EL2", vcpu->frame.esr, 0x5600fffful);
    judge(vcpu, "SVC from EL0: the vector", vcpu->frame.vector, LOWER_SYNC_VECTOR);
}

/* EL2's virtual timer comes with VHE. QEMU 7.2 has it, but its interrupt goes nowhere. */
static void virtual_timer(const struct vcpu *vcpu) {
    const u32 intid = HYPERVISOR_VIRTUAL_TIMER_INTID;
    write_encoded(CNTHV_CVAL_EL2, 0);
    write_encoded(CNTHV_CTL_EL2, CTL_ENABLE);
    isb();
    judge(vcpu, "CNTHV_CTL_EL2.ISTATUS", read_encoded(CNTHV_CTL_EL2), CTL_ENABLE | CTL_ISTATUS);
    u32 taken_intid = gic_take();
    write_encoded(CNTHV_CTL_EL2, 0);
    isb();
    if (taken_intid != intid) {
        skip("CNTHV is INTID 28", "this board has no line for it");
        return;
    }
    judge(vcpu, "CNTHV is INTID 28", taken_intid, intid);
    gic_drop(intid);
    gic_deactivate(intid);
}

/* --- a guest ------------------------------------------------------------------------------------------------------ */

static void create_guest(struct vcpu *vcpu) {
    make_stage_2(vcpu->cpu);
    write_el1(vcpu, sctlr_el1, SCTLR_EL12, SCTLR_RES1);
    write_el1(vcpu, cpacr_el1, CPACR_EL12, 0);
    write_el1(vcpu, cntkctl_el1, CNTKCTL_EL12, 0);
    if (vcpu->vhe)
        write_encoded(CNTV_CTL_EL02, 0);
    write_sysreg(vmpidr_el2, GUEST_MPIDR | vcpu->cpu);
    write_sysreg(vpidr_el2, GUEST_MIDR);
    vcpu->has_fp = false;
    vcpu->frame = (struct frame){.elr = (u64)guest_start + IPA_OFFSET, .spsr = SPSR_DAIF | EL1h};
    vcpu->frame.x[0] = vcpu->cpu;
    vcpu->frame.x[1] = gic_is_v3();
    vcpu->frame.x[2] = GUEST_RAM + GUEST_PAGES * 0x1000ul;
}

static void run_on(unsigned cpu, bool vhe) {
    struct vcpu *vcpu = &vcpus[cpu];
    *vcpu = (struct vcpu){.cpu = cpu, .vhe = vhe};
    make_stage_1(vhe);
    write_sysreg(hcr_el2, HCR_RW | HCR_AMO | HCR_IMO | HCR_FMO | (vhe ? HCR_E2H | HCR_TGE : 0));
    write_sysreg(cptr_el2, vhe ? 3ul << 20 : 0x33ff); /* no trap, in the one format or the other */
    isb();
    stage_1_on(vhe);
    own_translation(vcpu);
    if (vhe) {
        host_extensions(vcpu);
        virtual_timer(vcpu);
    }
    create_guest(vcpu);
    run(vcpu);
    stage_1_off();
    write_sysreg(hcr_el2, HCR_RW);
    isb();
}

static void run_all(unsigned cpu) {
    gic_begin_cpu();
    run_on(cpu, false);
    if (bits(read_sysreg(id_aa64mmfr1_el1), 11, 8))
        run_on(cpu, true);
}

/* --- CPUs --------------------------------------------------------------------------------------------------------- */

void secondary_main(unsigned cpu) {
    struct vcpu none = {.cpu = cpu};
    judge(&none, "CPU_ON starts at EL2", read_sysreg(CurrentEL) >> 2, 2);
    run_all(cpu);
    publish(&done, cpu);
    smc(PSCI_CPU_OFF, 0, 0, 0);
}

static void start(unsigned cpu) {
    starts[cpu] = (struct start){(u64)stacks[cpu] + sizeof stacks[cpu], cpu};
    __asm__ volatile("dc cvac, %0\n\tdsb sy" ::"r"(&starts[cpu]) : "memory");
    int64_t answer = (int64_t)smc(PSCI_CPU_ON, cpu_mpidr[cpu], (u64)secondary_entry, (u64)&starts[cpu]);
    if (answer == PSCI_SUCCESS)
        wait_until(load_acquire(&done) == cpu);
    else
        fail("CPU_ON", "cpu %u: %ld", cpu, answer);
}

/* A bare ELF gets no device tree from QEMU. A GICv2 knows how many CPUs it has (GICD_TYPER.CPUNumber). */
static void find_all_cpus(const void *fdt) {
    if (fdt || gic_is_v3()) {
        find_cpus(fdt);
        return;
    }
    cpu_count = (u32)bits(read32(GICD_BASE + GICD_TYPER), 7, 5) + 1;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        cpu_mpidr[cpu] = cpu;
}

void main(const void *fdt) {
    find_all_cpus(fdt);
    print("el2: %u CPUs, GICv%d\n", cpu_count, gic_is_v3() ? 3 : 2);
    check("PSCI_VERSION by SMC", smc(PSCI_VERSION, 0, 0, 0) >> 16 == 1);
    gic_begin();
    run_all(0);
    for (unsigned cpu = 1; cpu < cpu_count; cpu++)
        start(cpu);
    summary("el2");
}
