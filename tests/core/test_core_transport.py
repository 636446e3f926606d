"""The transport on real sockets: every way an answer fails to come, and what goes out on the wire."""

import asyncio
import gc
import gzip
import socket
import ssl
import traceback
import warnings
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from omeda_async import (
    AnswerLost,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    OcambaSettings,
    OmedaAsyncError,
    SessionManager,
    UnreadableAnswer,
    __version__,
)
from omeda_async._body import MAX_BODY
from omeda_async._operation import Request
from omeda_async._transport import Transport
from omeda_async.testing import MovedClockLoop
from tests.core.raw import (
    GET,
    OK,
    POST,
    SECRET,
    Talk,
    failing,
    says,
    self_signed,
    send,
    serving,
    transporting,
    with_locals,
)


async def test_what_goes_out_is_exact() -> None:
    """Method, path with its literal star, headers and body are on the wire as built; nothing is added but the usual."""
    async with serving(says(OK)) as server, transporting() as transport:
        answer = await send(transport, server.url)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == "POST /some/path/* HTTP/1.1"
    assert headers.pop("Host") == server.url.removeprefix("http://")
    assert headers.pop("User-Agent").startswith(f"omeda-async/{__version__} (aiohttp/")
    assert set(headers.pop("Accept-Encoding").split(", ")) >= {"gzip", "deflate"}
    assert headers == {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Content-Length": "7",
        "Authorization": "Bearer top-secret-token",
    }
    assert (body, answer.status, answer.body) == (b'{"a":1}', 200, b"{}")
    assert answer.headers["content-type"] == "application/json"


async def test_a_percent_encoded_path_stays_as_it_is() -> None:
    """An id with a slash, a space or a percent sign is not unquoted, nor quoted twice."""
    path = "/v1/a%2Fb%20c%25d%40e/lookup/*?q=%2B"
    async with serving(says(OK)) as server, transporting() as transport:
        await send(transport, server.url + "/base", Request("GET", path))
    assert server.requests[0].startswith(f"GET /base{path} HTTP/1.1\r\n".encode())


async def test_a_later_header_replaces_an_earlier_one_whatever_its_case() -> None:
    """Credentials and headers of the settings are sent once, not beside a default."""
    async with serving(says(OK)) as server, transporting() as transport:
        await send(transport, server.url, headers={"user-agent": "mine", "content-TYPE": "text/x"})
    head = server.requests[0].lower()
    assert (head.count(b"user-agent:"), head.count(b"content-type:")) == (1, 1)
    assert b"user-agent: mine" in head


async def test_a_refused_connection_never_left() -> None:
    """Nobody listens: connection failed, certainly unsent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with transporting() as transport:
            with pytest.raises(ConnectionFailed, match="could not connect") as caught:
                await send(transport, url)
    assert not caught.value.sent


class Resolver(AbstractResolver):
    """Answers as told: an error, or never."""

    def __init__(self, error: OSError | None) -> None:
        self._error = error

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002 the resolver's signature
        """Fail, or wait for ever."""
        if self._error is not None:
            raise self._error
        await asyncio.get_running_loop().create_future()
        return []

    async def close(self) -> None:
        """There is nothing to close."""


@asynccontextmanager
async def resolving(error: OSError | None) -> AsyncIterator[Transport]:
    """A transport whose names are resolved so."""
    connector = aiohttp.TCPConnector(resolver=Resolver(error))
    async with aiohttp.ClientSession(connector=connector) as session, transporting(session) as transport:
        yield transport


async def test_an_unknown_name_never_left() -> None:
    """DNS says no: connection failed."""
    async with resolving(OSError(None, "no such name")) as transport:
        with pytest.raises(ConnectionFailed):
            await send(transport, "https://nowhere.example")


@pytest.mark.parametrize(
    ("timeout", "connect_timeout", "after"), [(30.0, 5.0, 5.0), (4.0, 10.0, 3.8), (30.0, 30.0, 28.5)]
)
async def test_a_name_that_is_never_resolved_never_left(timeout: float, connect_timeout: float, after: float) -> None:  # noqa: ASYNC109 a parameter of the test
    """Time spent on connecting is told apart from time spent on the answer, also when the whole time is the shorter."""
    loop = asyncio.get_running_loop()
    async with resolving(None) as transport:
        before = loop.time()
        with pytest.raises(ConnectionFailed):
            await send(transport, "https://slow.example", timeout=timeout, connect_timeout=connect_timeout)
        assert loop.time() - before == pytest.approx(after, abs=0.01)


async def test_a_certificate_that_is_not_trusted_never_left() -> None:
    """TLS is checked: a server that does not speak it is refused before anything is sent."""
    async with serving(says(OK)) as server, transporting() as transport:
        with pytest.raises(ConnectionFailed) as caught:
            await send(transport, server.url.replace("http:", "https:"))
    assert server.requests == []
    assert not caught.value.sent
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


async def test_a_certificate_signed_by_itself_is_a_failed_connection(tmp_path: Path) -> None:
    """It is told as that, not as a mistake of the settings, although the error is a ValueError too."""
    tls = self_signed(tmp_path)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server is told of the refusal, and logs it
    async with serving(says(OK), tls) as server, transporting() as transport:
        with pytest.raises(ConnectionFailed, match=r"certificate of .* is not trusted") as caught:
            await send(transport, server.url)
    assert (server.requests, caught.value.sent) == ([], False)


LOST = {
    "closed before the answer": says(close=True),
    "reset before the answer": says(reset=True),
    "closed in the head": says(b"HTTP/1.1 200 OK\r\nContent-", close=True),
    "closed in the body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", close=True),
    "reset in the body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", reset=True),
    "cut between chunks": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", close=True),
    "cut in a chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}", close=True),
    "chunks of nonsense": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", close=True),
    "no HTTP at all": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", close=True),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", close=True),
    "a head too long": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", close=True),
    "gzip that is none": says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n{1}", close=True),
}


@pytest.mark.parametrize("talk", LOST.values(), ids=LOST)
@pytest.mark.parametrize("request_", [POST, GET, attrs.evolve(POST, method="PUT")], ids=lambda one: one.method)
async def test_an_answer_that_does_not_come_whole_is_lost(talk: Talk, request_: Request) -> None:
    """The request left, once: aiohttp's own second try of a GET or PUT is off, as no permit was given for it."""
    error, server = await failing(talk, request_)
    assert type(error) is AnswerLost
    assert (error.sent, error.timed_out) == (True, False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("talk", LOST.values(), ids=LOST)
async def test_an_error_of_the_transport_shows_no_header(talk: Talk) -> None:
    """Neither the error nor its traceback holds what aiohttp's own error shows."""
    error, _ = await failing(talk)
    shown = "".join(traceback.format_exception(error))
    assert "top-secret" not in shown
    assert (error.__cause__, error.__suppress_context__) == (None, True)


@pytest.mark.parametrize("talk", LOST.values(), ids=LOST)
async def test_no_frame_that_a_lost_answer_came_through_holds_a_header(talk: Talk) -> None:
    """Nor those of whoever was signed before: many programs log tracebacks with what their frames hold."""
    async with serving(talk) as server, transporting() as transport:
        for headers in (SECRET, {"Authorization": "Bearer another-top-secret"}):
            with pytest.raises(OmedaAsyncError) as caught:
                await send(transport, server.url, headers=headers)
            shown = with_locals(caught.value)
            assert "send {" in shown
            assert "top-secret" not in shown


async def test_no_frame_that_a_failed_connection_or_a_cancellation_came_through_holds_a_header() -> None:
    """The time-out of ``asyncio.timeout`` around a call has the cancelled frames behind it, aiohttp's among them."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as server, transporting() as transport:
        with pytest.raises(TimeoutError) as late:
            async with asyncio.timeout(1):
                await send(transport, server.url)
    async with transporting() as transport:
        with pytest.raises(ConnectionFailed) as refused:
            await send(transport, server.url)
    for error in (late.value, refused.value):
        shown = with_locals(error)
        assert "send {" in shown
        assert "top-secret" not in shown


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_connection_that_the_server_closed_meanwhile_costs_one_request(method: str) -> None:
    """On a kept connection that dies with the second request, the second request goes out once."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(OK)
        else:
            writer.close()

    async with serving(talk) as server, transporting() as transport:
        request = attrs.evolve(GET, method=method)
        await send(transport, server.url, request)
        with pytest.raises(AnswerLost):
            await send(transport, server.url, request)
    assert (len(server.requests), server.connections) == (2, 1)


async def test_a_borrowed_session_keeps_its_own_middlewares_and_sends_once_too() -> None:
    """What the caller's session does to requests goes on, and aiohttp's second try is off there as well."""
    seen: list[str] = []

    async def note(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await handler(request)

    async with (
        serving(says(close=True)) as server,
        aiohttp.ClientSession(middlewares=(note,)) as session,
        transporting(session) as transport,
    ):
        with pytest.raises(AnswerLost):
            await send(transport, server.url, GET)
    assert (seen, len(server.requests)) == (["GET"], 1)


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_that_a_middleware_has_read_is_an_answer(*, packed: bool) -> None:
    """As one that logs bodies does: aiohttp keeps what was read, and the stream has nothing more."""
    body = gzip.compress(b'{"a":1}') if packed else b'{"a":1}'
    coding = b"Content-Encoding: gzip\r\n" if packed else b""

    async def read(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        await response.read()
        return response

    async with (
        serving(says(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (coding, len(body), body))) as server,
        aiohttp.ClientSession(middlewares=(read,)) as session,
        transporting(session) as transport,
    ):
        answers = [await send(transport, server.url) for _ in range(2)]
    assert [answer.body for answer in answers] == [b'{"a":1}'] * 2
    assert server.connections == 1


async def _on_its_own(_: aiohttp.ClientResponse) -> None:
    raise aiohttp.ClientError


@pytest.mark.parametrize("check", [True, _on_its_own], ids=["all", "callable"])
async def test_a_refusal_is_an_answer_on_a_borrowed_session_that_raises_for_one(check: Any) -> None:
    """Its raise_for_status does not hold for us: what the provider says is read, not lost."""
    talk = says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    async with (
        serving(talk) as server,
        aiohttp.ClientSession(raise_for_status=check) as session,
        transporting(session) as transport,
    ):
        answer = await send(transport, server.url)
    assert (answer.status, answer.body) == (404, b"{}")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("error", [ValueError("top-secret"), aiohttp.InvalidURL("https://top-secret.example")])
async def test_a_value_error_is_certain_only_before_the_request_has_left(error: ValueError, method: str) -> None:
    """A middleware of the caller's that breaks before is a wrong setting; one that breaks after loses the answer."""

    async def before(_request: aiohttp.ClientRequest, _handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise error

    async def after(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        raise error

    seen: list[tuple[type, bool, int]] = []
    for middleware in (before, after):
        async with (
            serving(says(OK)) as server,
            aiohttp.ClientSession(middlewares=(middleware,)) as session,
            transporting(session) as transport,
        ):
            with pytest.raises(OmedaAsyncError) as caught:
                await send(transport, server.url, attrs.evolve(GET, method=method))
        assert "top-secret" not in "".join(traceback.format_exception(caught.value))
        seen.append((type(caught.value), caught.value.sent, len(server.requests)))
    assert seen == [(ConfigurationError, False, 0), (AnswerLost, True, 1)]


async def test_a_borrowed_session_sends_a_post_once_whatever_its_middlewares_try() -> None:
    """A middleware that would repeat what broke off finds an error it does not know."""

    async def stubborn(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            return await handler(request)

    async with (
        serving(says(close=True)) as server,
        aiohttp.ClientSession(middlewares=(stubborn,)) as session,
        transporting(session) as transport,
    ):
        with pytest.raises(AnswerLost):
            await send(transport, server.url)
    assert len(server.requests) == 1


async def test_what_a_middleware_has_sent_before_has_left() -> None:
    """The second try of a caller's middleware finds nobody; what became of the first is unknown."""

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        (await handler(request)).close()
        listening.close()
        return await handler(request)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(middlewares=(again,)) as session, transporting(session) as transport:
        with pytest.raises(AnswerLost) as caught:
            await send(transport, url)
    assert caught.value.sent


SLOW = {
    "no answer": says(),
    "half a head": says(b"HTTP/1.1 200 OK\r\n"),
    "half a body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW)
async def test_an_answer_that_takes_too_long_is_lost_after_the_time_out(talk: Talk) -> None:
    """The whole attempt has one time, to the second, and the error says that we stopped waiting."""
    loop = asyncio.get_running_loop()
    async with serving(talk) as server, transporting() as transport:
        before = loop.time()
        with pytest.raises(AnswerLost, match=r"within 30 s") as caught:
            await send(transport, server.url)
        assert loop.time() - before == pytest.approx(30.0, abs=0.1)
    assert (caught.value.sent, caught.value.timed_out) == (True, True)


async def test_a_body_that_trickles_in_is_read_to_its_end() -> None:
    """Slowness within the time-out is no failure."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _step in range(20):
            await asyncio.sleep(1)
            writer.write(b"x")

    async with serving(talk) as server, transporting() as transport:
        assert (await send(transport, server.url)).body == b"x" * 20


BIG = b"x" * (1024 * 1024)
_GZIPPED = gzip.compress(b"\0" * (MAX_BODY + 1))
_DEFLATED = zlib.compress(b"\0" * (MAX_BODY * 4))
TOO_LARGE = {
    "declared": says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{" % (MAX_BODY + 1)),
    "chunked": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"100000\r\n" + BIG + b"\r\n"] * 17),
    "until the end": says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *[BIG] * 17, close=True),
    "gzip": says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_GZIPPED), _GZIPPED),
    "gzip, at once": says(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_GZIPPED) + _GZIPPED
    ),
    "deflate": says(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(_DEFLATED), _DEFLATED
    ),
}


@pytest.mark.parametrize("talk", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_an_answer_over_16_mib_is_refused_while_reading(talk: Talk) -> None:
    """However it is declared or packed, no more than that is ever read, and its status is kept."""
    error, server = await failing(talk)
    assert isinstance(error, UnreadableAnswer)
    assert (error.status, error.sent, len(server.requests)) == (200, True, 1)
    assert "larger than 16 MiB" in str(error)
    assert len(error.body) <= 200


async def test_an_answer_of_exactly_16_mib_is_read() -> None:
    """The bound itself is allowed."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MAX_BODY
    async with serving(says(head, *[BIG] * 16)) as server, transporting() as transport:
        assert len((await send(transport, server.url)).body) == MAX_BODY


_PACKED = gzip.compress(b"{}")
WHOLE = {
    "with its headers": (says(OK), b"{}"),
    "after its headers": (says(OK[:-2], OK[-2:]), b"{}"),
    "empty": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), b""),
    "chunked": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), b"{}"),
    "packed": (
        says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_PACKED) + _PACKED),
        b"{}",
    ),
}


@pytest.mark.parametrize("is_borrowed", [False, True])
@pytest.mark.parametrize(("talk", "body"), WHOLE.values(), ids=WHOLE)
async def test_an_answer_read_whole_gives_its_connection_to_the_next_request(
    talk: Talk, body: bytes, *, is_borrowed: bool
) -> None:
    """However it comes: nobody waits for a connection that was forgotten."""
    async with (
        serving(talk) as server,
        aiohttp.ClientSession() as session,
        transporting(session if is_borrowed else None) as transport,
    ):
        for _ in range(3):
            assert (await send(transport, server.url)).body == body
    assert (server.connections, len(server.requests)) == (1, 3)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_answer_before_the_end_of_the_request_ends_the_connection() -> None:
    """What is left of the request is not sent, and the next one has a connection of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with transporting() as transport:
        for _ in range(2):
            answer = await send(transport, url, Request("POST", "/", b"x" * 32 * 1024 * 1024))
            assert answer.body == b"{}"
    server.close()
    for writer in connections:
        writer.close()
    await asyncio.sleep(0.05)
    assert len(connections) == 2


async def test_a_packed_answer_is_unpacked() -> None:
    """What is packed with gzip within the bound is read like any other."""
    packed = gzip.compress(b'{"a": 1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(says(head, packed)) as server, transporting() as transport:
        assert (await send(transport, server.url)).body == b'{"a": 1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_takes_no_credentials_anywhere(status: int) -> None:
    """It is given back as it is, and the host it names hears nothing."""
    async with serving(says(OK)) as other, transporting() as transport:
        redirect = b"HTTP/1.1 %d Moved\r\nLocation: %s/x\r\nContent-Length: 0\r\n\r\n" % (status, other.url.encode())
        async with serving(says(redirect)) as server:
            answer = await send(transport, server.url, headers={**SECRET, "x-omeda-appid": "app"})
    assert (answer.status, other.connections) == (status, 0)


async def test_a_cookie_of_an_answer_is_not_sent_back() -> None:
    """Sessions are the credentials' business: our own HTTP session keeps none."""
    talk = says(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: JSESSIONID=x; Path=/\r\n\r\n"))
    async with serving(talk) as server, transporting() as transport:
        await send(transport, server.url)
        await send(transport, server.url)
        assert isinstance(transport.session().cookie_jar, aiohttp.DummyCookieJar)
    assert (len(server.requests), b"Cookie" in server.requests[1]) == (2, False)


async def test_a_url_that_cannot_be_is_a_configuration_error() -> None:
    """What aiohttp refuses to make a request of never left."""
    async with transporting() as transport:
        with pytest.raises(ConfigurationError):
            await send(transport, "https://")


async def test_a_borrowed_session_that_signs_requests_is_refused_when_it_is_given() -> None:
    """Its signature would stand beside ours, or go to a provider it is not for; a header of another kind may stay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        basic = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "top-secret"))
    async with basic, aiohttp.ClientSession(headers={"authorization": "Basic top-secret"}) as header:
        for session in (basic, header):
            with pytest.raises(ConfigurationError, match="must not sign requests itself") as caught:
                Transport(session)
            assert "top-secret" not in str(caught.value)
    async with aiohttp.ClientSession(headers={"X-Ours": "1"}) as plain:
        assert Transport(plain).session() is plain


@pytest.mark.parametrize("name", ["content-encoding", "Content-Length", "Transfer-Encoding", "Host", "X-Omeda-AppId"])
async def test_a_borrowed_session_that_frames_or_signs_each_request_is_refused(name: str) -> None:
    """No request would be what it says, or all providers would see one's secret; the error shows no value."""
    async with aiohttp.ClientSession(headers={"Accept": "text/html", name: "top-secret"}) as session:
        with pytest.raises(ConfigurationError, match=f"must not send the header '{name}'") as caught:
            Transport(session)
    assert "top-secret" not in str(caught.value)


@pytest.mark.real_clock  # aiohttp reads the file in a thread
async def test_a_borrowed_session_that_signs_by_netrc_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is found out with the request, and it is certain that it never left."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password top-secret\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with (
        serving(says(OK)) as server,
        aiohttp.ClientSession(trust_env=True) as session,
        transporting(session) as transport,
    ):
        for request in (GET, POST):
            with pytest.raises(ConfigurationError, match="must not sign requests itself") as caught:
                await send(transport, server.url, request)
            assert not caught.value.sent
    assert server.requests == []


async def test_changed_credentials_change_the_headers_that_are_sent() -> None:
    """What is kept from one request to the next is kept for the same credentials and the same headers alone."""
    first, second = {"Authorization": "Bearer one"}, {"Authorization": "Bearer two"}
    plain = attrs.evolve(POST, headers={"X-Of-The-Request": "1"})
    async with serving(says(OK)) as server, transporting() as transport:
        for request, credentials in ((POST, first), (POST, first), (POST, second), (plain, second), (POST, first)):
            await send(transport, server.url, request, headers=credentials)
    bearers = [head.partition(b"Authorization: Bearer ")[2][:3] for head in server.requests]
    assert bearers == [b"one", b"one", b"two", b"two", b"one"]
    assert [b"X-Of-The-Request: 1" in head for head in server.requests] == [False, False, False, True, False]


@pytest.mark.parametrize("value", ["Bearer top-secret\r\nX: y", "top-secret\0", "top-secret\ud800"], ids=repr)
async def test_a_header_that_http_cannot_carry_is_a_configuration_error(value: str) -> None:
    """It is refused before there is a connection, and the error does not show it."""
    async with serving(says(OK)) as server, transporting() as transport:
        with pytest.raises(ConfigurationError, match="HTTP cannot carry") as caught:
            await send(transport, server.url, headers={"Authorization": value})
    assert server.connections == 0
    assert "top-secret" not in "".join(traceback.format_exception(caught.value))


async def test_cancelling_ends_the_connection() -> None:
    """The server sees it go, and the next request has a new one."""
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) > 1:
            writer.write(OK)
        elif not await reader.read(1):
            gone.set()
            writer.close()

    async with serving(talk) as server, transporting() as transport:
        task = asyncio.create_task(send(transport, server.url))
        while not server.requests:  # noqa: ASYNC110 the moved clock makes this a wait for input
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()
        assert (await send(transport, server.url)).status == 200
    assert server.connections == 2


async def test_no_session_is_made_before_it_is_needed() -> None:
    """It is made on first use, on the running loop, and then kept."""
    async with transporting() as transport:
        assert not transport.unclosed
        session = transport.session()
        assert transport.unclosed
        assert transport.session() is session
    assert session.closed


async def test_a_borrowed_session_is_never_closed() -> None:
    """It belongs to the caller; once the caller has closed it, that is said."""
    async with aiohttp.ClientSession() as session:
        transport = Transport(session)
        assert transport.session() is session
        await transport.aclose()
        assert not session.closed
        with pytest.raises(ClosedError, match="closed"):
            transport.session()
    with pytest.raises(ClosedError, match="borrowed HTTP session is closed"):
        Transport(session).session()


async def test_use_after_close_is_an_error_and_closing_twice_is_none() -> None:
    """The error says what to do."""
    transport = Transport()
    transport.session()
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(ClosedError, match="is closed; make a new one"):
        await send(transport, "http://127.0.0.1:1")


def test_another_loop_is_told_that_it_is_another() -> None:
    """A session belongs to the loop that made it."""
    transport = Transport()
    first, second = MovedClockLoop(), MovedClockLoop()

    async def use() -> None:
        transport.session()

    try:
        first.run_until_complete(use())
        with pytest.raises(ClosedError, match="belongs to another event loop"):
            second.run_until_complete(use())
        first.run_until_complete(transport.aclose())
    finally:
        first.close()
        second.close()


async def test_what_is_no_session_cannot_be_borrowed() -> None:
    """The kind is checked when it is given."""
    with pytest.raises(ConfigurationError, match=r"http_session must be an aiohttp\.ClientSession, not str"):
        Transport("session")  # type: ignore[arg-type]  # wrong on purpose


async def test_a_manager_that_is_forgotten_unclosed_warns() -> None:
    """ResourceWarning tells whoever looks; a closed or never used manager is quiet."""
    manager = SessionManager(ocamba=OcambaSettings(token="t"))
    session = manager._transport.session()
    with pytest.warns(ResourceWarning, match="unclosed SessionManager"):  # noqa: PT031 both let it go
        del manager
        gc.collect()
    assert not session.closed
    await session.close()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        quiet = SessionManager(ocamba=OcambaSettings(token="t"))
        del quiet
        gc.collect()
    assert seen == []
