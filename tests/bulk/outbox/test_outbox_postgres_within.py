"""Putting into an outbox in PostgreSQL inside a transaction of the caller's: it counts with it, or does not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from omeda_async import ClientOptOut, ConfigurationError, InvalidRecord, OutboxError, OutcomeStatus
from omeda_async.bulk.outbox import postgres_link
from omeda_async.outbox import read_status
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import Place, addresses, applied, client, outbox_on

pytestmark = pytest.mark.real_clock


def server_of(url: str) -> str:
    """The database of an outbox."""
    return url.rpartition("&outbox=")[0]


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection of the caller's."""
    async with await psycopg.AsyncConnection.connect(server_of(url), **options) as connection:
        yield connection


async def test_what_is_put_is_sent_when_the_transaction_is_committed_and_never_when_it_is_rolled_back(
    sandbox: Sandbox, url: str
) -> None:
    """Until then nobody sees it; the ticket is known at once."""
    async with outbox_on(sandbox, url) as outbox, connected(url) as connection:
        gone = await outbox.put(client(1), connection=connection)
        assert (await outbox.status()).total == 0
        await connection.rollback()
        ticket = await outbox.put(client(2), key="user-2", connection=connection)
        await connection.commit()
        outcome = await outbox.outcome(ticket, timeout=30)
        assert (outcome.status, outcome.key, outcome.record) == (OutcomeStatus.DONE, "user-2", client(2))
        with pytest.raises(OutboxError, match="no such record"):
            await outbox.outcome(gone, timeout=30)
    assert applied(sandbox) == addresses(2)


async def test_a_key_is_under_way_within_the_transaction_as_without_it(sandbox: Sandbox, url: str) -> None:
    """The same ticket for the same record, also of one put before; another record is refused, and the rest counts."""
    async with outbox_on(sandbox, url, max_delay=1000.0) as outbox, connected(url) as connection:
        before = await outbox.put(client(1), key="k1")
        assert await outbox.put(client(1), key="k1", connection=connection) == before
        ticket = await outbox.put(client(2), key="k2", connection=connection)
        assert await outbox.put(client(2), key="k2", connection=connection) == ticket
        with pytest.raises(InvalidRecord, match="under way for another record"):
            await outbox.put(client(3), key="k2", connection=connection)
        with pytest.raises(InvalidRecord):
            await outbox.put(ClientOptOut("nonsense"), connection=connection)
        await connection.commit()
        assert (await outbox.status()).total == 2


async def test_a_key_in_an_open_transaction_holds_up_nobody_but_those_who_put_it(
    sandbox: Sandbox, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These are told so in time; what was put with them is put, and delivered."""
    monkeypatch.setattr(postgres_link, "PATIENCE", 0.1)
    async with outbox_on(sandbox, url, lease=1000.0) as outbox, connected(url) as connection:
        await outbox.put(client(1), key="k1", connection=connection)
        puts = (outbox.put(client(number), key=f"k{number}") for number in (0, 1, 2, 3))
        ends = await asyncio.gather(*puts, return_exceptions=True)
        assert isinstance(ends[1], OutboxError)
        assert "a transaction that has not ended yet is putting its key" in str(ends[1])
        assert ends[1].sent is False
        outcomes = [await outbox.outcome(ends[place], timeout=30) for place in (0, 2, 3)]
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        await connection.rollback()
        assert await outbox.outcome(await outbox.put(client(1), key="k1"), timeout=30)


async def test_a_connection_that_commits_by_itself_has_to_begin_a_transaction(sandbox: Sandbox, url: str) -> None:
    """In one it is fine; a closed one is refused, too."""
    async with outbox_on(sandbox, url) as outbox, connected(url, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match="in no transaction"):
            await outbox.put(client(1), connection=connection)
        async with connection.transaction():
            ticket = await outbox.put(client(1), connection=connection)
        assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
        await connection.close()
        with pytest.raises(ConfigurationError, match="it is closed"):
            await outbox.put(client(1), connection=connection)
    assert applied(sandbox) == addresses(1)


@pytest.mark.parametrize("make", [lambda url: psycopg.connect(server_of(url)), lambda _: sqlite3.connect(":memory:")])
async def test_what_is_no_such_connection_is_refused_by_what_is_taken(sandbox: Sandbox, url: str, make: Any) -> None:
    """One that would block the event loop, and one to something else."""
    async with outbox_on(sandbox, url) as outbox:
        connection = make(url)
        with pytest.raises(ConfigurationError, match=r"give a psycopg\.AsyncConnection, or an asyncpg connection, not"):
            await outbox.put(client(1), connection=connection)
        connection.close()
        assert (await outbox.status()).total == 0


async def test_an_outbox_in_a_file_takes_no_connection(sandbox: Sandbox, path: Place, url: str) -> None:
    """It is said what would."""
    async with outbox_on(sandbox, path) as outbox, connected(url) as connection:
        with pytest.raises(ConfigurationError, match="connection= is for an outbox in PostgreSQL"):
            await outbox.put(client(1), connection=connection)


async def test_the_tables_are_found_whatever_the_connection_s_search_path(sandbox: Sandbox, url: str) -> None:
    """And whatever it makes of rows."""
    async with outbox_on(sandbox, url) as outbox, connected(url, row_factory=psycopg.rows.dict_row) as connection:
        await connection.execute("SET LOCAL search_path = pg_catalog")
        ticket = await outbox.put(client(1), key="k", connection=connection)
        assert await outbox.put(client(1), key="k", connection=connection) == ticket
        await connection.commit()
        assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE


async def test_a_connection_to_another_database_is_refused(sandbox: Sandbox, url: str) -> None:
    """By the server's words, with its error as the cause."""
    async with outbox_on(sandbox, url) as outbox:
        other = psycopg.conninfo.make_conninfo(server_of(url), dbname="template1")
        async with await psycopg.AsyncConnection.connect(other) as connection:
            with pytest.raises(OutboxError, match="was not put by the caller's connection: relation") as caught:
                await outbox.put(client(1), connection=connection)
            assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedTable)
            await connection.rollback()


async def test_an_outbox_that_is_not_there_any_more_is_said(sandbox: Sandbox, url: str) -> None:
    """Nothing is put that nobody would send."""
    async with outbox_on(sandbox, url) as outbox, connected(url) as connection:
        await connection.execute("DELETE FROM omeda_async_outboxes WHERE label = %s", (outbox._name,))
        with pytest.raises(OutboxError, match="is not in this database, or not any more"):
            await outbox.put(client(1), connection=connection)
        await connection.commit()
        with pytest.raises(OutboxError, match="is not in this database, or not any more"):
            await outbox.put(client(1))


@pytest.mark.parametrize("moment", range(8))
async def test_a_put_that_is_cancelled_at_any_moment_leaves_a_transaction_that_can_be_undone(
    sandbox: Sandbox, url: str, moment: int
) -> None:
    """Pass by pass of the loop; nothing is left of it, and the connection goes on."""
    async with outbox_on(sandbox, url, max_delay=1000.0) as outbox, connected(url) as connection:
        task = asyncio.create_task(outbox.put(client(1), key="k", connection=connection))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await connection.rollback()
        ticket = await outbox.put(client(2), key="k", connection=connection)
        await connection.commit()
        assert ticket
        assert (await outbox.status()).total == 1


async def test_a_transaction_that_has_failed_takes_nothing(sandbox: Sandbox, url: str) -> None:
    """The server's error is the cause."""
    async with outbox_on(sandbox, url) as outbox, connected(url) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await connection.execute("SELECT 1 / 0")
        with pytest.raises(OutboxError, match="transaction is aborted") as caught:
            await outbox.put(client(1), connection=connection)
        assert isinstance(caught.value.__cause__, psycopg.errors.InFailedSqlTransaction)
    assert read_status(url).total == 0
