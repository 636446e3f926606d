"""Outboxes on a sandbox, with a calendar that goes by the loop's clock."""

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from omeda_async import ClientOptOut, SessionManager, _clock, _postgres_blocking
from omeda_async._postgres_blocking import Connection
from omeda_async.bulk.outbox import postgres_link
from omeda_async.bulk.outbox.interface import Identity, NewRecord, Store
from omeda_async.bulk.outbox.postgres import PostgresStore
from omeda_async.bulk.outbox.sqlite import SqliteStore
from omeda_async.bulk.outbox.url import OutboxUrl, where_of
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.sandboxed import manager_on

START = datetime(2026, 1, 1, tzinfo=UTC)
Place: TypeAlias = Path | str
"""Where an outbox is kept."""
_VIEWS = """
CREATE TEMP VIEW entries AS SELECT id, state::int, status::int, fence, doubt::int AS doubt, key, record, fingerprint
    FROM omeda_async_outbox_records;
CREATE TEMP VIEW lease AS SELECT fence, holder, CASE WHEN isfinite(until) THEN 1 ELSE 0 END AS until
    FROM omeda_async_outboxes
"""


def client(number: int) -> ClientOptOut:
    return ClientOptOut(f"a{number}@example.com")


def applied(sandbox: Sandbox) -> Counter[str]:
    """How often each address was opted out."""
    return Counter(one.email_address for one in sandbox.omeda.opt_outs)


def addresses(*numbers: int) -> Counter[str]:
    return Counter(f"a{number}@example.com" for number in numbers)


def slow(sandbox: Sandbox, seconds: float, point: FaultPoint = FaultPoint.AFTER) -> asyncio.Event:
    """Let the next request take so long; the event is set when it has arrived."""
    arrived = asyncio.Event()

    def match(_: Any) -> bool:
        arrived.set()
        return True

    sandbox.fault(Fault(FaultKind.SLOW, point, seconds=seconds, match=match, times=1))
    return arrived


def follow_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the calendar go by the loop's clock."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(_clock, "utc_now", lambda: START + timedelta(seconds=loop.time()))


def rows(place: Place, sql: str) -> list[Any]:
    """What a query finds in the file, or in a database that holds no other outbox."""
    if isinstance(place, str):
        return rows_in_postgres(place, sql)
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def rows_in_postgres(url: str, sql: str) -> list[Any]:
    """What a query finds in a database, in which there are views as the file has tables."""
    where = where_of(url)
    assert isinstance(where, OutboxUrl)
    with psycopg.connect(where.server, autocommit=True) as connection:
        connection.execute(_VIEWS)
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description is not None else []


def follow_the_loop_in_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server's clock go by the calendar here, in a schema that has the function for that."""
    connect, opened = _postgres_blocking.connect, postgres_link.Line._opened

    def told(connection: Connection) -> Connection:
        connection.execute("SELECT set_config('omeda.now', %s, false)", (str(_clock.utc_now().timestamp()),))
        return connection

    monkeypatch.setattr("omeda_async.bulk.outbox.postgres_status.connect", lambda url: told(connect(url)))
    monkeypatch.setattr(postgres_link.Line, "_opened", lambda line: told(opened(line)))


@contextmanager
def schema_of_its_own(database: str) -> Iterator[str]:
    """Give the URL of an outbox in a schema that holds nothing else, and whose clock a connection may set."""
    name = f"omeda_async_outbox_{secrets.token_hex(6)}"
    clock = "to_timestamp(current_setting('omeda.now')::float8)"
    make = f"CREATE FUNCTION {name}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT {clock} $$"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}; {make}".encode())
    yield f"{database}{'&' if '?' in database else '?'}options=-csearch_path%3D{name}%2Cpg_catalog&outbox=opt-outs"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def identity(pii: str = "keep") -> Identity:
    """Whose outbox a store by itself is."""
    return Identity(
        provider="omeda", operation="opt_outs.outbox", base_url="https://x.example", scope={"client": "c"}, pii=pii
    )


def store_at(place: Place, now: Callable[[], float], pii: str = "keep") -> Store:
    """A store by itself, open; one in PostgreSQL has the calendar's time."""
    where = where_of(place)
    store: Store
    if isinstance(where, OutboxUrl):
        store = PostgresStore(where, identity(pii))
    else:
        store = SqliteStore(where, identity(pii), now)
    store.open()
    return store


def new(number: int, key: str | None = None) -> NewRecord:
    return NewRecord(b"%d" % number, key, f'[0,{{"email_address":"a{number}@example.com"}}]')


@asynccontextmanager
async def outbox_on(sandbox: Sandbox, place: Place, **options: Any) -> AsyncIterator[Any]:
    """An open outbox of a manager of its own, as another process would have."""
    given = {name: options.pop(name) for name in ("limits", "retry", "timeout", "hooks") if name in options}
    async with manager_on(sandbox, **given) as manager, manager.omeda.opt_outs.outbox(place, **options) as outbox:
        yield outbox


async def crash(manager: SessionManager, outbox: Any) -> None:
    """End an outbox as a kill would: nothing more is written, and the lease is not given back."""
    delivery, keeper = outbox._delivery, outbox._keeper
    term = delivery._term
    tasks = [delivery._main, *(() if term is None else (term.beating, *term.requests))]
    keeper._is_open, outbox._closing = False, asyncio.get_running_loop().create_future()
    keeper.do = keeper.ask = _nowhere
    outbox._closing.set_result(None)
    for task in tasks:
        task.cancel()
    await outbox._calls.aclose()
    await manager._transport.aclose()
    workers = {keeper._asks, keeper._surveys, keeper._worker}
    for worker in workers:  # in their threads, which may be at work
        await worker.do(keeper.store.close)
        worker.end()


def _nowhere(*_: Any) -> Any:
    raise asyncio.CancelledError
