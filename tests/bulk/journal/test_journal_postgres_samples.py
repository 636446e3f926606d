"""Journals in PostgreSQL as each format of their tables had them: they are resumed, and nothing is sent again."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import psycopg
import pytest

from omeda_async import ChunkStatus, JournalError, OutcomeStatus, SessionManager
from omeda_async.bulk import Item
from omeda_async.bulk.journal import postgres_tables
from omeda_async.journal import cancel_run, read_status, reopen_run
from omeda_async.sandbox import Sandbox
from tests.bulk import fault_notes as notes, journal_samples as samples, postgres_samples
from tests.bulk.journal_help import Work
from tests.bulk.sandboxed import manager_on
from tests.bulk.shared_help import SharedAccount, names, shared, work_of
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
    """Any fill brings the tables up to date; of its chunks one was done, one claimed by who was killed."""
    async with unpacked(fresh, number, "shared", mode) as (sandbox, manager, url):
        run = manager.omeda.deployments.shared_run(url)
        with notes.every_exchange() as exchanges:
            if number < OWN:
                with pytest.raises(JournalError, match=f"have format {number}, .* begin a run or a worker with"):
                    read_status(url)
            filled = await run.fill(samples.names(), journal_pii=mode)
            assert (len(filled.chunks), filled.records, filled.added, filled.absent) == (3, 15, 0, 0)
            status = read_status(url)
            assert (status.total, status.under_way, status.counts[S.NOT_SENT], status.repeats) == (17, 2, 6, 1)
            report = await run.work()
        assert report.counts == read_status(url).counts == COUNTS
        assert report.complete
        assert set(exchanges) == cancelled(sandbox) == {ARRIVED, LOST, *samples.names()[6:12]}


@pytest.mark.parametrize(("number", "mode"), SHARED)
async def test_who_performs_chunks_of_an_older_format_brings_it_up_to_date(fresh: str, number: int, mode: Any) -> None:
    """Also where several begin at the same time: to deploy a worker is to stop it and start another."""
    async with unpacked(fresh, number, "shared", mode) as (sandbox, manager, url):
        several = [manager.omeda.deployments.shared_run(url).work() for _ in range(3)]
        for report in await asyncio.gather(*several):
            assert (report.counts, report.complete) == (COUNTS, True)
        assert cancelled(sandbox) == {ARRIVED, LOST, *samples.names()[6:12]}


async def test_a_run_of_an_older_format_is_cancelled(fresh: str) -> None:
    """And goes on once it is to."""
    async with unpacked(fresh, 2, "shared", "keep") as (_, manager, url):
        cancel_run(url)
        assert not (await manager.omeda.deployments.shared_run(url).work()).complete
        assert reopen_run(url) == (1, 2)


class Otherwise(Work):
    """Work that makes other requests of the same records."""

    def read(self, raw: Any) -> Item:
        """Turn a record into an item."""
        return attrs.evolve(super().read(raw), fingerprint=f"otherwise {raw}".encode())


def make_older(fresh: str) -> None:
    """Have tables and runs be as the first versions left them, which did not keep how records were read."""
    with psycopg.connect(fresh, autocommit=True) as connection:
        connection.execute("ALTER TABLE omeda_async_journals DROP records, DROP asides, DROP stopped")
        connection.execute("ALTER TABLE omeda_async_journal_asides DROP CONSTRAINT omeda_async_journal_asides_pkey")
        connection.execute("ALTER TABLE omeda_async_journal_asides DROP known_by, ADD PRIMARY KEY (journal, position)")
        connection.execute("UPDATE omeda_async_schemas SET version = 2 WHERE part = 'journal'")
        connection.execute("UPDATE omeda_async_journals SET identity = (identity::jsonb - 'user_id')::text")


async def test_a_run_that_did_not_keep_how_it_read_records_goes_on(fresh: str) -> None:
    """By whoever reads them in the same way, and then keeps it; others send nothing, and add nothing."""
    url, work = f"{fresh}&run=x", work_of(reading={"user_id": "one"})
    await shared(url, work).fill(names(6), chunk=3)
    make_older(fresh)
    other = Otherwise(account=SharedAccount(), max_entries=5, reading={"user_id": "two"})
    with pytest.raises(JournalError, match=r"read differently here .* \(user_id\)"):
        await shared(url, other).fill(names(6))
    with pytest.raises(JournalError, match="read differently here"):
        await shared(url, other).perform(1)
    assert (await shared(url, work).perform(0)).status is ChunkStatus.DONE
    assert (await shared(url, work).fill(names(6))).added == 0
    with pytest.raises(JournalError, match="user_id is 'one' there and 'two' here"):
        await shared(url, other).perform(1)
    assert (await shared(url, work).work()).counts == {S.DONE: 6}
    assert not other.sent


async def test_a_role_that_may_not_bring_tables_up_to_date_is_told_who_may(fresh: str) -> None:
    """What it would have to do is its owner's."""
    url, role = f"{fresh}&run=x", f"omeda_async_test_{secrets.token_hex(4)}"
    await shared(url).fill(names(2))
    make_older(fresh)
    schema = fresh.rpartition("%3D")[2]
    with psycopg.connect(fresh, autocommit=True) as connection:
        connection.execute(
            f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}".encode()
        )
        try:
            with pytest.raises(JournalError, match=r"format 2, .* let the role that owns them .* \(permission denied"):
                await shared(f"{url}&user={role}").work()
        finally:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def cancelled(sandbox: Sandbox) -> set[str]:
    """Return what was cancelled, each once."""
    assert {one.cancels for one in sandbox.omeda.deployments.values()} == {0, 1}
    return {name for name, one in sandbox.omeda.deployments.items() if one.cancels}
