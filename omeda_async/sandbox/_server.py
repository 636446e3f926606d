"""The HTTP server on the loopback interface, and how a response leaves: whole, cut or not at all."""

from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus

import attrs
from aiohttp import web

from omeda_async.sandbox import _control, _page
from omeda_async.sandbox._callers import is_cross_site, is_foreign, is_local
from omeda_async.sandbox._exchange import Exchange
from omeda_async.sandbox._faults import FaultPoint
from omeda_async.sandbox._message import Api, Incoming, Response, json_response
from omeda_async.sandbox._watch import Watch

# aiohttp reads zero as "wait for ever".
_SHUTDOWN_SECONDS = 0.05
_FOREIGN = json_response(403, {"error": "this sandbox has another name: give Sandbox(hosts=…) its own"})
_CROSS_SITE = json_response(403, {"error": "a page of another site may not call a sandbox"})
_REMOTE = json_response(403, {"error": "a sandbox is watched from its own machine only"})
_FULL = json_response(503, {"error": "too many watch this sandbox"}, {"Retry-After": "5"})


@attrs.define(eq=False)
class Server:
    """Receives requests and sends the responses; everything between is the exchange's."""

    exchange: Exchange
    names: Collection[str] = ()
    """What it may be called, beside its address and names of this machine."""
    _watch: Watch = attrs.field(init=False)
    _runner: web.ServerRunner | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._watch = Watch(self.exchange)

    @property
    def url(self) -> str | None:
        """Return the base URL, or None while it does not listen."""
        if self._runner is None:
            return None
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self, host: str, port: int) -> None:
        """Start to listen.

        Raises:
            OSError: The port is taken.
        """
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._watch.open()
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening; requests still in work are dropped."""
        runner, self._runner = self._runner, None
        self._watch.close()
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = Incoming(method=request.method, target=request.raw_path, headers=request.headers)
        refusal = self._refusal(request, incoming)
        if refusal is not None:  # whatever else it would send
            return _sent(refusal)
        try:
            incoming.body = await request.content.read()
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400)
        api = self.exchange.state.api_of(incoming)
        if api is not None:
            return await self._exchanged(api, request, incoming)
        if incoming.path == _page.EVENTS:
            return await self._stream(request)
        return _sent(self._own(incoming))

    def _own(self, incoming: Incoming) -> Response:
        """Respond to what is for the sandbox itself."""
        if incoming.path in _page.FILES:
            return _page.respond(incoming)
        if incoming.segments[0] == "_sandbox":
            return _control.respond(self.exchange.state, incoming).with_headers(_page.SAFE)
        return json_response(404, {"error": "no provider has this path"})

    async def _exchanged(self, api: Api, request: web.BaseRequest, incoming: Incoming) -> web.StreamResponse:
        """Respond as a provider, and with whatever goes wrong on the way."""
        response, fault = await self.exchange.respond(api, incoming, request.transport)
        if response is None:
            _hang_up(request)
        elif fault is not None and fault.where is FaultPoint.MID:
            _hang_up(request, _half(response))
        return _sent(response or Response(500))

    def _refusal(self, request: web.BaseRequest, incoming: Incoming) -> Response | None:
        """Return what somebody gets who may not call, or None."""
        address = (request.transport.get_extra_info("sockname") or [None])[0] if request.transport else None
        if is_foreign(request.headers.get("Host"), self.names, address):
            return _FOREIGN
        if is_cross_site(request.headers) and not _page.is_harmless(incoming):
            return _CROSS_SITE
        if incoming.path in _page.PATHS and not is_local(_peer(request)):
            return _REMOTE
        return None

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send events for as long as somebody reads them."""
        if request.method != "GET":
            return _sent(_page.ONLY_GET)
        if request.transport is None:
            return web.Response(status=400)
        with self._watch.place(request.transport) as reader:
            if reader is None:
                return _sent(_FULL)
            response = web.StreamResponse(headers=_page.STREAM_HEADERS)
            with suppress(ConnectionError):
                await response.prepare(request)
                await self._watch.tell(reader, response.write)
            return response


def _peer(request: web.BaseRequest) -> object:
    return None if request.transport is None else request.transport.get_extra_info("peername")


def _sent(response: Response) -> web.Response:
    headers = {"Content-Type": response.content_type, **response.headers}
    return web.Response(status=response.status, body=response.body, headers=headers)


def _half(response: Response) -> bytes:
    """Return a response up to the middle of its body; of one without a body, the middle of its head."""
    phrase = HTTPStatus(response.status).phrase
    head = f"HTTP/1.1 {response.status} {phrase}\r\nContent-Type: {response.content_type}\r\n"
    if not response.body:
        return head.encode()
    length = len(response.body)
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + response.body[: length // 2]


def _hang_up(request: web.BaseRequest, last_words: bytes = b"") -> None:
    """Close the connection of a request, perhaps after some bytes."""
    transport = request.transport
    if transport is None:
        return
    if last_words:
        transport.write(last_words)
    transport.close()
