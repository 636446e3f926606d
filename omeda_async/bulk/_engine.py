"""The engine of a bulk run: one reader, some workers, and an outcome for every record read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence, Sized
from functools import partial
from itertools import islice
from typing import Any

import attrs

from omeda_async._result import Result
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._input import END, Linger, iterate
from omeda_async.bulk._item import Closed, Item, Records, Work, key_of, not_sent, refusal_of
from omeda_async.bulk._job import RunJob, cancelled_again
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._queue import BatchQueue
from omeda_async.bulk._repeats import Repeats
from omeda_async.bulk._results import ResultBuffer
from omeda_async.bulk.journal.interface import NullJournal, RunJournal
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.limits import Priority
from omeda_async.outcomes import OutcomeStatus, Tally

BREATHE_EVERY = 64
BATCHES_READY = 1
LEFT_AT_ONCE = 1000


@attrs.frozen(kw_only=True)
class FanOutOptions:
    """How a run is made."""

    concurrency: int
    max_entries: int
    max_bytes: int
    priority: Priority
    linger: float
    """Seconds that a batch waits for more records when they trickle in."""
    isolation_budget: int
    deadline: float | None
    on_outcomes: Callable[[], Any] = lambda: None


class FanOut:
    """Read records, have them sent, and see to it that each one has exactly one outcome.

    Args:
        work: How items are read and sent.
        records: The input; read lazily.
        options: How the run is made.
        journal: What remembers the run.
    """

    def __init__(self, work: Work, records: Records, options: FanOutOptions, journal: RunJournal | None = None) -> None:
        self.tally = Tally()
        self.results = ResultBuffer(limit=2 * options.concurrency * options.max_entries)
        self.cause: OmedaAsyncError | None = None
        self.failure: BaseException | None = None
        self.stopped = False
        self.options = options
        self.journal = journal or NullJournal()
        self.isolation_left = options.isolation_budget
        self.duplicates = Repeats()
        self._work = work
        self._records = records
        self._chunker = Chunker(options.max_entries, options.max_bytes)
        self._queue = BatchQueue(max(work.look_ahead, BATCHES_READY))
        self._breathe_every = max(work.look_ahead, BREATHE_EVERY)
        self._jobs: set[RunJob] = set()
        self._position = 0
        self._reader: asyncio.Task[None] | None = None
        self._awaiting_input = False
        self._reader_woken = False
        self._read_on = True
        self._in_hand: list[Item] = []
        self._left: list[Closed] = []
        self._recording: set[asyncio.Future[None]] = set()
        # Closed items are let go of one by one as others are read. The garbage collector counts how many more objects
        # there are than before: freed by the hundred they would make it search the whole heap, time and again.
        self._spent: list[Item] = []
        self._twins = 0
        self._most_twins = options.concurrency * max(options.max_entries, BREATHE_EVERY)
        self._few_twins = asyncio.Event()

    async def run(self) -> None:
        """Run to the end of the input, or until stopped. Cancelling it stops at once, still with an outcome for all."""
        timer = None
        if self.options.deadline is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.options.deadline, self.stop, ClosedError("the run's deadline has passed"))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.options.concurrency):
                    group.create_task(self._worker())
                self._reader = group.create_task(self._read())
        finally:
            if timer is not None:
                timer.cancel()
            self._leave(self._left_over())
            try:
                await self._deliver_left()
            finally:
                self._spent.clear()
                self.results.end()

    def abandon(self, cause: OmedaAsyncError) -> None:
        """Stop, and read nothing more."""
        self._read_on = False
        self.results.unbind()
        self.stop(cause)

    def stop(self, cause: OmedaAsyncError) -> None:
        """Send nothing new; attempts in flight go on, calls that wait for their turn end at once.

        An input whose length is known is read to its end, so that every record of it has an outcome.
        """
        if self.stopped:
            return
        self.stopped = True
        self.cause = cause
        for job in self._jobs:
            job.interrupt_wait()
        reader = self._reader
        self._few_twins.set()
        if reader is not None and self._awaiting_input and reader is not asyncio.current_task():
            self._reader_woken = reader.cancel()

    def deliver(self, closed: Sequence[Closed]) -> None:
        """Count items and their twins, and hand out their outcomes."""
        for items, result in closed:
            everyone = self._with_twins(items, result)
            self.duplicates.closed(items, result)
            needed = self.results.wanted or not result.status.is_done
            outcomes = [item.outcome(result) for item in everyone] if needed else []
            self.tally.add(result.status, len(everyone), outcomes)
            self.results.push(outcomes)
            self._spent += everyone
        self.options.on_outcomes()

    def _with_twins(self, items: Sequence[Item], result: Result[Any]) -> Sequence[Item]:
        twins = [twin for item in items for twin in item.twins or ()] if self._twins else []
        if not twins:
            return items
        for item in items:
            item.twins = None
        self.journal.note_repeats([(twins, result)])
        self._twins -= len(twins)
        self._few_twins.set()
        return [*items, *twins]

    def _left_over(self) -> list[Item]:
        items, self._in_hand = self._in_hand, []
        return items + self._queue.drain() + self._chunker.flush()

    def leave(self, closed: Sequence[Closed]) -> None:
        """Take what became of items that will not be sent, or whose sending was broken off.

        An earlier run may know more about them, which is asked before their outcomes are delivered.
        """
        self._left += closed

    async def _deliver_left(self) -> None:
        await outlast(self._deliver_now())  # broken off in the middle, they would be nowhere

    def deliver_when(self, recorded: asyncio.Future[None], closed: Sequence[Closed]) -> None:
        """Deliver outcomes once they are written down: the worker does not wait for that."""
        if recorded.done():
            self._deliver_recorded(closed, recorded)
        else:
            self._recording.add(recorded)
            recorded.add_done_callback(partial(self._deliver_recorded, closed))

    def _deliver_recorded(self, closed: Sequence[Closed], recorded: asyncio.Future[None]) -> None:
        self._recording.discard(recorded)
        error = recorded.exception()
        if isinstance(error, OmedaAsyncError):
            self.failure = self.failure or error
            self.stop(error)
        self.deliver(closed)

    async def _deliver_now(self) -> None:
        if self._recording:
            await asyncio.wait(self._recording)
        left, self._left = self._left, []
        if left:
            try:
                left = await self.journal.leave(left)
            except OmedaAsyncError as error:
                self.failure = self.failure or error
        self.deliver(left)

    def _leave(self, items: Sequence[Item]) -> None:
        if items:
            cause = self.cause or ClosedError("the run was stopped before this record was sent")
            self.leave([(items, not_sent(cause))])

    async def _read(self) -> None:
        try:
            await self._read_all()
        except asyncio.CancelledError:
            if not self._reader_woken or cancelled_again():
                raise
        except Exception as error:  # noqa: BLE001 the input is the caller's: whatever it raises ends the run, in order
            self.failure = error
        if self.stopped:
            self._leave(self._left_over())
        await self._hand_over(self._chunker.flush())
        await self._queue.end(self.options.concurrency)

    async def _read_all(self) -> None:
        source = iterate(self._records) if isinstance(self._records, AsyncIterable) else iter(self._records)
        linger = Linger(self.options.linger, self._flush)
        try:
            more = True
            while more and not self._over():
                before = self._position
                more = await self._read_next(source) if isinstance(source, AsyncGenerator) else self._read_some(source)
                del self._spent[: self._position - before]
                if self._in_hand:
                    linger.cancel()  # what is left waits its own time
                    await self._hand_over(self._in_hand)
                elif len(self._left) >= LEFT_AT_ONCE or (self.stopped and self._twins > self._most_twins):
                    await self._deliver_left()
                elif self._twins > self._most_twins:
                    await self._wait_for_twins()
                elif self._position % self._breathe_every == 0:
                    await self._breathe()
                if len(self._chunker):
                    linger.start()
        finally:
            linger.cancel()
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    def _read_some(self, source: Iterator[Any]) -> bool:
        """Read on until something has to be waited for; tell whether there may be more."""
        enough = self._breathe_every - self._position % self._breathe_every
        for record in islice(source, enough):
            self._accept(record)
            enough -= 1
            if self._in_hand or self.stopped or self._twins > self._most_twins:
                return True
        return not enough

    async def _read_next(self, source: AsyncGenerator[Any, None]) -> bool:
        self._awaiting_input = True
        try:
            record = await anext(source, END)
        finally:
            self._awaiting_input = False
        if record is not END:
            self._accept(record)
        return record is not END

    def _over(self) -> bool:
        """Whether nothing more is to be read, though there may be more."""
        return self.stopped and not (self._read_on and isinstance(self._records, Sized))

    async def _breathe(self) -> None:
        await self.results.room()
        await self.journal.room()
        await asyncio.sleep(0)

    async def _wait_for_twins(self) -> None:
        """Read no further while too many repeats wait for what is on its way."""
        await self._hand_over(self._chunker.flush())
        while self._twins > self._most_twins and not self.stopped:
            self._few_twins.clear()
            await self._few_twins.wait()

    def _flush(self) -> bool:
        """Hand over a batch that has waited long enough, unless the workers have enough to do."""
        if not len(self._chunker):
            return True
        if self._queue.full():
            return False
        self._queue.put_nowait(self._chunker.flush())
        return True

    def _accept(self, record: Any) -> None:
        position, self._position = self._position, self._position + 1
        try:
            item = self._work.read(record)
        except Exception as error:  # noqa: BLE001 the record is the caller's: reading it may raise anything
            refused = Item(raw=record, key=key_of(record), params=None, fingerprint=b"", position=position)
            result: Result[Any] = Result(error=refusal_of(self._work, error), known=OutcomeStatus.REJECTED)
            closed = [([refused], result)]
            self.journal.note_refused(closed)
            self.deliver(closed)
            return
        item.position = position
        earlier = self.duplicates.find(item)
        if earlier is not None:
            self._repeat(item, earlier)
        elif self.stopped:
            self._leave([item])
        elif full := self._chunker.feed(item):
            self._in_hand = full

    def _repeat(self, item: Item, earlier: Item | Result[Any]) -> None:
        if isinstance(earlier, Result):
            self.journal.note_repeats([([item], earlier)])
            self.deliver([([item], earlier)])
            return
        earlier.twins = earlier.twins or []
        earlier.twins.append(item)
        self._twins += 1

    async def _hand_over(self, items: list[Item]) -> None:
        if items:
            self._in_hand = items
            await self._queue.put(items)
            self._in_hand = []

    async def _worker(self) -> None:
        while await self._serve():
            pass  # nothing of the last items is held while the next are awaited

    async def _serve(self) -> bool:
        items = await self._queue.take()
        if items is None:
            return False
        if self.stopped:
            self._leave(items)
            return True
        job = RunJob(self, items)
        self._jobs.add(job)
        try:
            await job.perform(self._work)
        finally:
            self._jobs.discard(job)
        await self.results.room()
        return True
