"""Journals in PostgreSQL as each format of their tables had them: they are resumed, and nothing is sent again."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from omeda_async import JournalError, OutcomeStatus, SessionManager
from omeda_async.bulk.journal import postgres_tables
from omeda_async.journal import read_status
from omeda_async.sandbox import Sandbox
from tests.bulk import fault_notes as notes, journal_samples as samples, postgres_samples
from tests.bulk.sandboxed import manager_on
from tests.limits.postgres_service import own_schema

S = OutcomeStatus
OWN = len(postgres_tables.STEPS)
PLAIN = [(number, mode) for number, kind, mode in postgres_samples.EVERY if kind == "plain"]
SHARED = [(number, mode) for number, kind, mode in postgres_samples.EVERY if kind == "shared"]
ARRIVED, LOST = samples.HANGING
COUNTS = {S.DONE: 13, S.ALREADY_DONE: 1, S.TOO_LATE: 1, S.REJECTED: 2}


@pytest.fixture
def fresh() -> Iterator[str]:
    """Give a place in a PostgreSQL where no tables are."""
    with own_schema() as url:
        yield url


@asynccontextmanager
async def unpacked(fresh: str, number: int, kind: str, mode: str) -> AsyncIterator[tuple[Sandbox, SessionManager, str]]:
    """Give a sandbox at which one of two doubtful requests had arrived, a manager on it, and the URL of a sample."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        samples.seed(sandbox, "deployments")
        await manager.omeda.deployments.cancel(ARRIVED)
        postgres_samples.unpack(postgres_samples.sample_of(number, kind, mode), fresh, sandbox.url)
        yield sandbox, manager, f"{fresh}&run=sample"


def test_there_are_samples_of_each_format() -> None:
    """Also of the one that is written now."""
    assert {number for number, _, _ in postgres_samples.EVERY} == set(range(1, OWN + 1))


@pytest.mark.parametrize(("number", "mode"), PLAIN)
async def test_a_plain_run_of_any_format_is_resumed(fresh: str, number: int, mode: Any) -> None:
    """What it had settled is told again and not asked about; what was on its way is settled."""
    async with unpacked(fresh, number, "plain", mode) as (sandbox, manager, url):
        with notes.every_exchange() as exchanges:
            report = await samples.start(manager, "deployments", journal=url, journal_pii=mode)
        assert report.counts == read_status(url).counts == COUNTS
        assert (read_status(url).repeats, read_status(url).complete) == (1, True)
        assert set(exchanges) == {ARRIVED, LOST} == cancelled(sandbox)


@pytest.mark.parametrize(("number", "mode"), SHARED)
async def test_a_shared_run_of_any_format_is_gone_on_with(fresh: str, number: int, mode: Any) -> None:
    """Once any fill has brought the tables up to date; of its chunks one was done, one claimed by who was killed."""
    async with unpacked(fresh, number, "shared", mode) as (sandbox, manager, url):
        run = manager.omeda.deployments.shared_run(url)
        with notes.every_exchange() as exchanges:
            if number < OWN:
                with pytest.raises(JournalError, match=f"have format {number}, and .* begin a run with this version"):
                    await run.work()
            filled = await run.fill(samples.names(), journal_pii=mode)
            assert (len(filled.chunks), filled.records, filled.added, filled.absent) == (3, 15, 0, 0)
            status = read_status(url)
            assert (status.total, status.under_way, status.counts[S.NOT_SENT], status.repeats) == (17, 2, 6, 1)
            report = await run.work()
        assert report.counts == read_status(url).counts == COUNTS
        assert report.complete
        assert set(exchanges) == cancelled(sandbox) == {ARRIVED, LOST, *samples.names()[6:12]}


def cancelled(sandbox: Sandbox) -> set[str]:
    """Return what was cancelled, each once."""
    assert {one.cancels for one in sandbox.omeda.deployments.values()} == {0, 1}
    return {name for name, one in sandbox.omeda.deployments.items() if one.cancels}
