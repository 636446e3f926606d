"""One request's way to a connection: which one it may use, and what is certain when it breaks off.

aiohttp reads whatever comes on an idle connection as the next request's answer. It tells nobody which connections it
keeps, so that this module looks into its pool.
"""

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

from omeda_async._failures import answer_lost

_Send = Callable[[Connection], Coroutine[Any, Any, aiohttp.ClientResponse]]
_Write = Callable[..., Coroutine[Any, Any, None]]
_WRITES_LATER = sys.version_info < (3, 12)
"""Whether aiohttp writes a body in a task that begins after what is ready now, such as a read."""


class SpokenTo(Exception):
    """Bytes have come on a connection that nobody has asked for anything."""


class Passage:
    """The innermost middleware of one request: it chooses the connection, and lets nobody repeat the request.

    aiohttp sends a GET or PUT again by itself when the connection ends: the limiter would not know.
    """

    reached = False
    """Whether the request has come here; before that, only the caller's own middlewares have seen it."""
    left = False
    """Whether its first byte may have been written, now or when a middleware of the caller's sent it before."""
    reuses = False
    """Whether its connection has carried another request before."""
    _spoken_to = False
    _parser: Any = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.reached = True
        self._watch(request)
        connector = request.session.connector
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
            if not self.reuses:
                raise SpokenTo

    def _watch(self, request: aiohttp.ClientRequest) -> None:
        """Look at the connection at the last moment before the request is written."""
        request.send = partial(self._send, request.send, later=_WRITES_LATER and bool(request.body))  # type: ignore[method-assign]
        if _WRITES_LATER:
            request.write_bytes = partial(self._write, request.write_bytes)  # type: ignore[method-assign]

    async def _send(self, send: _Send, connection: Connection, *, later: bool) -> aiohttp.ClientResponse:
        self._look(connection.protocol, unread=not later)
        if self._spoken_to:
            raise SpokenTo
        self.left = self.left or not later
        return await send(connection)

    async def _write(self, write: _Write, writer: AbstractStreamWriter, connection: Connection, *length: Any) -> None:
        protocol = connection.protocol
        self._look(protocol, unread=True)
        if not self._spoken_to:
            self.left = True
            await write(writer, connection, *length)
        elif protocol is not None:
            protocol.set_exception(SpokenTo())

    def _look(self, protocol: ResponseHandler | None, *, unread: bool) -> None:
        if protocol is None or _was_spoken_to(protocol):
            self._spoken_to = True
        elif unread:
            self._spoken_to = self._is_plain(protocol) and _is_readable(protocol)
            self._parser = protocol._parser  # noqa: SLF001 nothing else has read what is broken

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

    def _is_plain(self, protocol: ResponseHandler) -> bool:
        # After the handshake a TLS server sends tickets, which are no words; what was asked before has taken them in.
        transport = protocol.transport
        return self.reuses or transport is None or transport.get_extra_info("sslcontext") is None


def without_cookies(own: str | None) -> aiohttp.ClientMiddlewareType:
    """Return the outermost middleware of a request that neither takes cookies from the session nor leaves any there.

    Args:
        own: The ``Cookie`` header of the request itself, if it has one.
    """

    async def keep_out(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers.popall("Cookie", None)
        if own is not None:
            request.headers["Cookie"] = own
        response = await handler(request)
        response._raw_cookie_headers = None  # noqa: SLF001 what the session puts into its jar
        return response

    return keep_out


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


def _is_readable(protocol: ResponseHandler) -> bool:
    """Whether bytes, or the other side's end, wait to be read."""
    transport = protocol.transport
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None:
        return transport is None
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([found.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))
