"""Finding records in an SQLite journal by their fingerprints."""

import sqlite3
from collections.abc import Callable
from typing import Final, TypeAlias

import orjson

from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES, STATUSES
from omeda_async.bulk.journal.interface import Kept, Known

_FOLLOWING: Final = """
SELECT CAST(group_concat(fingerprint, '') AS BLOB), json_group_array(CAST(substr(entry, 2, 20) AS INTEGER))
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
    place, outcomes.id, CAST(substr(entry, 2, 20) AS INTEGER), status, attempts, answer
))
FROM n CROSS JOIN prints ON prints.fingerprint = substr(:fingerprints, 16 * place + 1, 16)
JOIN outcomes ON outcomes.id = prints.record
"""
_STORED: Final = "SELECT id, answer FROM answers WHERE id IN (SELECT value FROM json_each(?))"
_REMEMBERED: Final = 1000
_Result: TypeAlias = tuple[int, int, int]
"""Status, attempts, and the number of what is stored."""


class Finder:
    """Finds records that were written before a certain moment.

    Who resumes a run asks for records in the order in which they were written: those that follow the last ones found
    are compared first, and the index is asked only where they are others. That is a fraction of the work.

    Args:
        connection: The journal.
        last: The last record that counts.
        index: Called before the index is first asked.
    """

    def __init__(self, connection: sqlite3.Connection, last: int, index: Callable[[], None] = lambda: None) -> None:
        self._sql = connection
        self._last = last
        self._index: Callable[[], None] | None = index
        self._next = 1
        self._kept: dict[_Result, Kept] = {}

    def find(self, fingerprints: bytes) -> list[Known | None]:
        """Return what is known about each."""
        number = len(fingerprints) // FINGERPRINT_BYTES
        return self._following(fingerprints, number) or self._looked_up(fingerprints, number)

    def _following(self, fingerprints: bytes, number: int) -> list[Known | None]:
        low, high = self._next, self._next + number - 1
        if high > self._last:
            return []
        found, positions = self._sql.execute(_FOLLOWING, (low, high)).fetchone()
        if found != fingerprints:
            return []
        ranges = orjson.loads(self._sql.execute(_RESULTS, {"low": low, "high": high}).fetchone()[0])
        self._remember({tuple(result) for _, _, *result in ranges})
        kept: list[Kept | None] = [None] * number
        for first, last, *result in ranges:
            begin, end = max(first, low) - low, min(last, high) - low + 1
            kept[begin:end] = [self._kept[tuple(result)]] * (end - begin)
        self._next = high + 1
        return list(map(Known._make, zip(range(low, high + 1), orjson.loads(positions), kept, strict=True)))

    def _looked_up(self, fingerprints: bytes, number: int) -> list[Known | None]:
        if self._index is not None:
            self._index()
            self._index = None
        row = self._sql.execute(_LOOK_UP, {"fingerprints": fingerprints, "count": number}).fetchone()
        found = orjson.loads(row[0])
        self._remember({tuple(one[3:]) for one in found if one[3] is not None})
        known: list[Known | None] = [None] * number
        for place, record, position, *result in found:
            known[place] = Known(record, position, self._kept.get(tuple(result)))
            self._next = record + 1
        return known

    def _remember(self, results: set[_Result]) -> None:
        new = results - self._kept.keys()
        if new and len(self._kept) > _REMEMBERED:
            self._kept.clear()
            new = results
        if new:
            numbers = orjson.dumps([number for _, _, number in new]).decode()
            stored = dict(self._sql.execute(_STORED, (numbers,)).fetchall())
            self._kept |= {one: Kept(STATUSES[one[0]], one[1], stored[one[2]]) for one in new}
