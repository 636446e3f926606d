"""Writing what becomes of a chunk of a shared run: a group in one transaction, in which the fence is checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from omeda_async import _clock
from omeda_async._postgres_blocking import UNDONE, PostgresFailed, failing, transaction
from omeda_async.bulk.journal.chunks import CANCELLED, Claimed, Terms
from omeda_async.bulk.journal.codec import FINGERPRINT_BYTES
from omeda_async.bulk.journal.interface import SETTLED, Known, Opened, WriteGroup, Written
from omeda_async.bulk.journal.postgres_chunks import HOLD, give_back, is_news
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.postgres_link import usable
from omeda_async.bulk.journal.postgres_results import FORGET, Results, reserve
from omeda_async.errors import JournalError

T = TypeVar("T")
LOST: Final = "another process performs this chunk now: nothing more of it was written or sent here"
OUT: Final = 30.0
"""Seconds that a lost connection is tried to be had again, if the lease lasts that long."""
_AGAIN_IN: Final = 0.2
_RESERVED: Final = 1000
_WIPE_THESE: Final = "UPDATE omeda_async_journal_records SET record = NULL WHERE id = ANY(%s)"


class ChunkBackend:
    """Keeps what becomes of a chunk; a :class:`~omeda_async.bulk.journal.interface.Backend`.

    The positions it is given are the places of the records in the chunk's rows.

    Args:
        line: The connection.
        claimed: The chunk.
        terms: How it is held.
        asked: When it was asked for.
        now: Tells the time in seconds, in any thread.
        tell: Called in a thread with why nothing more may be begun.
    """

    def __init__(
        self,
        line: Line,
        claimed: Claimed,
        terms: Terms,
        *,
        asked: float,
        now: Callable[[], float],
        tell: Callable[[str], Any],
    ) -> None:
        self.place = str(line.url)
        self.is_lost = False
        """Whether another process has it."""
        self.done: bool | None = None
        """Whether it was given back as done, or to be gone on with; None while it was not given back."""
        self.has_lapsed = False
        """Whether something was not sent as the lease may have run out."""
        self._line, self._claimed, self._terms, self._now, self._tell = line, claimed, terms, now, tell
        self._until = asked + terms.lease
        self._places = {row.fingerprint: place for place, row in enumerate(claimed.rows)}
        self._reserved = range(0)
        self._results = Results(self._numbers_for)
        self._hold = {
            "journal": claimed.journal,
            "number": claimed.number,
            "fence": claimed.fence,
            "lease": terms.lease,
            "attempt": terms.attempt,
            "requests": None,
            "recent": None,
        }

    def lapsed(self) -> bool:
        """Whether the lease may have run out, so that nothing may be sent any more."""
        self.has_lapsed = self.has_lapsed or self.is_lost or self._now() >= self._until
        return self.has_lapsed

    def renew(self, line: Line) -> None:
        """Hold the chunk for longer, by another connection."""
        asked, sql = self._now(), line.connected()
        with usable(line.url), transaction(sql):
            row = sql.execute(HOLD, {**self._hold, "requests": None, "recent": None}).fetchone()
        self._held(asked, row)

    def _held(self, asked: float, row: tuple[Any, ...] | None) -> None:
        if row is None:
            self.is_lost = True
            self._tell(LOST)
            return
        self._until = max(self._until, asked + self._terms.lease)
        if row[0]:
            self._tell(CANCELLED)

    def open(self) -> Opened:
        """Return what is known of earlier requests."""
        claimed = self._claimed
        recent = claimed.recent if is_news(self._line.url) else 0
        return Opened(claimed.salt, recent, claimed.seconds_ago, len(claimed.rows))

    def write(self, group: WriteGroup) -> Written:
        """Write a group in one transaction, if the chunk is still held; also by another connection, if one is lost."""
        self._check(group)
        if group.requests is not None:
            self._hold |= {"requests": self._claimed.requests + group.requests, "recent": group.recent}
        return self._persist(lambda: self._write(group))

    def find(self, fingerprints: bytes) -> Sequence[Known]:
        """Return what was known of records when the chunk was claimed."""
        places = range(0, len(fingerprints), FINGERPRINT_BYTES)
        given = [self._places.get(fingerprints[place : place + FINGERPRINT_BYTES]) for place in places]
        return [self._known(place, found) for place, found in enumerate(given) if found is not None]

    def end(self, requests: int, counts: Mapping[str, int], cause: str | None) -> None:  # noqa: ARG002 the rows tell
        """Give the chunk back: done, or to be gone on with."""
        self._hold["requests"] = self._claimed.requests + requests
        self._persist(lambda: self._write(WriteGroup()))
        is_done = self._persist(lambda: give_back(self._line, self._claimed, done=cause is None))
        if cause is None and not is_done:
            self.is_lost = True
            raise JournalError(f"the journal {self.place}: {LOST}")
        self.done = cause is None

    def close(self) -> None:
        """Leave the connection to whoever made it."""

    def _known(self, place: int, found: int) -> Known:
        row = self._claimed.rows[found]
        return Known(place, row.id, found, row.kept)

    def _check(self, group: WriteGroup) -> None:
        """Check that records read here as they did where the run was filled.

        Raises:
            JournalError: They do not.
        """
        positions, prints = group.entries.positions, group.entries.fingerprints
        own = b"".join([self._claimed.rows[position].fingerprint for position in positions])
        if group.asides or own != prints:
            raise JournalError(
                f"records of the journal {self.place} read differently here than where it was filled, so that nothing "
                "of them is sent: give every process the same settings and options (user_id, allow_odd_addresses …)"
            )

    def _reserve(self, answers: int) -> None:
        """See to it that there are numbers for answers, which no other process uses: apart, so that nobody waits."""
        if answers > len(self._reserved):
            number, sql = max(answers, _RESERVED), self._line.connected()
            with failing(sql):
                first = reserve(sql, self._claimed.journal, number)
            self._reserved = range(first, first + number)

    def _numbers_for(self, answers: int) -> int:
        first = self._reserved[0]
        self._reserved = self._reserved[answers:]
        return first

    def _persist(self, work: Callable[[], T]) -> T:
        """Do something again that can be done twice, while the chunk is ours: by a new connection, or what was undone.

        It may have been done the first time: numbers that it took for answers are not given to others then.
        """
        give_up = _clock.monotonic() + min(OUT, self._terms.lease)
        with usable(self._line.url):
            while True:
                try:
                    return work()
                except (PostgresFailed, JournalError) as error:
                    self._results, self._reserved = Results(self._numbers_for), range(0)
                    may_help = self._line.is_lost or (isinstance(error, PostgresFailed) and error.code in UNDONE)
                    if self.is_lost or not may_help or _clock.monotonic() > give_up:
                        raise
                _clock.pause(_AGAIN_IN)

    def _write(self, group: WriteGroup) -> Written:
        self._reserve(len(group.results))
        asked, sql = self._now(), self._line.connected()
        known = [self._known(place, position) for place, position in enumerate(group.entries.positions)]
        with transaction(sql, at_once=True):
            hold = sql.execute(HOLD, self._hold)
            if group.results:
                self._results.note(sql, group.results)
                if self._claimed.salt is not None:
                    settled = [one for records, kept in group.results if kept.status in SETTLED for one in records]
                    sql.execute(_WIPE_THESE, (settled,))
            if again := group.again(known):
                sql.execute(FORGET, (again,))
            row = hold.fetchone()
            if row is None:
                self._held(asked, row)
                raise JournalError(f"the journal {self.place}: {LOST}")
        self._held(asked, row)
        self._hold["recent"] = None
        return Written([one.record for one in known], known)
