"""Reading the input of a shared run into its journal: records once, what repeats them beside, chunks of them."""

from contextlib import ExitStack
from typing import Any, Final

import attrs
import orjson

from omeda_async._postgres_blocking import UNDONE, Connection, PostgresFailed, columns, failing, row_of, transaction
from omeda_async.bulk.journal.chunks import RunFilled
from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES, STATUS_CODES, number_of
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Aside
from omeda_async.bulk.journal.postgres_link import find, missing_of, usable
from omeda_async.bulk.journal.postgres_lock import (
    connected,
    locked,
)
from omeda_async.bulk.journal.postgres_results import Results, reserve
from omeda_async.bulk.journal.postgres_run import Run
from omeda_async.bulk.journal.postgres_tables import SPAN, ids_of
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError
from omeda_async.outcomes import OutcomeStatus

CHUNK: Final = 500
"""Records that are claimed at a time, where nobody says otherwise."""
_SHARE: Final = """
UPDATE omeda_async_journals SET chunk = %s WHERE id = %s AND NOT EXISTS (
    SELECT FROM omeda_async_journal_runs WHERE journal = omeda_async_journals.id
)
"""
_SO_FAR: Final = """
SELECT coalesce(max(id), %(first)s), coalesce((
    SELECT max(last) FROM omeda_async_journal_chunks WHERE journal = %(journal)s
), %(first)s), (SELECT count(*) FROM omeda_async_journal_chunks WHERE journal = %(journal)s)
FROM omeda_async_journal_records WHERE id BETWEEN %(first)s AND %(last)s
"""
_INSERT: Final = """
INSERT INTO omeda_async_journal_records (journal, status, attempts, id, fingerprint, position, record)
SELECT %s, %s, 0, t.* FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[], %s::text[]) AS t
"""
_MOVE: Final = """
UPDATE omeda_async_journal_records AS r SET position = t.position
FROM unnest(%s::bigint[], %s::bigint[]) AS t (id, position) WHERE r.id = t.id
"""
_CUT: Final = """
INSERT INTO omeda_async_journal_chunks (journal, number, first, last)
SELECT %s, t.* FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS t
"""
_READING: Final = """
UPDATE omeda_async_journals SET records = %s, asides = asides - %s, filled = filled AND NOT %s WHERE id = %s
"""
_FILLED: Final = """
UPDATE omeda_async_journals SET records = %s, asides = %s, filled = true, stopped = NULL WHERE id = %s
"""
_BELONGS: Final = "UPDATE omeda_async_journals SET identity = %s WHERE id = %s"
_ANY_ROW: Final = """
SELECT record, fingerprint FROM omeda_async_journal_records
WHERE id BETWEEN %(first)s AND %(last)s AND record IS NOT NULL ORDER BY id LIMIT 1
"""
_ASIDES: Final = """
SELECT count(*) FILTER (WHERE repeats), count(*) FILTER (WHERE NOT repeats)
FROM omeda_async_journal_asides WHERE journal = %s
"""
_TRIES: Final = 5
"""How often records are added where that ends in a deadlock."""


@attrs.define
class Batch:
    """Some records of the input."""

    positions: list[int] = attrs.field(factory=list)
    fingerprints: bytes = b""
    """16 bytes each, one after the other."""
    texts: list[str] = attrs.field(factory=list)
    """The records as JSON."""
    refused_as: list[int] = attrs.field(factory=list)
    """By what each was known where an earlier input had it refused."""
    refused: list[Aside] = attrs.field(factory=list)
    reason: str = ""
    """Why the first of these is refused."""


class PostgresFill:
    """Fills the journal of a shared run. Each method blocks, and raises a JournalError where it fails.

    Args:
        url: The database, and the name of the run.
        identity: Whose run it is.
        chunk: Records that are claimed at a time; None for the usual number. Of a journal that exists, its own counts.
    """

    _sql: Connection
    _journal: int
    _run: Run
    _had: int
    """Records that were there before."""
    _cut: int
    """The last one that is in a chunk."""
    _chunks: int
    _is_older: bool
    """Whether a version may have filled it that did not note how it read records."""
    _salt: bytes | None
    _met: bytearray
    """For each record whether this input holds it."""

    def __init__(self, url: JournalUrl, identity: Identity, chunk: int | None) -> None:
        self._url, self._identity, self.chunk = url, identity, chunk or CHUNK
        self.place = str(url)
        self._stack = ExitStack()
        self.close = self._stack.close
        self._results = Results(self._numbers_for)

    def open(self) -> tuple[bytes | None, bool]:
        """Begin, or go on; return the salt of fingerprints, and whether an earlier input had refused records."""
        self._sql = connected(self._url, self, self._stack)
        with usable(self._url), transaction(self._sql):
            self._open()
        return self._salt, self._run.had_refused

    def sample(self) -> tuple[str, bytes] | None:
        """Return a record and its fingerprint, where nothing was noted of how records were read."""
        if not self._is_older:
            return None
        with usable(self._url), failing(self._sql):
            row = self._sql.execute(_ANY_ROW, ids_of(self._journal)).fetchone()
            return row and (row[0], bytes(row[1]))

    def add(self, batch: Batch) -> None:
        """Add records, in the order of the input; again where somebody who performs chunks was in the way."""
        with usable(self._url):
            for left in reversed(range(_TRIES)):
                before = self._cut, self._chunks, self._met[:]
                try:
                    self._add_all(batch)
                    self._is_older = False
                    break
                except PostgresFailed as error:
                    if error.code not in UNDONE or not left:
                        raise
                self._cut, self._chunks, self._met = before
                self._results = Results(self._numbers_for)

    def end(self) -> RunFilled:
        """Note that the input has been read to its end."""
        with usable(self._url), transaction(self._sql):
            self._cut_off(self._last)
            self._run.end(0, {}, None)
            repeats, refused = row_of(self._sql, _ASIDES, (self._journal,))
            records = len(self._met)
            self._sql.execute(_FILLED, (records, repeats + refused, self._journal))
            return RunFilled(
                run=self._url.run,
                place=self.place,
                chunks=range(self._chunks),
                records=records,
                repeats=repeats,
                refused=refused,
                added=records - self._had,
                absent=self._met.count(0),
            )

    @property
    def _last(self) -> int:
        """The last record."""
        return self._journal * SPAN + len(self._met)

    def _open(self) -> None:
        stored = locked(self._sql, self._url, self._identity)
        self._journal, self._salt, self._is_older = stored.id, stored.salt, stored.is_older
        if stored.chunk is not None:
            self.chunk = stored.chunk
        elif not self._sql.execute(_SHARE, (self.chunk, stored.id)).rowcount:
            raise JournalError(f"the journal {self._url} is that of a plain run: give the shared one a name of its own")
        if any(missing := missing_of(self._sql, stored)):
            raise JournalError(
                f"the journal {self._url} is damaged, and nothing is added to it: {missing}. What became of them "
                "nobody can tell: restore it from a backup, or give the run another name"
            )
        last, self._cut, self._chunks = row_of(self._sql, _SO_FAR, {"journal": stored.id, **ids_of(stored.id)})
        self._had = last - stored.id * SPAN
        self._met = bytearray(self._had)
        self._run = Run(self._sql, stored.id)

    def _add_all(self, batch: Batch) -> None:
        with transaction(self._sql, at_once=True):
            if self._is_older:  # from now on it is noted
                kept = orjson.dumps(self._identity.kept(self._salt)).decode()
                self._sql.execute(_BELONGS, (kept, self._journal))
            before = len(self._met)
            self._add(batch)
            taken_back = self._run.take_back(batch.refused_as)
            self._cut_off(self._last - (self._last - self._cut) % self.chunk)
            has_new = len(self._met) > before  # an earlier input was read to its end, of this one nobody knows
            self._sql.execute(_READING, (len(self._met), taken_back, has_new, self._journal))
            self._run.note()

    def _add(self, batch: Batch) -> None:
        known = find(self._sql, self._journal, batch.fingerprints, self._journal * SPAN + SPAN)
        found = {one.place: (one.record, one.position) for one in known}
        seen: dict[bytes, int] = {}
        new, moved, repeats = list[tuple[Any, ...]](), list[tuple[int, int]](), list[tuple[int, int, int]]()
        for place, (position, text) in enumerate(zip(batch.positions, batch.texts, strict=True)):
            fingerprint = batch.fingerprints[FINGERPRINT_BYTES * place : FINGERPRINT_BYTES * (place + 1)]
            if place in found:
                record, stands = found[place]
                if self._has_met(record):
                    repeats.append((position, record, number_of(fingerprint)))
                elif position < stands:
                    moved.append((record, position))
            elif (first := seen.get(fingerprint)) is not None:
                repeats.append((position, first, number_of(fingerprint)))
            else:
                self._met.append(1)
                seen[fingerprint] = self._last
                new.append((self._last, fingerprint, position, text))
        if new:
            self._sql.execute(_INSERT, (self._journal, STATUS_CODES[OutcomeStatus.NOT_SENT], *columns(new)))
        if moved:
            self._sql.execute(_MOVE, columns(moved))
        self._run.set_aside(batch.refused, self._results, repeats)

    def _has_met(self, record: int) -> bool:
        """Whether this input has held it before, wherever an earlier one did."""
        place = record - self._journal * SPAN - 1
        before, self._met[place] = self._met[place], 1
        return bool(before)

    def _numbers_for(self, answers: int) -> int:
        return reserve(self._sql, self._journal, answers)

    def _cut_off(self, last: int) -> None:
        """Make chunks of the records up to one."""
        firsts = range(self._cut + 1, last + 1, self.chunk)
        if firsts:
            numbered = enumerate(firsts, self._chunks)
            rows = [(number, first, min(first + self.chunk - 1, last)) for number, first in numbered]
            self._sql.execute(_CUT, (self._journal, *columns(rows)))
            self._cut, self._chunks = last, self._chunks + len(rows)
