/* See virtual_gic.h. */
#include "virtual_gic.h"
#include "interrupts/gic.h"

#define LIST_REGISTERS 4u /* that this uses; a GIC has at least as many on every board it runs on */
#define ICH_HCR_EN 1ul
#define LR_PENDING (1ul << 62)
#define LR_STATE (3ul << 62)
#define LR_HW (1ul << 61)
#define LR_GROUP_1 (1ul << 60)
#define LR_EOI (1ul << 41)

enum gicc { GICC_CTLR = 0x0, GICC_PMR = 0x4, GICC_IAR = 0xc, GICC_EOIR = 0x10, GICC_DIR = 0x1000 };
#define GICC_CTLR_ON_EOIMODE (1u | 1u << 9)
enum gich { GICH_HCR = 0x0, GICH_MISR = 0x10, GICH_EISR = 0x20, GICH_APR = 0xf0, GICH_LR = 0x100 };
#define GICH_LR_STATE (3u << 28)
#define GICH_LR_PENDING (1u << 28)
#define GICH_LR_HW (1u << 31)
#define GICH_LR_EOI (1u << 19)

bool gic_is_v3(void) { return bits(read_sysreg(id_aa64pfr0_el1), 27, 24) != 0; }

/* --- physical interrupts ---------------------------------------------------------------------------------------- */

void gic_begin(void) {
    if (gic_is_v3())
        gic_init();
    else
        write32(GICD_BASE + GICD_CTLR, 1);
}

static void enable_ppi(u32 intid) {
    if (gic_is_v3()) {
        gic_enable(intid, 0x80);
        return;
    }
    u64 priority = GICD_BASE + GICD_IPRIORITYR + (intid & ~3u);
    write32(priority, (read32(priority) & ~(0xffu << intid % 4 * 8)) | 0x80u << intid % 4 * 8);
    write32(GICD_BASE + GICD_ISENABLER, 1u << intid);
}

void gic_begin_cpu(void) {
    if (gic_is_v3()) {
        write_sysreg(icc_sre_el2, 9); /* SRE, and EL1 may have it too */
        isb();
        gic_init_cpu();
        write_sysreg(icc_ctlr_el1, ICC_CTLR_EOIMODE);
        isb();
    } else {
        write32(GICD_BASE + GICD_ICENABLER, ~0u);
        write32(GICC_BASE + GICC_PMR, 0xff);
        write32(GICC_BASE + GICC_CTLR, GICC_CTLR_ON_EOIMODE);
    }
    enable_ppi(VIRTUAL_TIMER_INTID);
    enable_ppi(HYPERVISOR_TIMER_INTID);
    enable_ppi(HYPERVISOR_VIRTUAL_TIMER_INTID);
    enable_ppi(MAINTENANCE_INTID);
}

u32 gic_take(void) { return gic_is_v3() ? gic_acknowledge() : read32(GICC_BASE + GICC_IAR) & 0x3ff; }

void gic_drop(u32 intid) {
    if (gic_is_v3())
        gic_end(intid);
    else
        write32(GICC_BASE + GICC_EOIR, intid);
}

void gic_deactivate(u32 intid) {
    if (gic_is_v3()) {
        write_sysreg(icc_dir_el1, intid);
        isb();
    } else {
        write32(GICC_BASE + GICC_DIR, intid);
    }
}

bool gic_active(u32 intid) {
    return gic_is_v3() ? gic_bit(GICD_ISACTIVER, intid) : read32(GICD_BASE + GICD_ISACTIVER) >> intid & 1;
}

/* --- list registers, in GICv3's format -------------------------------------------------------------------------- */

static u64 list_register(unsigned n) {
    if (!gic_is_v3())
        return (u64)(read32(GICH_BASE + GICH_LR + 4 * n) & GICH_LR_STATE) << 34;
    switch (n) {
    case 0:
        return read_sysreg(ich_lr0_el2);
    case 1:
        return read_sysreg(ich_lr1_el2);
    case 2:
        return read_sysreg(ich_lr2_el2);
    default:
        return read_sysreg(ich_lr3_el2);
    }
}

/* GICv2's has 5 bits of priority, and no group of its own here: Group 0 is an IRQ there unless FIQEn is set. */
static u32 in_v2_format(u64 value) {
    u32 eoi_or_physical = value & LR_HW ? (u32)bits(value, 41, 32) << 10 : value & LR_EOI ? GICH_LR_EOI : 0;
    return (u32)bits(value, 9, 0) | eoi_or_physical | (u32)bits(value, 55, 51) << 23 | (u32)bits(value, 63, 62) << 28 |
           (value & LR_HW ? GICH_LR_HW : 0);
}

static void set_list_register(unsigned n, u64 value) {
    if (!gic_is_v3())
        write32(GICH_BASE + GICH_LR + 4 * n, in_v2_format(value));
    else if (n == 0)
        write_sysreg(ich_lr0_el2, value);
    else if (n == 1)
        write_sysreg(ich_lr1_el2, value);
    else if (n == 2)
        write_sysreg(ich_lr2_el2, value);
    else
        write_sysreg(ich_lr3_el2, value);
    isb();
}

void virtual_begin(void) {
    for (unsigned n = 0; n < LIST_REGISTERS; n++)
        set_list_register(n, 0);
    if (gic_is_v3()) {
        write_sysreg(ich_ap1r0_el2, 0);
        write_sysreg(ich_vmcr_el2, 0);
        write_sysreg(ich_hcr_el2, ICH_HCR_EN);
    } else {
        write32(GICH_BASE + GICH_APR, 0);
        write32(GICH_BASE + GICH_HCR, ICH_HCR_EN);
    }
    isb();
}

void virtual_end(void) {
    if (gic_is_v3())
        write_sysreg(ich_hcr_el2, 0);
    else
        write32(GICH_BASE + GICH_HCR, 0);
    isb();
}

bool virtual_inject(u32 intid, u8 priority, u32 physical, bool eoi) {
    u64 value = LR_PENDING | LR_GROUP_1 | (u64)priority << 48 | intid;
    value |= physical ? LR_HW | (u64)physical << 32 : eoi ? LR_EOI : 0;
    for (unsigned n = 0; n < LIST_REGISTERS; n++)
        if (!(list_register(n) & LR_STATE)) {
            set_list_register(n, value);
            return true;
        }
    return false;
}

unsigned virtual_used(void) {
    unsigned used = 0;
    for (unsigned n = 0; n < LIST_REGISTERS; n++)
        used += (list_register(n) & LR_STATE) != 0;
    return used;
}

u64 virtual_maintenance(void) {
    u64 misr = gic_is_v3() ? read_sysreg(ich_misr_el2) : read32(GICH_BASE + GICH_MISR);
    u64 eisr = gic_is_v3() ? read_sysreg(ich_eisr_el2) : read32(GICH_BASE + GICH_EISR);
    for (unsigned n = 0; n < LIST_REGISTERS; n++)
        if (eisr >> n & 1)
            set_list_register(n, 0);
    return misr;
}
