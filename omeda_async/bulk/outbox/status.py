"""What an outbox tells whoever reads it."""

from collections.abc import Mapping
from datetime import datetime

import attrs

from omeda_async.bulk.journal.status import JournalCause
from omeda_async.outcomes import OutcomeStatus


@attrs.frozen(kw_only=True)
class OutboxStatus:
    """What an outbox holds: always ``total == sum(counts.values()) + waiting + under_way``."""

    place: str
    """The file."""
    provider: str
    operation: str
    base_url: str
    scope: Mapping[str, object]
    """What holds for every record: the client."""
    keeps_records: bool
    """False: of a record that has its outcome only a salted hash is kept."""
    total: int
    """Records that were put and have not been pruned."""
    waiting: int
    """Records that are to be sent, for the first time or again."""
    under_way: int
    """Records that are being sent, or were when a process died."""
    retrying: int
    """Of those that wait or are under way, how many were tried in vain."""
    oldest: datetime | None
    """When the oldest record without an outcome was put."""
    counts: Mapping[OutcomeStatus, int]
    """The outcomes."""
    untold: int
    """Outcomes that ``on_outcome`` has still to be told."""
    delivering: str | None
    """Who delivers now (host and process); None where nobody does."""
    next_due: datetime | None = None
    """When the first of the records that wait is due, the time of looking where that is past; it goes then, or as soon
    after as somebody delivers, the limit has room and the provider is not known to be away; a hold of the limits is
    counted in, some seconds after it has begun. None where none waits."""
    causes: tuple[JournalCause, ...]
    """Why records are not done, or were tried in vain, the most frequent first, at most 20."""

    @property
    def complete(self) -> bool:
        """Has every record its outcome?"""
        return not (self.waiting or self.under_way)
