"""Journals kept in PostgreSQL: what a run writes, a group in one transaction.

All of it goes through the one connection that holds the run's lock: who has lost it writes nothing more.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from omeda_async._postgres_blocking import Connection, failing, row_of, transaction
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Entries, Known, Opened, WriteGroup, Written
from omeda_async.bulk.journal.postgres_link import find, opened, usable
from omeda_async.bulk.journal.postgres_lock import (
    connected,
    locked,
)
from omeda_async.bulk.journal.postgres_results import FORGET, Results
from omeda_async.bulk.journal.postgres_run import NUMBER_OF, Run
from omeda_async.bulk.journal.postgres_tables import SENDING, check_rights, ids_of
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError

_RECENT: Final = """
SELECT coalesce(sum(recent), 0)::bigint, coalesce(extract(epoch FROM clock_timestamp() - max(seen)), 0)::float8
FROM omeda_async_journal_runs WHERE journal = %s AND seen > clock_timestamp() - make_interval(secs => %s)
"""
# A record that came again too late to be recognised was sent again; from here on it counts as what it is.
_SET_LATE_REPEATS_ASIDE: Final = """
WITH late AS (
    DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s AND octet_length(fingerprint) > 16 RETURNING *
)
INSERT INTO omeda_async_journal_asides (journal, position, run, repeats, status, attempts, answer, known_by)
SELECT journal, position, (SELECT max(number) FROM omeda_async_journal_runs WHERE journal = %(journal)s), true,
    status, attempts, answer, <known_by> FROM late WHERE status IS NOT NULL
ON CONFLICT (journal, run, position) DO UPDATE SET repeats = true, status = EXCLUDED.status,
    attempts = EXCLUDED.attempts, answer = EXCLUDED.answer, record = NULL, known_by = EXCLUDED.known_by
""".replace("<known_by>", NUMBER_OF)
_LAST_IDS: Final = """
SELECT coalesce(max(id), %(first)s),
    (SELECT coalesce(max(id), %(first)s) FROM omeda_async_journal_answers WHERE id BETWEEN %(first)s AND %(last)s)
FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s
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


class PostgresBackend:
    """Keeps the journal of a run in PostgreSQL; a :class:`~omeda_async.bulk.journal.interface.Backend`.

    Args:
        url: The database, and the name of the run.
        identity: Whose run it is.
        lookback: Seconds that requests count as made of late.
    """

    lapsed: None = None
    """Who has lost the lock can write nothing more, and so sends nothing more."""
    _sql: Connection
    _journal: int
    _run: Run
    _last: int
    """The last record of earlier runs."""
    _next_record: int
    _next_answer: int

    def __init__(self, url: JournalUrl, identity: Identity, lookback: float = 0.0) -> None:
        self._url, self.place = url, str(url)
        self._identity, self._lookback = identity, lookback
        self._stack = ExitStack()
        self.close = self._stack.close
        self._results = Results(self._numbers_for)

    def open(self) -> Opened:
        """Connect, make what is missing, take the lock, and note that a run begins."""
        self._sql = connected(self._url, self, self._stack)
        with usable(self._url), transaction(self._sql):
            check_rights(self._sql, SENDING)
            return self._open()

    def write(self, group: WriteGroup) -> Written:
        """Write a group in one transaction."""
        records: Sequence[int] = ()
        known: Sequence[Known] = ()
        with usable(self._url), transaction(self._sql, at_once=True):
            if group.results:
                self._results.note(self._sql, group.results)
            if group.entries.positions:
                records, known = self._enter(group.entries)
            if again := group.again(known):
                self._sql.execute(FORGET, (again,))
            if group.left:
                self._results.note(self._sql, group.left_new(records, known))
            if group.asides:
                self._run.set_aside(group.asides, self._results)
            self._run.note(group.requests, group.recent)
        return Written(records, known)

    def find(self, fingerprints: bytes) -> Sequence[Known]:
        """Return what earlier runs have noted of records, by a new connection if the old one is lost."""
        if not self._sql.closed:
            with usable(self._url), failing(self._sql):
                return find(self._sql, self._journal, fingerprints, self._last)
        with opened(self._url) as connection:
            return find(connection, self._journal, fingerprints, self._last)

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        """Note how the run ended."""
        with usable(self._url), transaction(self._sql):
            self._run.end(requests, counts, cause)

    def _open(self) -> Opened:
        stored = locked(self._sql, self._url, self._identity)
        if stored.chunk is not None:
            raise JournalError(f"the journal {self._url} is that of a shared run: go on with shared_run(...).work()")
        self._journal = stored.id
        self._sql.execute(_SET_LATE_REPEATS_ASIDE, {"journal": stored.id})
        ids = ids_of(stored.id)
        self._last, answers = row_of(self._sql, _LAST_IDS, ids)
        requests, seconds_ago = row_of(self._sql, _RECENT, (stored.id, self._lookback))
        self._run = Run(self._sql, stored.id)
        self._next_record, self._next_answer = self._last + 1, answers + 1
        numbered = self._last - ids["first"]  # to count them would take a while where there are many
        return Opened(stored.salt, requests, max(0.0, seconds_ago), numbered, self._run.had_refused)

    def _numbers_for(self, answers: int) -> int:
        first, self._next_answer = self._next_answer, self._next_answer + answers
        return first

    def _enter(self, entries: Entries) -> tuple[Sequence[int], Sequence[Known]]:
        """Write down the records that are new; return the numbers of all, and what is known about the others."""
        positions, fingerprints, text, _, refused_as = entries
        self._run.take_back(refused_as)
        found = find(self._sql, self._journal, fingerprints, self._last)
        records: Sequence[int] = range(self._next_record, self._next_record + len(positions))
        values = {"journal": self._journal, "fingerprints": fingerprints, "entries": text, "last": self._last}
        if len(found) < len(positions):
            self._next_record += len(positions)  # the numbers of those found are left out
            values["first"] = records[0]
            (new,) = row_of(self._sql, _INSERT_RECORDS, values)
            if new + len(found) < len(positions):  # some came before in this run, too long ago to be recognised
                self._sql.execute(_INSERT_LATE, {**values, "known": [one.place for one in found]})
        if found:
            records = list(records)
            for one in found:
                records[one.place] = one.record
            if any(positions[one.place] < one.position for one in found):
                self._sql.execute(_MOVE, values)
        return records, found
