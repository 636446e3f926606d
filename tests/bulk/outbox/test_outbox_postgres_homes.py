"""Connections that other libraries give, where these are installed (extra ``recipes``)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from omeda_async import ConfigurationError, OutcomeStatus
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox.test_outbox_postgres_within import server_of
from tests.bulk.outbox_help import addresses, applied, client, outbox_on

pytestmark = pytest.mark.real_clock


@pytest.fixture(params=["psycopg", "asyncpg"])
async def session(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Any]:
    """A session of SQLAlchemy over each driver."""
    orm: Any = pytest.importorskip("sqlalchemy.ext.asyncio", reason="sqlalchemy is not installed: see extra recipes")
    if request.param == "asyncpg":
        pytest.importorskip("asyncpg", reason="asyncpg is not installed: it comes with the extra recipes")
    server = server_of(url).partition("?")[0]
    engine = orm.create_async_engine(server.replace("postgresql://", f"postgresql+{request.param}://"))
    async with orm.AsyncSession(engine) as session:
        yield session
    await engine.dispose()


async def test_a_session_of_sqlalchemy_commits_and_rolls_back_what_is_put_by_its_connection(
    sandbox: Sandbox, url: str, session: Any
) -> None:
    """With what else is in its transaction; the session itself is refused by how to get the connection."""
    text: Any = pytest.importorskip("sqlalchemy").text
    async with outbox_on(sandbox, url) as outbox:
        for number in (1, 2):
            await session.execute(text("SELECT 1"))
            connection = (await (await session.connection()).get_raw_connection()).driver_connection
            ticket = await outbox.put(client(number), key=str(number), connection=connection)
            assert await outbox.put(client(number), key=str(number), connection=connection) == ticket
            await (session.rollback() if number == 1 else session.commit())
        assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
        with pytest.raises(ConfigurationError, match=r"session\.connection\(\)"):
            await outbox.put(client(3), connection=session)
    assert applied(sandbox) == addresses(2)


async def test_a_put_in_a_savepoint_goes_with_it(sandbox: Sandbox, url: str, session: Any) -> None:
    """By a connection that was taken inside; one that was taken before puts before the savepoint is made."""
    text: Any = pytest.importorskip("sqlalchemy").text

    async def connection() -> Any:
        return (await (await session.connection()).get_raw_connection()).driver_connection

    async with outbox_on(sandbox, url) as outbox:
        await session.execute(text("SELECT 1"))
        before = await connection()
        savepoint = await session.begin_nested()
        await outbox.put(client(1), key="1", connection=await connection())
        await savepoint.rollback()
        savepoint = await session.begin_nested()
        kept = await outbox.put(client(2), key="2", connection=await connection())
        await savepoint.commit()
        savepoint = await session.begin_nested()
        early = await outbox.put(client(3), key="3", connection=before)
        await savepoint.rollback()
        await session.commit()
        for ticket in (kept, early):
            assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
    assert applied(sandbox) == addresses(2, 3)


async def test_a_connection_of_asyncpg_puts_in_its_transaction(sandbox: Sandbox, url: str) -> None:
    """Also one of a pool; in no transaction it is refused."""
    asyncpg: Any = pytest.importorskip("asyncpg", reason="asyncpg is not installed: it comes with the extra recipes")
    async with (
        outbox_on(sandbox, url) as outbox,
        asyncpg.create_pool(server_of(url).partition("?")[0], min_size=1) as pool,
        pool.acquire() as connection,
    ):
        with pytest.raises(ConfigurationError, match="in no transaction"):
            await outbox.put(client(1), connection=connection)
        async with connection.transaction():
            ticket = await outbox.put(client(2), connection=connection)
        assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
        closed = await asyncpg.connect(server_of(url).partition("?")[0])
        await closed.close()
        with pytest.raises(ConfigurationError, match="it is closed"):
            await outbox.put(client(1), connection=closed)
    assert applied(sandbox) == addresses(2)
