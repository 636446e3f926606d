"""Every error this library raises.

::

    OmedaAsyncError                 .provider .operation .attempts .sent .method .url .headers
    ├── ConfigurationError          a setting is missing or wrong
    ├── ClosedError                 used after close
    ├── InvalidRecord               refused locally, before anything was sent
    ├── LimitWaitExceeded           the limiter's wait would pass max_wait; nothing was sent
    ├── BatcherFull                 too many records wait at a batcher; this one was not taken
    ├── ProviderUnavailable         refused at once, as what the last requests met would meet this one
    ├── JournalError                a journal cannot be used
    ├── OutboxError                 an outbox cannot be used
    ├── OutcomePending              an outbox has no outcome yet
    ├── TransportError
    │   ├── ConnectionFailed        never left
    │   └── AnswerLost              left, and no whole answer came back
    ├── UnreadableAnswer            an answer that is no answer: HTML, cut JSON, wrong type
    └── ApiError                    .status .messages .submission_id .trace_id .retry_after .body
        ├── BadRequest 400  AuthenticationFailed 401/403  NotFound 404  MethodNotAllowed 405
        ├── Conflict 409  RateLimited 429  ServerError 5xx
        └── by meaning, whatever the status:
            AlreadyDone  TooLate  NotAuthorized  SessionLost  BatchRejected (.culprits)

All of them pickle. None carries a secret, and none shows an e-mail address: only ``ApiError.messages`` and
``BatchRejected.culprits`` keep the provider's own words whole, for the caller to use.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

import attrs

from omeda_async._masking import hide_secrets, masked_repr, readable

ConnectionCause: TypeAlias = Literal[
    "name", "certificate", "tls", "proxy", "refused", "unreachable", "timeout", "other"
]
"""What a connection may fail for."""
BODY_KEPT = 200
_LONGEST_ADDRESS = 256
"""More characters than an address has: one that begins in what is kept is seen whole, and masked, before the cut."""


def cut_body(body: bytes | str) -> str:
    """Keep the start of an answer's body for an error: at most 200 characters, e-mail addresses masked."""
    seen = BODY_KEPT + _LONGEST_ADDRESS
    text = body[: 4 * seen].decode("utf-8", "replace") if isinstance(body, bytes) else body
    return readable(text[:seen])[:BODY_KEPT]


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def _pairs(given: "Iterable[Culprit]") -> "tuple[Culprit, ...]":
    return tuple(given)


UNKEPT: Final = {"kept": False}
"""Of an attribute that tells of this process's own attempt: no journal keeps it."""
_OURS = frozenset({"provider", "operation", "cause", "method"})
"""Attributes that never hold a provider's words."""


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return hide_secrets(value, secrets)
    if isinstance(value, Culprit):
        return attrs.evolve(value, message=hide_secrets(value.message, secrets))
    if isinstance(value, dict):
        return {name: _cleaned(item, secrets) for name, item in value.items()}
    return tuple(_cleaned(item, secrets) for item in value) if isinstance(value, tuple) else value


def _revive(cls: type["OmedaAsyncError"], state: dict[str, Any]) -> "OmedaAsyncError":
    error = cls.__new__(cls, state["message"])
    error.__dict__.update(state)
    error.args = (state["message"],)  # a TimeoutError is an OSError, which does not take them over
    return error


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class OmedaAsyncError(Exception):
    """The root of all errors of this library."""

    message: str = attrs.field(converter=readable)
    """What went wrong, in one sentence, with e-mail addresses masked and nothing that could control a terminal."""
    provider: str | None = attrs.field(default=None, kw_only=True)
    """``"omeda"``, ``"ocamba"`` or ``"journey_manager"``."""
    operation: str | None = attrs.field(default=None, kw_only=True)
    """The operation that was asked for, such as ``"deployments.cancel"``."""
    attempts: int = attrs.field(default=0, kw_only=True)
    """How many HTTP requests were made for it."""
    sent: bool = attrs.field(default=False, kw_only=True)
    """Whether the request may have been carried out. False is certain, True is not."""
    method: str | None = attrs.field(default=None, kw_only=True, metadata=UNKEPT)
    """The HTTP method of the request it is about; None where none was made, or in an outcome from a journal."""
    url: str | None = attrs.field(default=None, kw_only=True, metadata=UNKEPT)
    """Its URL without the query, e-mail addresses masked; None as above."""
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True, metadata=UNKEPT)
    """Headers of the response that help to find out what happened (``date``, ``retry-after``, ``x-ratelimit-…``, ids of
    the request, who answered), and no others, by their names in lower case; empty where none came, or as above."""

    def __attrs_post_init__(self) -> None:
        self.args = (self.message,)

    def __str__(self) -> str:
        return f"{self.provider}: {self.message}" if self.provider else self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without its cause: aiohttp's errors neither survive a pickle nor keep their headers to themselves.
        return _revive, (type(self), dict(self.__dict__))

    def without(self, secrets: Iterable[str]) -> Self:
        """Take secrets out of every text this error holds, and give the error back."""
        known = tuple(filter(None, secrets))
        for name, value in self.__dict__.items():
            if name not in _OURS:
                self.__dict__[name] = _cleaned(value, known)
        self.args = (self.message,)
        return self


class ConfigurationError(OmedaAsyncError):
    """A setting is missing or wrong; the message says which, and what would be right."""


class ClosedError(OmedaAsyncError):
    """Something was used after it had been closed."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class InvalidRecord(OmedaAsyncError):
    """A record that cannot be sent; nothing was."""

    field: str | None = attrs.field(default=None, kw_only=True)
    """The field at fault, by its Python name; None when the record as a whole is."""
    reason: str = attrs.field(default="", kw_only=True, converter=readable)
    """Why, and what would be right."""

    @classmethod
    def of(cls, field: str | None, reason: str, **context: Any) -> Self:
        """Make the error for one field."""
        return cls(f"{field}: {reason}" if field else reason, field=field, reason=reason, **context)


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class LimitWaitExceeded(OmedaAsyncError):
    """The limiter's wait would have passed ``max_wait``; nothing was sent."""

    max_wait: float = attrs.field(default=0.0, kw_only=True)
    """The longest wait that was allowed, in seconds."""
    next_slot_in: float | None = attrs.field(default=None, kw_only=True)
    """Seconds until a slot is free for this call at the earliest; None when that hangs on answers to come."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class BatcherFull(OmedaAsyncError):
    """As many records wait at a batcher as may; this one was not taken, and nothing of it was sent."""

    max_waiting: int = attrs.field(default=0, kw_only=True)
    """How many may wait."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class ProviderUnavailable(OmedaAsyncError):
    """Refused at once: the last requests met with what would meet this one, too. Nothing was sent.

    ``__cause__`` is the error that they met with.
    """

    retry_in: float = attrs.field(default=0.0, kw_only=True)
    """Seconds until another request is tried; 0 when one is on its way."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class JournalError(OmedaAsyncError):
    """A journal cannot be used: nothing was sent; or it failed during the run: nothing more was."""

    missing: Literal["journal", "chunk"] | None = attrs.field(default=None, kw_only=True)
    """What there is not, of a run that several processes share: no further try would find it."""


class OutboxError(OmedaAsyncError):
    """An outbox cannot be used. What was to be put into it is not there, unless ``sent`` is True: then it may be."""


class OutcomePending(OmedaAsyncError, TimeoutError):
    """The time for an outcome has passed; the record is safe in the outbox, and is being delivered."""


class TransportError(OmedaAsyncError):
    """No answer came from the provider."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class ConnectionFailed(TransportError):
    """The connection could not be made; the request never left."""

    cause: ConnectionCause = attrs.field(default="other", kw_only=True)
    """What is at fault."""
    retryable: bool = attrs.field(default=True, kw_only=True)
    """Whether another attempt may succeed: not where a certificate is not trusted (a setting, or an attack), nor where
    a proxy wants other credentials or lets nobody through."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class AnswerLost(TransportError):
    """The request may have left, and no whole answer came back: whether it was carried out is unknown."""

    timed_out: bool = attrs.field(default=False, kw_only=True)
    """Whether we stopped waiting: then the provider may still be at work on it."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class UnreadableAnswer(OmedaAsyncError):
    """An answer that is no answer: HTML, cut JSON, a wrong type. It proves neither success nor failure."""

    status: int = attrs.field(default=0, kw_only=True)
    """The HTTP status it came with."""
    body: str = attrs.field(default="", kw_only=True, converter=cut_body)
    """The first 200 characters of the body, e-mail addresses masked."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class ApiError(OmedaAsyncError):
    """The provider answered, and the answer is an error."""

    status: int = attrs.field(default=0, kw_only=True)
    """The HTTP status of the answer."""
    messages: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_texts)
    """The provider's own words, whole, in the order given: these may hold e-mail addresses."""
    submission_id: str | None = attrs.field(default=None, kw_only=True)
    """Omeda's id of the submission, to quote to its support."""
    trace_id: str | None = attrs.field(default=None, kw_only=True)
    """Ocamba's trace id, to quote to its support."""
    retry_after: float | None = attrs.field(default=None, kw_only=True)
    """Seconds the provider asked to wait; -1 is Ocamba's sign for too many parallel requests."""
    body: str = attrs.field(default="", kw_only=True, converter=cut_body)
    """The first 200 characters of the body, e-mail addresses masked."""
    code: str | None = attrs.field(default=None, kw_only=True)
    """The provider's machine-readable error key, where it has one (Journey Manager: ``txnNotFound`` …)."""
    fields: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_texts)
    """The provider's names of the fields its messages speak of."""
    error_log_id: str | None = attrs.field(default=None, kw_only=True)
    """Journey Manager's error log id, to quote to its administrator."""

    def as_kind(self, kind: type["ApiErrorT"]) -> "ApiErrorT":
        """Return the same error as another class of the tree, once its meaning is known."""
        kept = {field.name: getattr(self, field.name) for field in attrs.fields(ApiError)}
        return kind(**kept)


ApiErrorT = TypeVar("ApiErrorT", bound=ApiError)


class BadRequest(ApiError):
    """400: the provider refuses the request as it is; sending it again would not help."""


class AuthenticationFailed(ApiError):
    """401 or 403: the credentials are wrong, expired, or without the scope this needs."""


class NotFound(ApiError):
    """404: the URL is wrong, or what it names does not exist."""


class MethodNotAllowed(ApiError):
    """405: the resource does not take this HTTP method."""


class Conflict(ApiError):
    """409: the request does not fit the state of what it names."""


class RateLimited(ApiError):
    """429: the provider counts too many requests; this one was not carried out."""


class ServerError(ApiError):
    """5xx: the provider, or a gateway before it, failed; the request may have been carried out."""


class AlreadyDone(ApiError):
    """What was asked for had been done before, by someone else."""


class TooLate(ApiError):
    """The target has gone past it: the deployment was sent, the transaction completed."""


class NotAuthorized(ApiError):
    """The credentials are good, but the user they name may not do this to this target."""


class SessionLost(ApiError):
    """Journey Manager's session has expired or was never there.

    The request was not carried out; but where the only sign is a page under a 2xx, ``sent`` is True: it may be a
    proxy's, in the place of the answer.
    """


@attrs.frozen
class Culprit:
    """One (record, id) pair that a provider named when it refused a whole batch."""

    level: str
    """``"ClientOptOut"``, ``"BrandOptOut"`` or ``"DeploymentTypeOptOut"``."""
    id: str | None
    """The brand or deployment type id refused; None where the message names none."""
    email_address: str | None = attrs.field(repr=masked_repr)
    """The address of the record; None where the message names none."""
    message: str = attrs.field(repr=masked_repr)
    """The provider's own words."""


@attrs.define(eq=False, slots=False, repr=False, str=False, auto_exc=False)
class BatchRejected(ApiError):
    """A whole batch was refused, and none of it processed; ``culprits`` are the pairs the provider named."""

    culprits: tuple[Culprit, ...] = attrs.field(default=(), kw_only=True, converter=_pairs)
    """Whom the provider named; empty when it named nobody."""
