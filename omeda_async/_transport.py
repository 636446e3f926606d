"""The HTTP session: the only module that uses aiohttp's client. It maps aiohttp's errors to ours."""

import asyncio
import functools
import math
import platform
from collections.abc import Mapping
from typing import TypeAlias

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from omeda_async._body import BodyLost, read
from omeda_async._failures import (
    LONGEST_LINE,
    NEVER_LEFT,
    answer_lost,
    connection_failed,
    is_of_the_body,
    spoke_first,
    tell,
)
from omeda_async._operation import Request, Response
from omeda_async._passage import Passage, SpokenTo, without_cookies
from omeda_async._version import __version__
from omeda_async.errors import AnswerLost, ClosedError, ConfigurationError, OmedaAsyncError, UnreadableAnswer

ClientSession: TypeAlias = aiohttp.ClientSession
"""What may be borrowed; the name is for those who must not know aiohttp's client."""

AT_ONCE = 32 * 1024
"""Bytes of a request that asyncio takes at once: of a longer one some may not have left when its answer comes."""
USER_AGENT = f"omeda-async/{__version__} (aiohttp/{aiohttp.__version__}; Python/{platform.python_version()})"
# Omeda asks for a content type on every call, with or without a body (Omeda: Technical Requirements).
_COMMON = {"User-Agent": USER_AGENT, "Accept": "application/json", "Content-Type": "application/json"}
# A server that is tired of an idle connection says so while the request is on its way (RFC 9110, section 15.5.9).
_TIRED = "answered 408 on a connection that was kept: the server had given it up, and may not have read the request"
_NO_CHUNKS = "not in chunks, as its headers say"


class Transport:
    """Own or borrow one HTTP session, and send requests through it.

    Args:
        borrowed: A session of the caller's, which is never closed here; None makes one on first use.

    Raises:
        ConfigurationError: What is borrowed is no session, or signs requests itself.
    """

    def __init__(self, borrowed: ClientSession | None = None) -> None:
        if borrowed is not None:
            _check_borrowed(borrowed)
        self._borrowed = borrowed
        self._own: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signed: tuple[Mapping[str, str], Mapping[str, str], CIMultiDictProxy[str]] = ({}, {}, _merged())
        self._with_cookies: set[str] = set()
        self.closed = False

    @property
    def unclosed(self) -> bool:
        """Is a session of ours open?"""
        return self._own is not None and not self._own.closed

    def bind(self) -> None:
        """Belong to the running loop from now on.

        Raises:
            ClosedError: The transport is closed, or belongs to another loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self.closed:
            raise ClosedError("the session manager is closed; make a new one")
        if self._loop is not loop:
            raise ClosedError("the session manager belongs to another event loop; make one per loop")

    def session(self) -> aiohttp.ClientSession:
        """Return the session, made on first use on the running loop.

        Raises:
            ClosedError: The transport or the borrowed session is closed, or another loop made the session.
        """
        if self.closed or self._loop is not asyncio.get_running_loop():
            self.bind()
        if self._borrowed is not None:
            if self._borrowed.closed:
                raise ClosedError("the borrowed HTTP session is closed")
            return self._borrowed
        if self._own is None:
            # The limiters cap what is in flight; a pool that waits would only hide where the time goes.
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
            self._own = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._own

    def session_of(self, base_url: str) -> aiohttp.ClientSession:
        """Return the session for its owner to log in with; cookies of a borrowed one go to this base URL alone.

        Raises:
            ClosedError: As of ``session``.
        """
        self._with_cookies.add(base_url)
        return self.session()

    async def send(
        self,
        base_url: str,
        request: Request,
        headers: Mapping[str, str],
        *,
        timeout: float,  # noqa: ASYNC109 aiohttp's own timeouts tell connecting from answering
        connect_timeout: float,
    ) -> Response:
        """Send one request and read its whole answer.

        Args:
            base_url: What the request's path is put behind.
            request: What to send.
            headers: The credentials, and what goes with them.
            timeout: Seconds for the whole attempt.
            connect_timeout: Seconds to connect.

        Raises:
            ConnectionFailed: The request never left.
            AnswerLost: It may have left, and no whole answer came back.
            ConfigurationError: No request can be made of it, so that it never left.
            UnreadableAnswer: It is a success of more than 16 MiB.
            ClosedError: There is no session to send it with.

        Cancelling it closes the connection; the request may have been carried out.
        """
        session, passage = self.session(), Passage()
        # One call after the other is signed with the very same two mappings, which nobody changes.
        own, credentials, signed = self._signed
        if own is not request.headers or credentials is not headers:
            signed = _merged(_COMMON, request.headers, headers)
            self._signed = (request.headers, headers, signed)
        try:
            response = await session.request(
                request.method,
                _url(base_url + request.path),
                data=request.body,
                headers=signed,
                timeout=_timeouts(timeout, connect_timeout),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                max_line_size=LONGEST_LINE,
                max_field_size=LONGEST_LINE,
                middlewares=self._middlewares(passage, base_url, headers),
            )
        except (SpokenTo, TimeoutError, ValueError, aiohttp.ClientError, OSError) as error:
            head = passage.head_seen() if is_of_the_body(error) else None
            if head is None or not _decides(head[0]):
                raise _failure(error, passage, base_url, timeout, connect_timeout) from None
            return Response(*head, b"", _NO_CHUNKS, base_url, _in_session(headers))
        at_once = self._borrowed is None and len(request.body or b"") <= AT_ONCE
        body, flaw = await _body(response, passage, timeout, at_once=at_once)
        return Response(response.status, response.headers, body, flaw, base_url, _in_session(headers))

    def _middlewares(
        self, passage: Passage, base_url: str, credentials: Mapping[str, str]
    ) -> tuple[aiohttp.ClientMiddlewareType, ...]:
        if self._borrowed is None:
            return (passage,)
        theirs: tuple[aiohttp.ClientMiddlewareType, ...] = getattr(self._borrowed, "_middlewares", ())
        if base_url in self._with_cookies:
            return (*theirs, passage)
        return (without_cookies(CIMultiDict(credentials).get("Cookie")), *theirs, passage)

    async def aclose(self) -> None:
        """Close the session if it is ours; further use is an error."""
        self.closed = True
        if self._own is not None:
            own, self._own = self._own, None
            await own.close()


def _check_borrowed(session: object) -> None:
    if not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"http_session must be an aiohttp.ClientSession, not {type(session).__name__}")
    if session.auth is not None or "Authorization" in session.headers:
        raise ConfigurationError(
            "http_session must not sign requests itself: make it without auth= and without an Authorization header"
        )


@functools.lru_cache(maxsize=64)
def _url(text: str) -> URL:
    try:
        url = URL(text, encoded=True)
        if url.raw_host:
            return url
    except ValueError:
        pass
    raise ConfigurationError(f"{text} is no URL")


@functools.lru_cache(maxsize=64)
def _timeouts(total: float, connect: float) -> aiohttp.ClientTimeout:
    # Should both run out at once, only the connecting one says that nothing has left; aiohttp would round both.
    return aiohttp.ClientTimeout(total=total, connect=min(connect, 0.95 * total), ceil_threshold=math.inf)


def _merged(*layers: Mapping[str, str]) -> CIMultiDictProxy[str]:
    """Put headers together: the later layer wins, whatever the case of the names.

    Raises:
        ConfigurationError: HTTP cannot carry one; aiohttp would notice only once it has a connection.
    """
    headers: CIMultiDict[str] = CIMultiDict()
    for layer in layers:
        headers.update(layer)
    for name, value in headers.items():
        if not (name.isprintable() and value.isprintable()):
            raise ConfigurationError("a header holds characters that HTTP cannot carry")
    return CIMultiDictProxy(headers)


def _decides(status: int) -> bool:
    """Whether a status tells what became of the request, whatever its body says: a success is one only as a whole."""
    return not 200 <= status <= 299


def _in_session(credentials: Mapping[str, str]) -> bool:
    return not credentials.get("Authorization", "").startswith("Basic ")


async def _body(
    response: aiohttp.ClientResponse,
    passage: Passage,
    seconds: float,
    *,
    at_once: bool,
) -> tuple[bytes, str | None]:
    """Return the body of a response, and what is wrong with it."""
    if response.status == 408 and passage.reuses:
        response.close()
        raise AnswerLost(_TIRED, sent=True)
    try:
        # Most bodies have come whole with their headers.
        return await read(response, is_here=at_once and response.content.is_eof()), None
    except BodyLost as lost:
        if not _decides(response.status):
            raise _lost(lost, response.status, seconds) from None
        return lost.body, lost.flaw


def _lost(lost: BodyLost, status: int, seconds: float) -> OmedaAsyncError:
    """Return the error of a success whose body is lost."""
    if lost.is_too_large:
        return UnreadableAnswer(f"the answer is {lost.flaw}", sent=True, status=status, body=lost.body)
    if lost.timed_out:
        return AnswerLost(f"no whole answer within {seconds:g} s", sent=True, timed_out=True)
    return AnswerLost(f"the answer was lost: it is a {status}, and its body is {lost.flaw}", sent=True)


def _failure(
    error: Exception, passage: Passage, base_url: str, seconds: float, connect_seconds: float
) -> OmedaAsyncError:
    """Return what a request without an answer has ended with: is it certain that it never left?"""
    host = _url(base_url).raw_host or ""
    # Some of these are ValueErrors too, so that they come first.
    if not passage.left and (passage.reached or isinstance(error, NEVER_LEFT)):
        is_first = isinstance(error, SpokenTo)
        return spoke_first(host) if is_first else connection_failed(error, host, min(seconds, connect_seconds))
    if isinstance(error, TimeoutError):
        return AnswerLost(f"no whole answer within {seconds:g} s", sent=True, timed_out=True)
    if isinstance(error, ValueError) and not passage.reached:
        refused = f"the HTTP session refuses the request ({tell(error)}): it must not sign requests itself"
        return ConfigurationError(refused)
    return answer_lost(error)
