"""Reading the input: lazily, whatever it is, and no longer than a moment where it trickles."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from omeda_async.bulk._item import Records

END: Final = object()
"""Stands for the end of the input, where a record is expected."""


async def iterate(records: Records) -> AsyncGenerator[Any, None]:
    """Read any kind of input, lazily; a generator that is not read to its end is closed."""
    if isinstance(records, AsyncIterable):
        async with AsyncExitStack() as stack:
            if isinstance(records, AsyncGenerator):
                stack.push_async_callback(records.aclose)  # what is left of it would keep its file or cursor open
            async for record in records:
                yield record
    else:
        for record in records:
            yield record


class Linger:
    """One timer that calls back until it is told that the batch is gone.

    Args:
        seconds: How long to wait, each time.
        flush: Called then; it tells whether the batch is gone.
    """

    def __init__(self, seconds: float, flush: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._flush = flush
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to wait, unless that is under way."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if not self._flush():
            self.start()

    def cancel(self) -> None:
        """Call back no more, until it is started again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
