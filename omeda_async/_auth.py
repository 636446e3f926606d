"""Credentials: fixed headers, a token that can be asked for again, a session that has to be opened."""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from copy import copy
from typing import Protocol

from omeda_async._masking import LEAST_SECRET
from omeda_async.errors import (
    AnswerLost,
    AuthenticationFailed,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    LimitWaitExceeded,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    SessionLost,
    UnreadableAnswer,
)

Headers = Mapping[str, str]
LOADS_KEPT = 5
"""Of so many loads the secrets stay hidden: an answer may still come to what an earlier one has signed."""

_OURS = (AuthenticationFailed, ClosedError, ConfigurationError, ConnectionFailed, LimitWaitExceeded, SessionLost)
"""What a loader may raise and means the same for the request that waits for it."""
_PASSING = (OSError, AnswerLost, RateLimited, ServerError, UnreadableAnswer)
"""What may be over when it is tried again. None of it is in doubt for the request, which has not been made."""
_MISTAKES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, NotImplementedError,
    OmedaAsyncError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What the loader itself does wrong. The rest is passing as well: what a client of a token service raises."""


class Credentials(Protocol):
    """What signs requests."""

    @property
    def is_ready(self) -> bool:
        """Whether the headers are available."""

    @property
    def headers(self) -> Headers:
        """The headers that sign a request; empty while they are not available."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""

    async def ready(self, seconds: float) -> None:
        """Make the headers available; called before the limiter is asked, so that no slot waits for a login.

        Args:
            seconds: How long that may take at the most.

        Raises:
            ConnectionFailed: It has taken longer.
        """

    async def renew(self, error: OmedaAsyncError, used: Headers, seconds: float) -> bool:
        """Get new credentials after an error, if that may help; return whether to try once more.

        Args:
            error: What came back.
            used: The headers it came back to; if they are no longer in force, somebody renewed them meanwhile.
            seconds: How long that may take at the most.

        Raises:
            ConnectionFailed: It has taken longer.
        """


class FixedCredentials:
    """Headers that never change."""

    is_ready = True

    def __init__(self, headers: Headers, secrets: tuple[str, ...]) -> None:
        self.headers = dict(headers)
        self.secrets = secrets

    async def ready(self, seconds: float) -> None:
        """There is nothing to do."""

    async def renew(
        self,
        error: OmedaAsyncError,  # noqa: ARG002 the protocol's signature
        used: Headers,  # noqa: ARG002 the protocol's signature
        seconds: float,  # noqa: ARG002 the protocol's signature
    ) -> bool:
        """Return False: nothing can be renewed."""
        return False


class RenewableCredentials:
    """Headers that are loaded on first use, and again when the provider refuses them; never twice at a time.

    Whoever needs them waits for the one load under way, in a task of its own: one that hangs, even if it heeds no
    cancellation, holds nobody up for longer than they wait.
    """

    def __init__(self, load: Callable[[], Awaitable[Headers]], renew_on: Callable[[OmedaAsyncError], bool]) -> None:
        self._load = load
        self._renew_on = renew_on
        self.is_ready = False
        self.headers: Headers = {}
        self.secrets: tuple[str, ...] = ()
        self._kept: deque[tuple[str, ...]] = deque(maxlen=LOADS_KEPT)
        self._loading: asyncio.Task[Headers] | None = None
        self._waiting = 0

    async def ready(self, seconds: float) -> None:
        """Load the headers unless they are there; a caller that is cancelled leaves the load to those who wait."""
        if not self.is_ready:
            await self._reload(seconds)

    async def renew(self, error: OmedaAsyncError, used: Headers, seconds: float) -> bool:
        """Load the headers anew, unless somebody else has done so since the request was signed."""
        if not self._renew_on(error):
            return False
        if not self.is_ready or self.headers is used:
            await self._reload(seconds)
        return True

    async def _reload(self, seconds: float) -> None:
        loading = self._loading
        if loading is None:
            self.is_ready, self.headers = False, {}
            loading = self._loading = asyncio.create_task(self._loaded())
            loading.add_done_callback(self._take)
        self._waiting += 1
        try:
            await asyncio.wait({loading}, timeout=seconds)
        finally:
            self._waiting -= 1
            if not (loading.done() or self._waiting):
                loading.cancel()
                self._loading = None  # if it does not let go, the next one does not wait for it
        if not loading.done():
            words = f"the credentials could not be loaded: they were not there within {seconds:.3g} s"
            raise ConnectionFailed(words, cause="timeout")
        error = None if loading.cancelled() else loading.exception()
        if error is not None and self._waiting:
            raise copy(error) from error.__cause__  # each of those who wait signs one of its own
        loading.result()

    def _take(self, loading: "asyncio.Task[Headers]") -> None:
        failed = loading.cancelled() or loading.exception() is not None
        if loading is self._loading:
            self._loading = None
            if not failed:
                self.headers, self.is_ready = loading.result(), True

    async def _loaded(self) -> Headers:
        try:
            headers = dict(await self._load())
        except _OURS:
            raise
        except Exception as error:
            passing = isinstance(error, _PASSING) or not isinstance(error, _MISTAKES)
            kind = ConnectionFailed if passing else ConfigurationError
            raise kind(f"the credentials could not be loaded: {type(error).__name__}") from error
        if not all(_is_header(text) for pair in headers.items() for text in pair):
            del headers  # what shows an error with what its frames hold would show them
            raise ConfigurationError("the credentials must be loaded as a mapping of printable header strings")
        self._keep(tuple(secret for name, value in headers.items() for secret in _secrets_in(name, value)))
        return headers

    def _keep(self, secrets: tuple[str, ...]) -> None:
        if secrets in self._kept:
            self._kept.remove(secrets)
        self._kept.append(secrets)
        self.secrets = tuple({secret for load in self._kept for secret in load})


class ExtendedCredentials:
    """Credentials with further headers of the caller's, over which they have precedence.

    Args:
        own: What signs the requests, and may be renewed by others as well.
        extra: The further headers.
    """

    def __init__(self, own: Credentials, extra: Headers) -> None:
        self.own = own
        self.extra = extra
        self._secrets = tuple(value for value in extra.values() if len(value) >= LEAST_SECRET)
        self._made: tuple[Headers, Headers] = ({}, {})

    @property
    def is_ready(self) -> bool:
        """Whether the credentials are."""
        return self.own.is_ready

    @property
    def headers(self) -> Headers:
        """The same mapping as long as the credentials' own is the same."""
        own, made = self._made
        if own is not self.own.headers:
            own = self.own.headers
            made = with_extra(self.extra, own)
            self._made = own, made
        return made

    @property
    def secrets(self) -> tuple[str, ...]:
        """Theirs, and what the further headers hold."""
        return (*self.own.secrets, *self._secrets)

    async def ready(self, seconds: float) -> None:
        """Make them ready."""
        await self.own.ready(seconds)

    async def renew(self, error: OmedaAsyncError, used: Headers, seconds: float) -> bool:
        """Renew them, unless somebody has done so since the request was signed."""
        own, made = self._made
        return await self.own.renew(error, own if used is made else used, seconds)


def extended(credentials: Credentials, headers: Headers) -> Credentials:
    """Return credentials with further headers, which have precedence over those that were added before."""
    if not headers:
        return credentials
    if isinstance(credentials, ExtendedCredentials):
        return ExtendedCredentials(credentials.own, with_extra(credentials.extra, headers))
    return ExtendedCredentials(credentials, headers)


def with_extra(extra: Headers, own: Headers) -> Headers:
    """Return headers with further ones, of which none takes the place of another, whatever the case of its name."""
    taken = {name.casefold() for name in own}
    return {**{name: value for name, value in extra.items() if name.casefold() not in taken}, **own}


def _is_header(text: object) -> bool:
    return isinstance(text, str) and bool(text) and text.isprintable()


def _secrets_in(name: str, value: str) -> Iterator[str]:
    """Name a header's value, its token, and what cookies in it hold."""
    if name.casefold() == "authorization":
        yield value.rpartition(" ")[2]
    pieces = (piece.partition("=")[2].strip() for piece in value.split(";"))
    yield from (piece for piece in (value, *pieces) if len(piece) >= LEAST_SECRET)


def bearer(token: str | Callable[[], str | Awaitable[str]]) -> Credentials:
    """Sign with a bearer token; one from a callable is asked for once more on 401."""
    if isinstance(token, str):
        return FixedCredentials({"Authorization": f"Bearer {token}"}, (token,))

    async def load() -> Headers:
        given = token()
        value = await given if inspect.isawaitable(given) else given
        if not (isinstance(value, str) and value.strip() and value.isprintable()):
            del given, value  # what shows an error with what its frames hold would show them
            raise ConfigurationError("the token callable must return a non-empty printable string")
        return {"Authorization": f"Bearer {value}"}

    return RenewableCredentials(load, _is_unauthorized)


def session(prepare: Callable[[], Awaitable[Headers]]) -> Credentials:
    """Sign with the headers of a session, which is opened again when the provider has lost it.

    A 403 is no reason: it has four meanings at Journey Manager, and none is mended by logging in in a loop.
    """
    return RenewableCredentials(prepare, lambda error: isinstance(error, SessionLost) or _is_unauthorized(error))


def _is_unauthorized(error: OmedaAsyncError) -> bool:
    return isinstance(error, AuthenticationFailed) and error.status == 401
