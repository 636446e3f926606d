"""Outcomes of an outbox: for who waits with a ticket, and for the callback, which is told each at least once."""

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from omeda_async import _clock
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.codec import record_of, result_of
from omeda_async.bulk.outbox.interface import Calls, Found
from omeda_async.bulk.outbox.keeper import Keeper
from omeda_async.errors import ClosedError, OutboxError
from omeda_async.events import logger
from omeda_async.outcomes import Outcome

TOLD_AT_ONCE = 100
TOGETHER = 0.02
"""Seconds in which outcomes are waited for that come at the same time."""
TELL_AGAIN = 60.0
"""Seconds until an outcome that the callback has failed with is told again."""
LETS_GO = 1.0
"""Seconds for which a cancelled callback is waited for at the most."""


def _unknown() -> OutboxError:
    return OutboxError("there is no such record in the outbox: it was pruned, or never put")


def outcome_of(found: Found) -> Outcome | None:
    """Make the outcome of a record; None while it is under way."""
    if found.kept is None:
        return None
    result = result_of(found.kept)
    return Outcome(
        record=None if found.record is None else record_of(found.record),
        key=None if found.key is None else orjson.loads(found.key),
        position=found.number,
        status=found.kept.status,
        attempts=found.kept.attempts,
        receipt=result.receipt,
        error=result.error,
    )


class Waiters:
    """Those who wait for an outcome here, whichever process delivers it.

    Args:
        keeper: Where outcomes are looked up.
        calls: Who tells of other processes.
    """

    def __init__(self, keeper: Keeper, calls: Calls) -> None:
        self._keeper = keeper
        self._calls = calls
        self._news = asyncio.Event()
        self._waiting: dict[int, set[asyncio.Future[Outcome]]] = {}
        self._watcher: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Note that there may be outcomes."""
        self._news.set()

    async def look(self, number: int) -> Outcome | None:
        """Look for an outcome once.

        Raises:
            OutboxError: There is no such record; or it cannot be read.
        """
        found = await self._keeper.ask(self._keeper.store.find, [number])
        if not found:
            raise _unknown()
        return outcome_of(found[0])

    async def outcome(self, number: int) -> Outcome:
        """Wait for an outcome; cancelling it changes nothing.

        Raises:
            OutboxError: There is no such record; or it cannot be read.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(number, set())
        waiting.add(future)
        try:
            if (outcome := await self.look(number)) is not None:
                return outcome
            if self._watcher is None or self._watcher.done():
                self._watcher = asyncio.create_task(self._watch(), name="omeda_async outbox, outcomes")
            return await future
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(number) is waiting:
                del self._waiting[number]

    def tell(self, outcomes: Iterable[Outcome]) -> None:
        """Tell the callers that wait for an outcome."""
        for outcome in outcomes:
            for future in self._futures([outcome.position]):
                future.set_result(outcome)

    def close(self) -> None:
        """Tell all callers that wait that nothing looks for outcomes any more."""
        if self._watcher is not None:
            self._watcher.cancel()
        for future in self._futures(self._waiting):
            future.set_exception(ClosedError("the outbox was closed: ask again with the ticket, when it is open"))

    def _futures(self, numbers: Iterable[int]) -> list[asyncio.Future[Outcome]]:
        """Return those of records for whom there is nothing yet."""
        return [future for number in numbers for future in self._waiting.get(number, ()) if not future.done()]

    async def _watch(self) -> None:
        """Look for outcomes of what other processes deliver, as long as anybody waits."""
        while self._waiting:
            self._news.clear()
            if await _clock.wait_for(self._news, self._calls.poll):
                await _clock.sleep(TOGETHER)
            try:
                numbers = [*self._waiting]
                found = await self._keeper.ask(self._keeper.store.find, numbers)
                self.tell(filter(None, map(outcome_of, found)))
                for future in self._futures({*numbers}.difference(one.number for one in found)):
                    future.set_exception(_unknown())
            except OutboxError as error:
                logger.warning("the outcomes of an outbox could not be read: %s", error)


class Teller:
    """Tells outcomes to a callback, one after the other, and has it noted which were told.

    What it raises is logged by its type, and it is told that outcome again a minute later.

    Args:
        keeper: Where it is noted.
        on_outcome: The callback, which may be a coroutine function; None where nobody is to be told.
    """

    def __init__(self, keeper: Keeper, on_outcome: Callable[[Outcome], Any] | None) -> None:
        self.is_wanted = on_outcome is not None
        """Whether anybody is to be told."""
        self._keeper = keeper
        self._on_outcome = on_outcome
        self._untold: deque[Outcome] = deque()
        self._known: set[int] = set()
        self._failed: list[Outcome] = []
        self._telling: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether somebody is to be told, and is not being told anything now."""
        return self.is_wanted and (self._telling is None or self._telling.done())

    def add(self, outcomes: Iterable[Outcome]) -> int:
        """Tell the outcomes that are new here; return how many they are."""
        if self._on_outcome is None:
            return 0
        new = [outcome for outcome in outcomes if outcome.position not in self._known]
        self._known.update(outcome.position for outcome in new)
        self._untold += new
        if self._untold and self.is_idle:
            self._telling = asyncio.create_task(self._tell(), name="omeda_async outbox, on_outcome")
        return len(new)

    def again(self) -> None:
        """Tell the outcomes again that the callback has failed with."""
        failed, self._failed = self._failed, []
        self._known.difference_update(outcome.position for outcome in failed)
        self.add(failed)

    async def ended(self, timeout: float, enough: asyncio.Future[None]) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Wait until all are told, so long at the most; what is not is told again by whoever delivers next.

        Args:
            timeout: Seconds.
            enough: Done when nobody wants to wait any longer.
        """
        if self._telling is not None and not self._telling.done():
            await asyncio.wait({self._telling, enough}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            self._telling.cancel()
            if (await asyncio.wait({self._telling}, timeout=LETS_GO))[1]:
                logger.warning("on_outcome heeds no cancellation; it is left")

    async def _tell(self) -> None:
        told: list[int] = []
        try:
            while self._untold:
                outcome = self._untold.popleft()
                if await self._told(outcome):
                    told.append(outcome.position)
                else:
                    self._failed.append(outcome)
                if len(told) >= TOLD_AT_ONCE or not self._untold:
                    noted, told = told, []
                    await self._note(noted)
        finally:
            if told:
                await outlast(self._note(told))

    async def _told(self, outcome: Outcome) -> bool:
        try:
            answer = self._on_outcome(outcome) if self._on_outcome is not None else None
            if inspect.isawaitable(answer):
                await answer
        except (Exception, asyncio.CancelledError) as error:  # a callback must never cost another outcome
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            logger.error("on_outcome failed: %s; it will be told again", type(error).__name__)  # its text may show much
            return False
        return True

    async def _note(self, numbers: Sequence[int]) -> None:
        try:
            if numbers:
                await self._keeper.do(self._keeper.store.told, numbers)
        except OutboxError as error:
            logger.warning("that outcomes have been told could not be noted, and they may be told again: %s", error)
        self._known.difference_update(numbers)
