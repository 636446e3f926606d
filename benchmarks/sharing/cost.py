"""What one call costs that shares a free account's limits, beyond the limiter of one process."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.sharing.herd import ACCOUNT
from benchmarks.sharing.stores import make_known, place
from omeda_async import OcambaSettings, RateLimit, _clock
from omeda_async._account import account_key
from omeda_async.limits import Limiter, make_limiter, share_limiter

CALLS = 300
LIMIT = "100000/1,1000000/60,interactive_reserve=0"
KINDS = {"file": "SQLite", "redis": "Redis", "postgres": "PostgreSQL"}
MOST: Mapping[str, float] = {"SQLite": 0.3, "Redis": 1.0}
"""The targets, in milliseconds."""
_URL = "http://127.0.0.1:1"


async def measure(limiter: Limiter, calls: int) -> float:
    """Return the milliseconds of a call: its wait for a permit, and the CPU of all that it has caused."""
    found = []
    for _ in range(calls):
        cpu, began = time.process_time(), time.perf_counter()
        permit = await limiter.acquire()
        waited, busy = time.perf_counter() - began, time.process_time() - cpu
        limiter.release(permit, status=204)
        await _clock.sleep(0.003)  # the store is told meanwhile
        found.append(time.process_time() - cpu + max(0.0, waited - busy))
    await limiter.aclose()
    return 1000 * statistics.median(found[calls // 10 :])


def _shared(where: str) -> Limiter:
    settings = OcambaSettings(token="test", base_url=_URL, account=ACCOUNT)  # noqa: S106 no secret
    account = account_key("ocamba", settings, None)
    limit = RateLimit.parse(LIMIT)
    return share_limiter(limit, where, account, timeout=60.0, connect_timeout=10.0, on_pause=None, uniform=lambda: 0.5)


def extra(kinds: Mapping[str, str] = KINDS, calls: int = CALLS, rounds: int = 5) -> dict[str, float]:
    """Return the milliseconds that a call costs with each store beyond those without, in turns."""

    async def run(make: Callable[[], Limiter]) -> float:
        return await measure(make(), calls)

    found = dict[str, float]()
    with TemporaryDirectory() as folder:
        for kind, name in kinds.items():
            with place(kind, Path(folder) / kind) as store:
                make_known(store, LIMIT, _URL)
                turns = []
                for _ in range(rounds):
                    alone = asyncio.run(run(lambda: make_limiter(RateLimit.parse(LIMIT))))
                    turns.append(asyncio.run(run(lambda where=store.where: _shared(where))) - alone)  # type: ignore[misc]
                found[name] = min(turns)
    return found
