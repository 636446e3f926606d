"""Many callers, few requests: each adds a record and awaits its own outcome."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Generic, Self

from omeda_async._account import Account
from omeda_async._call import CallOptions
from omeda_async._checks import check_duration, check_one_of, check_whole
from omeda_async._generic import Receipt_co, Record
from omeda_async._stop import Stop
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._delivery import NullJournal
from omeda_async.bulk._item import Closed, Item, not_sent, refused
from omeda_async.bulk._job import Job, Work
from omeda_async.bulk._reader import read_item
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.limits import Permit, Priority
from omeda_async.outcomes import Outcome

ISOLATION_BUDGET = 1000


class Batcher(Generic[Record, Receipt_co]):
    """Gathers records from many tasks into shared requests. Use it with ``async with``, or call :meth:`aclose`.

    A request goes when ``max_entries`` records wait or the first has waited ``max_delay`` seconds; what joins it
    until the limiter lets it go goes with it.

    Args:
        work: How records are read and sent.
        max_delay: Seconds a record waits for others at the most.
        priority: The lane at the limiter.

    Raises:
        ConfigurationError: An option is out of range; the message names it.
    """

    def __init__(self, work: Work, *, max_delay: float, priority: Priority = Priority.INTERACTIVE) -> None:
        check_duration("max_delay", max_delay, zero=True)
        check_one_of("priority", priority, Priority)
        check_whole("max_entries", work.max_entries)
        check_whole("max_bytes", work.max_bytes)
        self._work = work
        self._account: Account = work.account
        self._max_delay = max_delay
        self._priority = priority
        self._waiting: dict[Item, asyncio.Future[Outcome]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._requests: set[_Request] = set()
        self._idle_senders = 0
        self._timer: asyncio.TimerHandle | None = None
        self._position = 0
        self._closed = False
        self._account.activity.add_batcher(self)

    async def add(self, record: Record) -> Outcome[Record, Receipt_co]:
        """Submit one record with whatever others are on their way, and give its own outcome.

        A record that is refused, or invalid, has an outcome that says so; nobody else's fails with it. Cancelling
        takes the record out if it has not left; if it has, whether it is carried out is not known here.

        Raises:
            ClosedError: The batcher is closed.
        """
        if self._closed:
            raise ClosedError("the batcher is closed")
        self._account.transport.session()
        position, self._position = self._position, self._position + 1
        item = read_item(self._work, record, position)
        if item.refusal is not None:
            return item.outcome(refused(item))
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[item] = future
        self._arrange()
        try:
            return await future
        finally:
            self._waiting.pop(item, None)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {self._work.name}: {state}, {len(self._waiting)} records wait>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more records, and send what is in hand. Cancelling it gives every caller that waits an outcome."""
        self._closed = True
        try:
            while self._waiting or self._senders:
                self._flush()
                await asyncio.wait(self._senders)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            error = ClosedError("the batcher was closed before this record was sent")
            for request in self._requests:
                request.stop.set(error)  # a request whose cancellation is swallowed goes no further all the same
            for task in self._senders:
                task.cancel()
            self._refuse(error)

    def stop(self, cause: str = "the batcher was stopped") -> None:
        """Take no more records, and send nothing new: who waits is told so. Requests in flight go on.

        Args:
            cause: Why, as who waits is told.
        """
        self._closed = True
        error = ClosedError(f"{cause} before this record was sent")
        self._refuse(error)
        if self._account.activity.closing.is_set:
            for request in self._requests:
                request.stop.set(error)

    def _arrange(self) -> None:
        """See to it that a sender or a timer will take what waits."""
        expected = self._idle_senders * self._work.max_entries
        if len(self._waiting) - expected >= self._work.max_entries:
            self._flush()
        elif len(self._waiting) > expected and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._max_delay, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and len(self._waiting) > self._idle_senders * self._work.max_entries:
            self._idle_senders += 1
            task = asyncio.create_task(self._send(), name="omeda_async batcher")
            self._senders.add(task)
            task.add_done_callback(self._senders.discard)

    async def _send(self) -> None:
        """Wait for the limiter, and only then see which records the request will hold."""
        limiter = self._account.limiter
        try:
            permit = await limiter.acquire(priority=self._priority)
        except OmedaAsyncError as error:
            self._refuse(error)
            return
        except asyncio.CancelledError:
            self._refuse(ClosedError("the batcher was closed before this record was sent"))
            raise
        finally:
            self._idle_senders -= 1
        try:
            if taken := self._take():
                await self._perform(_Request(self._account, taken, permit, self._priority), list(taken))
        finally:
            limiter.release(permit, sent=False)  # does nothing where an attempt has used it

    async def _perform(self, request: "_Request", items: list[Item]) -> None:
        self._requests.add(request)
        try:
            with self._account.activity:
                await Job(request, items).perform(self._work)
        finally:
            self._requests.discard(request)
        if request.stop.failure is not None:
            raise request.stop.failure

    def _take(self) -> dict[Item, asyncio.Future[Outcome]]:
        chunker: Chunker[Item] = Chunker(self._work.max_entries, self._work.max_bytes, self._work.sizes)
        taken: list[Item] = []
        for item in self._waiting:
            full = chunker.feed(item)
            if full is not None:
                taken = full
                break
        batch = {item: self._waiting.pop(item) for item in taken or chunker.flush()}
        self._arrange()
        return batch

    def _refuse(self, error: OmedaAsyncError) -> None:
        waiting, self._waiting = self._waiting, {}
        for item, future in waiting.items():
            if not future.done():
                future.set_result(item.outcome(not_sent(error)))


class _Request:
    """One shared request, as the host of its job: hands every caller its outcome."""

    def __init__(
        self, account: Account, waiting: dict[Item, asyncio.Future[Outcome]], permit: Permit, priority: Priority
    ) -> None:
        self.stop = Stop()
        if account.activity.closing.is_set:
            self.stop.set(ClosedError("the session manager was closed before this record was sent"))
        self.journal = NullJournal()
        self._waiting = waiting
        self._isolation_left = ISOLATION_BUDGET
        self.call_options = CallOptions(
            priority=priority, deadline_from_first_permit=True, stop=self.stop, permit=permit
        )

    def spend_isolation(self) -> bool:
        """Whether one more request may be spent on isolating culprits; it counts as spent."""
        self._isolation_left -= 1
        return self._isolation_left >= 0

    def deliver(self, closed: Sequence[Closed]) -> None:
        """Hand every caller that waits its outcome."""
        for items, result in closed:
            for item in items:
                future = self._waiting.pop(item)
                if not future.done():
                    future.set_result(item.outcome(result))

    def deliver_when(self, _recorded: asyncio.Future[None], closed: Sequence[Closed]) -> None:
        """Hand every caller that waits its outcome: no journal writes anything down."""
        self.deliver(closed)

    leave = deliver
