"""The plain objects a bulk run is made of: chunks, the results, duplicates, the sums of a plan."""

import asyncio
from itertools import count, islice, pairwise

import pytest
from hypothesis import given, strategies as st

from omeda_async import ClosedError, Outcome, OutcomeStatus, RateLimit, Window
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._delivery import Repeats
from omeda_async.bulk._plan import isolation_cost, least_seconds
from omeda_async.bulk._reader import Linger
from omeda_async.bulk._results import ResultBuffer
from omeda_async.limits import make_limiter
from tests.bulk.bulk_fakes import FakeAccount, FakeSettings, FakeWork, run_of


def item(name: object, size: int = 1) -> Item:
    return Item(raw=name, key=name, params=name, fingerprint=str(name).encode(), size=size)


def outcomes(*places: int) -> list[Outcome]:
    return [Outcome(record=place, key=None, position=place, status=OutcomeStatus.DONE) for place in places]


@given(
    st.lists(st.integers(0, 50), max_size=60),
    st.integers(1, 10),
    st.integers(1, 120),
)
def test_chunks_hold_every_item_once_in_order_and_within_both_bounds(
    sizes: list[int], max_entries: int, max_bytes: int
) -> None:
    """Whatever the sizes, no batch passes a bound unless it is one item that does so alone."""
    chunker: Chunker[Item] = Chunker(max_entries, max_bytes)
    items = [item(number, size) for number, size in enumerate(sizes)]
    batches = [batch for one in items if (batch := chunker.feed(one))]
    last = chunker.flush()
    assert [one for batch in [*batches, last] for one in batch] == items
    for batch in [*batches, last]:
        assert len(batch) <= max_entries
        assert len(batch) == 1 or sum(one.size for one in batch) <= max_bytes
    assert not chunker.items


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 10), st.integers(1, 120))
def test_chunks_are_full(sizes: list[int], max_entries: int, max_bytes: int) -> None:
    """A batch is given only when the next item would not have fitted, or the entries are reached."""
    chunker: Chunker[Item] = Chunker(max_entries, max_bytes)
    batches = [batch for number, size in enumerate(sizes) if (batch := chunker.feed(item(number, size)))]
    everything = [*batches, chunker.flush()]
    for batch, following in pairwise(everything):
        full = len(batch) == max_entries
        assert full or not following or sum(one.size for one in batch) + following[0].size > max_bytes


def test_an_item_larger_than_a_batch_stands_alone() -> None:
    """What is too large by itself is neither dropped nor sent with others."""
    chunker: Chunker[Item] = Chunker(10, 100)
    small, large, after = item("a", 60), item("b", 500), item("c", 1)
    assert chunker.feed(small) is None
    assert chunker.feed(large) == [small]
    assert chunker.feed(after) == [large]
    assert chunker.flush() == [after]


async def test_the_outlet_gives_what_it_was_given_in_order() -> None:
    """Everything pushed before the end is taken, and then there is None."""
    results = ResultBuffer(limit=2)
    results.push(outcomes(0, 1))
    results.push([])
    results.push(outcomes(2))
    results.end()
    assert await results.take() == outcomes(0, 1)
    assert await results.take() == outcomes(2)
    assert await results.take() is None
    assert await results.take() is None


async def test_the_outlet_makes_producers_wait_until_there_is_room() -> None:
    """At the limit ``room`` waits; taking enough lets it go on."""
    results = ResultBuffer(limit=3)
    results.push(outcomes(0, 1))
    await results.room()
    results.push(outcomes(2, 3))
    waiting = asyncio.ensure_future(results.room())
    await asyncio.sleep(1)
    assert not waiting.done()
    await results.take()
    await asyncio.sleep(0)
    assert waiting.done()


async def test_cancelling_a_take_or_a_wait_for_room_loses_nothing() -> None:
    """What was cancelled while it waited has taken nothing with it."""
    results = ResultBuffer(limit=1)
    taking = asyncio.ensure_future(results.take())
    await asyncio.sleep(0)
    results.push(outcomes(0))
    taking.cancel()
    await asyncio.wait({taking})
    assert taking.cancelled()
    waiting = asyncio.ensure_future(results.room())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await results.take() == outcomes(0)
    await results.room()


async def test_a_discarded_outlet_holds_nothing_back() -> None:
    """Once nobody takes, pushing keeps nothing and producers never wait."""
    results = ResultBuffer(limit=1)
    results.push(outcomes(0, 1))
    results.discard()
    results.push(outcomes(2, 3))
    await results.room()
    results.end()
    assert await results.take() is None


async def test_an_unbound_outlet_keeps_what_it_holds() -> None:
    """A run that ends pushes without waiting, and who still takes gets all of it."""
    results = ResultBuffer(limit=1)
    results.push(outcomes(0, 1))
    results.unbind()
    results.push(outcomes(2))
    await results.room()
    assert [await results.take(), await results.take()] == [outcomes(0, 1), outcomes(2)]


def test_a_duplicate_finds_the_item_on_its_way_and_later_its_result() -> None:
    """The first is the first; then come the item, and once it is closed its result."""
    duplicates = Repeats()
    first, result = item("a"), Result(receipt="r")
    assert duplicates.find(first) is None
    assert duplicates.find(item("a")) is first
    assert duplicates.find(item("b")) is None
    duplicates.closed([first], result)
    assert duplicates.find(item("a")) is result


def test_duplicates_remember_at_least_the_last_and_at_most_twice_so_many() -> None:
    """The memory is bounded: the newest are known, the oldest of those closed are forgotten."""
    duplicates = Repeats(kept=10)
    for number in range(35):
        first = item(number)
        assert duplicates.find(first) is None
        duplicates.closed([first], Result(receipt=number))
    assert all(isinstance(duplicates.find(item(number)), Result) for number in reversed(range(25, 35)))
    assert duplicates.find(item(12)) is None


def grow_old(duplicates: Repeats, others: int) -> None:
    """Have so many other items come and be closed."""
    for number in range(others):
        other = item(number)
        duplicates.find(other)
        duplicates.closed([other], Result())


def test_a_repeat_of_what_has_grown_old_meets_what_became_of_it() -> None:
    """Whether it was closed before or after its generation grew old, and never the item once it is closed."""
    duplicates = Repeats(kept=4)
    first, second = item("first"), item("second")
    duplicates.find(first)
    duplicates.find(second)
    duplicates.closed([first], done := Result(receipt="first"))
    grow_old(duplicates, 3)
    assert duplicates.find(item("first")) is done
    assert duplicates.find(item("second")) is second
    duplicates.closed([second], later := Result(receipt="second"))
    assert duplicates.find(item("second")) is later


def test_an_item_forgotten_on_its_way_is_sent_again_by_a_repeat_and_both_are_closed() -> None:
    """So far back a repeat counts as a first; the results of both are kept for those to come."""
    duplicates = Repeats(kept=2)
    first, again = item("a"), item("a")
    duplicates.find(first)
    grow_old(duplicates, 6)
    assert duplicates.find(again) is None
    duplicates.closed([first], Result(receipt=1))
    duplicates.closed([again], last := Result(receipt=2))
    assert duplicates.find(item("a")) is last
    assert len(duplicates._young) + len(duplicates._old) <= 5


CLASS_C = (Window(10, 1.0), Window(150, 60.0))
ALL_OF_IT = RateLimit(Window(10, 1.0), interactive_reserve=0)


@pytest.mark.parametrize(
    ("limit", "requests", "seconds"),
    [
        (RateLimit(Window(10, 1.0)), 0, 0.0),
        (ALL_OF_IT, 10, 0.0),
        (ALL_OF_IT, 11, 1.0),
        (RateLimit(*CLASS_C, interactive_reserve=0), 150, 14.0),
        (RateLimit(*CLASS_C, interactive_reserve=0), 151, 60.0),
        (RateLimit(*CLASS_C, interactive_reserve=0), 161, 61.0),
        (RateLimit(*CLASS_C[::-1], interactive_reserve=0), 301, 120.0),
        (RateLimit(Window(10, 1.0)), 8, 0.0),
        (RateLimit(Window(10, 1.0)), 9, 1.0),
        (RateLimit(*CLASS_C), 148, 18.0),
        (RateLimit(*CLASS_C), 149, 60.0),
        (RateLimit(*CLASS_C), 157, 61.0),
        (RateLimit(*CLASS_C), 297, 120.0),
        (RateLimit(Window(1, 10.0)), 3, 20.0),
        (RateLimit(Window(2, 10.0)), 3, 20.0),
        (RateLimit.courtesy(per_second=10, parallel=8), 1, 0.0),
        (RateLimit.courtesy(per_second=10, parallel=8), 101, 10.0),
    ],
)
def test_the_time_of_a_plan_is_that_of_its_windows(limit: RateLimit, requests: int, seconds: float) -> None:
    """Every full window before the last request takes its time, the longest first; reserve and pace count too."""
    assert least_seconds(limit, requests) == pytest.approx(seconds)
    assert make_limiter(limit).view().seconds_for(requests) == pytest.approx(seconds)


def test_isolation_costs_at_worst_what_halving_to_single_records_does() -> None:
    """A batch of n that falls apart wholly takes 2n - 1 requests, of which one is the batch itself."""
    assert isolation_cost([1]) == 0
    assert isolation_cost([2, 8]) == 2 + 14


async def test_a_plan_counts_and_sends_nothing() -> None:
    """Requests, duplicates, invalid rows and the worst of isolating, with no call made."""
    settings = FakeSettings(RateLimit(Window(1, 2.0)))
    work = FakeWork(account=FakeAccount(settings=settings), max_entries=3)
    run = run_of(work, ["a", "b", "a", "bad1", "c", "d", "d", ValueError("odd")])
    plan = await run.plan()
    assert (plan.records, plan.requests, plan.duplicates, plan.refused_total) == (8, 2, 2, 2)
    assert [outcome.position for outcome in plan.refused] == [3, 7]
    assert plan.seconds == pytest.approx(2.0)
    assert plan.isolation_requests == 4
    assert work.sent == []
    assert run.report.total == 0


async def test_a_plan_keeps_a_one_pass_input_for_the_run() -> None:
    """Planning an iterator does not use it up: the run that follows has every record."""
    work = FakeWork()
    run = run_of(work, iter("abc"))
    assert (await run.plan()).records == 3
    assert (await run).total == 3
    with pytest.raises(ClosedError):
        await run.plan()


async def test_the_budget_of_isolation_bounds_what_a_plan_foresees() -> None:
    """A plan never foresees more than ``max_isolation_requests``."""
    run = run_of(FakeWork(max_entries=100), list(islice(count(), 100)), max_isolation_requests=7)
    assert (await run.plan()).isolation_requests == 7


async def test_a_linger_calls_back_until_the_batch_is_gone() -> None:
    """It asks again after each period for as long as it is told no, and not after that."""
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def flush() -> bool:
        asked.append(round(loop.time(), 3))
        return len(asked) == 3

    linger = Linger(2.0, flush)
    linger.start()
    linger.start()
    await asyncio.sleep(20)
    assert asked == [2.0, 4.0, 6.0]


async def test_a_cancelled_linger_is_silent() -> None:
    """After cancelling it nothing is flushed any more."""
    asked: list[int] = []

    def flush() -> bool:
        asked.append(1)
        return True

    linger = Linger(2.0, flush)
    linger.cancel()
    linger.start()
    linger.cancel()
    await asyncio.sleep(20)
    assert asked == []


async def test_a_linger_starts_anew_after_it_was_cancelled() -> None:
    """A batch that went full takes its timer along; the next one has its own whole time."""
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def flush() -> bool:
        asked.append(round(loop.time(), 3))
        return True

    linger = Linger(2.0, flush)
    linger.start()
    await asyncio.sleep(1.5)
    linger.cancel()
    linger.start()
    await asyncio.sleep(20)
    assert asked == [3.5]
