"""A database that is away when a process begins to work is waited for, as one that goes away later."""

import asyncio
import logging

import psycopg
import pytest

from omeda_async import JournalError, OutcomeStatus, _postgres_blocking as postgres_blocking
from omeda_async._postgres_blocking import PostgresFailed, connect
from omeda_async.bulk.journal import postgres_link
from omeda_async.bulk.shared import run as shared_run
from tests.bulk.journal_help import journalled
from tests.bulk.postgres_journals import at_database
from tests.bulk.shared_help import names, shared
from tests.limits.postgres_service import AwayAtFirst, OwnPostgres

S = OutcomeStatus


@pytest.mark.parametrize("times", [1, 5])
async def test_a_database_that_is_away_at_first_is_waited_for(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """One line of the log says so, and all is sent."""
    await shared(journal_url).fill(names(6), chunk=2)
    monkeypatch.setattr(postgres_link, "connect", AwayAtFirst(times))
    with caplog.at_level(logging.WARNING, "omeda_async"):
        report = await shared(journal_url).work()
    assert (report.counts, report.complete) == ({S.DONE: 6}, True)
    assert caplog.text.count("the database is away, and waited for") == 1


async def test_a_database_that_stays_away_is_given_up_with_its_reason(
    server: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After as long as later on."""
    monkeypatch.setattr(shared_run, "OUTAGE", 5.0)
    url = at_database(server, "postgres")
    server.stop()
    began = asyncio.get_running_loop().time()
    with pytest.raises(JournalError, match="Connection refused"):
        await shared(url).work()
    assert asyncio.get_running_loop().time() - began > 5.0


@pytest.mark.parametrize(
    ("user", "database", "words"),
    [("postgres", "nowhere", "does not exist"), ("nobody", "postgres", "does not exist")],
)
async def test_what_no_waiting_would_change_is_told_at_once(
    server: OwnPostgres, user: str, database: str, words: str
) -> None:
    """A database or a role that there is not."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(JournalError, match=words):
        await shared(f"postgresql://{user}@127.0.0.1:{server.port}/{database}?run=x").work()
    assert asyncio.get_running_loop().time() - began < 1.0


@pytest.mark.parametrize(
    ("text", "is_away"),
    [
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved for non-replication superuser connections", True),
        ("FATAL:  server login has been failing, try again later (server_login_retry)", True),
        ("timeout expired", True),
        ('FATAL:  password authentication failed for user "ops"', False),
        ("fe_sendauth: no password supplied", False),
        ('root certificate file "x" does not exist', False),
    ],
)
def test_what_a_server_says_tells_whether_it_may_be_there_in_a_while(
    monkeypatch: pytest.MonkeyPatch, text: str, is_away: bool
) -> None:
    """The library of its client gives no code for it."""

    def refuse(**_: object) -> None:
        raise psycopg.OperationalError(text)

    monkeypatch.setattr(postgres_blocking.Connection, "connect", refuse)
    with pytest.raises(PostgresFailed) as caught:
        connect("postgresql://127.0.0.1/x")
    assert caught.value.is_away is is_away


@pytest.mark.parametrize("named", [0, 1], ids=["no such run", "a plain run"])
async def test_a_run_that_nobody_has_begun_to_fill_is_waited_for(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, named: int
) -> None:
    """Two programs may start together; a run that is no shared one is told at once."""
    monkeypatch.setattr(shared_run, "OUTAGE", 3.0)
    began = asyncio.get_running_loop().time()
    if named:
        await journalled(journal_url, names(2))
        with pytest.raises(JournalError, match="that of a plain run"):
            await shared(journal_url).work()
        assert asyncio.get_running_loop().time() - began < 1.0
        return
    with pytest.raises(JournalError, match="nobody has filled a run of this name"):
        await shared(journal_url).work()
    assert asyncio.get_running_loop().time() - began > 3.0
    assert caplog.text.count("the run is not there yet, and waited for, for 3 s at the most: there is no journal") == 1
    working = asyncio.create_task(shared(journal_url).work())
    await asyncio.sleep(1.5)
    await shared(journal_url).fill(names(6), chunk=2)
    report = await working
    assert (report.counts, report.complete) == ({S.DONE: 6}, True)
