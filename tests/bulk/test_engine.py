"""The engine with work made of plain Python: what it reads, sends, counts and gives, when nothing stops it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count, pairwise, repeat
from typing import Any

import pytest

from omeda_async import BulkReport, ClosedError, ConfigurationError, InvalidRecord, OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk._engine import BATCHES_READY
from omeda_async.bulk._reader import BREATHE_EVERY
from omeda_async.events import Event, OutcomesReached, RunEnded, RunStarted
from tests.bulk.bulk_fakes import (
    FakeAccount,
    FakeWork,
    Watched,
    WatchedAsync,
    adds_up,
    collect,
    positions,
    refusal,
    run_of,
    statuses,
)


async def agen(records: Any) -> AsyncIterator[Any]:
    for record in records:
        await asyncio.sleep(0)
        yield record


def gen(records: Any) -> Iterator[Any]:
    yield from records


@pytest.mark.parametrize(
    "records",
    [
        ["a", "b", "c"],
        ("a", "b", "c"),
        {"a": 1, "b": 2, "c": 3}.keys(),
        iter("abc"),
        gen("abc"),
        agen("abc"),
        WatchedAsync("abc"),
    ],
    ids=lambda records: type(records).__name__,
)
async def test_any_iterable_is_an_input(records: Any) -> None:
    """Lists, mappings, iterators, generators and their asynchronous kin all give one outcome for each record."""
    outcomes = await collect(run_of(FakeWork(), records))
    assert positions(outcomes) == [0, 1, 2]
    assert sorted(outcome.record for outcome in outcomes) == ["a", "b", "c"]


async def test_nothing_is_read_or_sent_before_the_run_is_awaited() -> None:
    """Making a run, and letting time pass, touches neither the input nor the provider."""
    work, records = FakeWork(), Watched("abc")
    run = run_of(work, records)
    await asyncio.sleep(10)
    assert (records.read, work.sent, work.account.transport.asked) == (0, [], 0)
    assert not run.report.complete
    assert (await run).total == 3


async def test_an_empty_input_makes_an_empty_report() -> None:
    """No record, no request, and the report is complete."""
    report = await run_of(FakeWork(), [])
    assert (report.total, report.counts, report.requests, report.complete) == (0, {}, 0, True)


async def test_awaiting_again_gives_the_same_report() -> None:
    """A run that has ended can be awaited for its report; nothing is sent twice."""
    work = FakeWork()
    run = run_of(work, list("abc"))
    first = await run
    assert (await run) == first
    assert sorted(work.sent) == ["a", "b", "c"]


async def test_a_run_begins_once() -> None:
    """Iterating a run that has begun is an error that says so, while it runs and afterwards."""
    run = run_of(FakeWork(), list("abc"))
    iteration = aiter(run)
    await anext(iteration)
    with pytest.raises(ClosedError, match="has begun"):
        await anext(aiter(run))
    with pytest.raises(ClosedError, match="has begun"):
        await run
    await run.aclose()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_infinite_input_is_read_a_bounded_way_ahead(asynchronous: bool) -> None:
    """With four calls at a time no more than what those, the queue and the results hold is read ahead of the caller."""
    work = FakeWork()
    records = WatchedAsync(count()) if asynchronous else Watched(count())
    run, taken, ahead = run_of(work, records), 0, 0
    async with run:
        async for _ in run:
            taken += 1
            await asyncio.sleep(1)
            ahead = max(ahead, records.read - taken)
            if taken == 60:
                break
    assert ahead <= 4 + 4 + 1 + 2 * 4 + 4
    assert adds_up(run, records.read)


async def test_batches_of_an_infinite_input_are_bounded_too() -> None:
    """With batches of ten and two calls at a time, some five rounds of batches are all that is ever held."""
    work, records = FakeWork(max_entries=10, concurrency=2), Watched(count())
    run, taken = run_of(work, records), 0
    async with run:
        async for _ in run:
            taken += 1
            await asyncio.sleep(0.2)
            assert records.read - taken <= 10 * (2 + 2 + 1 + 2 * 2 + 2)
            if taken == 200:
                break
    assert adds_up(run, records.read)


async def test_endless_repeats_of_one_record_are_read_a_bounded_way_ahead() -> None:
    """While the first is on its way its repeats wait, and no more of them are read than are allowed to wait."""
    work, records = FakeWork(answer_time=lambda _: 100.0), Watched(repeat("a"))
    run = run_of(work, records)
    iteration = aiter(run)
    waiting = asyncio.ensure_future(anext(iteration))
    await asyncio.sleep(50)
    assert 1 < records.read < 1000
    assert work.sent == ["a"]
    assert (await waiting).position == 0
    await run.aclose()
    assert adds_up(run, records.read)


async def test_reading_goes_on_once_the_repeats_have_their_outcome() -> None:
    """A thousand repeats of what is on its way wait for it, and what stands behind them is sent."""
    work = FakeWork(answer_time=lambda _: 50.0)
    async with asyncio.timeout(200):
        report = await run_of(work, [*["a"] * 1000, "b", *["a"] * 1000])
    assert report.counts == {OutcomeStatus.DONE: 2001}
    assert work.sent == ["a", "b"]


async def test_an_endless_invalid_input_waits_for_the_caller() -> None:
    """Rows that are refused locally fill the results and no more, and other tasks get their turn."""
    records = Watched(repeat("bad"))
    run = run_of(FakeWork(), records)
    iteration = aiter(run)
    assert (await anext(iteration)).status is OutcomeStatus.REJECTED
    await asyncio.sleep(10)
    assert records.read < 300
    await run.aclose()
    assert adds_up(run, records.read)


async def test_outcomes_come_as_they_are_completed() -> None:
    """A slow first record does not hold up the others."""
    work = FakeWork(answer_time=lambda items: 100.0 if items[0].raw == "slow" else 1.0)
    order = [outcome.key async for outcome in run_of(work, ["slow", "a", "b", "c"])]
    assert order == ["a", "b", "c", "slow"]


async def test_concurrency_is_reached_and_never_passed() -> None:
    """As many calls at once as the run says, and not one more."""
    for wanted in (1, 3, 7):
        work = FakeWork()
        await run_of(work, range(50), concurrency=wanted)
        assert work.peak == wanted


async def test_a_slow_caller_slows_the_sending_down() -> None:
    """No more is sent than the results has room for while nobody takes."""
    work = FakeWork()
    run = run_of(work, Watched(count()))
    iteration = aiter(run)
    await anext(iteration)
    await asyncio.sleep(1000)
    assert len(work.sent) <= 1 + 2 * 4 + 4
    await run.aclose()


async def test_requests_are_counted() -> None:
    """The report counts what was sent, batches once."""
    work = FakeWork(max_entries=10)
    report = await run_of(work, range(95))
    assert (report.requests, report.total) == (10, 95)


async def test_records_that_trickle_in_go_after_a_second() -> None:
    """A batch that is not full does not wait for ever: after a second it goes as it is."""
    loop = asyncio.get_running_loop()
    work = FakeWork(max_entries=100)
    times = [(outcome.position, round(loop.time())) async for outcome in run_of(work, WatchedAsync("abcd", pause=0.4))]
    assert times == [(0, 1), (1, 1), (2, 1), (3, 2)]


async def test_a_trickling_batch_waits_while_all_calls_are_busy() -> None:
    """It makes no sense to split records into more batches than can be sent."""
    sizes: list[int] = []

    def answer_time(items: list[Item]) -> float:
        sizes.append(len(items))
        return 10.0

    work = FakeWork(max_entries=100, answer_time=answer_time)
    await run_of(work, WatchedAsync(range(30), pause=0.5), concurrency=1)
    assert sum(sizes) == 30
    assert len(sizes) <= 4


async def test_duplicates_are_sent_once_and_each_has_its_outcome() -> None:
    """In the same batch, while the first is on its way, and after it has ended: one sending, an outcome for each."""
    for records in (["a", "b", "a", "a"], ["a", *range(100), "a"]):
        work = FakeWork(max_entries=3, concurrency=1)
        run = run_of(work, records)
        outcomes = await collect(run)
        assert positions(outcomes) == list(range(len(records)))
        assert work.sent.count("a") == 1
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        assert adds_up(run, len(records))


async def test_a_duplicate_keeps_its_own_key_and_position() -> None:
    """It shares what became of the first, not who it is."""

    class Keyed(FakeWork):
        def read(self, raw: Any) -> Item:
            item = super().read(raw["name"])
            item.raw, item.key = raw, raw["key"]
            return item

    records = [{"name": "a", "key": 1}, {"name": "a", "key": 2}]
    outcomes = await collect(run_of(Keyed(), records))
    assert [(one.key, one.position, one.record) for one in outcomes] == [(1, 0, records[0]), (2, 1, records[1])]


async def test_invalid_records_are_rejected_and_the_rest_goes_on() -> None:
    """Each refused row has an outcome with field and reason, signed with provider and operation."""
    work = FakeWork()
    outcomes = await collect(run_of(work, ["a", "bad1", "b", "bad2"]))
    assert statuses(outcomes) == {"done": 2, "rejected": 2}
    refused = sorted((one for one in outcomes if one.error), key=lambda one: one.position)
    assert [(one.position, one.record, one.attempts) for one in refused] == [(1, "bad1", 0), (3, "bad2", 0)]
    error = refused[0].error
    assert isinstance(error, InvalidRecord)
    assert (error.field, error.reason) == ("name", "is bad")
    assert (error.provider, error.operation) == ("fake", "fakes.do_many")
    assert sorted(work.sent) == ["a", "b"]


async def test_a_record_that_cannot_even_be_looked_at_is_rejected() -> None:
    """An object whose reading raises anything at all costs its own outcome only."""
    outcomes = await collect(run_of(FakeWork(), ["a", KeyError("secret"), "b"]))
    assert statuses(outcomes) == {"done": 2, "rejected": 1}
    (error,) = (one.error for one in outcomes if one.error)
    assert isinstance(error, InvalidRecord)
    assert "KeyError" in str(error)
    assert "secret" not in str(error)


async def test_the_sums_hold_at_every_moment() -> None:
    """Whenever the report is looked at, its total is the sum of its counts, and it is complete at the end only."""
    work = FakeWork(max_entries=3, answer=lambda items: Result(error=refusal() if items[0].raw == "c" else None))
    run = run_of(work, ["a", "bad", *"bcdefgabc"])
    seen = [run.report async for _ in run]
    seen.append(run.report)
    assert all(report.total == sum(report.counts.values()) for report in seen)
    assert [report.complete for report in seen[:3]] == [False] * 3
    assert adds_up(run, 11)
    totals = [report.total for report in seen]
    assert totals == sorted(totals)


async def test_progress_is_told_at_most_ten_times_a_second_and_at_the_end() -> None:
    """The last call has the complete report."""
    loop = asyncio.get_running_loop()
    told: list[tuple[float, BulkReport]] = []
    await run_of(FakeWork(), range(500), on_progress=lambda report: told.append((loop.time(), report)))
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(told[:-1])]
    assert len(told) >= 5
    assert min(gaps) >= 0.1 - 1e-6
    assert told[-1][1].complete
    assert told[-1][1].total == 500


async def test_a_hook_and_a_progress_callback_that_raise_cost_nothing() -> None:
    """What an observer raises is logged by its type, and every record has its outcome."""

    def explode(what: Any) -> None:
        raise RuntimeError(what)

    work = FakeWork(account=FakeAccount(hooks=(explode,)))
    run = run_of(work, range(20), on_progress=explode)
    assert positions(await collect(run)) == list(range(20))
    assert adds_up(run, 20)


async def test_a_progress_callback_that_would_have_to_be_awaited_is_refused() -> None:
    """Nobody could await it."""

    async def tell(_report: Any) -> None:
        """Take a report."""

    with pytest.raises(ConfigurationError, match="on_progress must be a plain function"):
        await run_of(FakeWork(), range(3), on_progress=tell)


async def test_the_end_of_a_run_is_an_event() -> None:
    """Hooks are told the sums, and no record."""
    told: list[Event] = []
    await run_of(FakeWork(account=FakeAccount(hooks=(told.append,))), ["a", "bad"])
    started, *reached, ended = told
    assert isinstance(started, RunStarted)
    assert (started.provider, started.operation, started.kind) == ("fake", "fakes.do_many", "bulk")
    assert [event.counts for event in reached if isinstance(event, OutcomesReached)] == [{"rejected": 1}, {"done": 1}]
    assert isinstance(ended, RunEnded)
    assert (ended.total, ended.counts, ended.requests) == (2, {"done": 1, "rejected": 1}, 1)
    assert ended.complete
    assert ended.seconds == pytest.approx(0.01, abs=1e-3)
    assert len({event.run_id for event in told}) == 1


async def test_what_is_closed_is_let_go_of_as_others_are_read() -> None:
    """Never more than was in hand is held, and nothing once the run has ended."""
    work = FakeWork(max_entries=20, concurrency=3, answer_time=lambda items: 0.01 * (1 + items[0].raw % 7))
    run = run_of(work, list(range(3000)))
    held = []
    async for _ in run:
        assert run._engine is not None
        held.append(len(run._engine.delivery.spent))
    assert 0 < max(held) <= 3 * 20 + BREATHE_EVERY + 20 * BATCHES_READY
    assert run._engine is not None
    assert run._engine.delivery.spent == []
    assert adds_up(run, 3000)
