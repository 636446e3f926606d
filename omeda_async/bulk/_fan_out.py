"""
The engine of a bulk run: one reader, some workers, and an outcome for every record read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence, Sized
from typing import Any, Protocol

import attrs

from omeda_async._call import Call, CallOptions
from omeda_async._result import Result
from omeda_async.bulk._chunks import Chunker
from omeda_async.bulk._outlet import Outlet
from omeda_async.bulk._records import Duplicates, Item, Records, Work, not_sent
from omeda_async.bulk._turns import Turns
from omeda_async.errors import ClosedError, InvalidRecord, OmedaAsyncError
from omeda_async.limits import Priority
from omeda_async.outcomes import Outcome, OutcomeStatus, Tally

BREATHE_EVERY = 64


class Ledger(Protocol):
    """
    Remembers a run: the intents before the attempts, the outcomes before the caller sees them.
    """

    async def begin(self, items: Sequence[Item]) -> dict[Item, Result[Any]]:
        """
        Write down that items are about to be sent; give the results of those settled by an earlier run.

        Those an earlier run may have sent are marked as doubtful.
        """

    async def record(self, outcomes: Sequence[tuple[Item, Result[Any]]]) -> None:
        """
        Write down results.
        """


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
        self._in_hand: list[Item] = []

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

    def stop(self, cause: OmedaAsyncError) -> None:
        """
        Send nothing new; attempts in flight go on, calls that wait for their turn end at once.
        """
        if self.stopped:
            return
        self.stopped = True
        self.cause = cause
        for desk in self._desks:
            desk.interrupt_wait()
        if self._reader is not None and self._awaiting_input:
            self._reader.cancel()

    def close(self, item: Item, result: Result[Any]) -> list[Outcome]:
        """
        Make the outcomes of an item and its twins, and count them.
        """
        outcomes = [one.outcome(result) for one in (item, *(item.twins or ()))]
        for outcome in outcomes:
            self.tally.add(outcome)
        self.duplicates.closed(item, result)
        return outcomes

    def _left_over(self) -> list[Item]:
        items, self._in_hand = self._in_hand, []
        return items + self._turns.drain() + self._chunker.flush()

    def _leave(self, items: Sequence[Item]) -> None:
        cause = self.cause or ClosedError("the run was stopped before this record was sent")
        self.outlet.push([outcome for item in items for outcome in self.close(item, not_sent(cause))])
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
        source = iterate(self._records)
        linger = _Linger(self.options.linger, self._flush)
        try:
            while (record := await self._next(source)) is not _END:
                self._accept(record)
                if self._in_hand:
                    await self._hand_over(self._in_hand)
                elif self._position % self._breathe_every == 0:
                    await self.outlet.room()
                    await asyncio.sleep(0)
                if self.stopped and not isinstance(self._records, Sized):
                    return
                if len(self._chunker):
                    linger.start()
        finally:
            linger.cancel()
            await source.aclose()

    async def _next(self, source: AsyncGenerator[Any, None]) -> Any:
        self._awaiting_input = True
        try:
            return await anext(source, _END)
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
        try:
            item = self._work.read(record)
        except InvalidRecord as error:
            error.provider = self._work.account.provider
            error.operation = self._work.name
            item = Item(raw=record, key=None, params=None, fingerprint=b"", position=position)
            self.outlet.push(self.close(item, Result(error=error, known=OutcomeStatus.REJECTED)))
            self.options.on_outcomes()
            return
        item.position = position
        earlier = self.duplicates.find(item)
        if isinstance(earlier, Item):
            earlier.twins = [*(earlier.twins or ()), item]
        elif earlier is not None:
            self.outlet.push(self.close(item, earlier))
            self.options.on_outcomes()
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
        if self._call is not None and not self._call.in_flight and self._task is not None:
            self._task.cancel()

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
                await ledger.record(self._closed)
        except asyncio.CancelledError:
            self._abandon(self._interrupted())
            raise
        except Exception as error:  # noqa: BLE001 not even a defect of ours may cost a record its outcome
            self._run.failure = self._run.failure or error
            self._abandon(self._interrupted())
            self._run.stop(ClosedError(f"the run broke off: {type(error).__name__}"))
        self._deliver()

    def _interrupted(self) -> Result[Any]:
        if self._call is not None:
            return self._call.interrupted()
        return not_sent(ClosedError("the run was stopped before this record was sent"))

    def _abandon(self, result: Result[Any]) -> None:
        self.close(list(self._open), result)
        self._deliver()

    def _deliver(self) -> None:
        closed, self._closed = self._closed, []
        self._run.outlet.push([outcome for item, result in closed for outcome in self._run.close(item, result)])
        self._run.options.on_outcomes()


class _Linger:
    """
    One timer that calls back until it is told that the batch is gone.
    """

    def __init__(self, seconds: float, flush: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._flush = flush
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if not self._flush():
            self.start()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _cancelled_again() -> bool:
    """
    Take back the cancellation by which a stop woke this task; tell whether there was another one besides.
    """
    task = asyncio.current_task()
    return task is not None and task.uncancel() > 0


_END = object()


async def iterate(records: Records) -> AsyncGenerator[Any, None]:
    """
    Read any kind of input, lazily.
    """
    if isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record
