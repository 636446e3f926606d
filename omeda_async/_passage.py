"""One request's way to a connection: which one it may use, and what is certain when it breaks off.

aiohttp reads whatever comes on an idle connection as the next request's answer. It tells nobody which connections it
keeps, so that this module looks into its pool.
"""

import contextlib
import select
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection

from omeda_async._failures import answer_lost

_Send = Callable[[Connection], Coroutine[Any, Any, aiohttp.ClientResponse]]


class SpokenTo(Exception):
    """Bytes have come on a connection that nobody has asked for anything."""


class Passage:
    """The innermost middleware of one request: it chooses the connection, and lets nobody repeat the request.

    aiohttp sends a GET or PUT again by itself when the connection ends: the limiter would not know.
    """

    reached = False
    """Whether the request has come here; before that, only the caller's own middlewares have seen it."""
    left = False
    """Whether its first byte may have been written."""
    reuses = False
    """Whether its connection has carried another request before."""
    _parser: Any = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.reached = True
        connector = request.session.connector
        request.send = partial(self._send, request.send)  # type: ignore[method-assign]  # the last step before the write
        while True:
            self.reuses = connector is not None and _has_quiet(connector, request.connection_key)
            try:
                return await handler(request)
            except SpokenTo:
                if not self.reuses:
                    raise
            except ClientConnectorError:
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if not self.left:
                    raise
                raise answer_lost(error) from None

    async def _send(self, send: _Send, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        if protocol is None or _was_spoken_to(protocol) or (self._is_plain(protocol) and _is_readable(protocol)):
            raise SpokenTo
        self.left, self._parser = True, protocol._parser  # noqa: SLF001 nothing else has read what is broken
        return await send(connection)

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
