"""The HTTP session and the way of a request through it: the only modules that use aiohttp's client are these five.

``_requests`` makes what goes out, ``_passage`` looks after its connection, ``_body`` reads what comes back, and
``_failures`` tells of what does neither.
"""

import asyncio
import platform
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from omeda_async._body import MAX_BODY, BodyLost, read
from omeda_async._failures import (
    LONGEST_LINE,
    NEVER_LEFT,
    body_lost,
    connection_failed,
    is_of_the_body,
    no_answer,
    refused_by_session,
    refused_plain,
    spoke_first,
    tls_asked_for,
)
from omeda_async._operation import Lapsed, Request, Response
from omeda_async._passage import Passage, SpokenTo
from omeda_async._proxies import Network
from omeda_async._requests import (
    DIRECT,
    Way,
    check_borrowed,
    merged,
    through_proxies,
    timeouts,
    url_of,
    way_to,
    without_session,
)
from omeda_async._version import __version__
from omeda_async.errors import AnswerLost, ClosedError, OmedaAsyncError

ClientSession: TypeAlias = aiohttp.ClientSession
"""What may be borrowed; the name is for those who must not know aiohttp's client."""

AT_ONCE = 32 * 1024
"""Bytes of a request that asyncio takes at once: of a longer one some may not have left when its answer comes."""
USER_AGENT = f"omeda-async/{__version__} (aiohttp/{aiohttp.__version__}; Python/{platform.python_version()})"
# Omeda asks for a content type on every call, with or without a body (Omeda: Technical Requirements).
_COMMON = {"User-Agent": USER_AGENT, "Accept": "application/json", "Content-Type": "application/json"}
# A server that is tired of an idle connection says so while the request is on its way (RFC 9110, section 15.5.9).
_TIRED = "answered 408 on a connection that was kept: the server had given it up, and may not have read the request"
_LOOKED_INTO = frozenset({400, 408})
_AS_IT_COMES: Any = {
    "allow_redirects": False,
    "raise_for_status": False,
    "auto_decompress": False,
    "max_line_size": LONGEST_LINE,
    "max_field_size": LONGEST_LINE,
}
"""How any response is taken, whatever a borrowed session would do with it."""
_PLAIN = "http:"
_NO_CHUNKS = "not in chunks, as its headers say"
_NO_PROXIES = Network()
_ELSEWHERE = "the session manager belongs to another event loop; make one per loop"


class Transport:
    """Own or borrow one HTTP session, and send requests through it.

    Args:
        borrowed: A session of the caller's, which is never closed here; None makes one on first use.
        network: How requests of a session of our own leave.

    Raises:
        ConfigurationError: What is borrowed is no session, or signs requests itself.
    """

    def __init__(self, borrowed: ClientSession | None = None, network: Network = _NO_PROXIES) -> None:
        if borrowed is not None:
            check_borrowed(borrowed)
        self._borrowed = borrowed
        self._own: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signed: tuple[Mapping[str, str], Mapping[str, str], CIMultiDictProxy[str]] = ({}, {}, merged())
        self._with_cookies: set[str] = set()
        self._network = network
        self._ways: dict[str, Way] = {}
        self.closed = False

    @property
    def unclosed(self) -> bool:
        """Whether a session of ours is open."""
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
            raise ClosedError(_ELSEWHERE)

    def is_left_behind(self) -> bool:
        """Whether its event loop is closed, so that nothing on it can be awaited.

        Raises:
            ClosedError: It is open, and belongs to another event loop that is not closed.
        """
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return False
        if not (self._loop.is_closed() or self.closed):
            raise ClosedError(_ELSEWHERE)
        return self._loop.is_closed()

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
            # It trusts no environment: for that aiohttp would read .netrc, and sign what is not its to sign.
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, ssl=self._network.context or True)
            self._own = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(through_proxies(self._network),) if self._network.has_proxies else (),
            )
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
        is_late: Callable[[], bool] | None = None,
    ) -> Response:
        """Send one request and read its whole answer.

        Args:
            base_url: What the request's path is put behind.
            request: What to send.
            headers: The credentials, and what goes with them.
            timeout: Seconds for the whole attempt.
            connect_timeout: Seconds to connect.
            is_late: Asked right before the first byte: whether it must not be sent any more; None where it always may.

        Raises:
            Lapsed: It was too late; the request never left.
            ConnectionFailed: The request never left.
            AnswerLost: It may have left, and no whole answer came back.
            ConfigurationError: No request can be made of it, so that it never left.
            UnreadableAnswer: It is a success of more than 16 MiB.
            ClosedError: There is no session to send it with.

        Cancelling it closes the connection; the request may have been carried out.
        """
        session, passage = self.session(), Passage()
        passage.is_late = is_late
        proxy, for_proxy = self._ways.get(base_url) or self._way(base_url)
        in_session = not headers.get("Authorization", "").startswith("Basic ")
        try:
            response = await session.request(
                request.method,
                url_of(base_url + request.path),
                data=request.body,
                headers=self._sign(request.headers, headers),
                timeout=timeouts(timeout, connect_timeout),
                proxy=proxy,
                proxy_headers=for_proxy,
                middlewares=(passage,) if self._borrowed is None else self._middlewares(passage, base_url, headers),
                **_AS_IT_COMES,
            )
        except (asyncio.CancelledError, OmedaAsyncError) as error:
            raise error.with_traceback(None) from None  # aiohttp's frames hold what the request was signed with
        except (SpokenTo, TimeoutError, ValueError, aiohttp.ClientError, OSError) as error:
            if (head := _deciding_head(error, passage)) is None:
                raise self._failure(error, passage, base_url, timeout, connect_timeout) from None
            return Response(*head, b"", _NO_CHUNKS, base_url, in_session)
        finally:
            del headers, for_proxy  # whatever shows an error with what its frames hold would show secrets
        status, found, content = response.status, response.headers, response.content
        at_once = self._borrowed is None and len(request.body or b"") <= AT_ONCE and content.is_eof()
        if at_once and not (status in _LOOKED_INTO or "Content-Encoding" in found or content.total_bytes > MAX_BODY):
            return Response(status, found, content.read_nowait(), None, base_url, in_session)  # as most come
        body, flaw = await _body(response, passage, base_url, timeout, is_here=at_once)
        return Response(status, found, body, flaw, base_url, in_session)

    def _sign(self, own: Mapping[str, str], credentials: Mapping[str, str]) -> CIMultiDictProxy[str]:
        # Call after call is signed with the very same two mappings, which nobody changes.
        if self._signed[0] is not own or self._signed[1] is not credentials:
            self._signed = (own, credentials, merged(_COMMON, own, credentials))
        return self._signed[2]

    def _way(self, base_url: str) -> Way:
        way = DIRECT if self._borrowed is not None else way_to(self._network.proxy_for(base_url))
        self._ways[base_url] = way
        return way

    def _middlewares(
        self, passage: Passage, base_url: str, credentials: Mapping[str, str]
    ) -> tuple[aiohttp.ClientMiddlewareType, ...]:
        theirs: tuple[aiohttp.ClientMiddlewareType, ...] = getattr(self._borrowed, "_middlewares", ())
        cookies = base_url in self._with_cookies
        return (without_session(CIMultiDict(credentials), cookies=cookies), *theirs, passage)

    @staticmethod
    def _failure(
        error: Exception, passage: Passage, base_url: str, seconds: float, connect_seconds: float
    ) -> OmedaAsyncError:
        """Return the error of a request without an answer, which says whether it certainly never left."""
        if passage.lapsed:
            return Lapsed("the permit had lapsed before the request could be sent")
        host = url_of(base_url).raw_host or ""
        # Some of these are ValueErrors too, so that they come first.
        if not passage.left and (passage.reached or isinstance(error, NEVER_LEFT)):
            if isinstance(error, SpokenTo):
                return spoke_first(host)
            return connection_failed(error, host, min(seconds, connect_seconds), passage.proxy)
        if isinstance(error, ValueError) and not isinstance(error, TimeoutError) and not passage.reached:
            return refused_by_session(error)
        plain = base_url.startswith(_PLAIN) and passage.proxy is None and not passage.reuses
        return (refused_plain(error) if plain else None) or no_answer(error, seconds)

    async def aclose(self) -> None:
        """Close the session if it is ours; further use is an error."""
        self.closed = True
        if self._own is not None:
            own, self._own = self._own, None
            await own.close()


def _decides(status: int) -> bool:
    """Whether a status alone tells what became of the request: a success counts only with its whole body."""
    return not 200 <= status <= 299


def _deciding_head(error: Exception, passage: Passage) -> tuple[int, Mapping[str, str]] | None:
    """Return status and headers before a body that cannot be read, if the status tells what became of the request."""
    head = passage.head_seen() if is_of_the_body(error) else None
    return head if head is not None and _decides(head[0]) else None


async def _body(
    response: aiohttp.ClientResponse, passage: Passage, base_url: str, seconds: float, *, is_here: bool
) -> tuple[bytes, str | None]:
    """Return the body of a response, and what is wrong with it."""
    status, flaw = response.status, None
    if status == 408 and passage.reuses:
        response.close()
        raise AnswerLost(_TIRED, sent=True)
    try:
        body = await read(response, is_here=is_here)
    except BodyLost as lost:
        if not _decides(status):
            raise body_lost(lost, status, seconds) from None
        body, flaw = lost.body, lost.flaw
    if status == 400 and base_url.startswith(_PLAIN) and (wanted := tls_asked_for(body)) is not None:
        raise wanted
    return body, flaw
