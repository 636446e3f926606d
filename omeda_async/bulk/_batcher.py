"""Many callers, few requests: each adds a record and awaits its own outcome."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, cast

from omeda_async import _clock
from omeda_async._account import Account
from omeda_async._call_options import CallOptions
from omeda_async._checks import check_duration, check_one_of, check_whole
from omeda_async._generic import Receipt_co, Record
from omeda_async._result import Result
from omeda_async._telling import CallEvents
from omeda_async.bulk._batcher_view import BatcherView, too_long
from omeda_async.bulk._breaker import Breaker, BreakerState
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._item import Closed, Item, not_sent, refused
from omeda_async.bulk._job import Work
from omeda_async.bulk._reader import read_item
from omeda_async.bulk._request import SharedRequest
from omeda_async.bulk._run_events import RunEvents
from omeda_async.bulk._unclaimed import Unclaimed
from omeda_async.errors import BatcherFull, ClosedError, OmedaAsyncError
from omeda_async.limits import Permit, Priority
from omeda_async.outcomes import Outcome, OutcomeStatus

NOT_SENT = OutcomeStatus.NOT_SENT
MAX_WAITING = 10_000
_LEAST_WAIT = 0.01
"""Seconds that a record may wait at the least: a turn takes some passes of the loop, even where it takes no time."""


class Batcher(Generic[Record, Receipt_co]):
    """Gathers records from many tasks into shared requests. Use it with ``async with``, or call :meth:`aclose`.

    A request goes when ``max_entries`` records wait or the first has waited ``max_delay`` seconds; what joins it
    until the limiter lets it go goes with it.

    Args:
        work: How records are read and sent.
        max_delay: Seconds a record waits for others at the most.
        priority: The lane at the limiter.
        max_waiting: Records that may wait at the most; None for any number.
        on_outcome: Called with each outcome that nobody awaits any more.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
    """

    def __init__(
        self,
        work: Work,
        *,
        max_delay: float,
        priority: Priority = Priority.INTERACTIVE,
        max_waiting: int | None = MAX_WAITING,
        on_outcome: Callable[[Outcome], Any] | None = None,
    ) -> None:
        check_duration("max_delay", max_delay, zero=True)
        check_one_of("priority", priority, Priority)
        check_whole("max_entries", work.max_entries)
        check_whole("max_bytes", work.max_bytes)
        if max_waiting is not None:
            check_whole("max_waiting", max_waiting)
        self._work = work
        self._account: Account = work.account
        self._max_delay = max_delay
        self._priority = priority
        self._max_waiting = max_waiting
        self._events = RunEvents(work, "batcher")
        self._calls: dict[Item, CallEvents] = {}
        self._unclaimed = Unclaimed(self._events, work.name, on_outcome)
        self._breaker = Breaker()
        self._probe: Item | None = None
        self._waiting: dict[Item, asyncio.Future[Outcome]] = {}
        self._taken: dict[Item, asyncio.Future[Outcome]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._requests: set[SharedRequest] = set()
        self._idle: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._position = 0
        self._closed = False
        self._account.activity.add_batcher(self)

    @property
    def view(self) -> BatcherView:
        """How many records wait, how many are under way, and whether more are refused at once."""
        return BatcherView(
            waiting=len(self._waiting),
            in_flight=len(self._taken),
            max_waiting=self._max_waiting,
            breaker=self._breaker.state.value,
            retry_in=self._breaker.wait(_clock.now()),
            cause=self._breaker.cause,
        )

    async def add(self, record: Record, *, max_wait: float | None = None) -> Outcome[Record, Receipt_co]:
        """Submit one record, in one request with those of other callers, and return its own outcome.

        A record that is refused, or invalid, has an outcome that says so; nobody else's fails with it. After a cause
        that would meet every record (the provider is away, the credentials are refused) records are not sent for a
        while: the outcome says so at once, with a ``ProviderUnavailable``.

        Args:
            record: An opt-out, or a mapping of its fields.
            max_wait: Seconds that the limiter may keep it waiting, after ``max_delay``. The ``deadline`` of calls
                bounds that too: then the outcome is ``NOT_SENT`` with a ``LimitWaitExceeded``.

        Raises:
            ClosedError: The batcher is closed.
            BatcherFull: ``max_waiting`` records wait already.
            LimitWaitExceeded: It would wait, or has waited, for longer than ``max_wait``. Nothing was sent.

        Cancelling it takes the record out if it has not left. Whether or not it has, its outcome is told to
        ``on_outcome`` then, as soon as it is known; without that it is logged.
        """
        if self._closed:
            raise ClosedError("the batcher is closed")
        if max_wait is not None:
            check_duration("max_wait", max_wait, zero=True)
        self._account.transport.session()
        self._events.started()
        tells = self._events.call()
        if tells is None:
            return await self._add(record, max_wait)
        return await tells.of(partial(self._add, record, max_wait, tells), partial(_certain, tells))

    async def _add(self, record: Record, max_wait: float | None, tells: CallEvents | None = None) -> Outcome:
        position, self._position = self._position, self._position + 1
        item = read_item(self._work, record, position)
        if item.refusal is not None:
            return self._at_once(item, refused(item))
        self._refuse_if_full(max_wait)
        now = _clock.now()
        if not self._breaker.admits(now):
            return self._at_once(item, not_sent(self._breaker.refusal(now, self._account.provider)))
        if tells is not None:
            self._calls[item] = tells
        if self._breaker.state is BreakerState.HALF_OPEN:
            self._probe = item
        return await self._outcome_of(item, max_wait)

    def _at_once(self, item: Item, result: Result[Any]) -> Outcome:
        self._events.count(result.status)
        return item.outcome(result)

    async def _outcome_of(self, item: Item, max_wait: float | None) -> Outcome:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting[item] = future
        self._arrange()
        longest = self._account.retry.deadline if max_wait is None else min(max_wait, self._account.retry.deadline)
        patience = loop.call_later(self._max_delay + max(longest, _LEAST_WAIT), self._expire, item, max_wait)
        try:
            return await future
        except asyncio.CancelledError:
            self._caller_has_gone(item, future)
            raise
        finally:
            self._calls.pop(item, None)
            patience.cancel()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {self._work.name}: {state}, {len(self._waiting)} records wait>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Take no more records, and send what is in hand.

        Args:
            timeout: Seconds that this may take. Then every record has its outcome at once, ``NOT_SENT`` if it had not
                left and ``UNKNOWN`` if its answer was still awaited: to the caller that waits, or as one that nobody
                awaits. None waits as long as calls may take.

        Raises:
            ConfigurationError: ``timeout`` is out of range.

        Cancelling it does at once what passing ``timeout`` does.
        """
        if timeout is not None:
            check_duration("timeout", timeout, zero=True)
        self._closed = True
        until = None if timeout is None else _clock.now() + timeout
        try:
            while self._waiting or self._senders:
                left = None if until is None else until - _clock.now()
                if left is not None and left <= 0:
                    break
                self._flush()
                self._let_go()
                await asyncio.wait(self._senders, timeout=left)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            error = ClosedError("the batcher was closed before this record was sent")
            for request in list(self._requests):
                request.break_off(error)  # whoever cancels this may not let the requests' tasks run again
            for task in self._senders:
                task.cancel()
            self._refuse(error)
            self._unclaimed.tell()
            self._events.ended()

    def stop(self, cause: str = "the batcher was stopped") -> None:
        """Take no more records, and send nothing new. Callers that wait are told so; requests in flight go on.

        Args:
            cause: Why, as callers that wait are told.
        """
        self._closed = True
        error = ClosedError(f"{cause} before this record was sent")
        self._refuse(error)
        if self._account.activity.closing.is_set:
            for request in self._requests:
                request.stop.set(error)

    def _refuse_if_full(self, max_wait: float | None) -> None:
        most = self._max_waiting
        if most is not None and len(self._waiting) >= most:
            self._events.count(NOT_SENT)
            raise BatcherFull(
                f"{most:,} records wait already, as many as max_waiting allows: this one was not taken",
                provider=self._account.provider,
                operation=self._work.name,
                max_waiting=most,
            )
        if max_wait is not None:
            soonest = self._account.limiter.view().next_slot_in
            if soonest is not None and soonest > self._max_delay + max_wait:
                self._events.count(NOT_SENT)
                raise too_long(f"would pass max_wait={max_wait:g} s", max_wait, soonest)

    def _let_go(self) -> None:
        """Cancel senders that can get no more records: a limiter may keep them waiting for long."""
        if self._closed and not self._waiting:
            for task in self._idle:
                task.cancel()

    def _expire(self, item: Item, max_wait: float | None) -> None:
        """End the wait of a record that no request has taken."""
        future, deadline = self._waiting.get(item), self._account.retry.deadline
        if future is None or future.done():
            return
        next_slot_in = self._account.limiter.view().next_slot_in
        if max_wait is not None and max_wait <= deadline:
            future.set_exception(too_long(f"would pass max_wait={max_wait:g} s", max_wait, next_slot_in))
        else:
            late = too_long(f"has passed the call's deadline of {deadline:g} s", deadline, next_slot_in)
            future.set_result(item.outcome(not_sent(late)))
        self._take_out(item)

    def _caller_has_gone(self, item: Item, future: asyncio.Future[Outcome]) -> None:
        """Note that a caller was cancelled: nobody awaits the outcome of its record any more."""
        if item in self._waiting:
            gone = ClosedError("whoever waited for this record was cancelled before it was sent")
            self._unclaimed.add(item.outcome(not_sent(gone)))
            self._take_out(item)
        elif future.done() and not future.cancelled():  # it came in the same moment
            error = future.exception()
            unsent = item.outcome(not_sent(error)) if isinstance(error, OmedaAsyncError) else None
            self._unclaimed.add(unsent or future.result())
        self._unclaimed.tell()

    def _take_out(self, item: Item) -> None:
        """Remove a record that no request is to take any more."""
        del self._waiting[item]
        self._probe_is_gone(item)
        self._events.count(NOT_SENT)
        self._let_go()

    def _probe_is_gone(self, item: Item) -> None:
        if item is self._probe:
            self._probe = None
            self._breaker.probe_is_gone(_clock.now())

    def _arrange(self) -> None:
        """Make sure that a sender or a timer will take what waits."""
        expected = len(self._idle) * self._work.max_entries
        if len(self._waiting) - expected >= self._work.max_entries:
            self._flush()
        elif len(self._waiting) > expected and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._max_delay, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._waiting) > len(self._idle) * self._work.max_entries:
            task = asyncio.create_task(self._send(), name="omeda_async batcher")
            for tasks in (self._senders, self._idle):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _send(self) -> None:
        """Wait for the limiter, and only then see which records the request will hold."""
        limiter, asked = self._account.limiter, _clock.now()
        try:
            permit = await limiter.acquire(priority=self._priority)
        except OmedaAsyncError as error:
            self._refuse(error)
            return
        except asyncio.CancelledError:
            self._refuse(ClosedError("the batcher was closed before this record was sent"))
            raise
        finally:
            self._idle.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            if items := self._take():
                await self._perform(items, permit, _clock.now() - asked)
        finally:
            limiter.release(permit, sent=False)  # does nothing where an attempt has used it

    async def _perform(self, items: list[Item], permit: Permit, waited: float) -> None:
        options = CallOptions(
            priority=self._priority,
            waited=waited,
            made_for=self._shared_by(items),
            is_hopeless=lambda: self._breaker.state is BreakerState.OPEN,
            one_deadline=True,
        )
        request = SharedRequest(self._account, items, permit, self._deliver, options, tells=self._events)
        self._requests.add(request)
        try:
            await request.perform(self._work)
        finally:
            self._requests.discard(request)
            self._judge(request, items)

    def _shared_by(self, items: list[Item]) -> tuple[str, ...]:
        """Return the ids of the calls whose records are sent now."""
        calls = [self._calls[item] for item in items if item in self._calls]
        for tells in calls:
            tells.is_sent = True
        return tuple(tells.call_id for tells in calls)

    def _judge(self, request: SharedRequest, items: list[Item]) -> None:
        """Tell the breaker what a request has ended with; once it opens, end the wait of all callers."""
        breaker, now, probe = self._breaker, _clock.now(), self._probe in items
        if probe:
            self._probe = None
        if breaker.ended(now, request.results, probe=probe, common=request.common_cause):
            self._events.breaker_changed(breaker, now)
            if breaker.state is BreakerState.OPEN:
                self._refuse(refusal := breaker.refusal(now, self._account.provider))
                for other in self._requests:
                    other.give_up(refusal)

    def _take(self) -> list[Item]:
        chunker: Chunker[Item] = Chunker(self._work.max_entries, self._work.max_bytes, self._work.sizes)
        batch = next(filter(None, map(chunker.feed, self._waiting)), None) or chunker.flush()
        self._taken.update((item, self._waiting.pop(item)) for item in batch)
        self._arrange()
        return batch

    def _deliver(self, closed: Closed) -> None:
        """Hand every caller that waits its outcome."""
        items, result = closed
        for item in items:
            self._hand_over(item.outcome(result), self._taken.pop(item))
        self._events.count(result.status, len(items))
        self._unclaimed.tell()

    def _refuse(self, error: OmedaAsyncError) -> None:
        waiting, self._waiting = self._waiting, {}
        for item, future in waiting.items():
            self._probe_is_gone(item)
            self._hand_over(item.outcome(not_sent(error)), future)
        if waiting:
            self._events.count(NOT_SENT, len(waiting))
        self._unclaimed.tell()

    def _hand_over(self, outcome: Outcome, future: asyncio.Future[Outcome]) -> None:
        if future.done():  # its caller was cancelled
            self._unclaimed.add(outcome)
        else:
            future.set_result(outcome)


def _certain(tells: CallEvents, _error: BaseException) -> Result[Any]:
    """Return what is certain of a record whose caller gets no outcome."""
    return Result(known=OutcomeStatus.UNKNOWN if tells.is_sent else NOT_SENT)
