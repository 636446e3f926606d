"""What became of records, as it is written to PostgreSQL: answers once for all that share one."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from omeda_async._postgres_blocking import Connection, columns, row_of
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.interface import Kept, ranges
from omeda_async.bulk.journal.postgres_tables import SPAN

NOTE: Final = """
UPDATE omeda_async_journal_records AS r SET status = t.status, attempts = t.attempts, answer = t.answer
FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::int[], %s::bigint[])
    AS t (first, last, status, attempts, answer)
WHERE r.id BETWEEN t.first AND t.last
"""
FORGET: Final = """
UPDATE omeda_async_journal_records SET status = NULL, attempts = NULL, answer = NULL WHERE id = ANY(%s)
"""
_INSERT_ANSWERS: Final = """
INSERT INTO omeda_async_journal_answers (id, answer) SELECT t.* FROM unnest(%s::bigint[], %s::text[]) AS t
"""
_RESERVE: Final = "UPDATE omeda_async_journals SET answers = answers + %s WHERE id = %s RETURNING answers - %s + 1"
_STORED_REMEMBERED: Final = 1000


def reserve(connection: Connection, journal: int, answers: int) -> int:
    """Reserve so many numbers for answers, which no other process gets; return the first."""
    return journal * SPAN + int(row_of(connection, _RESERVE, (answers, journal, answers))[0])


class Results:
    """Writes down what became of records.

    Args:
        numbers: Gives the first of so many numbers for answers, which nobody else gets.
    """

    def __init__(self, numbers: Callable[[int], int]) -> None:
        self._numbers_for = numbers
        self.numbers: dict[str, int] = {}
        """Of answers: of those, at least, that were stored last."""

    def note(self, connection: Connection, results: Sequence[tuple[Sequence[int], Kept]]) -> None:
        """Write what became of records, by their numbers."""
        self.store(connection, [kept.stored for _, kept in results])
        rows = [
            (first, last, STATUS_CODES[kept.status], kept.attempts, self.numbers[kept.stored])
            for records, kept in results
            for first, last in ranges(records)
        ]
        if rows:
            connection.execute(NOTE, columns(rows))

    def store(self, connection: Connection, texts: Sequence[str]) -> None:
        """Write what is stored of results, each text once."""
        if len(self.numbers) > _STORED_REMEMBERED:
            self.numbers.clear()
        if new := [text for text in dict.fromkeys(texts) if text not in self.numbers]:
            first = self._numbers_for(len(new))
            connection.execute(_INSERT_ANSWERS, (list(range(first, first + len(new))), new))
            self.numbers.update(zip(new, count(first)))
