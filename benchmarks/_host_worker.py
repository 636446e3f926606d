"""Workers on a host, each of which may be killed at any moment.

``python -m benchmarks._host_worker`` forks one for every line that it reads, and tells its number: modules are loaded
once, so that who is killed every few seconds comes to work. They are killed when that input ends.
"""

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
import traceback
from functools import partial
from typing import Any

import attrs

from omeda_async import ConfigurationError, OcambaSettings, OmedaSettings, RateLimit, RetryPolicy, SessionManager
from omeda_async.sandbox import Sandbox
from omeda_async.settings import OMEDA_COURTESY
from omeda_async.worker import BulkJobs

TIMEOUT, CONNECT = 4.0, 2.0
LEASE = 4.0
STALLED_AFTER = 5.0
OFF = RateLimit.courtesy(per_second=100_000, parallel=1000)
"""As good as no limit; asked for at the store all the same."""
WORKER = "X-Worker"
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG, of prctl(2)."""


@attrs.frozen(kw_only=True)
class Given:
    """What a worker is given."""

    name: str
    database: str
    share_limits: str | None
    url: str
    """The sandbox's."""
    account: str
    courtesy: bool = True
    """Whether Omeda's limit is ours for it."""

    def settings(self) -> tuple[OmedaSettings, OcambaSettings]:
        """Return settings with the real limits, and time-outs that are short enough to see what follows."""
        known = Sandbox()
        common: dict[str, Any] = {
            "base_url": self.url,
            "account": self.account,
            "timeout": TIMEOUT,
            "connect_timeout": CONNECT,
            "retry": RetryPolicy(base_delay=0.2, settle_delay=0.5),
            "headers": {WORKER: self.name},
        }
        limit = OMEDA_COURTESY if self.courtesy else OFF
        return (
            OmedaSettings(app_id=known.app_id, client=known.client, rate_limit=limit, **common),
            OcambaSettings(token=known.ocamba_token, **common),
        )

    def manager(self) -> SessionManager:
        """Make a manager of them."""
        omeda, ocamba = self.settings()
        return SessionManager(omeda=omeda, ocamba=ocamba, share_limits=self.share_limits, log_events=False)


async def work(given: Given) -> None:
    """Work until killed."""
    jobs = BulkJobs.at(given.database, partial(Given.manager, given), stalled_after=STALLED_AFTER, sweep_every=1)
    async with jobs as opened:
        await opened.run_worker(concurrency=2, fetch_job_polling_interval=1.0)


def _become(given: Given) -> None:
    """Be a worker, for as long as the process that has forked it lives."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    try:
        asyncio.run(work(given))
    except ConfigurationError as error:  # as where there is no database
        print(error, file=sys.stderr)
    except BaseException:  # noqa: BLE001 nothing of the parent's may run here
        traceback.print_exc()
    finally:
        os._exit(1)


def main() -> None:
    """Fork workers until the input ends."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(process)d %(message)s")
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # what its jobs meet with is told as ours
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has died is gone
    for line in sys.stdin:
        if not (worker := os.fork()):
            _become(Given(**json.loads(line)))
        print(worker, flush=True)


if __name__ == "__main__":
    main()
