"""What is written into a journal and looked up in it, a group in one transaction; runs in the journal's thread."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import attrs
import orjson

from omeda_async import _clock
from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item, still_doubtful
from omeda_async.bulk.journal.codec import SETTLED, STATUS_CODES, STATUSES, result_of
from omeda_async.bulk.journal.file import JournalFile, unusable
from omeda_async.outcomes import OutcomeStatus, Tally

T = TypeVar("T")

# Few statements, many rows: each step of SQLite lets go of the interpreter, and has to wait to get it back.
_LOOK_UP: Final = """
WITH RECURSIVE n (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM n WHERE place + 1 < :count)
SELECT json_group_array(json_array(place, outcomes.id, json_extract(entry, '$[0]'), status, attempts, answer))
FROM n CROSS JOIN prints ON prints.fingerprint = substr(:prints, 16 * place + 1, 16)
JOIN outcomes ON outcomes.id = prints.record
"""
_INSERT_RECORDS: Final = """
INSERT INTO records SELECT :first + key, substr(:prints, 16 * key + 1, 16), value FROM json_each(:entries)
"""
_INSERT_RESULTS: Final = "INSERT INTO results VALUES (?, ?, ?, ?, ?)"
_AGAIN: Final = frozenset({OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT})
_ANSWERS_KEPT: Final = 1000


class Known(NamedTuple):
    """What an earlier run has written about an item."""

    place: int
    record: int
    position: int
    status: int | None
    """None: it was about to be sent, and no result was noted."""
    attempts: int
    answer: int


class Ending(NamedTuple):
    """What is written of a result, besides whose it is."""

    status: int
    attempts: int
    answer: int


@attrs.define
class Group:
    """What is written in one transaction."""

    begun: list[Sequence[Item]] = attrs.field(factory=list)
    """About to be sent."""
    results: list[Closed] = attrs.field(factory=list)
    left: list[Closed] = attrs.field(factory=list)
    """What became of items that were perhaps never begun, and that an earlier run may know more about."""
    asides: list[Closed] = attrs.field(factory=list)
    """Records that are counted and never sent: repeats of earlier ones, and those refused locally."""
    requests: int = 0
    """Made by the run so far."""
    recent: int = 0
    """Those made of late."""

    def let_go(self) -> None:
        """Hold nothing more: the thread keeps its last task until there is another."""
        for held in (self.begun, self.results, self.left, self.asides):
            held.clear()

    @property
    def notes(self) -> int:
        """Return how many records nobody waits for."""
        return sum(len(items) for items, _ in self.asides)


class Book:
    """A journal's tables, from the inside.

    Args:
        file: The journal, open for a run; closed with the book.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._codec = file.codec
        self._sql = file.connection
        self._next_record = 1 + self._number("SELECT ifnull(max(id), 0) FROM records")
        self._indexed = bool(self._number("SELECT count(*) FROM (SELECT 1 FROM prints LIMIT 1)"))
        self._begun: dict[Item, int] = {}
        self._repeating: set[Item] = set()
        self._taken: set[int] = set()
        """Records of earlier runs that an item of this one is under way for."""
        self._answers: dict[str, int] = {}
        self._results: dict[tuple[Any, ...], Result[Any]] = {}

    @property
    def recent(self) -> tuple[int, float]:
        """Return how many requests earlier runs have made of late, and how long ago that was."""
        return self._file.recent

    def _number(self, sql: str) -> int:
        number: int = self._sql.execute(sql).fetchone()[0]
        return number

    def write(self, group: Group) -> dict[Item, Result[Any]]:
        """Write a group; return what earlier runs noted: of those begun where settled, and of those left.

        Raises:
            JournalError: It could not be written; nothing of it was.
        """
        return self._transaction(lambda: self._write(group))

    def end(self, tally: Tally, cause: BaseException | None) -> None:
        """Note how the run ended.

        Raises:
            JournalError: It could not be written.
        """
        self._transaction(lambda: self._end(tally, cause))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _transaction(self, work: Callable[[], T]) -> T:
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                given = work()
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise unusable(self._file.path, error) from error
        return given

    def _write(self, group: Group) -> dict[Item, Result[Any]]:
        settled = self._begin([item for items in group.begun for item in items])
        standing = self._enter_left(group.left)
        self._settle(group.results + group.left)
        self._aside(group.asides)
        made = (group.requests, group.recent, _clock.utc_now().timestamp(), self._file.run)
        self._sql.execute("UPDATE runs SET requests = ?, recent = ?, seen = ? WHERE id = ?", made)
        return settled | standing

    def _end(self, tally: Tally, cause: BaseException | None) -> None:
        if cause is None:  # the whole input was read: what this run has not met is no part of it any more
            self._sql.execute("DELETE FROM asides WHERE run != ?", (self._file.run,))
        counts = {status.value: number for status, number in tally.counts.items()}
        why = None if cause is None else self._codec.text(f"{type(cause).__name__}: {cause}")
        now, counted = _clock.utc_now().timestamp(), orjson.dumps(counts).decode()
        self._sql.execute(
            "UPDATE runs SET ended = ?, requests = ?, complete = ?, counts = ?, cause = ? WHERE id = ?",
            (now, tally.requests, cause is None, counted, why, self._file.run),
        )

    def _begin(self, items: list[Item]) -> dict[Item, Result[Any]]:
        settled: dict[Item, Result[Any]] = {}
        again: list[tuple[int]] = []
        for known, item in self._enter(items):
            repeats = self._repeats(known, item)
            status = STATUSES[known.status] if known.status is not None else None
            if status in SETTLED:
                settled[item] = self._result(known)
                self._aside([([item], settled[item])] if repeats else [])
                continue
            item.doubtful = status not in _AGAIN
            if repeats or known.record in self._taken:
                self._repeating.add(item)
            if known.record in self._taken:
                continue  # a repeat that comes too late to be recognised: the result is that of the first
            self._begun[item] = known.record
            self._taken.add(known.record)
            if not item.doubtful:
                again.append((known.record,))
        self._sql.executemany("DELETE FROM results WHERE first = ?", again)
        return settled

    def _enter_left(self, left: list[Closed]) -> dict[Item, Result[Any]]:
        """Write down those never begun; what an earlier run wrote of one stands, and is given."""
        results = {item: result for items, result in left for item in items if item not in self._begun}
        standing: dict[Item, Result[Any]] = {}
        for known, item in self._enter(list(results)):
            standing[item] = self._standing(known, item, results[item])
            repeats = self._repeats(known, item) or item in self._repeating
            self._repeating.discard(item)
            self._aside([([item], standing[item])] if repeats else [])
        return standing

    def _standing(self, known: Known, item: Item, result: Result[Any]) -> Result[Any]:
        if known.status is None:  # a run that was killed had sent it, or was about to
            item.doubtful = True
            return still_doubtful(item, result)
        return result if STATUSES[known.status] is OutcomeStatus.NOT_SENT else self._result(known)

    def _enter(self, items: list[Item]) -> list[tuple[Known, Item]]:
        """Write down the items that are new; give the others, with what is known about them."""
        prints = self._codec.prints(items)
        found = self._look_up(prints, len(items)) if self._indexed and items else []
        if found:
            places = {known.place for known in found}
            fresh = [item for place, item in enumerate(items) if place not in places]
            self._insert(fresh, self._codec.prints(fresh))
        else:
            self._insert(items, prints)
        return [(known, items[known.place]) for known in found]

    def _look_up(self, prints: bytes, number: int) -> list[Known]:
        row = self._sql.execute(_LOOK_UP, {"prints": prints, "count": number}).fetchone()
        return [Known(*values) for values in orjson.loads(row[0])]

    def _insert(self, items: list[Item], prints: bytes) -> None:
        if items:
            first = self._next_record
            self._next_record += len(items)
            values = {"first": first, "prints": prints, "entries": self._codec.entries(items)}
            self._sql.execute(_INSERT_RECORDS, values)
            self._begun.update(zip(items, range(first, self._next_record), strict=True))

    def _repeats(self, known: Known, item: Item) -> bool:
        """Whether an item repeats a record further up; a record that has itself moved up does not."""
        if known.position > item.position:
            sql = "UPDATE records SET entry = json_set(entry, '$[0]', ?) WHERE id = ?"
            self._sql.execute(sql, (item.position, known.record))
        return known.position < item.position

    def _result(self, known: Known) -> Result[Any]:
        """Return the result of a settled record; records of one request share their receipt again."""
        key = known[3:]
        if key not in self._results:
            if len(self._results) >= _ANSWERS_KEPT:
                self._results.clear()
            row = self._sql.execute("SELECT answer FROM answers WHERE id = ?", (known.answer,)).fetchone()
            self._results[key] = result_of(row[0], known.status or 0, known.attempts)
        return self._results[key]

    def _settle(self, closed: list[Closed]) -> None:
        ranges = list(self._ranges(closed))
        if self._indexed:  # what an earlier run left in doubt has a result of its own still
            self._sql.executemany("DELETE FROM results WHERE first BETWEEN ? AND ?", [one[:2] for one in ranges])
        self._sql.executemany(_INSERT_RESULTS, ranges)
        if self._repeating:
            for items, result in closed:
                self._aside([([item], result) for item in items if item in self._repeating])
                self._repeating.difference_update(items)

    def _ranges(self, closed: list[Closed]) -> Iterator[tuple[int, int, int, int, int]]:
        """Join neighbours with the same result: first and last record, status, attempts, answer."""
        ending_of = self._endings()
        for items, result in closed:
            ending = ending_of(result)
            # Those an earlier run has settled are not among the begun.
            records = [self._begun.pop(item) for item in items if item in self._begun]
            self._taken.difference_update(records)
            # What a repeat may change yet stands alone.
            alone = result.status not in SETTLED
            for first, last in zip(records, records, strict=True) if alone else _runs(records):
                yield first, last, *ending

    def _aside(self, closed: list[Closed]) -> None:
        ending_of = self._endings()
        rows = [
            (
                item.position,
                self._file.run,
                bool(item.fingerprint),
                *ending_of(result),
                None if item.fingerprint else self._codec.entries([item])[1:-1],
            )
            for items, result in closed
            for item in items
        ]
        self._sql.executemany("INSERT OR REPLACE INTO asides VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _endings(self) -> Callable[[Result[Any]], Ending]:
        """Make what writes a result's answer and says the rest: once, however many records share it."""
        seen: dict[tuple[int, ...], Ending] = {}

        def find(result: Result[Any]) -> Ending:
            receipt, error, known = id(result.receipt), id(result.error), id(result.known)
            key = (receipt, error, known, result.attempts, result.settled, result.doubtful)
            ending = seen.get(key)
            if ending is None:
                answer = self._answer_id(self._codec.answer(result))
                ending = seen[key] = Ending(STATUS_CODES[result.status], result.attempts, answer)
            return ending

        return find

    def _answer_id(self, answer: str) -> int:
        known = self._answers.get(answer)
        if known is None:
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            known = self._sql.execute("INSERT INTO answers (answer) VALUES (?)", (answer,)).lastrowid or 0
            self._answers[answer] = known
        return known


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Return the first and the last of numbers that follow on one another."""
    first = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[first], numbers[place - 1]
            first = place
