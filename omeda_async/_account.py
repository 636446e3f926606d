"""An account: what a provider counts limits by."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from omeda_async import events
from omeda_async._activity import Activity
from omeda_async._auth import Credentials
from omeda_async.settings import ProviderSettings, RetryPolicy

if TYPE_CHECKING:
    from omeda_async._transport import Transport
    from omeda_async.limits import Limiter

_SALT = b"omeda-async: accounts"
"""The same in every process, so that all of them take an account for the same."""
BEGIN_BEFORE = 1.0
"""Seconds before its deadline that a call may begin an attempt at the latest."""


def account_key(
    provider: str, settings: ProviderSettings, credential: str | None
) -> tuple[str, str, int | None, bytes]:
    """Return what tells one account from others, which holds no secret, and tells none.

    Args:
        provider: The provider.
        settings: Which may name the account.
        credential: What stays the same as long as the account does; None where there is none: then everybody who uses
            the same host and port is taken for the same account.
    """
    url = urlsplit(settings.url)
    port = url.port or {"https": 443, "http": 80}.get(url.scheme)
    kind, name = ("account", settings.account) if settings.account is not None else ("credential", credential or "")
    fingerprint = hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=16, key=_SALT).digest()
    return provider, url.hostname or "", port, fingerprint


@attrs.define(eq=False, repr=False)
class Account:
    """What a provider counts limits by: one limiter, one set of credentials, one base URL."""

    provider: str
    settings: ProviderSettings
    _transport: "Callable[[], Transport]"
    limiter: "Limiter"
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
