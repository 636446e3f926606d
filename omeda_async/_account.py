"""An account: what a provider counts limits by, and the calls under way on it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from omeda_async import events
from omeda_async._auth import Credentials
from omeda_async.limits import Limiter
from omeda_async.settings import ProviderSettings

if TYPE_CHECKING:
    from omeda_async._transport import Transport


class Activity:
    """Counts the single calls under way, so that closing can wait for them."""

    def __init__(self) -> None:
        self.closing = False
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        if not self._count:
            self._idle.clear()
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def idle(self, timeout: float) -> None:  # noqa: ASYNC109 a grace, not a time-out of ours
        """Wait until no call is under way, but no longer than so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()


@attrs.define(eq=False, repr=False)
class Account:
    """What a provider counts limits by: one limiter, one set of credentials, one base URL."""

    provider: str
    settings: ProviderSettings
    _transport: "Callable[[], Transport]"
    limiter: Limiter
    credentials: Credentials
    hooks: tuple[events.Hook, ...] = ()
    activity: Activity = attrs.field(factory=Activity)
    url: str = attrs.field(init=False)
    """The base URL, made of the settings once and not for every request."""

    def __attrs_post_init__(self) -> None:
        self.url = self.settings.url

    @property
    def transport(self) -> "Transport":
        """Return the way out, which is made when it is first needed."""
        return self._transport()
