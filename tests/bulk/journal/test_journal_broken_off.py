"""Runs broken off anywhere, by cancellation or a loss of power: the journal stays whole, and nothing is lost."""

import asyncio
import gc
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from omeda_async import ClosedError, JournalError, OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Item, fingerprint, not_sent
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.interface import Known, Opened, WriteGroup, Written
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.writer import Journal
from omeda_async.journal import read_status
from omeda_async.outcomes import Tally
from omeda_async.testing import MovedClockLoop
from tests.bulk.bulk_fakes import adds_up, collect, positions
from tests.bulk.journal_help import Place, Work, identity, is_there, journal_of, journalled, rows

S = OutcomeStatus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


def item(name: str, position: int) -> Item:
    return Item(raw=name, key=name, params=name, fingerprint=fingerprint(name), position=position)


@pytest.mark.parametrize(
    ("place", "passes", "times"),
    [
        *(("sqlite", passes, times) for passes in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89) for times in (1, 2)),
        *(("postgres", passes, times) for passes, times in ((0, 1), (2, 1), (5, 2), (21, 1), (55, 2))),
    ],
    indirect=["place"],
)
async def test_a_cancellation_at_any_moment_loses_nothing(place: Place, passes: int, times: int) -> None:
    """After so many passes of the loop the task is cancelled, once or twice; the next run completes the work."""
    records = [f"r{number % 90}" for number in range(100)]
    work = Work(max_entries=3, concurrency=3, answer_time=lambda items: 0.01 * len(items))
    run = journalled(place, records, work)
    task = asyncio.ensure_future(run)
    for _ in range(passes):
        await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({task})
    assert run.report.total == sum(run.report.counts.values())
    if is_there(place):
        assert isinstance(place, str) or rows(place, "PRAGMA integrity_check") == [("ok",)]
        status = read_status(place)
        assert status.total == sum(status.counts.values()) + status.under_way == run.report.total
        assert status.counts.get(S.DONE, 0) == run.report.counts.get(S.DONE, 0)
    again = Work(max_entries=3)
    outcomes = await collect(journalled(place, records, again))
    assert positions(outcomes) == list(range(100))
    assert {outcome.status for outcome in outcomes} == {S.DONE}
    twice = (Counter(work.sent) & Counter(again.sent)).keys()
    assert twice <= set(again.doubtful) | set(records) - set(work.applied)
    assert not set(work.applied) & set(again.sent) - set(again.doubtful)
    assert not [thread for thread in threading.enumerate() if "journal" in thread.name]


@pytest.mark.parametrize("seed", range(8))
async def test_a_loss_of_power_at_any_moment_loses_nothing(tmp_path: Path, seed: int) -> None:
    """A copy of the files, taken at a random moment, knows of everything sent by then, and a run resumes from it.

    What the copy calls settled was sent and is not sent again; all the rest is, and what may have been, as doubtful.
    """
    rng, path, copy = Random(seed), tmp_path / "run.sqlite3", tmp_path / "copy"  # noqa: S311 it has to be repeatable
    records = [f"r{number}" for number in range(150)]
    work = Work(max_entries=7, concurrency=4)
    moment, sent = rng.randrange(1, 20), []

    def look(_: list[Item]) -> float:
        nonlocal moment
        moment -= 1
        if not moment:
            copy.mkdir()
            for file in ("run.sqlite3-wal", "run.sqlite3"):
                shutil.copy(tmp_path / file, copy / file)
            sent.extend(work.sent)
        return rng.choice([0.001, 0.01, 0.5])

    work.answer_time = look
    await journalled(path, records, work)
    again = Work(max_entries=7)
    outcomes = await collect(journalled(copy / "run.sqlite3", records, again))
    assert positions(outcomes) == list(range(150))
    assert {outcome.status for outcome in outcomes} == {S.DONE}
    settled = set(records) - set(again.sent)
    assert settled <= set(sent)
    assert set(sent) - settled <= set(again.doubtful)
    assert read_status(copy / "run.sqlite3").counts == {S.DONE: 150}


class CountingBackend(SqliteBackend):
    """A backend that keeps the groups it was given."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.groups: list[WriteGroup] = []

    def write(self, group: WriteGroup) -> Written:
        """Write a group."""
        self.groups.append(group)
        return super().write(group)


async def test_what_many_ask_for_at_once_is_written_in_few_transactions(path: Path) -> None:
    """A hundred workers that begin together share commits; each gets its own records' results."""
    backend = CountingBackend(path, identity())
    journal = Journal(backend)
    await journal.open(Tally())
    items = [item(f"r{number}", number) for number in range(100)]
    await asyncio.gather(*(journal.begin([one]) for one in items))
    await asyncio.gather(*(journal.record([([one], Result(attempts=one.position))]) for one in items))
    await journal.close(None)
    assert len(backend.groups) <= 6
    again = journal_of(path)
    await again.open(Tally())
    results = await asyncio.gather(*(again.begin([one]) for one in items))
    await again.close(None)
    closed = [(items, result.attempts) for ((items, result),) in results]
    assert closed == [([one], number) for number, one in enumerate(items)]


async def test_what_earlier_runs_have_settled_is_looked_up_and_not_written(path: Path) -> None:
    """A batch of it is given its results without a write; of another one, what is new or has moved up is written."""
    first = journal_of(path)
    await first.open(Tally())
    items = [item(f"r{number}", number) for number in range(4)]
    await first.begin(items)
    await first.record([(items, Result(attempts=1))])
    await first.close(None)
    backend = CountingBackend(path, identity())
    again = Journal(backend)
    await again.open(Tally())
    ((settled, _),) = await again.begin(items[:2])
    assert (settled, backend.groups) == (items[:2], [])
    here, new, moved = items[2], item("new", 3), item("r3", 1)
    closed = [one for these, _ in await again.begin([here, new, moved]) for one in these]
    assert closed == [here, moved]
    assert [[*group.entries.positions] for group in backend.groups] == [[3, 1]]
    await again.record([([new], Result(attempts=1))])
    await again.close(None)
    assert read_status(path).counts == {S.DONE: 5}


def broken(_: bytes) -> list[Known]:
    raise ZeroDivisionError


async def test_a_look_up_that_fails_is_told_to_all_who_begin(path: Path) -> None:
    """They get the journal's error, as where a write fails, and nothing is begun."""
    first = journal_of(path)
    await first.open(Tally())
    await first.begin([one := item("a", 0)])
    await first.record([([one], Result(attempts=1))])
    await first.close(None)
    backend = CountingBackend(path, identity())
    again = Journal(backend)
    await again.open(Tally())
    backend.find = broken
    for _ in range(2):
        with pytest.raises(JournalError, match="ZeroDivisionError") as caught:
            await again.begin([one])
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert backend.groups == []
    with pytest.raises(JournalError):
        await again.close(None)


async def test_a_worker_cancelled_while_it_waits_leaves_the_others_their_results(place: Place) -> None:
    """The one that goes takes nothing along; what it hands back is noted as not sent."""
    journal = journal_of(place)
    await journal.open(Tally())
    items = [item(f"r{number}", number) for number in range(5)]
    tasks = [asyncio.ensure_future(journal.begin([one])) for one in items]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, False, True, False, False]
    await journal.leave([([items[2]], not_sent(ClosedError("stopped")))])
    await journal.record([([one for one in items if one is not items[2]], Result(attempts=1))])
    await journal.close(None)
    assert read_status(place).counts == {S.DONE: 4, S.NOT_SENT: 1}


class HeldBackend(SqliteBackend):
    """A backend that opens when it is let."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.let = threading.Event()

    def open(self) -> Opened:
        """Open the file."""
        self.let.wait()
        return super().open()


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("passes", range(8))
async def test_cancelling_the_opening_leaves_nothing_open(path: Path, passes: int, held: bool) -> None:
    """Whether the file was open by then or not, it is free at once, and the thread is gone."""
    backend = HeldBackend(path, identity())
    first = Journal(backend)
    opening = asyncio.ensure_future(first.open(Tally()))
    if not held:
        backend.let.set()
    for _ in range(passes):
        await asyncio.sleep(0)
    opening.cancel()
    backend.let.set()
    await asyncio.wait({opening})
    assert opening.cancelled() or not held
    if not opening.cancelled():  # it was quicker
        await first.close(None)
    assert not [thread for thread in threading.enumerate() if "journal" in thread.name]
    gc.collect()
    journal = journal_of(path)
    await journal.open(Tally())
    await journal.close(None)
    assert len(read_status(path).runs) >= 1


@pytest.mark.parametrize(
    ("place", "passes"),
    [*(("sqlite", passes) for passes in range(1, 8)), ("postgres", 1), ("postgres", 4)],
    indirect=["place"],
)
async def test_cancelling_the_closing_puts_it_off_until_all_is_written(place: Place, passes: int) -> None:
    """The cancellation arrives, and the journal is complete and closed all the same."""
    journal = journal_of(place)
    await journal.open(Tally())
    one = item("a", 0)
    await journal.begin([one])
    recording = asyncio.ensure_future(journal.record([([one], Result(attempts=1))]))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(journal.close(None))
    for _ in range(passes):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing, recording})
    assert closing.cancelled()
    assert read_status(place).runs[0].complete
    assert not read_status(place).running
    assert read_status(place).counts == {S.DONE: 1}
    with pytest.raises(ClosedError):
        await journal.begin([one])


async def test_a_defect_while_writing_is_told_to_all_who_wait(place: Place) -> None:
    """Nobody is left waiting, whatever goes wrong in the journal's thread."""
    journal = journal_of(place)
    await journal.open(Tally())
    broken = Item(raw="x", key=None, params=None, fingerprint="no bytes", position=0)  # type: ignore[arg-type]  # a defect
    results = await asyncio.gather(*(journal.begin([broken]) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [JournalError] * 5
    with pytest.raises(JournalError):
        await journal.close(None)
    assert read_status(place).total == 0


async def test_a_defect_of_the_input_is_noted_as_the_cause(place: Place) -> None:
    """An input that raises half-way ends the run; the journal says why, with addresses masked, and is resumable."""

    def records() -> Iterator[str]:
        yield from ("a", "b")
        raise LookupError("jane.doe@example.com")

    run = journalled(place, records())
    with pytest.raises(LookupError):
        await run
    assert adds_up(run, 2)
    (noted,) = read_status(place).runs
    assert (noted.complete, noted.cause) == (False, "LookupError: j***@example.com")


async def test_a_run_whose_loop_is_torn_down_is_not_noted_as_complete(place: Place) -> None:
    """Cancelled from outside, as when a program ends: the journal is closed, and says that the run was broken off."""
    work = Work(answer_time=lambda _: 50.0)
    task = asyncio.ensure_future(journalled(place, ["a", "b"], work))
    while not work.sent:  # noqa: ASYNC110 the work is a stand-in that tells nobody
        await asyncio.sleep(0.1)
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    await asyncio.wait({task})
    status = read_status(place)
    assert not status.running
    assert not status.runs[0].complete
    assert status.total == sum(status.counts.values()) + status.under_way
    again = Work()
    await journalled(place, ["a", "b"], again)
    assert set(work.sent) <= set(again.doubtful)


def test_a_program_that_is_ended_while_results_are_encoded_has_them_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may strike anywhere: whoever cleans up then does not wait for a write that nobody begins."""
    kept, struck = Codec.kept, list[int]()

    def strike(codec: Codec, results: Any) -> Any:
        if results and not struck:
            struck.append(len(results))
            raise KeyboardInterrupt
        return kept(codec, results)

    monkeypatch.setattr(Codec, "kept", strike)
    loop = MovedClockLoop()
    try:
        run = loop.create_task(collect(journalled(path, [f"r{number}" for number in range(4)], Work())))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(run)
        began = loop.time()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(run)
        assert loop.time() - began < 1
    finally:
        loop.close()
    assert struck
    assert read_status(path).counts[S.DONE] >= struck[0]
