"""What a journal tells whoever reads it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus

NOT_DONE: Final = frozenset(status for status in OutcomeStatus if not status.is_done)


@attrs.frozen(kw_only=True)
class JournalRun:
    """One run that wrote a journal, each resume one more; of a shared run, one reading of its input."""

    started: datetime
    ended: datetime | None
    """None: it is under way, or was killed."""
    requests: int
    """HTTP requests made, as far as they were noted: by a run that was killed, at least so many."""
    complete: bool
    """Whether it read its input to the end. Whether all of a shared run is done, its chunks say."""
    counts: Mapping[OutcomeStatus, int]
    """What it reported, records settled by earlier runs included; empty until it has ended."""
    cause: str | None
    """Why it ended early."""
    version: str
    """The version of this library that made it."""


@attrs.frozen(kw_only=True)
class JournalCause:
    """Why some records are not done."""

    status: OutcomeStatus
    error: str
    """The class of the error; empty where there is none."""
    message: str
    """Its text, with e-mail addresses masked."""
    records: int


@attrs.frozen(kw_only=True)
class JournalChunks:
    """How it stands with the chunks of a run that several processes share."""

    free: int
    """Those that somebody has to perform; or that were left, or lost."""
    held: int
    """Those that a process performs now."""
    done: int
    filled: bool
    """Whether the input has been read to its end."""
    cancelled: bool
    seen: datetime | None = None
    """When something was last noted of one; None while nothing was."""
    missing: int = 0
    """Records that were in one which is not there any more, as somebody has removed it."""
    stopped_by: str | None = None
    """Why workers of a queue have let go of those that are free, as it would meet every record: they are sent once the
    run is deferred again. None where somebody has taken one since."""

    @property
    def complete(self) -> bool:
        """Whether every chunk is done, and no further one is to come."""
        return self.filled and not (self.free or self.held or self.missing)


@attrs.frozen(kw_only=True)
class JournalStatus:
    """What a journal holds: always ``total == sum(counts.values()) + under_way``."""

    path: Path | None
    """The file; None where it is in a database."""
    provider: str
    operation: str
    base_url: str
    scope: Mapping[str, Any]
    """What held for every record: brand, client, reason … Salted hashes where the journal keeps no records."""
    keeps_records: bool
    """False: the journal was made with ``journal_pii="hash"``, and its records are known by position only."""
    running: bool
    """Whether a run is writing it now."""
    total: int
    """Records read, by all runs together; a record that several runs have read counts once."""
    counts: Mapping[OutcomeStatus, int]
    under_way: int
    """Records that were about to be sent, with no result noted: in flight, or left so by a run that was killed."""
    repeats: int
    """Of the total, those that ask for what an earlier record asks for."""
    requests: int
    """HTTP requests of all runs and processes, as far as they were noted. That is done with the intents and outcomes of
    records: of a process that was killed those since its last write are missing, which are what was in flight, and its
    retries. Nothing goes by it: neither limits, nor what is sent again."""
    runs: tuple[JournalRun, ...]
    causes: tuple[JournalCause, ...]
    """Why records are not done, the most frequent first, at most 20."""
    place: str = ""
    """Where it is: the file, or the URL without the password."""
    chunks: JournalChunks | None = None
    """Of a run that several processes share; None of any other."""
    missing: int = 0
    """Records of such a run that were read, and are not there any more, as somebody has removed their rows."""

    @property
    def complete(self) -> bool:
        """Whether the last run has read its input to the end, and nothing is left to try or to settle."""
        left = (OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT)
        through = bool(self.runs and self.runs[-1].complete) if self.chunks is None else self.chunks.complete
        return through and not (self.under_way or self.missing) and not any(map(self.counts.get, left))


@attrs.frozen(kw_only=True)
class JournalRecord:
    """A record that is not done."""

    position: int
    """The place in the input, from 0."""
    record: Any = attrs.field(repr=False)
    """The record as it came in; None where the journal keeps no records, or JSON cannot hold this one."""
    status: OutcomeStatus
    attempts: int
    error: OmedaAsyncError | None
