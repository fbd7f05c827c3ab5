/* KVM's interface for AArch64: what this program uses of include/uapi/linux/kvm.h and of arm64's asm/kvm.h
 * (Documentation/virt/kvm/api.rst). */
#ifndef API_H
#define API_H

#include "system.h"

/* _IO, _IOR and _IOW of include/uapi/asm-generic/ioctl.h, with KVM's type, 0xAE. */
#define KVM_IO(nr, direction, size) ((u32)(direction) << 30 | (u32)(size) << 16 | 0xae00u | (nr))
#define NOTHING 0, 0
#define TO_KVM(structure) 1, sizeof(structure)
#define FROM_KVM(structure) 2, sizeof(structure)
#define BOTH(structure) 3, sizeof(structure)
#define KVM_IO_(nr, direction_and_size) KVM_IO(nr, direction_and_size)

struct kvm_userspace_memory_region {
    u32 slot, flags;
    u64 guest_phys_addr, memory_size, userspace_addr;
};
struct kvm_irq_level {
    u32 irq, level;
};
struct kvm_one_reg {
    u64 id, addr;
};
struct kvm_vcpu_init {
    u32 target, features[7];
};
struct kvm_create_device {
    u32 type, fd, flags;
};
struct kvm_device_attr {
    u32 flags, group;
    u64 attr, addr;
};

#define KVM_GET_API_VERSION KVM_IO_(0x00, NOTHING)
#define KVM_CREATE_VM KVM_IO_(0x01, NOTHING)
#define KVM_GET_VCPU_MMAP_SIZE KVM_IO_(0x04, NOTHING)
#define KVM_CREATE_VCPU KVM_IO_(0x41, NOTHING)
#define KVM_SET_USER_MEMORY_REGION KVM_IO_(0x46, TO_KVM(struct kvm_userspace_memory_region))
#define KVM_IRQ_LINE KVM_IO_(0x61, TO_KVM(struct kvm_irq_level))
#define KVM_RUN KVM_IO_(0x80, NOTHING)
#define KVM_GET_ONE_REG KVM_IO_(0xab, TO_KVM(struct kvm_one_reg))
#define KVM_SET_ONE_REG KVM_IO_(0xac, TO_KVM(struct kvm_one_reg))
#define KVM_ARM_VCPU_INIT KVM_IO_(0xae, TO_KVM(struct kvm_vcpu_init))
#define KVM_ARM_PREFERRED_TARGET KVM_IO_(0xaf, FROM_KVM(struct kvm_vcpu_init))
#define KVM_CREATE_DEVICE KVM_IO_(0xe0, BOTH(struct kvm_create_device))
#define KVM_SET_DEVICE_ATTR KVM_IO_(0xe1, TO_KVM(struct kvm_device_attr))

enum { KVM_API_VERSION = 12 };
enum { KVM_ARM_VCPU_POWER_OFF = 1 << 0, KVM_ARM_VCPU_PSCI_0_2 = 1 << 2 };

/* Of KVM_SET_ONE_REG: a core register by its offset in struct kvm_regs, in words of 32 bits. */
#define KVM_REG_ARM64_CORE(offset) (0x6030000000100000ul | (offset) / 4)
#define KVM_REG_X(n) KVM_REG_ARM64_CORE(8 * (n))
#define KVM_REG_PC KVM_REG_ARM64_CORE(256)

/* Of KVM_CREATE_DEVICE and KVM_SET_DEVICE_ATTR: Documentation/virt/kvm/devices/arm-vgic.rst and arm-vgic-v3.rst. */
enum { KVM_DEV_TYPE_ARM_VGIC_V2 = 5, KVM_DEV_TYPE_ARM_VGIC_V3 = 7 };
enum { KVM_DEV_ARM_VGIC_GRP_ADDR = 0, KVM_DEV_ARM_VGIC_GRP_NR_IRQS = 3, KVM_DEV_ARM_VGIC_GRP_CTRL = 4 };
enum { KVM_VGIC_V2_ADDR_TYPE_DIST, KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_VGIC_V3_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_REDIST };
enum { KVM_DEV_ARM_VGIC_CTRL_INIT = 0 };
enum { KVM_ARM_IRQ_TYPE_SPI = 1 << 24 };

enum {
    KVM_EXIT_FAIL_ENTRY = 9,
    KVM_EXIT_INTR = 10,
    KVM_EXIT_MMIO = 6,
    KVM_EXIT_INTERNAL_ERROR = 17,
    KVM_EXIT_SYSTEM_EVENT = 24,
};
enum { KVM_SYSTEM_EVENT_SHUTDOWN = 1, KVM_SYSTEM_EVENT_RESET = 2 };

struct kvm_run {
    u8 request_interrupt_window, immediate_exit, padding[6];
    u32 exit_reason;
    u8 ready_for_interrupt_injection, if_flag;
    u16 flags;
    u64 cr8, apic_base;
    union {
        struct {
            u64 phys_addr;
            u8 data[8];
            u32 len;
            u8 is_write;
        } mmio;
        struct {
            u32 type, ndata;
            u64 data[16];
        } system_event;
    };
};

#endif
