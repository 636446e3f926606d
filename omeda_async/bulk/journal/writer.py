"""A journal that is open for a run: what many workers ask for at the same time is written in one group."""

import asyncio
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.asked import Asked
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Aside, Backend, Written
from omeda_async.errors import ClosedError, JournalError
from omeda_async.outcomes import Tally

GATHER: Final = 0.002
"""Seconds between two writes: those who have waited for the first come to ask for the next."""
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
        self._next: asyncio.Handle | None = None
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
        with self._failing():
            self._asked.begun.append((items, self._codec.entries(items), waiter))
        self._wake()
        return await waiter

    def record(self, closed: Sequence[Closed]) -> asyncio.Future[None]:
        """Have results written down; the future is done when they are."""
        self._check()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._failing():
            kept = self._codec.keeper()
            ended = ((self._hand.close(items, result), result) for items, result in closed)
            results = [(records, kept(result)) for records, result in ended if records]
        if results:
            self._asked.results += results
            self._asked.recorded.append(waiter)
            self._wake()
        else:  # earlier runs have settled them all
            waiter.set_result(None)
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
        with suppress(JournalError), self._failing():  # whoever sends something is told
            kept = self._codec.keeper()
            self._note([Aside(item.position, kept(result), None) for items, result in closed for item in items])

    def note_refused(self, closed: Sequence[Closed]) -> None:
        """Have records counted that were refused locally, and so are not sent."""
        with suppress(JournalError), self._failing():
            kept, entry = self._codec.keeper(), self._codec.entry
            self._note([Aside(item.position, kept(result), entry(item)) for items, result in closed for item in items])

    def _note(self, notes: list[Aside]) -> None:
        self._asked.notes += notes
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

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Write nothing more after a defect, and tell all who ask: nothing can be relied on then.

        Raises:
            JournalError: Whatever it was.
        """
        try:
            yield
        except JournalError as error:
            self._failure = error
            raise
        except (Exception, asyncio.CancelledError) as error:
            self._failure = JournalError(f"the journal could not be written: {type(error).__name__}")
            raise self._failure from error

    def _wake(self) -> None:
        """Have what was asked for written soon, with what others ask for meanwhile."""
        if self._next is None and not self._writing:
            loop = asyncio.get_running_loop()
            delay = self._not_before - loop.time()
            self._next = loop.call_later(delay, self._write) if delay > 0 else loop.call_soon(self._write)

    def _write(self) -> bool:
        """Begin to write what was asked for; tell whether there was anything to write."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        asked, self._asked = self._asked, Asked()
        try:
            if self._failure is not None:
                raise self._failure
            with self._failing():
                group = asked.group(self._hand, self._codec)
        except JournalError as error:
            asked.fail(error)
            return False
        if group.sent or self._tally.requests > self._made[-1][1]:
            group.requests, group.recent = self._tally.requests, self._made_of_late()
        if not group:
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
            with self._failing():
                asked.tell(self._hand, writing.result())
        except JournalError as error:
            asked.fail(error)
        self._wrote.set()
        if self._asked.waited_for or len(self._asked.notes) >= NOTES_AT_ONCE:
            self._wake()
