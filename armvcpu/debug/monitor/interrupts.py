"""Commands about interrupts and timers: what is enabled, pending and active, on which CPU; and to inject some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.gic_ich import ICH_LR, MAINTENANCE_INTID
from armvcpu.arch.gic_registers import FIRST_PPI, FIRST_SPI
from armvcpu.arch.gich_registers import GICH_LR
from armvcpu.arch.pstate import PState
from armvcpu.debug.words import interrupt_name
from armvcpu.devices.gic.gicv2 import Gicv2
from armvcpu.errors import UsageError
from armvcpu.machine.running.cpu_time import PMU_INTID
from armvcpu.vcpu.timer import ENABLE, IMASK, NS_PER_COUNT
from armvcpu.vcpu.timers import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.arch.gic_cpu_interface import CpuInterface
    from armvcpu.debug.monitor.view import View
    from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface
    from armvcpu.devices.gic.gicv2_virtual import VirtualInterface as VirtualV2
    from armvcpu.devices.gic.gicv3_virtual import VirtualInterface as VirtualV3
    from armvcpu.devices.gic.state import InterruptBank
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.timer import GuestTimer
    from armvcpu.vcpu.timers import TimerKind

_U64 = (1 << 64) - 1
_STATES = "invalid", "pending", "active", "pending and active"
_GROUPS = "0", "1", "1 Secure"
_PRIVATE = {
    **{kind.intid: f"timer CNT{kind.name}_{kind.suffix}" for kind in KINDS},
    MAINTENANCE_INTID: "GIC maintenance",
    PMU_INTID: "Performance Monitors",
}


# --- info gic -------------------------------------------------------------------------------------------------


def info_gic(view: View) -> str:
    """The Distributor's groups, each CPU's interface, and every interrupt that somebody uses."""
    gic = view.machine.board.gic
    version = 2 if isinstance(gic, Gicv2) else 3
    groups = _groups(gic.interfaces[0].forwarded_groups)
    lines = [f"GICv{version}, INTIDs 0 to {gic.shared.intids.stop - 1}; the Distributor forwards {groups}"]
    for index, interface in enumerate(gic.interfaces):
        lines += _interface(f"cpu{index}", interface)
        lines += _private(index, interface.private)
        virtual = gic.virtual[index] if isinstance(gic, Gicv2) and gic.virtual else getattr(interface, "virtual", None)
        if virtual is not None:
            lines += _virtual(index, virtual)
    return "\n".join([*lines, *_shared(view)])


def _groups(bitmap: int) -> str:
    names = [_GROUPS[n] for n in range(3) if bitmap >> n & 1]
    return f"Group{'s' if len(names) > 1 else ''} {' and '.join(names)}" if names else "no group"


def _interface(name: str, interface: CpuInterface) -> Iterator[str]:
    pending = interrupt_name(interface.hppi) if interface.hppi < 1020 else "none"
    yield (
        f"{name}: enabled {_groups(interface.enabled_groups)}, priority mask {interface.pmr:#04x}, running priority "
        f"{interface.running_priority:#04x}, highest pending {pending}"
        f"{', signalled' if interface.signalled else ''}"
    )


def _used(bank: InterruptBank) -> Iterator[int]:
    """Those that are pending, active, or have their line asserted, and of SPIs and PPIs those that are enabled."""
    enabled = bank.enabled & (bank.valid if bank.intids.start else bank.valid & -1 << FIRST_PPI)
    seen = enabled | bank.pending | bank.active | bank.line & bank.valid
    return (intid for intid in bank.intids if seen >> intid & 1)


def _private(index: int, bank: InterruptBank) -> Iterator[str]:
    for intid in _used(bank):
        yield f"  {_interrupt(bank, intid)}  {_PRIVATE.get(intid, '')}{_of_cpu(index)}".rstrip()


def _of_cpu(index: int) -> str:
    return f" of cpu{index}"


def _shared(view: View) -> Iterator[str]:
    board = view.machine.board
    gic, names = board.gic, {spi: slot.name for slot in board.slots for spi in slot.spis}
    interfaces: list[PhysicalCpuInterface] = [*gic.interfaces]
    for intid in _used(gic.shared):
        to = [f"cpu{index}" for index, each in enumerate(interfaces) if each.routed >> intid & 1]
        where = f"to {', '.join(to)}" if to else "to no CPU"
        yield f"{_interrupt(gic.shared, intid)}  {names.get(intid - FIRST_SPI, 'no device')} {where}"


def _interrupt(bank: InterruptBank, intid: int) -> str:
    bit = 1 << intid
    state = _STATES[bool(bank.pending & bit) + 2 * bool(bank.active & bit)].replace("invalid", "inactive")
    kind = "edge" if bank.edge & bit else "level"
    line = "high" if bank.line & bit else "low"
    enabled = "enabled" if bank.enabled & bit else "disabled"
    return (
        f"{intid:4} {interrupt_name(intid):8} {enabled:8} {state:18} Group {_GROUPS[bank.group_of(intid)]} priority "
        f"{bank.priorities[intid]:#04x} {kind:5} line {line:4}"
    )


def _virtual(index: int, virtual: VirtualV2 | VirtualV3) -> Iterator[str]:
    """The interface that a hypervisor of the guest's gives to its guest, where it is on or lists something."""
    is_v3 = not hasattr(virtual, "lrs")
    lrs: list[int] = virtual.lr if is_v3 else virtual.lrs  # type: ignore[union-attr]
    if not virtual.hcr & 1 and not any(lrs):
        return
    yield from _interface(
        f"  virtual interface of cpu{index} ({'ICH' if is_v3 else 'GICH'}_HCR {int(virtual.hcr):#x})", virtual
    )
    for n, value in enumerate(lrs):
        if value:
            yield f"    {_list_register_v3(n, value) if is_v3 else _list_register_v2(n, value)}"


def _list_register_v3(n: int, value: int) -> str:
    lr = ICH_LR(value)
    physical = f", INTID {lr.pINTID} behind it" if lr.HW else ", asks at its end" if lr.EOI else ""
    return (
        f"ICH_LR{n}_EL2 {value:#018x}: virtual INTID {lr.vINTID} {_STATES[lr.State]}, Group {lr.Group}, priority "
        f"{lr.Priority << 3:#04x}{physical}"
    )


def _list_register_v2(n: int, value: int) -> str:
    lr = GICH_LR(value)
    physical = f", INTID {lr.PhysicalID} behind it" if lr.HW else ", asks at its end" if lr.EOI else ""
    return (
        f"GICH_LR{n} {value:#010x}: virtual INTID {lr.VirtualID} {_STATES[lr.State]}, Group {lr.Grp1}, priority "
        f"{lr.Priority << 3:#04x}{physical}"
    )


# --- info timers ----------------------------------------------------------------------------------------------


def info_timers(view: View) -> str:
    """The count, and each CPU's timers."""
    lines = []
    for cpu in view.machine.cpus:
        count = cpu.time.count()
        lines.append(f"cpu{cpu.index}: physical count {count:#x}, {count * NS_PER_COUNT / 1e9:.6f} s since power-on")
        lines += [_timer(cpu, kind, cpu.time.timers[kind.name]) for kind in KINDS if kind.name in cpu.time.timers]
    return "\n".join(lines)


def _timer(cpu: Cpu, kind: TimerKind, timer: GuestTimer) -> str:
    seen = cpu.time.count() - timer.offset & _U64
    left, control = timer.cval - seen, timer.ctl
    enabled = "enabled" if control & ENABLE else "disabled"
    masked = ", masked (IMASK)" if control & IMASK else ""
    due = ""
    if control & ENABLE:
        distance = f"{abs(left) * NS_PER_COUNT / 1e6:.3f} ms"
        due = f", due in {distance}" if left > 0 else f", met {distance} ago"
    offset = f", CNTVOFF_EL2 {timer.offset:#x}" if timer.offset else ""
    return f"  CNT{kind.name}_{kind.suffix} (INTID {kind.intid}) {enabled}{masked}, CVAL {timer.cval:#x}{offset}{due}"


# --- inject ---------------------------------------------------------------------------------------------------


def inject_irq(view: View, intid: int, index: int | None) -> str:
    """Make it pending in the Distributor or a Redistributor."""
    gic = view.machine.board.gic
    if isinstance(gic, Gicv2) and 0 <= intid < FIRST_PPI:
        raise UsageError(f"INTID {intid} is an SGI of a GICv2, which only a CPU sends (IHI 0048 4.3.7)")
    gic.pend(intid, view.cpu.index if index is None else index)
    return ""


def inject_serror(view: View, iss: int | None) -> str:
    """The chosen CPU takes it now, to EL1."""
    cpu = view.cpu
    if not cpu.is_bound:
        raise UsageError(
            f"cpu{cpu.index} is not the CPU that runs: an SError is taken by cpu{view.machine.current_cpu.index}"
        )
    if PState(cpu.vcpu.state.pstate).A:
        raise UsageError("PSTATE.A masks SErrors where the CPU is now")
    if iss is not None and not 0 <= iss < 1 << 25:
        raise UsageError(f"{iss:#x} is no ISS: it has 25 bits")
    cpu.vcpu.take_serror(iss or 0)
    return ""
