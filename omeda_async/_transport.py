"""The HTTP session and the way of a request through it: the only modules that use aiohttp's client are these four.

``_requests`` makes what goes out, ``_body`` reads what comes back, and ``_failures`` tells of what does neither.
"""

import asyncio
import contextlib
import platform
import select
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection
from multidict import CIMultiDict, CIMultiDictProxy

from omeda_async._body import MAX_BODY, BodyLost, read
from omeda_async._failures import (
    LONGEST_LINE,
    NEVER_LEFT,
    answer_lost,
    connection_failed,
    is_of_the_body,
    spoke_first,
    tell,
)
from omeda_async._operation import Lapsed, Request, Response
from omeda_async._requests import check_borrowed, merged, timeouts, url_of, without_cookies
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
_Send = Callable[[Connection], Coroutine[Any, Any, aiohttp.ClientResponse]]
_Write = Callable[..., Coroutine[Any, Any, None]]
_WRITES_LATER = sys.version_info < (3, 12)
"""Whether aiohttp writes a body in a task that begins after what is ready now, such as a read."""


class SpokenTo(Exception):
    """Bytes have come on a connection that nobody has asked for anything."""


class Passage:
    """The innermost middleware of one request: it looks at the connection, and lets nobody repeat the request.

    aiohttp takes whatever comes on an idle connection for the next request's answer, and tells nobody which connections
    it keeps, so that this looks into its pool. It also sends a GET or PUT again by itself when the connection ends: the
    limiter would not know.
    """

    reached = False
    """Whether the request has come here; before that, only the caller's own middlewares have seen it."""
    left = False
    """Whether its first byte may have been written, now or when a middleware of the caller's sent it before."""
    reuses = False
    """Whether its connection has carried another request before."""
    is_late: Callable[[], bool] | None = None
    """Asked right before the first byte, where there is something to ask: whether it must not be written any more."""
    lapsed = False
    """Whether that was so."""
    _spoken_to = False
    _parser: Any = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.reached = True
        connector, later = request.session.connector, _WRITES_LATER and bool(request.body)
        request.send = partial(self._send, request.send, later)  # type: ignore[method-assign]
        if later:
            request.write_bytes = partial(self._write, request.write_bytes)  # type: ignore[method-assign]
        while True:
            self.reuses = connector is not None and _has_quiet(connector, request.connection_key)
            self._spoken_to = False
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 each goes on as it is, or as ours
                if not self._spoken_to:
                    raise self._told(error) from None
            else:
                if not self._spoken_to:
                    return response
                response.close()
            if self.lapsed or not self.reuses:
                raise SpokenTo

    async def _send(self, send: _Send, later: bool, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        if protocol is None or _was_spoken_to(protocol) or not (later or _is_silent(protocol, reused=self.reuses)):
            self._spoken_to = True
            raise SpokenTo
        if not later:
            if self.is_late is not None and self.is_late():
                self.lapsed = self._spoken_to = True
                raise SpokenTo
            self.left, self._parser = True, protocol._parser  # noqa: SLF001 nothing else has read what is broken
        return await send(connection)

    async def _write(self, write: _Write, writer: AbstractStreamWriter, connection: Connection, *length: Any) -> None:
        protocol = connection.protocol
        if self.is_late is not None and self.is_late():
            self.lapsed = True
        elif protocol is not None and not _was_spoken_to(protocol) and _is_silent(protocol, reused=self.reuses):
            self.left, self._parser = True, protocol._parser  # noqa: SLF001 nothing else has read what is broken
            return await write(writer, connection, *length)
        self._spoken_to = True
        if protocol is not None:
            protocol.set_exception(SpokenTo())
        return None

    def _told(self, error: Exception) -> Exception:
        """Return the error that keeps everybody from sending it again, if it may have left."""
        broken_off = isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
        return answer_lost(error) if self.left and broken_off and not isinstance(error, ClientConnectorError) else error

    def head_seen(self) -> tuple[int, Mapping[str, str]] | None:
        """Return the status and the headers that came before a body whose parts could not be parsed."""
        with contextlib.suppress(Exception):
            self._parser.feed_data(b"")  # it fails again, and gives up the body that it was waiting for
        with contextlib.suppress(Exception):
            head = self._parser.feed_eof()
            return None if head is None else (head.code, head.headers)
        return None


def _has_quiet(connector: BaseConnector, key: Any) -> bool:
    """Close the first connections in line that have been spoken to; return whether one is left to be used again."""
    idle = connector._conns.get(key)  # noqa: SLF001 nothing public tells
    while idle:
        protocol = idle[0][0]
        if not _was_spoken_to(protocol):
            return True
        idle.popleft()
        protocol.close()
    return False


def _was_spoken_to(protocol: ResponseHandler) -> bool:
    """Whether something has come since the last answer: a whole one, nonsense, or the beginning of one."""
    if protocol.should_close or not protocol.is_connected():
        return True
    parser = protocol._parser  # noqa: SLF001 nothing public tells of half a head
    return parser is not None and parser.feed_eof() is not None


def _is_silent(protocol: ResponseHandler, *, reused: bool) -> bool:
    """Whether neither bytes nor the other side's end wait to be read."""
    transport = protocol.transport
    if transport is None:
        return False
    if not reused and transport.get_extra_info("sslcontext") is not None:
        return True  # after the handshake a TLS server sends tickets, which are no words
    socket = transport.get_extra_info("socket")
    if socket is None:
        return True
    if not hasattr(select, "poll"):  # Windows
        return not select.select([socket.fileno()], [], [], 0)[0]
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return not poll.poll(0)


class Transport:
    """Own or borrow one HTTP session, and send requests through it.

    Args:
        borrowed: A session of the caller's, which is never closed here; None makes one on first use.

    Raises:
        ConfigurationError: What is borrowed is no session, or signs requests itself.
    """

    def __init__(self, borrowed: ClientSession | None = None) -> None:
        if borrowed is not None:
            check_borrowed(borrowed)
        self._borrowed = borrowed
        self._own: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signed: tuple[Mapping[str, str], Mapping[str, str], CIMultiDictProxy[str]] = ({}, {}, merged())
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
        is_late: Callable[[], bool] | None = None,
    ) -> Response:
        """Send one request and read its whole answer.

        Args:
            base_url: What the request's path is put behind.
            request: What to send.
            headers: The credentials, and what goes with them.
            timeout: Seconds for the whole attempt.
            connect_timeout: Seconds to connect.
            is_late: Whether the request must not be sent any more, asked right before its first byte; None where it
                always may.

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
        if is_late is not None:
            passage.is_late = is_late
        # One call after the other is signed with the very same two mappings, which nobody changes.
        own, credentials, signed = self._signed
        if own is not request.headers or credentials is not headers:
            signed = merged(_COMMON, request.headers, headers)
            self._signed = (request.headers, headers, signed)
        in_session = not headers.get("Authorization", "").startswith("Basic ")
        try:
            response = await session.request(
                request.method,
                url_of(base_url + request.path),
                data=request.body,
                headers=signed,
                timeout=timeouts(timeout, connect_timeout),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                max_line_size=LONGEST_LINE,
                max_field_size=LONGEST_LINE,
                middlewares=(passage,) if self._borrowed is None else self._middlewares(passage, base_url, headers),
            )
        except (SpokenTo, TimeoutError, ValueError, aiohttp.ClientError, OSError) as error:
            if passage.lapsed:
                raise Lapsed("the permit had lapsed before the request could be sent") from None
            head = passage.head_seen() if is_of_the_body(error) else None
            if head is None or not _decides(head[0]):
                raise _failure(error, passage, base_url, timeout, connect_timeout) from None
            return Response(*head, b"", _NO_CHUNKS, base_url, in_session)
        status, found, content = response.status, response.headers, response.content
        at_once = self._borrowed is None and len(request.body or b"") <= AT_ONCE and content.is_eof()
        if at_once and not (status == 408 or "Content-Encoding" in found or content.total_bytes > MAX_BODY):
            return Response(status, found, content.read_nowait(), None, base_url, in_session)  # as most come
        body, flaw = await _body(response, passage, timeout, is_here=at_once)
        return Response(status, found, body, flaw, base_url, in_session)

    def _middlewares(
        self, passage: Passage, base_url: str, credentials: Mapping[str, str]
    ) -> tuple[aiohttp.ClientMiddlewareType, ...]:
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


def _decides(status: int) -> bool:
    """Whether a status tells what became of the request, whatever its body says: a success is one only as a whole."""
    return not 200 <= status <= 299


async def _body(
    response: aiohttp.ClientResponse,
    passage: Passage,
    seconds: float,
    *,
    is_here: bool,
) -> tuple[bytes, str | None]:
    """Return the body of a response, and what is wrong with it."""
    if response.status == 408 and passage.reuses:
        response.close()
        raise AnswerLost(_TIRED, sent=True)
    try:
        return await read(response, is_here=is_here), None
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
    host = url_of(base_url).raw_host or ""
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
