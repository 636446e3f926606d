"""A run that alone may write a journal in PostgreSQL: its row, and records of it that are counted and never sent."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from omeda_async._postgres_blocking import PARTED, Connection, PostgresFailed, columns, row_of
from omeda_async._version import __version__
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.interface import Aside
from omeda_async.bulk.journal.postgres_results import Results

_BEGIN: Final = """
INSERT INTO omeda_async_journal_runs (journal, number, server_process, version)
SELECT %(journal)s, coalesce(max(number), 0) + 1, pg_backend_pid(), %(version)s
FROM omeda_async_journal_runs WHERE journal = %(journal)s RETURNING number
"""
# Nothing counts that is written without the lock: after another run has begun, or through a pooler's other connection.
_SO_FAR: Final = """
UPDATE omeda_async_journal_runs AS mine SET
    requests = coalesce(%(requests)s, requests), recent = coalesce(%(recent)s, recent),
    seen = CASE WHEN %(recent)s::bigint IS NULL THEN seen ELSE clock_timestamp() END
WHERE journal = %(journal)s AND number = %(run)s AND server_process = pg_backend_pid() AND NOT EXISTS (
    SELECT FROM omeda_async_journal_runs WHERE journal = %(journal)s AND number > %(run)s
)
RETURNING number
"""
_END: Final = """
UPDATE omeda_async_journal_runs SET ended = clock_timestamp(), complete = %(complete)s, counts = %(counts)s,
    cause = %(cause)s
WHERE journal = %(journal)s AND number = %(run)s
"""
NUMBER_OF: Final = "(" + " | ".join(f"(get_byte(fingerprint, {n})::bigint << {8 * n})" for n in range(8)) + ")"
"""What a fingerprint is to an aside, as :func:`~omeda_async.bulk.journal.codec.number_of` has it."""
# Those of earlier runs stand for as many of this one; those that are known by their positions alone, for one there.
_MEET: Final = """
WITH given AS (
    SELECT * FROM unnest(%(known_by)s::bigint[], %(repeats)s::bool[], %(positions)s::bigint[])
        AS t (known_by, repeats, position)
),
numbers AS (SELECT known_by, repeats, count(*) AS number FROM given GROUP BY known_by, repeats),
earlier AS (
    SELECT a.run, a.position, number,
        row_number() OVER (PARTITION BY a.known_by, a.repeats ORDER BY a.run, a.position) AS place
    FROM numbers JOIN omeda_async_journal_asides AS a ON a.known_by = numbers.known_by AND a.journal = %(journal)s
        AND a.repeats = numbers.repeats
    WHERE a.run <> %(run)s
)
DELETE FROM omeda_async_journal_asides AS a USING (
    SELECT run, position FROM earlier WHERE place <= number
    UNION SELECT a.run, a.position FROM omeda_async_journal_asides AS a JOIN given USING (position)
    WHERE a.journal = %(journal)s AND a.known_by IS NULL AND a.run <> %(run)s
) AS met WHERE a.journal = %(journal)s AND a.run = met.run AND a.position = met.position
"""
_WRITE: Final = """
INSERT INTO omeda_async_journal_asides
    (journal, run, position, repeats, repeated, status, attempts, answer, record, known_by)
SELECT %s, %s, t.* FROM unnest(
    %s::bigint[], %s::bool[], %s::bigint[], %s::smallint[], %s::int[], %s::bigint[], %s::text[], %s::bigint[]
) AS t
ON CONFLICT (journal, run, position) DO UPDATE SET
    repeats = EXCLUDED.repeats, repeated = EXCLUDED.repeated, status = EXCLUDED.status, attempts = EXCLUDED.attempts,
    answer = EXCLUDED.answer, record = EXCLUDED.record, known_by = EXCLUDED.known_by
"""
_TAKE_BACK: Final = """
WITH gone AS (
    DELETE FROM omeda_async_journal_asides
    WHERE journal = %(journal)s AND run <> %(run)s AND NOT repeats AND known_by = ANY(%(refused_as)s::bigint[])
    RETURNING position
)
SELECT count(*) FROM gone
"""
_DROP: Final = """
DELETE FROM omeda_async_journal_asides WHERE journal = %(journal)s AND run <> %(run)s AND known_by IS NULL
"""
_ANY: Final = """
SELECT EXISTS (SELECT FROM omeda_async_journal_asides WHERE journal = %(journal)s),
    EXISTS (SELECT FROM omeda_async_journal_asides WHERE journal = %(journal)s AND NOT repeats)
"""


class Run:
    """A run of a journal, as it begins and finds what earlier ones have noted.

    Args:
        connection: The one that holds the journal's lock.
        journal: The number of the journal.
    """

    def __init__(self, connection: Connection, journal: int) -> None:
        self._sql = connection
        begun = row_of(connection, _BEGIN, {"journal": journal, "version": __version__})
        self._own = {"journal": journal, "run": begun[0]}
        self._had_any: bool
        self.had_refused: bool
        """Whether an earlier run refused records."""
        self._had_any, self.had_refused = row_of(connection, _ANY, self._own)

    def note(self, requests: int | None = None, recent: int | None = None) -> None:
        """Note its requests, unless they are to stay, in the same transaction as what it writes.

        Raises:
            PostgresFailed: It is not the one that may write any more.
        """
        values = {**self._own, "requests": requests, "recent": recent}
        if self._sql.execute(_SO_FAR, values).fetchone() is None:
            raise PostgresFailed(f"another run has begun it meanwhile, or it was removed, or {PARTED}")

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:
        """Note how it ended; without a cause it has met all there is, and asides known by position alone are gone."""
        self.note(requests)
        if cause is None:
            self._sql.execute(_DROP, self._own)
        why = cause and cause.replace("\0", "\\0")
        values = {"complete": cause is None, "counts": orjson.dumps(counts).decode(), "cause": why}
        self._sql.execute(_END, {**self._own, **values})

    def set_aside(
        self, asides: Sequence[Aside], results: Results, sharing: Iterable[tuple[int, int, int]] = ()
    ) -> None:
        """Write down what this run has met, in the place of what earlier ones have noted of the same.

        Args:
            asides: With what became of them.
            results: Writes that.
            sharing: Positions of those that share the outcome of a record, which record, and by what they are known.
        """
        results.store(self._sql, [one.kept.stored for one in asides])
        rows: dict[int, tuple[Any, ...]] = {
            position: (position, True, repeated, None, None, None, None, known_by)
            for position, repeated, known_by in sharing
        }
        for position, kept, entry, known_by in asides:
            record = None if entry is None else entry[entry.index(",") + 1 : -1]
            result = STATUS_CODES[kept.status], kept.attempts, results.numbers[kept.stored]
            rows[position] = (position, entry is None, None, *result, record, known_by)
        if rows:
            positions, repeats, *others, names = columns([*rows.values()])
            if self._had_any:
                met = {"positions": positions, "repeats": repeats, "known_by": names}
                self._sql.execute(_MEET, {**self._own, **met})
            self._sql.execute(_WRITE, (*self._own.values(), positions, repeats, *others, names))

    def take_back(self, refused_as: Sequence[int]) -> int:
        """Remove those that were refused, and that this run is about to send; return how many these are."""
        if not (self.had_refused and refused_as):
            return 0
        return int(row_of(self._sql, _TAKE_BACK, {**self._own, "refused_as": list(refused_as)})[0])
