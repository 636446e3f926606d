"""A connection that cannot be made: the error says what is the matter in a user's words, and what to do about it."""

import asyncio
import errno
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from omeda_async import AnswerLost, ConnectionFailed
from omeda_async._transport import Transport
from tests.core.raw import GET, OK, POST, Server, says, self_signed, send, serving, transporting, trusting

REQUESTS = pytest.mark.parametrize("request_", [POST, GET], ids=lambda one: one.method)


class Resolver(AbstractResolver):
    """Knows no name, or one address for all."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        """Say so."""
        if self._address is None:
            raise OSError(None, "Name or service not known")
        return [ResolveResult(hostname=host, host=self._address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """There is nothing to close."""


@asynccontextmanager
async def connecting(proxy: str | None = None, **options: Any) -> AsyncIterator[Transport]:
    """A transport whose connections are made so."""
    connector = aiohttp.TCPConnector(**options)
    async with aiohttp.ClientSession(connector=connector, proxy=proxy) as session, transporting(session) as transport:
        yield transport


async def failure(transport: Transport, url: str, request: Any = POST, **options: Any) -> ConnectionFailed:
    """What sending ends in; it is the same after a pickle, and certain."""
    with pytest.raises(ConnectionFailed, match="could not connect: ") as caught:
        await send(transport, url, request, **options)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 our own
    assert (error.sent, str(error), error.__cause__) == (False, str(caught.value), None)
    assert "Client" not in str(error).replace("aiohttp.ClientSession(", "")
    assert isinstance(error, ConnectionFailed)
    return error


@REQUESTS
async def test_a_name_that_nobody_knows(request_: Any) -> None:
    """The name, and the setting it stands in."""
    async with connecting(resolver=Resolver(None)) as transport:
        error = await failure(transport, "https://ows.omeda.example", request_)
    assert "no address was found for the name ows.omeda.example: check base_url" in str(error)
    assert (error.cause, error.retryable) == ("name", True)


async def test_a_name_of_a_proxy_that_nobody_knows() -> None:
    """It is the proxy's URL that is wrong, not ours."""
    async with connecting("http://proxy.example:3128", resolver=Resolver(None)) as transport:
        error = await failure(transport, "https://ows.omeda.example")
    assert "no address was found for the name proxy.example: check the proxy's URL" in str(error)


@REQUESTS
async def test_a_certificate_that_nobody_trusts(request_: Any, tmp_path: Path) -> None:
    """It is never tried again, and the error says how to trust it."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server is told of the refusal, and logs it
    async with serving(says(OK), self_signed(tmp_path)) as server, transporting() as transport:
        error = await failure(transport, server.url, request_)
    assert "is not trusted (self-signed certificate): " in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert "ssl=ssl.create_default_context(cafile=" in str(error)
    assert "--ca-file" in str(error)
    assert (error.cause, error.retryable, server.requests) == ("certificate", False, [])


async def test_a_certificate_of_another_host(tmp_path: Path) -> None:
    """What it is for is said, too."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    tls = self_signed(tmp_path)
    async with (
        serving(says(OK), tls) as server,
        connecting(resolver=Resolver("127.0.0.1"), ssl=trusting(tmp_path)) as transport,
    ):
        error = await failure(transport, server.url.replace("127.0.0.1", "other.example"))
    assert "Hostname mismatch" in str(error)
    assert (error.cause, error.retryable, server.requests) == ("certificate", False, [])


async def test_a_certificate_with_another_fingerprint(tmp_path: Path) -> None:
    """A session that pins one is as strict."""
    async with (
        serving(says(OK), self_signed(tmp_path)) as server,
        connecting(ssl=aiohttp.Fingerprint(b"x" * 32)) as transport,
    ):
        error = await failure(transport, server.url)
    assert (error.cause, error.retryable, server.requests) == ("certificate", False, [])


async def test_a_server_without_tls() -> None:
    """Most likely the URL's scheme or its port is wrong."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with transporting() as transport:
        error = await failure(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    assert "no TLS with 127.0.0.1" in str(error)
    assert "begins with http://" in str(error)
    assert (error.cause, error.retryable) == ("tls", True)


ALERT = bytes.fromhex("15030100020246")
IN_WORDS = [
    b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>",
    b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    b"Client sent an HTTP request to an HTTPS server.\n",
    b"Bad Request\nThis combination of host and port requires TLS.\n",
]


@pytest.mark.parametrize(
    "said",
    [ALERT, *(b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%s" % (len(words), words) for words in IN_WORDS)],
    ids=["an alert", "nginx", "Apache", "Go", "Tomcat"],
)
async def test_plain_http_to_a_port_of_tls(said: bytes) -> None:
    """The server has refused whatever it was, and will again: the scheme is wrong."""
    async with serving(says(said, close=True)) as server, transporting() as transport:
        error = await failure(transport, server.url)
    assert "begin base_url with https://" in str(error)
    assert (error.cause, error.retryable) == ("tls", False)


async def test_an_alert_of_tls_on_a_connection_that_has_carried_http_refuses_nothing() -> None:
    """There the port is none of TLS: what came is no answer, and the request may have been carried out."""
    answers = [OK, b"\x15\x03\x01\x00\x02\x02\x46"]

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(talk) as server, transporting() as transport:
        await send(transport, server.url)
        with pytest.raises(AnswerLost) as caught:
            await send(transport, server.url)
    assert caught.value.sent


@REQUESTS
async def test_plain_http_to_a_port_of_tls_that_says_nothing(request_: Any, tmp_path: Path) -> None:
    """Others end a connection without a word, too, so that nothing is certain; what may be the matter is said."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with serving(says(OK), self_signed(tmp_path)) as server, transporting() as transport:
        with pytest.raises(AnswerLost, match="if the port is one of TLS, begin base_url with https://"):
            await send(transport, server.url.replace("https:", "http:"), request_)


async def test_a_400_of_a_providers_is_one() -> None:
    """Whatever the scheme, other words are the provider's."""
    async with serving(says(b"HTTP/1.1 400 X\r\nContent-Length: 2\r\n\r\n{}")) as server, transporting() as transport:
        assert (await send(transport, server.url, POST)).body == b"{}"


async def test_a_handshake_that_is_broken_off() -> None:
    """What the system calls it, and nothing of aiohttp."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await says(reset=True)(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with transporting() as transport:
        error = await failure(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()
    assert "no connection to 127.0.0.1:" in str(error)
    assert (error.cause, error.retryable) == ("other", True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@REQUESTS
async def test_a_port_where_nobody_listens(request_: Any) -> None:
    """Address and port, the setting, and the proxy that may be needed."""
    port = _free_port()
    async with transporting() as transport:
        error = await failure(transport, f"http://127.0.0.1:{port}", request_)
    assert f"nobody listens at 127.0.0.1:{port} (connection refused): check base_url" in str(error)
    assert "proxy=" in str(error)
    assert error.cause == "refused"


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
async def test_a_network_without_a_way_there(number: int) -> None:
    """The network is at fault, or wants a proxy."""

    def no_socket(_: object) -> socket.socket:
        raise OSError(number, "No route to host")

    async with connecting(resolver=Resolver("192.0.2.1"), socket_factory=no_socket) as transport:
        error = await failure(transport, "https://ows.omeda.example")
    assert "there is no way to ows.omeda.example:443 (No route to host)" in str(error)
    assert error.cause == "unreachable"


async def test_a_connection_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and seconds are told; a firewall is the usual reason."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("aiohappyeyeballs.start_connection", never)
    async with transporting() as transport:
        error = await failure(transport, "http://127.0.0.1:1", connect_timeout=5.0)
    assert "no connection to 127.0.0.1 within 5 s" in str(error)
    assert (error.cause, error.retryable) == ("timeout", True)


@REQUESTS
async def test_a_proxy_that_cannot_be_reached(request_: Any) -> None:
    """The proxy is named, and where it is set."""
    port = _free_port()
    async with connecting(f"http://127.0.0.1:{port}") as transport:
        error = await failure(transport, "https://ows.omeda.example", request_)
    assert f"the proxy 127.0.0.1:{port} cannot be reached" in str(error)
    assert "HTTPS_PROXY" in str(error)
    assert error.cause == "proxy"


@pytest.mark.parametrize(
    ("status", "words"), [(407, "wants a name and a password"), (502, "answered 502"), (403, "403")]
)
@REQUESTS
async def test_a_proxy_that_lets_nobody_through(status: int, words: str, request_: Any) -> None:
    """The request never left: the proxy was asked for a connection only."""
    talk = says(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status, close=True)
    async with serving(talk) as server, connecting(server.url) as transport:
        error = await failure(transport, "https://ows.omeda.example", request_)
    assert words in str(error)
    assert "***" not in str(error)  # as what looks like an address is shown
    assert error.cause == "proxy"
    assert [head.split(b"\r\n")[0] for head in server.requests] == [b"CONNECT ows.omeda.example:443 HTTP/1.1"]


@pytest.mark.parametrize("words", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_a_proxy_that_breaks_off(words: bytes) -> None:
    """Nothing of the request has been written then, whatever aiohttp calls it."""
    async with serving(says(words, close=True)) as server, connecting(server.url) as transport:
        error = await failure(transport, "https://ows.omeda.example")
    assert (error.cause, error.retryable) == ("proxy", True)
    assert f"the proxy {server.url.removeprefix('http://')} " in str(error)


async def test_a_connection_that_ends_before_the_request() -> None:
    """Where it is certain that nothing was written, it is told so."""

    async def end(*_: object) -> None:
        server.writers[-1].transport.abort()
        for _step in range(10):
            await asyncio.sleep(0)

    server: Server
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(end)
    async with (
        serving(says(OK)) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        transporting(session) as transport,
    ):
        await send(transport, server.url)
        assert (await send(transport, server.url)).status == 200
    assert (server.connections, len(server.requests)) == (2, 2)
