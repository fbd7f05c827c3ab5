/* A virtual machine by /dev/kvm, in the order that KVM wants: RAM, vCPUs, GIC, then the GIC's addresses and its end. */
#include "vm.h"

enum { EINTR = 4, EAGAIN = 11, SPIS = 64 };

static void create_vcpu(struct vm *vm, u32 cpu, struct kvm_vcpu_init init) {
    vm->vcpu[cpu] = (int)control(vm->file, KVM_CREATE_VCPU, (void *)(u64)cpu, "KVM_CREATE_VCPU");
    init.features[0] = KVM_ARM_VCPU_PSCI_0_2 | (cpu ? KVM_ARM_VCPU_POWER_OFF : 0);
    control(vm->vcpu[cpu], KVM_ARM_VCPU_INIT, &init, "KVM_ARM_VCPU_INIT");
    u64 size = (u64)control(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE");
    vm->run[cpu] = shared(vm->vcpu[cpu], size, "struct kvm_run");
}

static void set_attribute(int device, u32 group, u64 attribute, const void *value, const char *what) {
    struct kvm_device_attr attr = {0, group, attribute, (u64)value};
    control(device, KVM_SET_DEVICE_ATTR, &attr, what);
}

static void set_address(int device, u64 type, u64 address) {
    set_attribute(device, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &address, "the GIC's address");
}

/* KVM offers the version that the host's GIC can virtualize; a GICv3 may offer both, and 3 is taken. */
static void create_gic(struct vm *vm) {
    struct kvm_create_device gic = {KVM_DEV_TYPE_ARM_VGIC_V3, 0, 0};
    vm->gic = 3;
    if (call(SYS_IOCTL, vm->file, KVM_CREATE_DEVICE, (long)&gic, 0, 0, 0) < 0) {
        vm->gic = 2;
        gic.type = KVM_DEV_TYPE_ARM_VGIC_V2;
        control(vm->file, KVM_CREATE_DEVICE, &gic, "neither a GICv3 nor a GICv2");
    }
    u32 interrupts = 32 + SPIS, device = gic.fd;
    if (vm->gic == 3) {
        set_address((int)device, KVM_VGIC_V3_ADDR_TYPE_DIST, GICD);
        set_address((int)device, KVM_VGIC_V3_ADDR_TYPE_REDIST, GICR);
    } else {
        set_address((int)device, KVM_VGIC_V2_ADDR_TYPE_DIST, GICD);
        set_address((int)device, KVM_VGIC_V2_ADDR_TYPE_CPU, GICC);
    }
    set_attribute((int)device, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &interrupts, "the GIC's interrupts");
    set_attribute((int)device, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0, "the GIC's end");
}

void create(struct vm *vm, u64 ram_size, u32 cpus) {
    vm->kvm = open_file("/dev/kvm", 1);
    if (control(vm->kvm, KVM_GET_API_VERSION, 0, "KVM_GET_API_VERSION") != KVM_API_VERSION)
        fail("KVM has another version of its interface", 0);
    vm->file = (int)control(vm->kvm, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
    vm->cpus = cpus;
    vm->ram_size = ram_size;
    vm->ram = fresh(ram_size);
    struct kvm_userspace_memory_region ram = {0, 0, RAM, ram_size, (u64)vm->ram};
    control(vm->file, KVM_SET_USER_MEMORY_REGION, &ram, "KVM_SET_USER_MEMORY_REGION");
    struct kvm_vcpu_init init = {0, {0}};
    control(vm->file, KVM_ARM_PREFERRED_TARGET, &init, "KVM_ARM_PREFERRED_TARGET");
    for (u32 cpu = 0; cpu < cpus; cpu++)
        create_vcpu(vm, cpu, init);
    create_gic(vm);
}

void set_register(const struct vm *vm, u32 cpu, u64 id, u64 value) {
    struct kvm_one_reg one = {id, (u64)&value};
    control(vm->vcpu[cpu], KVM_SET_ONE_REG, &one, "KVM_SET_ONE_REG");
}

void set_line(const struct vm *vm, u32 spi, u32 level) {
    struct kvm_irq_level line = {KVM_ARM_IRQ_TYPE_SPI | (32 + spi), level};
    control(vm->file, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
}

u32 run(const struct vm *vm, u32 cpu) {
    for (;;) {
        long result = call(SYS_IOCTL, vm->vcpu[cpu], KVM_RUN, 0, 0, 0, 0);
        if (result == 0)
            return vm->run[cpu]->exit_reason;
        if (result != -EINTR && result != -EAGAIN)
            fail("KVM_RUN", result);
    }
}

u64 stored(const struct kvm_run *run) {
    u64 value = 0;
    for (u32 i = 0; i < run->mmio.len; i++)
        value |= (u64)run->mmio.data[i] << 8 * i;
    return value;
}

void answer(struct kvm_run *run, u64 value) {
    for (u32 i = 0; i < run->mmio.len; i++)
        run->mmio.data[i] = (u8)(value >> 8 * i);
}
