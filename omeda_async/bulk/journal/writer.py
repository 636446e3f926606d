"""A journal that is open for a run: what many workers ask for at the same time is written in one group."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.asked import Asked
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Aside, Backend, Written
from omeda_async.errors import ClosedError, JournalError
from omeda_async.outcomes import Tally

GATHER: Final = 0.005
"""Seconds between two writes at the most, in which those in flight may come to ask for the next as well."""
NOTES_AT_ONCE: Final = 1000
NOTES_WAITING: Final = 5000


class Journal:
    """A journal that is open for one run; a :class:`~omeda_async.bulk.journal.interface.RunJournal`.

    Args:
        backend: Where it is kept.
        lookback: Seconds that a provider counts a request for: for so long it is remembered from run to run.
    """

    remembers = True

    def __init__(self, backend: Backend, lookback: float = 0.0) -> None:
        self.recent: tuple[int, float] = (0, 0.0)
        """Requests that earlier runs have made within that time, and how many seconds ago the last was seen."""
        self._backend = backend
        self._lookback = lookback
        self._codec = Codec()
        self._hand = InHand(lambda item, result: self.note_repeats([([item], result)]))
        self._asked = Asked()
        self._tally = Tally()
        self._made: deque[tuple[float, int]] = deque([(-math.inf, 0)])
        """When how many requests had been made: as they were written, and one before the lookback."""
        self._open = False
        self._failure: JournalError | None = None
        self._writing = False
        self._wrote = asyncio.Event()
        self._next: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._not_before = -math.inf

    async def open(self, tally: Tally) -> None:
        """Open the journal, and note that a run begins.

        Args:
            tally: The sums of the run; kept in the journal as it goes on.

        Raises:
            JournalError: It cannot be written, is in use, or is another run's. Nothing was sent yet.

        Cancelling it leaves nothing open.
        """
        self._tally = tally
        try:
            await outlast(self._begin())
        except BaseException:
            await outlast(self._shut())
            raise

    async def _begin(self) -> None:
        opened = await self._backend.open()
        self._codec = Codec(opened.salt)
        self.recent = opened.requests, opened.seconds_ago
        self._open = True

    async def _shut(self) -> None:
        self._open = False
        await self._backend.close()

    @property
    def is_open(self) -> bool:
        """Whether it can be written."""
        return self._open

    async def begin(self, items: Sequence[Item]) -> list[Closed]:
        """Write down that items are about to be sent; give the results of those settled by an earlier run."""
        self._check()
        waiter: asyncio.Future[list[Closed]] = asyncio.get_running_loop().create_future()
        try:
            self._asked.begun.append((items, self._codec.entries(items), waiter))
        except Exception as error:
            raise self._failed(error) from error
        self._wake()
        return await waiter

    def record(self, closed: Sequence[Closed]) -> asyncio.Future[None]:
        """Have results written down; the future is done when they are."""
        self._check()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before, kept = len(self._asked.results), self._codec.keeper()
        try:
            for items, result in closed:
                if records := self._hand.close(items, result):
                    self._asked.results.append((records, kept(result)))
        except Exception as error:
            raise self._failed(error) from error
        if len(self._asked.results) == before:  # earlier runs have settled them all
            waiter.set_result(None)
        else:
            self._asked.recorded.append(waiter)
            self._wake()
        return waiter

    async def leave(self, closed: Sequence[Closed]) -> list[Closed]:
        """Write down what became of items that will not be sent, or whose sending was broken off; give how that stands.

        What an earlier run has found out about an item is not undone.
        """
        self._check()
        waiter: asyncio.Future[list[Closed]] = asyncio.get_running_loop().create_future()
        self._asked.left.append((closed, waiter))
        self._wake()
        return await waiter

    def note_repeats(self, closed: Sequence[Closed]) -> None:
        """Have records counted that repeat earlier ones, and so are not sent."""
        kept = self._codec.keeper()
        self._note(lambda item, result: Aside(item.position, kept(result), None), closed)

    def note_refused(self, closed: Sequence[Closed]) -> None:
        """Have records counted that were refused locally, and so are not sent."""
        kept, entry = self._codec.keeper(), self._codec.entry
        self._note(lambda item, result: Aside(item.position, kept(result), entry(item)), closed)

    def _note(self, aside: Callable[[Item, Result[Any]], Aside], closed: Sequence[Closed]) -> None:
        try:
            self._asked.notes += [aside(item, result) for items, result in closed for item in items]
        except Exception as error:  # noqa: BLE001 whoever sends something is told
            self._failed(error)
        if len(self._asked.notes) >= NOTES_AT_ONCE:
            self._wake()

    async def room(self) -> None:
        """Wait until few notes are waiting to be written; at once when writing has failed."""
        while self._open and self._failure is None and len(self._asked.notes) > NOTES_WAITING:
            self._wrote.clear()
            await self._wrote.wait()

    async def close(self, cause: BaseException | None) -> None:
        """Write down what is still to be written, note how the run ended, and close the journal.

        Args:
            cause: Why the run ended before its input did; None if it went through to the end.

        Raises:
            JournalError: It could not be written; the journal is closed all the same.

        Cancelling it is put off until the journal is closed.
        """
        if self._open:
            await outlast(self._close(cause))

    async def _close(self, cause: BaseException | None) -> None:
        try:
            while self._writing or self._write():
                self._wrote.clear()
                await self._wrote.wait()
            if self._failure is not None:
                raise self._failure
            counts = {status.value: number for status, number in self._tally.counts.items()}
            why = None if cause is None else self._codec.text(f"{type(cause).__name__}: {cause}")
            await self._backend.end(self._tally.requests, counts, why)
        finally:
            await self._shut()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._open:
            raise ClosedError("the journal is closed")

    def _failed(self, error: BaseException) -> JournalError:
        """Write nothing more: after a defect nothing can be relied on. Return what all who ask are told."""
        if not isinstance(error, JournalError):
            error = JournalError(f"the journal could not be written: {type(error).__name__}")
        self._failure = error
        self._wrote.set()
        return error

    def _wake(self) -> None:
        """Have what was asked for written soon: at once where nothing is in flight, else with what others ask for."""
        if self._writing:
            return
        loop = asyncio.get_running_loop()
        due = self._not_before if self._hand else loop.time()
        if due < self._due:
            if self._next is not None:
                self._next.cancel()
            self._next, self._due = loop.call_at(due, self._write), due

    def _write(self) -> bool:
        """Begin to write what was asked for; tell whether there was anything to write."""
        if self._next is not None:
            self._next.cancel()
        self._next, self._due = None, math.inf
        asked, self._asked = self._asked, Asked()
        try:
            if self._failure is not None:
                raise self._failure  # noqa: TRY301 all who ask are told the same way
            group = asked.group(self._hand, self._codec)
        except Exception as error:  # noqa: BLE001 the same
            asked.fail(self._failed(error))
            return False
        if group.sent or self._tally.requests > self._made[-1][1]:
            group.requests, group.recent = self._tally.requests, self._made_of_late()
        if not (group.results or group.entries.positions or group.asides or group.requests is not None):
            asked.tell(self._hand, Written())
            return False
        self._writing = True
        asyncio.ensure_future(self._backend.write(group)).add_done_callback(partial(self._written, asked))
        return True

    def _made_of_late(self) -> int:
        now, made = asyncio.get_running_loop().time(), self._made
        while len(made) > 1 and made[1][0] <= now - self._lookback:
            made.popleft()
        if self._tally.requests > made[-1][1]:
            made.append((now, self._tally.requests))
        return self._tally.requests - made[0][1]

    def _written(self, asked: Asked, writing: asyncio.Future[Written]) -> None:
        """Tell all who wait for a write, and begin the next."""
        self._writing = False
        self._not_before = asyncio.get_running_loop().time() + GATHER
        try:
            asked.tell(self._hand, writing.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
            asked.fail(self._failed(error))
        self._wrote.set()
        if self._asked.waited_for or len(self._asked.notes) >= NOTES_AT_ONCE:
            self._wake()
