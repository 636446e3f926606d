"""One process among several that share limits by a file: it writes down when each of its attempts arrived.

Run it with the file, a name, how many attempts it makes, and what is to be left out (``hold``, or nothing). The times
are those of the machine's monotonic clock, which all processes share.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from omeda_async import ConfigurationError, RateLimit, Window
from omeda_async.limits import Priority, _sqlite_file
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._sqlite_file import LimitsFile
from omeda_async.limits._sqlite_store import SqliteStore
from omeda_async.limits._store import Ask
from omeda_async.limits._store_limiter import StoreLimiter

SHORT, LONG = Window(10, 0.05), Window(40, 0.4)
LIMIT = RateLimit(SHORT, LONG, parallel=20, interactive_reserve=0)
LEASE = 0.4
ACCOUNT = "spring"


def prepare(path: Path) -> None:
    """Make a file that has been in use for long."""
    file = LimitsFile(path, ACCOUNT, random.random)
    file.clock = lambda: time.monotonic() - 10.0
    file.turn(Ask(client="first", number=1, rate_limit=LIMIT, lease=LEASE, leaves=True))
    file.close()


async def attempt(limiter: StoreLimiter) -> None:
    """Make one attempt, on a network that takes its time."""
    while True:
        permit = await limiter.acquire(priority=Priority.BULK)
        await asyncio.sleep(0.002)  # credentials, a connection
        if not permit.is_over():
            break
        limiter.release(permit, sent=False)
    await asyncio.sleep(0.01 * random.random())  # noqa: S311 no secret is drawn
    sys.stdout.write(f"{time.monotonic()!r}\n")
    sys.stdout.flush()
    await asyncio.sleep(0.01 * random.random())  # noqa: S311 no secret is drawn
    limiter.release(permit, status=204)


async def main(path: str, attempts: str, without: str = "") -> None:
    """Make so many attempts, as fast as the limits allow."""
    _sqlite_file.BUSY_SECONDS = 0.1
    if without == "hold":
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731 it stands in for a method
        AccountState._hold = nothing  # type: ignore[method-assign]  # the control
    limiter = StoreLimiter(LIMIT, SqliteStore(Path(path), ACCOUNT, random.random), lease=LEASE)
    try:
        await asyncio.gather(*(attempt(limiter) for _ in range(int(attempts))))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    await limiter.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
