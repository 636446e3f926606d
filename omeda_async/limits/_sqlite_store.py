"""A store in an SQLite file: for the processes of one host."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_hex
from weakref import WeakKeyDictionary

from omeda_async import _clock
from omeda_async._thread import Worker
from omeda_async.limits._sqlite_file import LimitsFile
from omeda_async.limits._store import Ask, Reply, StoreAway
from omeda_async.limits._view import LimitsView

EVERY = 0.03
"""Seconds between two looks at whether a permit waits."""
AT_LEAST_EVERY = 2.0
"""Seconds after which a client comes whatever it has seen: the file may have been removed."""
_moved: WeakKeyDictionary[asyncio.AbstractEventLoop, str] = WeakKeyDictionary()
"""The loops whose clocks are moved: each is a host of its own, and no later one is the same."""


class SqliteStore:
    """The state of one account in an SQLite file.

    Args:
        path: The file; it and its folder are made where there is none.
        account: What the account is called in the file.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
    """

    def __init__(self, path: Path, account: str, uniform: Callable[[], float]) -> None:
        self.name = f"the file {path}"
        self._file = LimitsFile(path, account, uniform)
        self._worker: Worker | None = None
        self._client = ""
        self._closed = False

    async def turn(self, ask: Ask) -> Reply:
        if self._closed:
            raise StoreAway("it is closed")
        if self._worker is None:
            self._worker = Worker("omeda_async limits")
            loop = asyncio.get_running_loop()
            if _clock.is_moved(loop):
                self._file.clock, self._file.host = loop.time, _moved.setdefault(loop, f"moved {token_hex(8)}")
        self._client = ask.client
        return await self._worker.do(partial(self._file.turn, ask))

    async def changed(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + AT_LEAST_EVERY
        while loop.time() < until:
            await _clock.sleep(EVERY)
            if self._worker is None or await self._worker.do(partial(self._file.is_called, self._client)):
                return

    def view(self) -> LimitsView | None:
        return self._file.view()

    async def aclose(self) -> None:
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            closed = worker.do(self._file.close)
            worker.end(wait=False)  # it may still be waiting for a file that somebody has locked
            await closed
