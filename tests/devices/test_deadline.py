"""Deadlines: the schedule's earliest moment is exact, and what is due is called once."""

from __future__ import annotations

import random

import pytest

from armvcpu.devices.deadline import NEVER, Deadline, Schedule


class Bench:
    """A schedule whose watcher notes each earliest moment that it hears of, and what has been due."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.told: list[int] = []
        self.due: list[str] = []
        self.schedule.watch(lambda: self.told.append(self.schedule.next()))

    def add(self, name: str) -> Deadline:
        return self.schedule.add(lambda: self.due.append(name))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_to_come_at_first(bench: Bench) -> None:
    """Without deadlines, and with one that nobody has set; time passes all the same."""
    assert bench.schedule.next() == NEVER
    assert bench.add("a").moment == NEVER
    bench.schedule.run_due(1 << 70)
    assert (bench.schedule.next(), bench.told, bench.due) == (NEVER, [], [])


def test_the_watcher_hears_of_changes_of_the_earliest_alone(bench: Bench) -> None:
    """Earlier, later and gone; what happens behind the earliest is nobody's business yet."""
    first, second = bench.add("first"), bench.add("second")
    first.set(100)
    second.set(200)
    second.set(150)
    first.set(100)
    assert bench.told == [100]
    first.set(300)
    second.clear()
    first.clear()
    assert bench.told == [100, 150, 300, NEVER]


def test_two_of_one_moment(bench: Bench) -> None:
    """While the other stays, the earliest moment does."""
    first, second = bench.add("first"), bench.add("second")
    first.set(100)
    second.set(100)
    first.clear()
    assert (bench.schedule.next(), bench.told) == (100, [100])


def test_what_is_due_is_called_once(bench: Bench) -> None:
    """In the order in which they were added, whose moment has come; the others keep theirs."""
    first, second, third = bench.add("first"), bench.add("second"), bench.add("third")
    second.set(9)
    first.set(10)
    third.set(11)
    bench.schedule.run_due(8)
    assert bench.due == []
    bench.schedule.run_due(10)
    bench.schedule.run_due(10)
    assert bench.due == ["first", "second"]
    assert (first.moment, third.moment, bench.schedule.next()) == (NEVER, 11, 11)


def test_what_is_due_may_set_the_next_moment(bench: Bench) -> None:
    """A periodic timer; the watcher is told once, of the moment after."""
    schedule = bench.schedule
    ticks = []

    def tick() -> None:
        ticks.append(timer.moment)
        timer.set(20)

    timer = schedule.add(tick)
    timer.set(10)
    schedule.run_due(10)
    assert (ticks, timer.moment, schedule.next(), bench.told) == ([NEVER], 20, 20, [10, 20])


def test_a_moment_that_has_passed_is_for_the_next_time(bench: Bench) -> None:
    """No due can keep the machine here for ever, and whoever slept until that moment is told of it again."""
    timer = bench.schedule.add(lambda: timer.set(10))
    timer.set(10)
    bench.schedule.run_due(50)
    assert (bench.schedule.next(), bench.told) == (10, [10, 10])


def test_what_is_due_may_clear_another(bench: Bench) -> None:
    """Which then is not called, though its moment has come."""

    def clear_the_other() -> None:
        second.clear()

    first, second = bench.schedule.add(clear_the_other), bench.add("second")
    second.set(5)
    first.set(5)
    bench.schedule.run_due(5)
    assert (bench.due, bench.schedule.next()) == ([], NEVER)


def test_an_error_in_what_is_due_leaves_the_rest_in_order(bench: Bench) -> None:
    """It reaches whoever runs the guest; the earliest moment is exact after it."""
    broken = bench.schedule.add(lambda: bench.due.index("nothing"))
    broken.set(5)
    bench.add("other").set(7)
    with pytest.raises(ValueError, match="nothing"):
        bench.schedule.run_due(6)
    assert (broken.moment, bench.schedule.next()) == (NEVER, 7)


def test_a_later_watcher_replaces_the_first(bench: Bench) -> None:
    """Whoever runs the guest watches."""
    told: list[int] = []
    bench.schedule.watch(lambda: told.append(1))
    bench.add("a").set(3)
    assert (told, bench.told) == ([1], [])


@pytest.mark.parametrize("seed", range(20))
def test_the_earliest_moment_is_always_exact(seed: int) -> None:
    """Against a list of moments, over any order of events; and the watcher knows each change."""
    chance, bench = random.Random(seed), Bench()
    deadlines = [bench.add(str(index)) for index in range(5)]
    model = [NEVER] * 5
    for _step in range(300):
        index, moment = chance.randrange(5), chance.choice([NEVER, *range(8)])
        if chance.random() < 0.2:
            bench.due.clear()
            bench.schedule.run_due(moment % 8)
            assert bench.due == [str(i) for i, at in enumerate(model) if at <= moment % 8]
            model = [NEVER if at <= moment % 8 else at for at in model]
        else:
            deadlines[index].set(moment)
            model[index] = moment
        assert [deadline.moment for deadline in deadlines] == model
        assert bench.schedule.next() == min(model)
        assert bench.told[-1:] in ([], [min(model)])
