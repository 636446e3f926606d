"""Waiting for what must not be broken off."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds that it may go on after a cancellation: more than a lock on a journal is waited for."""


async def outlast(work: Coroutine[Any, Any, T]) -> T:
    """Do something that must not be broken off; a cancellation takes effect when it has ended, or after 10 seconds."""
    loop, waiting = asyncio.get_running_loop(), asyncio.current_task()
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    # Who was cancelled before, and cleans up, may not be cancelled again.
    until = loop.time() + PATIENCE if waiting is not None and waiting.cancelling() else None
    while not task.done() and (until is None or loop.time() < until):
        try:
            await asyncio.wait({task}, timeout=until and until - loop.time())
        except asyncio.CancelledError as error:
            if cancelled is None:
                cancelled, until = error, loop.time() + PATIENCE
    if task.done() and cancelled is None:
        return task.result()
    if not (task.cancel() or task.cancelled()):
        task.exception()
    raise cancelled or asyncio.CancelledError
