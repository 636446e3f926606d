"""Waiting no longer than one may, for what a cancellation does not end at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Task: TypeAlias = "asyncio.Task[Any]"
_late: set[Task] = set()
"""What nobody waits for any more, until it has ended."""


async def bounded(
    work: Coroutine[Any, Any, T],
    within: float,
    late: type[Exception],
    *,
    end: Callable[[Task], object],
    ended: Callable[[Task], object],
) -> T:
    """Wait for an answer so many seconds; what is not over by then is told to end, and nobody waits for that.

    Args:
        work: What answers.
        within: The seconds.
        late: What is raised when they are over.
        end: Called to have it end, then and when the wait is cancelled.
        ended: Called with what has ended without anybody waiting for it.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within)
    except asyncio.CancelledError:
        _abandon(task, end, ended)
        raise
    if not task.done():
        _abandon(task, end, ended)
        raise late(f"no answer within {within:g} s")
    return task.result()


def _abandon(task: Task, end: Callable[[Task], object], ended: Callable[[Task], object]) -> None:
    def let_go(_: Task) -> None:
        _late.discard(task)
        if not task.cancelled():
            task.exception()  # seen
        ended(task)

    if task.done():
        let_go(task)
        return
    _late.add(task)
    task.add_done_callback(let_go)
    end(task)


async def late_ones(within: float) -> None:
    """Wait for what nobody waits for any more on this loop, so that the loop's end finds nothing."""
    loop = asyncio.get_running_loop()
    mine = {task for task in _late if task.get_loop() is loop}
    if mine:
        await asyncio.wait(mine, timeout=within)
