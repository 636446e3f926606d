"""A store as an event loop uses it: in threads of its own, and what many put at the same time in one group."""

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import TypeVar, TypeVarTuple

from omeda_async._thread import Worker
from omeda_async.bulk._outlast import outlast
from omeda_async.bulk.outbox.interface import NewRecord, Opened, Put, Store
from omeda_async.bulk.outbox.status import OutboxStatus
from omeda_async.errors import ClosedError, OmedaAsyncError, OutboxError

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Keeper:
    """Calls a store in a thread, one thing after the other; or in one for deliveries, and others for the rest.

    A lease has to be renewed while somebody puts what has to wait, or counts what there is.

    Args:
        store: Where the records are kept.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._worker = self._asks = self._surveys = Worker("omeda_async outbox")
        if store.two_threads:
            self._asks, self._surveys = Worker("omeda_async outbox, asked"), Worker("omeda_async outbox, status")
        self._asked: list[tuple[NewRecord, asyncio.Future[Put]]] = []
        self._writing: asyncio.Future[Sequence[Put | OutboxError]] | None = None
        self._is_open = False

    async def open(self) -> Opened:
        """Open the store. Cancelling it leaves nothing open.

        Raises:
            OutboxError: It cannot be used.
        """
        try:
            opened = await self.do(self.store.open)
        except BaseException:
            await outlast(self._shut())
            raise
        self._is_open = True
        return opened

    def do(self, work: Callable[[*Given], T], *given: *Given) -> asyncio.Future[T]:
        """Call something in the thread for deliveries. Cancelling the future does not break it off."""
        return self._worker.do(lambda: work(*given))

    def ask(self, work: Callable[[*Given], T], *given: *Given) -> asyncio.Future[T]:
        """Call something that is none of the deliveries'. Cancelling the future does not break it off."""
        return self._asks.do(lambda: work(*given))

    def survey(self) -> asyncio.Future[OutboxStatus]:
        """Look at all there is, which may take a while. Cancelling the future does not break it off."""
        return self._surveys.do(self.store.status)

    def put(self, record: NewRecord) -> asyncio.Future[Put]:
        """Have a record written, with what others put meanwhile; the future is done when it is on disk.

        Cancelling the future takes the record out, unless it is being written.
        """
        if not self._is_open:
            raise ClosedError("the outbox is closed: use it with 'async with'")
        future: asyncio.Future[Put] = asyncio.get_running_loop().create_future()
        self._asked.append((record, future))
        if self._writing is None:
            self._write()
        return future

    async def close(self) -> None:
        """Close the store, once what was asked for is written. Cancelling it is put off until then."""
        if self._is_open:
            self._is_open = False
            await outlast(self._close())

    async def _close(self) -> None:
        while self._writing is not None:
            await asyncio.wait({self._writing})
            await asyncio.sleep(0)  # whoever asked first is told, and what was asked since is begun
        await self._shut()

    async def _shut(self) -> None:
        await asyncio.wait({worker.do(_nothing) for worker in (self._asks, self._surveys)})
        await self.do(self.store.close)
        for worker in {self._worker, self._asks, self._surveys}:
            worker.end()

    def _write(self) -> None:
        """Begin to write what was asked for."""
        group = [one for one in self._asked if not one[1].done()]
        self._asked, self._writing = [], None
        if group:
            self._writing = self.ask(self.store.put, [record for record, _ in group])
            self._writing.add_done_callback(partial(self._wrote, [future for _, future in group]))

    def _wrote(
        self, waiting: Sequence[asyncio.Future[Put]], writing: asyncio.Future[Sequence[Put | OutboxError]]
    ) -> None:
        """Tell all who wait for a write, and begin the next."""
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        puts = [error] * len(waiting) if error is not None else writing.result()
        for future, put in zip(waiting, puts, strict=True):
            if future.done():
                continue
            if isinstance(put, BaseException):  # each has its own: one that is raised in several places grows with each
                future.set_exception(copy(put) if isinstance(put, OmedaAsyncError) else put)
            else:
                future.set_result(put)
        self._write()


def _nothing() -> None:
    """Do nothing, once what was asked for before is done."""
