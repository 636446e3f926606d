"""A provider made of plain Python for tests of the bulk engine, and what those tests count with."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import attrs

from omeda_async import OmedaAsyncError, Outcome, OutcomeStatus
from omeda_async._activity import Activity
from omeda_async._hooks import Hooks, as_hooks
from omeda_async._result import Result
from omeda_async.bulk import BulkOptions, BulkRun, Item, Job, Sizes, fingerprint
from omeda_async.bulk._item import still_doubtful
from omeda_async.errors import AnswerLost, ClosedError, InvalidRecord
from omeda_async.limits import Priority, RateLimit
from omeda_async.outcomes import Tally
from omeda_async.providers.omeda._operations import SUBMIT_OPT_OUTS


class FakeTransport:
    """A transport that has a session to give, and counts how often it is asked for it."""

    def __init__(self) -> None:
        self.asked = 0

    def session(self) -> None:
        """Give nothing: no request is ever made."""
        self.asked += 1


@attrs.define
class FakeSettings:
    """As much of settings as a plan needs."""

    rate_limit: RateLimit = attrs.field(factory=lambda: RateLimit.courtesy(per_second=10, parallel=8))


class FakeLimiter:
    """As much of a limiter as a run needs: it notes what it is to remember."""

    def __init__(self) -> None:
        self.remembered: list[tuple[int, float]] = []

    def remember(self, requests: int, seconds_ago: float) -> None:
        """Note it."""
        self.remembered.append((requests, seconds_ago))


@attrs.define
class FakeAccount:
    """As much of an account as a run needs."""

    provider: str = "fake"
    hooks: Hooks = attrs.field(factory=Hooks, converter=as_hooks)
    transport: FakeTransport = attrs.field(factory=FakeTransport)
    settings: FakeSettings = attrs.field(factory=FakeSettings)
    limiter: FakeLimiter = attrs.field(factory=FakeLimiter)
    activity: Activity = attrs.field(factory=Activity)
    priority: Priority | None = None


class FakeCall:
    """A call that waits for its turn, is in flight for a while, and ends as it was told to."""

    def __init__(self, work: "FakeWork", items: list[Item], tally: Tally | None) -> None:
        self.in_flight = False
        self.attempts = 0
        self.deadline: float | None = None
        self._work = work
        self._items = items
        self._tally = tally or Tally()

    async def run(self) -> Result[Any]:
        """Make the call."""
        if self._work.turn:
            await asyncio.sleep(self._work.turn)
        self.attempts += 1
        self._tally.requests += 1
        self._work.flying += 1
        self._work.peak = max(self._work.peak, self._work.flying)
        self._work.sent += [item.raw for item in self._items]
        self.in_flight = True
        try:
            await asyncio.sleep(self._work.answer_time(self._items))
        finally:
            self._work.flying -= 1
        self.in_flight = False
        self._work.applied += [item.raw for item in self._items]
        return self._work.answer(self._items)

    def interrupted(self) -> Result[Any]:
        """Say what is certain."""
        kind = AnswerLost if self.in_flight else ClosedError
        return Result(error=kind("interrupted"), attempts=self.attempts, doubtful=self.in_flight)


@attrs.define
class FakeWork:
    """Work whose records are anything; a record ``"bad…"`` is invalid."""

    account: Any = attrs.field(factory=FakeAccount)
    operation: Any = SUBMIT_OPT_OUTS
    """Of which only the method and the path are told."""
    name: str = "fakes.do_many"
    max_entries: int = 1
    max_bytes: int = 2**31
    sizes: Sizes = attrs.field(factory=Sizes)
    concurrency: int = 4
    look_ahead: int = 0
    turn: float = 0.0
    """Seconds a call waits for its turn."""
    answer_time: Callable[[list[Item]], float] = lambda _: 0.01
    answer: Callable[[list[Item]], Result[Any]] = lambda items: Result(receipt="ok", attempts=1)  # noqa: ARG005 the signature
    sent: list[Any] = attrs.field(factory=list)
    applied: list[Any] = attrs.field(factory=list)
    flying: int = 0
    peak: int = 0
    reads: int = 0
    scope: dict[str, Any] = attrs.field(factory=dict)
    reading: dict[str, Any] = attrs.field(factory=dict)

    def read(self, raw: Any) -> Item:
        """Turn a record into an item."""
        self.reads += 1
        if isinstance(raw, str) and raw.startswith("bad"):
            raise InvalidRecord.of("name", "is bad")
        if isinstance(raw, Exception):
            raise raw
        key = raw["key"] if isinstance(raw, dict) else raw
        return Item(raw=raw, key=key, params=raw, fingerprint=fingerprint(str(raw)), size=10)

    async def perform(self, items: list[Item], job: Job) -> None:
        """Make one call for all the items."""
        if job.stop.is_set:
            for item in items:
                job.close([item], still_doubtful(item, Result(error=ClosedError("stopped"))))
            return
        call: Any = FakeCall(self, items, job.call_options.tally)
        job.close(items, await job.run(call))


def run_of(work: Any, records: Any, **options: Any) -> BulkRun:
    """Make a run of some fake work."""
    given: BulkOptions = options  # type: ignore[assignment]  # each test gives options of the right kinds
    return BulkRun(work, records, **given)


class Watched:
    """A synchronous input that counts how much of it was read."""

    def __init__(self, records: Iterable[Any], *, fail_at: int | None = None) -> None:
        self._records = iter(records)
        self._fail_at = fail_at
        self.read = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.read == self._fail_at:
            raise InputBrokeError
        record = next(self._records)
        self.read += 1
        return record


class WatchedAsync:
    """The same, asynchronous, with a pause before each record."""

    def __init__(self, records: Iterable[Any], *, pause: float = 0.0, fail_at: int | None = None) -> None:
        self._watched = Watched(records, fail_at=fail_at)
        self._pause = pause

    @property
    def read(self) -> int:
        """How much of it was read."""
        return self._watched.read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._pause:
            await asyncio.sleep(self._pause)
        try:
            return next(self._watched)
        except StopIteration:
            raise StopAsyncIteration from None


class InputBrokeError(Exception):
    """What a broken input raises."""


def positions(outcomes: Iterable[Outcome]) -> list[int]:
    """The positions of outcomes, sorted: every record once is ``list(range(n))``."""
    return sorted(outcome.position for outcome in outcomes)


def adds_up(run: BulkRun, total: int | None = None) -> bool:
    """Do the sums of a report hold, and is it complete?"""
    report = run.report
    same = report.total == sum(report.counts.values())
    return same and report.complete and (total is None or report.total == total)


def statuses(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count outcomes by the name of their status."""
    return Counter(outcome.status.value for outcome in outcomes)


async def collect(run: BulkRun) -> list[Outcome]:
    """All the outcomes of a run."""
    return [outcome async for outcome in run]


def refusal(text: str = "no") -> OmedaAsyncError:
    """An error as a provider's refusal of one record would be."""
    return OmedaAsyncError(text)


def consistent(run: BulkRun, work: FakeWork, read: int) -> None:
    """Fail unless all that was read is accounted for, and as it truly is."""
    assert adds_up(run, read), run.report
    counts = run.report.counts
    assert counts.get(OutcomeStatus.DONE, 0) == len(work.applied)
    assert counts.get(OutcomeStatus.UNKNOWN, 0) == len(work.sent) - len(work.applied)
    assert counts.get(OutcomeStatus.NOT_SENT, 0) == read - len(work.sent)
