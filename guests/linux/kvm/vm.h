/* A virtual machine of KVM's: memory, vCPUs, and the virtual GIC of the host's kind. */
#ifndef VM_H
#define VM_H

#include "api.h"

/* The board, as QEMU's virt has it. */
enum { GICD = 0x08000000, GICC = 0x08010000, GICR = 0x080a0000, UART = 0x09000000, RAM = 0x40000000 };
enum { UART_SPI = 1, MAX_CPUS = 8 };

struct vm {
    int kvm, file;
    int gic; /* its version: 2 or 3 */
    u32 cpus;
    u64 ram_size;
    u8 *ram;
    int vcpu[MAX_CPUS];
    struct kvm_run *run[MAX_CPUS];
};

/* A machine of so many bytes of RAM and CPUs, all of which but the first wait for PSCI's CPU_ON. */
void create(struct vm *vm, u64 ram_size, u32 cpus);

void set_register(const struct vm *vm, u32 cpu, u64 id, u64 value);

/* The level of the line of an SPI. */
void set_line(const struct vm *vm, u32 spi, u32 level);

/* KVM_RUN until the vCPU has something for us; signals are no such thing. The reason. */
u32 run(const struct vm *vm, u32 cpu);

/* The data of an MMIO exit as a number; and to its register what a load gives. */
u64 stored(const struct kvm_run *run);
void answer(struct kvm_run *run, u64 value);

#endif
