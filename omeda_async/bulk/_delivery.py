"""Gives every record of a run its one outcome: in the journal, in the sums, and to the caller."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from omeda_async._result import Result
from omeda_async._stop import Stop
from omeda_async.bulk._item import Closed, Item, not_sent, refused
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk._results import ResultBuffer
from omeda_async.errors import ClosedError, OmedaAsyncError
from omeda_async.outcomes import DONE, Outcome, Tally

if TYPE_CHECKING:
    from omeda_async.bulk.journal.writer import Journal

LEFT_AT_ONCE = 1000
REPEATS_KEPT = 50_000


class NullJournal:
    """What a run without a journal has in its place. It is given neither what is to be sent nor results."""

    remembers: Literal[False] = False
    lapsed: None = None

    async def open(self, tally: Tally) -> tuple[int, float]:  # noqa: ARG002 what a journal keeps
        """Return that earlier runs have made no requests."""
        return 0, 0.0

    async def leave(self, closed: Sequence[Closed]) -> Sequence[Closed]:
        """Return the results as they are: nobody knows more."""
        return closed

    def note(self, items: Sequence[Item], result: Result[Any], *, refused: bool = False) -> None:
        """Note nothing."""

    async def room(self) -> None:
        """Wait for nothing."""

    async def close(self, cause: BaseException | None) -> None:
        """Close nothing."""


class Repeats:
    """Finds records that ask for what an earlier one asked for, among the last 50,000 to 100,000 distinct ones.

    The bound keeps the memory of an endless run flat; what lies further back is sent again, which every operation
    that has a bulk form allows. A journal remembers those of earlier runs, all of them.
    """

    def __init__(self, kept: int = REPEATS_KEPT) -> None:
        self._kept = kept
        self._young: dict[bytes, Item | Result[Any]] = {}
        self._old: dict[bytes, Item | Result[Any]] = {}

    def find(self, item: Item) -> Item | Result[Any] | None:
        """Return the earlier item if it is on its way, its result if it is closed, None if the item is the first."""
        known = self._young.setdefault(item.fingerprint, item)
        if known is not item:
            return known
        earlier = self._old.get(item.fingerprint)
        if earlier is not None:
            self._young[item.fingerprint] = earlier
        return earlier

    def closed(self, items: Iterable[Item], result: Result[Any]) -> None:
        """Keep the result of items for those to come."""
        for item in items:  # also of one that has grown old meanwhile: what is young counts
            self._young[item.fingerprint] = result
        if len(self._young) >= self._kept:
            self._old, self._young = self._young, {}


class Delivery:
    """Counts the results of items and hands out their outcomes, those of repeats with them.

    Args:
        journal: What remembers the run.
        results: Where the outcomes wait for the caller.
        stop: The run's.
        on_outcomes: Called whenever the sums have changed.
    """

    def __init__(
        self,
        journal: "Journal | NullJournal",
        results: ResultBuffer,
        stop: Stop,
        on_outcomes: Callable[[], Any] | None,
    ) -> None:
        self.tally = Tally()
        self.waiting = 0
        """Repeats that wait for what is on its way."""
        self.on_fewer_waiting: Callable[[], None] = lambda: None
        self._journal = journal
        self._results = results
        self.stop = stop
        self._on_outcomes = on_outcomes
        self.repeats = Repeats()
        self._left: list[Closed] = []
        self._recording: dict[asyncio.Future[None], list[Closed]] = {}
        """Results that are being written down, by the future that tells when they are."""
        # Closed items, freed one by one as others are read. The garbage collector goes by how many more objects are
        # made than freed: where these were freed by the hundred, it would search the whole heap time and again.
        self.spent: list[Item] = []

    @property
    def has_many_left(self) -> bool:
        """Whether so many items wait in ``leave`` that they should be delivered now."""
        return len(self._left) >= LEFT_AT_ONCE

    def deliver(self, closed: Sequence[Closed]) -> None:
        """Count results that are final, and hand out the outcomes."""
        for items, result in closed:
            everyone = self._with_repeats(items, result) if self.waiting else items
            status = result.known or result.status
            self.tally.counts[status] += len(everyone)
            if self._results.wanted or status not in DONE:
                outcomes = [
                    Outcome(item.raw, item.key, item.position, status, result.attempts, result.receipt, result.error)
                    for item in everyone
                ]
                if status not in DONE:
                    self.tally.keep(outcomes)
                self._results.push(outcomes)
            self.repeats.closed(items, result)
            self.spent += everyone
        if self._on_outcomes is not None:
            self._on_outcomes()

    def leave(self, closed: Sequence[Closed]) -> None:
        """Take what became of items that will not be sent, or whose sending was broken off.

        An earlier run may know more about them, which the journal is asked before their outcomes are delivered.
        """
        self._left += closed

    def leave_unsent(self, items: Sequence[Item]) -> None:
        """Take items that will not be sent, as the run was stopped."""
        if items:
            cause = self.stop.cause or ClosedError("the run was stopped before this record was sent")
            self.leave([(items, not_sent(cause))])

    def deliver_when(self, recorded: asyncio.Future[None], closed: Sequence[Closed]) -> None:
        """Deliver results as soon as they are written down, without making the caller wait for that."""
        if recorded in self._recording:  # they are written together with others
            self._recording[recorded] += closed
        else:
            self._recording[recorded] = [*closed]
            recorded.add_done_callback(self._recorded)

    async def deliver_left(self) -> None:
        """Deliver what was left, and what is being written down; a cancellation is put off until that is done."""
        if self._left or self._recording:
            await outlast(self._deliver_left())  # broken off in the middle, records would have no outcome

    def refuse(self, item: Item) -> None:
        """Deliver an item that cannot be sent."""
        result = refused(item)
        self._journal.note([item], result, refused=True)
        self.deliver([([item], result)])

    def repeat(self, item: Item, earlier: Item | Result[Any]) -> None:
        """Let an item share the result of an earlier one, which may still be on its way."""
        if isinstance(earlier, Result):
            self._journal.note([item], earlier)
            self.deliver([([item], earlier)])
        else:
            earlier.repeats = earlier.repeats or []
            earlier.repeats.append(item)
            self.waiting += 1

    def _with_repeats(self, items: Sequence[Item], result: Result[Any]) -> Sequence[Item]:
        repeats = [repeat for item in items for repeat in item.repeats or ()]
        if not repeats:
            return items
        for item in items:
            item.repeats = None
        self._journal.note(repeats, result)
        self.waiting -= len(repeats)
        self.on_fewer_waiting()
        return [*items, *repeats]

    def _recorded(self, recorded: asyncio.Future[None]) -> None:
        closed = self._recording.pop(recorded)
        error = recorded.exception()
        if error is not None:
            self.stop.break_off(error)
        self.deliver(closed)

    async def _deliver_left(self) -> None:
        if self._recording:
            await asyncio.wait(self._recording)
        left: Sequence[Closed]
        left, self._left = self._left, []
        if left:
            try:
                left = await self._journal.leave(left)
            except OmedaAsyncError as error:
                self.stop.fail(error)
            self.deliver(left)
