"""The virtio-mmio transport (VIRTIO 1.2, 2.1, 2.2, 4.2), both register layouts, over a device that does little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from virtio_driver import BASE, F_EVENT_IDX, F_INDIRECT, F_VERSION_1, NEEDS_RESET, SIZE, WRITE, Driver, Version

from armvcpu.devices.virtio.device import VirtioDevice

if TYPE_CHECKING:
    from armvcpu.devices.budget import Budget
    from armvcpu.devices.virtio.queue import Virtqueue

DATA = BASE + 0x1_0000
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED = 1, 2, 4, 8, 128


class Echo(VirtioDevice):
    """Two queues whose chains come back at once, and configuration space that can be written."""

    DEVICE_ID = 42
    QUEUE_SIZES = (8, 16)
    features = 1 << 40 | 1 << 3

    def __init__(self) -> None:
        super().__init__()
        self.space = bytearray(range(1, 9))
        self.served: list[int] = []
        self.resets = 0

    def config(self) -> bytes:
        return bytes(self.space)

    def write_config(self, offset: int, data: bytes) -> None:
        self.space[offset : offset + len(data)] = data

    def serve(self, index: int, queue: Virtqueue, budget: Budget) -> None:
        self.served.append(index)
        for chain in queue.chains(budget):
            queue.push(chain, 0)

    def reset(self) -> None:
        self.resets += 1

    def state(self) -> dict[str, Any]:
        return {"space": bytes(self.space)}

    def load_state(self, state: dict[str, Any]) -> None:
        self.space[:] = state["space"]


@pytest.fixture(params=[1, 2], ids=["legacy", "modern"])
def version(request: pytest.FixtureRequest) -> Version:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def driver(version: Version) -> Driver:
    return Driver(Echo(), version)


@pytest.fixture
def modern() -> Driver:
    return Driver(Echo(), 2)


@pytest.fixture
def legacy() -> Driver:
    return Driver(Echo(), 1)


def test_identification(driver: Driver, version: Version) -> None:
    """MagicValue, Version, DeviceID, VendorID (4.2.2)."""
    assert [driver[offset] for offset in (0, 4, 8, 12)] == [0x7472_6976, version, 42, 0x554D_4551]


@pytest.mark.parametrize("offset", [0x014, 0x020, 0x024, 0x028, 0x030, 0x038, 0x03C, 0x050, 0x064, 0x080, 0x0A4])
def test_write_only_registers_read_as_zero(driver: Driver, offset: int) -> None:
    """Where the table of 4.2.2 has a W."""
    driver[offset] = 0
    assert driver[offset] == 0


@pytest.mark.parametrize(
    ("version", "transport"), [(1, 1 << 27 | F_INDIRECT | F_EVENT_IDX), (2, F_INDIRECT | F_EVENT_IDX | F_VERSION_1)]
)
def test_offered_features(version: Version, transport: int) -> None:
    """64 bits through a window of 32; only the modern layout has VIRTIO_F_VERSION_1 (6)."""
    driver = Driver(Echo(), version)
    assert driver.offered() == Echo.features | transport
    driver[0x14] = 2
    assert driver[0x10] == 0


@pytest.mark.parametrize(
    ("features", "accepted"),
    [
        (F_VERSION_1, True),
        (F_VERSION_1 | 1 << 40 | 8 | F_INDIRECT | F_EVENT_IDX, True),
        (0, True),
        (F_VERSION_1 | 1, False),
        (F_VERSION_1 | 1 << 63, False),
    ],
)
def test_features_ok_is_refused_unless_all_are_offered(modern: Driver, features: int, *, accepted: bool) -> None:
    """VERSION_1 need not be among them (2.2.1), where 6.2 lets a device insist: QEMU's does not."""
    modern[0x70] = ACKNOWLEDGE | DRIVER
    modern.accept(features)
    modern[0x70] = ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert modern[0x70] == ACKNOWLEDGE | DRIVER | (FEATURES_OK if accepted else 0)


def test_features_are_final_after_features_ok(modern: Driver) -> None:
    """What was accepted stays (3.1.1)."""
    modern.start_to_features(F_INDIRECT)
    modern.accept(0)
    assert modern.slot.device.negotiated == F_INDIRECT | F_VERSION_1


def test_a_legacy_driver_may_accept_anything(legacy: Driver) -> None:
    """There is no FEATURES_OK; what was not offered is not negotiated (2.2.3)."""
    legacy.start_to_features(1 << 20 | 8)
    legacy[0x70] = 0xF
    assert legacy[0x70] == 0x7
    assert legacy.slot.device.negotiated == 8


def test_status_bits_stay_until_the_reset(driver: Driver) -> None:
    """A driver cannot clear single bits (2.1.1), nor set DEVICE_NEEDS_RESET."""
    driver[0x70] = ACKNOWLEDGE | DRIVER | NEEDS_RESET
    driver[0x70] = ACKNOWLEDGE
    assert driver[0x70] == ACKNOWLEDGE | DRIVER
    driver[0x70] = 0
    assert driver[0x70] == 0


def test_reset_forgets_all(driver: Driver) -> None:
    """Queues, interrupts, features, and the device is told (2.1.2)."""
    driver.start()
    driver.queues[0].add((DATA, 1, WRITE))
    driver.notify()
    before = driver.slot.device.resets  # type: ignore[attr-defined]
    driver[0x70] = 0
    assert driver.levels == [True, False]
    assert (driver[0x60], driver[0x44], driver[0x40], driver.slot.device.negotiated) == (0, 0, 0, 0)
    assert driver.slot.device.resets == before + 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(("queue", "maximum"), [(0, 1024), (1, 1024), (2, 0), (0xFFFF_FFFF, 0)])
def test_queue_num_max(driver: Driver, queue: int, maximum: int) -> None:
    """That of QEMU's board for every queue; zero where there is no such queue (4.2.2)."""
    driver[0x30] = queue
    assert driver[0x34] == maximum


def test_a_queue_has_the_devices_size_until_the_driver_chooses(driver: Driver) -> None:
    """Some legacy drivers never write QueueNum."""
    assert [queue.size for queue in driver.slot.queues] == [8, 16]


def test_a_queue_of_1024_entries_works(driver: Driver) -> None:
    """What QueueNumMax offers can be had, all of it at once."""
    driver.start_to_features()
    queue = driver.set_up(1, 1024)
    driver[0x70] = driver[0x70] | 4
    for _ in range(1024):
        queue.add((DATA, 1, WRITE))
    driver.notify(1)
    driver.turns()
    assert len(queue.used()) == 1024
    assert not driver.broken


def test_a_legacy_queue_without_QueueAlign_is_aligned_to_4096_bytes(legacy: Driver) -> None:
    """As QEMU's board has it for drivers that never write the register; 4.2.4 says nothing."""
    legacy.start_to_features()
    legacy[0x38], legacy[0x28] = 8, 4096
    legacy[0x40] = BASE // 4096
    queue = legacy.slot.queues[0]
    assert (legacy.broken, queue.ready, queue.device) == (False, True, BASE + 4096)


def test_a_queue_that_does_not_exist_can_be_written_to(driver: Driver) -> None:
    """Nothing happens, also when it is notified."""
    driver.start_to_features()
    driver[0x30] = 7
    for offset in (0x38, 0x40, 0x44, 0x50, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4):
        driver[offset] = 7
    assert (driver[0x40], driver[0x44], driver.broken) == (0, 0, False)


def test_a_used_buffer_interrupts(driver: Driver) -> None:
    """A level that lasts until the driver acknowledges it (4.2.2, 4.2.3.3)."""
    driver.start()
    head = driver.queues[0].add((DATA, 1, WRITE))
    assert driver.levels == []
    driver.notify()
    assert driver.queues[0].used() == [(head, 0)]
    assert (driver[0x60], driver.levels) == (1, [True])
    driver[0x64] = 0xFFFF_FFFE
    assert driver[0x60] == 1
    driver[0x64] = 1
    assert (driver[0x60], driver.levels) == (0, [True, False])


def test_a_modern_device_does_nothing_before_driver_ok(modern: Driver) -> None:
    """Then it serves what was offered before (2.1.2)."""
    modern.start_to_features()
    queue = modern.set_up(0, 8)
    queue.add((DATA, 1, WRITE))
    modern.notify()
    assert queue.used() == []
    modern[0x70] = 15
    assert queue.used() == [(0, 0)]


def test_a_legacy_device_works_before_driver_ok(legacy: Driver) -> None:
    """Legacy drivers use it while they probe (3.1.2)."""
    legacy.start_to_features()
    queue = legacy.set_up(0, 8)
    queue.add((DATA, 1, WRITE))
    legacy.notify()
    assert queue.used() == [(0, 0)]


def test_a_failed_driver_is_left_alone(driver: Driver) -> None:
    """FAILED: the driver has given up (2.1)."""
    driver.start()
    driver[0x70] = FAILED
    driver.queues[0].add((DATA, 1, WRITE))
    driver.notify()
    assert driver.queues[0].used() == []


def test_a_broken_queue_needs_a_reset(driver: Driver) -> None:
    """The driver is told by an interrupt, and no queue is touched any more (2.1.2)."""
    driver.start(sizes=(8, 8))
    driver.queues[0].offer(99)
    driver.notify()
    assert driver.broken
    assert (driver[0x60], driver.levels) == (2, [True])
    assert driver.slot.fault == "queue 0: descriptor 99 in a table of 8"
    driver.queues[1].add((DATA, 1, WRITE))
    driver.notify(1)
    assert driver.queues[1].used() == []
    driver.start()
    assert not driver.broken


def test_chains_before_the_broken_one_are_returned(driver: Driver) -> None:
    """With both interrupts."""
    driver.start()
    driver.queues[0].add((DATA, 1, WRITE))
    driver.queues[0].add((0, 1, WRITE))
    driver.notify()
    assert (driver.queues[0].used(), driver[0x60]) == ([(0, 0)], 3)


def test_a_queue_outside_ram_needs_a_reset(driver: Driver) -> None:
    """Without an interrupt as long as DRIVER_OK is not set (2.1.2)."""
    driver.start_to_features()
    driver[0x28] = driver[0x3C] = 4096
    driver[0x44] = 1  # modern: its areas are at 0
    driver[0x40] = 1  # legacy: its areas are at 4096
    assert driver.broken
    assert driver[0x60] == 0


@pytest.mark.parametrize(("page", "align"), [(0, 4096), (4095, 4096), (4096, 3)])
def test_legacy_page_size_and_alignment_are_powers_of_two(legacy: Driver, page: int, align: int) -> None:
    """GuestPageSize and QueueAlign (4.2.4)."""
    legacy.start_to_features()
    legacy[0x28], legacy[0x3C] = page, align
    legacy[0x40] = BASE // 4096
    assert (legacy.broken, legacy[0x40]) == (True, 0)


def test_the_legacy_page_size_outlasts_a_reset_by_the_driver(legacy: Driver) -> None:
    """Linux and U-Boot write it once, then reset the device (4.2.4); a machine's reset clears it."""
    legacy[0x28] = 4096
    legacy[0x70] = 0
    assert legacy.slot.GuestPageSize == 4096
    legacy.slot.reset()
    assert legacy.slot.GuestPageSize == 0


@pytest.mark.parametrize("align", [4, 64, 4096])
def test_legacy_queue_layout(legacy: Driver, align: int) -> None:
    """The used ring follows the available ring at the next multiple of QueueAlign (2.7.2)."""
    legacy.start_to_features()
    legacy[0x38], legacy[0x28], legacy[0x3C] = 8, 4096, align
    legacy[0x40] = BASE // 4096
    queue = legacy.slot.queues[0]
    end_of_available = BASE + 16 * 8 + 2 * (3 + 8)
    assert (queue.driver, queue.device) == (BASE + 128, -(-end_of_available // align) * align)
    assert legacy[0x40] == BASE // 4096


def test_legacy_queue_pfn_zero_gives_the_queue_up(legacy: Driver) -> None:
    """And reads zero (4.2.4)."""
    legacy.start()
    legacy[0x40] = 0
    legacy.queues[0].add((DATA, 1, WRITE))
    legacy.notify()
    assert (legacy[0x40], legacy.queues[0].used()) == (0, [])


def test_modern_queue_ready_starts_and_stops_a_queue(modern: Driver) -> None:
    """A stopped queue may be set up anew, from index 0 (4.2.2)."""
    modern.start()
    modern.queues[0].add((DATA, 1, WRITE))
    modern.notify()
    modern[0x44], modern[0x64] = 0, 1
    modern.queues[0].add((DATA, 1, WRITE))
    modern.notify()
    assert (modern[0x44], len(modern.queues[0].used()), modern[0x60]) == (0, 1, 0)
    queue = modern.set_up(0, 8)
    queue.add((DATA, 1, WRITE))
    modern.notify()
    assert (modern[0x44], queue.used(), modern[0x60]) == (1, [(0, 0)], 1)


def test_modern_queue_addresses_have_64_bits(modern: Driver) -> None:
    """Two halves each; a queue in use does not move (4.2.2)."""
    modern.start_to_features()
    for register in (0x80, 0x90, 0xA0):
        modern[register], modern[register + 4] = 0x1000 + register, register
    queue = modern.slot.queues[0]
    assert (queue.desc, queue.driver, queue.device) == (0x80_0000_1080, 0x90_0000_1090, 0xA0_0000_10A0)
    modern.set_up(0, 8)
    modern[0x80], modern[0x38] = 0, 2
    assert (queue.desc, queue.size) == (BASE, 8)


@pytest.mark.parametrize("offset", [0xB0, 0xB4, 0xB8, 0xBC])
def test_there_are_no_shared_memory_regions(modern: Driver, offset: int) -> None:
    """Length and base read as all ones (4.2.2)."""
    modern[0xAC] = 0
    assert modern[offset] == 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [(0, 1, 1), (7, 1, 8), (2, 2, 0x403), (4, 4, 0x0807_0605), (0, 8, 0x0807_0605_0403_0201), (8, 4, 0), (0xFC, 4, 0)],
)
def test_configuration_space_is_read_in_any_width(driver: Driver, offset: int, width: int, value: int) -> None:
    """Little-endian, and zero after the device's fields (2.5, 4.2.2.2)."""
    assert driver.slot.read(0x100 + offset, width) == value


@pytest.mark.parametrize(("width", "value"), [(1, 0xAB), (2, 0xABCD), (4, 0x89AB_CDEF), (8, 1 << 63)])
def test_configuration_space_is_written_in_any_width(driver: Driver, width: int, value: int) -> None:
    """As it is read."""
    driver.slot.write(0x100, width, value)
    assert driver.slot.read(0x100, width) == value


def test_a_configuration_change_interrupts_and_counts(driver: Driver, version: Version) -> None:
    """ConfigGeneration differs afterwards (2.5.1); there is none in the legacy layout."""
    driver.start()
    old = driver[0xFC]
    driver.slot.device.transport.config_changed()
    assert driver[0x60] == 2
    assert (driver[0xFC] != old) is (version == 2)


def test_no_configuration_interrupt_before_driver_ok(driver: Driver) -> None:
    """Nobody would take it (2.1.2)."""
    driver.slot.device.transport.config_changed()
    assert (driver[0x60], driver.levels) == (0, [])


def test_indirect_and_event_index_work_through_the_transport(driver: Driver) -> None:
    """The negotiated bits reach the queues: one interrupt, at the second used buffer (2.7.7, 2.7.10)."""
    driver.start(F_INDIRECT | F_EVENT_IDX)
    queue = driver.queues[0]
    queue.set_used_event(1)
    for _ in range(2):
        queue.add_indirect(DATA, (DATA + 64, 1, WRITE))
        assert driver.levels == []
        driver.notify()
    assert (driver.levels, queue.avail_event, len(queue.used())) == ([True], 2, 2)


def test_a_snapshot_loads_into_a_new_slot(driver: Driver, version: Version) -> None:
    """The queues go on over the same memory, and the interrupt is asserted again."""
    driver.start()
    driver.queues[0].add((DATA, 1, WRITE))
    driver.notify()
    other = Driver(Echo(), version)
    other.ram.bytes[:] = driver.ram.bytes
    other.slot.load_state(driver.slot.state())
    assert other.slot.state() == driver.slot.state()
    assert other.levels == [True]
    other.queues = driver.queues
    other.queues[0].ram = other.ram
    head = other.queues[0].add((DATA, 1, WRITE))
    other.notify()
    assert other.queues[0].used() == [(0, 0), (head, 0)]


def test_buffers_at_the_end_of_ram_are_reached(driver: Driver) -> None:
    """The last byte is inside."""
    driver.start()
    driver.queues[0].add((BASE + SIZE - 1, 1, WRITE))
    driver.notify()
    assert not driver.broken
