"""One request that the records of many callers share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from omeda_async._account import Account
from omeda_async._call_options import CallOptions
from omeda_async._result import Result
from omeda_async._stop import Stop
from omeda_async.bulk._delivery import NullJournal
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk._job import Job, Work
from omeda_async.bulk._run_events import RunEvents
from omeda_async.errors import ApiError, BatchRejected, ClosedError, OmedaAsyncError
from omeda_async.events import logger
from omeda_async.limits import Permit

ISOLATION_BUDGET = 1000


class SharedRequest:
    """One shared request, as the host of its job; each item has exactly one result.

    Args:
        account: Whose limits it uses.
        items: What it holds.
        permit: What the limiter has granted for its first attempt.
        deliver: Called with results as soon as they are certain.
        options: How its calls are made, as far as that is its own.
        tells: Whose request it is, as hooks are told.
    """

    def __init__(
        self,
        account: Account,
        items: list[Item],
        permit: Permit,
        deliver: Callable[[Closed], None],
        options: CallOptions,
        *,
        tells: RunEvents,
    ) -> None:
        self.stop = Stop()
        if account.activity.closing.is_set:
            self.stop.set(ClosedError("the session manager was closed before this record was sent"))
        self.permit = permit
        self.journal = NullJournal()
        self.results: list[Result[Any]] = []
        """What its records have ended with so far."""
        self._account = account
        self._kind = tells.kind
        self._items = items
        self._deliver = deliver
        self._job: Job | None = None
        self._isolation_left = ISOLATION_BUDGET
        self.call_options = attrs.evolve(
            options,
            permit=permit,
            stop=self.stop,
            tally=tells.tally,
            run_id=tells.run_id,
            deadline_from_first_permit=True,
        )

    @property
    def common_cause(self) -> OmedaAsyncError | None:
        """The error that was found to meet every record of the operation, also of other callers; None where none was.

        It is not that the provider knows none of a request's ids: they may all be of one caller.
        """
        cause = self.stop.cause
        return cause if isinstance(cause, ApiError) and not isinstance(cause, BatchRejected) else None

    async def perform(self, work: Work) -> None:
        """Send it. Cancelling it leaves no item without a result; nor does a defect, which is logged."""
        self._job = Job(self, self._items)
        with self._account.activity:
            await self._job.perform(work)
        if (failure := self.stop.failure) is not None:  # its text may show what no log may hold
            logger.error("a request of the %s broke off: %s", self._kind, type(failure).__name__)

    def break_off(self, cause: OmedaAsyncError) -> None:
        """Give every item its result now, and send nothing more; its task is to be cancelled."""
        self.stop.set(cause)  # a request whose cancellation is swallowed goes no further all the same
        if self._job is not None:
            self._job.abandon()

    def give_up(self, cause: OmedaAsyncError) -> None:
        """Give up a call that waits for another attempt, if it was certainly not sent."""
        if self._job is not None:
            self._job.give_up(cause)

    def spend_isolation(self) -> bool:
        """Spend one more request on isolating culprits; return whether that is allowed."""
        self._isolation_left -= 1
        return self._isolation_left >= 0

    def deliver(self, closed: Sequence[Closed]) -> None:
        """Hand out results that are final."""
        for one in closed:
            self.results.append(one[1])
            self._deliver(one)

    def deliver_when(self, _recorded: asyncio.Future[None], closed: Sequence[Closed]) -> None:
        """Hand them out at once: there is no journal."""
        self.deliver(closed)

    leave = deliver
