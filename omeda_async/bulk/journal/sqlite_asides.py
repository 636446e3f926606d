"""Records of an SQLite journal that are counted and never sent, and those of earlier runs that they stand for."""

import sqlite3
from typing import Final

# By what they are known they would be written in no order: an index in the file would cost more than it gives.
_INDEX: Final = (
    """
    CREATE TEMP TABLE earlier_asides AS SELECT known_by, repeats, run, position FROM asides WHERE run != :run
    """,
    "CREATE INDEX temp.earlier_asides_known ON earlier_asides (known_by)",
    "CREATE INDEX temp.earlier_asides_placed ON earlier_asides (position) WHERE known_by IS NULL",
)
# Of those that are known by their positions alone, as they were once written, the one that is there.
_MET: Final = """
WITH given AS (
    SELECT json_extract(value, '$[7]') AS known_by, json_extract(value, '$[1]') AS repeats,
    json_extract(value, '$[0]') AS position FROM json_each(:asides)
),
numbers AS (SELECT known_by, repeats, count(*) AS number FROM given GROUP BY known_by, repeats),
earlier AS (
    SELECT e.rowid AS id, run, position, number,
    row_number() OVER (PARTITION BY e.known_by, e.repeats ORDER BY e.rowid) AS place
    FROM numbers CROSS JOIN temp.earlier_asides AS e ON e.known_by = numbers.known_by AND e.repeats = numbers.repeats
)
SELECT id, run, position FROM earlier WHERE place <= number
UNION SELECT e.rowid, e.run, e.position FROM given CROSS JOIN temp.earlier_asides AS e ON e.position = given.position
WHERE e.known_by IS NULL
"""
_TAKEN_BACK: Final = """
SELECT e.rowid, e.run, e.position FROM json_each(:refused_as) AS given
CROSS JOIN temp.earlier_asides AS e ON e.known_by = given.value WHERE NOT e.repeats
"""
_ANY: Final = "SELECT EXISTS (SELECT * FROM asides)"
_LET_GO: Final = "DELETE FROM asides WHERE run = ? AND position = ?"
_LET_GO_EARLIER: Final = "DELETE FROM temp.earlier_asides WHERE rowid = ?"
_DROP: Final = "DELETE FROM asides WHERE run != ? AND known_by IS NULL"


class EarlierAsides:
    """The asides of earlier runs, as a run that begins finds them.

    Args:
        connection: To the journal.
        run: The number of the run.
    """

    def __init__(self, connection: sqlite3.Connection, run: int) -> None:
        self._sql, self._run = connection, run
        self._are_there = bool(connection.execute(_ANY).fetchone()[0])
        self._is_indexed = False

    def meet(self, asides: str) -> None:
        """Let those go that this run has met: it is about to write them down as its own."""
        self._let_go(_MET, {"asides": asides})

    def take_back(self, refused_as: str) -> None:
        """Let those go that were refused, and that this run is about to send."""
        self._let_go(_TAKEN_BACK, {"refused_as": refused_as})

    def end(self) -> None:
        """Let those go that are known by their positions alone: the run has met all there is."""
        self._sql.execute(_DROP, (self._run,))

    def _let_go(self, sql: str, values: dict[str, str]) -> None:
        if not self._are_there:
            return
        if not self._is_indexed:
            for statement in _INDEX:
                self._sql.execute(statement, {"run": self._run})
            self._is_indexed = True
        if found := self._sql.execute(sql, values).fetchall():
            self._sql.executemany(_LET_GO, [one[1:] for one in found])
            self._sql.executemany(_LET_GO_EARLIER, [one[:1] for one in found])
