"""A Redis in memory, on the loop's clock, and connections to it: everything that can go wrong with one."""

import asyncio
import json
from typing import Any

import attrs

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._stored import dump_state
from tests.limits.fake_store import middle

LIMIT = RateLimit(Window(5, 20.0), interactive_reserve=0)
FACTS = {"role": "master", "redis_version": "7.0.0", "run_id": "life 1", "maxmemory_policy": "noeviction"}
Word = str | bytes | float


@attrs.define(eq=False)
class FakeConnection:
    """One connection, as redis-py has it."""

    server: "FakeRedis"
    host: str
    is_connected: bool = False
    listens: bool = False
    cuts: int = 0
    asked: list[tuple[Word, ...]] = attrs.field(factory=list)
    _writer: Any = None

    @property
    def transport(self) -> "FakeConnection":
        """What is written to."""
        return self

    def abort(self) -> None:
        """Cut it."""
        self.cuts += 1

    def _close(self) -> None:
        self.is_connected, self._writer = False, None

    async def connect(self) -> None:
        """Open it."""
        self.is_connected, self._writer = True, self
        self.server.connected.append(self)

    async def send_command(self, *command: Word) -> None:
        """Send a command."""
        self.asked.append(command)
        self.server.asked.append(command)

    async def read_response(self) -> Any:
        """Read what is answered; after a subscription, what is called out."""
        if self.listens:
            return await self.server.called_out(self)
        found = await self.server.answer(self, self.asked[-1])
        self.listens = self.asked[-1][0] == "SUBSCRIBE"
        return found


@attrs.define(eq=False)
class FakeRedis:
    """The server."""

    facts: dict[str, str] = attrs.field(factory=lambda: dict(FACTS))
    connected: list[FakeConnection] = attrs.field(factory=list)
    asked: list[tuple[Word, ...]] = attrs.field(factory=list)
    instead: dict[str, list[Any]] = attrs.field(factory=dict)
    """What is done with the next commands of a name instead: an error is raised, a function awaited."""
    messages: asyncio.Queue[Any] = attrs.field(factory=asyncio.Queue)

    def connection(self, address: Any, within: float) -> FakeConnection:
        """Stand in for ``Address.connection``."""
        del within
        return FakeConnection(self, address._options.get("host", "localhost"))

    def count(self, command: str) -> int:
        """How often a command was sent."""
        return sum(one[0] == command for one in self.asked)

    async def called_out(self, connection: FakeConnection) -> Any:
        """Wait for what is called out."""
        del connection
        message = await self.messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def answer(self, connection: FakeConnection, command: tuple[Word, ...]) -> Any:
        """Answer a command."""
        name = str(command[0])
        if (instead := self.instead.get(name)) and (one := instead.pop(0)) is not None:
            if isinstance(one, BaseException):
                raise one
            found = one(connection)
            return await found if asyncio.iscoroutine(found) else found
        if name == "INFO":
            return "\r\n".join(f"{key}:{value}" for key, value in self.facts.items()).encode()
        if name == "CONFIG":
            return [b"maxmemory-policy", b"noeviction"]
        if name in {"EVALSHA", "EVAL"}:
            reply = {"rate_limit": {"windows": [{"calls": 5, "seconds": 20.0}]}, "clock": 100.0}
            state = AccountState.begin(LIMIT, "life 1", middle)
            state.latest = state.clock = 100.0
            state.limits._caution.paused_until = 120.0
            return json.dumps(reply).encode(), dump_state(state).encode()
        return b"OK"
