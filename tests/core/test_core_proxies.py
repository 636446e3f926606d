"""Through a proxy: https in tunnels of its own, credentials to nobody else, and what never left is certain there."""

import asyncio
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from omeda_async import AnswerLost, ConfigurationError, ConnectionFailed, OmedaAsyncError
from omeda_async._proxies import make_network
from omeda_async._transport import Transport
from tests.core.raw import GET, OK, POST, SECRET, Server, says, self_signed, send, serving, transporting, trusting
from tests.core.test_core_stray import STRAYS, until_read
from tests.core.tunnels import OPEN, ConnectProxy, proxying

PASSWORD = "top-secret/pass@word"
TOLD = {name: STRAYS[name] for name in ("another's receipt", "a time-out", "half a head", "a byte", "no HTTP")}
TOLD["the end"] = b""
NAMED = "http://proxy-user:top-secret%2Fpass%40word@"
REQUESTS = pytest.mark.parametrize("request_", [POST, GET], ids=lambda one: one.method)


@attrs.frozen
class Scene:
    """A TLS server, a proxy that leads there, and a transport that has to go through it."""

    server: Server
    proxy: ConnectProxy
    transport: Transport


@asynccontextmanager
async def scene(
    folder: Path, *, talk: Any = None, named: bool = False, tls: bool = False, **how: Any
) -> AsyncIterator[Scene]:
    """As the arguments say; with ``tls`` the proxy itself is asked over TLS."""
    context = self_signed(folder)
    async with (
        serving(talk or says(OK), context) as server,
        proxying(server.url, context if tls else None, **how) as proxy,
    ):
        url = proxy.url.replace("http://", NAMED) if named else proxy.url
        transport = Transport(None, make_network(url, {}, trusting(folder)))
        try:
            yield Scene(server, proxy, transport)
        finally:
            await transport.aclose()
            await asyncio.sleep(0.05)


async def refused(found: Scene, request: Any = POST, **options: Any) -> ConnectionFailed:
    """What sending ends in: it is certain that nothing left, and nothing secret is told."""
    with pytest.raises(ConnectionFailed, match="could not connect: ") as caught:
        await send(found.transport, found.server.url, request, **options)
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 our own
    shown = "".join([repr(error), str(error), *traceback.format_exception(caught.value)])
    assert not any(secret in shown for secret in (PASSWORD, "top-secret", "proxy-user", "Basic"))
    assert (error.sent, found.server.requests) == (False, [])
    assert isinstance(error, ConnectionFailed)
    return error


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # a broken handshake is logged by the server


@REQUESTS
async def test_https_goes_through_a_tunnel_and_the_proxy_learns_the_host_alone(request_: Any, tmp_path: Path) -> None:
    """It gets its own credentials, and none of the provider's; the tunnel is used again."""
    async with scene(tmp_path, named=True) as found:
        for _ in range(3):
            assert (await send(found.transport, found.server.url, request_)).body == b"{}"
    assert found.proxy.asked == [f"CONNECT {found.server.url.removeprefix('https://')} HTTP/1.1"]
    assert b"Proxy-Authorization: Basic cHJveHktdXNlcjp0b3Atc2VjcmV0L3Bhc3NAd29yZA==\r\n" in found.proxy.heads[0]
    assert b"top-secret-token" not in found.proxy.heads[0]
    assert all(SECRET["Authorization"].encode() in head for head in found.server.requests)
    assert not any(b"Proxy-" in head for head in found.server.requests)
    assert (found.server.connections, len(found.server.requests)) == (1, 3)


async def test_a_proxy_may_be_asked_over_tls(tmp_path: Path) -> None:
    """Then TLS goes through TLS."""
    async with scene(tmp_path, tls=True) as found:
        for _ in range(2):
            assert (await send(found.transport, found.server.url)).body == b"{}"
    assert (len(found.proxy.heads), len(found.server.requests)) == (1, 2)


async def test_a_proxy_that_speaks_no_tls_is_told_as_such(tmp_path: Path) -> None:
    """Its URL begins with the wrong word, and base_url is in order."""

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with scene(tmp_path) as found:
        found.transport._network = make_network(f"https://{where}", {}, trusting(tmp_path))
        error = await refused(found)
    server.close()
    assert f"no TLS with {where} " in str(error)
    assert "check the proxy's URL, whether it begins with http://" in str(error)
    assert error.cause == "tls"


async def test_a_proxy_whose_certificate_is_not_trusted_learns_nothing(tmp_path: Path) -> None:
    """Neither its own password nor which host is asked for."""
    async with scene(tmp_path, tls=True) as found:
        url = found.proxy.url.replace("https://", NAMED.replace("http://", "https://"))
        found.transport._network = make_network(url, {}, None)
        error = await refused(found)
    assert f"the certificate of {found.proxy.url.removeprefix('https://')} is not trusted" in str(error)
    assert (error.cause, error.retryable, found.proxy.heads) == ("certificate", False, [])


async def test_plain_http_goes_past_every_proxy(tmp_path: Path) -> None:
    """It is for this machine alone: a proxy would read the credentials."""
    async with scene(tmp_path) as found, serving(says(OK)) as plain:
        assert (await send(found.transport, plain.url)).status == 200
    assert (found.proxy.heads, len(plain.requests)) == ([], 1)


@pytest.mark.parametrize(
    ("answer", "words", "retryable"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "407", False),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403", False),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\ndown", "answered 502", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\n", "answered 503", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204", True),
        (b"HTTP/1.1 302 Found\r\nLocation: https://login.example/?secret\r\n\r\n", "answered 302", True),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP", True),
        (b"", "ended the connection", True),
        (b"HTTP/1.1 200", "ended the connection", True),
        (OPEN + b"HTTP/1.1 200 OK\r\n\r\n", "", True),
    ],
)
@REQUESTS
async def test_what_a_proxy_answers_is_certain_not_to_have_left(
    answer: bytes, words: str, request_: Any, tmp_path: Path, *, retryable: bool
) -> None:
    """The provider was not asked; what would be the same for everybody is not tried again."""
    async with scene(tmp_path, named=True, answer=answer, closes=True) as found:
        error = await refused(found, request_)
    assert words in str(error)
    assert error.retryable is retryable
    assert len(found.proxy.heads) == 1 or request_ is GET  # for which aiohttp tries a second connection by itself


async def test_a_tunnel_that_ends_at_once_is_told_as_the_proxys(tmp_path: Path) -> None:
    """The proxy is named, and what it could not do."""
    async with scene(tmp_path, closes=True) as found:
        error = await refused(found)
    assert f"the proxy {found.proxy.url.removeprefix('http://')} opened a way to 127.0.0.1:" in str(error)
    assert (error.cause, error.retryable) == ("proxy", True)


async def test_a_proxy_that_is_down(tmp_path: Path) -> None:
    """It is named, with what to check."""
    async with scene(tmp_path) as found:
        pass
    transport = Transport(None, make_network(found.proxy.url.replace("http://", NAMED), {}, None))
    error = await refused(attrs.evolve(found, transport=transport))
    await transport.aclose()
    assert f"the proxy {found.proxy.url.removeprefix('http://')} cannot be reached" in str(error)
    assert (error.cause, error.retryable) == ("proxy", True)


@pytest.mark.parametrize("how", [{"answer": None}, {"back": 0}], ids=["to CONNECT", "in the handshake"])
async def test_a_proxy_that_hangs(how: dict[str, Any], tmp_path: Path) -> None:
    """The time to connect holds for the tunnel and the handshake in it as well."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with scene(tmp_path, **how) as found:
        quiet = await asyncio.start_server(silent, "127.0.0.1", 0)
        found.proxy.port = quiet.sockets[0].getsockname()[1]
        found.proxy.back = 10**9
        error = await refused(found, connect_timeout=5.0)
        quiet.close()
        await asyncio.sleep(0.05)
    assert f"within 5 s through the proxy {found.proxy.url.removeprefix('http://')}" in str(error)
    assert error.cause == "timeout"


@pytest.mark.parametrize("back", range(0, 800, 100))
async def test_a_tunnel_that_breaks_in_the_handshake_has_carried_nothing(back: int, tmp_path: Path) -> None:
    """Wherever it breaks before the handshake is over, nothing of the request has left."""
    async with scene(tmp_path, back=back) as found:
        with pytest.raises(OmedaAsyncError) as caught:
            await send(found.transport, found.server.url)
    assert isinstance(caught.value, ConnectionFailed)
    assert (caught.value.sent, found.server.requests) == (False, [])


async def test_a_tunnel_that_breaks_behind_the_request_leaves_a_doubt(tmp_path: Path) -> None:
    """The provider has it: that is told, as without a proxy."""

    async def talk(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        found.proxy.writers[-1].transport.abort()

    async with scene(tmp_path, talk=talk) as found:
        with pytest.raises(AnswerLost) as caught:
            await send(found.transport, found.server.url)
    assert (caught.value.sent, len(found.server.requests)) == (True, 1)


async def test_a_certificate_that_is_not_trusted_behind_a_proxy(tmp_path: Path) -> None:
    """A proxy that looks into TLS shows one of its own: the error says how to trust it."""
    async with scene(tmp_path) as found, transporting() as bare:
        bare._network = make_network(found.proxy.url, {}, None)
        error = await refused(attrs.evolve(found, transport=bare))
    assert "a proxy that looks into TLS" in str(error)
    assert (error.cause, error.retryable) == ("certificate", False)


async def talk_through(found: Scene, stray: bytes, where: str, *, read: bool) -> None:
    """Two requests, each followed by something that nobody has asked for; the third gets its own answer."""
    for _ in range(2):
        assert (await send(found.transport, found.server.url)).body == b"{}"
        await until_read()
        writer = (found.server if where == "inside" else found.proxy).writers[-1]
        writer.write(stray) if stray else writer.close()
        await asyncio.sleep(0.01 if read else 0)
    assert (await send(found.transport, found.server.url)).body == b"{}"


@pytest.mark.parametrize(
    ("where", "read"), [("inside", True), ("outside", True), ("outside", False)], ids=["inside", "outside", "unread"]
)
@pytest.mark.parametrize("stray", TOLD.values(), ids=TOLD)
async def test_a_tunnel_that_was_spoken_to_is_not_used_again(
    stray: bytes, where: str, tmp_path: Path, *, read: bool
) -> None:
    """Whether the server spoke inside of TLS or the proxy beside it: nothing of it is taken for an answer."""
    async with scene(tmp_path, named=True) as found:
        try:
            await talk_through(found, stray, where, read=read)
        except AnswerLost:
            # Found out to be no TLS in the very moment of the write, or too short for it: a doubt, and never an answer.
            assert where == "outside"
            assert len(stray) < 5 or not read
        else:
            assert (found.server.connections, len(found.server.requests)) == (3, 3)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_it_is_the_same_on_uvloop(tmp_path: Path, *, tls: bool) -> None:
    """Transports of uvloop are other ones, and they tell as much."""
    uvloop: Any = pytest.importorskip("uvloop")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with scene(tmp_path, tls=tls) as found:
            await talk_through(found, STRAYS["an empty success"], "inside", read=True)
        assert (found.server.connections, len(found.server.requests)) == (3, 3)

    uvloop.run(run())


@pytest.mark.parametrize("proxy", ["http://192.0.2.1:3128", "https://192.0.2.1:3128"])
async def test_a_borrowed_session_sends_no_credentials_through_a_proxy_in_clear(proxy: str) -> None:
    """Plain http through a proxy on another machine is refused before there is a connection."""
    async with aiohttp.ClientSession(proxy=proxy) as session, transporting(session) as transport:
        with pytest.raises(ConfigurationError, match="through a proxy in plain http") as caught:
            await send(transport, "http://127.0.0.1:1")
    assert not caught.value.sent


async def test_a_borrowed_session_goes_its_own_way(tmp_path: Path) -> None:
    """Its proxy is used, and in no error of ours are name and password of it."""
    context = self_signed(tmp_path)
    async with (
        serving(says(OK), context) as server,
        proxying(server.url) as proxy,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusting(tmp_path)), proxy=proxy.url.replace("http://", NAMED)
        ) as session,
        transporting(session) as transport,
    ):
        assert (await send(transport, server.url)).status == 200
        proxy.answer = b"HTTP/1.1 407 No\r\nConnection: close\r\n\r\n"
        server.writers[-1].close()
        await until_read()
        server.requests.clear()
        await refused(Scene(server, proxy, transport))


def netrc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would sign requests to every host."""
    path = folder / "netrc"
    path.write_text("default login user password top-secret\n", encoding="ascii")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


async def test_a_session_of_ours_reads_no_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would sign requests to any host with what is another's."""
    netrc(tmp_path, monkeypatch)
    async with scene(tmp_path) as found:
        await send(found.transport, found.server.url, headers={"x-omeda-appid": "app-id"})
    assert b"Authorization" not in found.server.requests[0] + found.proxy.heads[0]


@pytest.mark.real_clock  # aiohttp reads the file in a thread
@pytest.mark.parametrize("logs_in", [False, True], ids=["", "logs in"])
async def test_netrc_signs_nothing_on_a_borrowed_session_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, logs_in: bool
) -> None:
    """Where the provider's own credentials are no Authorization, none is added."""
    netrc(tmp_path, monkeypatch)
    async with (
        serving(says(OK)) as server,
        aiohttp.ClientSession(trust_env=True) as session,
        transporting(session) as transport,
    ):
        transport.bind()
        if logs_in:
            transport.session_of(server.url)
        assert (await send(transport, server.url, headers={"x-omeda-appid": "app-id"})).status == 200
    assert b"uthorization" not in server.requests[0]


def _context(mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = mode
    return context


def test_a_context_that_verifies_nothing_is_refused() -> None:
    """Credentials would go to whoever answers; a name that does not match may be wanted."""
    for mode in (ssl.CERT_NONE, ssl.CERT_OPTIONAL):
        with pytest.raises(ConfigurationError, match="ssl must verify certificates"):
            make_network(None, {}, _context(mode))
    assert make_network(None, {}, _context(ssl.CERT_REQUIRED)).context is not None
    with pytest.raises(ConfigurationError, match=r"ssl must be an ssl\.SSLContext, not bool"):
        make_network(None, {}, False)  # noqa: FBT003 what aiohttp takes for "verify nothing"
