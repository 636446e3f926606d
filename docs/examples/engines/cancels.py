"""What a job does on any engine: it performs one chunk of a run that all workers share, under one budget.

In the environment: ``JOURNAL`` (``postgresql://…?run=NAME``), ``BROKER`` (the engine's server),
``OMEDA_ASYNC_SHARE_LIMITS`` (where the budget is shared), and ``OCAMBA_TOKEN``. ``docs/engines.md`` tells the rest.
"""

import asyncio
import logging
import os
from pathlib import Path

from omeda_async import (
    ChunkStatus,
    ClosedError,
    JournalError,
    LimitWaitExceeded,
    OcambaSettings,
    RateLimit,
    RateLimited,
    ServerError,
    SessionManager,
    SharedRun,
    TransportError,
    UnreadableAnswer,
)

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379/0")
CHUNK = int(os.environ.get("CHUNK", "500"))
"""Campaigns in a chunk: at 2.5 a second, 500 are 200 seconds."""
CHUNK_AT_MOST = int(os.environ.get("CHUNK_AT_MOST", "1800"))
"""Seconds that a chunk may take, also where other workers have most of the budget."""
LEASE = float(os.environ.get("LEASE", "30"))
TIMEOUT = float(os.environ.get("TIMEOUT", "60"))
"""Seconds that an attempt may take. A chunk of a worker that died is another's after the lease and this."""
AWAY = 60.0
PASSES = (TransportError, ServerError, RateLimited, UnreadableAnswer, LimitWaitExceeded, JournalError)


def manager() -> SessionManager:
    """Make what a worker sends by."""
    settings = OcambaSettings(
        token=os.environ["OCAMBA_TOKEN"],
        base_url=os.environ.get("OCAMBA_BASE_URL", "https://api.ocamba.com"),
        rate_limit=RateLimit.parse(os.environ.get("OCAMBA_RATE_LIMIT", "10/1,150/60,parallel=10")),
        timeout=TIMEOUT,
        connect_timeout=min(TIMEOUT, 10.0),
    )
    return SessionManager(ocamba=settings, share_limits=os.environ.get("OMEDA_ASYNC_SHARE_LIMITS"))


def shared(manager: SessionManager) -> SharedRun:
    """Make this process's part in the run: the same in all."""
    return manager.ocamba.campaigns.shared_run(os.environ["JOURNAL"], reason="spring is over", lease=LEASE)


async def fill(file: str) -> range:
    """Read the ids into the journal, once however often it is called; return the numbers of the chunks."""
    ids = await asyncio.to_thread(Path(file).read_text, "utf-8")
    async with manager() as found:
        return (await shared(found).fill(ids.split(), chunk=CHUNK)).chunks


async def perform(manager: SessionManager, chunk: int) -> float | None:
    """Perform a chunk; return the seconds after which its job is to come again, or None if that is not needed.

    Raises:
        OmedaAsyncError: Every record would meet this: credentials that are refused, a setting that is wrong.
    """
    try:
        report = await shared(manager).perform(chunk)
        if report.status is ChunkStatus.LEFT:
            raise report.stopped_by or ClosedError("the chunk was left")
    except ClosedError:  # this worker stops: it is another's at once
        return 0.0
    except PASSES as error:
        logging.getLogger(__name__).warning("chunk %d: %s", chunk, error)
        return AWAY
    logging.getLogger(__name__).info("chunk %d: %s", chunk, report.status.value)
    return report.retry_in if report.status is ChunkStatus.TAKEN else None
