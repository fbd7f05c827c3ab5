"""UART: each line that the guest prints with its time and who wrote it; at the end accesses by register.

armvcpu run guests/bin/hello.elf --script examples/tracers/uart.py
"""

from collections import Counter

from armvcpu.script import machine, on_console, on_end, on_mmio

symbols, accesses = machine.symbols, Counter()


@on_mmio(0x0900_0000, 0x1000)
def access(is_write, register):
    accesses[f"{'write' if is_write else 'read'} {register}"] += 1


on_console(".")(lambda text, time, pc: print(f"[{time:.6f} {symbols.format(pc)}] {text}"))
on_end(lambda: print("accesses:", ", ".join(f"{name} {count}" for name, count in accesses.most_common())))
