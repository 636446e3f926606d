"""Where the work on some items of a run reports to."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omeda_async._call import Call, CallOptions
from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item, Work, not_sent, still_doubtful
from omeda_async.errors import ClosedError, OmedaAsyncError

if TYPE_CHECKING:
    from omeda_async.bulk._engine import FanOut


class RunJob:
    """Where the work on some items reports to; sees to it that each has an outcome, whatever happens."""

    def __init__(self, run: "FanOut", items: list[Item]) -> None:
        self._run = run
        self._items = items
        self._closed: list[Closed] = []
        self._call: Call[Any, Any] | None = None
        self._task = asyncio.current_task()
        self._woken = False

    @property
    def stopped(self) -> bool:
        return self._run.stopped

    def stop(self, cause: OmedaAsyncError) -> None:
        self._run.stop(cause)

    def options(self, *, doubtful: bool = False) -> CallOptions:
        return CallOptions(
            priority=self._run.options.priority,
            deadline_from_first_permit=True,
            doubtful=doubtful,
            on_request=self._count,
            stopped=lambda: self._run.stopped,
        )

    def _count(self) -> None:
        self._run.tally.requests += 1

    def spend_isolation(self) -> bool:
        self._run.isolation_left -= 1
        return self._run.isolation_left >= 0

    def close(self, items: Sequence[Item], result: Result[Any]) -> None:
        self._closed.append((items, result))

    def _open(self) -> list[Item]:
        closed = {item for items, _ in self._closed for item in items}
        return [item for item in self._items if item not in closed] if closed else self._items

    async def run(self, call: Call[Any, Any]) -> Result[Any]:
        self._call = call
        try:
            result = await call.run()
        except asyncio.CancelledError:
            if not self._woken or call.in_flight or cancelled_again():
                raise
            result = call.interrupted()
        except ClosedError as error:  # nothing of this call was sent: there was no session left
            self._run.stop(error)
            result = not_sent(error)
        self._call = None
        return result

    def interrupt_wait(self) -> None:
        """End a call that has no attempt in flight."""
        task = self._task
        if self._call is None or self._call.in_flight or task is None or task is asyncio.current_task():
            return  # a call whose own hook stops the run sees it before its next attempt
        self._woken = task.cancel()

    async def perform(self, work: Work) -> None:
        """Have the items sent, and deliver their outcomes."""
        journal = self._run.journal
        try:
            self._closed += await journal.begin(self._items)
            if items := self._open():
                await work.perform(items, self)
            self._run.deliver_when(journal.record(self._closed), self._closed)
        except asyncio.CancelledError:
            self._abandon(self._interrupted())
            raise
        except Exception as error:  # noqa: BLE001 not even a defect of ours may cost a record its outcome
            self._run.failure = self._run.failure or error
            self._abandon(self._interrupted())
            cause = error if isinstance(error, OmedaAsyncError) else None
            self._run.stop(cause or ClosedError(f"the run broke off: {type(error).__name__}"))

    def _interrupted(self) -> Result[Any]:
        if self._call is not None:
            return self._call.interrupted()
        return not_sent(ClosedError("the run was stopped before this record was sent"))

    def _abandon(self, result: Result[Any]) -> None:
        for item in self._open():
            self.close([item], still_doubtful(item, result))
        self._run.leave(self._closed)


def cancelled_again() -> bool:
    """Take back the cancellation by which a stop woke this task; tell whether there was another one besides."""
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0
