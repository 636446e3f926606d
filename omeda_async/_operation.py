"""What one endpoint is: how a request is built, how an answer is read, how safe it is to repeat, how it is settled."""

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import attrs

from omeda_async._quick import quick
from omeda_async.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    MethodNotAllowed,
    NotFound,
    OmedaAsyncError,
    SessionLost,
)

PASSING = frozenset({402, 407, 421, 423, 424, 425, 426, 431, 449, 451})
"""The 4xx that are about the network, the account or the moment, not about the record: it is tried again."""
GAVE_UP = frozenset({408, 499})
"""The 4xx of a server that stopped waiting: the provider may still be at work on the request."""
_WORD = re.compile(r"\w+")
_OF_ANY_URL = re.compile(
    r"an?|any|at|be|cannot|could|does|endpoint|error|exist|file|for|found|handler|has|here|https?|is|it|mapping|no|not"
    r"|on|or|page|path|provider|requested|resource|route|server|service|static|such|that|the|there|this|to|unknown"
    r"|uri|url|was|you|your|404"
)
"""The words by which a server says that it does not have a URL, without naming what that stands for."""
P = TypeVar("P")
R = TypeVar("R")


class Lapsed(ConnectionFailed):
    """A request was not sent, as it was too late for the permit that it had."""


class Verdict(enum.Enum):
    """What a read says about something that was asked for."""

    DONE = "done"
    TOO_LATE = "too late"
    NOT_DONE = "not done"
    UNDECIDED = "undecided"


@quick(eq=False)
class Request:
    """An HTTP request, without the host and the credentials."""

    method: str
    path: str
    """Percent-encoded, from the settings' base URL on, beginning with a slash."""
    body: bytes | None = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)


@quick(eq=False)
class Response:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes = attrs.field(repr=False)
    flaw: str | None = None
    """What is wrong with its body, as what follows "its body is"; None if it came whole. Never of a 2xx."""
    asked: str = ""
    """The base URL that was asked."""
    in_session: bool = True
    """Whether it may be a session that signed the request: not where a name and a password did."""

    @property
    def accepted(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status <= 299

    @property
    def refused(self) -> bool:
        """Whether it is a 4xx or 5xx."""
        return 400 <= self.status <= 599


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Inquiry(Generic[P]):
    """The read that has to come before another: what it finds is added to the parameters."""

    operation: "Operation[Any, Any]"
    """A read."""
    question: Callable[[P], Any]
    """Makes the parameters of the read from those of the operation in doubt."""
    learn: Callable[[P, Any], P]
    """Adds what the read found to the parameters."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Verification(Generic[P]):
    """The read that tells what became of an attempt."""

    operation: "Operation[Any, Any]"
    """A read."""
    question: Callable[[P], Any]
    """As in an ``Inquiry``. Raises InvalidRecord where too little is known to ask."""
    judge: Callable[[P, Any], Verdict]
    """What the read's result says. It is also given the read's ``NotFound``, as that may be an answer."""
    known: Callable[[P], Verdict] = lambda _: Verdict.UNDECIDED
    """What the reads in ``first`` have shown already; if that decides, nothing more is read."""
    first: tuple[Inquiry[P], ...] = ()
    """The reads that find out what to ask for, where the parameters do not say. If one fails, nothing is settled."""


def hits_everyone(error: OmedaAsyncError) -> bool:
    """Whether an error would meet every record of a run alike: credentials, a wrong method, a lost session, TLS."""
    if isinstance(error, ConnectionFailed):
        return not error.retryable  # a certificate that is not trusted
    return isinstance(error, AuthenticationFailed | MethodNotAllowed | SessionLost | ConfigurationError)


def finds_nothing(error: OmedaAsyncError) -> bool:
    """Whether an error says that nothing was found, and leaves open whether the target is missing or the URL wrong."""
    return isinstance(error, NotFound) and all(map(_is_of_any_url, error.messages))


def names_the_absent(error: OmedaAsyncError) -> bool:
    """Whether an error says in words that nothing was found: then nothing can have been done to it."""
    return isinstance(error, NotFound) and bool(error.messages)


def _is_of_any_url(message: str) -> bool:
    return all(map(_OF_ANY_URL.fullmatch, _WORD.findall(message.casefold())))


def reads_only(_: object) -> int:
    """Return the number of records that a read is of: none."""
    return 0


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Operation(Generic[P, R]):
    """One endpoint of one provider. Everything here is pure; the sending is done elsewhere."""

    provider: str
    name: str
    """As the user calls it: ``"deployments.cancel"``."""
    method: str
    """The HTTP method of its requests."""
    path: str
    """The path of its requests without a query, with names in braces for what differs: what may be told of it."""
    idempotent: bool
    """Whether a second identical request changes nothing that the first had not changed."""
    build: Callable[[P], Request]
    """Raises InvalidRecord for parameters that cannot be sent."""
    parse: Callable[[Response], R | OmedaAsyncError]
    """Returns what a response means, or its error; never raises."""
    confirms: Callable[[P, R, Response], bool] | None = None
    """Whether a response is about what was asked for, by what it names. None where responses name nothing."""
    verification: Verification[P] | None = None
    """None: sending it again (where it is idempotent) is all that can tell."""
    records: Callable[[P], int] = lambda _: 1
    """How many records the parameters are of; 0 for a read."""
    settled: Callable[[P, Any], R] | None = None
    """Makes the receipt of what was settled as done, from the parameters and what the read found (or None)."""
    repeat_tells: bool = True
    """Whether the answer to a repeat tells what became of a lost attempt. If not, the read goes first."""
    refusal_tells: Callable[[OmedaAsyncError], bool] = lambda _: True
    """Whether this refusal of a repeat holds for a lost attempt, too: not if something may have changed in between."""
    unexplained: Callable[[OmedaAsyncError], bool] = lambda _: False
    """Whether this refusal may mean that it was done before, or that it is too late: a read tells which."""
    absent: Callable[[OmedaAsyncError], bool] = names_the_absent
    """Whether this error says that there is no such target: then no earlier attempt was carried out either."""
    hits_everyone: Callable[[OmedaAsyncError], bool] = hits_everyone
    """Whether this error would meet every other record of a bulk run, too: then the run stops."""
