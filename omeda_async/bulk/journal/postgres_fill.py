"""Reading the input of a shared run into its journal: records once, what repeats them beside, chunks of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple
from weakref import finalize

import attrs
import orjson

from omeda_async._postgres_blocking import UNDONE, Connection, PostgresFailed, failing, row_of, transaction
from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES, STATUS_CODES, number_of
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.interface import Aside
from omeda_async.bulk.journal.postgres_asides import Asides
from omeda_async.bulk.journal.postgres_chunks import GO_ON
from omeda_async.bulk.journal.postgres_link import find, opened, usable
from omeda_async.bulk.journal.postgres_lock import (
    begin_run,
    check_server,
    end_run,
    locked,
    note_so_far,
    unlock,
)
from omeda_async.bulk.journal.postgres_results import Results
from omeda_async.bulk.journal.postgres_tables import SPAN, ids_of, make_tables
from omeda_async.bulk.journal.postgres_whole import missing_of, note_whole
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
_SET_ASIDE: Final = """
INSERT INTO omeda_async_journal_asides
    (journal, run, repeats, position, repeated, status, attempts, answer, record, known_by)
SELECT %s, %s, t.repeated IS NOT NULL, t.*
FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::int[], %s::bigint[], %s::text[], %s::bigint[])
    AS t (position, repeated, status, attempts, answer, record, known_by)
"""
_CUT: Final = """
INSERT INTO omeda_async_journal_chunks (journal, number, first, last)
SELECT %s, t.* FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS t
"""
_NUMBERS: Final = "UPDATE omeda_async_journals SET answers = answers + %s WHERE id = %s RETURNING answers - %s + 1"
_FILLED: Final = "UPDATE omeda_async_journals SET filled = %s WHERE id = %s"
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


class Filled(NamedTuple):
    """What a journal holds once it was filled."""

    chunks: int
    records: int
    repeats: int
    refused: int
    added: int
    absent: int


class PostgresFill:
    """Fills the journal of a shared run. Each method blocks, and raises a JournalError where it fails.

    Args:
        url: The database, and the name of the run.
        identity: Whose run it is.
        chunk: Records that are claimed at a time; None for the usual number. Of a journal that exists, its own counts.
    """

    _sql: Connection
    _journal: int
    _run: int
    _last: int
    """The last record."""
    _cut: int
    """The last one that is in a chunk."""
    _chunks: int
    _is_filled: bool
    _is_older: bool
    """Whether a version may have filled it that did not note how it read records."""
    _salt: bytes | None
    _asides: Asides
    _met: bytearray
    """For each record whether this input holds it."""

    def __init__(self, url: JournalUrl, identity: Identity, chunk: int | None) -> None:
        self._url, self._identity, self._chunk = url, identity, chunk or CHUNK
        self.place = str(url)
        self._stack = ExitStack()
        self._results = Results(self._numbers_for)
        self._added = 0

    def open(self) -> bytes | None:
        """Begin, or go on; give the salt of fingerprints."""
        self._sql = self._stack.enter_context(opened(self._url))
        self._stack.callback(unlock, self._sql)
        finalize(self, self._sql.close)
        with usable(self._url), failing(self._sql):
            check_server(self._sql, self._url)
            make_tables(self._sql)
        with usable(self._url), transaction(self._sql):
            return self._open()

    @property
    def chunk(self) -> int:
        """How many records are claimed at a time, once it is open."""
        return self._chunk

    def sample(self) -> tuple[str, bytes] | None:
        """Give a record and its fingerprint, where nothing was noted of how records were read."""
        if not self._is_older:
            return None
        with usable(self._url), failing(self._sql):
            row = self._sql.execute(_ANY_ROW, ids_of(self._journal)).fetchone()
            return row and (row[0], bytes(row[1]))

    @property
    def had_refused(self) -> bool:
        """Whether an earlier input had records that were refused; to be asked once it is open."""
        return self._asides.had_refused

    def add(self, batch: Batch) -> None:
        """Add records, in the order of the input; again where somebody who performs chunks was in the way."""
        with usable(self._url):
            for left in reversed(range(_TRIES)):
                before = self._last, self._cut, self._chunks, self._is_filled, self._added, self._met[:]
                try:
                    self._add_all(batch)
                    self._is_older = False
                    break
                except PostgresFailed as error:
                    if error.code not in UNDONE or not left:
                        raise
                self._last, self._cut, self._chunks, self._is_filled, self._added, self._met = before
                self._results = Results(self._numbers_for)

    def end(self) -> Filled:
        """Note that the input has been read to its end."""
        with usable(self._url), transaction(self._sql):
            self._cut_off(self._last)
            note_so_far(self._sql, self._so_far, now=False)
            self._asides.end()
            self._sql.execute(_FILLED, (True, self._journal))
            self._sql.execute(GO_ON, (self._journal,))
            end_run(self._sql, self._journal, self._run, {}, None)
            repeats, refused = row_of(self._sql, _ASIDES, (self._journal,))
            note_whole(self._sql, self._journal, len(self._met), repeats + refused)
            return Filled(self._chunks, len(self._met), repeats, refused, self._added, self._met.count(0))

    def close(self) -> None:
        """Let go of the lock, and of the connection."""
        self._stack.close()

    def _open(self) -> bytes | None:
        stored = locked(self._sql, self._url, self._identity)
        self._journal, self._is_filled, self._salt = stored.id, stored.filled, stored.salt
        self._is_older = stored.is_older
        if stored.chunk is not None:
            self._chunk = stored.chunk
        elif not self._sql.execute(_SHARE, (self._chunk, stored.id)).rowcount:
            raise JournalError(f"the journal {self._url} is that of a plain run: give the shared one a name of its own")
        if any(missing := missing_of(self._sql, stored)):
            raise JournalError(
                f"the journal {self._url} is damaged, and nothing is added to it: {missing}. What became of them "
                "nobody can tell: restore it from a backup, or give the run another name"
            )
        self._last, self._cut, self._chunks = row_of(self._sql, _SO_FAR, {"journal": stored.id, **ids_of(stored.id)})
        self._met = bytearray(self._last - stored.id * SPAN)
        self._run = begin_run(self._sql, stored.id)
        self._asides = Asides(self._sql, stored.id, self._run, are_noted=True)
        self._so_far = {"journal": stored.id, "run": self._run, "requests": 0, "recent": 0}
        return stored.salt

    def _add_all(self, batch: Batch) -> None:
        with transaction(self._sql, at_once=True):
            if self._is_older:  # from now on it is noted
                kept = orjson.dumps(self._identity.kept(self._salt)).decode()
                self._sql.execute(_BELONGS, (kept, self._journal))
            self._add(batch)
            self._cut_off(self._last - (self._last - self._cut) % self._chunk)
            note_whole(self._sql, self._journal, len(self._met))
            note_so_far(self._sql, self._so_far, now=False)

    def _add(self, batch: Batch) -> None:
        known = find(self._sql, self._journal, batch.fingerprints, self._journal * SPAN + SPAN)
        found = {one.place: (one.record, one.position) for one in known}
        seen: dict[bytes, int] = {}
        new, moved, repeats = list[tuple[Any, ...]](), list[tuple[int, int]](), list[tuple[Any, ...]]()
        for place, (position, text) in enumerate(zip(batch.positions, batch.texts, strict=True)):
            fingerprint = batch.fingerprints[FINGERPRINT_BYTES * place : FINGERPRINT_BYTES * (place + 1)]
            if place in found:
                record, stands = found[place]
                if self._has_met(record):
                    repeats.append((position, record, None, None, None, None, number_of(fingerprint)))
                elif position < stands:
                    moved.append((record, position))
            elif (first := seen.get(fingerprint)) is not None:
                repeats.append((position, first, None, None, None, None, number_of(fingerprint)))
            else:
                self._last += 1
                self._met.append(1)
                seen[fingerprint] = self._last
                new.append((self._last, fingerprint, position, text))
        if new and self._is_filled:  # an earlier input was read to its end, of this one nobody knows
            self._sql.execute(_FILLED, (False, self._journal))
            self._is_filled = False
        self._added += len(new)
        if new:
            self._sql.execute(_INSERT, (self._journal, STATUS_CODES[OutcomeStatus.NOT_SENT], *_columns(new)))
        if moved:
            self._sql.execute(_MOVE, _columns(moved))
        if asides := [*repeats, *self._refused(batch.refused)]:
            columns = _columns(asides)
            self._asides.meet(columns[-1], [repeated is not None for repeated in columns[1]], columns[0])
            self._sql.execute(_SET_ASIDE, (self._journal, self._run, *columns))
        self._asides.take_back(batch.refused_as)

    def _has_met(self, record: int) -> bool:
        """Whether this input has held it before, wherever an earlier one did."""
        place = record - self._journal * SPAN - 1
        before, self._met[place] = self._met[place], 1
        return bool(before)

    def _refused(self, asides: Sequence[Aside]) -> list[tuple[Any, ...]]:
        self._results.store(self._sql, [one.kept.stored for one in asides])
        return [
            (
                position,
                None,
                STATUS_CODES[kept.status],
                kept.attempts,
                self._results.number_of(kept.stored),
                None if entry is None else entry[entry.index(",") + 1 : -1],
                known_by,
            )
            for position, kept, entry, known_by in asides
        ]

    def _numbers_for(self, answers: int) -> int:
        first: int = row_of(self._sql, _NUMBERS, (answers, self._journal, answers))[0]
        return self._journal * SPAN + first

    def _cut_off(self, last: int) -> None:
        """Make chunks of the records up to one."""
        firsts = range(self._cut + 1, last + 1, self._chunk)
        if firsts:
            rows = [
                (number, first, min(first + self._chunk - 1, last)) for number, first in enumerate(firsts, self._chunks)
            ]
            self._sql.execute(_CUT, (self._journal, *_columns(rows)))
            self._cut, self._chunks = last, self._chunks + len(rows)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
