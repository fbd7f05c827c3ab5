"""malloc: who has asked for memory that was never freed. Of a Linux kernel: its kmalloc.

armvcpu run Image --initrd initramfs.cpio --append console=ttyAMA0 --script examples/tracers/malloc.py
"""

from collections import Counter

from armvcpu.script import machine, on_end, on_return, on_symbol

allocate, free = ("__kmalloc", "kfree") if machine.plan.is_linux else ("malloc", "free")
held, bytes_of = {}, Counter()
on_symbol(free)(lambda x0: held.pop(x0, None) and None)
on_end(lambda: [bytes_of.update({who: size}) for size, who in held.values()])
on_end(lambda: print(*(f"{size} bytes: {who}" for who, size in bytes_of.most_common(10)), sep="\n"))


@on_return(allocate)
def allocated(x0, result, caller):
    held[int(result)] = x0, caller
