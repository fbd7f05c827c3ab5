"""A VM's memory: what the guest has where, on every physical CPU that runs it.

In this layer, apart from `vm.py`, because here is what several threads do to one address space. One of them at a time
edits it (`_edit`). After an edit that takes something away, each physical CPU that runs the VM forgets its translations
before the edit is over, which is when the memory may be used for something else (`_on_change`). That stands for the
architecture's broadcast TLB maintenance: DDI 0487 D8, "TLB maintenance".
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from armvcpu.arch.stage2 import PAGE_SIZE
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import StateError, UsageError, number_in
from armvcpu.vcpu.addrspace import AddressSpace, MappingFlags
from armvcpu.vcpu.life import VCpuState
from armvcpu.vcpu.stage2.host_memory import HostMemory
from armvcpu.vcpu.stage2.root import ENGINE_PA_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.vcpu.addrspace import Region, Translation
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class VmMemory:
    """That of the VM `vm_id`, whose vCPUs are, and will be, in `vcpus`.

    `size` is how many bytes of the host it may have at most. `levels` and `input_bits` are those of its guest-physical
    addresses (`Stage2Geometry`).
    """

    def __init__(self, vm_id: int, vcpus: Sequence[Aarch64VCpu], size: int, levels: int, input_bits: int) -> None:
        number_in("the levels of a VM's stage 2", levels, 64, signed=True)
        number_in("the bits of a VM's addresses", input_bits, 64, signed=True)
        self._vm_id, self._vcpus = vm_id, vcpus
        self._memory = HostMemory(size)
        try:
            self.space = AddressSpace(
                self._memory.pool, levels, input_bits, ENGINE_PA_BITS,
                allocate=self._memory.frames.allocate, release=self._memory.release, on_change=self._on_change,
            )  # fmt: skip
        except UsageError:
            self._memory.give_up()
            raise
        self._pcpus: set[Aarch64PerCpu] = set()  # whose engines map the memory, or did
        self._version = 0  # of the tables: each change that takes something away makes another
        self._turn, self._editor = threading.Condition(), 0
        self.is_closed = False

    @property
    def vmid(self) -> int:
        """VTTBR_EL2.VMID."""
        return self._memory.vmid

    # --- what is where ----------------------------------------------------------------------------------------

    def add(self, gpa: int, size: int, flags: MappingFlags, *, lazy: bool) -> None:
        """Give the guest `size` bytes of memory, zero, at `gpa`; `lazy`: each page at its first access."""
        with self._edit():
            self.space.map_alloc(gpa, size, flags, populate=not lazy)

    def unmap(self, gpa: int, size: int) -> None:
        """Take a range away (holes are fine): what the guest had there is gone."""
        with self._edit():
            self.space.unmap(gpa, size)

    def protect(self, gpa: int, size: int, flags: MappingFlags) -> None:
        """Give the range, which must be mapped without holes, new flags."""
        with self._edit():
            self.space.protect(gpa, size, flags)

    def regions(self) -> tuple[Region, ...]:
        """What is mapped, in order of address."""
        return self.space.regions()

    def translate(self, gpa: int) -> Translation | None:
        """Where an address leads now; None where nothing is, or not yet."""
        number_in("a guest-physical address", gpa, 64)
        return self.space.translate(gpa)

    def handle_page_fault(self, gpa: int, access: MappingFlags) -> bool:
        """Answer a stage-2 fault: is the access allowed now? Each vCPU of the VM asks this."""
        with self._edit():
            return self.space.handle_page_fault(gpa, access)

    def read(self, gpa: int, size: int) -> bytes:
        """`size` bytes of the guest's memory; UsageError where part of it is none. Lazy pages are zeros, still lazy."""
        with self._edit():
            self._check_memory(gpa, size)
            return b"".join(self._read_piece(start, length) for start, length in _pages(gpa, size))

    def write(self, gpa: int, data: bytes) -> None:
        """Write the guest's memory, whatever its flags, and forget code that was translated from it.

        UsageError, and nothing changed, where part of it is none, or where what is lazy does not fit any more.
        """
        source = _bytes_of(data)
        with self._edit():
            self._check_memory(gpa, len(source))
            self._check_room(gpa, len(source))
            present = [self._present(start, length) for start, length in _pages(gpa, len(source))]
            for hpa, length in present:
                self._memory.bytes_at(hpa, length)[:] = source[:length]
                source = source[length:]
            self._version += 1
            self._ask_all(lambda pcpu: _forget_code(pcpu, present))

    def _read_piece(self, gpa: int, size: int) -> bytes:
        """The bytes of one page, or of a part of it."""
        found = self.space.translate(gpa)
        return bytes(size) if found is None else bytes(self._memory.bytes_at(found.hpa, size))

    def _present(self, gpa: int, size: int) -> tuple[int, int]:
        """(host-physical address, size) of one page, or of a part of it; what is lazy becomes present."""
        self.space.handle_page_fault(gpa, MappingFlags(0))
        found = self.space.translate(gpa)
        assert found is not None
        return found.hpa, size

    def _check_memory(self, gpa: int, size: int) -> None:
        """UsageError unless the guest has memory in the whole range, present or lazy."""
        number_in("a guest-physical address", gpa, 64)
        if not 0 <= number_in("a size", size, 64, signed=True) <= self._memory.frames.size:
            raise UsageError(f"VM {self._vm_id} has {self._memory.frames.size:#x} bytes of memory, not {size}")
        at, end = gpa, gpa + size
        for region in self.space.regions():
            if region.gpa <= at < region.end:
                at = region.end
        if at < end:
            raise UsageError(f"VM {self._vm_id} has no memory at {at:#x}")

    def _check_room(self, gpa: int, size: int) -> None:
        """UsageError where more pages of the range are lazy still than there is memory for."""
        free = self._memory.frames.free
        if size > free:  # else there is room for all of it
            missing = sum(PAGE_SIZE for start, _ in _pages(gpa, size) if self.space.translate(start) is None)
            if missing > free:
                raise UsageError(f"VM {self._vm_id} has {free:#x} bytes of memory left, not {missing:#x}")

    # --- physical CPUs ----------------------------------------------------------------------------------------

    def show_on(self, pcpu: Aarch64PerCpu) -> None:
        """The calling thread binds a vCPU to `pcpu`: its engine maps the VM's memory, and its TLB is up to date."""
        self.require_open()
        seen, version = pcpu.shown.get(self.vmid), self._version
        if seen == version:
            return
        engine = pcpu.engine
        if seen is None:
            engine.memory.map_ram(self._memory.base, self._memory.view)
            self._pcpus.add(pcpu)
        engine.memory.flush_tlb()
        engine.code.invalidate()
        pcpu.shown[self.vmid] = version

    def require_open(self) -> None:
        """StateError where it has been closed."""
        if self.is_closed:
            raise StateError(f"VM {self._vm_id} is closed")

    def close(self) -> None:
        """Give back memory, addresses and VMID.

        StateError while a vCPU is bound, or while a physical CPU that has the memory runs another one.
        """
        if self.is_closed:
            return
        for vcpu in self._vcpus:
            if vcpu.pcpu is not None:
                raise StateError(f"vCPU {vcpu.vcpu_id} of VM {self._vm_id} is still bound: unbind it first")
        pcpus = [pcpu for pcpu in self._pcpus if self.vmid in pcpu.shown]
        for pcpu in pcpus:
            if pcpu.bound is not None and pcpu.bound.life is VCpuState.RUNNING:
                raise StateError(f"physical CPU {pcpu.cpu_id}, which has VM {self._vm_id}'s memory, runs another vCPU")
        for pcpu in pcpus:
            del pcpu.shown[self.vmid]
            pcpu.engine.memory.unmap(self._memory.base, len(self._memory.view))
        self.is_closed = True
        self._memory.give_up()

    # --- edits by several threads -----------------------------------------------------------------------------

    @contextmanager
    def _edit(self) -> Iterator[None]:
        """Be the one thread that edits. Who waits here in a trap does meanwhile what the present editor asks of it."""
        thread = threading.get_ident()
        with self._turn:
            self.require_open()
            mine = next((vcpu for vcpu in self._vcpus if vcpu.runs_on(thread)), None) if self._editor else None
            while self._editor and self._editor != thread:
                if mine is not None:
                    mine.serve()
                self._turn.wait()
            was, self._editor = self._editor, thread
        try:
            yield
        finally:
            with self._turn:
                self._editor = was
                self._turn.notify_all()

    def _on_change(self, _gpa: int, _size: int) -> None:
        """Translations must leave the TLBs of all physical CPUs: those that run are asked to, and waited for."""
        self._version += 1
        self._ask_all(lambda pcpu: pcpu.engine.memory.flush_tlb())

    def _ask_all(self, work: Callable[[Aarch64PerCpu], None]) -> None:
        """Have `work` done for each physical CPU that a vCPU of ours is bound to, by its own thread.

        Others do more than that when they are bound again (`show_on`).
        """
        done: list[threading.Event] = []
        version = self._version
        for vcpu in self._vcpus:
            pcpu = vcpu.pcpu
            if pcpu is not None:
                event = threading.Event()
                vcpu.post(_task(work, vcpu, pcpu, self.vmid, version, event))
                if vcpu.life is VCpuState.RUNNING:
                    done.append(event)
        if done:
            with self._turn:
                self._turn.notify_all()
        for event in done:
            event.wait()


def _bytes_of(data: bytes) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise UsageError(f"{type(data).__name__} is no data to write: give bytes") from None


def _pages(gpa: int, size: int) -> Iterator[tuple[int, int]]:
    """(address, size) of a range's parts, page by page."""
    end = gpa + size
    while gpa < end:
        length = min(end - gpa, PAGE_SIZE - gpa % PAGE_SIZE)
        yield gpa, length
        gpa += length


def _forget_code(pcpu: Aarch64PerCpu, ranges: list[tuple[int, int]]) -> None:
    for address, size in ranges:
        pcpu.engine.code.invalidate(address, size)


def _task(
    work: Callable[[Aarch64PerCpu], None],
    vcpu: Aarch64VCpu,
    pcpu: Aarch64PerCpu,
    vmid: int,
    version: int,
    done: threading.Event,
) -> Callable[[], None]:
    """`work` on a physical CPU, unless the vCPU has left it: then it is another thread's, and `show_on` does more."""

    def task() -> None:
        if vcpu.pcpu is pcpu:
            work(pcpu)
            pcpu.shown[vmid] = version
        done.set()

    return task
