"""What only a run with a journal in PostgreSQL meets: the server goes away, and others want the same run."""

from collections.abc import Iterator, Sequence
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP
from typing import Any

import pytest

from omeda_async import JournalError, OutcomeStatus
from omeda_async._postgres_blocking import Connection
from omeda_async.bulk.journal import postgres_link, postgres_lock, postgres_results
from omeda_async.bulk.journal.interface import Kept, WriteGroup
from omeda_async.journal import read_not_done, read_status
from tests.bulk.bulk_fakes import adds_up, positions
from tests.bulk.journal_help import (
    Place,
    Work,
    asked,
    journalled,
    kept_records,
    results_noted,
)
from tests.bulk.postgres_journals import DONE, at, backend_at, failed, group_of
from tests.limits.postgres_service import OwnPostgres

S = OutcomeStatus


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
    assert url in words
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
    monkeypatch.setattr(postgres_lock, "PATIENCE", 0.01)
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
    prints = b"".join(name.encode().ljust(16) for name in names[:300])
    values = {"fingerprints": prints, "journal": backend._journal}
    looked_up: list[tuple[str, Any]] = [(postgres_link._FIND, values | {"count": count}) for count in (3, 300)]
    for sql, given in (
        *looked_up,
        (postgres_results.NOTE, [[last - 2], [last], [1], [1], [1]]),
        (postgres_results.FORGET, [[last]]),
    ):
        told = [row[0] for row in backend._sql.execute(f"EXPLAIN (ANALYZE) {sql}".encode(), given)]
        assert [line for line in told if "actual time" in line]
        assert not [line for line in told if "Removed by" in line or "rows=600" in line.partition("(actual")[2]]
    backend.close()


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
