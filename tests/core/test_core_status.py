"""The status is an answer, too: whatever has become of its body, a refusal is one; a success is one as a whole only."""

import asyncio
import contextlib
import gc
import gzip
import zlib
from typing import Any

import aiohttp
import pytest

from omeda_async import (
    AnswerLost,
    AuthenticationFailed,
    BadRequest,
    OcambaSettings,
    OutcomeStatus,
    RateLimited,
    ServerError,
    SessionLost,
    SessionManager,
    UnreadableAnswer,
)
from omeda_async._body import MAX_BODY
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda
from tests.core.raw import OK, Talk, failing, says, send, serving, transporting

ZEROS = gzip.compress(b"\0" * (MAX_BODY + 1))
PACKED = gzip.compress(b'{"Errors": []}' * 100)


def broken(
    *headers: bytes, body: bytes = b"", length: int | None = None, later: bytes = b"", close: bool = True
) -> Any:
    """From a status to a server whose body is broken so, perhaps in a second packet."""

    def talk(status: int) -> Talk:
        declared = () if length is None else (b"Content-Length: %d" % length,)
        head = b"\r\n".join([b"HTTP/1.1 %d X" % status, b"Retry-After: 7", *headers, *declared])

        async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(head + b"\r\n\r\n" + body)
            if later:
                await asyncio.sleep(0.01)
                writer.write(later)
            if close:
                writer.close()

        return say

    return talk


CHUNKED = b"Transfer-Encoding: chunked"
BROKEN = {
    "cut": (broken(body=b'{"Errors":[', length=500), "cut short"),
    "cut, later": (broken(body=b'{"Errors":[', length=500, later=b"{"), "cut short"),
    "nothing of it": (broken(length=500), "cut short"),
    "cut between chunks": (broken(CHUNKED, body=b"2\r\n{}\r\n"), "cut short"),
    "cut in a chunk": (broken(CHUNKED, body=b"ff\r\n{}"), "cut short"),
    "no chunks": (broken(CHUNKED, body=b"zz\r\n{}"), "not in chunks"),
    "no chunks, later": (broken(CHUNKED, body=b"2\r\n{}\r\n", later=b"zz\r\n{}", close=False), "cut short"),
    "a chunk too long": (broken(CHUNKED, body=b"2\r\n{}xx0\r\n\r\n"), "not in chunks"),
    "no gzip": (broken(b"Content-Encoding: gzip", body=b"{1}", length=3), "not what its Content-Encoding says"),
    "gzip, cut": (broken(b"Content-Encoding: gzip", body=PACKED[:-9], length=len(PACKED) - 9), "cut short"),
    "gzip, not whole": (broken(b"Content-Encoding: gzip", body=PACKED[:-9], length=len(PACKED)), "cut short"),
    "gzip and something": (broken(b"Content-Encoding: gzip", body=PACKED + b"x", length=len(PACKED) + 1), "cut short"),
    "no deflate": (broken(b"Content-Encoding: deflate", body=b"{1}", length=3), "cut short|not what its"),
    "brotli": (broken(b"Content-Encoding: br", body=b"{1}", length=3), "packed with br|not what its"),
    "zstd": (broken(b"Content-Encoding: zstd", body=b"{1}", length=3), "packed with zstd|not what its"),
    "packed somehow": (broken(b"Content-Encoding: x-lha", body=b"{1}", length=3), "packed with x-lha, which nobody"),
    "too large": (broken(length=MAX_BODY + 1, body=b"{"), "larger than 16 MiB"),
    "too large, packed": (broken(b"Content-Encoding: gzip", body=ZEROS, length=len(ZEROS)), "larger than 16 MiB"),
    "packed over and over": (
        broken(b"Content-Encoding: " + b"gzip," * 99, body=PACKED, length=len(PACKED)),
        "over and",
    ),
    "never whole": (broken(body=b"{", length=2, close=False), "not whole in time"),
}
BODIES = pytest.mark.parametrize(("talk", "flaw"), BROKEN.values(), ids=BROKEN)
CANCELS = pytest.mark.parametrize(
    "operation", [omeda.CANCEL, omeda.SUBMIT_OPT_OUTS, ocamba.CANCEL, journey_manager.CANCEL], ids=lambda one: one.name
)
BY_STATUS = {400: BadRequest, 401: AuthenticationFailed, 403: AuthenticationFailed, 429: RateLimited, 503: ServerError}


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 502, 503])
@BODIES
async def test_a_refusal_is_one_whatever_has_become_of_its_body(talk: Any, flaw: str, status: int) -> None:
    """Status and headers are handed on, with what is wrong with the body; and the request is not sent again."""
    async with serving(talk(status)) as server, transporting() as transport:
        response = await send(transport, server.url)
    assert (response.status, response.headers["retry-after"], len(server.requests)) == (status, "7", 1)
    assert response.flaw is not None
    assert any(words in response.flaw for words in flaw.split("|"))


@BODIES
async def test_a_success_is_in_doubt_without_its_body(talk: Any, flaw: str) -> None:
    """Nothing is concluded from its status."""
    async with serving(talk(200)) as server, transporting() as transport:
        with pytest.raises((AnswerLost, UnreadableAnswer)) as caught:
            await send(transport, server.url)
    assert (caught.value.sent, len(server.requests)) == (True, 1)
    words = [*flaw.split("|"), "its chunks are broken", "within 30 s"]
    assert any(one in str(caught.value) for one in words), str(caught.value)


@CANCELS
@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("how", ["cut", "no gzip", "too large", "no chunks", "brotli"])
async def test_every_provider_reads_it_by_its_status(operation: Any, status: int, how: str) -> None:
    """The error has the class of the status, its Retry-After, and says what was wrong with the body."""
    async with serving(BROKEN[how][0](status)) as server, transporting() as transport:
        error = operation.parse(await send(transport, server.url))
    assert type(error) is BY_STATUS[status]
    assert (error.status, error.retry_after, error.sent) == (status, 7.0, status == 503)
    assert f"answered {status} " in str(error)
    assert "its body is" in str(error)


@pytest.mark.parametrize("body", [b"\xff\xfe\0{", b'{"Errors": ["\xff"]}', b"\0" * 9, b"[" * 5000, b'"\\ud800"'])
@CANCELS
async def test_a_refusal_that_cannot_be_decoded_is_one(operation: Any, body: bytes) -> None:
    """Neither bytes that are no text nor JSON of any depth hide a status."""
    talk = broken(b"Content-Type: application/json; charset=utf-16", body=body, length=len(body))
    async with serving(talk(403)) as server, transporting() as transport:
        error = operation.parse(await send(transport, server.url))
    assert type(error) is AuthenticationFailed


async def test_words_that_came_before_the_cut_are_told_with_it() -> None:
    """What the provider says is kept, and that it did not end."""
    body = b'{"Errors":[{"Error":"The user is not here."},{"Err'
    async with serving(broken(body=body, length=500)(400)) as server, transporting() as transport:
        error: Any = omeda.CANCEL.parse(await send(transport, server.url))
    assert "answered 400 Bad Request, and its body is cut short" in str(error)


UNPACKED = {
    "gzip": gzip.compress(b"{}"),
    "x-gzip": gzip.compress(b"{}"),
    "GZIP": gzip.compress(b"{") + gzip.compress(b"}"),
    "deflate": zlib.compress(b"{}"),
    "deflate ": zlib.compress(b"{}", wbits=-zlib.MAX_WBITS),
    "identity": b"{}",
    "gzip, identity": gzip.compress(b"{}"),
    "deflate, gzip": gzip.compress(zlib.compress(b"{}")),
}


@pytest.mark.parametrize(("encoding", "packed"), UNPACKED.items(), ids=UNPACKED)
async def test_what_is_packed_is_unpacked(encoding: str, packed: bytes) -> None:
    """As RFC 9110 writes it, and as some servers do."""
    talk = broken(b"Content-Encoding: " + encoding.encode(), body=packed, length=len(packed), close=False)
    async with serving(talk(200)) as server, transporting() as transport:
        assert (await send(transport, server.url)).body == b"{}"


HEAD = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\n{}"
REFUSED = {
    "a header too long": (
        HEAD + b"Set-Cookie: sso=" + b"x" * 70_000 + b"\r\n" + END,
        "a header of it is longer than 64",
    ),
    "a name too long": (HEAD + b"x" * 70_000 + b": 1\r\n" + END, "longer than 64 KiB (often"),
    "too many headers": (HEAD + b"X: 1\r\n" * 200 + END, "more headers than are read"),
    "204 with a body": (b"HTTP/1.1 204 No Content\r\n" + END, "a 204 that has a body"),
    "two lengths": (HEAD + b"Content-Length: 3\r\n" + END, "Content-Length is there twice"),
    "a length that is none": (HEAD + b"Content-Length: -2\r\n\r\n{}", "Content-Length is there twice, or is no number"),
    "a length and chunks": (HEAD + CHUNKED + b"\r\n" + END, "its length in two ways"),
    "a blank before a colon": (HEAD + b"X-A : 1\r\n" + END, "a blank before the colon"),
    "no colon": (HEAD + b"chunk\r\n" + END, "no colon"),
    "a zero byte": (HEAD + b"X: chunk\0\r\n" + END, "a zero byte"),
    "no chunks": (HEAD + CHUNKED + b"\r\n\r\nzz\r\n", "its chunks are broken"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP/1.1"),
    "HTTP/2": (b"HTTP/2 200 OK\r\n" + END, "first line is none of HTTP/1.1"),
    "no status": (b"HTTP/1.1 abc OK\r\n" + END, "first line is none of HTTP/1.1"),
    "more than its length": (HEAD + b"Connection: close\r\n" + END + b"{}", "more came than its Content-Length says"),
    "more, kept alive": (HEAD + END + b"{}", "more came than belongs to it"),
}


@pytest.mark.parametrize("borrows", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize(("words", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_the_parser_refuses_is_told_in_our_words(words: bytes, reason: str, *, borrows: bool) -> None:
    """What was wrong, and who can mend it; nothing of what came is shown, and nothing is concluded from it."""
    async with (
        serving(says(words, close=True)) as server,
        aiohttp.ClientSession() as session,
        transporting(session if borrows else None) as transport,
    ):
        with pytest.raises(AnswerLost) as caught:
            await send(transport, server.url)
    shown = str(caught.value)
    assert reason in shown
    assert "the server, or a proxy in between, has to be mended" in shown
    assert all(one not in shown for one in ("ClientResponseError", "xxx", "OpenSSH"))
    assert (caught.value.sent, caught.value.timed_out, len(server.requests)) == (True, False, 1)


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("how", [name for name in REFUSED if name not in {"204 with a body", "no HTTP", "no chunks"}])
async def test_a_status_beside_headers_that_are_refused_is_not_believed(status: int, how: str) -> None:
    """Whose headers are none may have a status that is none."""
    words = REFUSED[how][0].replace(b" 200 ", b" %d " % status)
    error, _ = await failing(says(words, close=True))
    assert type(error) is AnswerLost


@pytest.mark.parametrize("borrows", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("size", [9_000, 65_000])
async def test_headers_of_up_to_64_kib_are_read(size: int, *, borrows: bool) -> None:
    """Cookies of log-in gateways are longer than what aiohttp reads by itself."""
    words = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: sso=" + b"x" * size + b"\r\n\r\n")
    async with (
        serving(says(words)) as server,
        aiohttp.ClientSession() as session,
        transporting(session if borrows else None) as transport,
    ):
        assert (await send(transport, server.url)).status == 200


async def test_a_cut_refusal_is_told_as_one_when_its_connection_is_reset() -> None:
    """Where its head has been read by then; else it is lost."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n{")
        await asyncio.sleep(0.01)
        await says(reset=True)(_, writer)

    async with serving(talk) as server, transporting() as transport:
        response = await send(transport, server.url)
    assert (response.status, response.flaw, response.body) == (403, "cut short", b"{")


@pytest.mark.parametrize(
    ("authorization", "in_session"),
    [("Basic dTpw", False), ("Bearer t", True), (None, True)],
)
async def test_a_response_knows_what_was_asked_and_how_it_was_signed(
    authorization: str | None, *, in_session: bool
) -> None:
    """A redirect is told by the host that was asked, and a lost session only where there may have been one."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with serving(says(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n")) as server, transporting() as transport:
        response = await send(transport, server.url + "/base", headers=headers)
    assert (response.asked, response.in_session) == (server.url + "/base", in_session)
    error = journey_manager.CANCEL.parse(response)
    assert type(error) is (SessionLost if in_session else UnreadableAnswer)
    assert "it redirects to a log-in page (the same host)" in str(error)


async def _in_two_parts(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK[:-1])
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(OK[-1:])


async def test_a_connection_that_breaks_later_is_nobodys_concern() -> None:
    """Whoever has waited for a body on it leaves nothing behind that asyncio would complain of."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with serving(_in_two_parts) as server, transporting() as transport:
        for _ in range(3):
            assert (await send(transport, server.url)).body == b"{}"
        await says(reset=True)(None, server.writers[0])  # type: ignore[arg-type]  # it reads nothing
        await asyncio.sleep(0.01)
        assert (await send(transport, server.url)).body == b"{}"
        gc.collect()
        await asyncio.sleep(0)
    assert complaints == []
    assert server.connections == 2


async def test_cancelling_while_a_body_comes_in_ends_the_connection() -> None:
    """The next request has another one, and its own answer."""
    async with serving(_in_two_parts) as server, transporting() as transport:
        task = asyncio.create_task(send(transport, server.url))
        while not server.requests:  # noqa: ASYNC110 the moved clock makes this a wait for input
            await asyncio.sleep(0.001)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await send(transport, server.url)).body == b"{}"
    assert server.connections == 2


@pytest.mark.parametrize("passes", range(12))
async def test_cancelling_at_any_moment_leaves_nothing_behind(passes: int) -> None:
    """Whichever of its waits a request is at, the next one is answered."""
    async with serving(says(OK[:-1], OK[-1:])) as server, transporting() as transport:
        await send(transport, server.url)
        server.writers[0].write(b"HTTP/1.1 204 No Content\r\n\r\n")
        task = asyncio.create_task(send(transport, server.url))
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert (await send(transport, server.url)).body == b"{}"


@pytest.mark.parametrize("how", ["cut", "no gzip", "no chunks", "too large"])
async def test_a_run_stops_at_a_refusal_that_meets_everyone_whose_body_is_lost(how: str) -> None:
    """Nothing is in doubt then, and hardly anything was sent."""
    async with serving(BROKEN[how][0](403)) as server:
        settings = OcambaSettings(token="token-123", base_url=server.url)
        async with SessionManager(ocamba=settings) as manager:
            report = await manager.ocamba.campaigns.cancel_many(map(str, range(500)))
    assert set(report.counts) == {OutcomeStatus.FAILED, OutcomeStatus.NOT_SENT}
    assert report.counts[OutcomeStatus.FAILED] == len(server.requests) < 50


async def test_a_run_waits_as_a_429_asks_whose_body_is_lost() -> None:
    """Its Retry-After counts, and the record is sent again."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            await BROKEN["cut"][0](429)(_, writer)
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    loop = asyncio.get_running_loop()
    before = loop.time()
    async with serving(talk) as server:
        settings = OcambaSettings(token="token-123", base_url=server.url)
        async with SessionManager(ocamba=settings) as manager:
            await manager.ocamba.campaigns.cancel("7")
    assert len(server.requests) == 2
    assert loop.time() - before >= 7.0
