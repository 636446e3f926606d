"""What is under way on one session manager: single calls, bulk runs and batchers."""

import asyncio
import contextlib
from typing import Protocol
from weakref import WeakSet

from omeda_async._stop import Stop
from omeda_async.errors import ClosedError


class Run(Protocol):
    """A bulk run, as far as closing a session manager is concerned."""

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Stop it, with so many seconds for the attempts in flight."""


class Stoppable(Protocol):
    """A batcher, as far as closing a session manager is concerned."""

    def stop(self, cause: str) -> None:
        """Send nothing new; requests in flight go on."""


class Activity:
    """Everything that closing a session manager has to stop or to wait for."""

    def __init__(self) -> None:
        self.closing = Stop()
        """Set as soon as the session manager is being closed."""
        self._calls = 0
        self._idle: asyncio.Event | None = None
        self._runs: WeakSet[Run] = WeakSet()
        self._batchers: WeakSet[Stoppable] = WeakSet()

    def __enter__(self) -> None:
        self._calls += 1

    def __exit__(self, *_: object) -> None:
        self._calls -= 1
        if self._idle is not None and not self._calls:
            self._idle.set()

    def add_run(self, run: Run) -> None:
        """Remember a run that begins.

        Raises:
            ClosedError: The session manager is closed.
        """
        if self.closing.is_set:
            raise ClosedError("the session manager is closed; make a new one")
        self._runs.add(run)

    def add_batcher(self, batcher: Stoppable) -> None:
        """Remember a batcher."""
        self._batchers.add(batcher)

    def stop(self) -> None:
        """Begin nothing new: batchers send no more. Requests in flight go on."""
        self.closing.set(ClosedError("the session manager was closed"))
        for batcher in list(self._batchers):
            batcher.stop("the session manager was closed")

    async def aclose(self, timeout: float) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Stop every run and wait for the single calls, with so many seconds for the attempts in flight."""
        async with asyncio.TaskGroup() as group:
            for run in list(self._runs):
                group.create_task(run.aclose(timeout))
            group.create_task(self._wait(timeout))

    async def _wait(self, timeout: float) -> None:  # noqa: ASYNC109 the same
        if self._calls:
            self._idle = self._idle or asyncio.Event()
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._idle.wait()
