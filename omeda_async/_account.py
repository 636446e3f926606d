"""An account: what a provider counts limits by."""

import hashlib
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

from omeda_async._activity import Activity
from omeda_async._auth import Credentials, extended
from omeda_async._checks import check_duration, check_headers, check_one_of
from omeda_async._hooks import Hooks, as_hooks
from omeda_async._secret import Secret, revealed
from omeda_async.errors import ConfigurationError
from omeda_async.limits import Priority
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
    hooks: Hooks = attrs.field(factory=Hooks, converter=as_hooks)
    activity: Activity = attrs.field(factory=Activity)
    # Found out once, and not for every request.
    url: str = attrs.field(init=False)
    """The base URL."""
    retry: RetryPolicy = attrs.field(init=False)
    timeout: float = attrs.field(init=False)
    """Seconds for one attempt."""
    connect_timeout: float = attrs.field(init=False)
    """Seconds to connect."""
    shortest_attempt: float = attrs.field(init=False)
    """Seconds: an attempt with less time than this would be given up by ourselves, and leave a doubt."""
    priority: Priority | None = attrs.field(init=False, default=None)
    """The lane of its calls and runs, unless they say otherwise; None for each kind's own."""

    def __attrs_post_init__(self) -> None:
        settings = self.settings
        self.url, self.retry = settings.url, settings.retry
        self.timeout, self.connect_timeout = settings.timeout, settings.connect_timeout
        self.shortest_attempt = _shortest(self.timeout, self.retry)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        priority: Priority | None = None,
        retry: RetryPolicy | None = None,
    ) -> "Account":
        """Return the same account with other options for its calls; what is None stays as it is.

        Args:
            timeout: Seconds for one attempt.
            deadline: Seconds for a call in all, also instead of what ``retry`` says.
            headers: Further headers, in addition to those there are.
            priority: The lane at the limiter.
            retry: How long a call is tried for.

        Raises:
            ConfigurationError: An option is out of range; the message names it.
        """
        made = copy(self)
        if retry is not None:
            if not isinstance(retry, RetryPolicy):
                raise ConfigurationError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
            made.retry = retry
        if timeout is not None:
            check_duration("timeout", timeout)
            made.timeout = timeout
        if deadline is not None:
            check_duration("deadline", deadline)
            made.retry = attrs.evolve(made.retry, deadline=deadline)
        if priority is not None:
            check_one_of("priority", priority, Priority)
            made.priority = priority
        if headers is not None:
            check_headers("headers", headers)
            made.credentials = extended(self.credentials, {name: revealed(one) for name, one in headers.items()})
        made.shortest_attempt = _shortest(made.timeout, made.retry)
        return made

    @cached_property
    def transport(self) -> "Transport":
        """Return the way out, which is made when it is first needed."""
        return self._transport()


def _shortest(timeout: float, retry: RetryPolicy) -> float:
    return min(BEGIN_BEFORE, timeout, retry.deadline / 2)
