"""KVM exits of a guest inside the guest: what brought it to EL2, by exception class, and each device access.

armvcpu run Image --el 2 --initrd initramfs.cpio --append console=ttyAMA0 --script examples/tracers/kvm_exits.py
"""

from collections import Counter

from armvcpu.script import on_end, on_exception

VM = 1  # HCR_EL2.VM: stage 2 is on, so what runs is a guest of KVM's
exits = Counter()
on_end(lambda: print("KVM exits:", ", ".join(f"{name} {count}" for name, count in exits.most_common())))


@on_exception(el=2)
def leave(ec, HCR_EL2, HPFAR_EL2, far, iss):
    if HCR_EL2 & VM:
        exits[ec] += 1
        if ec == "DABT_LOWER" and iss >> 24:  # ISV: an access that is emulated
            print(f"{'store to' if iss >> 6 & 1 else 'load from'} {HPFAR_EL2 << 8 | far & 0xFFF:#x}")
