"""Who watches a sandbox's page, and what each is sent: how things stand, a few times a second.

Nothing is kept for a reader but how far it has got. One that reads slowly is sent less often, and told how many
requests it has missed; while nobody watches, no request costs more than it did.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import attrs

from omeda_async.sandbox._audit import Audit
from omeda_async.sandbox._exchange import Exchange
from omeda_async.sandbox._glance import glance, requests
from omeda_async.sandbox._state import State
from omeda_async.sandbox._sums import Sums

MOST_READERS = 8
_INTERVAL = 0.2
"""Seconds between two updates."""
_PATIENCE = 10.0
"""Seconds that a reader may take to make room for one update."""


class Wire(Protocol):
    """The connection of a reader."""

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""

    def abort(self) -> None:
        """Close it at once, whatever has not left yet."""


@attrs.define(eq=False)
class Reader:
    """How far one of those who watch has got."""

    wire: Wire
    audit: Audit | None = None
    """Where it counts its requests; after a reset there is another."""
    seen: int = 0
    shown: dict[str, Any] | None = None

    def news(self, state: State, standing: dict[str, Any], now: float) -> dict[str, Any] | None:
        """Return what has changed since it was asked last, or None."""
        total = standing["requests"]["total"]
        afresh = state.audit is not self.audit
        if not afresh and standing == self.shown:
            return None
        new = total if afresh else total - self.seen
        latest = requests(state, new)
        self.audit, self.seen, self.shown = state.audit, total, standing
        return {**standing, "now": now, "afresh": afresh, "latest": latest, "left_out": new - len(latest)}


@attrs.define(eq=False)
class Watch:
    """The readers of a sandbox's events."""

    exchange: Exchange
    _sums: Sums = attrs.field(init=False)
    _readers: set[Reader] = attrs.field(factory=set, init=False)
    _closing: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._sums = Sums(self.exchange.state)

    def __len__(self) -> int:
        return len(self._readers)

    @contextmanager
    def place(self, wire: Wire) -> Iterator[Reader | None]:
        """Return a place for somebody who wants to watch, or None where all are taken."""
        if len(self._readers) >= MOST_READERS:
            yield None
            return
        reader = Reader(wire)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def open(self) -> None:
        """Let readers stay, from now on; an event belongs to the loop that waits for it."""
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End what is sent to every reader, at once."""
        self._closing.set()
        for reader in self._readers:
            reader.wire.abort()

    async def tell(self, reader: Reader, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Send a reader what changes, until it has gone, the sandbox closes, or it takes nothing for too long.

        Raises:
            ConnectionError: From ``write``: it has gone.
        """
        try:
            while not (reader.wire.is_closing() or self._closing.is_set()):
                await self._tell_once(reader, write)
                await self._pause()
        except TimeoutError:
            reader.wire.abort()

    async def _tell_once(self, reader: Reader, write: Callable[[bytes], Awaitable[None]]) -> None:
        await self._sums.refresh()
        state, now = self.exchange.state, asyncio.get_running_loop().time()
        standing = glance(state, self.exchange.in_flight, now) | {"records": self._sums.shown}
        news = reader.news(state, standing, now)
        if news is not None:
            async with asyncio.timeout(_PATIENCE):
                await write(event("update", news))

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_INTERVAL):
                await self._closing.wait()
        except TimeoutError:
            return


def event(name: str, data: object) -> bytes:
    """Return an event as its stream shows it: all of its data on one line."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
