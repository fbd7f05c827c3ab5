"""System calls of a Linux guest, by name, with their arguments, results and times: by the kernel's functions for them.

armvcpu run Image --initrd initramfs.cpio --append console=ttyAMA0 --script examples/tracers/syscalls.py
"""

from armvcpu.script import on_return

PREFIX, ERRORS = "__arm64_sys_", 4095


@on_return(f"{PREFIX}*")
def system_call(machine, name, x0, result, cpu, took):
    registers = machine.read_virtual(x0, 24) or bytes(24)  # X0 points to struct pt_regs, which begins with X0
    arguments = ", ".join(hex(int.from_bytes(registers[at : at + 8], "little")) for at in (0, 8, 16))
    signed = result - (1 << 64) if result >= (1 << 64) - ERRORS else result
    print(f"cpu{cpu} {name.removeprefix(PREFIX)}({arguments}, ...) = {signed}, {took * 1e6:.0f} us")
