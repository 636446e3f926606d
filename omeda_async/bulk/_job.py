"""The work on some items of a run: it has them sent, and gives each a result, whatever happens."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from omeda_async import _clock
from omeda_async._account import Account
from omeda_async._call import Call
from omeda_async._call_options import CallOptions
from omeda_async._operation import Operation
from omeda_async._result import Result
from omeda_async._stop import Stop
from omeda_async.bulk._chunks import Sizes
from omeda_async.bulk._item import Closed, Item, not_sent, still_doubtful
from omeda_async.errors import ClosedError, OmedaAsyncError

if TYPE_CHECKING:
    from omeda_async.bulk._delivery import NullJournal
    from omeda_async.bulk.journal.writer import Journal


class Work(Protocol):
    """What a provider brings for a bulk run of one operation."""

    account: Account
    operation: Operation[Any, Any]
    """What each of its requests asks for."""
    name: str
    """The operation's name, such as ``"campaigns.cancel_many"``."""
    max_entries: int
    """Records in one request at the most."""
    max_bytes: int
    """Bytes of one request at the most, by the items' sizes."""
    sizes: Sizes
    """What is known of how much fits into one request."""
    concurrency: int
    """Calls under way at the most, unless the run says otherwise."""
    look_ahead: int
    """Records read ahead to find those that are due first; 0 sends them as they come."""

    @property
    def scope(self) -> Mapping[str, Any]:
        """What holds for every record of the run (brand, client, reason …). A journal takes runs of one scope only."""

    @property
    def reading(self) -> Mapping[str, Any]:
        """What else decides how records are read. It has to be the same in all processes of a shared run."""

    def read(self, raw: Any) -> Item:
        """Turn a record into an item.

        Raises:
            InvalidRecord: It cannot be sent.
        """

    async def perform(self, items: list[Item], job: "Job") -> None:
        """Send items that share a request, and close each of them by ``job.close``."""


class Host(Protocol):
    """What a job belongs to: a bulk run, or one request of a batcher."""

    stop: Stop
    call_options: CallOptions
    """How its calls are made, unless a work has a reason of its own."""

    @property
    def journal(self) -> "Journal | NullJournal":
        """What remembers the run."""

    def spend_isolation(self) -> bool:
        """Spend one more request on isolating culprits; return whether that is allowed."""

    def deliver(self, closed: Sequence[Closed]) -> None:
        """Hand out results that are final."""

    def deliver_when(self, recorded: asyncio.Future[None], closed: Sequence[Closed]) -> None:
        """Hand out results once they are written down."""

    def leave(self, closed: Sequence[Closed]) -> None:
        """Take the results of items that were not sent or were broken off; a journal may know more about them."""


class Job:
    """The work on items that are sent together.

    Args:
        host: What it belongs to.
        items: What is to be sent.
    """

    def __init__(self, host: Host, items: list[Item]) -> None:
        self.call_options = host.call_options
        self.stop = host.stop
        self.spend_isolation = host.spend_isolation
        self.rest = 0.0
        """Seconds to wait after it, before another is begun."""
        self._host = host
        self._items = items
        self._closed: list[Closed] = []
        self._call: Call[Any, Any] | None = None
        self._deadline: float | None = None
        self._task = asyncio.current_task()
        self._woken = False
        self._abandoned = False

    def close(self, items: Sequence[Item], result: Result[Any]) -> None:
        """Take the result of some items; each item is closed once."""
        if self._abandoned:
            return
        closed = items, result
        self._closed.append(closed)
        if not self._host.journal.remembers:
            self._host.deliver([closed])

    async def run(self, call: Call[Any, Any]) -> Result[Any]:
        """Make a call, which a stop of the run can end."""
        self._call = call
        if self.call_options.one_deadline:
            call.deadline = self._deadline
        try:
            result = await call.run()
        except asyncio.CancelledError:
            if not (self._woken and not call.in_flight and take_back_wake()):
                raise
            result = call.interrupted()
        self._call, self._deadline = None, call.deadline
        if isinstance(result.error, ClosedError):  # nothing can be sent any more, for this item or another
            self.stop.set(result.error)
            if self.stop.cause is not None and not result.doubtful:
                return not_sent(self.stop.cause, result.attempts)  # the run's own cause says more
        return result

    def time_left(self) -> float:
        """Return the seconds that are left for another call about the same records."""
        if self._deadline is None or not self.call_options.one_deadline:
            return math.inf
        return self._deadline - _clock.now()

    def wake(self) -> None:
        """End a call that has no attempt in flight."""
        task = self._task
        if self._call is None or self._call.in_flight or task is None or task is asyncio.current_task():
            return  # a call whose own hook stops the run sees it before its next attempt
        self._woken = task.cancel()

    def give_up(self, cause: OmedaAsyncError) -> None:
        """Give up a call that waits for another attempt and was certainly not sent; any other goes on."""
        call = self._call
        if call is not None and not call.in_flight and call.state.doubt is None:
            self.stop.set(cause)
            self.wake()

    async def perform(self, work: Work) -> None:
        """Have the items sent, and their results written down and delivered.

        Cancelling it leaves no item without a result. Whatever else goes wrong stops the run, as ``stop.failure``.
        """
        journal = self._host.journal
        try:
            if journal.remembers:
                self._closed += await journal.begin(self._items)
                if self._abandoned:
                    return
            if items := self._open() if self._closed else self._items:
                await work.perform(items, self)
            if journal.remembers and not self._abandoned:
                self._host.deliver_when(journal.record(self._closed), self._closed)
        except asyncio.CancelledError:
            self.abandon()
            raise
        except Exception as error:  # noqa: BLE001 not even a defect of ours may cost a record its outcome
            self.abandon()
            self.stop.break_off(error)

    def _open(self) -> list[Item]:
        closed = {item for items, _ in self._closed for item in items}
        return [item for item in self._items if item not in closed]

    def abandon(self) -> None:
        """Close each open item with the result that is certain now; results that come later are ignored."""
        if self._abandoned:
            return
        if self._call is not None:
            result = self._call.interrupted()
        else:
            result = not_sent(ClosedError("the run was stopped before this record was sent"))
        for item in self._open():
            self.close([item], still_doubtful(item, result))
        self._abandoned = True
        if self._host.journal.remembers:
            self._host.leave(self._closed)


def take_back_wake() -> bool:
    """Take back the cancellation by which a stop woke this task; return whether no other cancellation is left."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() == 0
