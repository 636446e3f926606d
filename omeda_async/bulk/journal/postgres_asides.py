"""Records of a journal in PostgreSQL that are counted and never sent, and those of earlier runs that they stand for."""

from collections.abc import Sequence
from typing import Final

from omeda_async._postgres_blocking import Connection, row_of

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

    def meet(self, known_by: Sequence[int], repeats: Sequence[bool], positions: Sequence[int]) -> None:
        """Let those of earlier runs go that this one has met: it is about to write them down as its own."""
        if self._had_any:
            values = {"known_by": list(known_by), "repeats": list(repeats), "positions": list(positions)}
            self._sql.execute(_MEET, {**values, "journal": self._journal, "run": self._run})

    def take_back(self, refused_as: Sequence[int]) -> None:
        """Let those go that were refused, and that this run is about to send."""
        if self.had_refused and refused_as:
            values = {"journal": self._journal, "run": self._run, "refused_as": list(refused_as)}
            self._sql.execute(_TAKE_BACK_NOTED if self._are_noted else _TAKE_BACK, values)

    def end(self) -> None:
        """Let those go that are known by their positions alone: the run has met all there is."""
        self._sql.execute(_DROP, (self._journal, self._run))
