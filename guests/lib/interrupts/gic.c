/* What the interrupt guests do with a GICv3; see gic.h. */
#include "interrupts/gic.h"

static void write64(u64 address, u64 value) {
    __asm__ volatile("str %x0, [%1]" ::"rZ"(value), "r"(address) : "memory");
}

static void write8(u64 address, u8 value) {
    __asm__ volatile("strb %w0, [%1]" ::"r"(value), "r"(address) : "memory");
}

/* GICR_TYPER.Affinity_Value packs Aff3 below the top where MPIDR_EL1 has a gap (IHI 0069 12.11). */
u64 gic_redistributor(u64 mpidr) {
    u64 wanted = bits(mpidr, 39, 32) << 24 | bits(mpidr, 23, 0);
    for (u64 base = GICR_BASE;; base += GICR_STRIDE) {
        u64 typer = read64(base + GICR_TYPER);
        if (typer >> 32 == wanted)
            return base;
        if (typer & GICR_TYPER_LAST)
            return 0;
    }
}

static u64 registers_of(u32 intid) {
    return intid < 32 ? gic_redistributor(affinity()) + GICR_SGI_BASE : GICD_BASE;
}

bool gic_bit(enum gicd reg, u32 intid) { return read32(registers_of(intid) + reg + intid / 32 * 4) >> intid % 32 & 1; }

void gic_write_bit(enum gicd reg, u32 intid) {
    write32(registers_of(intid) + reg + intid / 32 * 4, 1u << intid % 32);
    dsb();
}

void gic_set_group(u32 intid, unsigned group) {
    u64 address = registers_of(intid) + GICD_IGROUPR + intid / 32 * 4;
    write32(address, (read32(address) & ~(1u << intid % 32)) | group << intid % 32);
}

void gic_set_edge(u32 intid, bool edge) {
    u64 address = registers_of(intid) + GICD_ICFGR + intid / 16 * 4;
    u32 bit = 2u << intid % 16 * 2;
    write32(address, edge ? read32(address) | bit : read32(address) & ~bit);
}

void gic_enable(u32 intid, u8 priority) {
    gic_set_group(intid, 1);
    write8(registers_of(intid) + GICD_IPRIORITYR + intid, priority);
    gic_write_bit(GICD_ISENABLER, intid);
}

void gic_disable(u32 intid) {
    gic_write_bit(GICD_ICENABLER, intid);
    gic_write_bit(GICD_ICPENDR, intid);
    gic_write_bit(GICD_ICACTIVER, intid);
}

void gic_route(u32 spi, u64 target) { write64(GICD_BASE + GICD_IROUTER + 8 * spi, target); }

void gic_init(void) {
    write32(GICD_BASE + GICD_CTLR, GICD_CTLR_ARE);
    write32(GICD_BASE + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GROUPS);
    while (read32(GICD_BASE + GICD_CTLR) & GICD_CTLR_RWP) {
    }
}

void gic_init_cpu(void) {
    u64 base = gic_redistributor(affinity());
    write32(base + GICR_WAKER, read32(base + GICR_WAKER) & ~GICR_WAKER_PROCESSOR_SLEEP);
    while (read32(base + GICR_WAKER) & GICR_WAKER_CHILDREN_ASLEEP) {
    }
    write32(base + GICR_SGI_BASE + GICD_ICENABLER, ~0u);
    write_sysreg(icc_sre_el1, read_sysreg(icc_sre_el1) | 1);
    isb();
    write_sysreg(icc_pmr_el1, 0xff);
    write_sysreg(icc_bpr1_el1, 0); /* the smallest that there is */
    write_sysreg(icc_ctlr_el1, 0);
    write_sysreg(icc_igrpen1_el1, 1);
    isb();
}

void gic_send(u64 mpidr, u32 intid) {
    dsb();
    u64 aff0 = bits(mpidr, 7, 0);
    u64 value = bits(mpidr, 39, 32) << 48 | bits(mpidr, 23, 16) << 32 | (u64)intid << 24 | bits(mpidr, 15, 8) << 16;
    write_sysreg(icc_sgi1r_el1, value | (aff0 / 16) << 44 | 1ul << aff0 % 16);
    isb();
}
