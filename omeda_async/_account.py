"""An account: what a provider counts limits by."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from omeda_async import events
from omeda_async._activity import Activity
from omeda_async._auth import Credentials
from omeda_async.limits import Limiter
from omeda_async.settings import ProviderSettings, RetryPolicy

if TYPE_CHECKING:
    from omeda_async._transport import Transport

BEGIN_BEFORE = 1.0
"""Seconds before its deadline that a call may begin an attempt at the latest."""


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
    # Found out once, and not for every request.
    is_watched: bool = attrs.field(init=False)
    """Whether events are told to anybody but the log."""
    url: str = attrs.field(init=False)
    """The base URL."""
    retry: RetryPolicy = attrs.field(init=False)
    timeout: float = attrs.field(init=False)
    """Seconds for one attempt."""
    connect_timeout: float = attrs.field(init=False)
    """Seconds to connect."""
    shortest_attempt: float = attrs.field(init=False)
    """Seconds: an attempt with less time than this would be given up by ourselves, and leave a doubt."""

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.is_watched = bool(self.hooks) and self.hooks != events.LOGGED_ONLY
        self.url, self.retry = settings.url, settings.retry
        self.timeout, self.connect_timeout = settings.timeout, settings.connect_timeout
        self.shortest_attempt = min(BEGIN_BEFORE, self.timeout, self.retry.deadline / 2)

    @cached_property
    def transport(self) -> "Transport":
        """Return the way out, which is made when it is first needed."""
        return self._transport()
