"""A worker in a process of its own, to be killed: run it with the database, the queue and the sandbox's URL."""

import asyncio
import sys
from functools import partial

from omeda_async import OmedaSettings, RateLimit, RetryPolicy, SessionManager
from omeda_async.worker import BulkJobs

TIMEOUT = 3.0
STALLED_AFTER = 1.0
LEASE = 1.0


def manager_at(url: str) -> SessionManager:
    """Make a manager that is quick to give up, so that a takeover has not long to wait."""
    omeda = OmedaSettings(
        app_id="11111111-1111-1111-1111-111111111111",
        brand="FOO",
        client="foo_client",
        user_id="omailAccount1",
        base_url=url,
        rate_limit=RateLimit(parallel=8),
        timeout=TIMEOUT,
        retry=RetryPolicy(attempts=3, base_delay=0.05, max_delay=0.2, deadline=20.0, settle_delay=0.1),
    )
    return SessionManager(omeda=omeda, log_events=False)


async def main(database: str, queue: str, url: str) -> None:
    """Work until killed."""
    jobs = BulkJobs.at(database, partial(manager_at, url), queue=queue, stalled_after=STALLED_AFTER, sweep_every=1)
    async with jobs as opened:
        await opened.run_worker(fetch_job_polling_interval=0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
