"""Outboxes kept in PostgreSQL: what is put, delivered and told.

Everything is one message to the server, and one transaction, whose locks it never holds while it waits for this
process: one that is suspended keeps nobody waiting. Times are the server's.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from omeda_async._postgres_blocking import Connection, PostgresFailed, failing
from omeda_async._postgres_callers import CallerFailed, NoConnection, rows_by
from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.interface import Kept
from omeda_async.bulk.outbox import postgres_sql as sql
from omeda_async.bulk.outbox.again import LONGEST_WAIT, seconds_until
from omeda_async.bulk.outbox.interface import Claimed, Ended, Found, Identity, LeaseLost, NewRecord, Opened, Put
from omeda_async.bulk.outbox.postgres_link import Box, Line, begin
from omeda_async.bulk.outbox.postgres_status import read_status
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.bulk.outbox.url import OutboxUrl
from omeda_async.errors import ConfigurationError, OutboxError

STEPS: Final = (sql.PUT, sql.SAME_KEYS) * 3
"""How a record is put: what is not put has a key that is under way, which is looked for then.

It is put anew, so many times, where that key is not under way any more by then.
"""
_BLOCKED: Final = {"55P03", "40P01"}
"""A lock that is not had in time; a deadlock."""


class PostgresStore:
    """Keeps an outbox in PostgreSQL; a :class:`~omeda_async.bulk.outbox.interface.Store`.

    Args:
        url: The database, and the name of the outbox.
        identity: Whose outbox it is.
    """

    two_threads = True
    _box: Box

    def __init__(self, url: OutboxUrl, identity: Identity) -> None:
        self._url = url
        self._identity = identity
        self._delivers, self._asks = Line(url), Line(url)
        self._claims = 0
        self._unheard = False
        """Whether it is not known what became of the last claim."""

    def open(self) -> Opened:
        """Connect, make what is missing, and check that it is the caller's own."""
        self._box = self._delivers.do(partial(begin, url=self._url, identity=self._identity))
        label = self._box.label
        self._values: dict[str, Any] = {
            "outbox": self._box.id,
            "label": label,
            "channel": sql.channel_of(label),
            "bare": self._identity.pii == "hash",
        }
        return Opened(label, self._box.salt)

    def put(self, records: Sequence[NewRecord]) -> Sequence[Put | OutboxError]:
        """Take records in; one whose key is under way already is not taken."""
        puts = self._asks.do(partial(self._put, records), puts=True)
        if len(records) == 1:
            return [puts[0] or self._blocked()]
        # Of those that are left one waits for somebody: the others need not.
        return [put or self.put([record])[0] for record, put in zip(records, puts, strict=True)]

    async def put_within(self, record: NewRecord, connection: object) -> Put:
        """Take a record in by a transaction of the caller's, with which it counts or does not."""
        values = self._new([record])
        try:
            for step in STEPS:
                rows = await rows_by(connection, step.replace("<schema>", f"{self._box.schema}."), values)
                [put] = self._puts([record], rows)
                if put is not None:
                    return put
        except NoConnection as error:
            raise ConfigurationError(f"connection: {error}") from None
        except CallerFailed as error:
            raise OutboxError(f"this record was not put by the caller's connection: {error}") from error.__cause__
        raise self._blocked()

    def take(self, holder: str, seconds: float, attempt: float) -> int | None:
        """Take the lease, if nobody has it; return its fence, or None."""
        [(is_there, is_held)] = self._delivers.rows(sql.LOOK, self._values)
        if not is_there:
            raise self._gone()
        if is_held:
            return None  # without having anybody wait for it
        values = {**self._values, "holder": holder, "seconds": seconds, "attempt": attempt}
        [taken] = self._delivers.said(sql.TAKE, values)
        return int(taken[0][0]) if taken else None

    def renew(self, fence: int, held_for: float = 0.0) -> bool:
        """Have the lease last for its seconds from now; False where it is another's."""
        return bool(self._delivers.rows(sql.RENEW, {**self._values, "fence": fence, "held_for": held_for}))

    def release(self, fence: int) -> None:
        """Give the lease back; what is claimed under it and has not ended is in doubt."""
        self._delivers.said(sql.RELEASE, {**self._values, "fence": fence})

    def next_due(self) -> float | None:
        """Return the seconds until a record can be claimed; None where none waits."""
        if self._unheard:
            return 0.0
        [(seconds, attempt)] = self._delivers.rows(sql.NEXT, self._values)
        return None if seconds is None else seconds_until(seconds, attempt)

    def claim(self, fence: int, most: int, most_bytes: int) -> Sequence[Claimed]:
        """Note that the records that are due are about to be sent, and return them."""
        values = {**self._values, "fence": fence, "longest": LONGEST_WAIT}
        if self._unheard:  # of what may have been claimed, nobody knows
            rows = self._delivers.rows(sql.CLAIMED, {**values, "claim": self._claims})
            self._unheard = False
            if found := _claimed(rows):
                return found
        self._claims += 1
        try:
            ask = {**values, "claim": self._claims, "most": most, "most_bytes": most_bytes}
            return _claimed(self._delivers.rows(sql.CLAIM, ask))
        except OutboxError as error:
            self._unheard = error.sent
            raise

    def end(self, fence: int, ended: Sequence[Ended]) -> None:
        """Note what claimed records have ended with."""
        columns = {
            "ids": [one.number for one in ended],
            "agains": [one.again_in for one in ended],
            "tries": [one.tries for one in ended],
            "attempts": [one.kept.attempts for one in ended],
            "doubts": [one.doubtful for one in ended],
            "statuses": [STATUS_CODES[one.kept.status] for one in ended],
            "answers": [one.kept.stored for one in ended],
            "tolds": [one.told for one in ended],
        }
        if not self._delivers.rows(sql.END, {**columns, **self._values, "fence": fence}):
            raise LeaseLost

    def find(self, numbers: Iterable[int]) -> Sequence[Found]:
        """Return those that are there."""
        return [_found(row) for row in self._asks.rows(sql.FIND, {**self._values, "numbers": [*numbers]})]

    def untold(self, most: int) -> Sequence[Found]:
        """Return records with an outcome that somebody has to be told."""
        return [_found(row) for row in self._delivers.rows(sql.UNTOLD, {**self._values, "most": most})]

    def told(self, numbers: Sequence[int]) -> None:
        """Note that the outcomes have been told."""
        self._delivers.rows(sql.TOLD, {**self._values, "numbers": [*numbers]})

    def prune(self, seconds: float, most: int) -> int:
        """Remove records with an outcome, told, that is older than so many seconds."""
        return len(self._asks.rows(sql.PRUNE, {**self._values, "seconds": seconds, "most": most}))

    def status(self) -> OutboxStatus:
        """Return what it holds."""
        return read_status(self._url)

    def close(self) -> None:
        """Close it."""
        self._delivers.close()
        self._asks.close()

    def _put(self, records: Sequence[NewRecord], connection: Connection) -> Sequence[Put | None]:
        """Take records in; None stands for one that somebody else's transaction keeps from it."""
        found: list[Put | None] = [None] * len(records)
        for step in STEPS:
            left = [place for place, put in enumerate(found) if put is None]
            if not left:
                break
            new = [records[place] for place in left]
            try:
                with failing(connection):
                    rows = connection.execute(step.replace("<schema>", "").encode(), self._new(new)).fetchall()
            except PostgresFailed as error:
                if error.code in _BLOCKED:
                    break
                raise
            for place, put in zip(left, self._puts(new, rows), strict=True):
                found[place] = put
        return found

    def _new(self, records: Sequence[NewRecord]) -> dict[str, Any]:
        fingerprints, keys, texts = map(list, zip(*records, strict=True))
        return {**self._values, "fingerprints": fingerprints, "keys": keys, "records": texts}

    def _puts(self, records: Sequence[NewRecord], rows: Sequence[tuple[Any, ...]]) -> Iterator[Put | None]:
        """Return what became of records, as far as the rows tell.

        Raises:
            OutboxError: There is no such outbox where they were to be put.
        """
        if not rows:
            raise self._gone()
        found = {key: (number, print_) for number, key, print_ in rows}
        keyless = iter([Put(number) for number, key, _ in rows if number is not None and key is None])
        for print_, key, _ in records:
            if key is None:
                yield next(keyless, None)
            elif key in found:
                number, other = found[key]
                yield Put(number, differs=other != print_)
            else:
                yield None

    def _blocked(self) -> OutboxError:
        return OutboxError(
            f"the outbox {self._url} cannot take this record now: a transaction that has not ended yet is putting its "
            "key; this was not put: put it again when that has ended"
        )

    def _gone(self) -> OutboxError:
        return OutboxError(
            f"the outbox {self._url} is not in this database, or not any more: open it anew; or give a connection to "
            "the database that it is in"
        )


def _claimed(rows: Sequence[tuple[Any, ...]]) -> Sequence[Claimed]:
    if not rows:
        raise LeaseLost
    return [Claimed(*row) for row in rows if row[0] is not None]


def _found(row: tuple[Any, ...]) -> Found:
    number, key, record, status, attempts, answer = row
    return Found(number, key, record, None if status is None else Kept(STATUSES[status], attempts, answer))
