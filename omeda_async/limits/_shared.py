"""What the limiters of one account in one process have in common, whatever loop and thread each of them works on.

The state is stepped under a lock. Each limiter keeps its own queue, dispatcher and timer; before it takes a slot it
lets those go first who have waited longer, or wait in the lane whose turn it is, and calls them. Who does not answer is
passed over: its loop is busy with something else.
"""

import asyncio
import logging
import math
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import TypeAlias
from weakref import WeakSet

import attrs

from omeda_async import _clock
from omeda_async.limits._lanes import Lanes
from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._reserve import GRANTS
from omeda_async.limits._state import LimiterState, Permit

logger = logging.getLogger("omeda_async")
Loop: TypeAlias = asyncio.AbstractEventLoop
PATIENCE = 0.05
"""Seconds for which a limiter that was called is waited for."""


@attrs.define(eq=False, repr=False)
class Member:
    """One limiter among those of an account."""

    loop: Loop
    lanes: Lanes
    dispatch: Callable[[], None]
    """Called on its loop when something has changed."""
    last_grant: int = 0
    called_at: float | None = None
    """When it was called, if it has not answered yet."""

    def wants(self, priority: Priority) -> bool:
        """Whether somebody waits in that lane of its queue."""
        return self.lanes.bulk > 0 if priority is Priority.BULK else self.lanes.waiters > self.lanes.bulk

    def call(self, now: float) -> None:
        """Have it look at what it may grant."""
        if self.called_at is None:
            self.called_at = now
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self.dispatch)

    def is_silent(self, now: float) -> bool:
        """Whether it was called and does not answer."""
        return self.called_at is not None and now > self.called_at + PATIENCE


class Shared:
    """The state of one account, and the limiters that step it. Whoever uses it holds the lock."""

    def __init__(self, rate_limit: RateLimit, uniform: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.state = LimiterState(rate_limit, uniform)
        self.members: WeakSet[Member] = WeakSet()
        self.several = False
        """Whether there is more than one member."""
        self.latest = -math.inf
        """The latest time that the state has been told."""
        self.out: dict[Permit, Loop] = {}
        """What was granted and not given back yet, and on which loop."""
        self._warned = False

    def now(self, loop: Loop) -> float:
        """Return the time, which never goes backwards: some loops keep theirs for a whole pass."""
        self.latest = max(loop.time(), self.latest)
        return self.latest

    def may_go(self, me: Member, priority: Priority, now: float) -> bool:
        """Whether the first in our lane goes before those of other limiters; one that goes before it is called."""
        ahead = Priority.BULK if self.state.in_a_row >= GRANTS - 1 else Priority.INTERACTIVE
        for other in self._others(me):
            comes_first = priority is not ahead and other.wants(ahead)
            waits_longer = other.last_grant < me.last_grant and other.wants(priority)
            if (comes_first or waits_longer) and not other.is_silent(now):
                other.call(now)
                return False
        return True

    def others_want(self, me: Member, priority: Priority, now: float) -> bool:
        """Whether anybody else waits in a lane, and answers when called."""
        return any(other.wants(priority) and not other.is_silent(now) for other in self._others(me))

    def call_others(self, me: Member, now: float) -> None:
        """Have the other limiters in which somebody waits look at what they may grant."""
        for other in self._others(me):
            if other.lanes.waiters:
                other.call(now)

    def enter(self, member: Member) -> None:
        """Add a limiter."""
        self.members.add(member)
        self.several = len(self.members) > 1

    def leave(self, member: Member) -> None:
        """Remove a limiter in which nobody waits any more; its permits in flight are released as ever."""
        self.members.discard(member)
        self.several = len(self.members) > 1

    def tighten(self, rate_limit: RateLimit, now: float) -> None:
        """Keep to another limit as well; the log says once that two differ."""
        mine = self.state.rate_limit
        if rate_limit == mine:
            return
        tighter = mine.tighter(rate_limit)
        if tighter != mine:
            self.state.tighten(tighter, now)
        if not self._warned:
            self._warned = True
            logger.warning("limits that differ are given for one account: the tighter of each holds, %s", tighter)

    def bury(self) -> None:
        """Count as lost what a loop that is closed by now has not given back."""
        for permit in [permit for permit, loop in self.out.items() if loop.is_closed()]:
            del self.out[permit]
            self.state.complete(permit, self.latest, sent=True, status=None, advice=None, wait=None)

    def is_over(self, now: float) -> bool:
        """Whether nobody uses it, and what it knows has no bearing any more on what may go."""
        with self.lock:
            loops = [*(member.loop for member in self.members), *self.out.values()]
            if not all(loop.is_closed() for loop in loops) or self.state.earliest(now, 0, Priority.BULK) > now:
                return False
            return now > self.latest + 2 * self.state.rate_limit.longest

    def _others(self, me: Member) -> Iterator[Member]:
        return (member for member in self.members if member is not me and not member.loop.is_closed())


_accounts: dict[tuple[Hashable, Loop | None], Shared] = {}
_lock = threading.Lock()


def share(account: Hashable, loop: Loop, rate_limit: RateLimit, uniform: Callable[[], float]) -> Shared:
    """Return what the limiters of an account share; it is made for the first of them.

    A loop whose clock is moved shares with nobody: its time is its own.
    """
    key = (account, loop if _clock.is_moved(loop) else None)
    with _lock:
        _forget_the_old(loop.time())
        if key not in _accounts:
            _accounts[key] = Shared(rate_limit, uniform)
        shared = _accounts[key]
        with shared.lock:
            now = shared.now(loop)  # while nobody else looks for what is old
            shared.bury()
            shared.tighten(rate_limit, now)
    return shared


def forget() -> None:
    """Forget what has been used of every account, as between two tests; who uses one goes on with what it has."""
    global _lock  # noqa: PLW0603 after a fork, another thread may have held it
    _lock = threading.Lock()
    _accounts.clear()


def _forget_the_old(now: float) -> None:
    """Forget what is over, and what belongs to moved loops that are closed."""
    for key, shared in list(_accounts.items()):
        loop = key[1]
        if loop.is_closed() if loop else shared.is_over(now):
            del _accounts[key]


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=forget)
