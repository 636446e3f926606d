"""What one client and the store of its account's limits have told each other. Pure: the time is an argument."""

from collections.abc import Callable
from typing import ClassVar

import attrs

from omeda_async.limits._rate_limit import RateLimit
from omeda_async.limits._slots import DRIFT
from omeda_async.limits._state import Permit
from omeda_async.limits._store import Ask, Ended, Reply

RUNS_AHEAD = 2 * DRIFT
"""By how much the store's clock may run faster than ours, in parts of the time."""
STEP = 0.25
"""Seconds by which it may get ahead besides, in however many steps."""


@attrs.define(eq=False)
class LeasedPermit(Permit):
    """A permit of a store: it may be used for a while only, as others get its slots if we fall silent."""

    lapses: ClassVar[bool] = True
    number: int = attrs.field(kw_only=True)
    until: float = attrs.field(kw_only=True, repr=False)
    clock: Callable[[], float] = attrs.field(kw_only=True, repr=False)

    def is_over(self) -> bool:
        return self.clock() >= self.until


@attrs.define(eq=False, repr=False)
class Conversation:
    """The client's side of the turns at one store.

    Args:
        rate_limit: The limit that we keep to.
        lease: Seconds after which an attempt that we do not speak of any more counts as lost.
        use_within: Seconds after it was asked for in which a permit may be used.
        clock: Our own clock, in seconds, which also runs while the machine sleeps.
    """

    rate_limit: RateLimit
    lease: float
    use_within: float
    clock: Callable[[], float]
    client: str = attrs.field(default="", init=False)
    """What the store calls us."""
    held: dict[int, LeasedPermit] = attrs.field(factory=dict, init=False)
    """The permits whose attempts have not ended."""
    distrusts: bool = attrs.field(default=False, init=False)
    """Whether the store's clock has outrun ours, and the store has not been told."""
    turns: int = attrs.field(default=0, init=False)
    """How many were begun."""
    _ended: list[Ended] = attrs.field(factory=list, init=False)
    """What the store has not acknowledged."""
    _ahead: tuple[float, float] | None = attrs.field(default=None, init=False)
    """When a turn began by our clock, and how far ahead of that the store's was at the most; the least of all turns."""

    @property
    def answered(self) -> bool:
        """Whether the store has ever answered."""
        return self._ahead is not None

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell that the store does not know."""
        return bool(self._ended) or self.distrusts

    def end(self, ended: Ended) -> None:
        """Note that an attempt has ended, or that a permit goes back."""
        self.held.pop(ended.permit, None)
        self._ended.append(ended)

    def ask(self, *, interactive: int = 0, bulk: int = 0, leaves: bool = False) -> Ask:
        """Begin a turn."""
        self.turns += 1
        return Ask(
            client=self.client,
            number=self.turns,
            rate_limit=self.rate_limit,
            lease=self.lease,
            interactive=interactive,
            bulk=bulk,
            ended=tuple(self._ended),
            held=tuple(self.held),
            leaves=leaves,
            distrusts=self.distrusts,
        )

    def take(self, ask: Ask, reply: Reply, began: float, now: float) -> list[LeasedPermit]:
        """Take in a reply, and return the permits that may be used.

        Args:
            ask: What was told and asked for.
            reply: What the store has said.
            began: When the turn began, by our clock.
            now: The time by our loop's clock.
        """
        arrived = self.clock()
        del self._ended[: len(ask.ended)]
        self.distrusts = self._is_outrun(reply.clock, began, arrived)
        permits = list[LeasedPermit]()
        for number, lane in reply.permits:
            permit = LeasedPermit(lane, now, number=number, until=began + self.use_within, clock=self.clock)
            if self.distrusts or arrived >= permit.until:
                self.end(Ended(number, sent=False))
            else:
                self.held[number] = permit
                permits.append(permit)
        return permits

    def _is_outrun(self, clock: float, began: float, arrived: float) -> bool:
        """Whether the store's clock has got ahead of ours, since it was furthest behind."""
        most = clock - began
        if self._ahead is not None:
            since, least = self._ahead
            if clock - arrived > least + (arrived - since) * RUNS_AHEAD + STEP:
                self._ahead = began, most
                return True
            most = min(most, least + (began - since) * RUNS_AHEAD)
        self._ahead = began, most
        return False
