"""Reading the input of a run, lazily: records become items, and items batches."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sized
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, Final

import attrs

from omeda_async._row import Row
from omeda_async._tables import table_in_place_of_a_record
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._delivery import Delivery
from omeda_async.bulk._item import Item, Records
from omeda_async.bulk._job import Work, take_back_wake
from omeda_async.bulk._queue import BatchQueue
from omeda_async.errors import InvalidRecord

END: Final = object()
"""Stands for the end of the input, where a record is expected."""
BREATHE_EVERY: Final = 64
READ_ON: Final = 5.0
"""Seconds that a stopped run reads on in an input whose length is known, and more if it is quick."""
READ_ON_PACE: Final = 1000.0
"""Records a second from which on an input is quick."""


def read_item(work: Work, raw: Any, position: int) -> Item:
    """Turn a record into an item; one that cannot be sent says why in ``refusal``. Nothing is raised."""
    try:
        item = work.read(raw)
    except Exception as error:  # noqa: BLE001 the record is the caller's: reading it may raise anything
        item = _unreadable(raw, error)
    item.position = position
    if item.refusal is not None:
        _explain(item.refusal, work, raw)
    return item


async def iterate(records: Records[Any]) -> AsyncGenerator[Any, None]:
    """Read any kind of input, lazily; a generator that is not read to its end is closed."""
    if isinstance(records, AsyncIterable):
        async with AsyncExitStack() as stack:
            if isinstance(records, AsyncGenerator):
                stack.push_async_callback(records.aclose)  # what is left of it would keep its file or cursor open
            async for record in records:
                yield record
    else:
        for record in records:
            yield record


class Linger:
    """One timer that calls back until it is told that the batch is gone.

    Args:
        seconds: How long to wait, each time.
        flush: Called then; it tells whether the batch is gone.
    """

    def __init__(self, seconds: float, flush: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._flush = flush
        self.handle: asyncio.TimerHandle | None = None
        """The timer; None while it does not wait."""

    def start(self) -> None:
        """Begin to wait, unless that is under way."""
        if self.handle is None:
            self.handle = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def _fire(self) -> None:
        self.handle = None
        if not self._flush():
            self.start()

    def cancel(self) -> None:
        """Call back no more, until it is started again."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None


@attrs.frozen(kw_only=True)
class ReaderOptions:
    """How the input is read."""

    max_entries: int
    max_bytes: int
    linger: float
    """Seconds that a batch waits for more records when they trickle in."""
    most_waiting: int
    """Repeats that may wait for what is on its way, before nothing more is read."""
    room: Callable[[], Awaitable[None]]
    """Waits until enough of the outcomes have been taken."""


class Reader:
    """Reads records, and hands over batches of items; those that cannot be sent and repeats are delivered at once.

    Args:
        work: How records become items.
        records: The input.
        queue: Where the batches go.
        delivery: Where items go that need no request; its ``stop`` ends the reading, but an input whose length is
            known is read to its end all the same, so that every record of it has an outcome.
        options: How.
    """

    def __init__(
        self, work: Work, records: Records[Any], queue: BatchQueue, delivery: Delivery, options: ReaderOptions
    ) -> None:
        self.read_on = True
        """Whether an input whose length is known is read to its end after a stop."""
        self.position = 0
        """Records read."""
        self._work = work
        self._records = records
        self._queue = queue
        self._delivery = delivery
        self._stop = delivery.stop
        self._options = options
        self._chunker: Chunker[Item] = Chunker(options.max_entries, options.max_bytes, work.sizes)
        self._breathe_every = max(work.look_ahead, BREATHE_EVERY)
        self._in_hand: list[Item] = []
        self._task: asyncio.Task[Any] | None = None
        self.awaits_input = False
        """Whether it waits for the input: for a record, or for its end."""
        self._stopped_at: tuple[float, int, int] | None = None
        self._abandoned = False
        self._woken = False
        self._fewer_waiting = asyncio.Event()
        delivery.on_fewer_waiting = self._fewer_waiting.set
        self._stop.wakers.add(self._wake)

    async def run(self) -> None:
        """Read to the end of the input, or until stopped; what the input raises is noted as a failure of the run.

        Cancelling it leaves what is in hand to :meth:`left_over`.
        """
        self._task = asyncio.current_task()
        try:
            await self._read_all()
        except asyncio.CancelledError:
            if not (self._woken and take_back_wake()):
                raise
        except Exception as error:  # noqa: BLE001 the input is the caller's: whatever it raises ends the run, in order
            self._stop.fail(error)
        if self._stop.is_set:
            self._delivery.leave_unsent(self.left_over())
        await self._hand_over(self._chunker.flush())
        self._queue.close()

    def abandon(self) -> None:
        """Take nothing more of an input that does not end: what it still gives does not count as read."""
        self._abandoned = True

    def left_over(self) -> list[Item]:
        """Return the items read that nobody has taken."""
        items, self._in_hand = self._in_hand, []
        return items + self._queue.drain() + self._chunker.flush()

    def _wake(self) -> None:
        self._fewer_waiting.set()
        if self._task is not None and self.awaits_input and self._task is not asyncio.current_task():
            self._woken = self._task.cancel()

    async def _read_all(self) -> None:
        source = iterate(self._records) if isinstance(self._records, AsyncIterable) else iter(self._records)
        linger = Linger(self._options.linger, self._flush)
        try:
            more = True
            while more and not (self._stop.is_set and self._is_over()):
                before = self.position
                more = await self._read_next(source) if isinstance(source, AsyncGenerator) else self._read_some(source)
                del self._delivery.spent[: self.position - before]
                if self._in_hand:
                    if linger.handle is not None:
                        linger.cancel()  # what is left waits its own time
                    await self._queue.put(self._in_hand)
                    self._in_hand = []
                else:
                    await self._breathe()
                if self._chunker.items:
                    linger.start()
        finally:
            linger.cancel()
            if isinstance(source, AsyncGenerator):
                self.awaits_input = True
                await source.aclose()
            self.awaits_input = False

    def _read_some(self, source: Iterator[Any]) -> bool:
        """Read on until something has to be waited for; return whether there may be more."""
        enough = self._breathe_every - self.position % self._breathe_every
        work, stop, delivery, most_waiting = self._work, self._stop, self._delivery, self._options.most_waiting
        read, find_earlier, feed = work.read, delivery.repeats.find, self._chunker.feed
        for record in islice(source, enough):
            try:  # as read_item does, without a call more for each record
                item = read(record)
            except Exception as error:  # noqa: BLE001 as there
                item = _unreadable(record, error)
            item.position = self.position
            self.position += 1
            enough -= 1
            if item.refusal is not None:
                _explain(item.refusal, work, record)
                delivery.refuse(item)
            elif (earlier := find_earlier(item)) is not None:
                delivery.repeat(item, earlier)
            elif stop.is_set:
                delivery.leave_unsent([item])
            elif full := feed(item):
                self._in_hand = full
                return True
            if stop.is_set or delivery.waiting > most_waiting:
                return True
        return not enough

    async def _read_next(self, source: AsyncGenerator[Any, None]) -> bool:
        self.awaits_input = True
        try:
            record = await anext(source, END)
        finally:
            self.awaits_input = False
        if record is END or self._abandoned:
            return False
        self._read_some(iter((record,)))
        return True

    def _is_over(self) -> bool:
        """Whether a stopped run reads nothing more. It still reads an input whose length is known, if that is quick."""
        if not (self.read_on and isinstance(self._records, Sized)):
            return True
        now = asyncio.get_running_loop().time()
        if self._stopped_at is None:
            self._stopped_at = now, self.position, len(self._records)
        began, position, length = self._stopped_at
        too_slow = now - began > READ_ON + (self.position - position) / READ_ON_PACE
        return too_slow or self.position >= length

    def _too_many_wait(self) -> bool:
        return self._delivery.waiting > self._options.most_waiting

    async def _breathe(self) -> None:
        """Let other tasks run, after so many records or where there is something to wait for."""
        if self._delivery.has_many_left or (self._stop.is_set and self._too_many_wait()):
            await self._delivery.deliver_left()
            await asyncio.sleep(0)
        elif self._too_many_wait():
            await self._hand_over(self._chunker.flush())
            while self._too_many_wait() and not self._stop.is_set:
                self._fewer_waiting.clear()
                await self._fewer_waiting.wait()
        elif self.position % self._breathe_every == 0:
            await self._options.room()
            await asyncio.sleep(0)

    def _flush(self) -> bool:
        """Hand over a batch that has waited long enough, unless the workers have enough to do."""
        if not self._chunker.items:
            return True
        if self._queue.full:
            return False
        self._queue.put_nowait(self._chunker.flush())
        return True

    async def _hand_over(self, items: list[Item]) -> None:
        if items:
            self._in_hand = items
            await self._queue.put(items)
            self._in_hand = []


def _key_of(raw: Any) -> Any:
    """Return the caller's key of a record that cannot be read otherwise; None where it shows none."""
    try:
        if isinstance(raw, Row):
            return raw.key_alone()
        return raw.get("key") if isinstance(raw, Mapping) else getattr(raw, "key", None)
    except Exception:  # noqa: BLE001 the record is the caller's: looking into it may raise anything
        return None


def _unreadable(raw: Any, error: Exception) -> Item:
    """Return the item of a record that could not be read."""
    refusal = error
    if (table := table_in_place_of_a_record(raw)) is not None:
        refusal = InvalidRecord.of(None, table)
    elif not isinstance(refusal, InvalidRecord):
        refusal = InvalidRecord.of(None, f"cannot be read: {type(error).__name__}")
        refusal.__cause__ = error
    return Item(raw, _key_of(raw), params=None, fingerprint=b"", refusal=refusal)


def _explain(refusal: InvalidRecord, work: Work, raw: Any) -> None:
    """Add the provider and the operation to a refusal, and for a row of a file the column to its message."""
    refusal.provider, refusal.operation = work.account.provider, work.name
    if refusal.field and isinstance(raw, Row):
        refusal.message = f"{raw.place(refusal.field)}: {refusal.reason}"
