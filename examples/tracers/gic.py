"""GIC: how often each interrupt came to which CPU, and how long the guest took at most until it ended it.

armvcpu run guests/bin/preempt.elf --script examples/tracers/gic.py
"""

from collections import defaultdict

from armvcpu.script import on_end, on_interrupt

begun, taken = {}, defaultdict(list)
on_end(lambda: [print(f"cpu{c} INTID {i}: {len(t)}, {max(t) * 1e6:.0f} us") for (c, i), t in sorted(taken.items())])


@on_interrupt
def interrupt(cpu, what, intid, time):
    if what == "acknowledge":
        begun[cpu, intid] = time
    elif (cpu, intid) in begun:
        taken[cpu, intid].append(time - begun.pop((cpu, intid)))
