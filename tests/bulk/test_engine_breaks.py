"""The engine when its input, its work or its options are broken."""

import asyncio
import gc
from itertools import repeat
from typing import Any

import pytest

from omeda_async import ClosedError, ConfigurationError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from tests.bulk.bulk_fakes import (
    FakeWork,
    InputBrokeError,
    Watched,
    WatchedAsync,
    adds_up,
    positions,
    run_of,
    statuses,
)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("entries", [1, 4])
async def test_an_input_that_breaks_is_raised_after_all_that_was_read(asynchronous: bool, entries: int) -> None:
    """The records before the break are sent and have their outcomes; then the input's own error is raised."""
    records = WatchedAsync("abcdef", fail_at=3) if asynchronous else Watched("abcdef", fail_at=3)
    work = FakeWork(max_entries=entries)
    run = run_of(work, records)
    outcomes: list[Outcome] = []

    async def drain() -> None:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 those before the break are wanted too

    with pytest.raises(InputBrokeError):
        await drain()
    assert positions(outcomes) == [0, 1, 2]
    assert statuses(outcomes) == {"done": 3}
    assert adds_up(run, 3)


async def test_awaiting_a_run_raises_what_its_input_raised() -> None:
    """The report is complete for what was read all the same."""
    run = run_of(FakeWork(), Watched("abc", fail_at=2))
    with pytest.raises(InputBrokeError):
        await run
    assert adds_up(run, 2)


async def test_a_defect_in_the_work_loses_no_record() -> None:
    """Work that raises, or closes too little, ends the run with an outcome for every record and its error raised."""

    class Broken(FakeWork):
        async def perform(self, items: list[Item], job: Any) -> None:
            await super().perform(items, job)
            if "d" in self.sent:
                raise LookupError("a defect")

    work = Broken(concurrency=1)
    run = run_of(work, list("abcdefgh"))
    with pytest.raises(LookupError, match="a defect"):
        await run
    assert adds_up(run, 8)
    assert run.report.counts == {OutcomeStatus.DONE: 4, OutcomeStatus.NOT_SENT: 4}
    assert isinstance(run.stopped_by, ClosedError)


async def test_work_that_breaks_in_flight_leaves_its_records_unknown() -> None:
    """If it raised while its attempt was out, nobody knows what became of that."""

    def broken(_items: list[Item]) -> float:
        raise LookupError("a defect")

    run = run_of(FakeWork(answer_time=broken, max_entries=2, concurrency=1), list("abcd"))
    with pytest.raises(LookupError):
        await run
    assert run.report.counts == {OutcomeStatus.UNKNOWN: 2, OutcomeStatus.NOT_SENT: 2}


async def test_only_the_first_thousand_failures_are_kept_and_all_are_counted() -> None:
    """The memory of a report is bounded."""
    report = await run_of(FakeWork(), repeat("bad", 1500))
    assert (report.total, len(report.failures)) == (1500, 1000)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": True},
        {"concurrency": 1.5},
        {"max_isolation_requests": -1},
        {"max_isolation_requests": "all"},
        {"deadline": 0},
        {"journal_pii": "maybe"},
    ],
    ids=str,
)
async def test_an_option_out_of_range_is_named_at_once(options: dict[str, Any]) -> None:
    """Making the run fails, and says which option it is."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        _ = run_of(FakeWork(), [], **options)


async def test_a_run_leaves_nothing_behind() -> None:
    """When it has ended no task of it is left."""
    before = asyncio.all_tasks()
    await run_of(FakeWork(), range(30))
    gc.collect()
    assert asyncio.all_tasks() == before
