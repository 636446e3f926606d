"""The heartbeat of a chunk: its lease is renewed by a connection of its own, whatever else is under way."""

import asyncio
from functools import partial
from typing import Final

from omeda_async._thread import Worker
from omeda_async.bulk.journal.chunks import Terms
from omeda_async.bulk.journal.postgres_chunk import ChunkBackend
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError
from omeda_async.events import logger

_BEATS: Final = 3
"""In one lease."""


class Beat:
    """Renews the lease of a chunk three times in each, from now on until it is ended.

    It is made of timers, not of a task: there is no wait in it that a cancellation would have to end.

    Args:
        url: Where the journal is.
        backend: What holds the chunk.
        terms: How long for.
    """

    def __init__(self, url: JournalUrl, backend: ChunkBackend, terms: Terms) -> None:
        self._loop = asyncio.get_running_loop()
        self._backend = backend
        self._every = terms.lease / _BEATS
        self._worker = Worker("omeda_async lease")
        self._line = Line(url, terms.lease, within=self._every)
        self._next = self._loop.call_later(self._every, self._renew)
        self._is_over = False

    def end(self) -> None:
        """Renew it no more."""
        self._is_over = True
        self._next.cancel()
        _ = self._worker.do(self._line.close)
        self._worker.end(wait=False)

    def _renew(self) -> None:
        began = self._loop.time()
        self._worker.do(partial(self._backend.renew, self._line)).add_done_callback(partial(self._renewed, began))

    def _renewed(self, began: float, renewing: "asyncio.Future[None]") -> None:
        error = None if renewing.cancelled() else renewing.exception()
        if isinstance(error, JournalError):
            logger.warning("the lease of a chunk could not be renewed: %s", error)
        if not (self._is_over or self._backend.is_lost):
            self._next = self._loop.call_at(began + self._every, self._renew)
