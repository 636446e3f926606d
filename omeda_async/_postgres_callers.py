"""Statements by connections that are the caller's own, inside a transaction of the caller's."""

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from omeda_async._postgres_blocking import words

_NAMED: Final = re.compile(r"%\((\w+)\)s")
_TAKEN: Final = "give a psycopg.AsyncConnection, or an asyncpg connection"
_COMMITS_BY_ITSELF: Final = (
    "it is in no transaction, and would commit by itself: use it in 'async with connection.transaction()', or put "
    "without it"
)
_OF_A_SESSION: Final = "(await (await session.connection()).get_raw_connection()).driver_connection"


class NoConnection(Exception):
    """It is no connection by which this can be done."""


class CallerFailed(Exception):
    """The caller's connection has raised an error, which is the cause of this; its transaction can only be undone."""


async def rows_by(connection: object, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Carry out a statement in the transaction of somebody's connection, and return its rows.

    Raises:
        NoConnection: It is none, is closed, or commits each statement by itself.
        CallerFailed: It failed.

    Cancelling it does what that does with a statement of the caller's own.
    """
    if isinstance(connection, psycopg.AsyncConnection):
        return await _by_psycopg(connection, sql, values)
    asyncpg: Any = sys.modules.get("asyncpg")
    if asyncpg is not None and isinstance(connection, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)):
        return await _by_asyncpg(asyncpg, connection, sql, values)
    kind = type(connection)
    raise NoConnection(
        f"{_TAKEN}, not a {kind.__module__.partition('.')[0]} {kind.__name__}"
        + (f"; of a session of SQLAlchemy: {_OF_A_SESSION}" if kind.__module__.startswith("sqlalchemy.") else "")
    )


async def _by_psycopg(
    connection: psycopg.AsyncConnection[Any], sql: str, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    if connection.closed:
        raise NoConnection("it is closed")
    if connection.autocommit and connection.info.transaction_status is TransactionStatus.IDLE:
        raise NoConnection(_COMMITS_BY_ITSELF)
    try:
        cursor = psycopg.AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute(sql.encode(), values)
        return await cursor.fetchall()
    except psycopg.Error as error:
        raise CallerFailed(words(error)) from error


async def _by_asyncpg(asyncpg: Any, connection: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    if connection.is_closed():
        raise NoConnection("it is closed")
    if not connection.is_in_transaction():
        raise NoConnection(_COMMITS_BY_ITSELF)
    names = list(dict.fromkeys(_NAMED.findall(sql)))
    numbered = _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
    try:
        return [tuple(row) for row in await connection.fetch(numbered, *map(values.__getitem__, names))]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise CallerFailed(" ".join(str(error).split())[:300]) from error
