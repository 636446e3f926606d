"""A worker, from its start to its orderly end."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from importlib.metadata import version
from typing import Any, Final

import attrs
from procrastinate import App
from procrastinate.exceptions import ConnectorException

from omeda_async import _clock
from omeda_async._postgres_blocking import PARTED, PostgresFailed, connect, parts_sessions, words
from omeda_async.errors import ConfigurationError
from omeda_async.events import logger
from omeda_async.manager import SessionManager
from omeda_async.worker._queue import Ended

GRACE: Final = 20.0
"""Seconds that attempts in flight have to end."""
LAST_WORDS: Final = 5.0
"""Seconds that jobs have beyond that to go back to the queue."""
ANEW: Final = 5.0
"""Seconds until a worker begins anew whose database went away."""
_AS_IT_STANDS: Final = "42"
"""The class of SQLSTATEs for what is not there, or not for this role."""

RETRY: Final = 1.0
"""Seconds between two tries of a database that is away at first."""


@asynccontextmanager
async def prepare(app: App, database: str, patience: float) -> AsyncIterator[None]:
    """Open an app for as long as the block lasts, and make its tables where they are missing.

    Args:
        app: The app.
        database: Where its queue is.
        patience: Seconds that it is waited for where it is away.

    Raises:
        ConfigurationError: The database cannot be used.
    """
    await _reach(database, patience)  # a pool would try again and again, and say nothing
    await app.open_async()
    try:
        with usable_queue():
            await _make_tables(app)
            yield
    finally:
        await app.close_async()


async def _reach(database: str, patience: float) -> None:
    give_up, is_told = _clock.now() + patience, False
    while True:
        try:
            return await asyncio.to_thread(_look, database)
        except PostgresFailed as error:
            if not error.is_away or _clock.now() >= give_up:
                raise ConfigurationError(f"the database of the queue cannot be used: {error}") from None
            if not is_told:
                text = "the database of the queue is away, and waited for, for %.0f s at the most: %s"
                logger.warning(text, patience, error)
                is_told = True
        await _clock.sleep(RETRY)


def _look(database: str) -> None:
    with closing(connect(database)) as connection:
        if parts_sessions(connection, database):  # the journals, which are there, too, could not be opened
            raise PostgresFailed(PARTED)


async def _make_tables(app: App) -> None:
    try:
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
    except ConnectorException as error:
        if not await app.check_connection_async():  # another one has not made them at the same time
            raise ConfigurationError(f"the tables of the queue cannot be made: {_why(error)}") from None


def check_tables(error: ConnectorException) -> None:
    """Check that it was not the tables of the queue by which something failed: no waiting would change these.

    Raises:
        ConfigurationError: They are not as this version of procrastinate needs them, or the role may not use them.
    """
    code = getattr(error.__cause__, "sqlstate", None) or ""
    if code.startswith(_AS_IT_STANDS):
        raise ConfigurationError(
            f"the tables of the queue cannot be used by procrastinate {version('procrastinate')}: {_why(error)}: carry "
            "out its migrations that are missing, or give the role its rights"
        ) from error


async def check_made(app: App) -> None:
    """Check that the tables of the queue are there.

    Raises:
        ConfigurationError: They are not, or may not be used.
    """
    with usable_queue():
        is_made = await app.check_connection_async()
    if not is_made:
        raise ConfigurationError(
            "procrastinate's tables are missing in the database of the app: "
            "'procrastinate --app=… schema --apply' makes them"
        )


@contextmanager
def usable_queue() -> Iterator[None]:
    """Turn what no waiting would change at the queue's tables into a ConfigurationError."""
    try:
        yield
    except ConnectorException as error:
        check_tables(error)
        raise


def _why(error: Exception) -> str:
    return words(error.__cause__ if isinstance(error.__cause__, Exception) else error)


@attrs.frozen(kw_only=True)
class Running:
    """A worker of procrastinate's, begun anew where its database was away."""

    app: App
    manager: SessionManager
    grace: float
    options: Mapping[str, Any]
    ended: Ended
    """Jobs that have ended here; they are looked after as often as workers that are gone."""
    stalled_after: float
    """Seconds after which those count as such."""

    async def run(self) -> None:
        """Run it until it is cancelled, or has nothing left to do and is not to wait."""
        while True:
            worker = asyncio.create_task(self._worker(), name="omeda_async worker")
            try:
                while not (await asyncio.wait({worker}, timeout=self.stalled_after))[0]:
                    with suppress(ConnectorException):  # the next look is soon
                        await self.ended.give_back(self.stalled_after)
            finally:
                if not worker.done():
                    await self._end(worker)
            if self._is_over(worker):
                return
            await _clock.sleep(ANEW)

    async def _worker(self) -> None:
        # Without waiting, what is under way when no job is left may take its time.
        grace = self.grace if self.options["wait"] else None
        given: Any = {"shutdown_graceful_timeout": grace} | dict(self.options)
        await check_made(self.app)
        await self.app.run_worker_async(install_signal_handlers=False, **given)

    async def _end(self, worker: asyncio.Task[None]) -> None:
        """Let it begin nothing, let attempts in flight end, and jobs go back to the queue."""
        worker.cancel()
        await self.manager.aclose(timeout=self.grace)
        await asyncio.wait({worker}, timeout=self.grace + LAST_WORDS)
        if not worker.done():
            logger.warning("the worker was left before its jobs had gone back to the queue: they are swept from there")

    def _is_over(self, worker: asyncio.Task[None]) -> bool:
        error = worker.exception()
        if error is not None and not isinstance(error, ConnectorException):
            raise error
        if error is not None:
            check_tables(error)
        elif not self.options["wait"]:
            return True
        # Its database was away, or others have taken it for gone while it stood still.
        logger.warning("the worker lost its queue, and begins anew: %s", "it ended" if error is None else _why(error))
        return False
