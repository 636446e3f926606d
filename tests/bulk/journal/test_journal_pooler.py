"""A pooler between: one that parts sessions is refused with what to do, one that does not will do."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from omeda_async import (
    BulkRun,
    ConfigurationError,
    JournalError,
    OutboxError,
    OutcomeStatus,
    SessionManager,
    _postgres_blocking as blocking,
)
from omeda_async._postgres_blocking import PARTED, Connection, PostgresFailed, connect
from omeda_async.journal import read_status
from omeda_async.sandbox import Sandbox
from omeda_async.worker import BulkJobs
from tests.bulk.journal_help import journalled
from tests.bulk.outbox_help import client, outbox_on
from tests.bulk.pooler import pgbouncer
from tests.bulk.shared_help import names, shared
from tests.limits.postgres_service import OwnPostgres

S = OutcomeStatus


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    blocking._whole_sessions.clear()
    yield
    blocking._whole_sessions.clear()


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("used_up", [True, False])
async def test_connections_of_which_two_have_one_process_are_parted(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, parts: bool, used_up: bool
) -> None:
    """One that no number was made up for is asked nothing more, and a pool that is used up is believed."""
    asked: list[Connection] = []

    def process_of(connection: Connection) -> int:
        if connection not in asked:
            asked.append(connection)
        if used_up and not parts and connection.within == 2.0:
            raise PostgresFailed("no answer within 2 s")
        return 7 if parts else asked.index(connection)

    monkeypatch.setattr(blocking, "_process_of", process_of)
    if parts:
        with pytest.raises(JournalError, match=re.escape(PARTED)):
            await shared(journal_url).fill(names(3))
        with pytest.raises(JournalError, match=re.escape(PARTED)):
            await journalled(journal_url, names(3))
    else:
        await shared(journal_url).fill(names(3))
        opened = len(asked)
        assert (await shared(journal_url).work()).counts == {S.DONE: 3}
        assert len(asked) > opened  # its own number is asked for each, and another client once
        assert len(blocking._whole_sessions) == 1


async def test_pgbouncer_that_parts_sessions_is_refused_and_left_no_setting(server: OwnPostgres) -> None:
    """By journals and outboxes, with what to do; a journal can be read through it."""
    await shared(f"{server.url}?run=there").fill(names(3))
    with pgbouncer(server, "transaction") as url:
        uses: list[Callable[[], Any]] = [
            lambda: shared(f"{url}?run=x").fill(names(3)),
            lambda: shared(f"{url}?run=there").work(),
            lambda: shared(f"{url}?run=there").perform(0),
            lambda: drained(journalled(f"{url}?run=y", names(3))),
        ]
        for use in uses:
            with pytest.raises(JournalError, match=re.escape(PARTED)):
                await use()
        with pytest.raises(OutboxError, match=re.escape(PARTED)):
            async with Sandbox() as sandbox, outbox_on(sandbox, f"{url}?outbox=x"):
                pass
        with pytest.raises(ConfigurationError, match=re.escape(PARTED)):
            async with BulkJobs.at(url, SessionManager, patience=60.0):
                pass
        assert read_status(f"{url}?run=there").total == 3
        with psycopg.connect(url) as connection:
            for name, usual in (("enable_seqscan", "on"), ("statement_timeout", "0"), ("lock_timeout", "0")):
                assert connection.execute(f"SHOW {name}".encode()).fetchone() == (usual,)
            assert connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []


async def test_pgbouncer_that_leaves_sessions_whole_will_do(server: OwnPostgres) -> None:
    """For all of them."""
    with pgbouncer(server, "session") as url:
        await shared(f"{url}?run=s").fill(names(6), chunk=2)
        assert (await shared(f"{url}?run=s").work()).counts == {S.DONE: 6}
        assert (await journalled(f"{url}?run=p", names(6))).counts == {S.DONE: 6}
        async with Sandbox() as sandbox, outbox_on(sandbox, f"{url}?outbox=x") as box:
            assert (await box.outcome(await box.put(client(1)), timeout=20.0)).status is S.DONE


def test_a_search_path_that_pgbouncer_does_not_pass_on_is_told(server: OwnPostgres) -> None:
    """With what to do instead."""
    with pgbouncer(server, "session") as url, pytest.raises(PostgresFailed, match="leave them out, and give the role"):
        connect(f"{url}?options=-csearch_path%3Dx")


async def drained(run: BulkRun) -> None:
    await run
