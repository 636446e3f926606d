"""What arrived when, and what was responded."""

import re
from collections import Counter, deque
from itertools import islice
from operator import attrgetter

import attrs

from omeda_async.sandbox._message import Incoming

_ADDRESS = re.compile(r"[^/?&=]*(?:@|%40)[^/?&=]*", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class RequestRecord:
    """One request that arrived: no body, no credentials, no e-mail address."""

    arrived_at: float
    """On the loop's clock, in seconds."""
    provider: str
    operation: str
    """As the client calls it, ``campaigns.cancel``; ``unknown`` for a path no provider has."""
    method: str
    path: str
    """Without the query; e-mail addresses in it are replaced by ``***``."""
    status: int | None
    """None where the connection was dropped without a response."""
    refused: bool
    """Whether it was over a limit, and got 429 for that reason."""
    fault: str | None
    """The fault that was applied to it: ``drop after``."""


@attrs.define
class Audit:
    """The last requests, and counts of all of them."""

    keep: int
    """How many requests are remembered one by one."""
    counts: Counter[tuple[str, str, int | None]] = attrs.field(factory=Counter)
    """How many requests there were, by provider, operation and status: all of them."""
    peak_parallel: Counter[str] = attrs.field(factory=Counter)
    """The most requests in flight at once, per provider."""
    _records: deque[RequestRecord] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._records = deque(maxlen=self.keep)

    def note(self, incoming: Incoming, status: int | None, *, refused: bool, fault: str | None) -> None:
        """Remember a request and the status of its response."""
        self.counts[incoming.provider, incoming.operation, status] += 1
        self._records.append(
            RequestRecord(
                arrived_at=incoming.arrived_at,
                provider=incoming.provider,
                operation=incoming.operation,
                method=incoming.method,
                path=_ADDRESS.sub("***", incoming.path),
                status=status,
                refused=refused,
                fault=fault,
            )
        )

    @property
    def requests(self) -> list[RequestRecord]:
        """Return the remembered requests in the order of their arrival."""
        return sorted(self._records, key=attrgetter("arrived_at"))

    def latest(self, most: int) -> list[RequestRecord]:
        """Return the requests that were responded to last, the newest first."""
        return list(islice(reversed(self._records), most))

    def busiest(self, provider: str, seconds: float) -> int:
        """Return the most requests of a provider in any span of so many seconds, of those remembered."""
        span: deque[float] = deque()
        most = 0
        for record in self.requests:
            if record.provider == provider:
                span.append(record.arrived_at)
                while record.arrived_at - span[0] >= seconds:
                    span.popleft()
                most = max(most, len(span))
        return most
