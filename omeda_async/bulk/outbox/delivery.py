"""Delivering what is in an outbox: by the process that holds the lease, batch after batch."""

import asyncio
import math
import os
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs

from omeda_async import _clock
from omeda_async._account import Account
from omeda_async._call_options import CallOptions
from omeda_async._result import Result
from omeda_async.bulk._breaker import Breaker, BreakerState
from omeda_async.bulk._item import Closed, Item, not_sent, refused, still_doubtful
from omeda_async.bulk._job import Work
from omeda_async.bulk._options import OutboxSettings
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._reader import read_item
from omeda_async.bulk._request import SharedRequest
from omeda_async.bulk._run_events import RunEvents
from omeda_async.bulk.journal.codec import Codec, record_of
from omeda_async.bulk.outbox.again import again
from omeda_async.bulk.outbox.interface import Calls, Claimed, Ended, Found, LeaseLost
from omeda_async.bulk.outbox.keeper import Keeper
from omeda_async.bulk.outbox.outcomes import TELL_AGAIN, Teller, Waiters, outcome_of
from omeda_async.bulk.outbox.term import Term
from omeda_async.errors import ClosedError, OutboxError
from omeda_async.events import logger
from omeda_async.limits import Permit, Priority

RETRY = 5.0
"""Seconds until something is tried again that the outbox itself has refused."""
CONCURRENCY = 4
PRUNE_EVERY = 600.0
PRUNED_AT_ONCE = 1000
UNTOLD_AT_ONCE = 1000


class Delivery:
    """Delivers what is in an outbox, whenever this process holds the lease.

    Args:
        work: How records are read and sent.
        keeper: Where they are kept.
        codec: How results are kept.
        settings: How they are delivered.
        waiters: The callers in this process that wait for outcomes.
        calls: Tells what other processes do.
    """

    def __init__(
        self,
        work: Work,
        keeper: Keeper,
        *,
        codec: Codec,
        settings: OutboxSettings,
        waiters: Waiters,
        calls: Calls,
    ) -> None:
        self._work = work
        self._account: Account = work.account
        self._keeper = keeper
        self._store = keeper.store
        self._codec = codec
        self._settings = settings
        self._holder = f"{socket.gethostname()}, process {os.getpid()}"
        self._priority = settings.priority or work.account.priority or Priority.INTERACTIVE
        self._waiters = waiters
        self._teller = Teller(keeper, settings.on_outcome)
        self._calls = calls
        self._clock = _clock.that_never_rests(asyncio.get_running_loop())
        self._breaker = Breaker()
        self._events = RunEvents(work, "outbox")
        self._events.started()
        self._news = asyncio.Event()
        self._hurried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_closing = False
        self._term: Term | None = None
        self._taking: asyncio.Future[int | None] | None = None
        self._claiming: asyncio.Future[Sequence[Claimed]] | None = None
        self._main = asyncio.create_task(self._run(), name="omeda_async outbox")
        self._has_more = False
        """Whether the last claim filled a request, so that the next need not wait for more."""
        self._tends_at = self._prunes_at = -math.inf

    @property
    def holds(self) -> bool:
        """Whether this process delivers."""
        return self._term is not None

    @property
    def held_for(self) -> float:
        """Seconds for which this process sends nothing: in a hold, in a pause, or while the provider is away."""
        limits = self._account.limiter.view()
        return max(limits.held_for or 0.0, limits.paused_for, self._breaker.wait(_clock.now())) if self.holds else 0.0

    def wake(self) -> None:
        """Note that there is something new to deliver."""
        self._news.set()

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Begin nothing new, wait for what is under way, write down how it stands, and give the lease back."""
        self._is_closing = True
        self._main.cancel()
        await asyncio.wait({self._main})
        await self._take_back()
        until = _clock.now() + timeout
        if (term := self._term) is not None:
            while term.requests and not self._hurried.done() and (left := until - _clock.now()) > 0:
                waiting = {self._hurried, *term.requests}
                await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            await self._end_term(term)
        await self._teller.ended(max(0.0, until - _clock.now()), self._hurried)
        self._events.ended()

    async def _take_back(self) -> None:
        """Give back records whose claim was being written at the close; take note of a lease that was being taken."""
        try:
            if self._taking is not None and (fence := await self._taking) is not None:
                self._term = self._term or Term(fence, self._clock, self._clock())
            if self._claiming is not None and self._term is not None:
                unsent = not_sent(ClosedError("the outbox was closed before this record was sent"))
                claimed = await self._claiming
                ended = [self._ended(one, still_doubtful(self._item(one), unsent)) for one in claimed]
                await self._keeper.do(self._store.end, self._term.fence, ended)
        except (LeaseLost, OutboxError):
            pass  # then nothing was written

    def hurry(self) -> None:
        """Wait no longer for what is under way, as the closing of the outbox was cancelled."""
        if not self._hurried.done():
            self._hurried.set_result(None)

    async def _run(self) -> None:
        while not self._is_closing:
            self._news.clear()
            wait = min(self._calls.poll, self._settings.lease / 3)
            try:
                asked = self._clock()
                attempt = self._account.timeout + self._account.connect_timeout
                self._taking = self._keeper.do(self._store.take, self._holder, self._settings.lease, attempt)
                fence = await asyncio.shield(self._taking)
                self._taking = None
                if fence is not None:
                    await self._serve(Term(fence, self._clock, asked + self._settings.lease))
                    continue
            except ClosedError:  # the session manager is being closed
                return
            except OutboxError as error:
                logger.warning("the outbox is not delivered for %g s: %s", RETRY, error)
                wait = RETRY
            except Exception as error:  # noqa: BLE001 not even a defect of ours may end the delivery
                logger.error("the delivery of the outbox broke off, and begins anew: %s", type(error).__name__)
                if self._term is not None:
                    await self._end_term(self._term)
                wait = RETRY
            await _clock.wait_for(self._news, wait)

    async def _serve(self, term: Term) -> None:
        """Deliver until the lease is lost."""
        self._term = term
        term.over.wakers.add(self._news.set)
        term.beating = asyncio.create_task(self._beat(term), name="omeda_async outbox, lease")
        while not term.over.is_set:
            self._news.clear()
            try:
                await self._tend()
                if (wait := await self._seconds_until_due()) > 0:
                    await _clock.wait_for(self._news, min(wait, self._calls.poll))
                else:
                    await self._deliver_some(term)
            except LeaseLost:
                break
            except OutboxError as error:
                logger.warning("the outbox is not delivered for %g s: %s", RETRY, error)
                await _clock.wait_for(term.ended, RETRY)
        await self._end_term(term)

    async def _end_term(self, term: Term) -> None:
        """End what is under way, write down how it stands, and give the lease back."""
        cause = ClosedError("the delivery of the outbox was ended before this record was sent")
        term.over.set(cause)
        for task, request in list(term.requests.items()):
            request.break_off(cause)
            task.cancel()
        if term.requests:
            await asyncio.wait(term.requests)
        if term.beating is not None:
            term.beating.cancel()
        self._term = None
        try:
            await self._keeper.do(self._store.release, term.fence)
        except OutboxError as error:
            logger.warning("the lease of the outbox was not given back, and ends by itself: %s", error)

    async def _beat(self, term: Term) -> None:
        """Renew the lease, until that has failed for as long as it lasts, or it is another's: then the term is over."""
        while not term.over.is_set:
            await _clock.sleep(self._settings.lease / 3)
            asked = self._clock()
            try:
                if not await self._keeper.do(self._store.renew, term.fence, self.held_for):
                    break
                term.until = asked + self._settings.lease
            except OutboxError as error:
                logger.warning("the lease of the outbox could not be renewed: %s", error)
                if term.is_late():
                    break
        term.lose()

    async def _seconds_until_due(self) -> float:
        due = await self._keeper.do(self._store.next_due)
        return self._calls.poll if due is None else max(due, self._breaker.wait(_clock.now()))

    async def _deliver_some(self, term: Term) -> None:
        """Send the records that are due in one request, once the limiter lets it go."""
        if self._settings.max_delay and not self._has_more:
            await _clock.sleep(self._settings.max_delay)
        while len(term.requests) >= CONCURRENCY:
            await asyncio.wait(term.requests, return_when=asyncio.FIRST_COMPLETED)
        if not self._breaker.admits(_clock.now()):
            await _clock.wait_for(self._news, self._breaker.wait(_clock.now()) or self._calls.poll)
            return
        probe = self._breaker.state is BreakerState.HALF_OPEN
        asked, permit, begun = _clock.now(), None, False
        try:
            permit = await self._account.limiter.acquire(priority=self._priority)
            begun = await self._claim(term, permit, waited=_clock.now() - asked, probe=probe)
        finally:
            if permit is not None and not begun:
                self._account.limiter.release(permit, sent=False)
            if probe and not begun:
                self._breaker.probe_is_gone(_clock.now())

    async def _claim(self, term: Term, permit: Permit, *, waited: float, probe: bool) -> bool:
        """Claim records and begin to send them; return whether there were any."""
        work = self._work
        entries, size = work.sizes.next_limit()
        most, most_bytes = int(min(entries, work.max_entries)), int(min(size, work.max_bytes))
        self._claiming = self._keeper.do(self._store.claim, term.fence, 1 if probe else max(1, most), most_bytes)
        claimed = await asyncio.shield(self._claiming)
        self._claiming = None
        self._has_more = len(claimed) >= most
        if not claimed:
            return False
        items = [self._item(one) for one in claimed]
        good = [item for item in items if item.refusal is None]
        closed: list[Closed] = [([item], refused(item)) for item in items if item.refusal is not None]
        options = CallOptions(priority=self._priority, waited=waited, is_late=term.is_late)
        request = SharedRequest(self._account, good, permit, closed.append, options, tells=self._events)
        if term.over.cause is not None:
            request.stop.set(term.over.cause)
        send = self._send(term, claimed, request, closed, probe=probe)
        task = asyncio.create_task(send, name="omeda_async outbox, request")
        term.requests[task] = request
        task.add_done_callback(partial(self._sent, term))
        return True

    def _sent(self, term: Term, task: asyncio.Task[None]) -> None:
        request = term.requests.pop(task)
        self._account.limiter.release(request.permit, sent=False)  # one that was cancelled before it began still has it
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a request of the outbox broke off: %s", type(error).__name__)
        self._news.set()

    async def _send(
        self, term: Term, claimed: Sequence[Claimed], request: SharedRequest, closed: Sequence[Closed], *, probe: bool
    ) -> None:
        """Send claimed records, and write down what each has ended with."""
        try:
            await request.perform(self._work)
        finally:
            self._account.limiter.release(request.permit, sent=False)  # does nothing where an attempt has released it
            self._judge(request, probe=probe)
            await outlast(self._end(term, claimed, closed))

    def _item(self, claimed: Claimed) -> Item:
        item = read_item(self._work, record_of(claimed.record), claimed.number)
        item.doubtful = claimed.doubtful
        return item

    async def _end(self, term: Term, claimed: Sequence[Claimed], closed: Sequence[Closed]) -> None:
        results = {item.position: result for items, result in closed for item in items}
        claimed = [one for one in claimed if one.number in results]
        ended = [self._ended(one, results[one.number]) for one in claimed]
        while True:
            try:
                await self._keeper.do(self._store.end, term.fence, ended)
                break
            except LeaseLost:
                return  # whoever delivers now sends them again, and finds out
            except OutboxError as error:
                logger.warning("outcomes could not be written down, and nobody is told them yet: %s", error)
                if term.over.is_set:
                    return
                await _clock.wait_for(term.ended, RETRY)
        self._tell([(one, end) for one, end in zip(claimed, ended, strict=True) if end.again_in is None])

    def _ended(self, claimed: Claimed, result: Result[Any]) -> Ended:
        if claimed.attempts:
            result = attrs.evolve(result, attempts=result.attempts + claimed.attempts)
        next_try = again(result, tries=claimed.tries, age=claimed.age, give_up_after=self._settings.give_up_after)
        [(_, kept)] = self._codec.kept([(None, result)])
        return Ended(
            number=claimed.number,
            kept=kept,
            again_in=None if next_try is None else next_try.seconds,
            tries=claimed.tries if next_try is None else next_try.tries,
            doubtful=result.doubtful,
            told=not self._teller.is_wanted,
        )

    def _tell(self, ended: Sequence[tuple[Claimed, Ended]]) -> None:
        """Tell outcomes, as they will be when they are read from the outbox later."""
        keeps = self._codec.salt is None
        found = [Found(one.number, one.key, one.record if keeps else None, end.kept) for one, end in ended]
        outcomes = [*filter(None, map(outcome_of, found))]
        self._events.tally.counts.update(outcome.status for outcome in outcomes)
        self._events.reached()
        self._waiters.tell(outcomes)
        self._teller.add(outcomes)

    def _judge(self, request: SharedRequest, *, probe: bool) -> None:
        now, breaker = _clock.now(), self._breaker
        if breaker.ended(now, request.results, probe=probe, common=request.common_cause):
            self._events.breaker_changed(breaker, now)

    async def _tend(self) -> None:
        """Do what is due from time to time: tell what was not told, remove what is old."""
        now, store = _clock.now(), self._store
        if self._teller.is_idle and now >= self._tends_at:
            self._teller.again()
            untold = await self._keeper.do(store.untold, UNTOLD_AT_ONCE)
            new = self._teller.add(filter(None, map(outcome_of, untold)))
            self._tends_at = now if new == UNTOLD_AT_ONCE else now + TELL_AGAIN
        if self._settings.retention is not None and now >= self._prunes_at:
            pruned = await self._keeper.ask(store.prune, self._settings.retention, PRUNED_AT_ONCE)
            if pruned < PRUNED_AT_ONCE:
                self._prunes_at = now + PRUNE_EVERY
