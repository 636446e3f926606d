"""A resumed run whose journal fails on the way: it still tells of every record what is known of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from omeda_async import JournalError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.bulk.journal import sqlite_file
from tests.bulk.bulk_fakes import adds_up, positions
from tests.bulk.journal_help import Work, journalled

S = OutcomeStatus
RECORDS = [f"record {number}" for number in range(600)]


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Give another program's connection to the journal."""
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


async def half_done(path: Path) -> None:
    """Have an earlier run carry out the first 300 records."""
    report = await journalled(path, RECORDS[:300], Work(max_entries=20))
    assert report.counts == {S.DONE: 300}


async def failed(path: Path, work: Work) -> list[Outcome]:
    """Run to the failure of the journal, and give the outcomes, which add up."""
    run = journalled(path, [*RECORDS[300:], *RECORDS[:300]], work)
    outcomes: list[Outcome] = []

    async def take() -> None:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 a comprehension would lose them

    with pytest.raises(JournalError, match="locked"):
        await take()
    assert adds_up(run, 600)
    assert positions(outcomes) == list(range(600))
    return outcomes


@pytest.mark.parametrize("after", [1, 2, 7])
async def test_what_an_earlier_run_has_done_is_reported_as_done(
    path: Path, other: sqlite3.Connection, after: int
) -> None:
    """However far this run has come: what it has sent is known, and so is what it did not get to ask for."""
    await half_done(path)
    requests = 0

    def lock(_: list[Item]) -> float:
        nonlocal requests
        requests += 1
        if requests == after:
            other.execute("BEGIN IMMEDIATE")
        return 0.01

    work = Work(max_entries=20, concurrency=1, answer_time=lock)
    outcomes = await failed(path, work)
    done = {outcome.record for outcome in outcomes if outcome.status.is_done}
    assert done == {*RECORDS[:300], *work.applied}
    assert {outcome.status for outcome in outcomes if outcome.record not in done} == {S.NOT_SENT}
