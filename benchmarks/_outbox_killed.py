"""The process that puts into an outbox, and is killed."""

import asyncio
from multiprocessing.connection import Connection
from typing import Any

from omeda_async import ClientOptOut, OmedaSettings, Outbox, Outcome, RateLimit, SessionManager
from omeda_async.events import AttemptEnded, Event
from omeda_async.sandbox import Sandbox

LEASE, TIMEOUT = 0.2, 0.3
PUTS = 200
"""A child puts at the most."""


async def child(tidings: Connection, url: str, path: str, prefix: str, drain: bool) -> None:
    """Open the outbox, put, and tell of each acknowledgement and outcome; or deliver what is left."""

    def heard(event: Event) -> None:
        if isinstance(event, AttemptEnded):
            tidings.send(("answered",))

    def tell(outcome: Outcome) -> None:
        tidings.send(("told", outcome.key, outcome.status.value))

    known = Sandbox()
    settings = OmedaSettings(
        app_id=known.app_id,
        client=known.client,
        base_url=url,
        timeout=TIMEOUT,
        connect_timeout=TIMEOUT,
        rate_limit=RateLimit(parallel=8),
    )
    async with (
        SessionManager(omeda=settings, hooks=[heard]) as manager,
        manager.omeda.opt_outs.outbox(path, lease=LEASE, max_delay=0.02, on_outcome=tell) as outbox,
    ):
        for number in range(0 if drain else PUTS):
            key = f"{prefix}n{number}"
            await outbox.put(ClientOptOut(f"{key}@example.com"), key=key)
            tidings.send(("put", key))
            await asyncio.sleep(0.002)
        while not drain or not await _is_over(outbox):  # noqa: ASYNC110 it is killed, or asks the file
            await asyncio.sleep(0.01)
    tidings.send(("end",))


async def _is_over(outbox: Outbox) -> bool:
    status = await outbox.status()
    return status.complete and not status.untold


def in_child(tidings: Connection, *given: Any) -> None:
    """Work in a process of its own, which may be killed at any moment."""
    asyncio.run(child(tidings, *given))
