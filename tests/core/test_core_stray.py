"""Bytes that nobody has asked for never become an answer: their connection is not used again."""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from omeda_async import AnswerLost, ConnectionFailed, OmedaAsyncError
from omeda_async._transport import Transport
from tests.core.raw import GET, OK, POST, Server, Talk, says, self_signed, send, serving, transporting, trusting

STRAYS = {
    "a success without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an empty success": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another's receipt": b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"TrackId":"FOO1"}',
    "a time-out": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "a refusal": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "half a head": b"HTTP/1.1 204 No Content\r\n",
    "a byte": b"H",
    "the beginning of a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "two answers": b"HTTP/1.1 204 No Content\r\n\r\n" * 2,
    "no HTTP": b"\0\1\2\3",
    "a text": b"The server is going down.\r\n",
}
HALVES = ("half a head", "a byte")
METHODS = pytest.mark.parametrize("request_", [POST, GET, attrs.evolve(POST, method="PUT")], ids=lambda one: one.method)
STRAY = pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
THE_END = b""


async def interrupt(server: Server, stray: bytes) -> None:
    """Say something on the connection that was opened last, or end it."""
    if stray:
        server.writers[-1].write(stray)
    else:
        server.writers[-1].write_eof()


async def until_read() -> None:
    """Let the loop take in what has come."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def over(folder: Path | None) -> AsyncIterator[tuple[Server, Transport]]:
    """A server, and a transport that trusts it; over TLS where there is a folder for its certificate."""
    tls = None if folder is None else self_signed(folder)
    connector = aiohttp.TCPConnector(ssl=True if folder is None else trusting(folder))
    async with (
        serving(says(OK), tls) as server,
        aiohttp.ClientSession(connector=connector) as session,
        transporting(session) as transport,
    ):
        yield server, transport


async def talk_over(folder: Path | None, stray: bytes, *, read: bool) -> Server:
    """Two requests, with something said in between that the loop has read, or has not."""
    async with over(folder) as (server, transport):
        for _ in range(2):
            assert (await send(transport, server.url)).body == b"{}"
            await until_read()
            await interrupt(server, stray)
            if read:
                await until_read()
        assert (await send(transport, server.url)).body == b"{}"
    return server


@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("stray", [*STRAYS.values(), b"\r\n"], ids=[*STRAYS, "an empty line"])
async def test_a_connection_that_was_spoken_to_is_not_used(
    stray: bytes, tmp_path: Path, *, read: bool, is_tls: bool
) -> None:
    """The next request goes out on another one, and gets its own answer; nothing is sent twice."""
    server = await talk_over(tmp_path if is_tls else None, stray, read=read)
    seen = server.connections
    assert (seen, len(server.requests)) == (3, 3) or (stray == b"\r\n" and read)


@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
async def test_a_connection_that_the_server_has_half_closed_is_not_used(*, read: bool) -> None:
    """Whether or not the loop has noticed its end yet."""
    server = await talk_over(None, THE_END, read=read)
    assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
def test_it_is_the_same_on_uvloop(tmp_path: Path, *, read: bool, is_tls: bool) -> None:
    """Transports of uvloop are other ones, and they tell as much."""
    uvloop: Any = pytest.importorskip("uvloop")

    async def run() -> None:
        for stray in STRAYS.values():
            server = await talk_over(tmp_path if is_tls else None, stray, read=read)
            assert (server.connections, len(server.requests)) == (3, 3), stray

    uvloop.run(run())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="aiohttp writes at once, so that there is no such moment")
@pytest.mark.parametrize("is_uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_what_comes_in_the_moment_before_the_write_is_seen(tmp_path: Path, *, is_tls: bool, is_uvloop: bool) -> None:
    """A body may be written a little after its connection was chosen."""

    async def run() -> None:
        for stray in STRAYS.values():
            async with over(tmp_path if is_tls else None) as (server, transport):
                await send(transport, server.url)
                answer, _ = await asyncio.gather(send(transport, server.url), interrupt(server, stray))
                assert answer.body == b"{}"
            assert (server.connections, len(server.requests)) == (2, 2)

    loops: Any = pytest.importorskip("uvloop") if is_uvloop else asyncio
    loops.run(run())


@METHODS
@STRAY
async def test_our_own_session_does_so_too(stray: bytes, request_: Any) -> None:
    """Whatever the method."""
    async with serving(says(OK)) as server, transporting() as transport:
        await send(transport, server.url, request_)
        await interrupt(server, stray)
        assert (await send(transport, server.url, request_)).body == b"{}"
    assert (server.connections, len(server.requests)) == (2, 2)


async def test_all_connections_may_have_been_spoken_to() -> None:
    """Each is closed; those that were not are used again."""
    held = asyncio.Event()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 4:
            held.set()
        await held.wait()
        writer.write(OK)

    async with serving(talk) as server, transporting() as transport:
        await asyncio.gather(*(send(transport, server.url) for _ in range(4)))
        for writer in server.writers[:3]:
            writer.write(STRAYS["an empty success"])
        await until_read()
        for _ in range(3):
            assert (await send(transport, server.url)).body == b"{}"
    assert (server.connections, len(server.requests)) == (4, 7)


@pytest.mark.parametrize("which", [0, 1])
@METHODS
async def test_the_one_after_a_connection_that_is_too_old_is_looked_at_too(
    request_: Any, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aiohttp passes over what has been idle for too long, and takes the next."""
    held = asyncio.Event()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            held.set()
        await held.wait()
        writer.write(OK)

    now = iter(range(0, 1000, 10))  # aiohttp keeps a connection for 15 s
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: float(next(now)))
    async with serving(talk) as server, transporting() as transport:
        await asyncio.gather(*(send(transport, server.url, request_) for _ in range(2)))
        server.writers[which].write(STRAYS["a success without a body"])
        await until_read()
        assert (await send(transport, server.url, request_)).status == 200
    assert len(server.requests) == 3


@pytest.mark.parametrize("stray", [STRAYS[name] for name in STRAYS if name != "a byte"])
async def test_what_follows_an_answer_in_the_same_packet_is_not_the_next_answer(stray: bytes) -> None:
    """The answer may be lost with it, and is then in doubt; the next request gets its own."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + stray if len(server.requests) == 1 else OK)

    async with serving(talk) as server, transporting() as transport:
        with contextlib.suppress(AnswerLost):
            assert (await send(transport, server.url)).body == b"{}"
        assert (await send(transport, server.url)).body == b"{}"
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("limit", [1, 2])
async def test_whoever_waits_for_a_connection_gets_none_that_was_spoken_to(limit: int) -> None:
    """A borrowed session may hand a connection on from one request to the next."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.write(STRAYS["a success without a body"])

    async with (
        serving(talk) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit)) as session,
        transporting(session) as transport,
    ):
        found = await asyncio.gather(*(send(transport, server.url) for _ in range(6)), return_exceptions=True)
    for one in found:
        assert isinstance(one, OmedaAsyncError) or one.body == b"{}"  # type: ignore[union-attr]  # it is a response then


@asynccontextmanager
async def handed_on(talk: Talk, folder: Path | None, on_reuse: Any = None) -> AsyncIterator[tuple[Server, Transport]]:
    """A server, and a transport whose session has one connection: who waits for it gets it from who used it before."""
    tls = None if folder is None else self_signed(folder)
    trace = aiohttp.TraceConfig()
    if on_reuse is not None:
        trace.on_connection_reuseconn.append(on_reuse)
    connector = aiohttp.TCPConnector(limit=1, ssl=True if folder is None else trusting(folder))
    async with (
        serving(talk, tls) as server,
        aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session,
        transporting(session) as transport,
    ):
        yield server, transport


# Half a head that is read just then ends with its parser.
HANDED_ON = [(name, read) for name in STRAYS for read in (True, False) if not (read and name in HALVES)]


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(("name", "read"), HANDED_ON, ids=[f"{name}{', read' * read}" for name, read in HANDED_ON])
async def test_a_connection_that_is_handed_on_is_looked_at_like_any_kept_one(
    name: str, tmp_path: Path, *, read: bool, is_tls: bool
) -> None:
    """Who waits at a session's limit gets a connection that was not idle before: what came on it is no answer."""

    async def disturb(*_: object) -> None:
        await interrupt(server, STRAYS[name])
        if read:
            await until_read()

    async with handed_on(says(OK), tmp_path if is_tls else None, disturb) as (server, transport):
        found = await asyncio.gather(*(send(transport, server.url) for _ in range(2)))
    assert [one.body for one in found] == [b"{}", b"{}"]
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_what_is_handed_on_is_looked_at_on_uvloop_too(tmp_path: Path, *, is_tls: bool) -> None:
    """It is told by aiohttp's own object, and not by the loop's."""
    uvloop: Any = pytest.importorskip("uvloop")

    async def run(stray: bytes) -> None:
        async def disturb(*_: object) -> None:
            await interrupt(server, stray)

        async with handed_on(says(OK), tmp_path if is_tls else None, disturb) as (server, transport):
            found = await asyncio.gather(*(send(transport, server.url) for _ in range(2)))
        assert [one.body for one in found] == [b"{}", b"{}"]
        assert (server.connections, len(server.requests)) == (2, 2), stray

    for stray in STRAYS.values():
        uvloop.run(run(stray))


@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
async def test_a_connection_that_ends_while_it_is_handed_on_is_not_used(*, read: bool) -> None:
    """Whether or not the loop has noticed its end yet."""

    async def end(*_: object) -> None:
        await interrupt(server, THE_END)
        if read:
            await until_read()

    async with handed_on(says(OK), None, end) as (server, transport):
        await asyncio.gather(*(send(transport, server.url) for _ in range(2)))
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("stray", [b"", STRAYS["a success without a body"]], ids=["quiet", "spoken to"])
async def test_the_callers_own_requests_leave_a_kept_connection_behind_too(stray: bytes, tmp_path: Path) -> None:
    """A borrowed session is used by others; what they hand on has carried a request, though none of ours."""

    async def disturb(*_: object) -> None:
        if stray:
            await interrupt(server, stray)

    async with handed_on(says(OK), tmp_path, disturb) as (server, transport):

        async def theirs() -> None:
            async with transport.session().post(server.url, data=b"{}") as response:
                await response.read()

        _, ours = await asyncio.gather(theirs(), send(transport, server.url))
    assert ours.body == b"{}"
    assert (server.connections, len(server.requests)) == (2 if stray else 1, 2)


@pytest.mark.parametrize("words", [*STRAYS.values(), b"SSH-2.0-OpenSSH_9.6\r\n"])
async def test_who_speaks_before_being_asked_is_not_heard(words: bytes) -> None:
    """A new connection that begins with an answer carries no request: that is certain."""
    spoken = asyncio.Event()

    async def wait(*_: object) -> None:
        await spoken.wait()
        await until_read()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(wait)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        spoken.set()
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(trace_configs=[trace]) as session, transporting(session) as transport:
        with pytest.raises(ConnectionFailed, match="spoke before it was asked") as caught:
            await send(transport, url)
    server.close()
    assert not caught.value.sent
    assert heard == [b"", b""], "it was not asked, or asked for ever"


def _tired(times: int) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if times_left.pop() else STRAYS["a time-out"])

    times_left = [False, *[True] * times]
    return talk


@METHODS
async def test_408_on_a_kept_connection_is_a_lost_answer(request_: Any) -> None:
    """The server may have given the connection up before it read the request: its word is not about this one."""
    async with serving(_tired(1)) as server, transporting() as transport:
        await send(transport, server.url, request_)
        with pytest.raises(AnswerLost, match="408") as caught:
            await send(transport, server.url, request_)
    assert (caught.value.sent, caught.value.timed_out, len(server.requests)) == (True, False, 2)


@METHODS
async def test_408_on_a_connection_that_is_handed_on_is_a_lost_answer(request_: Any) -> None:
    """It has carried another request, as a kept one has, though nobody found it idle."""
    async with handed_on(_tired(1), None) as (server, transport):
        first, second = await asyncio.gather(
            *(send(transport, server.url, request_) for _ in range(2)), return_exceptions=True
        )
    assert not isinstance(first, BaseException)
    assert first.body == b"{}"
    assert isinstance(second, AnswerLost)
    assert (second.sent, len(server.requests), server.connections) == (True, 2, 1)


async def test_an_alert_on_a_connection_that_is_handed_on_is_a_lost_answer() -> None:
    """A server that has answered in plain HTTP does not speak TLS at this port: nothing is certain."""
    answers = [OK, b"\x15\x03\x01\x00\x02\x02\x46"]

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with handed_on(talk, None) as (server, transport):
        _, second = await asyncio.gather(*(send(transport, server.url) for _ in range(2)), return_exceptions=True)
    assert isinstance(second, AnswerLost)
    assert (second.sent, server.connections) == (True, 1)


async def test_408_on_a_new_connection_is_an_answer() -> None:
    """It can be about this request only."""
    async with serving(_tired(0)) as server, transporting() as transport:
        assert (await send(transport, server.url)).status == 408


async def test_tls_tickets_are_no_words(tmp_path: Path) -> None:
    """What a TLS server sends of its own after the handshake costs no connection."""
    assert ssl.HAS_TLSv1_3
    async with over(tmp_path) as (server, transport):
        for _ in range(5):
            await send(transport, server.url)
    assert server.connections == 1
