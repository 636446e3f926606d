"""The limiter of one event loop whose account's state is in a store: a queue of waiters, and turns at the store.

A task of its own makes the turns, one at a time, for as long as there is something to tell or somebody waits. Whatever
happens at the store, no wait for a permit lasts longer than its ``max_wait``: its timer is here.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Mapping

import attrs

from omeda_async import _clock
from omeda_async._clock import utc_now
from omeda_async._retry_after import read_retry_after
from omeda_async.errors import ConfigurationError, OmedaAsyncError
from omeda_async.limits._conversation import Conversation, LeasedPermit
from omeda_async.limits._headers import read_advice
from omeda_async.limits._lanes import Lanes, Waiter
from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._refusals import away, check_wait, closed, held_back, too_long
from omeda_async.limits._state import LimiterState, Permit
from omeda_async.limits._store import Ask, Ended, Reply, Store, StoreAway, StoreRefused
from omeda_async.limits._turn_times import TurnTimes
from omeda_async.limits._view import LimitsView

logger = logging.getLogger("omeda_async")
INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
GRACE = 0.1
"""Seconds that the store is given to answer, also where ``max_wait`` is less."""
SILENT = 0.3
"""Seconds after which a store that has not answered counts as away."""
PARTING = 0.5
"""Seconds that saying good-bye to the store may take."""
LINGER = 0.02
"""Seconds for which what has ended may be told together with what is wanted next, where nobody waits for it."""
_WAITS = (429, 503)
"""The statuses whose ``Retry-After`` holds for the whole account."""


class StoreLimiter:
    """Grants the attempts of one account that several processes share; see the protocol ``Limiter``.

    Args:
        rate_limit: The limits.
        store: Where the account's state is; it belongs to this limiter alone.
        lease: Seconds after which an attempt that nobody speaks of any more counts as lost.
        use_within: Seconds after it was asked for in which a permit may be used: the lease less all that an attempt
            may take. By default, half of the lease.
        on_pause: Called with the seconds whenever the whole account has to wait.
    """

    def __init__(
        self,
        rate_limit: RateLimit,
        store: Store,
        *,
        lease: float,
        use_within: float | None = None,
        on_pause: Callable[[float], None] | None = None,
    ) -> None:
        self._store = store
        self._on_pause = on_pause
        self._lanes = Lanes()
        self._told = Conversation(rate_limit, lease, use_within or lease / 2, _clock.monotonic)
        self._times = TurnTimes(lease)
        self._due = False
        """Whether a turn is to be made as soon as the store can be asked."""
        self._wanted = {INTERACTIVE: 0, BULK: 0}
        """What the store believes that we still want."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: asyncio.Task[None] | None = None
        self._woken: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf  # kept here, as uvloop's timers do not all know it
        self._lingers: asyncio.TimerHandle | None = None
        self._is_scarce = False
        self._asked_at = math.inf
        """When the turn began that is under way."""
        self._away: str | None = None
        """Why the store is away; None while it is not."""
        self._closed = self._gone = self._warned = False
        self._failure: str | None = None
        """Why the store cannot be used at all."""

    async def acquire(self, *, priority: Priority = INTERACTIVE, max_wait: float | None = None) -> Permit:
        loop = asyncio.get_running_loop()
        self._bind(loop)
        if max_wait is not None:
            check_wait(max_wait)
        deadline = math.inf if max_wait is None else loop.time() + max_wait
        first = False
        while True:
            waiter = self._join(loop, priority, deadline, first=first)
            try:
                permit = await waiter
            except asyncio.CancelledError:
                self._leave(waiter, priority)
                raise
            if permit is None:
                self._leave(waiter, priority)
                raise self._refusal(loop.time(), max_wait)
            if not permit.is_over():
                return permit
            self.release(permit, sent=False)  # the loop was busy, or stood still, for longer than it may be used
            first = True

    def release(
        self, permit: Permit, *, sent: bool = True, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        if permit.done or not isinstance(permit, LeasedPermit):
            return
        permit.done = True
        advice = read_advice(headers) if headers else None
        wait = read_retry_after(headers, utc_now()) if headers and status in _WAITS else None
        self._told.end(Ended(permit.number, sent, status, advice, wait))
        matters = self._is_scarce or self._lanes.waiters or wait is not None
        if matters or self._closed:
            self._ask_soon()
        elif self._lingers is None and self._loop is not None and not self._loop.is_closed():
            self._lingers = self._loop.call_later(LINGER, self._tell)

    def _tell(self) -> None:
        self._lingers = None
        if self._told.has_news:
            self._ask_soon()

    def remember(self, requests: int, seconds_ago: float) -> None:
        """Do nothing: the store knows what the account has used."""

    def view(self) -> LimitsView:
        now = _clock.monotonic() if self._loop is None else self._loop.time()
        held_for, seen = self._times.held_for(now), self._store.view()
        shown = LimiterState(self._told.rate_limit).view(now, {}, 1) if seen is None else seen

        def after_the_hold(seconds: float | None) -> float | None:
            return None if seen is None or seconds is None else max(seconds, held_for)

        return attrs.evolve(
            shown,
            held_for=None if seen is None else held_for,
            next_slot_in=after_the_hold(shown.next_slot_in),
            next_bulk_in=after_the_hold(shown.next_bulk_in),
            waiting=self._lanes.waiting(),
            shared_by=self._store.name,
            store_reachable=self._is_reachable(now),
        )

    def close(self) -> None:
        self._closed = True
        self._end_waits()
        self._due = self._due or self._told.has_news
        if self._lingers is not None:
            self._lingers.cancel()
        self._wake()

    async def aclose(self) -> None:
        self.close()
        if self._gone:
            return
        self._gone = True
        parting = asyncio.create_task(self._part(), name="omeda_async limits")
        try:
            await asyncio.wait({parting}, timeout=PARTING)
        finally:
            for task in (parting, self._turns):
                if task is not None:  # nobody waits for it; but it has to have begun
                    asyncio.get_running_loop().call_soon(task.cancel)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._failure is not None:
            raise ConfigurationError(self._failure)
        if self._closed:
            raise closed()
        if self._loop is None:
            self._loop = loop
            self._told.client = secrets.token_hex(8)  # not before: a process that forks is several clients
            self._told.clock = _clock.that_never_rests(loop)
        elif self._loop is not loop:
            raise ConfigurationError("this limiter belongs to another event loop: make one for each loop")

    def _join(self, loop: asyncio.AbstractEventLoop, priority: Priority, deadline: float, *, first: bool) -> Waiter:
        waiter: Waiter = loop.create_future()
        now = loop.time()
        patience = max(deadline, now + GRACE)
        self._lanes.join(waiter, priority, patience, first=first)
        self._times.add(waiter, deadline)
        self._arm(loop, patience)
        if not self._wanted[priority] or deadline < self._times.earliest:
            self._ask_soon()
        return waiter

    def _leave(self, waiter: Waiter, priority: Priority) -> None:
        permit = None if waiter.cancelled() else waiter.result()
        if permit is not None:
            self.release(permit, sent=False)
            return
        self._lanes.leave(priority)
        if not self._lanes.waiters:
            self._disarm()
        self._ask_anew()

    def _ask_anew(self) -> None:
        """Tell the store in which lanes somebody waits, where that has changed: no permit is to be kept for nobody.

        A waiter that came while a turn was under way is not in that turn.
        """
        waiting = self._lanes.waiting()
        if any((self._wanted[lane] > 0) != (waiting[lane] > 0) for lane in Priority):
            self._ask_soon()

    def _refusal(self, now: float, max_wait: float | None) -> OmedaAsyncError:
        if self._failure is not None:
            return ConfigurationError(self._failure)
        if self._closed or max_wait is None:
            return closed()
        if not self._told.answered or not self._is_reachable(now):
            return away(max_wait, self._store.name, self._away or "")
        if held_for := self._times.held_for(now):
            return held_back(max_wait, self._store.name, held_for)
        return too_long(max_wait, max(0.0, self._times.earliest - now) or None)

    def _ask_soon(self) -> None:
        self._due = True
        self._wake()

    def _wake(self) -> None:
        """See to it that the turns go on."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
        loop = self._loop
        if self._turns is None and loop is not None and self._has_work and not loop.is_closed():
            self._turns = loop.create_task(self._make_turns(loop), name="omeda_async limits")

    @property
    def _has_work(self) -> bool:
        if self._gone or self._failure is not None:
            return False
        if self._closed:
            return bool(self._told.held or (self._told.has_news and self._away is None))
        return bool(self._due or self._lanes.waiters or self._told.held or self._told.has_news)

    @property
    def _turn_at(self) -> float:
        return self._times.turn_at(due=self._due, waits=self._lanes.waiters > 0, holds=bool(self._told.held))

    async def _make_turns(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._has_work:
                if self._turn_at <= loop.time():
                    await self._turn(loop)
                else:
                    await self._rest(loop)
        except asyncio.CancelledError:
            self._end_waits()
            raise
        except Exception as error:
            logger.exception("sharing limits has failed")
            self._fail(f"{type(error).__name__}, see the log")
        finally:
            self._turns = None

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the next turn is due, or something has happened here or at the store."""
        self._woken = loop.create_future()
        timer = loop.call_at(self._turn_at, self._wake)
        listens = None
        if self._lanes.waiters and self._away is None and not self._times.held_for(loop.time()):
            listens = loop.create_task(self._listen(), name="omeda_async limits")
        try:
            await self._woken
        finally:
            timer.cancel()
            if listens is not None:
                listens.cancel()

    async def _listen(self) -> None:
        try:
            await self._store.changed()
        except Exception as error:  # noqa: BLE001 it only makes waits shorter; the turns tell what is wrong
            logger.debug("%s does not tell of changes: %s", self._store.name, type(error).__name__)
            await _clock.sleep(SILENT)
        self._ask_soon()

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = False
        waiting = self._lanes.waiting()
        ask = self._told.ask(interactive=waiting[INTERACTIVE], bulk=waiting[BULK])
        marks, asked, began = self._times.begin(), loop.time(), self._told.clock()
        self._asked_at = asked
        try:
            reply = await self._store.turn(ask)
        except StoreAway as error:
            self._due, self._away = True, str(error)
            tell = logger.warning if self._times.failed(loop.time()) else logger.debug
            tell("%s does not answer, and nothing goes until it does: %s", self._store.name, error)
        except StoreRefused as error:
            self._fail(str(error))
        else:
            self._take(ask, reply, began)
            if self._times.answered(reply, asked, loop.time()):
                text = "nothing goes for %.0f s, as %s does not know what was sent before"
                logger.warning(text, reply.held_for, self._store.name)
            for waiter in self._times.hopeless(marks, loop.time()):
                if not waiter.done():
                    waiter.set_result(None)
        finally:
            self._asked_at = math.inf

    def _take(self, ask: Ask, reply: Reply, began: float) -> None:
        """Hand out what has come."""
        self._away, self._is_scarce = None, reply.scarce
        permits = self._told.take(ask, reply, began, _clock.now())
        self._wanted = {INTERACTIVE: ask.interactive, BULK: ask.bulk}
        for permit in permits:
            self._wanted[permit.priority] -= 1
            waiter = self._lanes.first_of(permit.priority)
            if waiter is None:
                self.release(permit, sent=False)  # who has waited for it is gone
            else:
                waiter.set_result(permit)
                self._lanes.leave(permit.priority)
        if not self._lanes.waiters:
            self._disarm()
        self._ask_anew()
        if self._told.has_news:
            self._due = True
        self._warn_of(reply.rate_limit)
        if reply.paused_for > 0 and self._on_pause is not None and self._loop is not None:
            self._loop.call_soon(self._on_pause, reply.paused_for)  # what it raises is not for the turns

    def _warn_of(self, rate_limit: RateLimit) -> None:
        if rate_limit != self._told.rate_limit and not self._warned:
            self._warned = True
            logger.warning("limits that differ are given for one account: the tighter of each holds, %s", rate_limit)

    def _is_reachable(self, now: float) -> bool:
        """Whether the store has answered the last turn, or still may in good time."""
        return self._away is None and now <= self._asked_at + SILENT

    def _fail(self, reason: str) -> None:
        self._failure = f"share_limits: {self._store.name} cannot share limits: {reason}"
        self._end_waits()

    def _end_waits(self) -> None:
        for waiter in self._lanes.everybody():
            waiter.set_result(None)

    async def _part(self) -> None:
        """Let the turn end that is under way, and tell the store that nothing is wanted any more."""
        try:
            if self._turns is not None:
                await asyncio.wait({self._turns})
            if self._told.turns and self._failure is None:
                await self._store.turn(self._told.ask(leaves=True))
        except Exception as error:  # noqa: BLE001 it finds out by itself that nobody is there
            logger.debug("%s was not told that a client has left: %s", self._store.name, type(error).__name__)
        finally:
            await self._store.aclose()

    def _arm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        """Set the timer of the deadlines to a moment, unless it rings before that anyway; infinity is none."""
        if at < self._rings_at:
            self._disarm()
            self._timer, self._rings_at = loop.call_at(at, self._ring, loop), at

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._rings_at = None, math.inf
        for waiter in self._lanes.expired(loop.time()):
            waiter.set_result(None)
        self._arm(loop, self._lanes.next_deadline())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_at = None, math.inf
