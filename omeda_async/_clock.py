"""The only place that sleeps or reads the time.

Durations and instants are read from the running loop, so that a loop with a moved clock drives hours in
milliseconds; the calendar is read for what providers state as dates.
"""

import asyncio
import datetime as dt
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

outside: Final[set[asyncio.Future[Any]]] = set()
"""What threads are doing for a loop right now: a moved clock must not jump meanwhile, as their time is the real one."""

_PASS = 1.0


def now() -> float:
    """Return the running loop's time in seconds."""
    return asyncio.get_running_loop().time()


def monotonic() -> float:
    """Return the machine's own time in seconds, which all of its processes share, and nobody can set."""
    return time.monotonic()


def that_never_rests(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return what tells the time in seconds, also while the machine sleeps; a moved clock where the loop has one.

    A loop may read its own clock once for a whole pass, and be stopped in the middle of that.
    """
    if is_moved(loop):
        return loop.time
    if sys.platform == "linux":
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic


def is_moved(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop's clock is another than the machine's; a loop may read that once for a whole pass."""
    return abs(loop.time() - time.monotonic()) > _PASS


def utc_now() -> dt.datetime:
    """Return the calendar time."""
    return dt.datetime.now(dt.UTC)


def pause(seconds: float) -> None:
    """Wait in a thread, which it blocks."""
    time.sleep(seconds)


async def sleep(seconds: float) -> None:
    """Wait on the running loop; cancelling it ends the wait."""
    await asyncio.sleep(seconds)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so long at the most; return whether it was set. Cancelling it ends the wait."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
