"""The limiter of one event loop: a queue of waiters, a dispatcher with one timer, and the state behind it."""

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from omeda_async import _clock
from omeda_async._clock import utc_now
from omeda_async._retry_after import read_retry_after
from omeda_async.errors import ConfigurationError, OmedaAsyncError
from omeda_async.limits._headers import LIMIT, LIMIT_LOWER, read_advice
from omeda_async.limits._lanes import Lanes, Waiter
from omeda_async.limits._protocol import Limiter
from omeda_async.limits._rate_limit import Priority, RateLimit
from omeda_async.limits._refusals import check_wait, closed, too_long
from omeda_async.limits._reserve import GRANTS
from omeda_async.limits._shared import PATIENCE, Loop, Member, Shared, share
from omeda_async.limits._state import Permit
from omeda_async.limits._view import LimitsView

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


OnPause: TypeAlias = Callable[[float], None]
INTERACTIVE = Priority.INTERACTIVE
_WAITS = (429, 503)
"""The statuses whose ``Retry-After`` holds for the whole account."""


def make_limiter(
    rate_limit: RateLimit,
    *,
    account: Hashable | None = None,
    on_pause: Callable[[float], None] | None = None,
    uniform: Callable[[], float] = lambda: 0.5,
) -> Limiter:
    """Make a limiter. It belongs to the event loop that first waits for it.

    Args:
        rate_limit: The limits.
        account: Whose limits they are. The limiters of one account in this process share them, on any loops and
            threads, at the same time or one after the other. None shares with nobody.
        on_pause: Called with the seconds whenever the whole account has to wait.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
    """
    return _LocalLimiter(rate_limit, account, on_pause, uniform)


class _LocalLimiter:
    """The limiter of one event loop.

    While somebody waits, the timer is set for the next deadline or for when the state opens by itself, whichever is
    first. Whatever else opens the state calls :meth:`_dispatch`: a permit that is given back, the end of a turn at the
    pace, another limiter of the account.
    """

    _member: Member

    def __init__(
        self,
        rate_limit: RateLimit,
        account: Hashable | None,
        on_pause: OnPause | None,
        uniform: Callable[[], float],
    ) -> None:
        self._rate_limit = rate_limit
        self._account = account
        self._uniform = uniform
        self._shared = Shared(rate_limit, uniform)
        self._state, self._lock = self._shared.state, self._shared.lock
        self._lanes = Lanes()
        self._on_pause = on_pause
        self._pacer = _pacer(rate_limit.pace) if rate_limit.pace else None
        self._closed = False
        self._loop: Loop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = math.inf  # kept here, as not all of uvloop's timers tell

    async def acquire(self, *, priority: Priority = Priority.INTERACTIVE, max_wait: float | None = None) -> Permit:
        loop = asyncio.get_running_loop()
        if self._closed or self._loop is not loop:
            self._bind(loop)
        if max_wait is not None:
            check_wait(max_wait)
        permit, shared = None, self._shared
        with self._lock:
            now = shared.latest = max(loop.time(), shared.latest)
            opens_at = math.inf if self._lanes.waiters else self._state.opens_at(now, priority)
            if opens_at <= now and (not shared.several or self._may_go(priority, now)):
                permit = self._state.take(now, priority)
                shared.out[permit], self._member.last_grant = loop, permit.grants
            else:
                waiter = self._join(loop, now, priority, max_wait, opens_at)
        if permit is None:
            # Awaited here, not in a coroutine of its own: a hundred thousand may wait at once.
            try:
                permit = await waiter
            except asyncio.CancelledError:
                self._leave(waiter, priority)
                raise
            if permit is None:
                self._leave(waiter, priority)
                raise self._refusal(loop, priority, max_wait)
        if self._state.rate_limit.pace is None:
            return permit
        return await self._paced(loop, permit, now, max_wait)

    def release(
        self, permit: Permit, *, sent: bool = True, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        if self._loop is None:
            return
        # Most responses say nothing of limits.
        advice = read_advice(headers) if headers and (LIMIT in headers or LIMIT_LOWER in headers) else None
        wait = read_retry_after(headers, utc_now()) if headers and status in _WAITS else None
        shared = self._shared
        with self._lock:
            if shared.out.pop(permit, None) is None:
                return
            now = shared.latest = max(self._loop.time(), shared.latest)
            pause = self._state.complete(permit, now, sent=sent, status=status, advice=advice, wait=wait)
            if self._lanes.waiters or shared.several or self._closed:
                self._changed(self._loop, now)
        if pause > 0 and self._on_pause is not None:
            self._on_pause(pause)

    def remember(self, requests: int, seconds_ago: float) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._bind(loop)
        with self._lock:
            self._state.remember(requests, seconds_ago, self._shared.now(loop))

    def view(self) -> LimitsView:
        with self._lock:
            now = max(0.0, self._shared.latest) if self._loop is None else self._shared.now(self._loop)
            return self._state.view(now, self._lanes.waiting(), max(1, len(self._shared.members)))

    def close(self) -> None:
        self._closed = True
        self._disarm()
        for waiter in self._lanes.everybody():
            waiter.set_result(None)
        if self._loop is not None:
            with self._lock:
                self._shared.leave(self._member)
                self._shared.call_others(self._member, self._shared.latest)

    async def aclose(self) -> None:
        self.close()

    def _bind(self, loop: Loop) -> None:
        self._refuse_if_closed()
        if self._loop is not None:
            raise ConfigurationError("this limiter belongs to another event loop: make one for each loop")
        self._loop = loop
        if self._account is not None:
            self._shared = share(self._account, loop, self._rate_limit, self._uniform)
            self._state, self._lock = self._shared.state, self._shared.lock
        self._member = Member(loop, self._lanes, self._called)
        with self._lock:
            self._shared.enter(self._member)

    def _may_go(self, priority: Priority, now: float) -> bool:
        return self._shared.may_go(self._member, priority, now)

    def _changed(self, loop: Loop, now: float) -> None:
        """Grant what may go now, here and at the account's other limiters."""
        if self._lanes.waiters:
            self._dispatch(loop, now)
        if self._shared.several or self._closed:
            self._shared.call_others(self._member, now)

    def _called(self) -> None:
        """Look again, as another limiter of the account has changed something."""
        if self._loop is not None:
            with self._lock:
                self._member.called_at = None
                self._dispatch(self._loop, self._shared.now(self._loop))

    def _join(self, loop: Loop, now: float, priority: Priority, max_wait: float | None, opens_at: float) -> Waiter:
        if max_wait is not None:
            self._refuse_hopeless(now, priority, max_wait)
        waiter: Waiter = loop.create_future()
        deadline = math.inf if max_wait is None else now + max_wait
        self._lanes.join(waiter, priority, deadline)
        self._arm(loop, min(opens_at, deadline))
        if priority is INTERACTIVE and (self._lanes.bulk or self._shared.several):
            self._dispatch(loop, now)  # bulk leaves slots free while it waits
        return waiter

    def _leave(self, waiter: Waiter, priority: Priority) -> None:
        permit = None if waiter.cancelled() else waiter.result()
        if permit is not None:
            self.release(permit, sent=False)
            return
        self._lanes.leave(priority)
        if not self._lanes.waiters:
            self._disarm()

    async def _paced(self, loop: Loop, permit: Permit, asked: float, max_wait: float | None) -> Permit:
        """Wait for a permit's turn at the pace. Return it, or another one where an interactive call took that turn."""
        priority = permit.priority
        while not await self._turn(loop, permit, asked, max_wait):
            waiter: Waiter = loop.create_future()
            self._lanes.join(waiter, priority, math.inf if max_wait is None else asked + max_wait, first=True)
            with self._lock:
                self._dispatch(loop, self._shared.now(loop))
            try:
                again = await waiter
            except asyncio.CancelledError:
                self._leave(waiter, priority)
                raise
            if again is None:
                self._leave(waiter, priority)
                raise self._refusal(loop, priority, max_wait)
            permit = again
        return permit

    async def _turn(self, loop: Loop, permit: Permit, asked: float, max_wait: float | None) -> bool:
        """Wait for the turn of a permit at the pace. Return False where an interactive call goes in its place."""
        with self._lock:
            now = self._shared.now(loop)
            turn_at = self._state.turn_at(now)
        if max_wait is not None and turn_at > now and turn_at - asked > max_wait:
            self.release(permit, sent=False)
            raise too_long(max_wait, turn_at - now)
        try:
            if turn_at > now:
                await _clock.sleep(turn_at - now)
                self._refuse_if_closed()
                if permit.priority is Priority.BULK and self._pass_on(loop, permit):
                    return False
            if self._pacer is not None:
                await self._pacer.acquire()
            self._refuse_if_closed()
        except BaseException:
            self.release(permit, sent=False)
            raise
        with self._lock:
            now = self._shared.now(loop)
            self._state.went(permit, now)
            self._count(permit.priority, now)
            self._changed(loop, now)
        return True

    def _pass_on(self, loop: Loop, permit: Permit) -> bool:
        """Pass a bulk permit whose turn has come on to an interactive call; return whether one was waiting."""
        with self._lock:
            now = self._shared.now(loop)
            if self._state.in_a_row >= GRANTS - 1:
                return False
            first = self._lanes.first()
            if first is not None and first[1] is INTERACTIVE:
                self._state.pass_on(permit, now)
                first[0].set_result(permit)
                self._lanes.leave(INTERACTIVE)
                return True
            if self._shared.others_want(self._member, INTERACTIVE, now):
                self.release(permit, sent=False)
                return True
            return False

    def _count(self, priority: Priority, now: float) -> None:
        """Count the interactive attempts in a row that go while bulk waits."""
        waits = priority is INTERACTIVE and (
            self._lanes.bulk > 0
            or (self._shared.several and self._shared.others_want(self._member, Priority.BULK, now))
        )
        self._state.in_a_row = self._state.in_a_row + 1 if waits else 0

    def _dispatch(self, loop: Loop, now: float) -> None:
        """Grant what may go now, and set the timer for what may go later."""
        lanes, state, shared, pace = self._lanes, self._state, self._shared, self._state.rate_limit.pace
        while (first := lanes.first(bulk_is_due=state.in_a_row >= GRANTS - 1)) is not None:
            waiter, priority = first
            opens_at = state.opens_at(now, priority)
            if shared.several and opens_at <= now and not self._may_go(priority, now):
                opens_at = now + PATIENCE
            if opens_at > now:
                self._arm(loop, min(opens_at, lanes.next_deadline()))
                return
            permit = state.take(now, priority)
            shared.out[permit], self._member.last_grant = loop, permit.grants
            waiter.set_result(permit)
            lanes.leave(priority)
            if pace is None and (state.in_a_row or priority is INTERACTIVE):
                self._count(priority, now)
        self._disarm()
        if shared.several:
            shared.call_others(self._member, now)

    def _arm(self, loop: Loop, at: float) -> None:
        """Set the timer to a moment, unless it rings before that anyway."""
        if at < self._rings_at:
            self._disarm()
            self._timer, self._rings_at = loop.call_at(at, self._ring, loop), at

    def _ring(self, loop: Loop) -> None:
        self._timer, self._rings_at = None, math.inf
        with self._lock:
            now = self._shared.now(loop)
            for waiter in self._lanes.expired(now):
                waiter.set_result(None)
            self._dispatch(loop, now)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_at = None, math.inf

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise closed()

    def _refusal(self, loop: Loop, priority: Priority, max_wait: float | None) -> OmedaAsyncError:
        if self._closed or max_wait is None:
            return closed()
        with self._lock:
            return too_long(max_wait, self._state.next_slot_in(self._shared.now(loop), priority))

    def _refuse_hopeless(self, now: float, priority: Priority, max_wait: float) -> None:
        next_slot_in = self._state.earliest(now, self._lanes.ahead(priority, self._state.in_a_row), priority) - now
        if next_slot_in > max_wait:
            raise too_long(max_wait, next_slot_in)


def _pacer(seconds: float) -> "AsyncLimiter":
    from aiolimiter import AsyncLimiter  # noqa: PLC0415 loading it takes longer than all of this package's limits

    return AsyncLimiter(1, seconds)
