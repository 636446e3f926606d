"""An account: what a provider counts limits by."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from omeda_async import events
from omeda_async._activity import Activity
from omeda_async._auth import Credentials
from omeda_async.limits import Limiter
from omeda_async.settings import ProviderSettings

if TYPE_CHECKING:
    from omeda_async._transport import Transport


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

    @cached_property
    def transport(self) -> "Transport":
        """Return the way out, which is made when it is first needed."""
        return self._transport()
