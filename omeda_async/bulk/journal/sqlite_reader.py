"""Reading journals that are kept in SQLite files."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import attrs
import orjson

from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Find
from omeda_async.bulk.journal.reading import causes_of, codes_of, records_of, runs_of, status_of
from omeda_async.bulk.journal.sqlite_file import check_untouched, opened_to_read, unusable, whose
from omeda_async.bulk.journal.sqlite_find import Finder
from omeda_async.bulk.journal.sqlite_lock import in_use
from omeda_async.bulk.journal.sqlite_sums import DAMAGE, check_texts, has_sums
from omeda_async.bulk.journal.status import NOT_DONE, JournalRecord, JournalStatus
from omeda_async.errors import JournalError
from omeda_async.outcomes import OutcomeStatus

_RUNS: Final = "SELECT started, ended, requests, complete, counts, cause, version FROM runs ORDER BY id"
_COUNTS: Final = """
SELECT status, sum(last - first + 1) FROM results GROUP BY status
UNION ALL SELECT NULL, (SELECT count(*) FROM records) - (SELECT ifnull(sum(last - first + 1), 0) FROM results)
UNION ALL SELECT status, count(*) FROM asides GROUP BY status
"""
_REPEATS: Final = "SELECT count(*) FROM asides WHERE repeats"
_CAUSES: Final = """
SELECT answers.answer, {answer_sum}, status, number FROM (
    SELECT status, answer, sum(last - first + 1) AS number FROM results GROUP BY status, answer
    UNION ALL SELECT status, answer, count(*) FROM asides GROUP BY status, answer
) AS seen LEFT JOIN answers ON answers.id = seen.answer WHERE status IN (SELECT value FROM json_each(:codes))
"""
_NOT_DONE: Final = """
SELECT json_extract(entry, '$[0]') AS position, entry, {entry_sum}, status, attempts, answers.answer, {answer_sum}
FROM results CROSS JOIN records ON records.id BETWEEN first AND last LEFT JOIN answers ON answers.id = results.answer
WHERE status IN (SELECT value FROM json_each(:codes))
UNION ALL SELECT json_extract(records.entry, '$[0]'), records.entry, {entry_sum}, :unknown, 0, 'null', NULL
FROM outcomes JOIN records ON records.id = outcomes.id
WHERE status IS NULL AND :unknown IN (SELECT value FROM json_each(:codes))
UNION ALL SELECT position, entry, {aside_sum}, status, attempts, answers.answer, {answer_sum}
FROM asides LEFT JOIN answers ON answers.id = asides.answer
WHERE NOT repeats AND status IN (SELECT value FROM json_each(:codes))
ORDER BY position
"""
_SUMS: Final = {
    "print_sum": "substr(sum, 1, 4)",
    "entry_sum": "substr(records.sum, 5)",
    "aside_sum": "entry_sum",
    "answer_sum": "answers.sum",
}
# Stands before the journal's own table, which holds only what was there when the last run began.
_INDEX: Final = (
    "CREATE TEMP TABLE prints (fingerprint BLOB PRIMARY KEY, record INTEGER NOT NULL, sum BLOB) WITHOUT ROWID",
    "INSERT OR IGNORE INTO temp.prints SELECT fingerprint, id, {print_sum} FROM records ORDER BY fingerprint, id",
)


@attrs.frozen
class SqliteReader:
    """Reads the journal in an SQLite file; a :class:`~omeda_async.bulk.journal.interface.Reader`."""

    _path: Path

    def status(self) -> JournalStatus:
        """Return what it holds."""
        with self._opened() as connection:
            counts: Counter[OutcomeStatus | None] = Counter()
            for code, number in connection.execute(_COUNTS):
                counts[STATUSES.get(code)] += number
            identity, _ = whose(connection, self._path)
            runs = runs_of(connection.execute(_RUNS))
            return status_of(
                identity,
                counts,
                path=self._path,
                place=str(self._path),
                running=in_use(self._path),
                repeats=connection.execute(_REPEATS).fetchone()[0],
                requests=sum(run.requests for run in runs),
                runs=runs,
                causes=causes_of(self._causes(connection)),
            )

    def _causes(self, connection: sqlite3.Connection) -> Iterator[tuple[int, str, int]]:
        for text, its_sum, code, number in connection.execute(
            _summed(connection, _CAUSES), {"codes": _dumped(NOT_DONE)}
        ):
            check_texts([(text, its_sum)], self._path)
            yield code, text, number

    def not_done(self, statuses: Collection[OutcomeStatus]) -> Iterator[JournalRecord]:
        """Return the records that ended so, in the order of the input; repeats of one are left out."""
        with self._opened() as connection:
            yield from records_of(self._records(connection, statuses))

    def _records(
        self, connection: sqlite3.Connection, statuses: Collection[OutcomeStatus]
    ) -> Iterator[tuple[int, str, int, int, str | None]]:
        values = {"codes": _dumped(statuses), "unknown": STATUS_CODES[OutcomeStatus.UNKNOWN]}
        rows = connection.execute(_summed(connection, _NOT_DONE), values)
        for position, entry, entry_sum, code, attempts, stored, stored_sum in rows:
            check_texts([(entry, entry_sum), (stored, stored_sum)], self._path)
            yield position, entry, code, attempts, None if stored == "null" else stored

    @contextmanager
    def settled(self, identity: Identity) -> Iterator[tuple[bytes | None, Find]]:
        """Open it, unless it is another run's; return the salt of its fingerprints, and what finds records in it."""
        if self._path.exists():
            with self._usable():
                check_untouched(self._path)
        is_empty = not self._path.exists() or not self._path.stat().st_size
        with nullcontext() if is_empty else self._begun() as connection:
            if connection is None:
                yield None, lambda _: ()
                return
            found, salt = whose(connection, self._path)
            identity.check(found, salt, self._path)
            last = connection.execute("SELECT ifnull(max(id), 0) FROM records").fetchone()[0]
            index = [_summed(connection, statement) for statement in _INDEX]
            yield salt, Finder(connection, last, self._path, index).find

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open it to read what it holds at this moment, whatever a run writes meanwhile."""
        with self._begun() as connection:
            if connection is None:
                raise JournalError(f"the journal {self._path} is empty: no run has begun it")
            yield connection

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection | None]:
        """Open it likewise; None where no run has come to the point of writing anything into it."""
        if not self._path.is_file():
            raise JournalError(f"there is no journal {self._path}")
        with self._usable():
            check_untouched(self._path)
            with opened_to_read(self._path) as connection:
                yield connection

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, *DAMAGE) as error:
            raise unusable(self._path, error) from error


def _summed(connection: sqlite3.Connection, sql: str) -> str:
    """Have a statement ask for sums, where the journal has any."""
    return sql.format_map(_SUMS if has_sums(connection) else dict.fromkeys(_SUMS, "NULL"))


def _dumped(statuses: Iterable[OutcomeStatus]) -> str:
    return orjson.dumps(codes_of(statuses)).decode()
