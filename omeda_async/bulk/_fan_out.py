"""
The engine of a bulk run: one reader, some workers, and an outcome for every record read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence, Sized
from typing import Any

import attrs

from omeda_async._call import Call, CallOptions
from omeda_async._result import Result
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._input import END, Linger, iterate
from omeda_async.bulk._ledger import Ledger
from omeda_async.bulk._outlet import Outlet
from omeda_async.bulk._records import Duplicates, Item, Records, Work, not_sent, read_item, still_doubtful
from omeda_async.bulk._turns import Turns
from omeda_async.errors import ClosedError, InvalidRecord, OmedaAsyncError
from omeda_async.limits import Priority
from omeda_async.outcomes import Outcome, OutcomeStatus, Tally

BREATHE_EVERY = 64


@attrs.frozen(kw_only=True)
class FanOutOptions:
    """
    How a run is made.
    """

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
    """
    Read records, have them sent, and see to it that each one has exactly one outcome.

    Args:
        work: How items are read and sent.
        records: The input; read lazily.
        options: How the run is made.
        ledger: What remembers the run, if anything.

    """

    def __init__(self, work: Work, records: Records, options: FanOutOptions, ledger: Ledger | None = None) -> None:
        self.tally = Tally()
        self.outlet = Outlet(limit=2 * options.concurrency * options.max_entries)
        self.cause: OmedaAsyncError | None = None
        self.failure: BaseException | None = None
        self.stopped = False
        self.options = options
        self.ledger = ledger
        self.isolation_left = options.isolation_budget
        self.duplicates = Duplicates()
        self._work = work
        self._records = records
        self._chunker = Chunker(options.max_entries, options.max_bytes)
        self._turns = Turns(max(work.look_ahead, options.concurrency))
        self._breathe_every = max(work.look_ahead, BREATHE_EVERY)
        self._desks: set[_Desk] = set()
        self._position = 0
        self._reader: asyncio.Task[None] | None = None
        self._awaiting_input = False
        self._read_on = True
        self._in_hand: list[Item] = []
        self._twins = 0
        self._most_twins = options.concurrency * max(options.max_entries, BREATHE_EVERY)
        self._few_twins = asyncio.Event()

    async def run(self) -> None:
        """
        Run to the end of the input, or until stopped. Cancelling it stops at once, still with an outcome for all.
        """
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
            self.outlet.end()

    def abandon(self, cause: OmedaAsyncError) -> None:
        """
        Stop, and read nothing more.
        """
        self._read_on = False
        self.outlet.unbind()
        self.stop(cause)

    def stop(self, cause: OmedaAsyncError) -> None:
        """
        Send nothing new; attempts in flight go on, calls that wait for their turn end at once.

        An input whose length is known is read to its end, so that every record of it has an outcome.
        """
        if self.stopped:
            return
        self.stopped = True
        self.cause = cause
        for desk in self._desks:
            desk.interrupt_wait()
        reader = self._reader
        if reader is not None and self._awaiting_input and reader is not asyncio.current_task():
            reader.cancel()

    def close(self, item: Item, result: Result[Any]) -> list[Outcome]:
        """
        Make the outcomes of an item and its twins, and count them.
        """
        twins, item.twins = item.twins or (), None
        if twins and self.ledger is not None:
            self.ledger.set_aside([(twin, result) for twin in twins])
        if twins:
            self._twins -= len(twins)
            self._few_twins.set()
        outcomes = [item.outcome(result)]
        outcomes += [twin.outcome(result) for twin in twins]
        for outcome in outcomes:
            self.tally.add(outcome)
        self.duplicates.closed(item, result)
        return outcomes

    def _left_over(self) -> list[Item]:
        items, self._in_hand = self._in_hand, []
        return items + self._turns.drain() + self._chunker.flush()

    def _leave(self, items: Sequence[Item]) -> None:
        result = not_sent(self.cause or ClosedError("the run was stopped before this record was sent"))
        if self.ledger is not None:
            self.ledger.leave([(item, result) for item in items])
        self.outlet.push([outcome for item in items for outcome in self.close(item, result)])
        self.options.on_outcomes()

    def _set_aside(self, item: Item, result: Result[Any]) -> None:
        if self.ledger is not None:
            self.ledger.set_aside([(item, result)])
        self.outlet.push(self.close(item, result))
        self.options.on_outcomes()

    async def _read(self) -> None:
        try:
            await self._read_all()
        except asyncio.CancelledError:
            if not self.stopped or _cancelled_again():
                raise
        except Exception as error:  # noqa: BLE001 the input is the caller's: whatever it raises ends the run, in order
            self.failure = error
        if self.stopped:
            self._leave(self._left_over())
        await self._hand_over(self._chunker.flush())
        await self._turns.end(self.options.concurrency)

    async def _read_all(self) -> None:
        source = self._source()
        linger = Linger(self.options.linger, self._flush)
        try:
            while not self._over() and (record := await self._next(source)) is not END:
                self._accept(record)
                if self._in_hand:
                    linger.cancel()  # what is left waits its own time
                    await self._hand_over(self._in_hand)
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

    def _over(self) -> bool:
        """
        Tell whether nothing more is to be read, though there may be more.
        """
        return self.stopped and not (self._read_on and isinstance(self._records, Sized))

    async def _breathe(self) -> None:
        await self.outlet.room()
        if self.ledger is not None:
            await self.ledger.room()
        await asyncio.sleep(0)

    async def _wait_for_twins(self) -> None:
        """
        Read no further while too many repeats wait for what is on its way.
        """
        await self._hand_over(self._chunker.flush())
        while self._twins > self._most_twins:
            self._few_twins.clear()
            await self._few_twins.wait()

    def _source(self) -> Iterator[Any] | AsyncGenerator[Any, None]:
        return iterate(self._records) if isinstance(self._records, AsyncIterable) else iter(self._records)

    async def _next(self, source: Iterator[Any] | AsyncGenerator[Any, None]) -> Any:
        if isinstance(source, Iterator):
            return next(source, END)
        self._awaiting_input = True
        try:
            return await anext(source, END)
        finally:
            self._awaiting_input = False

    def _flush(self) -> bool:
        """
        Hand over a batch that has waited long enough, unless the workers have enough to do.
        """
        if not len(self._chunker):
            return True
        if self._turns.full():
            return False
        self._turns.put_nowait(self._chunker.flush())
        return True

    def _accept(self, record: Any) -> None:
        position, self._position = self._position, self._position + 1
        item = read_item(self._work, record)
        if isinstance(item, InvalidRecord):
            refused = Item(raw=record, key=None, params=None, fingerprint=b"", position=position)
            self._set_aside(refused, Result(error=item, known=OutcomeStatus.REJECTED))
            return
        item.position = position
        earlier = self.duplicates.find(item)
        if isinstance(earlier, Item):
            earlier.twins = earlier.twins or []
            earlier.twins.append(item)
            self._twins += 1
        elif earlier is not None:
            self._set_aside(item, earlier)
        elif self.stopped:
            self._leave([item])
        else:
            self._in_hand = self._chunker.feed(item) or []

    async def _hand_over(self, items: list[Item]) -> None:
        if items:
            self._in_hand = items
            await self._turns.put(items)
            self._in_hand = []

    async def _worker(self) -> None:
        while (items := await self._turns.take()) is not None:
            if self.stopped:
                self._leave(items)
                continue
            desk = _Desk(self, items)
            self._desks.add(desk)
            try:
                await desk.perform(self._work)
            finally:
                self._desks.discard(desk)
            await self.outlet.room()


class _Desk:
    """
    Where the work on some items reports to; sees to it that each has an outcome, whatever happens.
    """

    def __init__(self, run: FanOut, items: list[Item]) -> None:
        self._run = run
        self._open = dict.fromkeys(items)
        self._closed: list[tuple[Item, Result[Any]]] = []
        self._recorded = False
        self._call: Call[Any, Any] | None = None
        self._task = asyncio.current_task()

    @property
    def stopped(self) -> bool:
        return self._run.stopped

    def stop(self, cause: OmedaAsyncError) -> None:
        self._run.stop(cause)

    def options(self, *, doubtful: bool = False) -> CallOptions:
        return CallOptions(
            priority=self._run.options.priority,
            patient=True,
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
        for item in items:
            del self._open[item]
            self._closed.append((item, result))

    async def run(self, call: Call[Any, Any]) -> Result[Any]:
        self._call = call
        try:
            result = await call.run()
        except asyncio.CancelledError:
            if not self._run.stopped or call.in_flight or _cancelled_again():
                raise
            result = call.interrupted()
        self._call = None
        return result

    def interrupt_wait(self) -> None:
        """
        End a call that has no attempt in flight.
        """
        task = self._task
        if self._call is None or self._call.in_flight or task is None or task is asyncio.current_task():
            return  # a call whose own hook stops the run sees it before its next attempt
        task.cancel()

    async def perform(self, work: Work) -> None:
        """
        Have the items sent, and deliver their outcomes.
        """
        ledger = self._run.ledger
        try:
            if ledger is not None:
                for item, result in (await ledger.begin(list(self._open))).items():
                    self.close([item], result)
            if self._open:
                await work.perform(list(self._open), self)
            if ledger is not None:
                self._recorded = True
                await ledger.record(self._closed)
        except asyncio.CancelledError:
            self._abandon(self._interrupted())
            raise
        except Exception as error:  # noqa: BLE001 not even a defect of ours may cost a record its outcome
            self._run.failure = self._run.failure or error
            self._abandon(self._interrupted())
            cause = error if isinstance(error, OmedaAsyncError) else None
            self._run.stop(cause or ClosedError(f"the run broke off: {type(error).__name__}"))
        self._deliver()

    def _interrupted(self) -> Result[Any]:
        if self._call is not None:
            return self._call.interrupted()
        return not_sent(ClosedError("the run was stopped before this record was sent"))

    def _abandon(self, result: Result[Any]) -> None:
        for item in list(self._open):
            self.close([item], still_doubtful(item, result))
        if self._run.ledger is not None and not self._recorded:
            self._run.ledger.leave(self._closed)
        self._deliver()

    def _deliver(self) -> None:
        closed, self._closed = self._closed, []
        self._run.outlet.push([outcome for item, result in closed for outcome in self._run.close(item, result)])
        self._run.options.on_outcomes()


def _cancelled_again() -> bool:
    """
    Take back the cancellation by which a stop woke this task; tell whether there was another one besides.
    """
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0
