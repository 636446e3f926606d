"""What only a journal in PostgreSQL does: the server goes away, tables grow up, and no secret is shown."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP
from typing import Any

import psycopg
import pytest

from omeda_async import BulkRun, ConfigurationError, JournalError, Outcome, OutcomeStatus
from omeda_async._postgres_blocking import Connection, PostgresFailed, connect
from omeda_async.bulk import Item
from omeda_async.bulk.journal import postgres, postgres_link, postgres_tables, url as urls
from omeda_async.bulk.journal.interface import Entries, Kept, WriteGroup
from omeda_async.bulk.journal.postgres import PostgresBackend
from omeda_async.bulk.journal.url import JournalUrl, where_of
from omeda_async.journal import read_not_done, read_status
from tests.bulk.bulk_fakes import adds_up, positions
from tests.bulk.journal_help import (
    Place,
    Work,
    asked,
    asked_of_server,
    identity,
    journalled,
    kept_records,
    results_noted,
)
from tests.limits.postgres_service import OwnPostgres, own_postgres

S = OutcomeStatus
DONE = Kept(S.DONE, 1, '{"receipt":null,"error":null,"settled":false,"doubtful":false}')


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """Give a server of our own."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def server(own_server: OwnPostgres) -> OwnPostgres:
    """Give a server that runs, and that a test may stop."""
    if own_server.process.poll() is not None:
        own_server.start()
    own_server.signal_all(SIGCONT)
    return own_server


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


@pytest.mark.parametrize(
    ("way", "resumed"), [("stopped", False), ("stopped", True), ("killed", False), ("suspended", False)]
)
async def test_a_server_that_goes_away_stops_the_run_and_loses_nothing(
    server: OwnPostgres, monkeypatch: pytest.MonkeyPatch, way: str, resumed: bool
) -> None:
    """Nothing is sent that is not noted; every record has an outcome; once it is back, the same call goes on."""
    monkeypatch.setattr(Connection, "within", 0.2)
    url = f"{server.url}?connect_timeout=2&run={way}{resumed}"
    records = [f"record {number}" for number in range(300)]
    if resumed:
        await journalled(url, records[:100], Work(max_entries=20))
    change = {
        "stopped": lambda: server.stop(SIGINT),
        "killed": lambda: server.stop(SIGKILL),
        "suspended": lambda: server.signal_all(SIGSTOP),
    }
    work = Work(max_entries=20, concurrency=2, answer_time=at(4, change[way]))
    run = journalled(url, [*records[100:], *records[:100]], work)
    outcomes, words = await failed(run)
    assert url.rpartition("?")[0].rpartition("@")[2] in words
    assert adds_up(run, 300)
    assert positions(outcomes) == list(range(300))
    done = {outcome.record for outcome in outcomes if outcome.status is S.DONE}
    assert set(work.applied) <= done <= {*work.applied, *records[:100]}
    if way == "suspended":
        server.signal_all(SIGCONT)
    else:
        server.start()
    assert set(work.sent) <= kept_records(url)
    again = Work(max_entries=20)
    assert (await journalled(url, records, again)).counts == {S.DONE: 300}
    assert set(again.doubtful) <= set(work.sent)
    assert not set(again.sent) & set(records[:100]) or not resumed


async def test_a_connection_that_is_lost_leaves_known_what_earlier_runs_have_done(journal_url: str) -> None:
    """The server is there, and is asked again by another connection: what was done is reported as done."""
    records = [f"record {number}" for number in range(100)]
    await journalled(journal_url, records[:50], Work(max_entries=10))

    def end() -> None:
        sql = """SELECT pg_terminate_backend(server_process) FROM omeda_async_journal_runs
            WHERE journal = %(journal)s AND ended IS NULL"""
        asked(journal_url, sql)

    work = Work(max_entries=10, concurrency=1, answer_time=at(2, end))
    outcomes, words = await failed(journalled(journal_url, [*records[50:], *records[:50]], work))
    assert "connection" in words
    done = {outcome.record for outcome in outcomes if outcome.status is S.DONE}
    assert done == {*records[:50], *work.applied}
    assert {outcome.status for outcome in outcomes if outcome.record not in done} == {S.NOT_SENT}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO omeda_async_journal_runs (journal, number, server_process, version) SELECT %(journal)s, 9, 1, ''",
        "UPDATE omeda_async_journal_runs SET server_process = 1 WHERE journal = %(journal)s",
        "DELETE FROM omeda_async_journal_runs WHERE journal = %(journal)s",
    ],
    ids=["another run has begun", "by another connection of a pooler", "removed"],
)
def test_who_has_lost_the_run_writes_nothing_more(journal_url: str, sql: str) -> None:
    """Each group checks that the run is still this one's, in its own transaction."""
    backend = backend_at(journal_url)
    backend.open()
    backend.write(group_of("a"))
    asked(journal_url, sql)
    with pytest.raises(JournalError, match="another run has begun it meanwhile"):
        backend.write(group_of("b", first=1))
    backend.close()
    assert kept_records(journal_url) == {"a"}


def test_a_lock_is_free_as_soon_as_the_journal_is_closed(journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened and closed many times in a row, with no patience at all."""
    monkeypatch.setattr(postgres, "PATIENCE", 0.01)
    for number in range(5):
        backend = backend_at(journal_url)
        backend.open()
        if number == 2:
            other = backend_at(journal_url)
            with pytest.raises(JournalError, match="in use by another run"):
                other.open()
            other.close()
        backend.close()
    assert len(read_status(journal_url).runs) == 5


def test_two_runs_in_one_database_do_not_disturb_each_other(journal_url: str) -> None:
    """At the same time, and with the same records."""
    first, second = backend_at(journal_url), backend_at(f"{journal_url}-2")
    first.open()
    second.open()
    for backend in (first, second):
        written = backend.write(group_of("a", "b"))
        assert not written.known
        backend.write(WriteGroup(results=[(written.records[:1], DONE)]))
    first.close()
    assert (read_status(journal_url).running, read_status(f"{journal_url}-2").running) == (False, True)
    second.close()
    assert read_status(f"{journal_url}-2").counts == {S.DONE: 1}


def test_a_commit_waits_for_the_disk_whatever_the_database_says(journal_url: str) -> None:
    """``synchronous_commit`` is on, unless even more is asked for."""
    for given, found in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        backend = backend_at(f"{journal_url}{given}".replace("options=", f"options=-csynchronous_commit%3D{given}%20"))
        backend.open()
        assert backend._sql.execute("SHOW synchronous_commit").fetchone() == (found,)
        backend.close()


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
    ("url", "name"),
    [
        ("postgresql://u:p%40w@h:5/d?run=a%20b&sslmode=require", "postgresql://h:5/d?run=a%20b"),
        ("postgres://h/d?run=x", "postgresql://h/d?run=x"),
        ("postgresql://?run=x", "postgresql://?run=x"),
        ("postgresql://u@[::1]:5,h2/d?sslmode=require&run=x", "postgresql://[::1]:5,h2/d?run=x"),
        ("postgresql://%2Fvar%2Frun/d?run=x", "postgresql://%2Fvar%2Frun/d?run=x"),
    ],
)
def test_a_url_is_taken_apart(url: str, name: str) -> None:
    """The run is ours, the rest is for libpq, and what is shown has no user."""
    where = where_of(url)
    assert isinstance(where, JournalUrl)
    assert str(where) == name
    assert "run=" not in where.server
    assert ("sslmode=require" in url) == ("sslmode=require" in where.server)
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
        with pytest.raises(JournalError, match="begin a run with this version"):
            read_status(url)
        work = Work()
        await journalled(url, ["a", "b"], work)
        assert work.sent == ["b"]
        assert asked(url, "SELECT kind FROM omeda_async_journals") == [("run",)]
        assert len(read_status(url).runs) == 2
    for use in (lambda: read_status(url), lambda: backend_at(url).open()):
        with pytest.raises(JournalError, match=r"have format 2, and .* reads 1: upgrade"):
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


async def test_odd_texts_are_kept(place: Place) -> None:
    """A NUL and half a surrogate: JSON has a way to write the one, and the other is known by its position."""
    records = ["a\0b", "c\ud800d", "e\u2028\\u0000f"]

    def broken() -> Iterator[str]:
        yield from records
        raise LookupError("x\0\ud800")

    with pytest.raises(LookupError):
        await journalled(place, broken(), Work(answer_time=lambda _: 100.0))
    assert read_status(place).runs[0].cause in {"LookupError: x\\0\\ud800", "LookupError: x\0\\ud800"}
    statuses = set(OutcomeStatus)
    assert [one.record for one in read_not_done(place, statuses)] == [records[0], None, records[2]]
    assert (await journalled(place, records)).counts == {S.DONE: 3}


def test_what_is_in_flight_for_a_run_that_was_late_is_one_record_more(journal_url: str) -> None:
    """The same record twice in one group or run: each has its number, and the journal its key once."""
    backend = backend_at(journal_url)
    backend.open()
    records = [*backend.write(group_of("a", "b", "a")).records, *backend.write(group_of("b", first=3)).records]
    assert len(set(records)) == 4
    backend.write(WriteGroup(results=[(records, DONE)]))
    backend.end(1, {"done": 4}, None)
    backend.close()
    assert read_status(journal_url).total == 4
    again = backend_at(journal_url)
    assert again.open().records >= 2
    assert [one.place for one in again.write(group_of("c", "a", "b")).known] == [1, 2]
    again.close()
    assert read_status(journal_url).counts == {S.DONE: 4}
    assert read_status(journal_url).repeats == 2


def test_a_group_costs_what_it_costs_where_nothing_is_known_of_its_run(journal_url: str) -> None:
    """PostgreSQL, whose statistics know of other runs only, reads none of a run's records but those asked for."""
    names = [f"n{number}" for number in range(600)]
    backend = backend_at(journal_url)
    for url in (f"{journal_url}-known", journal_url):
        backend = backend_at(url)
        backend.open()
        records = backend.write(group_of(*names)).records
        each: list[tuple[Sequence[int], Kept]] = [
            ([record], Kept(S.DONE, 1, f'{{"receipt":{record}}}')) for record in records
        ]
        backend.write(WriteGroup(results=each))
        if url != journal_url:
            backend.end(0, {}, None)
            backend._sql.execute("ANALYZE omeda_async_journal_records; ANALYZE omeda_async_journal_answers")
            backend.close()
    last = records[-1]
    prints = b"".join(name.encode().ljust(16) for name in names[:3])
    values = {"fingerprints": prints, "count": 3, "journal": backend._journal}
    for sql, given in (
        (postgres._NOTE, [[last - 2], [last], [1], [1], [1]]),
        (postgres_link._FIND, values),
        (postgres._FORGET, [[last]]),
    ):
        told = [row[0] for row in backend._sql.execute(f"EXPLAIN (ANALYZE) {sql}".encode(), given)]
        assert [line for line in told if "actual time" in line]
        assert not [line for line in told if "Removed by" in line or "rows=600" in line.partition("(actual")[2]]
    backend.close()


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


@pytest.mark.parametrize("when", ["INITIALLY IMMEDIATE", "INITIALLY DEFERRED"])
def test_a_group_of_which_anything_fails_is_not_there(journal_url: str, when: str) -> None:
    """Whether the database refuses an outcome, whose answer is not waited for, or only the commit: it is told."""
    backend = backend_at(journal_url)
    backend.open()
    records = backend.write(group_of("a", "b")).records
    for statement in (
        """CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE 'no room for this'; END $$""",
        f"""CREATE CONSTRAINT TRIGGER refused_{records[0]} AFTER UPDATE ON omeda_async_journal_records
            DEFERRABLE {when} FOR EACH ROW WHEN (NEW.id = {records[0]}) EXECUTE FUNCTION pg_temp.refuse()""",
    ):
        backend._sql.execute(statement.encode())
    group = group_of("c", first=2)
    group.results = [(records, DONE)]
    with pytest.raises(JournalError, match="no room for this"):
        backend.write(group)
    assert (kept_records(journal_url), results_noted(journal_url)) == ({"a", "b"}, 0)
    backend._sql.execute(f"DROP TRIGGER refused_{records[0]} ON omeda_async_journal_records".encode())
    backend.close()
