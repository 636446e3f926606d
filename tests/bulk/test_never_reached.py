"""A cause that meets every record stops a run after the first few, and they are told so."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from omeda_async import (
    BasicAuth,
    BulkRun,
    ClientOptOut,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    OutcomeStatus,
    SessionManager,
)
from omeda_async.errors import ConnectionFailed
from tests.core.raw import self_signed

Answer = Callable[[int], bytes]
DONE, NOT_SENT = OutcomeStatus.DONE, OutcomeStatus.NOT_SENT


class Counted:
    """A server that answers what it is told, and counts."""

    def __init__(self, answer: Answer) -> None:
        self.requests = 0
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                _, _, length = head.partition(b"content-length:")
                await reader.readexactly(int(length.split(b"\r\n")[0] or 0))
                self.requests += 1
                writer.write(self._answer(self.requests))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Counted, SessionManager]]:
    """Serve, with a manager for it."""
    counted = Counted(answer)
    server = await asyncio.start_server(counted, "127.0.0.1", 0)
    async with server, _manager(server.sockets[0].getsockname()[1]) as manager:
        yield counted, manager


def _manager(port: int, scheme: str = "http", host: str = "127.0.0.1", **options: Any) -> SessionManager:
    url = f"{scheme}://{host}:{port}"
    return SessionManager(
        **options,
        omeda=OmedaSettings(app_id="app-123456", client="foo", brand="FOO", user_id="somebody", base_url=url),
        ocamba=OcambaSettings(token="t-123456", base_url=url),
        journey_manager=JourneyManagerSettings(base_url=f"{url}/workspaces", auth=BasicAuth("u", "p-123456")),
    )


def _runs(manager: SessionManager) -> dict[str, Callable[[], BulkRun]]:
    ids = [str(number) for number in range(3000)]
    opt_outs = [ClientOptOut(f"reader{number}@omeda.com") for number in range(3000)]
    return {
        "opt-outs": lambda: manager.omeda.opt_outs.submit_many(opt_outs, max_entries=100),
        "deployments": lambda: manager.omeda.deployments.cancel_many(ids),
        "campaigns": lambda: manager.ocamba.campaigns.cancel_many(ids),
        "transactions": lambda: manager.journey_manager.transactions.cancel_many(ids),
    }


OPERATIONS = ("opt-outs", "deployments", "campaigns", "transactions")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_redirects_of_every_request_stop_the_run(operation: str, status: int) -> None:
    """A moved host or a log-in page: a few requests show it, one cause is given, and nobody is sent there."""
    redirect = f"HTTP/1.1 {status} X\r\nLocation: https://new-host.example/login?x=1\r\nContent-Length: 0\r\n\r\n"
    async with serving(lambda _: redirect.encode()) as (server, manager):
        run = _runs(manager)[operation]()
        report = await run
        assert run.stopped_by is not None
        assert "new-host.example" in str(run.stopped_by)
        assert "login" not in str(run.stopped_by)
        assert server.requests <= 32
        assert report.counts[NOT_SENT] >= 1000
        assert report.total == 3000
        assert DONE not in report.counts


class Nameless(AbstractResolver):
    """Knows no name."""

    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[ResolveResult]:
        """Say so."""
        raise OSError(None, f"{host}:{port} is not known ({family})")

    async def close(self) -> None:
        """There is nothing to close."""


class Anywhere(Nameless):
    """Has one address for every name."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        """Give it."""
        return [ResolveResult(hostname=host, host="192.0.2.1", port=port, family=family, proto=0, flags=0)]


async def _never(*_: object, **__: object) -> None:
    await asyncio.get_running_loop().create_future()


def _no_socket(_: object) -> socket.socket:
    raise OSError(errno.ENETUNREACH, "Network is unreachable")


AWAY: dict[str, dict[str, Any]] = {
    "refused": {},
    "name": {"resolver": Nameless},
    "unreachable": {"resolver": Anywhere, "socket_factory": lambda: _no_socket},
    "timeout": {"resolver": Anywhere},
    "proxy": {},
}
"""What keeps every connection from being made, and the options of a connector that bring it about."""


@pytest.mark.parametrize("cause", AWAY)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_host_that_is_never_reached_stops_the_run(
    operation: str, cause: str, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has left: after a few records and minutes, not after hours, and whatever keeps a connection away."""
    if cause == "timeout":
        monkeypatch.setattr("aiohappyeyeballs.start_connection", _never)
    connector = aiohttp.TCPConnector(**{name: make() for name, make in AWAY[cause].items()})
    proxy = f"http://127.0.0.1:{unused_tcp_port}" if cause == "proxy" else None
    host = "127.0.0.1" if cause == "refused" else "nowhere.example"
    async with (
        aiohttp.ClientSession(connector=connector, proxy=proxy) as session,
        _manager(unused_tcp_port, "https", host, http_session=session) as manager,
    ):
        run, begun = _runs(manager)[operation](), asyncio.get_running_loop().time()
        report = await run
        assert isinstance(run.stopped_by, ConnectionFailed)
        assert run.stopped_by.cause == cause
        assert report.counts.keys() == {OutcomeStatus.FAILED, NOT_SENT}
        assert report.requests <= 80
        assert report.total == 3000
        assert not any(outcome.error and outcome.error.sent for outcome in report.failures)
        assert asyncio.get_running_loop().time() - begun < (300 if cause == "timeout" else 30)


async def test_a_host_that_was_reached_before_does_not_stop_the_run() -> None:
    """Then it is away for a while, and each record is tried as ever."""
    redirect = b"HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"

    def answer(number: int) -> bytes:
        return b"HTTP/1.1 204 X\r\n\r\n" if number < 3 else redirect

    async with serving(answer) as (_, manager):
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(5)], concurrency=1)
        report = await run
        assert run.stopped_by is None
        assert report.counts[DONE] == 2
        assert report.total == 5


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_certificate_that_is_not_trusted_stops_the_run_at_once(operation: str, tmp_path: Path) -> None:
    """It would be the same for every record, and however often it is tried."""
    server = await asyncio.start_server(Counted(lambda _: b""), "127.0.0.1", 0, ssl=self_signed(tmp_path))
    async with server, _manager(server.sockets[0].getsockname()[1], "https") as manager:
        run = _runs(manager)[operation]()
        report = await run
        assert isinstance(run.stopped_by, ConnectionFailed)
        assert "certificate" in str(run.stopped_by)
        assert report.counts.keys() == {OutcomeStatus.FAILED, NOT_SENT}
        assert report.requests <= 8


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
BAD_GATEWAY = b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("answer", [PAGE, BAD_GATEWAY], ids=["a page", "502"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_server_that_never_gives_an_answer_of_the_providers_stops_the_run(
    operation: str, answer: bytes
) -> None:
    """Some other server, or a gateway alone: a few records have used up their attempts, and all the same."""
    async with serving(lambda _: answer) as (server, manager):
        run = _runs(manager)[operation]()
        report = await run
        assert run.stopped_by is not None
        assert report.counts[NOT_SENT] >= 1000
        assert report.total == 3000
        assert server.requests <= 700
        assert DONE not in report.counts


async def test_redirects_that_begin_in_the_middle_stop_the_run() -> None:
    """No record is moved: a few in a row show it, whatever was done before them."""
    redirect = b"HTTP/1.1 302 X\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n"

    def answer(number: int) -> bytes:
        return b"HTTP/1.1 204 X\r\n\r\n" if number <= 20 else redirect

    async with serving(answer) as (server, manager):
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(1000)])
        report = await run
        assert report.counts[DONE] == 20
        assert run.stopped_by is not None
        assert server.requests <= 80
