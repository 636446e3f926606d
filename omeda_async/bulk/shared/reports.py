"""What a shared run tells of itself."""

from collections.abc import Mapping

import attrs

from omeda_async.bulk.journal.chunks import ChunkStatus
from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import AsJson, OutcomeStatus

__all__ = ["ChunkReport", "ChunkStatus", "RunFilled"]


@attrs.frozen(kw_only=True)
class RunFilled(AsJson):
    """What the journal of a shared run holds, once all of the input has been read into it."""

    run: str
    """The name of the run."""
    place: str
    """Its URL without the password."""
    chunks: range
    """The numbers of all of its chunks, from 0, those of an earlier call of ``fill`` included."""
    records: int
    """Records that are sent, each once: they are in the chunks."""
    repeats: int
    """Records that ask for what an earlier one asks for, and share its outcome."""
    refused: int
    """Records that cannot be sent, those of earlier inputs included; the journal keeps the reasons."""
    added: int = 0
    """Of ``records``, those that this call has added; the others an earlier one had."""
    absent: int = 0
    """Of ``records``, those that this input does not hold, but an earlier one did. They are sent all the same."""


@attrs.frozen(kw_only=True)
class ChunkReport(AsJson):
    """What has become of a chunk."""

    number: int
    status: ChunkStatus
    counts: Mapping[OutcomeStatus, int] = attrs.field(factory=dict)
    """The outcomes of its records, whoever has sent them; empty where it is another's or the run was cancelled."""
    requests: int = 0
    """HTTP requests made for it by this call; those of others, also of one that was killed, are not among them."""
    retry_in: float | None = None
    """Seconds after which it may be claimed, where it is another's: its lease, and the time-out of an attempt."""
    stopped_by: OmedaAsyncError | None = None
    """Why it was left."""
