"""One session manager for all that a process does at the same time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from omeda_async.errors import ConfigurationError
from omeda_async.manager import SessionManager


@attrs.define(eq=False)
class Managers:
    """Makes a manager for the first who needs one, and closes it after the last."""

    _make: Callable[[], SessionManager]
    _manager: SessionManager | None = attrs.field(default=None, init=False)
    _users: int = attrs.field(default=0, init=False)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[SessionManager]:
        """Give the manager for as long as the block lasts.

        Raises:
            ConfigurationError: What is to make one makes something else, or raises it.
        """
        if self._manager is None:
            made = self._make()
            if not isinstance(made, SessionManager):
                raise ConfigurationError(f"manager_factory must make a SessionManager, not {type(made).__name__}")
            self._manager = made
        manager = self._manager
        self._users += 1
        try:
            yield manager
        finally:
            self._users -= 1
            if not self._users:
                self._manager = None
                await manager.aclose()
