"""One connection to a Redis or Valkey server, on which nothing takes longer than it may.

redis-py now and then swallows a cancellation and reads on. Each command is a task of its own therefore: nobody waits
for one that is late, and its connection is cut, which ends it.
"""

import math
import re
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio.connection as redis_connection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from omeda_async._bounded import Task, bounded
from omeda_async.limits._store import StoreAway, StoreRefused

_PASSES = (AskError, ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError)
_PASSING = re.compile(r"(BUSY|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|UNKILLABLE)\b")
"""Errors that go away by themselves, or with the connection."""


class Address:
    """Where the server is: no secret is shown of it.

    Raises:
        ValueError: The address is none.
    """

    def __init__(self, url: str) -> None:
        """Read an address."""
        try:
            self._options: dict[str, Any] = dict(redis_connection.parse_url(url))
            if "protocol" in self._options:
                int(self._options["protocol"])  # which not every redis-py looks at
        except ValueError:
            raise ValueError(
                "it must read redis://host:6379/0, rediss://… for TLS, or unix:///path/to/the.socket"
            ) from None
        self._kind: type[Any] = self._options.pop("connection_class", redis_connection.Connection)
        self._home = dict(self._options)
        database = self._options.get("db") or 0
        if "path" in self._options:
            self.name = f"unix://{self._options['path']}" + (f"?db={database}" if database else "")
        else:
            host, port = self._options.get("host", "localhost"), self._options.get("port", 6379)
            host = f"[{host}]" if ":" in host else host
            self.name = f"{urlsplit(url).scheme}://{host}:{port}/{database}"
        try:
            self.connection(math.inf)
        except (TypeError, ValueError, RedisError):
            raise ValueError("what stands behind its question mark is no option of a connection") from None

    def connection(self, within: float) -> Any:
        """Make a connection, which is not open yet, and may take so many seconds to open."""
        # Nothing is tried again, and all that comes is an answer to what was asked, or a message.
        options = {
            "socket_timeout": None,
            "socket_connect_timeout": within,
            "retry_on_timeout": False,
            "health_check_interval": 0,
            "protocol": 2,
            "decode_responses": False,
        }
        return self._kind(**(self._options | options))

    def follow(self, moved: MovedError) -> None:
        """Go to the node of a cluster that has the key."""
        self._options |= {"host": moved.host or self._home.get("host", "localhost"), "port": moved.port}

    def go_home(self) -> None:
        """Go back to the node that was named at first."""
        self._options = dict(self._home)


class Link:
    """One connection.

    Args:
        connection: redis-py's.
        within: Seconds that one command may take.
    """

    def __init__(self, connection: Any, within: float) -> None:
        """Wrap a connection, which is opened by the first command."""
        self._connection = connection
        self._within = within
        self._opened = False

    async def call(self, *command: str | bytes | float) -> Any:
        """Send a command, and return what is answered.

        Raises:
            StoreAway: Nothing came in good time, or the connection is broken; it is of no use any more.
            RedisError: The server has refused it.
        """
        work = self._call(command)
        return await bounded(work, self._within, StoreAway, end=self._abandon, ended=lambda _: self.cut())

    async def next_message(self) -> Any:
        """Return the next message of those that were subscribed, however long that takes."""
        return await self._connection.read_response()

    def cut(self) -> None:
        """Let go of the connection at once; closing it would wait for what was sent, and may do so for ever."""
        writer = self._connection._writer  # noqa: SLF001 redis-py has no other way
        if writer is not None:
            writer.transport.abort()
            self._connection._close()  # noqa: SLF001 the same

    async def _call(self, command: tuple[str | bytes | float, ...]) -> Any:
        if not self._opened:
            await self._connection.connect()
            self._opened = True
        elif not self._connection.is_connected:
            # redis-py would connect again, maybe to another life of the server, and nobody would notice.
            raise ConnectionError("the connection is closed")
        await self._connection.send_command(*command)
        return await self._connection.read_response()

    def _abandon(self, task: Task) -> None:
        self.cut()  # and once more when it has ended: it may swallow the cancellation, and connect
        task.cancel()


def explained(error: Exception) -> StoreAway | StoreRefused:
    """Return what an error of redis-py means for whoever shares limits."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return StoreRefused("it does not take the user name and password")
    text = str(error)[:200]
    if isinstance(error, NoPermissionError):
        return StoreRefused(f"its user may not do what is needed: {text}")
    passes = isinstance(error, _PASSES) or _PASSING.match(text)
    if isinstance(error, ResponseError) and not passes:
        return StoreRefused(f"it answers {text}")
    if isinstance(error, RedisError | OSError):
        return StoreAway(text or type(error).__name__)
    raise error
