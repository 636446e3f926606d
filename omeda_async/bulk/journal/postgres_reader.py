"""Reading journals that are kept in PostgreSQL."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from typing import Final

import attrs

from omeda_async._postgres_blocking import Connection, failing, row_of
from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Find, Known
from omeda_async.bulk.journal.postgres_link import (
    Missing,
    Stored,
    check_identity,
    find,
    missing_of,
    opened,
    stored_at,
    usable,
)
from omeda_async.bulk.journal.postgres_lock import IS_HELD
from omeda_async.bulk.journal.postgres_tables import check_format, format_of, ids_of
from omeda_async.bulk.journal.reading import causes_of, codes_of, records_of, runs_of, status_of
from omeda_async.bulk.journal.status import NOT_DONE, JournalChunks, JournalRecord, JournalStatus
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError
from omeda_async.outcomes import OutcomeStatus

RUNS_NAMED: Final = 10
"""So many are named where somebody asks for a run that is not there."""
SURVEY: Final = 600.0
"""Seconds that a statement may take that looks at all records; there may be many millions."""
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NAMES: Final = "SELECT name FROM omeda_async_journals ORDER BY id DESC LIMIT %s"
_RUNS: Final = """
SELECT extract(epoch FROM started)::float8, extract(epoch FROM ended)::float8, requests, complete,
    counts, cause, version
FROM omeda_async_journal_runs WHERE journal = %s ORDER BY number
"""
# Of a shared run, what a record repeats may have its outcome later.
_EVERY: Final = """
SELECT status, answer FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s
UNION ALL SELECT CASE WHEN a.repeated IS NULL THEN a.status ELSE r.status END,
    CASE WHEN a.repeated IS NULL THEN a.answer ELSE r.answer END
FROM omeda_async_journal_asides AS a LEFT JOIN omeda_async_journal_records AS r ON r.id = a.repeated
WHERE a.journal = %(journal)s
"""
_COUNTS: Final = "SELECT status, count(*) FROM (<every>) AS every GROUP BY status".replace("<every>", _EVERY)
_REPEATS: Final = "SELECT count(*) FROM omeda_async_journal_asides WHERE journal = %s AND repeats"
_CAUSES: Final = """
SELECT status, answers.answer, number FROM (
    SELECT status, answer, count(*) AS number FROM (<every>) AS every
    WHERE status = ANY(%(codes)s) GROUP BY status, answer
) AS seen JOIN omeda_async_journal_answers AS answers ON answers.id = seen.answer
""".replace("<every>", _EVERY)
_NOT_DONE: Final = """
SELECT position, record, coalesce(status, %(unknown)s), coalesce(attempts, 0), answers.answer FROM (
    SELECT position, record, status, attempts, answer FROM omeda_async_journal_records
    WHERE id BETWEEN %(first)s AND %(last)s AND coalesce(status, %(unknown)s) = ANY(%(codes)s)
    UNION ALL SELECT position, record, status, attempts, answer FROM omeda_async_journal_asides
    WHERE journal = %(journal)s AND NOT repeats AND status = ANY(%(codes)s)
) AS every LEFT JOIN omeda_async_journal_answers AS answers ON answers.id = every.answer
ORDER BY position
"""
_CHUNKS: Final = """
SELECT count(*) FILTER (WHERE NOT done AND NOT held), count(*) FILTER (WHERE NOT done AND held),
    count(*) FILTER (WHERE done), coalesce(sum(requests), 0)::bigint, max(seen)
FROM (
    SELECT done, requests, seen, coalesce(free_at > clock_timestamp(), false) AS held
    FROM omeda_async_journal_chunks WHERE journal = %s
) AS every
"""
_LAST: Final = "SELECT coalesce(max(id), 0) FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s"


@attrs.frozen
class PostgresReader:
    """Reads a journal in PostgreSQL; a :class:`~omeda_async.bulk.journal.interface.Reader`."""

    _url: JournalUrl

    def status(self) -> JournalStatus:
        """Return what it holds."""
        with self._opened() as connection:
            stored = self._stored(connection)
            journal = {"journal": stored.id, **ids_of(stored.id)}
            counted = connection.execute(_COUNTS.encode(), journal)
            runs = runs_of(connection.execute(_RUNS, (stored.id,)))
            missing = missing_of(connection, stored)
            chunks, requests = _chunks(connection, stored, missing)
            return status_of(
                stored.identity,
                Counter({STATUSES.get(code): number for code, number in counted}),
                path=None,
                place=str(self._url),
                running=row_of(connection, IS_HELD, (stored.id,))[0] or (chunks is not None and chunks.held > 0),
                repeats=row_of(connection, _REPEATS, (stored.id,))[0],
                requests=requests + sum(run.requests for run in runs),
                runs=runs,
                causes=causes_of(connection.execute(_CAUSES.encode(), {**journal, "codes": codes_of(NOT_DONE)})),
                chunks=chunks,
                missing=missing.records,
            )

    def not_done(self, statuses: Collection[OutcomeStatus]) -> Iterator[JournalRecord]:
        """Return the records that ended so, in the order of the input; repeats of one are left out."""
        with self._opened() as connection:
            journal = self._stored(connection).id
            values = {
                "journal": journal,
                **ids_of(journal),
                "codes": codes_of(statuses),
                "unknown": STATUS_CODES[OutcomeStatus.UNKNOWN],
            }
            with connection.cursor("not_done") as cursor:
                yield from records_of(
                    (position, f"[{position},{record or 'null'}]", *result)
                    for position, record, *result in cursor.execute(_NOT_DONE, values)
                )

    @contextmanager
    def settled(self, identity: Identity) -> Iterator[tuple[bytes | None, Find]]:
        """Open it, unless it is another run's; return the salt of its fingerprints, and what finds records in it."""
        with self._opened() as connection:
            stored = stored_at(connection, self._url)
            if stored is None:
                yield None, lambda _: ()
                return
            check_identity(stored, identity, self._url)
            last = row_of(connection, _LAST, ids_of(stored.id))[0]
            yield stored.salt, partial(self._find, connection, stored.id, last)

    def _find(self, connection: Connection, journal: int, last: int, fingerprints: bytes) -> Sequence[Known]:
        with usable(self._url), failing(connection):
            return find(connection, journal, fingerprints, last)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        """Open it to read what it holds at this moment, whatever a run writes meanwhile."""
        with opened(self._url, SURVEY) as connection:
            connection.execute(_SNAPSHOT)
            check_format(connection)
            yield connection

    def _stored(self, connection: Connection) -> Stored:
        stored = stored_at(connection, self._url)
        if stored is None:
            text = f"there is no journal {self._url}: no run of this name has begun there, or it was removed"
            raise JournalError(f"{text}; {_others(connection)}", missing="journal")
        return stored


def _others(connection: Connection) -> str:
    rows = connection.execute(_NAMES, (RUNS_NAMED + 1,)).fetchall() if format_of(connection) else []
    if not rows:
        return "there is no run in this database"
    names = ", ".join(name for (name,) in rows[:RUNS_NAMED])
    return f"the last ones there: {names}" if len(rows) > RUNS_NAMED else f"there are: {names}"


def _chunks(connection: Connection, stored: Stored, missing: Missing) -> tuple[JournalChunks | None, int]:
    """Return how it stands with the chunks of a shared run, and the requests made for them."""
    if stored.chunk is None:
        return None, 0
    free, held, done, requests, seen = row_of(connection, _CHUNKS, (stored.id,))
    return (
        JournalChunks(
            free=free,
            held=held,
            done=done,
            filled=stored.filled,
            cancelled=stored.cancelled,
            missing=missing.in_chunks,
            stopped_by=stored.stopped,
            seen=seen and seen.astimezone(UTC),
        ),
        requests,
    )
