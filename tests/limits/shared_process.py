"""One process among several that share limits by a file: it writes down when each of its attempts arrived.

Run it with the file, and what is to be left out (``hold``, or nothing); it goes on until its standard input is closed.
The times are those of the machine's monotonic clock, which all processes share; a line "away" says that the file was.
"""

import asyncio
import logging
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
    way, back = 0.01 * random.random(), 0.01 * random.random()  # noqa: S311 no secret is drawn
    say(repr(time.monotonic() + way))  # it is on its way, whatever becomes of us
    await asyncio.sleep(way + back)
    limiter.release(permit, status=204)


def say(line: str) -> None:
    """Tell whoever has started us."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Tell(logging.Handler):
    """Tells that the store is away."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say so in a word."""
        if "does not answer" in record.getMessage():
            say("away")


async def main(path: str, without: str = "") -> None:
    """Make attempts, as fast as the limits allow, until whoever has started us wants no more."""
    _sqlite_file.BUSY_SECONDS = 0.1
    logger = logging.getLogger("omeda_async")
    logger.addHandler(Tell())
    logger.setLevel(logging.DEBUG)
    if without == "hold":
        nothing: Callable[..., None] = lambda *_: None  # noqa: E731 it stands in for a method
        AccountState._hold = nothing  # type: ignore[method-assign]  # the control
    limiter = StoreLimiter(LIMIT, SqliteStore(Path(path), ACCOUNT, random.random), lease=LEASE)
    enough = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, enough.set)

    async def attempts() -> None:
        while not enough.is_set():
            await attempt(limiter)

    try:
        await asyncio.gather(*(attempts() for _ in range(30)))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    await limiter.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
