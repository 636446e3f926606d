"""Journals kept in PostgreSQL: what a run writes, a group in one transaction.

All of it goes through the one connection that holds the run's lock: who has lost it writes nothing more.
"""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any, Final
from weakref import finalize

import orjson

from omeda_async._postgres_blocking import Connection, PostgresFailed, failing, transaction
from omeda_async._version import __version__
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import AGAIN, Aside, Entries, Kept, Known, Opened, WriteGroup, Written
from omeda_async.bulk.journal.postgres_link import Stored, check_identity, find, opened, stored_at, usable
from omeda_async.bulk.journal.postgres_tables import ids_of, make_tables
from omeda_async.bulk.journal.ranges import ranges
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError

PATIENCE: Final = 1.0
"""Seconds in which the server lets go of a run that was just killed."""
_TAKEN: Final = "55P03"
_SERVER: Final = """
SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_setting('synchronous_commit')
"""
_BEGIN: Final = "INSERT INTO omeda_async_journals (name, identity, salt) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_LOCK: Final = "SELECT pg_advisory_lock('omeda_async_journals'::regclass::oid::bigint::bit(32)::int, %s)"
_UNLOCK: Final = "SELECT pg_advisory_unlock_all()"
_RECENT: Final = """
SELECT coalesce(sum(recent), 0)::bigint, coalesce(extract(epoch FROM clock_timestamp() - max(seen)), 0)::float8
FROM omeda_async_journal_runs WHERE journal = %s AND seen > clock_timestamp() - make_interval(secs => %s)
"""
# A record that came again too late to be recognised was sent again; from here on it counts as what it is.
_SET_LATE_REPEATS_ASIDE: Final = """
WITH late AS (
    DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s AND octet_length(fingerprint) > 16 RETURNING *
)
INSERT INTO omeda_async_journal_asides (journal, position, run, repeats, status, attempts, answer)
SELECT journal, position, (SELECT max(number) FROM omeda_async_journal_runs WHERE journal = %(journal)s), true,
    status, attempts, answer FROM late WHERE status IS NOT NULL
ON CONFLICT (journal, position) DO UPDATE SET repeats = true, run = EXCLUDED.run, status = EXCLUDED.status,
    attempts = EXCLUDED.attempts, answer = EXCLUDED.answer, record = NULL
"""
_LAST_IDS: Final = """
SELECT coalesce(max(id), %(first)s),
    (SELECT coalesce(max(id), %(first)s) FROM omeda_async_journal_answers WHERE id BETWEEN %(first)s AND %(last)s)
FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s
"""
_BEGIN_RUN: Final = """
INSERT INTO omeda_async_journal_runs (journal, number, server_process, version)
SELECT %(journal)s, coalesce(max(number), 0) + 1, pg_backend_pid(), %(version)s
FROM omeda_async_journal_runs WHERE journal = %(journal)s RETURNING number
"""
# Functions for JSON refuse a NUL that is written as \\u0000, others do not; of "[position,record]" the comma counts.
_POSITION: Final = "substr(entry::text, 2, strpos(entry::text, ',') - 2)::bigint"
_ENTRY: Final = f"{_POSITION}, left(substr(entry::text, strpos(entry::text, ',') + 1), -1)"
_INSERT_RECORDS: Final = """
WITH new AS (
    INSERT INTO omeda_async_journal_records (journal, fingerprint, id, position, record)
    SELECT %(journal)s, substr(%(fingerprints)b, 16 * place::int - 15, 16), %(first)s + place - 1, <entry>
    FROM json_array_elements(%(entries)s::json) WITH ORDINALITY AS given (entry, place)
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT count(*) FROM new
""".replace("<entry>", _ENTRY)
_INSERT_LATE: Final = """
INSERT INTO omeda_async_journal_records (journal, fingerprint, id, position, record)
SELECT %(journal)s, substr(%(fingerprints)b, 16 * place::int - 15, 16) || int8send(%(first)s + place - 1),
    %(first)s + place - 1, <entry>
FROM json_array_elements(%(entries)s::json) WITH ORDINALITY AS given (entry, place)
WHERE place - 1 <> ALL(%(known)s) AND NOT EXISTS (
    SELECT FROM omeda_async_journal_records AS r WHERE r.id = %(first)s + place - 1
)
""".replace("<entry>", _ENTRY)
_MOVE: Final = """
UPDATE omeda_async_journal_records AS r SET (position, record) = ROW (<entry>)
FROM json_array_elements(%(entries)s::json) WITH ORDINALITY AS given (entry, place)
WHERE r.fingerprint = substr(%(fingerprints)b, 16 * place::int - 15, 16) AND r.journal = %(journal)s
    AND r.id + 0 <= %(last)s AND r.position > <position>
""".replace("<entry>", _ENTRY).replace("<position>", _POSITION)
_NOTE: Final = """
UPDATE omeda_async_journal_records AS r SET status = t.status, attempts = t.attempts, answer = t.answer
FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::int[], %s::bigint[])
    AS t (first, last, status, attempts, answer)
WHERE r.id BETWEEN t.first AND t.last
"""
_FORGET: Final = """
UPDATE omeda_async_journal_records SET status = NULL, attempts = NULL, answer = NULL WHERE id = ANY(%s)
"""
_INSERT_ANSWERS: Final = """
INSERT INTO omeda_async_journal_answers (id, answer) SELECT t.* FROM unnest(%s::bigint[], %s::text[]) AS t
"""
_INSERT_ASIDES: Final = """
INSERT INTO omeda_async_journal_asides (journal, run, position, repeats, status, attempts, answer, record)
SELECT %s, %s, t.* FROM unnest(%s::bigint[], %s::bool[], %s::smallint[], %s::int[], %s::bigint[], %s::text[]) AS t
ON CONFLICT (journal, position) DO UPDATE SET run = EXCLUDED.run, repeats = EXCLUDED.repeats,
    status = EXCLUDED.status, attempts = EXCLUDED.attempts, answer = EXCLUDED.answer, record = EXCLUDED.record
"""
# Nothing counts that is written without the lock: after another run has begun, or through a pooler's other connection.
_SO_FAR: Final = """
UPDATE omeda_async_journal_runs AS mine SET requests = %(requests)s, recent = %(recent)s,
    seen = CASE WHEN %(now)s THEN clock_timestamp() ELSE seen END
WHERE journal = %(journal)s AND number = %(run)s AND server_process = pg_backend_pid() AND NOT EXISTS (
    SELECT FROM omeda_async_journal_runs WHERE journal = %(journal)s AND number > %(run)s
)
RETURNING number
"""
_END: Final = """
UPDATE omeda_async_journal_runs SET ended = clock_timestamp(), complete = %s, counts = %s, cause = %s
WHERE journal = %s AND number = %s
"""
_DROP_ASIDES: Final = "DELETE FROM omeda_async_journal_asides WHERE journal = %s AND run <> %s"
_STORED_REMEMBERED: Final = 1000


class PostgresBackend:
    """Keeps the journal of a run in PostgreSQL; a :class:`~omeda_async.bulk.journal.interface.Backend`.

    Args:
        url: The database, and the name of the run.
        identity: Whose run it is.
        lookback: Seconds that requests count as made of late.
    """

    _sql: Connection
    _journal: int
    _run: int
    _last: int
    """The last record of earlier runs."""
    _next_record: int
    _next_answer: int

    def __init__(self, url: JournalUrl, identity: Identity, lookback: float = 0.0) -> None:
        self._url, self.place = url, str(url)
        self._identity, self._lookback = identity, lookback
        self._stack = ExitStack()
        self._numbers: dict[str, int] = {}
        """Of answers."""
        self._so_far: dict[str, Any] = {"requests": 0, "recent": 0}

    def open(self) -> Opened:
        """Connect, make what is missing, take the lock, and note that a run begins."""
        self._sql = self._stack.enter_context(opened(self._url))
        self._stack.callback(self._unlock)
        finalize(self, self._sql.close)  # also where nobody closes the journal
        with usable(self._url), failing(self._sql):
            self._check_server()
            make_tables(self._sql, self._url)
        with usable(self._url), transaction(self._sql):
            return self._open()

    def write(self, group: WriteGroup) -> Written:
        """Write a group in one transaction."""
        with usable(self._url), transaction(self._sql, at_once=True):
            return self._write(group)

    def find(self, fingerprints: bytes) -> Sequence[Known]:
        """Tell what earlier runs have noted of records, by a new connection if the old one is lost."""
        if not self._sql.closed:
            with usable(self._url), failing(self._sql):
                return find(self._sql, self._journal, fingerprints, self._last)
        with opened(self._url) as connection:
            return find(connection, self._journal, fingerprints, self._last)

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        """Note how the run ended."""
        with usable(self._url), transaction(self._sql):
            self._end(requests, counts, cause)

    def close(self) -> None:
        """Let go of the lock, and of the connection."""
        self._stack.close()

    def _unlock(self) -> None:
        """Let go of the lock before the server notices that the connection is closed."""
        with suppress(PostgresFailed), failing(self._sql):
            if not self._sql.closed:
                self._sql.execute(_UNLOCK)

    def _check_server(self) -> None:
        standby, encoding, commit = self._sql.execute(_SERVER).fetchone() or (True, "", "")
        if standby:
            raise PostgresFailed("the server is a standby, which cannot be written: give the address of its primary")
        if encoding != "UTF8":
            raise PostgresFailed(f"the database's encoding is {encoding}: give one whose encoding is UTF8")
        if commit != "remote_apply":
            self._sql.execute("SET synchronous_commit = on")

    def _open(self) -> Opened:
        stored = self._locked()
        check_identity(stored, self._identity, self._url)
        journal = {"journal": stored.id}
        self._journal = stored.id
        self._sql.execute(_SET_LATE_REPEATS_ASIDE, journal)
        ids = ids_of(stored.id)
        self._last, answers = self._row(_LAST_IDS, ids)
        requests, seconds_ago = self._row(_RECENT, (stored.id, self._lookback))
        (self._run,) = self._row(_BEGIN_RUN, {**journal, "version": __version__})
        self._so_far |= {**journal, "run": self._run}
        self._next_record, self._next_answer = self._last + 1, answers + 1
        numbered = self._last - ids["first"]  # to count them would take a while where there are many
        return Opened(stored.salt, requests, max(0.0, seconds_ago), numbered)

    def _locked(self) -> Stored:
        """Begin the journal if there is none, and take its lock, which goes with the connection."""
        salt = secrets.token_bytes(32) if self._identity.pii == "hash" else None
        kept = orjson.dumps(self._identity.kept(salt)).decode()
        self._sql.execute(_BEGIN, (self._url.run, kept, salt))
        stored = stored_at(self._sql, self._url)
        if stored is None:
            raise PostgresFailed("it was removed in this moment")
        self._sql.execute("SELECT set_config('lock_timeout', %s, true)", (f"{PATIENCE * 1000:.0f}ms",))
        try:
            with failing(self._sql):
                self._sql.execute(_LOCK, (stored.id,))
        except PostgresFailed as error:
            if error.code != _TAKEN:
                raise
            raise JournalError(
                f"the journal {self._url} is in use by another run; wait until that has ended. Of one whose host is "
                "gone the database lets go within two minutes"
            ) from None
        self._sql.execute("SET LOCAL lock_timeout = 0")
        return stored

    def _row(self, sql: str, values: Any) -> tuple[Any, ...]:
        row = self._sql.execute(sql.encode(), values).fetchone()
        if row is None:
            raise PostgresFailed("rows are missing")
        return row

    def _end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        self._so_far["requests"] = requests
        self._note_so_far(now=False)
        if cause is None:
            self._sql.execute(_DROP_ASIDES, (self._journal, self._run))
        why = None if cause is None else cause.replace("\0", "\\0")
        told = orjson.dumps(counts).decode()
        self._sql.execute(_END, (cause is None, told, why, self._journal, self._run))

    def _note_so_far(self, *, now: bool) -> None:
        if self._sql.execute(_SO_FAR, {**self._so_far, "now": now}).fetchone() is None:
            raise PostgresFailed(
                "another run has begun it meanwhile, or it was removed, or what stands between hands out the server's "
                "connections by transaction: give an address of the server itself, or of a pooler of sessions"
            )

    def _write(self, group: WriteGroup) -> Written:
        records: Sequence[int] = ()
        known: Sequence[Known] = ()
        if group.results:
            self._note(group.results)
        if group.entries.positions:
            records, known = self._enter(group.entries)
        again = [one.record for one in known if one.place < group.sent and one.kept and one.kept.status in AGAIN]
        if again:
            self._sql.execute(_FORGET, (again,))
        if group.left:
            stand, left = {one.place for one in known}, enumerate(group.left, group.sent)
            self._note([([records[place]], kept) for place, kept in left if place not in stand])
        if group.asides:
            self._set_aside(group.asides)
        if group.requests is not None:
            self._so_far |= {"requests": group.requests, "recent": group.recent}
        self._note_so_far(now=group.requests is not None)
        return Written(records, known)

    def _enter(self, entries: Entries) -> tuple[Sequence[int], Sequence[Known]]:
        """Write down the records that are new; give the numbers of all, and what is known about the others."""
        positions, fingerprints, text, _ = entries
        found = find(self._sql, self._journal, fingerprints, self._last)
        records: Sequence[int] = range(self._next_record, self._next_record + len(positions))
        values = {"journal": self._journal, "fingerprints": fingerprints, "entries": text, "last": self._last}
        if len(found) < len(positions):
            self._next_record += len(positions)  # the numbers of those found are left out
            values["first"] = records[0]
            (new,) = self._row(_INSERT_RECORDS, values)
            if new + len(found) < len(positions):  # some came before in this run, too long ago to be recognised
                self._sql.execute(_INSERT_LATE, {**values, "known": [one.place for one in found]})
        if found:
            records = list(records)
            for one in found:
                records[one.place] = one.record
            if any(positions[one.place] < one.position for one in found):
                self._sql.execute(_MOVE, values)
        return records, found

    def _note(self, results: Sequence[tuple[Sequence[int], Kept]]) -> None:
        self._store([kept.stored for _, kept in results])
        rows = [
            (first, last, STATUS_CODES[kept.status], kept.attempts, self._numbers[kept.stored])
            for records, kept in results
            for first, last in ranges(records)
        ]
        if rows:
            self._sql.execute(_NOTE, [*map(list, zip(*rows, strict=True))])

    def _set_aside(self, asides: Sequence[Aside]) -> None:
        self._store([one.kept.stored for one in asides])
        rows = {
            position: (
                *(position, entry is None, STATUS_CODES[kept.status], kept.attempts, self._numbers[kept.stored]),
                None if entry is None else entry[entry.index(",") + 1 : -1],
            )
            for position, kept, entry in asides
        }
        columns = map(list, zip(*rows.values(), strict=True))
        self._sql.execute(_INSERT_ASIDES, (self._journal, self._run, *columns))

    def _store(self, texts: Sequence[str]) -> None:
        """Write what is stored of results, each text once."""
        if len(self._numbers) > _STORED_REMEMBERED:
            self._numbers.clear()
        if new := [text for text in dict.fromkeys(texts) if text not in self._numbers]:
            numbers = range(self._next_answer, self._next_answer + len(new))
            self._sql.execute(_INSERT_ANSWERS, (list(numbers), new))
            self._numbers.update(zip(new, count(self._next_answer)))
            self._next_answer += len(new)
