"""Load on the example web app: uvicorn with several workers, and what every request ended with."""

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs

from omeda_async import SessionManager
from omeda_async.limits._store import Ask
from omeda_async.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
_TOLD = re.compile(r"^(unheard|delivered) (\S+) (\w+)$", re.MULTILINE)


@attrs.define
class Sent:
    """One request of a reader, and what the reader was told."""

    path: str
    key: str
    worker: int
    """The process at the other end of its connection."""
    status: int | None = None
    """None where the connection ended without a response."""
    ticket: str = ""

    @property
    def address(self) -> str:
        """Whose opt-out it is."""
        return f"{self.key}@example.com"

    @property
    def was_answered(self) -> bool:
        """Whether the app has said what became of it: a handler that is cancelled ends as a 500 of uvicorn's."""
        return self.status not in {None, 500}


@attrs.define
class Server:
    """uvicorn under way, and what it writes."""

    process: asyncio.subprocess.Process
    url: str
    log: str = ""


@attrs.define
class Load:
    """Readers who unsubscribe one after the other, each on a connection of its own."""

    url: str
    sent: list[Sent] = attrs.field(factory=list)
    campaigns: Counter[int] = attrs.field(factory=Counter)
    """The statuses of cancels."""
    is_over: bool = False

    def least(self) -> int:
        """Return how many requests have ended well of the kind that has the fewest."""
        seen = Counter((sent.path, sent.status) for sent in self.sent)
        return min(seen["/unsubscribe", 200], seen["/outbox", 202], self.campaigns[200])

    async def unsubscribe(self, path: str, reader: int) -> None:
        """Be a reader, and the next, until the load is over."""
        turn = 0
        while not self.is_over:
            async with _connection() as session:
                while not self.is_over and await self._one(session, path, f"{path[1:]}-{reader}-{turn}"):
                    turn += 1
            turn += 1
            await asyncio.sleep(0.05)

    async def _one(self, session: aiohttp.ClientSession, path: str, key: str) -> bool:
        """Make one request; whether its connection is still good."""
        try:
            async with session.get(f"{self.url}/health") as response:
                sent = Sent(path, key, (await response.json())["worker"])
        except aiohttp.ClientError:
            return False
        self.sent.append(sent)
        try:
            body = {"key": key, "address": sent.address}
            async with session.post(f"{self.url}{path}", json=body) as response:
                found = await response.json(content_type=None) if response.status == 202 else {}
                sent.status, sent.ticket = response.status, found.get("ticket", "")
        except aiohttp.ClientConnectorError:
            self.sent.remove(sent)  # it never left
            return False
        except aiohttp.ClientError:
            return False
        return True

    async def cancel(self, campaigns: Iterator[str]) -> None:
        """Cancel one campaign after the other until the load is over."""
        for campaign in campaigns:
            async with _connection() as session:
                try:
                    url = f"{self.url}/campaigns/{campaign}/cancel"
                    async with session.post(url, params={"reason": "spring is over"}) as response:
                        self.campaigns[response.status] += 1
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
            if self.is_over:
                return


def _connection() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), timeout=aiohttp.ClientTimeout(20))


def age_limits(folder: Path, settings: Mapping[str, str]) -> None:
    """Make the files of shared limits such as have been in use for long: else the first two minutes are held."""
    for name, value in settings.items():
        os.environ[name] = value
    os.environ["OMEDA_ASYNC_SHARE_LIMITS"] = str(folder)
    for account in SessionManager.from_env()._accounts:
        limiter = account.limiter
        file = limiter._store._file  # type: ignore[attr-defined]  # a limiter that is shared has a store
        file.clock = lambda: time.monotonic() - 1000.0
        ask = Ask(client="first", number=1, rate_limit=account.settings.rate_limit, lease=65.0, leaves=True)
        file.turn(ask)
        file.close()


@asynccontextmanager
async def serving(environment: Mapping[str, str], *, workers: int, grace: int) -> AsyncIterator[Server]:
    """Run the app until it has ended, and kill what has not."""
    command = ["uvicorn", "web_app:app", "--app-dir", str(EXAMPLES), "--port", "0", "--workers", str(workers)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--timeout-graceful-shutdown", str(grace), "--no-access-log"),
        env=os.environ | environment,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    server = Server(process, "")
    reading = asyncio.create_task(_read(server))
    try:
        async with asyncio.timeout(60):
            while server.log.count("Application startup complete") < workers:
                assert process.returncode is None, server.log
                await asyncio.sleep(0.02)
        found = re.search(r"http://127\.0\.0\.1:\d+", server.log)
        assert found is not None
        server.url = found[0]
        yield server
        async with asyncio.timeout(30):
            await process.wait()
            await reading
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        reading.cancel()


async def _read(server: Server) -> None:
    assert server.process.stderr is not None
    while line := await server.process.stderr.readline():
        server.log += line.decode()


def applied(sandbox: Sandbox) -> set[str]:
    """Who has been opted out."""
    return {one.email_address for one in sandbox.omeda.opt_outs}


def told(log: str, kind: str) -> Counter[tuple[str, str]]:
    """How often one of the app's callbacks has noted each key and status."""
    return Counter((key, status) for what, key, status in _TOLD.findall(log) if what == kind)


def unaccounted(requests: Iterable[Sent], log: str, done: set[str], killed: int) -> list[Sent]:
    """Return the requests of handlers that wait whose end nobody knows, or of which something wrong was said.

    Of the worker that was killed only what was answered counts: it promised nothing else.
    """
    unheard, wrong = told(log, "unheard"), []
    for sent in requests:
        if sent.path != "/unsubscribe" or (sent.worker == killed and not sent.was_answered):
            continue
        heard = [status for key, status in unheard if key == sent.key]
        says_done = sent.status == 200 if sent.was_answered else heard == ["done"]
        if says_done is not (sent.address in done) or (sent.was_answered and heard):
            wrong.append(sent)
    return wrong
