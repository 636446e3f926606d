"""Records of a journal in PostgreSQL that are counted and never sent, and those of earlier runs that they stand for."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from omeda_async._postgres_blocking import Connection, columns, row_of
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.interface import Aside
from omeda_async.bulk.journal.postgres_results import Results

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
DELETE FROM omeda_async_journal_asides
WHERE journal = %(journal)s AND run <> %(run)s AND NOT repeats AND known_by = ANY(%(refused_as)s::bigint[])
"""
_TAKE_BACK_NOTED: Final = """
WITH gone AS (<take back> RETURNING position)
UPDATE omeda_async_journals SET asides = asides - (SELECT count(*) FROM gone) WHERE id = %(journal)s
""".replace("<take back>", _TAKE_BACK)
_DROP: Final = "DELETE FROM omeda_async_journal_asides WHERE journal = %s AND run <> %s AND known_by IS NULL"
_ANY: Final = """
SELECT EXISTS (SELECT FROM omeda_async_journal_asides WHERE journal = %(journal)s),
    EXISTS (SELECT FROM omeda_async_journal_asides WHERE journal = %(journal)s AND NOT repeats)
"""


class Asides:
    """The asides of a journal, as a run that begins finds them.

    Args:
        connection: To the database.
        journal: The number of the journal.
        run: That of the run.
        are_noted: Whether it is noted how many there are, as in the journal of a shared run.
    """

    def __init__(self, connection: Connection, journal: int, run: int, *, are_noted: bool) -> None:
        self._sql, self._journal, self._run, self._are_noted = connection, journal, run, are_noted
        self._had_any: bool
        self.had_refused: bool
        self._had_any, self.had_refused = row_of(connection, _ANY, {"journal": journal})
        """Whether an earlier run refused records."""

    def add(self, asides: Sequence[Aside], results: Results, sharing: Iterable[tuple[int, int, int]] = ()) -> None:
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
            result = STATUS_CODES[kept.status], kept.attempts, results.number_of(kept.stored)
            rows[position] = (position, entry is None, None, *result, record, known_by)
        if rows:
            positions, repeats, *others, names = columns([*rows.values()])
            if self._had_any:
                met = {"positions": positions, "repeats": repeats, "known_by": names}
                self._sql.execute(_MEET, {**met, "journal": self._journal, "run": self._run})
            self._sql.execute(_WRITE, (self._journal, self._run, positions, repeats, *others, names))

    def take_back(self, refused_as: Sequence[int]) -> None:
        """Let those go that were refused, and that this run is about to send."""
        if self.had_refused and refused_as:
            values = {"journal": self._journal, "run": self._run, "refused_as": list(refused_as)}
            self._sql.execute(_TAKE_BACK_NOTED if self._are_noted else _TAKE_BACK, values)

    def end(self) -> None:
        """Let those go that are known by their positions alone: the run has met all there is."""
        self._sql.execute(_DROP, (self._journal, self._run))
