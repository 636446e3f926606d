"""The limiter with 100,000 waiters: CPU per grant and memory per waiter beside aiolimiter and pyrate-limiter.

Ours without a deadline, and with one (``acquire(max_wait=...)``), as single calls have.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial

from aiolimiter import AsyncLimiter

from benchmarks import _harness
from benchmarks._harness import Measured, metered
from omeda_async.limits import Priority, RateLimit, Window, make_limiter

WAITERS = 100_000
CALLS = 1000
SECONDS = 0.05
FAR = 1e9
"""Seconds to a deadline that nobody passes."""

Task = Callable[[], Awaitable[None]]


def _ours(calls: int, seconds: float, max_wait: float | None = None) -> Task:
    limiter = make_limiter(RateLimit(Window(calls, seconds)))

    async def one() -> None:
        permit = await limiter.acquire(priority=Priority.BULK, max_wait=max_wait)
        limiter.release(permit, status=200)

    return one


def _aiolimiter(calls: int, seconds: float) -> Task:
    return AsyncLimiter(calls, seconds).acquire


def _pyrate(calls: int, seconds: float) -> Task:
    from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate  # noqa: PLC0415 it belongs to the extra bench

    rate = Rate(calls, int(seconds * Duration.SECOND))
    limiter = Limiter(InMemoryBucket([rate]))

    async def one() -> None:
        _harness.check("granted", await limiter.try_acquire_async("account"), expected=True)

    return one


LIMITERS: dict[str, Callable[[int, float], Task]] = {
    "omeda_async": _ours,
    "omeda_async, with a deadline": partial(_ours, max_wait=FAR),
    "aiolimiter": _aiolimiter,
    "pyrate-limiter": _pyrate,
}
OURS, DEADLINE, THEIRS = tuple(LIMITERS)[:3]


async def _grants(who: str, waiters: int) -> Measured:
    one = LIMITERS[who](CALLS, SECONDS)
    granted = 0

    async def wait() -> None:
        nonlocal granted
        await one()
        granted += 1

    with metered() as used:
        await asyncio.gather(*(wait() for _ in range(waiters)))
    _harness.check("grants", granted, waiters)
    return {"cpu": used.cpu, "seconds": used.seconds}


async def _memory(who: str, waiters: int) -> Measured:
    one = LIMITERS[who](10, 3600.0)
    gc.collect()
    tracemalloc.start()
    tasks = [asyncio.ensure_future(one()) for _ in range(waiters)]
    for _ in range(3):
        await asyncio.sleep(0)
    held = tracemalloc.get_traced_memory()[0]
    _harness.check("waiting", sum(not task.done() for task in tasks) >= waiters - 10, expected=True)
    tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"memory": held / waiters}


def grants(who: str, waiters: int) -> Measured:
    """Have so many tasks wait at once, and all of them granted; in a process of its own."""
    return asyncio.run(_grants(who, waiters))


def memory(who: str, waiters: int) -> Measured:
    """Return what a waiter holds, its task included; in a process of its own."""
    return asyncio.run(_memory(who, waiters))


def compare(waiters: int, rounds: int, who: tuple[str, ...]) -> dict[str, list[Measured]]:
    """Compare in turns."""
    return _harness.in_turns({one: partial(_harness.child, grants, who=one, waiters=waiters) for one in who}, rounds)


def _figures(results: dict[str, list[Measured]], held: dict[str, float], waiters: int) -> _harness.Figures:
    return {
        "limiter, to aiolimiter: x": _harness.ratio(results, OURS, THEIRS),
        "limiter, deadline: µs": 1e6 * _harness.median(results[DEADLINE], "cpu") / waiters,
        "limiter, deadline to none: x": _harness.ratio(results, DEADLINE, OURS),
        "limiter: B": held[OURS],
        "limiter, deadline: B": held[DEADLINE],
    }


def _held(who: tuple[str, ...], waiters: int) -> dict[str, float]:
    return {one: _harness.child(memory, who=one, waiters=waiters)["memory"] for one in who}


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results, held = compare(WAITERS, 3, tuple(LIMITERS)), _held(tuple(LIMITERS), WAITERS)
    rows = [
        [who, f"{1e6 * _harness.median(ran, 'cpu') / WAITERS:.1f} µs", f"{held[who]:.0f} B"]
        for who, ran in results.items()
    ]
    head = ("limiter", "CPU per grant, the task included", "memory per waiter, the same")
    text = f"""### Limiter

{WAITERS:,} waiting at once, {CALLS} calls each {1000 * SECONDS:.0f} ms; a deadline is `acquire(max_wait=...)`.

{_harness.table(head, rows)}"""
    return text, _figures(results, held, WAITERS)


def gate() -> _harness.Figures:
    """Measure a little; what a waiter holds is no matter of noise."""
    who = (OURS, DEADLINE, THEIRS)
    return _figures(compare(10_000, 1, who), _held(who[:2], 10_000), 10_000)
