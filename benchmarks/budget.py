"""Ocamba's budget, shared by 8 bulk runs and an interactive call every 2 seconds, on a virtual clock."""

import asyncio
import statistics
from collections import deque
from collections.abc import Sequence

from benchmarks import _harness
from benchmarks._harness import Failed
from omeda_async.limits import Limiter, Priority, RateLimit, Window, make_limiter
from omeda_async.testing import run_moved

RUNS = 8
IN_FLIGHT = 4
EVERY = 2.0
MINUTES = 20
TRIP = 0.08
GUARD = 1.001
RESERVED = 3
"""Of thirty interactive calls that wait for the same minute, bulk may go before with its one in ten."""
CLASS_C = (Window(10, 1.0), Window(150, 60.0))


class Line:
    """Calls through one limiter: how many went, and how long each interactive one waited."""

    def __init__(self, limiter: Limiter, lane: Priority) -> None:
        self._limiter = limiter
        self._lane = lane
        self.sent = 0
        self.waits: list[float] = []
        self.overtaken: list[int] = []
        self._bulk_sent = 0

    async def _call(self) -> None:
        permit = await self._limiter.acquire(priority=Priority.BULK)
        self.sent += 1
        self._bulk_sent += 1
        await asyncio.sleep(TRIP)
        self._limiter.release(permit, status=204)

    async def bulk(self) -> None:
        """Make one call after the other."""
        while True:
            await self._call()

    async def interactive(self) -> None:
        """Make a call every two seconds, and note how long it waits, and how many bulk calls go before it."""
        calls = []
        while True:
            calls.append(asyncio.ensure_future(self._one()))
            await asyncio.sleep(EVERY)

    async def _one(self) -> None:
        clock = asyncio.get_running_loop().time
        asked, gone = clock(), self._bulk_sent
        permit = await self._limiter.acquire(priority=self._lane)
        self.sent += 1
        self.waits.append(clock() - asked)
        self.overtaken.append(self._bulk_sent - gone)
        await asyncio.sleep(TRIP)
        self._limiter.release(permit, status=204)


async def _play(*, lanes: bool, minutes: int) -> Line:
    line = Line(make_limiter(RateLimit(*CLASS_C, parallel=10)), Priority.INTERACTIVE if lanes else Priority.BULK)
    tasks = [asyncio.ensure_future(line.bulk()) for _ in range(RUNS * IN_FLIGHT)]
    tasks.append(asyncio.ensure_future(line.interactive()))
    await asyncio.sleep(60 * minutes)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return line


def optimum(minutes: int) -> int:
    """Count what the slots allow at best: each is used again when its window has passed since the answer.

    It is played out by itself, without queue, tasks or timers, and shares no code with the limiter.
    """
    logs = [deque([float("-inf")] * window.calls) for window in CLASS_C]
    flying = deque([float("-inf")] * 10)
    sent, now = 0, 0.0
    while True:
        now = max(now, flying.popleft(), *(log.popleft() for log in logs))
        if now >= 60 * minutes:
            return sent
        sent += 1
        answered = now + TRIP
        flying.append(answered)
        for log, window in zip(logs, CLASS_C, strict=True):
            log.append(answered + window.seconds * GUARD)


def _quantile(sample: Sequence[float], share: float) -> float:
    return sorted(sample)[int(share * (len(sample) - 1))]


def measure(minutes: int = MINUTES) -> tuple[Line, Line, float]:
    """Play it with lanes and in one queue; the share of the optimum is that with lanes."""
    with_lanes = run_moved(_play(lanes=True, minutes=minutes), debug=False, patience=0)
    one_queue = run_moved(_play(lanes=False, minutes=minutes), debug=False, patience=0)
    return with_lanes, one_queue, with_lanes.sent / optimum(minutes)


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    with_lanes, one_queue, share = measure()
    rows = [
        [
            name,
            f"{line.sent}",
            f"{statistics.median(line.waits):.2f} s",
            f"{_quantile(line.waits, 0.99):.2f} s",
            f"{statistics.median(line.overtaken):.0f}",
            f"{_quantile(line.overtaken, 0.99):.0f}",
        ]
        for name, line in (("two lanes", with_lanes), ("one queue", one_queue))
    ]
    head = (
        "queue", "calls sent", "interactive: median wait", "p99", "bulk calls let by meanwhile: median", "p99"
    )  # fmt: skip
    text = f"""### Budget

{RUNS} bulk runs with {IN_FLIGHT} calls each under way and an interactive call every {EVERY:g} s, {MINUTES} minutes on a
virtual clock, 10 per second and 150 per minute, answers after {1000 * TRIP:.0f} ms.
The minute's 150 are spent in 15 s, so that most interactive calls have to wait for the next minute, together; bulk
keeps one grant in ten meanwhile. Share of the optimum ({optimum(MINUTES)} calls): **{100 * share:.2f} %**.
Target: at least 99 %, and an interactive call waits for at most the next free slot.

{_harness.table(head, rows)}"""
    return text, {}


def gate() -> _harness.Figures:
    """Fail where the budget is left unused; the clock is virtual, so noise has no say.

    Raises:
        Failed: Less than 99 % is used, or bulk calls went before interactive ones.
    """
    with_lanes, _, share = measure(5)
    print(f"budget: {100 * share:.2f} % of the optimum")
    if share < 0.99:
        raise Failed(f"only {100 * share:.2f} % of the budget is used")
    if statistics.median(with_lanes.overtaken) > 0 or _quantile(with_lanes.overtaken, 0.99) > RESERVED:
        raise Failed("bulk calls go before interactive ones, beyond their reserve")
    return {}
