"""What an outbox tells whoever reads it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import orjson

from omeda_async.bulk.journal.codec import STATUS_CODES, STATUSES
from omeda_async.bulk.journal.status import NOT_DONE, JournalCause
from omeda_async.outcomes import OutcomeStatus

WAITING, INTENDED, ENDED = 0, 1, 2
"""The states of a record: to be sent, about to be sent or sent, with an outcome."""
NOT_DONE_CODES: Final = [STATUS_CODES[status] for status in NOT_DONE]
CAUSES: Final = 20


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
        """Whether every record has its outcome."""
        return not (self.waiting or self.under_way)


def status_of(
    place: object,
    identity: Mapping[str, Any],
    numbers: Iterable[tuple[int, int, int]],
    causes: Iterable[tuple[int, str, int]],
    summary: tuple[float | None, int, float | None, int, str | None],
) -> OutboxStatus:
    """Make a status of what a store has read; moments are POSIX times.

    Args:
        place: Where the outbox is.
        identity: Whose it is, as that is kept.
        numbers: Pairs of a state and a status, and how many records have them.
        causes: Pairs of a status that is not done and an answer, and how many records have them.
        summary: When the oldest record without an outcome was put, how many of these were tried in vain, when the first
            of them is due, how many outcomes are untold, and who delivers.
    """
    oldest, retrying, next_due, untold, delivering = summary
    states, ended = Counter[int](), Counter[int]()
    for state, code, number in numbers:
        states[state] += number
        if state == ENDED:
            ended[code] += number
    scope = dict(identity)
    return OutboxStatus(
        place=str(place),
        provider=scope.pop("provider"),
        operation=scope.pop("operation"),
        base_url=scope.pop("base_url"),
        keeps_records=scope.pop("pii") == "keep",
        scope=scope,
        total=states.total(),
        waiting=states[WAITING],
        under_way=states[INTENDED],
        counts={status: ended[code] for code, status in STATUSES.items() if code in ended},
        retrying=retrying,
        oldest=_moment(oldest),
        next_due=_moment(next_due),
        untold=untold,
        delivering=delivering,
        causes=tuple(_causes(causes)),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _causes(rows: Iterable[tuple[int, str, int]]) -> Iterator[JournalCause]:
    """Add up what has the same words, in whose order those stand that are as frequent.

    Two errors may differ in what is not shown.
    """
    numbers: Counter[tuple[int, str, str]] = Counter()
    for code, answer, number in rows:
        if error := orjson.loads(answer)["error"]:
            numbers[code, error.get("__class__", "").rpartition(".")[-1], error.get("message") or ""] += number
    for (code, name, message), number in sorted(numbers.items(), key=lambda one: (-one[1], one[0]))[:CAUSES]:
        yield JournalCause(status=STATUSES[code], error=name, message=message, records=number)
