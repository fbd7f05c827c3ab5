"""Locks of a Linux kernel on several CPUs: who waited for a spinlock, how often and how long; who took mutexes.

armvcpu run Image --cpus 2 --initrd initramfs.cpio --append console=ttyAMA0 --script examples/tracers/locks.py
"""

from collections import Counter

from armvcpu.script import on_end, on_return, on_symbol

waits, waited, mutexes = Counter(), Counter(), Counter()
on_end(lambda: print(*(f"{w}: {n} waits, {waited[w] * 1e6:.0f} us" for w, n in waits.most_common(10)), sep="\n"))
on_end(lambda: print("mutexes:", ", ".join(f"{who} {n}" for who, n in mutexes.most_common(5))))
on_symbol("mutex_lock")(lambda caller: mutexes.update([caller]))


@on_return("queued_spin_lock_slowpath")
def got(took, caller):
    waits[caller], waited[caller] = waits[caller] + 1, waited[caller] + took
