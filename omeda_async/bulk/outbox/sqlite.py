# ruff: noqa: S608 all that is put together is here
"""Outboxes kept in SQLite files."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from weakref import finalize
from zlib import crc32

import orjson

from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.interface import Kept
from omeda_async.bulk.journal.sqlite_connection import INODE
from omeda_async.bulk.journal.sqlite_file import Files
from omeda_async.bulk.journal.sqlite_mark import close_mark, open_mark
from omeda_async.bulk.journal.sqlite_sums import DAMAGE
from omeda_async.bulk.outbox.again import longest_wait, seconds_until
from omeda_async.bulk.outbox.interface import Claimed, Ended, Found, Identity, LeaseLost, NewRecord, Opened, Put
from omeda_async.bulk.outbox.sqlite_file import ONE_MORE, damaged, displaced, note, open_file, sum_of, unusable, usable
from omeda_async.bulk.outbox.sqlite_status import survey
from omeda_async.bulk.outbox.status import ENDED, WAITING, OutboxStatus
from omeda_async.errors import ConfigurationError, OutboxError

# The states: 0 waits, 1 is about to be sent or was, 2 has its outcome.
_PUT: Final = """
INSERT INTO entries (state, put, due, fingerprint, key, record, sum) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_SAME_KEY: Final = "SELECT id, fingerprint FROM entries WHERE key = ? AND state != 2"
_LEASE: Final = "SELECT fence, until, seconds FROM lease"
_ATTEMPT: Final = "SELECT attempt FROM lease WHERE fence = ?"
_TAKE: Final = "UPDATE lease SET fence = ?, holder = ?, until = ?, seconds = ?, attempt = ?"
_RENEW: Final = "UPDATE lease SET until = ? + seconds WHERE fence = ?"
_HOLD: Final = "INSERT OR REPLACE INTO meta VALUES ('held_until', ?)"
_RELEASE: Final = "UPDATE lease SET until = 0, holder = '' WHERE fence = ?"
_TAKE_BACK: Final = """
UPDATE entries SET state = 0, doubt = 1, due = max(due, ? + (SELECT attempt FROM lease)) WHERE state = 1
"""
_NEXT: Final = "SELECT min(due), (SELECT attempt FROM lease) FROM entries WHERE state = 0"
# Later than anything can be due, where the clock has been put back.
_TOO_LATE: Final = "UPDATE entries SET due = :now WHERE state = 0 AND due > :latest"
_DUE: Final = """
SELECT id, key, record, sum, attempts, tries, doubt, put FROM entries WHERE state = 0 AND due <= ?
ORDER BY due, id LIMIT ?
"""
_CLAIM: Final = """
UPDATE entries SET state = 1, fence = ? WHERE id IN (SELECT value FROM json_each(?))
"""
_END: Final = """
UPDATE entries SET state = iif(:again_in IS NULL, 2, 0), due = :now + ifnull(:again_in, 0), tries = :tries,
attempts = :attempts, doubt = :doubtful, status = :status, answer = :answer, answer_sum = :sum,
ended = iif(:again_in IS NULL, :now, NULL), told = :again_in IS NULL AND :told,
record = iif(:again_in IS NULL AND :bare, NULL, record), key = iif(:again_in IS NULL AND :bare AND :told, NULL, key)
WHERE id = :number AND state = 1 AND fence = :fence
"""
_FOUND: Final = "SELECT id, key, record, state, status, attempts, answer, answer_sum FROM entries"
_FIND: Final = f"{_FOUND} WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
_UNTOLD: Final = f"{_FOUND} WHERE state = 2 AND NOT told ORDER BY id LIMIT ?"
_TOLD: Final = """
UPDATE entries SET told = 1, key = iif(?, NULL, key)
WHERE state = 2 AND id IN (SELECT value FROM json_each(?))
"""
_PRUNE: Final = """
DELETE FROM entries WHERE id IN
(SELECT id FROM entries WHERE state = 2 AND told AND ended < ? ORDER BY ended LIMIT ?)
"""


class SqliteStore:
    """Keeps an outbox in an SQLite file; a :class:`~omeda_async.bulk.outbox.interface.Store`.

    Args:
        path: The file; made if it does not exist, with mode 0600.
        identity: Whose outbox it is.
        now: The calendar time in seconds, the same for all processes.
    """

    two_threads = False
    _sql: sqlite3.Connection
    _files: Files
    _mark: int
    _name: str

    def __init__(self, path: Path, identity: Identity, now: Callable[[], float]) -> None:
        self._path = path
        self._identity = identity
        self._bare = identity.pii == "hash"
        self._now = now
        self._broken: OutboxError | None = None

    def open(self) -> Opened:
        """Open or create the file."""
        self._sql, self._files, opened = open_file(self._path, self._identity)
        finalize(self, self._sql.close)  # also where nobody closes the outbox
        with usable(self._path):
            self._mark, self._name = open_mark(self._path), opened.name
            note(self._mark, self._sql, self._name)
        return opened

    def put(self, records: Sequence[NewRecord]) -> Sequence[Put]:
        """Take records in; one whose key is under way already is not taken."""
        with self._transaction():
            now, found = self._now(), []
            for fingerprint, key, record in records:
                values = (WAITING, now, now, fingerprint, key, record, sum_of(key, record))
                made = self._sql.execute(_PUT, values)
                if made.rowcount == 1:
                    found.append(Put(made.lastrowid or 0))
                else:
                    number, other = self._sql.execute(_SAME_KEY, (key,)).fetchone()
                    found.append(Put(number, differs=other != fingerprint))
            return found

    async def put_within(self, record: NewRecord, connection: object) -> Put:  # noqa: ARG002 the protocol's signature
        """Refuse it: a file of its own is written in no transaction of the caller's."""
        raise ConfigurationError(
            "connection= is for an outbox in PostgreSQL: this one is a file, with its own transactions"
        )

    def take(self, holder: str, seconds: float, attempt: float) -> int | None:
        """Take the lease, if nobody has it; return its fence, or None."""
        with usable(self._path):
            if self._next_fence() is None:
                return None  # without having anybody wait for it
        with self._transaction():
            if (fence := self._next_fence()) is not None:
                now = self._now()
                self._sql.execute(_TAKE_BACK, (now,))
                self._sql.execute(_HOLD, (0.0,))
                self._sql.execute(_TAKE, (fence, holder, now + seconds, seconds, attempt))
            return fence

    def renew(self, fence: int, held_for: float = 0.0) -> bool:
        """Have the lease last for its seconds from now; False where it is another's."""
        with self._transaction():
            now = self._now()
            if self._sql.execute(_RENEW, (now, fence)).rowcount != 1:
                return False
            self._sql.execute(_HOLD, (now + held_for if held_for else 0.0,))  # no moment, should the clock be put back
            return True

    def release(self, fence: int) -> None:
        """Give the lease back; what is claimed under it and has not ended is in doubt."""
        with self._transaction():
            if self._sql.execute(_RELEASE, (fence,)).rowcount:
                self._sql.execute(_TAKE_BACK, (self._now(),))

    def next_due(self) -> float | None:
        """Return the seconds until a record can be claimed; None where none waits."""
        with usable(self._path):
            due, attempt = self._sql.execute(_NEXT).fetchone()
        return None if due is None else seconds_until(due - self._now(), attempt)

    def claim(self, fence: int, most: int, most_bytes: int) -> Sequence[Claimed]:
        """Note that the records that are due are about to be sent, and return them."""
        with self._transaction():
            attempt = self._check(fence)
            now, size, found = self._now(), 0, list[Claimed]()
            self._sql.execute(_TOO_LATE, {"now": now, "latest": now + longest_wait(attempt)})
            for number, key, record, noted, attempts, tries, doubt, put in self._sql.execute(_DUE, (now, most)):
                size += len(record)
                if size > most_bytes and found:
                    break
                if sum_of(key, record) != noted:
                    self._broken = damaged(self._path, "a record is not what was put")
                    raise self._broken
                found.append(Claimed(number, key, record, attempts, tries, bool(doubt), max(0.0, now - put)))
            if found:
                self._sql.execute(_CLAIM, (fence, _dumped([one.number for one in found])))
            return found

    def end(self, fence: int, ended: Sequence[Ended]) -> None:
        """Note what claimed records have ended with."""
        with self._transaction():
            self._check(fence)
            now = self._now()
            self._sql.executemany(_END, [self._row(fence, now, one) for one in ended])

    def find(self, numbers: Iterable[int]) -> Sequence[Found]:
        """Return those that are there."""
        with usable(self._path):
            return [self._found(row) for row in self._sql.execute(_FIND, (_dumped([*numbers]),))]

    def untold(self, most: int) -> Sequence[Found]:
        """Return records with an outcome that somebody has to be told."""
        with usable(self._path):
            return [self._found(row) for row in self._sql.execute(_UNTOLD, (most,))]

    def told(self, numbers: Sequence[int]) -> None:
        """Note that the outcomes have been told."""
        with self._transaction():
            self._sql.execute(_TOLD, (self._bare, _dumped(numbers)))

    def prune(self, seconds: float, most: int) -> int:
        """Remove records with an outcome, told, that is older than so many seconds."""
        with self._transaction():
            removed = self._sql.execute(_PRUNE, (self._now() - seconds, most)).rowcount
        if removed < most:  # the log beside the file holds what was removed; while somebody reads it, it stays
            with suppress(sqlite3.Error):  # whoever needs what cannot be read says so
                self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def status(self) -> OutboxStatus:
        """Return what it holds."""
        with usable(self._path):
            return survey(self._sql, self._path, self._now())

    def close(self) -> None:
        """Close it."""
        if hasattr(self, "_sql"):
            self._sql.close()
        if hasattr(self, "_mark"):
            close_mark(self._mark)
            del self._mark

    def _next_fence(self) -> int | None:
        """Return the fence of who takes the lease now; None where somebody has it."""
        fence, until, seconds = self._sql.execute(_LEASE).fetchone()
        now = self._now()
        is_held = now < until <= now + seconds + 1.0  # later than it can be, where the clock has been put back
        return None if is_held else fence + 1

    def _check(self, fence: int) -> float:
        """Return how long an attempt may take of those who have the lease by this fence."""
        lease = self._sql.execute(_ATTEMPT, (fence,)).fetchone()
        if lease is None:
            raise LeaseLost
        return float(lease[0])

    def _row(self, fence: int, now: float, one: Ended) -> dict[str, Any]:
        status, attempts, answer = one.kept
        more = {"status": STATUS_CODES[status], "attempts": attempts, "answer": answer, "sum": crc32(answer.encode())}
        return {**one._asdict(), **more, "fence": fence, "now": now, "bare": self._bare}

    def _found(self, row: tuple[Any, ...]) -> Found:
        number, key, record, state, status, attempts, answer, noted = row
        if state != ENDED:
            return Found(number, key, record, None)
        if crc32(answer.encode()) != noted:
            raise damaged(self._path, "an outcome is not what was written")
        return Found(number, key, record, Kept(STATUSES[status], attempts, answer))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Do something in one transaction, which counts if the files are where they were: SQLite would not miss one."""
        if self._broken is not None:
            raise self._broken
        committing = False
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute(ONE_MORE)
                committing = True
                self._sql.execute("COMMIT")
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
            note(self._mark, self._sql, self._name)
            if [*map(INODE, map(os.stat, self._files))] != [*self._files.values()]:
                raise displaced(self._path)
        except FileNotFoundError as error:
            raise displaced(self._path) from error
        except (sqlite3.Error, OSError, *DAMAGE) as error:
            failure = unusable(self._path, error, committing=committing)
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
                self._broken = failure
            raise failure from error


def _dumped(numbers: Sequence[int]) -> str:
    return orjson.dumps(numbers).decode()
