"""Runs that several processes share, of work made of plain Python."""

from collections import Counter
from typing import Any, Self

import attrs

from omeda_async import ChunkReport, JournalError, OutcomeStatus, SharedRun
from omeda_async.bulk._run import identity_of
from omeda_async.bulk.journal.chunks import Claimed, Terms
from omeda_async.bulk.journal.codec import STATUS_CODES
from omeda_async.bulk.journal.interface import Entries, Kept, WriteGroup
from omeda_async.bulk.journal.postgres_chunk import ChunkBackend
from omeda_async.bulk.journal.postgres_chunks import claim
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.url import url_of
from omeda_async.journal import read_status
from tests.bulk.journal_help import Account, Work, asked

S = OutcomeStatus
SHORT = Terms(lease=0.4, attempt=0.3, lookback=0.0)
"""For tests that wait for the server's clock."""


@attrs.define
class SharedAccount(Account):
    """An account whose attempts take so long at the most."""

    timeout: float = 0.2
    connect_timeout: float = 0.1


def work_of(**options: Any) -> Work:
    """Make work that several may share."""
    return Work(**{"account": SharedAccount(), "max_entries": 5, **options})


def shared(url: str, work: Work | None = None, **options: Any) -> SharedRun:
    """Make a shared run of it."""
    return SharedRun(url, work or work_of(), **{"lease": 5.0, **options})


def names(number: int, first: int = 0) -> list[str]:
    """Return records."""
    return [f"record {place}" for place in range(first, first + number)]


def outcome(status: OutcomeStatus) -> Kept:
    """Return what is kept of an outcome, in words that no other status has."""
    return Kept(status, 1, f'{{"receipt":"{status}","error":null,"settled":false,"doubtful":false}}')


class Abandoned:
    """A process that has claimed a chunk, and is not heard of any more; as far as a test lets it."""

    def __init__(self, url: str, terms: Terms = SHORT, number: int | None = None, run: SharedRun | None = None) -> None:
        self.line, self.time, self.told = Line(url_of(url), terms.lease), 0.0, list[str]()
        work = work_of() if run is None else run._work
        claimed = claim(self.line, identity_of(work, "keep", shared=True), terms, number)
        assert isinstance(claimed, Claimed)
        self.claimed = claimed
        self.backend = ChunkBackend(self.line, claimed, terms, asked=0.0, now=lambda: self.time, tell=self.told.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def intend(self, *places: int) -> None:
        """Note that records of the chunk are about to be sent."""
        prints = b"".join(self.claimed.rows[place].fingerprint for place in places)
        self.backend.write(WriteGroup(entries=Entries(places, prints), sent=len(places)))

    def end_as(self, *ends: Any) -> None:
        """Note what requests for records of the chunk have come to: a status, and their places."""
        rows = self.claimed.rows
        self.backend.write(
            WriteGroup(results=[([rows[place].id for place in places], outcome(status)) for status, *places in ends])
        )

    def refused_to_write(self) -> bool:
        """Whether it may write nothing more."""
        try:
            self.intend(0)
        except JournalError as error:
            return "another process performs this chunk" in str(error) and self.backend.lapsed()
        return False


def later(url: str, seconds: float) -> None:
    """Let time go by for who holds chunks, as the server tells it."""
    asked(
        url,
        """UPDATE omeda_async_journal_chunks SET lease_until = lease_until - make_interval(secs => %(seconds)s),
            free_at = free_at - make_interval(secs => %(seconds)s) WHERE journal = %(journal)s""",
        seconds=seconds,
    )


def rows_of(url: str) -> list[Any]:
    """Return all that a run's journal holds of its records and chunks."""
    of = "FROM omeda_async_journal_{} AS t WHERE {} = %(journal)s ORDER BY 1"
    tables = (("records", "journal"), ("asides", "journal"), ("chunks", "journal"), ("answers", "id >> 40"))
    return [asked(url, f"SELECT t::text {of.format(*one)}") for one in tables]


def standing(url: str) -> Counter[str]:
    """Return how the records of a run stand, by the names of their statuses; ``begun`` without a result."""
    by_code = {code: status.value for status, code in STATUS_CODES.items()}
    rows = asked(url, "SELECT status FROM omeda_async_journal_records WHERE journal = %(journal)s")
    return Counter(by_code.get(code, "begun") for (code,) in rows)


def adds_up(url: str, total: int) -> bool:
    """Whether each record counts once."""
    status = read_status(url)
    return status.total == total == sum(status.counts.values()) + status.under_way


def statuses(reports: list[ChunkReport]) -> list[str]:
    """Return how it stands with chunks."""
    return [report.status.value for report in reports]
