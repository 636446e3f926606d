"""The journal of a bulk run: the intents before the attempts, the outcomes before the caller sees them.

Whatever many workers ask for at the same time is written in one transaction, by one task and off the event loop.
"""

import asyncio
import math
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import aiosqlite

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.book import Book, Group
from omeda_async.bulk.journal.file import Identity, JournalFile
from omeda_async.errors import ClosedError, JournalError
from omeda_async.outcomes import Tally

__all__ = ["Identity", "Journal"]

T = TypeVar("T")

NOTES_WAITING: Final = 5000


class Journal:
    """A journal that is open for one run.

    Args:
        path: The file; made if it does not exist, with mode 0600.
        identity: Whose run it is.
        lookback: Seconds that a provider counts a request for: for so long it is remembered from run to run.
    """

    remembers = True

    def __init__(self, path: Path, identity: Identity, lookback: float = 0.0) -> None:
        self.recent: tuple[int, float] = (0, 0.0)
        """Requests that earlier runs have made within that time, and how many seconds ago the last was seen."""
        self._lookback = lookback
        self._made: deque[tuple[float, int]] = deque([(-math.inf, 0)])
        self._thread = _Thread(path, identity, lookback)
        self._group = Group()
        self._waiting: list[_Waiter] = []
        self._wake = asyncio.Event()
        self._written = asyncio.Event()
        self._failure: JournalError | None = None
        self._writer: asyncio.Task[None] | None = None
        self._tally = Tally()

    async def open(self, tally: Tally) -> None:
        """Open the file, lock it, and note that a run begins.

        Args:
            tally: The sums of the run; kept in the journal as it goes on.

        Raises:
            JournalError: It cannot be written, is in use, or is another run's. Nothing was sent yet.

        Cancelling it leaves nothing open.
        """
        self._tally = tally
        started = False

        async def start() -> None:
            nonlocal started
            await self._thread.start()
            started = True
            self.recent = await self._thread.do(lambda book: book.recent)

        try:
            await outlast(start())
        except asyncio.CancelledError:
            if started:
                await outlast(self._shut())
            raise
        self._writer = asyncio.create_task(self._write_on(), name="omeda_async journal")

    async def begin(self, items: Sequence[Item]) -> dict[Item, Result[Any]]:
        """Write down, durably, that items are about to be sent; give the results of those settled by an earlier run.

        Those an earlier run may have sent are marked as doubtful.

        Raises:
            JournalError: It could not be written.

        Cancelling it is safe: what was not sent is to be handed to :meth:`leave` then.
        """
        self._check()
        self._group.begun.append(items)
        settled = await self._turn()
        return {item: settled[item] for item in items if item in settled} if settled else {}

    async def record(self, outcomes: Sequence[Closed]) -> None:
        """Write down results, durably.

        Raises:
            JournalError: It could not be written.

        Cancelling it loses nothing: they are written all the same.
        """
        self._check()
        self._group.results += outcomes
        await self._turn()

    async def leave(self, outcomes: Sequence[Closed]) -> list[Closed]:
        """Write down what became of items that will not be sent, or whose sending was broken off; give how that stands.

        What an earlier run has found out about an item is not undone by one that did not get to it.

        Raises:
            JournalError: It could not be written.

        Cancelling it loses nothing: they are written all the same.
        """
        if self._failure is not None:
            raise self._failure
        self._group.left += outcomes
        written = self._waiter()
        await outlast(self._write())  # not by the writer: a loop that is torn down may have ended that already
        standing = await written
        kept = [([item for item in items if item not in standing], result) for items, result in outcomes]
        changed = [([item], standing[item]) for items, _ in outcomes for item in items if item in standing]
        return [*((items, result) for items, result in kept if items), *changed]

    def note_repeats(self, outcomes: Sequence[Closed]) -> None:
        """Have records counted that are never sent: repeats of earlier ones, and those refused locally."""
        self._group.asides += outcomes
        self._wake.set()

    note_refused = note_repeats

    async def room(self) -> None:
        """Wait until few notes are waiting to be written; at once when writing has failed."""
        while self._failure is None and self._group.notes > NOTES_WAITING:
            self._written.clear()
            await self._written.wait()

    @property
    def is_open(self) -> bool:
        """Has it been opened?"""
        return self._writer is not None

    async def close(self, cause: BaseException | None) -> None:
        """Write down what is still to be written, note how the run ended, and close the file.

        Args:
            cause: Why the run ended before its input did; None if it went through to the end.

        Raises:
            JournalError: It could not be written; the file is closed all the same.

        Cancelling it is put off until the file is closed.
        """
        await outlast(self._close(cause))

    async def _close(self, cause: BaseException | None) -> None:
        if self._writer is None:
            return
        try:
            self._writer.cancel()
            await asyncio.wait({self._writer})
            if self._failure is None:
                await self._write()
            if self._failure is not None:
                raise self._failure
            await self._thread.do(lambda book: book.end(self._tally, cause))
        finally:
            await self._shut()

    async def _shut(self) -> None:
        await self._thread.do(Book.close)
        await self._thread.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._writer is None or self._writer.done():
            raise ClosedError("the journal is closed")

    def _waiter(self) -> "_Waiter":
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        return waiter

    async def _turn(self) -> dict[Item, Result[Any]]:
        waiter = self._waiter()
        self._wake.set()
        return await waiter

    async def _write_on(self) -> None:
        while True:
            await self._wake.wait()
            await outlast(self._write())

    def _made_of_late(self) -> int:
        now, made = asyncio.get_running_loop().time(), self._made
        while len(made) > 1 and made[1][0] <= now - self._lookback:
            made.popleft()
        if self._tally.requests > made[-1][1]:
            made.append((now, self._tally.requests))
        return self._tally.requests - made[0][1]

    async def _write(self) -> None:
        """Write down all that has gathered, and wake those who wait for it."""
        group, self._group = self._group, Group()
        waiting, self._waiting = self._waiting, []
        self._wake.clear()
        group.requests, group.recent = self._tally.requests, self._made_of_late()
        found: dict[Item, Result[Any]] = {}
        if self._failure is None:
            try:
                found = await self._thread.do(lambda book: book.write(group))
            except JournalError as error:
                self._failure = error
            except Exception as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
                self._failure = JournalError(f"the journal could not be written: {type(error).__name__}")
        group.let_go()
        for waiter in waiting:
            if not waiter.done() and self._failure is not None:
                waiter.set_exception(self._failure)
            elif not waiter.done():
                waiter.set_result(found)
        self._written.set()


class _Thread(aiosqlite.Connection):
    """The thread that a journal is written in: a whole transaction for one change of threads."""

    def __init__(self, path: Path, identity: Identity, lookback: float) -> None:
        super().__init__(self._open, iter_chunk_size=64)
        self._thread.daemon = True  # a program that is being ended does not wait for a loop that is gone
        self._path = path
        self._identity = identity
        self._lookback = lookback
        self._book: Book | None = None

    def _open(self) -> sqlite3.Connection:
        file = JournalFile.open(self._path, self._identity, self._lookback)
        self._book = Book(file)
        return file.connection

    async def start(self) -> None:
        """Start the thread, and open the file in it; the thread is gone if that fails."""
        try:
            _ = await self
        except BaseException:
            self._thread.join()  # it is told to end already; a loop that is closed first would make it stumble
            raise

    async def do(self, work: Callable[[Book], T]) -> T:
        """Call something in the thread, with the book that has been opened there."""
        given: T = await self._execute(work, self._book)  # type: ignore[no-untyped-call]  # aiosqlite leaves it untyped
        return given


_Waiter: TypeAlias = asyncio.Future[dict[Item, Result[Any]]]
