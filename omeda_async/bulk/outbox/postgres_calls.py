"""Hearing what other processes do to an outbox in PostgreSQL, by LISTEN."""

import asyncio
from collections.abc import Callable
from typing import Final

from omeda_async import _clock
from omeda_async._bounded import late_ones
from omeda_async._postgres import Address, Link, PostgresError
from omeda_async.bulk.outbox.interface import FREE
from omeda_async.bulk.outbox.postgres_sql import channel_of
from omeda_async.bulk.outbox.url import OutboxUrl
from omeda_async.events import logger

POLL, POLL_DEAF = 5.0, 1.0
"""Seconds after which one looks without having been called: while one can be, and while not."""
AGAIN: Final = 1.0
"""Seconds after which a connection that was lost is made again, doubled each time that fails."""
LONGEST: Final = 30.0
CHECK: Final = 20.0
"""Seconds after which a silent connection is asked whether it is there."""
WITHIN: Final = 5.0


class PostgresCalls:
    """Listens to one outbox, by a connection of its own that is made again when it is lost.

    A pooler that parts connections among clients passes nothing on: then one has to look, every ``POLL`` seconds.

    Args:
        url: Where the outbox is.
    """

    def __init__(self, url: OutboxUrl) -> None:
        self._address = Address(url.server)
        self._listening: asyncio.Task[None] | None = None
        self._hears = False

    @property
    def poll(self) -> float:
        """Seconds after which one has to look at the latest, as things are now."""
        return POLL if self._hears else POLL_DEAF

    def begin(self, name: str, on_call: Callable[[str], None]) -> None:
        """Call something on this loop from now on, with what has happened."""
        listening = self._listen(channel_of(name), on_call)
        self._listening = asyncio.create_task(listening, name="omeda_async outbox, calls")

    async def aclose(self) -> None:
        """End it. Cancelling it ends it all the same."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        await late_ones(WITHIN)

    async def _listen(self, channel: str, on_call: Callable[[str], None]) -> None:
        wait = AGAIN
        while True:
            try:
                link = await self._address.connect(WITHIN)
                try:
                    await self._hear(link, channel, on_call)
                finally:
                    self._hears = False
                    link.cut()
                wait = AGAIN
            except PostgresError as error:
                logger.warning("nobody can call the outbox, which is looked at every %g s: %s", POLL_DEAF, error)
            on_call("")  # what was not heard is looked for
            await _clock.sleep(wait)
            wait = min(2 * wait, LONGEST)

    async def _hear(self, link: Link, channel: str, on_call: Callable[[str], None]) -> None:
        """Listen until the connection breaks."""
        broken = asyncio.Event()

        def heard(payload: str) -> None:
            if payload:
                on_call(payload)
            else:
                broken.set()

        await link.run(f"LISTEN {channel}", within=WITHIN)
        link.listen(heard)
        self._hears = True
        on_call(FREE)  # what happened before
        while not await _clock.wait_for(broken, CHECK):
            await link.run("SELECT 1", within=WITHIN)
