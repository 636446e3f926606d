"""Where journals are kept: in SQLite files, or in PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TypeAlias

from omeda_async._thread import Worker
from omeda_async.bulk._item import Item
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Backend, Reader
from omeda_async.bulk.journal.sqlite import SqliteBackend
from omeda_async.bulk.journal.sqlite_reader import SqliteReader
from omeda_async.bulk.journal.url import JournalUrl, Where
from omeda_async.bulk.journal.writer import Journal

Settled: TypeAlias = Callable[[Sequence[Item]], Awaitable[Collection[int]]]
"""Tells which of some items a run would not send, by their places."""


def journal_at(where: Where, identity: Identity, lookback: float = 0.0) -> Journal:
    """Make the journal of a run, to be opened by that; see there for the arguments."""
    return Journal(backend_at(where, identity, lookback), lookback)


def backend_at(where: Where, identity: Identity, lookback: float = 0.0) -> Backend:
    """Make what keeps the journal of a run."""
    if isinstance(where, JournalUrl):
        from omeda_async.bulk.journal.postgres import PostgresBackend  # noqa: PLC0415 only a URL needs psycopg

        return PostgresBackend(where, identity, lookback)
    return SqliteBackend(where, identity, lookback)


def reader_at(where: Where) -> Reader:
    """Make what reads a journal."""
    if isinstance(where, JournalUrl):
        from omeda_async.bulk.journal.postgres_reader import PostgresReader  # noqa: PLC0415 the same

        return PostgresReader(where)
    return SqliteReader(where)


@asynccontextmanager
async def settled_at(where: Where, identity: Identity) -> AsyncIterator[Settled]:
    """Make what tells which items a run would not send, as an earlier one has settled them."""
    stack, worker = ExitStack(), Worker("omeda_async journal, read")
    try:
        salt, find = await worker.do(partial(stack.enter_context, reader_at(where).settled(identity)))
        codec = Codec(salt)

        async def settled(items: Sequence[Item]) -> Collection[int]:
            known = await worker.do(partial(find, codec.fingerprints([item.fingerprint for item in items])))
            return {one.place for one in known if one.is_settled}

        yield settled
    finally:
        await worker.do(stack.close)
        worker.end()
