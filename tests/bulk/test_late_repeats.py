"""Repeats that meet a stop, or the record they repeat while it is under way: the run ends, and its sums hold."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omeda_async import AnswerLost, ClientOptOut, ClosedError, OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Item, Job, _delivery, fingerprint, not_sent
from omeda_async.bulk._delivery import Repeats
from omeda_async.journal import read_status
from omeda_async.outcomes import Tally
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import adds_up, collect, refusal
from tests.bulk.journal_help import Work, journal_of, journalled
from tests.bulk.sandboxed import manager_on

S = OutcomeStatus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "run.sqlite3"


@pytest.mark.parametrize("by", ["stop", "deadline"])
@pytest.mark.parametrize("remembered", [False, True])
async def test_a_run_that_is_stopped_ends_however_many_repeats_follow(path: Path, by: str, remembered: bool) -> None:
    """They wait for the record that they repeat, and that one is not sent any more: nobody waits for ever."""
    records = [*(f"r{number}" for number in range(300)), *["again"] * 3000]
    options: dict[str, Any] = {"deadline": 0.5} if by == "deadline" else {}
    work = Work(answer_time=lambda _: 0.2)
    run = journalled(path if remembered else None, records, work, **options)
    async for _ in run:
        if by == "stop":
            run.stop()
    assert adds_up(run, 3300)
    assert run.report.counts[S.NOT_SENT] >= 3000


@pytest.mark.parametrize("passes", range(0, 48, 2))
async def test_a_stopped_run_that_is_cancelled_while_it_accounts_for_the_rest_loses_nothing(
    path: Path, passes: int
) -> None:
    """Asked about what it did not reach, the journal takes its time; whenever that is broken off, the sums hold."""
    records = [f"r{number}" for number in range(2000)]
    run = journalled(path, records, Work(concurrency=1))
    task = asyncio.ensure_future(collect(run))
    while not run.report.requests:  # noqa: ASYNC110 the work is a stand-in that tells nobody
        await asyncio.sleep(0)
    run.stop()
    assert run._engine is not None
    while run._engine.reader.position < 1000:  # noqa: ASYNC110 the engine tells nobody how far it has read
        await asyncio.sleep(0.01)
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await run.aclose()
    assert adds_up(run, run._engine.reader.position)
    status = read_status(path)
    assert status.total == run.report.total
    assert dict(status.counts) == run.report.counts


ENDINGS: dict[str, Result[Any]] = {
    "done": Result(receipt=None, attempts=1),
    "failed": Result(error=refusal(), attempts=1, known=S.FAILED),
    "unknown": Result(error=AnswerLost("cut"), attempts=1, doubtful=True),
}


@pytest.mark.parametrize("before", ["failed", "unknown"])
@pytest.mark.parametrize("after", ["done", "failed", "unknown"])
@pytest.mark.parametrize("place", [0, 3, 9])
async def test_a_repeat_of_what_is_under_way_leaves_the_journal_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, place: int
) -> None:
    """So far back that the run has forgotten the first: both are sent, each has its outcome, and nothing else goes."""
    monkeypatch.setattr(_delivery, "Repeats", lambda: Repeats(1))
    records = [f"r{number}" for number in range(80)]
    await journalled(path, records, _Endings(before, max_entries=10))
    repeated = records[place]
    slow = _Endings(after, max_entries=10, concurrency=2)
    slow.repeat_at = 80
    outcomes = await collect(journalled(path, [*records, repeated], slow))
    assert sorted(outcome.position for outcome in outcomes) == list(range(81))
    assert slow.sent.count(repeated) == 2
    for _ in range(2):
        status = read_status(path)
        assert status.total == sum(status.counts.values()) + status.under_way == 81
        assert (status.under_way, status.repeats) == (0, 1)
        again = await collect(journalled(path, [*records, repeated], _Endings("done", max_entries=10)))
        assert {outcome.status for outcome in again} == {S.DONE}


async def test_a_late_repeat_that_is_left_over_is_noted_as_it_is_reported(path: Path) -> None:
    """Whether the first, still under way, was carried out is not known: of the repeat no more is said than that."""
    await journalled(path, ["a", "b"], _Endings("failed"))
    journal = journal_of(path)
    await journal.open(Tally())
    first, repeat = (Item(raw="a", key=None, params="a", fingerprint=fingerprint("a"), position=at) for at in (0, 2))
    assert await journal.begin([first]) == []
    assert await journal.begin([repeat]) == []
    ((_, left),) = await journal.leave([([repeat], not_sent(ClosedError("stopped")))])
    await journal.record([([first], Result(attempts=1))])
    await journal.close(None)
    assert left.status is S.UNKNOWN
    status = read_status(path)
    assert status.counts == {S.DONE: 1, S.UNKNOWN: 1, S.FAILED: 1}
    assert (status.total, status.under_way, status.repeats) == (3, 0, 1)


class _Endings(Work):
    """Work all of whose records end alike."""

    def __init__(self, ending: str, **options: Any) -> None:
        super().__init__(**options)
        self.ending = ENDINGS[ending]
        self.repeat_at = -1
        self.repeat_has_come = asyncio.Event()

    async def perform(self, items: list[Item], job: Job) -> None:
        """Let the first batch wait until the repeat at the end of the input is under way, too."""
        if items[0].position == self.repeat_at:
            self.repeat_has_come.set()
        elif items[0].position == 0 and self.repeat_at > 0:
            await self.repeat_has_come.wait()
        await super().perform(items, job)

    def _answer(self, items: list[Item]) -> Result[Any]:
        self.doubtful += [item.raw for item in items if item.doubtful]
        return self.ending


async def test_what_a_provider_finds_too_large_is_no_record_s_own_in_any_batch(path: Path) -> None:
    """However many batches find it out at the same time, nobody is rejected, and all go through later."""
    records = [ClientOptOut(f"a{place:04}@example.com") for place in range(2000)]
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.omeda.max_bytes = 10
        report = await manager.omeda.opt_outs.submit_many(records, max_entries=200, journal=path)
        assert report.counts.keys() == {S.FAILED, S.NOT_SENT}
        sandbox.omeda.max_bytes = None
        report = await manager.omeda.opt_outs.submit_many(records, journal=path)
        assert report.counts == {S.DONE: 2000}
