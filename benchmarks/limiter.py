"""The limiter with 100,000 waiters: CPU per grant and memory per waiter beside aiolimiter and pyrate-limiter."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial

from aiolimiter import AsyncLimiter
from pyrate_limiter import Duration, InMemoryBucket, Limiter, Rate

from benchmarks import _harness
from benchmarks._harness import Failed, Measured, metered
from omeda_async.limits import Priority, RateLimit, Window, make_limiter

WAITERS = 100_000
CALLS = 1000
SECONDS = 0.05

Task = Callable[[], Awaitable[None]]


def _ours(calls: int, seconds: float) -> Task:
    limiter = make_limiter(RateLimit(Window(calls, seconds)))

    async def one() -> None:
        permit = await limiter.acquire(priority=Priority.BULK)
        limiter.release(permit, status=200)

    return one


def _aiolimiter(calls: int, seconds: float) -> Task:
    return AsyncLimiter(calls, seconds).acquire


def _pyrate(calls: int, seconds: float) -> Task:
    rate = Rate(calls, int(seconds * Duration.SECOND))
    limiter = Limiter(InMemoryBucket([rate]))

    async def one() -> None:
        _harness.check("granted", await limiter.try_acquire_async("account"), expected=True)

    return one


LIMITERS = {"omeda_async": _ours, "aiolimiter": _aiolimiter, "pyrate-limiter": _pyrate}


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
    _harness.check("waiting", sum(not task.done() for task in tasks), waiters - 10)
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


def report() -> str:
    """Measure in full, and write the section."""
    results = compare(WAITERS, 3, tuple(LIMITERS))
    rows = []
    for who, ran in results.items():
        held = _harness.child(memory, who=who, waiters=10_000)
        rows.append(
            [
                who,
                f"{1e6 * _harness.median(ran, 'cpu') / WAITERS:.1f} µs",
                f"{held['memory'] / 1024:.1f} KiB",
            ]
        )
    head = ("limiter", "CPU per grant, the task included", "memory per waiter, the same")
    return f"""### Limiter

{WAITERS:,} waiting at once, {CALLS} calls each {1000 * SECONDS:.0f} ms. Target: ahead of both.

{_harness.table(head, rows)}"""


def gate() -> None:
    """Fail where noise can no longer be the reason.

    Raises:
        Failed: The limiter costs far more than aiolimiter.
    """
    results = compare(20_000, 2, ("omeda_async", "aiolimiter"))
    times = _harness.ratio(results, "omeda_async", "aiolimiter")
    print(f"limiter: {times:.2f} x aiolimiter")
    if times > 1.5:
        raise Failed(f"a grant takes {times:.2f} x the CPU of aiolimiter")
