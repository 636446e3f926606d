"""Runs and groups whose journal is in PostgreSQL."""

from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import BulkRun, JournalError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.bulk.journal.interface import Entries, Kept, WriteGroup
from omeda_async.bulk.journal.postgres import PostgresBackend
from omeda_async.bulk.journal.url import JournalUrl, where_of
from tests.bulk.journal_help import identity
from tests.limits.postgres_service import OwnPostgres

S = OutcomeStatus
DONE = Kept(S.DONE, 1, '{"receipt":null,"error":null,"settled":false,"doubtful":false}')


def at_database(server: OwnPostgres, name: str) -> str:
    """Return the URL of a run in one of its databases; the name may have options behind it."""
    return f"postgresql://postgres@127.0.0.1:{server.port}/{name}{'&' if '?' in name else '?'}run=x"


def backend_at(url: str) -> PostgresBackend:
    """Make the backend of such a run."""
    where = where_of(url)
    assert isinstance(where, JournalUrl)
    return PostgresBackend(where, identity())


def group_of(*names: str, first: int = 0) -> WriteGroup:
    """Make a group of records that are about to be sent."""
    prints = b"".join(name.encode().ljust(16) for name in names)
    json = ",".join(f'[{first + place},"{name}"]' for place, name in enumerate(names))
    entries = Entries(range(first, first + len(names)), prints, f"[{json}]", bytes(8 * len(names)))
    return WriteGroup(entries=entries, sent=len(names))


async def failed(run: BulkRun) -> tuple[list[Outcome], str]:
    """Run to the failure of the journal; give the outcomes, and what is said."""
    outcomes: list[Outcome] = []

    async def take() -> None:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 a comprehension would lose them

    with pytest.raises(JournalError) as caught:
        await take()
    return outcomes, str(caught.value)


def at(number: int, change: Callable[[], Any]) -> Callable[[list[Item]], float]:
    """Have something happen while a certain request is under way."""
    requests = 0

    def look(_: list[Item]) -> float:
        nonlocal requests
        requests += 1
        if requests == number:
            change()
        return 0.01

    return look
