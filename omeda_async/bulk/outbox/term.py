"""The time for which a process holds the lease of an outbox."""

import asyncio
from collections.abc import Callable

import attrs

from omeda_async._stop import Stop
from omeda_async.bulk._request import SharedRequest
from omeda_async.errors import ClosedError


@attrs.define(eq=False)
class Term:
    """The time for which this process holds the lease."""

    fence: int
    clock: Callable[[], float]
    """Seconds, also while the machine sleeps."""
    until: float
    """When the lease has ended by that clock, unless it is renewed: at the store it ends a little later."""
    over: Stop = attrs.field(factory=Stop)
    """Set when the lease is another's, or the outbox is being closed."""
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    """The same, to be waited for."""
    requests: dict[asyncio.Task[None], SharedRequest] = attrs.field(factory=dict)
    """Those under way."""
    beating: asyncio.Task[None] | None = None

    def __attrs_post_init__(self) -> None:
        self.over.wakers.add(self.ended.set)

    def is_late(self) -> bool:
        """Whether another process may deliver by now. A process that was suspended finds out before it sends more."""
        if self.clock() < self.until:
            return False
        self.lose()
        return True

    def lose(self) -> None:
        """Note that the lease is not this process's any more: nothing more is sent."""
        lost = ClosedError("another process delivers the outbox now")
        self.over.set(lost)
        for request in self.requests.values():
            request.stop.set(lost)
