"""Stores that a proof may stop, and rob of their data: a file, Redis and PostgreSQL, each of its own."""

import asyncio
import contextlib
import json
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import attrs

from benchmarks.sharing.herd import ACCOUNT
from omeda_async import OcambaSettings, RateLimit
from omeda_async._account import account_key
from omeda_async.limits._store import Ask
from omeda_async.limits._where import open_store
from omeda_async.settings import ProviderSettings
from tests.limits.postgres_service import OwnPostgres, own_postgres
from tests.limits.redis_service import OwnServer, own_server


class Place(Protocol):
    """Where a proof shares limits."""

    @property
    def name(self) -> str:
        """Return what it is called."""
        ...

    @property
    def where(self) -> str:
        """Return what ``share_limits`` takes."""
        ...

    def stop(self, seconds: float) -> None:
        """Let it stand still for a while."""
        ...

    def lose(self) -> None:
        """Take away what it has kept."""
        ...

    def edit(self, change: Callable[[str], str]) -> None:
        """Change the state that it keeps."""
        ...


@attrs.frozen
class FilePlace:
    """An SQLite file."""

    path: Path
    name: str = "SQLite"

    @property
    def where(self) -> str:
        """Return its path."""
        return str(self.path)

    def stop(self, seconds: float) -> None:
        """Lock it: nobody else stops a file."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    def lose(self) -> None:
        """Remove it, with what is beside it."""
        for one in self.path.parent.glob(f"{self.path.name}*"):
            one.unlink(missing_ok=True)

    def edit(self, change: Callable[[str], str]) -> None:
        """Change the only state."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
            ((text,),) = connection.execute("SELECT state FROM accounts").fetchall()
            connection.execute("UPDATE accounts SET state = ?", (change(text),))


@attrs.frozen
class RedisPlace:
    """A Redis server of its own."""

    server: OwnServer
    name: str = "Redis"

    @property
    def where(self) -> str:
        """Return its address."""
        return self.server.url

    def stop(self, seconds: float) -> None:
        """Stop the process, and let it go on."""
        self.server.suspend()
        time.sleep(seconds)
        self.server.go_on()

    def lose(self) -> None:
        """Empty it."""
        asyncio.run(self.server.says("FLUSHALL"))

    def edit(self, change: Callable[[str], str]) -> None:
        """Change every state."""
        for key in [line for line in self._said("KEYS", "*") if line.startswith("omeda-async")]:
            text = next(line for line in self._said("GET", key) if line.startswith("{"))
            assert self._said("SET", key, change(text))[0] == "+OK"

    def _said(self, *command: str) -> list[str]:
        return asyncio.run(self.server.says(*command)).decode().split("\r\n")


@attrs.frozen
class PostgresPlace:
    """A PostgreSQL server of its own."""

    server: OwnPostgres
    name: str = "PostgreSQL"

    @property
    def where(self) -> str:
        """Return its address."""
        return self.server.url

    def stop(self, seconds: float) -> None:
        """Stop all of its processes, and let them go on."""
        self.server.signal_all(signal.SIGSTOP)
        time.sleep(seconds)
        self.server.signal_all(signal.SIGCONT)

    def lose(self) -> None:
        """Empty its table."""
        self.server.says("TRUNCATE omeda_async_limits")

    def edit(self, change: Callable[[str], str]) -> None:
        """Change the only state."""
        ((text,),) = self.server.says("SELECT state FROM omeda_async_limits")
        state = change(str(text)).replace("'", "''")
        self.server.says(f"UPDATE omeda_async_limits SET step = 'changed', state = '{state}'")  # noqa: S608 our own


@contextlib.contextmanager
def place(kind: str, folder: Path, *, syncs: bool = True) -> Iterator[Place]:
    """Make a store of a kind in a folder, and remove it.

    Args:
        kind: ``file``, ``redis`` or ``postgres``.
        folder: Where.
        syncs: Whether PostgreSQL waits for the disk, which is no faster where the windows are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if kind == "file":
            yield FilePlace(folder / f"{secrets.token_hex(4)}.sqlite3")
        elif kind == "redis":
            yield RedisPlace(stack.enter_context(contextlib.contextmanager(own_server)(folder)))
        else:
            yield PostgresPlace(stack.enter_context(own_postgres(syncs=syncs)))


def make_known(store: Place, limit: str, url: str) -> None:
    """Begin the state anew, and let it be one that has been in use for long: nothing is held, nothing used."""
    with contextlib.suppress(Exception):  # there is none yet
        store.lose()
    limits = RateLimit.parse(limit)
    settings = OcambaSettings(token="test", base_url=url, account=ACCOUNT, rate_limit=limits)  # noqa: S106 no secret
    know(store, ocamba=settings)


def know(store: Place, *, credential: str | None = None, **accounts: ProviderSettings) -> None:
    """Let accounts be in use for long, each by the name of its provider: nothing is held, nothing used.

    Args:
        store: Where they are shared.
        credential: What tells an account that its settings do not name.
        accounts: The settings.
    """
    for provider, settings in accounts.items():
        asyncio.run(_turn(store.where, account_key(provider, settings, credential), settings.rate_limit))
    store.edit(_without_hold)


async def _turn(where: str, account: tuple[str, str, int | None, bytes], limit: RateLimit) -> None:
    store = open_store(where, account, lambda: 0.5)
    await store.turn(Ask(client="first", number=1, rate_limit=limit, lease=0.1, leaves=True))
    await store.aclose()


def _without_hold(text: str) -> str:
    state: dict[str, Any] = json.loads(text)
    return json.dumps(state | {"hold_until": 0.0})
