"""Settings of the three providers, checked when they are made.

They take secrets as plain texts and keep each as a :class:`Secret`: it shows nothing in a repr, a format, JSON or
``attrs.asdict``, equals the plain text, and gives it on ``reveal()``. Objects that hold secrets refuse to be pickled.
"""

import base64
import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs

from omeda_async._checks import (
    check_base_url,
    check_duration,
    check_flag,
    check_headers,
    check_text,
    check_whole,
    is_loopback,
    refuse_pickle,
)
from omeda_async._masking import masked_repr
from omeda_async._secret import Secret, hidden
from omeda_async.errors import ConfigurationError
from omeda_async.limits import RateLimit, Window

__all__ = [
    "BasicAuth",
    "BearerAuth",
    "Environment",
    "JourneyManagerSettings",
    "OcambaSettings",
    "OmedaSettings",
    "ProviderSettings",
    "RetryPolicy",
    "Secret",
    "SessionAuth",
    "Token",
]

OMEDA_HOSTS = {"production": "https://ows.omeda.com", "staging": "https://ows.omedastaging.com"}
OCAMBA_HOST = "https://api.ocamba.com"
# The vendor publishes 10 per second and 150 per minute for cancels (Ocamba: Cancel a Campaign), and a parallel cap
# without its figure; 10 is from an example of the vendor's. The pace spreads a burst, which spares that cap.
OCAMBA_CLASS_C = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, pace=0.05)
# Omeda and Temenos publish no limits: these are courtesy limits of ours.
OMEDA_COURTESY = RateLimit.courtesy(per_second=10, parallel=8)
JOURNEY_MANAGER_COURTESY = RateLimit.courtesy(per_second=5, parallel=2)


class Environment(enum.Enum):
    """Omeda's two environments. What is created in staging does not exist in production."""

    PRODUCTION = "production"
    STAGING = "staging"


TokenCall = Callable[[], str | Awaitable[str]]
"""A callable (which may be async) that returns the token in force."""
Token = str | Secret | TokenCall
"""A token, or a callable (which may be async) that returns the one in force."""


def _hidden_token(token: Token) -> Secret | TokenCall:
    """Return a token as a secret, and a callable as it is."""
    return hidden(token) if isinstance(token, str) else token


def _check_token(name: str, token: Secret | TokenCall) -> None:
    if not callable(token):
        check_text(name, token)


@attrs.frozen
class BasicAuth:
    """A user name and a password."""

    user: str = attrs.field(repr=masked_repr)
    password: Secret = attrs.field(repr=False, converter=hidden)

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        check_text("BasicAuth.user", self.user)
        check_text("BasicAuth.password", self.password)
        if ":" in self.user:
            raise ConfigurationError("BasicAuth.user must not hold a colon (RFC 7617)")

    @property
    def header(self) -> str:
        """The Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password.reveal()}".encode()).decode("ascii")


@attrs.frozen
class BearerAuth:
    """A bearer token, or a callable (which may be async) that returns the one in force."""

    token: Secret | TokenCall = attrs.field(repr=False, converter=_hidden_token)

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        _check_token("BearerAuth.token", self.token)


@attrs.frozen
class SessionAuth:
    """A session that has to be opened first, by a form login for instance.

    ``prepare`` is given the HTTP session and the base URL, and returns the headers that every request shall carry
    (``Cookie``, a CSRF header). It is never run twice at a time, and once more when the provider has lost the
    session. Journey Manager allows one active session per user: give this an account of its own.
    """

    prepare: Callable[[Any, str], Awaitable[Mapping[str, str]]] = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self.prepare):
            raise ConfigurationError(
                "SessionAuth.prepare must be an async callable (http_session, base_url) -> headers"
            )


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How long a call is tried for."""

    attempts: int = 5
    """Attempts for one call at the most, the first included."""
    base_delay: float = 0.5
    """Seconds of back-off after the first failure; doubled with each further one."""
    max_delay: float = 30.0
    """The longest back-off in seconds. A provider's Retry-After may ask for more, and gets it."""
    settle_delay: float = 5.0
    """Seconds after which a read that says "not done" is believed, where an answer was lost on the way.

    A gateway's 502 or a cut connection may come at once, and the provider carry the request out a moment later.
    """
    deadline: float = 300.0
    """Seconds for one call in all. In a bulk run a record's clock starts with its first turn at the limiter."""

    def __attrs_post_init__(self) -> None:
        check_whole("RetryPolicy.attempts", self.attempts)
        for name in ("base_delay", "max_delay", "deadline"):
            check_duration(f"RetryPolicy.{name}", getattr(self, name))
        check_duration("RetryPolicy.settle_delay", self.settle_delay, zero=True)


def _copied(headers: Mapping[str, str | Secret]) -> Mapping[str, Secret]:
    return {name: hidden(value) for name, value in headers.items()} if isinstance(headers, Mapping) else headers


def _check_common(owner: "ProviderSettings", *, cookies: bool = False) -> None:
    name = type(owner).__name__
    check_headers(f"{name}.headers", owner.headers, cookies=cookies)
    check_duration(f"{name}.timeout", owner.timeout)
    check_duration(f"{name}.connect_timeout", owner.connect_timeout)
    if owner.account is not None:
        check_text(f"{name}.account", owner.account)
    if not isinstance(owner.rate_limit, RateLimit):
        raise ConfigurationError(f"{name}.rate_limit must be a RateLimit")
    if not isinstance(owner.retry, RetryPolicy):
        raise ConfigurationError(f"{name}.retry must be a RetryPolicy")


@attrs.frozen(kw_only=True)
class OmedaSettings:
    """How to reach Omeda.

    Raises:
        ConfigurationError: A value is missing or wrong; the message names it.
    """

    app_id: Secret = attrs.field(repr=False, converter=hidden)
    """Sent as ``x-omeda-appid``."""
    brand: str | None = None
    """The brand abbreviation, for everything about deployments."""
    client: str | None = None
    """The client abbreviation, for the opt-out queue. It is not the brand: ask Omeda for it."""
    user_id: str | None = attrs.field(default=None, repr=masked_repr)
    """The user in whose name deployments are cancelled, unless a call names another."""
    input_id: Secret | None = attrs.field(default=None, repr=False, converter=attrs.converters.optional(hidden))
    """Sent as ``x-omeda-inputid`` where set; no e-mail endpoint documents it."""
    environment: Environment = Environment.PRODUCTION
    base_url: str | None = None
    """Instead of the environment's host."""
    rate_limit: RateLimit = OMEDA_COURTESY
    """Omeda publishes no limit: the default, 10 per second and 8 in flight, is a courtesy of ours."""
    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    timeout: float = 60.0
    """Seconds for one attempt in all."""
    connect_timeout: float = 10.0
    """Seconds to connect."""
    account: str | None = None
    """Whose budget it is, where the credential does not tell: one name for all tokens of an account."""
    headers: Mapping[str, Secret] = attrs.field(factory=dict, repr=False, converter=_copied, hash=False)
    """Sent with every request besides ours, such as ``{"X-Team": "mail"}``; those that sign a request are ours."""
    allow_odd_addresses: bool = False
    """Whether e-mail addresses are sent that nobody can have, such as ``.a@example.com``."""

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        check_text("OmedaSettings.app_id", self.app_id)
        for name in ("brand", "client", "user_id", "input_id"):
            if getattr(self, name) is not None:
                check_text(f"OmedaSettings.{name}", getattr(self, name))
        if self.brand is None and self.client is None:
            raise ConfigurationError(
                "OmedaSettings.brand and OmedaSettings.client are both missing: deployments need the brand "
                "abbreviation, opt-outs the client abbreviation"
            )
        if not isinstance(self.environment, Environment):
            raise ConfigurationError("OmedaSettings.environment must be Environment.PRODUCTION or Environment.STAGING")
        if self.base_url is not None:
            check_base_url("OmedaSettings.base_url", self.base_url)
        check_flag("OmedaSettings.allow_odd_addresses", self.allow_odd_addresses)
        _check_common(self)

    @property
    def for_tests(self) -> bool:
        """Whether requests certainly go to no production: to the staging environment, or to this machine."""
        host = urlsplit(self.url).hostname or ""
        staging = self.environment is Environment.STAGING or f"https://{host}" == OMEDA_HOSTS["staging"]
        return (staging or is_loopback(host)) and f"https://{host}" != OMEDA_HOSTS["production"]

    @property
    def url(self) -> str:
        """The base URL that requests go to."""
        return (self.base_url or OMEDA_HOSTS[self.environment.value]).rstrip("/")


@attrs.frozen(kw_only=True)
class OcambaSettings:
    """How to reach Ocamba Hood.

    Raises:
        ConfigurationError: A value is missing or wrong; the message names it.
    """

    token: Secret | TokenCall = attrs.field(repr=False, converter=_hidden_token)
    """Sent as a bearer token. A callable is asked once, and once more when the provider answers 401."""
    base_url: str = OCAMBA_HOST
    rate_limit: RateLimit = OCAMBA_CLASS_C
    """Counted per account: every process and token of the account spends it."""
    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    timeout: float = 60.0
    """Seconds for one attempt in all."""
    connect_timeout: float = 10.0
    """Seconds to connect."""
    account: str | None = None
    """Whose budget it is, where the credential does not tell: one name for all tokens of an account."""
    headers: Mapping[str, Secret] = attrs.field(factory=dict, repr=False, converter=_copied, hash=False)
    """Sent with every request besides ours, such as ``{"X-Team": "mail"}``; those that sign a request are ours."""

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        _check_token("OcambaSettings.token", self.token)
        check_base_url("OcambaSettings.base_url", self.base_url)
        _check_common(self)

    @property
    def url(self) -> str:
        """The base URL that requests go to."""
        return self.base_url.rstrip("/")


@attrs.frozen(kw_only=True)
class JourneyManagerSettings:
    """How to reach a Temenos Journey Manager server.

    Raises:
        ConfigurationError: A value is missing or wrong; the message names it.
    """

    base_url: str
    """With the context path, which is ``/workspaces`` unless the server says otherwise."""
    auth: BasicAuth | BearerAuth | SessionAuth
    headers: Mapping[str, Secret] = attrs.field(factory=dict, repr=False, converter=_copied, hash=False)
    """Sent with every request, a CSRF header for instance."""
    rate_limit: RateLimit = JOURNEY_MANAGER_COURTESY
    """No limit is published: the default, 5 per second and 2 in flight, is a courtesy of ours."""
    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    timeout: float = 60.0
    """Seconds for one attempt in all."""
    connect_timeout: float = 10.0
    """Seconds to connect."""
    account: str | None = None
    """Whose budget it is, where the credential does not tell: one name for all tokens of an account."""

    __reduce_ex__ = refuse_pickle

    def __attrs_post_init__(self) -> None:
        check_base_url("JourneyManagerSettings.base_url", self.base_url)
        if not isinstance(self.auth, BasicAuth | BearerAuth | SessionAuth):
            raise ConfigurationError("JourneyManagerSettings.auth must be a BasicAuth, BearerAuth or SessionAuth")
        _check_common(self, cookies=True)

    @property
    def url(self) -> str:
        """The base URL that requests go to."""
        return self.base_url.rstrip("/")


ProviderSettings: TypeAlias = OmedaSettings | OcambaSettings | JourneyManagerSettings
"""The settings of any provider."""
