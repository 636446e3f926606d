"""What the limiters of several processes and the store of their account's limits tell each other.

A store keeps the state of an account where all of them reach it, and steps it one *turn* at a time: a client tells
what has ended and what it wants, and gets permits. The rules are in ``_account_state``, the same for every store.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import attrs

from omeda_async.limits._headers import Advice
from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._view import LimitsView


@attrs.frozen
class Ended:
    """How an attempt has ended."""

    permit: int
    sent: bool
    """Whether it may have left the machine."""
    status: int | None = None
    """The HTTP status of the response; None when there was none."""
    advice: Advice | None = None
    """What its headers say about the limits."""
    wait: float | None = None
    """Seconds that a 429 or 503 asks for, -1 for too many in flight."""


@attrs.frozen(kw_only=True)
class Ask:
    """What a client tells and wants."""

    client: str
    number: int
    """Of this client's turns, growing: one that comes late, after a later one, does nothing."""
    rate_limit: RateLimit
    lease: float
    """Seconds after which an attempt that nobody speaks of any more counts as lost."""
    interactive: int = 0
    """How many wait in the lane."""
    bulk: int = 0
    ended: tuple[Ended, ...] = ()
    held: tuple[int, ...] = ()
    """The permits it has, whose attempts have not ended: those that it never got come back so."""
    leaves: bool = False
    """Whether it wants nothing any more."""
    distrusts: bool = False
    """Whether the store's clock has outrun the client's own: slots may have come back too early."""


@attrs.frozen(kw_only=True)
class Reply:
    """What a client gets."""

    permits: tuple[tuple[int, Priority], ...] = ()
    """Numbers of permits, and their lanes. Each may be sent early in its lease only, as counted from before it was
    asked for: what is sent has to arrive within the lease, though its client may have died."""
    again_in: float | None = None
    """Seconds until it should come again if it still wants something; None when another client's turn decides."""
    earliest: float = 0.0
    """Seconds until the next attempt could go at the earliest, in whichever lane."""
    paused_for: float = 0.0
    """Seconds for which the account waits because of what the client has told."""
    calls: tuple[str, ...] = ()
    """Other clients for which a permit waits now."""
    scarce: bool = False
    """Whether others wait, or would have to if they came now: what is given back may be somebody's."""
    rate_limit: RateLimit
    """The limit that holds: the tightest of what the clients have named."""
    clock: float
    """What the store's clock showed, in seconds."""
    held_for: float = 0.0
    """Seconds for which nothing is granted, as it is not known what was sent before."""


def running_on(clock: float) -> Callable[[], float]:
    """Return a clock that shows now what a store's has shown, and runs on with the loop's."""
    time = asyncio.get_running_loop().time
    ahead = clock - time()
    return lambda: time() + ahead


class StoreAway(Exception):
    """The store does not answer; nothing is granted until it does."""


class StoreRefused(Exception):
    """The store is not fit for sharing limits, and will not be until somebody changes that."""


class Store(Protocol):
    """Where the state of one account's limits is kept for several processes."""

    name: str
    """What it is called in views and errors: no secret."""

    async def turn(self, ask: Ask) -> Reply:
        """Step the state once, whole or not at all.

        Cancelling it may leave the turn done; its permits come back when the client comes again, or with their lease.

        Raises:
            StoreAway: It does not answer, in good time or at all.
            StoreRefused: It cannot be used for this.
        """
        ...

    async def changed(self) -> None:
        """Return when another client's turn may have left a permit for this one; also now and then without that."""
        ...

    def view(self) -> LimitsView | None:
        """Return what the last turn has left, as far as it is known; None before the first."""
        ...

    async def aclose(self) -> None:
        """Let go of it; nothing is asked any more."""
        ...
