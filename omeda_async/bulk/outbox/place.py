"""Where outboxes are kept: in SQLite files, or in PostgreSQL."""

from os import PathLike
from typing import Any, Unpack

from omeda_async import _clock
from omeda_async.bulk._job import Work
from omeda_async.bulk._options import OutboxOptions, OutboxSettings
from omeda_async.bulk.outbox.interface import Calls, Identity, NoCalls, Store
from omeda_async.bulk.outbox.outbox import Outbox
from omeda_async.bulk.outbox.url import OutboxUrl, Where, where_of
from omeda_async.errors import ConfigurationError

POLL = 0.25
"""Seconds after which a process looks at the latest whether others have put into a file or delivered from it."""


def outbox_at(
    where: str | PathLike[str], work: Work, sending: Work, **options: Unpack[OutboxOptions]
) -> Outbox[Any, Any]:
    """Make an outbox, to be opened by ``async with``.

    Args:
        where: The path of its file, or ``postgresql://host/database?outbox=NAME``.
        work: How records are read when they are put.
        sending: How they are read and sent when they are delivered.
        options: See :class:`OutboxOptions`.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
        TypeError: There is no such option.
    """
    unknown = options.keys() - OutboxOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"{work.name} has no option {', '.join(sorted(unknown))}")
    settings = OutboxSettings(**options)
    identity = Identity(
        provider=work.account.provider,
        operation=work.name,
        base_url=work.account.settings.url,
        scope=work.scope,
        pii=settings.pii,
    )
    store, calls = _kept(where_of(where), identity)
    return Outbox(work, sending, store, settings=settings, calls=calls)


def _kept(where: Where, identity: Identity) -> tuple[Store, Calls]:
    """Make what keeps an outbox, and who tells of what others do to it."""
    if isinstance(where, OutboxUrl):
        from omeda_async.bulk.outbox.postgres import PostgresStore  # noqa: PLC0415 only a URL needs psycopg
        from omeda_async.bulk.outbox.postgres_calls import PostgresCalls  # noqa: PLC0415 the same

        try:
            return PostgresStore(where, identity), PostgresCalls(where)
        except ValueError as error:
            raise ConfigurationError(f"outbox: {error}") from None
    from omeda_async.bulk.outbox.sqlite import SqliteStore  # noqa: PLC0415 only a file needs SQLite

    return SqliteStore(where, identity, lambda: _clock.utc_now().timestamp()), NoCalls(POLL)
