"""What a shared run tells of itself."""

from collections.abc import Mapping

import attrs

from omeda_async.bulk.journal.chunks import ChunkStatus, RunFilled
from omeda_async.errors import OmedaAsyncError
from omeda_async.outcomes import AsJson, OutcomeStatus

__all__ = ["ChunkReport", "ChunkStatus", "RunFilled"]


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
