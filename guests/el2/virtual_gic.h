/* The hypervisor's side of a GIC: its own interrupts, and those that it gives to a guest by list registers.
 *
 * GICv3 by ICC_* and ICH_* registers (Arm IHI 0069 chapter 6), GICv2 by GICC and GICH (IHI 0048 chapter 5). */
#pragma once
#include "guest.h"

#define GICC_BASE 0x08010000ul
#define GICH_BASE 0x08030000ul
#define GICV_BASE 0x08040000ul
#define MAINTENANCE_INTID 25u
#define HYPERVISOR_TIMER_INTID 26u
#define HYPERVISOR_VIRTUAL_TIMER_INTID 28u
#define MISR_EOI 1ul

bool gic_is_v3(void);
void gic_begin(void);     /* the Distributor, once */
void gic_begin_cpu(void); /* this CPU's interface, with priority drop and deactivation apart (EOImode), and its PPIs */
u32 gic_take(void);
void gic_drop(u32 intid);
void gic_deactivate(u32 intid);
bool gic_active(u32 intid); /* a PPI of this CPU */

void virtual_begin(void); /* the virtual interface on, no list register in use */
void virtual_end(void);
/* One pending virtual interrupt. `physical` is the INTID that the guest's EOI deactivates, or 0; `eoi` asks for a
 * maintenance interrupt then. False where no list register is free. */
bool virtual_inject(u32 intid, u8 priority, u32 physical, bool eoi);
unsigned virtual_used(void);
u64 virtual_maintenance(void); /* ICH_MISR_EL2; what ended is taken out of its list register */
