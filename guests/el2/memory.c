/* The two translations of a hypervisor: stage 1 of EL2 for itself (Arm ARM D8.2), stage 2 for its guests (D8.2.3). */
#include "hypervisor.h"
#include "interrupts/cpus.h"
#include "interrupts/gic.h"
#include "mmu.h"
#include "virtual_gic.h"

#define VA_BITS 39
#define PAGE 0x1000ul
#define SCTLR_EL2_RES1 0x30c50830ul
#define TCR_COMMON (64ul - VA_BITS | 1ul << 8 | 1ul << 10 | 3ul << 12) /* write-back, inner shareable, 4 KiB */
#define S2_NORMAL (0xful << 2 | SH_INNER | AF)
#define S2_DEVICE (1ul << 2 | AF | UXN)
#define S2_READ (1ul << 6)
#define S2_WRITE (2ul << 6)
#define VTCR (1ul << 31 | TCR_COMMON | 1ul << 6) /* SL0: the first table is of level 1 */

extern char __image_start[], __image_end[], __user_start[];

static struct space own, guests[MAX_CPUS];

static u64 range(void) {
    u64 range = bits(read_sysreg(id_aa64mmfr0_el1), 3, 0);
    return range > 5 ? 5 : range;
}

/* AP[1] is RES1 where the regime has no EL0, and means "EL0, too" with VHE (D8.4.1). */
void make_stage_1(bool vhe) {
    u64 ap = vhe ? 0 : AP_EL0;
    own = new_space(GRANULE_4K, VA_BITS);
    map(&own, 0, 0, 1, DEVICE | ap);
    map(&own, RAM_BASE, RAM_BASE, 1, NORMAL | ap);
    map(&own, ALIAS, (u64)__image_start, 3, NORMAL | ap | AP_RO | UXN | PXN);
    map(&own, EL0_CODE, (u64)__user_start, 3, NORMAL | AP_EL0 | AP_RO);
}

void stage_1_on(bool vhe) {
    write_sysreg(mair_el2, 0xff00);
    write_sysreg(tcr_el2, vhe ? TCR_COMMON | TCR_EPD1 | range() << 32 : 1ul << 31 | 1ul << 23 | TCR_COMMON | range() << 16);
    write_sysreg(ttbr0_el2, own.root);
    isb();
    __asm__ volatile("tlbi alle2\n\tdsb ish\n\tisb" ::: "memory");
    write_sysreg(sctlr_el2, SCTLR_EL2_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | (vhe ? SCTLR_SPAN : 0));
    isb();
}

void stage_1_off(void) {
    write_sysreg(sctlr_el2, SCTLR_EL2_RES1);
    isb();
    __asm__ volatile("tlbi alle2\n\tdsb ish\n\tisb" ::: "memory");
}

static u64 page_behind(unsigned cpu, u64 ipa) { return FREE_RAM + cpu * GUEST_PAGES * PAGE + (ipa - GUEST_RAM); }

volatile u64 *guest_memory(unsigned cpu, u64 ipa) { return (volatile u64 *)page_behind(cpu, ipa); }

void map_guest_page(unsigned cpu, u64 ipa) {
    map(&guests[cpu], ipa, page_behind(cpu, ipa), 3, S2_NORMAL | S2_READ | S2_WRITE | UXN);
}

void make_stage_2(unsigned cpu) {
    guests[cpu] = new_space(GRANULE_4K, VA_BITS);
    for (u64 pa = (u64)__image_start; pa < (u64)__image_end; pa += PAGE)
        map(&guests[cpu], pa + IPA_OFFSET, pa, 3, S2_NORMAL | S2_READ);
    for (u64 page = 0; page < GUEST_PAGES; page++) {
        for (u64 word = 0; word < PAGE; word += 8)
            *guest_memory(cpu, GUEST_RAM + page * PAGE + word) = 0;
        map_guest_page(cpu, GUEST_RAM + page * PAGE);
    }
    entry_at(&guests[cpu], STORAGE, 3); /* nothing there: a fault of level 3 on every board */
    if (!gic_is_v3())
        map(&guests[cpu], GICC_BASE, GICV_BASE, 3, S2_DEVICE | S2_READ | S2_WRITE);
}

void stage_2_on(unsigned cpu) {
    write_sysreg(vtcr_el2, VTCR | range() << 16);
    write_sysreg(vttbr_el2, (u64)guests[cpu].root | (u64)(cpu + 1) << 48); /* a VMID for each */
    isb();
    __asm__ volatile("tlbi vmalls12e1is\n\tdsb ish\n\tisb" ::: "memory");
}

void unmap_guest_page(unsigned cpu, u64 ipa) {
    *(volatile u64 *)entry_at(&guests[cpu], ipa, 3) = 0;
    __asm__ volatile("dsb ishst\n\ttlbi ipas2e1is, %0\n\tdsb ish\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" ::"r"(ipa >> 12)
                     : "memory");
}

u64 translate(u64 hcr, u64 va) {
    u64 host = read_sysreg(hcr_el2);
    write_sysreg(hcr_el2, hcr); /* the stages are those of HCR_EL2.VM, E2H and TGE (D8.16.2) */
    isb();
    __asm__ volatile("at s12e1r, %0\n\tisb" ::"r"(va) : "memory");
    u64 par = read_sysreg(par_el1);
    write_sysreg(hcr_el2, host);
    isb();
    return par & 1 ? 1 : bits(par, 47, 12) << 12 | va % PAGE;
}
