"""A journal that is open for a run: what many workers ask for at the same time is written in one group."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from omeda_async._result import Result
from omeda_async.bulk._item import Closed, Item
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.asked import Asked, Begun
from omeda_async.bulk.journal.codec import Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Aside, Backend, Known
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
        self._resumed = False
        self._hand = InHand()
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
        self._resumed = opened.resumed
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
            entries = None if self._resumed else self._codec.json(items)
            begun = Begun(items, self._codec.fingerprints(items), entries, waiter)
        except Exception as error:
            raise self._failed(error) from error
        self._asked.begun.append(begun)
        self._wake()
        return await waiter

    def record(self, closed: Sequence[Closed]) -> asyncio.Future[None]:
        """Have results written down; the future is done when they are."""
        self._check()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked, kept, any_new = self._asked, self._codec.keeper(), False
        try:
            for items, result in closed:
                records, repeats = self._hand.close(items)
                if records:
                    asked.results.append((records, kept(result)))
                asked.notes += [Aside(item.position, kept(result), None) for item in repeats]
                any_new = any_new or bool(records or repeats)
        except Exception as error:
            raise self._failed(error) from error
        if any_new:
            asked.recorded.append(waiter)
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
        kept = self._codec.keeper()
        self._note(lambda item, result: Aside(item.position, kept(result), None), closed)

    def note_refused(self, closed: Sequence[Closed]) -> None:
        """Have records counted that were refused locally, and so are not sent."""
        kept, entry = self._codec.keeper(), self._codec.json
        self._note(lambda item, result: Aside(item.position, kept(result), entry([item])[1:-1]), closed)

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
        """Begin to write what was asked for; tell whether there was anything to do."""
        if self._next is not None:
            self._next.cancel()
        self._next, self._due = None, math.inf
        asked, self._asked = self._asked, Asked()
        self._writing = True
        with self._telling(asked):
            if self._failure is not None:
                raise self._failure
            fingerprints = asked.fingerprints(self._hand, self._codec)
            if self._resumed and fingerprints:
                finding = asyncio.ensure_future(self._backend.find(fingerprints))
                finding.add_done_callback(lambda finding: self._found(asked, finding))
            else:
                self._go_on(asked, ())
        return self._writing

    def _found(self, asked: Asked, finding: asyncio.Future[Sequence[Known | None]]) -> None:
        with self._telling(asked):
            self._go_on(asked, finding.result())

    def _go_on(self, asked: Asked, known: Sequence[Known | None]) -> None:
        group = asked.group(self._hand, self._codec, known)
        if not group:
            self._end(asked, ())
            return
        group.requests, group.recent = self._tally.requests, self._made_of_late()
        writing = asyncio.ensure_future(self._backend.write(group))
        writing.add_done_callback(lambda writing: self._written(asked, writing))

    def _written(self, asked: Asked, writing: asyncio.Future[Sequence[int]]) -> None:
        with self._telling(asked):
            self._end(asked, writing.result())

    def _end(self, asked: Asked, records: Sequence[int]) -> None:
        """Tell all who wait, and have the next group written."""
        asked.tell(self._hand, records)
        self._writing = False
        self._not_before = asyncio.get_running_loop().time() + GATHER
        self._wrote.set()
        if self._asked.waited_for or len(self._asked.notes) >= NOTES_AT_ONCE:
            self._wake()

    @contextmanager
    def _telling(self, asked: Asked) -> Iterator[None]:
        """Tell all who wait when a step breaks off, whatever it was: nobody waits for ever."""
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 all of them are told
            self._writing = False
            asked.fail(self._failed(error))

    def _made_of_late(self) -> int:
        now, made = asyncio.get_running_loop().time(), self._made
        while len(made) > 1 and made[1][0] <= now - self._lookback:
            made.popleft()
        if self._tally.requests > made[-1][1]:
            made.append((now, self._tally.requests))
        return self._tally.requests - made[0][1]
