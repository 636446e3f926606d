"""Where in PostgreSQL a journal may be: URLs, roles, tables that grow up; and no secret is shown."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from omeda_async import ConfigurationError, JournalError, OutcomeStatus
from omeda_async._postgres_blocking import PostgresFailed, connect
from omeda_async.bulk.journal import postgres_tables, url as urls
from omeda_async.bulk.journal.postgres import PostgresBackend
from omeda_async.bulk.journal.url import JournalUrl, where_of
from omeda_async.journal import read_not_done, read_status
from tests.bulk.journal_help import (
    Work,
    asked,
    asked_of_server,
    journalled,
)
from tests.bulk.postgres_journals import at_database, backend_at, failed, group_of
from tests.bulk.shared_help import shared, work_of
from tests.limits.postgres_service import OwnPostgres

S = OutcomeStatus


def test_an_error_shows_nothing_of_a_row_or_of_the_password(journal_url: str) -> None:
    """PostgreSQL tells the row that it refuses; of that only the main sentence is handed on."""
    where = journal_url.replace("@", ":hunter2@", 1)
    backend = backend_at(where)
    backend.open()
    like = "(LIKE omeda_async_journal_records INCLUDING ALL, CHECK (journal < 0))"
    backend._sql.execute(f"CREATE TEMP TABLE omeda_async_journal_records {like}".encode())
    with pytest.raises(JournalError, match="violates check constraint") as caught:
        backend.write(group_of("jane@example.com"))
    backend.close()
    texts = [str(caught.value), repr(caught.value), pickle.dumps(caught.value).decode("latin1"), repr(backend._url)]
    assert not [text for text in texts if "jane" in text or "hunter2" in text]
    assert caught.value.__cause__ is None


async def test_the_password_is_in_no_repr_log_or_error(
    server: OwnPostgres, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it goes well nor when it does not, and not where libpq repeats it."""
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("postgres@", "postgres:hunter2@") + "?run=secret"
    run = journalled(url, ["a"])
    await run
    texts = [repr(run), repr(run.__dict__), repr(read_status(url)), caplog.text]
    for wrong in (url.replace("/postgres?", "/hunter2?"), url.replace(f":{server.port}", ":1")):
        _, words = await failed(journalled(wrong, ["a"]))
        texts.append(words.replace("/hunter2?", "").replace('"***"', ""))
    monkeypatch.setattr(psycopg.Connection, "connect", _repeating)
    with pytest.raises(PostgresFailed) as caught:
        connect(url)
    texts.append(str(caught.value))
    assert not [text for text in texts if "hunter2" in text]


def _repeating(*_: object, **options: object) -> None:
    raise psycopg.OperationalError(f"no, not with {options['password']}")


@pytest.mark.parametrize(
    ("url", "server", "name"),
    [
        (
            "postgresql://u:p%40w@h:5/d?run=a%20b&sslmode=require",
            "postgresql://u:p%40w@h:5/d?sslmode=require",
            "postgresql://u@h:5/d?sslmode=require&run=a%20b",
        ),
        ("postgres://h/d?run=x", "postgres://h/d", "postgresql://h/d?run=x"),
        ("postgresql://?run=x", "postgresql://", "postgresql://?run=x"),
        ("postgresql:///d?run=x", "postgresql:///d", "postgresql:///d?run=x"),
        ("postgresql:///?host=/tmp&run=x", "postgresql:///?host=/tmp", "postgresql:///?host=/tmp&run=x"),
        (
            "postgresql://u@[::1]:5,h2/d?sslmode=require&run=x",
            "postgresql://u@[::1]:5,h2/d?sslmode=require",
            "postgresql://u@[::1]:5,h2/d?sslmode=require&run=x",
        ),
        (
            "postgresql:///d?user=u&password=p%40w&run=x&sslpass%77ord=p%40w&sslpassword=p%40w",
            "postgresql:///d?user=u&password=p%40w&sslpass%77ord=p%40w&sslpassword=p%40w",
            "postgresql:///d?user=u&run=x",
        ),
        ("postgresql://%2Fvar%2Frun/d?run=x", "postgresql://%2Fvar%2Frun/d", "postgresql://%2Fvar%2Frun/d?run=x"),
    ],
)
def test_a_url_is_taken_apart(url: str, server: str, name: str) -> None:
    """The run is ours, the rest is libpq's, and what is shown has no password; without a host it is this machine's."""
    where = where_of(url)
    assert isinstance(where, JournalUrl)
    assert (str(where), where.server) == (name, server)
    assert "p%40w" not in repr(where)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://u:hunter2@h/d?run=",
        "postgresql://u:hunter2@h/d?run=a&run=b",
        "postgresql://u:hunter2@h/d?run=a%0Ab",
        f"postgresql://u:hunter2@h/d?run={'x' * 201}",
        "postgresql://u:hunter2/3@h/d?run=x",
        "postgresql://u:12?hunter2@h/d?run=x",
        "postgresql://u:12@hunter2@h/d?run=x",
        "postgresql://u:hunter2#3@h/d?run=x",
        "postgresql://u:hunter2@h:port/d?run=x",
        "postgresql:/u:hunter2@h/d?run=x",
        Path("postgresql://u:hunter2@h/d?run=x"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_at_once(url: Any) -> None:
    """When the run is made, or the journal read; what is special in a password is not shown."""
    for use in (lambda: journalled(url, []), lambda: read_status(url), lambda: next(read_not_done(url))):
        with pytest.raises(ConfigurationError, match="journal") as caught:
            use()
        assert "hunter2" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read or sent."""
    monkeypatch.setattr(urls, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'omeda-async\[postgres\]'"):
        _ = journalled("postgresql://h/d?run=x", [])


def test_a_journal_that_nobody_has_begun_cannot_be_read(server: OwnPostgres, journal_url: str) -> None:
    """Neither where there are tables nor where there are none; reading makes none."""
    server.says("CREATE DATABASE empty")
    for url in (journal_url, at_database(server, "empty")):
        with pytest.raises(JournalError, match="no run of this name"):
            read_status(url)
        with pytest.raises(JournalError, match="no run of this name"):
            next(read_not_done(url))
    assert asked_of_server(url, "SELECT count(*) FROM pg_class WHERE relname LIKE 'omeda%'") == [(0,)]


async def test_whoever_asks_for_a_run_that_is_not_there_is_told_which_are(journal_url: str) -> None:
    """The ten that were begun last, as a name is easily mistyped."""
    base = journal_url.partition("run=")[0] + "run="
    for place in range(2):
        await journalled(f"{base}r{place}", [])
    with pytest.raises(JournalError, match=r"removed; (there are|the last ones there): r1, r0"):
        read_status(journal_url)
    for place in range(2, 11):
        await journalled(f"{base}r{place}", [])
    with pytest.raises(JournalError, match=r"; the last ones there: r10, .*, r1$"):
        read_status(journal_url)


async def test_tables_of_an_older_format_are_brought_up_to_date(
    server: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next run that begins; its journals go on. Those of a newer one are refused by all who read or write."""
    server.says("CREATE DATABASE grown")
    url = at_database(server, "grown")
    await journalled(url, ["a"])
    newer = (*postgres_tables.STEPS, "ALTER TABLE omeda_async_journals ADD COLUMN kind text NOT NULL DEFAULT 'run'")
    with monkeypatch.context() as patch:
        patch.setattr(postgres_tables, "STEPS", newer)
        with pytest.raises(JournalError, match="begin a run or a worker with this version"):
            read_status(url)
        work = Work()
        await journalled(url, ["a", "b"], work)
        assert work.sent == ["b"]
        assert asked(url, "SELECT kind FROM omeda_async_journals") == [("run",)]
        assert len(read_status(url).runs) == 2
    own = len(postgres_tables.STEPS)
    for use in (lambda: read_status(url), lambda: backend_at(url).open()):
        with pytest.raises(JournalError, match=rf"have format {own + 1}, and .* reads {own}: upgrade"):
            use()


def test_runs_that_make_the_tables_at_the_same_time_do_not_meet(server: OwnPostgres) -> None:
    """Four that are the first in a database, at once: each begins its journal."""
    server.says("CREATE DATABASE fresh")
    backends = [backend_at(f"{at_database(server, 'fresh')}{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        opened = [*pool.map(PostgresBackend.open, backends)]
    for backend in backends:
        backend.close()
    assert [one.records for one in opened] == [0] * 4


async def test_a_role_that_may_only_write_rows_can_run_where_the_tables_are(server: OwnPostgres) -> None:
    """Nothing is made that is there, and one that may only read can read."""
    server.says("CREATE DATABASE roles")
    url = at_database(server, "roles")
    await journalled(url, ["a"])
    for statement in (
        "CREATE ROLE writer LOGIN",
        "CREATE ROLE viewer LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO viewer",
    ):
        asked_of_server(url, statement)
    assert (await journalled(url.replace("postgres@", "writer@"), ["a", "b"])).counts == {S.DONE: 2}
    assert read_status(url.replace("postgres@", "viewer@")).counts == {S.DONE: 2}
    _, words = await failed(journalled(url.replace("postgres@", "viewer@"), ["a"]))
    assert "permission denied" in words


@pytest.mark.parametrize(("right", "table"), [("INSERT", "answers"), ("UPDATE", "records")])
async def test_a_role_that_could_not_note_what_became_of_a_record_sends_nothing(
    server: OwnPostgres, right: str, table: str
) -> None:
    """Neither in a plain run nor in a shared one: that is known before."""
    role = f"lacks_{table}"
    server.says(f"CREATE DATABASE {role}")
    url = at_database(server, role)
    await shared(url).fill(["a"])
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE {right} ON omeda_async_journal_{table} FROM {role}",
    ):
        asked_of_server(url, statement)
    work, theirs = work_of(), url.replace("postgres@", f"{role}@")
    words = f"no right to {right} on omeda_async_journal_{table}"
    with pytest.raises(JournalError, match=words):
        await shared(theirs, work).work()
    assert words in (await failed(journalled(f"{theirs}-plain", ["a"], work)))[1]
    assert not work.sent


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("latin", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'", "encoding is LATIN1"),
        ("postgres?options=-cdefault_transaction_read_only%3Don", "SELECT", "read-only"),
        ("nowhere", "SELECT", "does not exist"),
    ],
)
async def test_a_database_that_cannot_hold_a_journal_is_told_before_anything_is_sent(
    server: OwnPostgres, name: str, make: str, reason: str
) -> None:
    """Each for its own reason."""
    server.says(make)
    work = Work()
    url = at_database(server, name)
    _, words = await failed(journalled(url, ["a"], work))
    assert reason in words
    assert work.sent == []


async def test_what_the_docs_say_removes_one_run_and_no_other(journal_url: str) -> None:
    """Its records, receipts and errors are gone from every table; the run beside it is as it was."""
    other = f"{journal_url}-other"
    for url in (other, journal_url):
        await journalled(url, ["a", "b", "a", "bad"])
    before = read_status(other)
    text = (Path(__file__).parents[3] / "docs" / "journal.md").read_text("utf-8")
    statement = text.partition("```sql\n")[2].partition("```")[0]
    ((number,),) = asked(journal_url, "SELECT %(journal)s::int")
    asked_of_server(journal_url, statement.replace("spring-cleaning", journal_url.rpartition("run=")[2]))
    left = "SELECT count(*) FROM omeda_async_journal_{} WHERE {} = {}"
    tables = (("runs", "journal"), ("asides", "journal"), ("records", "journal"), ("answers", "id >> 40"))
    assert [asked_of_server(journal_url, left.format(*one, number)) for one in tables] == [[(0,)]] * 4
    assert read_status(other) == before
    assert (await journalled(journal_url, ["a"])).counts == {S.DONE: 1}
