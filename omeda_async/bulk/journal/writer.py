"""A journal that is open for a run: what many workers ask for at the same time is written in one group."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import attrs

from omeda_async._result import Result
from omeda_async._thread import Worker
from omeda_async.bulk._item import Closed, Item, still_doubtful
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.journal.codec import FINGERPRINT, Codec
from omeda_async.bulk.journal.in_hand import InHand
from omeda_async.bulk.journal.interface import Backend, Entries, Known, WriteGroup, Written
from omeda_async.errors import ClosedError, JournalError, OmedaAsyncError
from omeda_async.outcomes import OutcomeStatus, Tally

GATHER: Final = 0.005
"""Seconds between two writes at the most, in which those in flight may come to ask for the next as well."""
NOTES_AT_ONCE: Final = 1000
NOTES_WAITING: Final = 5000
ENCODED_AT_ONCE: Final = 50
"""From so many items on, a batch is encoded when it comes, so that a write does not hold up the loop for long."""
_Begun: TypeAlias = tuple[Sequence[Item], Entries | None, asyncio.Future[list[Closed]]]


@attrs.define
class _Asked:
    """What was asked for since the last write began."""

    group: WriteGroup = attrs.field(factory=WriteGroup)
    begun: list[_Begun] = attrs.field(factory=list)
    results: list[tuple[Sequence[int], Result[Any]]] = attrs.field(factory=list)
    recorded: asyncio.Future[None] | None = None
    """The future that ``record`` returns to all callers of one write; None where there are none."""


class Journal:
    """Remembers a run: the intents before the attempts, the outcomes before the caller sees them.

    Args:
        backend: Where it is kept.
        lookback: Seconds for which a provider counts a request, and for which later runs have to know of it.
    """

    remembers: Literal[True] = True

    def __init__(self, backend: Backend, lookback: float = 0.0) -> None:
        self._backend = backend
        self._worker = Worker("omeda_async journal")
        self._lookback = lookback
        self._codec = Codec()
        self._hand = InHand(self.note)
        self._resumed = False
        self._looks_up = False
        """Whether the next items are likely to be settled already, so that they are looked up before they are begun."""
        self._asked = _Asked()
        self._tally = Tally()
        self._made: deque[tuple[float, int]] = deque([(-math.inf, 0)])
        """Moments, and the requests made by then: of each write within the lookback, and of the last one before it."""
        self._error: OmedaAsyncError | None = ClosedError("the journal is closed")
        """The error that every caller gets; None while the journal can be written."""
        self._writing = False
        self._wrote = asyncio.Event()
        self._next: asyncio.TimerHandle | None = None
        self._next_at = math.inf
        self._not_before = -math.inf

    @property
    def lapsed(self) -> Callable[[], bool] | None:
        """Tells, right before a request is sent, that nothing may be sent any more; None where that never happens."""
        return self._backend.lapsed

    async def open(self, tally: Tally) -> tuple[int, float]:
        """Open the journal, and note a new run. Return how many requests earlier runs made lately, and how long ago.

        Args:
            tally: The sums of the run; kept in the journal as it goes on.

        Raises:
            JournalError: It cannot be written, is in use, or is another run's. Nothing was sent yet.

        Cancelling it leaves nothing open.
        """
        self._tally = tally
        try:
            opened = await self._worker.do(self._backend.open)
        except BaseException:
            await outlast(self._shut())  # after what may still be under way
            raise
        self._codec, self._error = Codec(opened.salt, opened.has_refused), None
        self._resumed = opened.records > 0
        self._looks_up = self._resumed
        return opened.requests, opened.seconds_ago

    async def _shut(self) -> None:
        self._error = ClosedError("the journal is closed")
        await self._worker.do(self._backend.close)
        self._worker.end()

    def begin(self, items: Sequence[Item]) -> Awaitable[list[Closed]]:
        """Write down, durably, that items are about to be sent; return the results of those settled by an earlier run.

        Those that an earlier run may have sent are marked as doubtful. Cancelling it is safe, if the items are then
        handed to :meth:`leave`.
        """
        return self._begin_known(items) if self._looks_up else self._begin(items)

    async def _begin_known(self, items: Sequence[Item]) -> list[Closed]:
        """Look up items that earlier runs are likely to have settled; begin the others, where there are any."""
        try:
            self._check()
            prints = self._codec.fingerprints(map(FINGERPRINT, items))
            settled = self._hand.settled(items, await self._worker.do(partial(self._backend.find, prints)))
        except Exception as error:  # noqa: BLE001 whoever begins has to be told, whatever it was
            failed = self._failed(error)
            raise failed from failed.__cause__
        self._looks_up = bool(settled)
        if sum(len(these) for these, _ in settled) == len(items):
            return settled
        closed = {item for these, _ in settled for item in these}
        return settled + await self._begin([item for item in items if item not in closed])

    def _begin(self, items: Sequence[Item]) -> asyncio.Future[list[Closed]]:
        begun: asyncio.Future[list[Closed]] = asyncio.get_running_loop().create_future()
        try:
            self._check()
            entries = self._codec.entries(items) if len(items) >= ENCODED_AT_ONCE else None
            self._asked.begun.append((items, entries, begun))
            self._wake()
        except Exception as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
            begun.set_exception(self._failed(error))
        return begun

    def record(self, closed: Sequence[Closed]) -> asyncio.Future[None]:
        """Have results written down; the future is done when they are, durably.

        The next items can be begun before that: what is asked for first is not written later.
        """
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._check()
            if noted := self._hand.close(closed):
                self._asked.results += noted
                recorded = self._asked.recorded = self._asked.recorded or recorded
                self._wake()
            else:  # earlier runs have settled them all
                recorded.set_result(None)
        except Exception as error:  # noqa: BLE001 the same
            recorded.set_exception(self._failed(error))
        return recorded

    async def leave(self, closed: Sequence[Closed]) -> list[Closed]:
        """Write down what became of items that will not be sent, or whose sending was broken off; return what holds.

        What an earlier run has found out about an item still holds, and is returned. Where nothing can be written it is
        only read. Where it cannot be read either, all items that an earlier run may have sent are in doubt. Do not
        cancel this: the items would have no outcome.
        """
        while self._writing:  # what is being written may be their beginning
            await self._next_write()
        closed = [one for items, result in closed for one in _with_doubt(items, result)]
        records = self._hand.records
        held = [([item for item in items if item in records], result) for items, result in closed]
        not_begun = [(item, result) for items, result in closed for item in items if item not in records]
        standing: dict[Item, Result[Any]] = {}
        try:
            known = await self._write_left(held, not_begun) if self._error is None else ()
            standing = self._standing(known, not_begun)
        except Exception as error:  # noqa: BLE001 the same
            self._failed(error)
        if self._error is not None and self._resumed:
            standing = await self._found(not_begun)
        self._end_write()
        if not standing:
            return closed
        return [([item], standing.get(item, result)) for items, result in closed for item in items]

    async def _write_left(
        self, held: Sequence[Closed], not_begun: Sequence[tuple[Item, Result[Any]]]
    ) -> Sequence[Known]:
        group = WriteGroup(
            results=self._codec.kept(self._hand.close(held)),
            entries=self._codec.entries([item for item, _ in not_begun]),
            left=[kept for _, kept in self._codec.kept(not_begun)],
        )
        return (await self._begin_write(group)).known if group.results or not_begun else ()

    async def _found(self, not_begun: Sequence[tuple[Item, Result[Any]]]) -> dict[Item, Result[Any]]:
        """Return what is known of items in a journal that cannot be written."""
        try:
            prints = self._codec.fingerprints(item.fingerprint for item, _ in not_begun)
            return self._standing(await self._worker.do(partial(self._backend.find, prints)), not_begun)
        except Exception as error:  # noqa: BLE001 whatever it is, it cannot be read
            self._failed(error)
        for item, _ in not_begun:
            item.doubtful = True
        return {item: still_doubtful(item, result) for item, result in not_begun}

    def _standing(
        self, known: Sequence[Known], not_begun: Sequence[tuple[Item, Result[Any]]]
    ) -> dict[Item, Result[Any]]:
        return {not_begun[one.place][0]: self._hand.leave(one, *not_begun[one.place]) for one in known}

    def note(self, items: Sequence[Item], result: Result[Any], *, refused: bool = False) -> None:
        """Have items counted that are not sent, as they repeat earlier ones or were refused locally."""
        try:
            kept_of = self._codec.refused if refused else self._codec.repeat
            self._asked.group.asides += [
                kept_of(item, kept) for these, kept in self._codec.kept([(items, result)]) for item in these
            ]
        except Exception as error:  # noqa: BLE001 whoever sends something is told
            self._failed(error)
        if len(self._asked.group.asides) >= NOTES_AT_ONCE:
            self._wake()

    async def room(self) -> None:
        """Wait until few notes are waiting to be written; at once when writing has failed."""
        while self._error is None and len(self._asked.group.asides) > NOTES_WAITING:
            await self._next_write()

    async def close(self, cause: BaseException | None) -> None:
        """Write down what is still to be written, note how the run ended, and close the journal.

        Args:
            cause: Why the run ended before its input did; None if it went through to the end.

        Raises:
            JournalError: It could not be written; the journal is closed all the same.

        Cancelling it is put off until the journal is closed.
        """
        if not isinstance(self._error, ClosedError):
            await outlast(self._close(cause))

    async def _close(self, cause: BaseException | None) -> None:
        try:
            while self._writing or self._write():
                await self._next_write()
            self._check()
            counts = {status.value: number for status, number in self._tally.counts.items()}
            why = None if cause is None else self._codec.text(f"{type(cause).__name__}: {cause}")
            await self._worker.do(partial(self._backend.end, self._tally.requests, counts, why))
        finally:
            await self._shut()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _failed(self, error: BaseException) -> OmedaAsyncError:
        """Write nothing more, as after a defect nothing can be relied on. Return the error that every caller gets."""
        if self._error is None:
            if not isinstance(error, JournalError):
                cause = error
                words = f"the program is at fault, or what is there is damaged: {type(cause).__name__}"
                error = JournalError(f"the journal {self._backend.place} cannot be used: {words}")
                error.__cause__ = cause
            self._error = error
            self._wrote.set()
        return self._error

    async def _next_write(self) -> None:
        self._wrote.clear()
        await self._wrote.wait()

    def _wake(self) -> None:
        """Have what was asked for written soon: at once where nothing is in flight, else with what others ask for."""
        if self._writing:
            return
        loop = asyncio.get_running_loop()
        due = self._not_before if self._hand.records else loop.time()
        if due < self._next_at:
            self._cancel()
            self._next, self._next_at = loop.call_at(due, self._write), due

    def _cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next, self._next_at = None, math.inf

    def _write(self) -> bool:
        """Begin to write what was asked for; return whether there was anything to write."""
        self._cancel()
        asked = self._asked
        # A caller that was cancelled meanwhile hands its items to leave().
        asked.begun = [one for one in asked.begun if not one[-1].cancelled()]
        group = asked.group
        try:
            group.entries = self._entries(asked.begun)
            group.results = self._codec.kept(asked.results)
        except Exception as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
            self._failed(error)
        except BaseException:  # the program is being ended: until it has, this is written all the same
            self._wake()
            raise
        self._asked = _Asked()
        if self._error is not None:
            _fail(asked, self._error)
            return False
        group.sent = len(group.entries.positions)
        if not (asked.begun or asked.results or group.asides or self._tally.requests > self._made[-1][1]):
            return False
        self._begin_write(group).add_done_callback(partial(self._written, asked))
        return True

    def _entries(self, begun: list[_Begun]) -> Entries:
        """Return what is kept of begun items, and sort ``begun`` likewise: what is encoded already comes first."""
        begun.sort(key=lambda one: one[1] is None)
        parts = [entries for _, entries, _ in begun if entries is not None]
        if few := [item for items, _, _ in begun[len(parts) :] for item in items]:
            parts.append(self._codec.entries(few))
        return parts[0] if len(parts) == 1 else Entries.joined(parts)

    def _begin_write(self, group: WriteGroup) -> asyncio.Future[Written]:
        self._writing = True
        made, requests = self._made, self._tally.requests
        if group.sent or requests > made[-1][1]:
            now = asyncio.get_running_loop().time()
            while len(made) > 1 and made[1][0] <= now - self._lookback:
                made.popleft()
            if requests > made[-1][1]:
                made.append((now, requests))
            group.requests, group.recent = requests, requests - made[0][1]
        return self._worker.do(partial(self._backend.write, group))

    def _written(self, asked: _Asked, writing: asyncio.Future[Written]) -> None:
        """Tell all callers that wait for a write, and begin the next."""
        try:
            self._tell(asked, writing.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 whoever waits has to be told, whatever it was
            _fail(asked, self._failed(error))
        self._end_write()

    def _tell(self, asked: _Asked, written: Written) -> None:
        known = {one.place: one for one in written.known} if written.known else {}
        last = 0
        for items, _, begun in asked.begun:
            first, last = last, last + len(items)
            theirs = [known.get(place) for place in range(first, last)] if known else ()
            closed = self._hand.begin(items, written.records[first:last], theirs)
            self._looks_up = self._looks_up or bool(closed)
            if not begun.done():
                begun.set_result(closed)
        if asked.recorded is not None and not asked.recorded.done():
            asked.recorded.set_result(None)

    def _end_write(self) -> None:
        self._writing = False
        self._not_before = asyncio.get_running_loop().time() + GATHER
        self._wrote.set()
        if self._asked.begun or self._asked.recorded or len(self._asked.group.asides) >= NOTES_AT_ONCE:
            self._wake()


def _with_doubt(items: Sequence[Item], result: Result[Any]) -> Sequence[Closed]:
    """Return results, in doubt for each item that an earlier run may have sent, as its write has shown."""
    if result.known is not OutcomeStatus.NOT_SENT or not any(item.doubtful for item in items):
        return [(items, result)]
    return [([item], still_doubtful(item, result)) for item in items]


def _fail(asked: _Asked, error: OmedaAsyncError) -> None:
    for waiter in (asked.recorded, *(begun for *_, begun in asked.begun)):
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
