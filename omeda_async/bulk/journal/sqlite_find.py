"""Finding records in an SQLite journal by their fingerprints."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES, STATUSES
from omeda_async.bulk.journal.interface import Kept, Known
from omeda_async.bulk.journal.sqlite_file import unusable
from omeda_async.bulk.journal.sqlite_sums import DAMAGE, check_prints, check_texts, damaged, has_sums

_FOLLOWING: Final = """
SELECT group_concat(hex(fingerprint), ''), json_group_array(CAST(substr(entry, 2, 20) AS INTEGER))
FROM records WHERE id BETWEEN ? AND ?
"""
_RESULTS: Final = """
SELECT json_group_array(json_array(first, last, status, attempts, answer)) FROM results
WHERE first BETWEEN ifnull((SELECT max(first) FROM results WHERE first <= :low), :low) AND :high
AND last >= :low
"""
_LOOK_UP: Final = """
WITH RECURSIVE n (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM n WHERE place + 1 < :count)
SELECT json_group_array(json_array(
    place, outcomes.id, CAST(substr(entry, 2, 20) AS INTEGER), status, attempts, answer,
    outcomes.fingerprint = prints.fingerprint
))
FROM n CROSS JOIN prints ON prints.fingerprint = substr(:fingerprints, 16 * place + 1, 16)
JOIN outcomes ON outcomes.id = prints.record
"""
_STORED: Final = "SELECT id, answer{} FROM answers WHERE id IN (SELECT value FROM json_each(?))"
_Result: TypeAlias = tuple[int | None, int, int]
"""Status, attempts and answer, as numbers; where there is none, no status."""
_NO_RESULT: Final[_Result] = (None, 0, 0)


class _Found(NamedTuple):
    """What was found, by columns: an object for each record would only be thrown away."""

    places: Sequence[int] = ()
    records: Sequence[int] = ()
    positions: Sequence[int] = ()
    results: Sequence[_Result] = ()


class Finder:
    """Finds records that were written before a certain moment.

    Who resumes a run asks for records in the order in which they were written: those that follow the last ones found
    are compared first, and the index is asked only where they are others. That is a sixth of the work.

    Args:
        connection: The journal.
        last: The last record that counts.
        path: Where it is.
        index: Statements that make the index, executed before it is first asked.
    """

    def __init__(self, connection: sqlite3.Connection, last: int, path: Path, index: Sequence[str] = ()) -> None:
        self._sql = connection
        self._last = last
        self._path = path
        self._stored = _STORED.format(", sum" if has_sums(connection) else ", NULL")
        self._checked = False
        """Whether the fingerprints are known to be whole."""
        self._index = index
        self._next = 1

    def find(self, fingerprints: bytes) -> list[Known]:
        """Return what is known of those that are there, in the order asked for.

        Raises:
            JournalError: The journal is damaged.
        """
        try:
            return self._find(fingerprints)
        except (sqlite3.Error, *DAMAGE) as error:
            raise unusable(self._path, error) from error

    def _find(self, fingerprints: bytes) -> list[Known]:
        number = len(fingerprints) // FINGERPRINT_BYTES
        if not (number and self._last):
            return []
        found = self._following(fingerprints, number) or self._looked_up(fingerprints, number)
        if len(found.places) < number and not self._checked:
            check_prints(self._sql, self._path)
            self._checked = True
        if not found.places:
            return []
        self._next = found.records[-1] + 1
        kept = map(self._kept(set(found.results)).__getitem__, found.results)
        return [*map(Known, found.places, found.records, found.positions, kept)]

    def _kept(self, results: set[_Result]) -> dict[_Result, Kept | None]:
        """Return what is kept of results: of those of many records once."""
        stored = list({answer for status, _, answer in results if status is not None})
        rows = self._sql.execute(self._stored, (orjson.dumps(stored).decode(),)).fetchall()
        check_texts([row[1:] for row in rows], self._path)
        texts = {number: text for number, text, _ in rows}
        return {
            (code, attempts, answer): None if code is None else Kept(STATUSES[code], attempts, texts[answer])
            for code, attempts, answer in results
        }

    def _following(self, fingerprints: bytes, number: int) -> _Found | None:
        low, high = self._next, self._next + number - 1
        if high > self._last:
            return None
        text, positions = self._sql.execute(_FOLLOWING, (low, high)).fetchone()
        if text != fingerprints.hex().upper():
            return None
        results: list[_Result] = [_NO_RESULT] * number
        for first, last, *result in orjson.loads(self._sql.execute(_RESULTS, {"low": low, "high": high}).fetchone()[0]):
            begin, end = max(first, low) - low, min(last, high) - low + 1
            results[begin:end] = [(result[0], result[1], result[2])] * (end - begin)
        return _Found(range(number), range(low, high + 1), orjson.loads(positions), results)

    def _looked_up(self, fingerprints: bytes, number: int) -> _Found:
        for statement in self._index:
            self._sql.execute(statement)
        self._index = ()
        row = self._sql.execute(_LOOK_UP, {"fingerprints": fingerprints, "count": number}).fetchone()
        found: list[list[Any]] = orjson.loads(row[0])
        if not found:
            return _Found()
        places, records, positions, *results, same = zip(*found, strict=True)
        if not all(same):
            raise damaged(self._path, "a fingerprint is not what was written")
        return _Found(places, records, positions, [*zip(*results, strict=True)])
