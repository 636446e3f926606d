"""The way of one request over its connection: whether the connection is still fit, and what may have left by it."""

import contextlib
import select
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection
from yarl import URL

from omeda_async._failures import answer_lost
from omeda_async._requests import goes_in_clear
from omeda_async.errors import ConfigurationError

_IN_CLEAR = (
    "http_session would send credentials through a proxy in plain http: let it go past the proxy, or begin base_url "
    "with https://, which goes through a tunnel"
)

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
    """Whether its connection has carried another request before, as far as it was chosen."""
    proxy: URL | None = None
    """The proxy it goes through."""
    is_late: Callable[[], bool] | None = None
    """Asked right before the first byte, where there is something to ask: whether it must not be written any more."""
    lapsed = False
    """Whether that was so."""
    _spoken_to = False
    _parser: Any = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.reached, self.proxy = True, request.proxy
        if self.proxy is not None and goes_in_clear(request.url, self.proxy):
            raise ConfigurationError(_IN_CLEAR)
        connector, later = request.session.connector, _WRITES_LATER and bool(request.body)
        request.send = partial(self._send, request.send, later)  # type: ignore[method-assign]
        if later:
            request.write_bytes = partial(self._write, request.write_bytes)  # type: ignore[method-assign]
        try:
            another = False
            while True:
                idle = connector is not None and _has_quiet(connector, request.connection_key)
                self.reuses = self._spoken_to = False
                try:
                    response = await handler(request)
                except Exception as error:  # noqa: BLE001 each goes on as it is, or as ours
                    if not self._spoken_to:
                        raise self._told(error, request.url.scheme) from None
                else:
                    if not self._spoken_to:
                        return response
                    response.close()
                if self.lapsed or (another and not idle):  # who speaks first on every connection is not asked for ever
                    raise SpokenTo
                another = True
        finally:  # else the request would hold itself, and its answer, until the collector comes by
            del request.send
            if later:
                del request.write_bytes

    async def _send(self, send: _Send, later: bool, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        # It has an answer's body, also an empty one, if it has carried a request before, ours or the caller's. It need
        # not have been idle: whoever waits at a session's limit gets it straight from the one before. Half a head that
        # comes in this very moment is lost with the parser before; what follows is no answer without it.
        self.reuses = protocol is not None and protocol._payload is not None  # noqa: SLF001 nothing public tells
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

    def _told(self, error: Exception, scheme: str) -> Exception:
        """Return the error that keeps everybody from sending it again, if it may have left."""
        broken_off = isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
        if not self.left or not broken_off or isinstance(error, ClientConnectorError):
            return error
        return answer_lost(error, plain=scheme == "http" and not self.reuses and self.proxy is None)

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
