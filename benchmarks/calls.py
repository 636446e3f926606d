"""One call, ``deployments.cancel``: CPU per request beside a bare aiohttp loop and httpx doing the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import httpx
import orjson
import uvloop

from benchmarks import _harness
from benchmarks._harness import Failed, Measured, metered
from benchmarks._server import arrived
from omeda_async import OmedaSettings, RateLimit, SessionManager

IN_FLIGHT = 16
SLICE = 500
"""Calls of one client before it is the other's turn."""
TRACK_ID = "FOO0102003002"
PATH = "/webservices/rest/brand/FOO/omail/deployment/cancel/*"
# What the library sends: the comparison is about the work, not about the words.
HEADERS = {
    "User-Agent": "bare/1.0",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "x-omeda-appid": "0D4C1B4E-0000-4000-8000-000000000000",
}
Send = Callable[[], Awaitable[str]]


async def _work(send: Send, requests: int) -> float:
    """Make so many calls, and give the CPU seconds they took."""
    numbers: Iterator[int] = iter(range(requests))

    async def work() -> int:
        done = 0
        for _ in numbers:
            done += await send() == TRACK_ID
        return done

    with metered() as used:
        done = sum(await asyncio.gather(*(work() for _ in range(IN_FLIGHT))))
    _harness.check("calls done", done, requests)
    return used.cpu


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Send]:
    settings = OmedaSettings(
        app_id=HEADERS["x-omeda-appid"],
        brand="FOO",
        user_id="omailAccount1",
        base_url=url,
        rate_limit=RateLimit(parallel=2 * IN_FLIGHT),
    )
    async with SessionManager(omeda=settings) as manager:

        async def send() -> str:
            return (await manager.omeda.deployments.cancel(TRACK_ID)).track_id or ""

        yield send


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Send]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send() -> str:
            body = orjson.dumps({"UserId": "omailAccount1", "TrackId": TRACK_ID})
            async with session.post(url + PATH, data=body, headers=HEADERS) as response:
                receipt = orjson.loads(await response.read())
                return str(receipt["ResponseInfo"][0]["TrackId"])

        yield send


@asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[Send]:
    async with httpx.AsyncClient() as client:

        async def send() -> str:
            body = orjson.dumps({"UserId": "omailAccount1", "TrackId": TRACK_ID})
            response = await client.post(url + PATH, content=body, headers=HEADERS)
            return str(orjson.loads(response.content)["ResponseInfo"][0]["TrackId"])

        yield send


WORDS = {"ours": "omeda_async", "httpx": "httpx + orjson"}
CLIENTS = {"ours": _ours, "httpx": _httpx}


async def _measure(client: str, url: str, requests: int) -> Measured:
    async with CLIENTS[client](url) as send, _bare(url) as bare:
        for one in (send, bare):
            await _work(one, SLICE)
        used = [(await _work(send, SLICE), await _work(bare, SLICE)) for _ in range(requests // SLICE)]
    mine, theirs = map(sum, zip(*used, strict=True))
    return {"cpu": mine, "bare": theirs}


def measure(client: str, url: str, requests: int, *, fast_loop: bool = False) -> Measured:
    """Make calls with a client and with the bare loop, in turns; runs in a process of its own.

    Both in one process: where its memory lies and who else is on the machine changes such times by half.
    """
    run = _measure(client, url, requests)
    return uvloop.run(run) if fast_loop else asyncio.run(run)


def compare(requests: int, rounds: int, *, clients: tuple[str, ...], fast_loop: bool) -> dict[str, list[Measured]]:
    """Compare clients with the bare loop; every round verifies that the server has counted each request."""
    with _harness.server() as url:

        def one(client: str) -> Measured:
            measured = _harness.child(measure, client=client, url=url, requests=requests, fast_loop=fast_loop)
            _harness.check(f"requests of {client}", arrived(url)["requests"], 2 * (requests + SLICE))
            return {**measured, "times": measured["cpu"] / measured["bare"]}

        runs = {client: (lambda client=client: one(client)) for client in clients}
        return _harness.in_turns(runs, rounds)


def report() -> str:
    """Measure in full, and write the section."""
    requests, rows = 4000, []
    loops: dict[str, tuple[str, ...]] = {"asyncio": ("ours", "httpx"), "uvloop": ("ours",)}
    for loop, clients in loops.items():
        results = compare(requests, 7, clients=clients, fast_loop=loop == "uvloop")
        for client in clients:
            cpu = _harness.median(results[client], "cpu") / requests
            times = _harness.median(results[client], "times")
            rows.append([loop, WORDS[client], f"{1e6 * cpu:.0f} µs", f"{times:.2f} x"])
        bare = _harness.median(results["ours"], "bare") / requests
        rows.append([loop, "bare aiohttp + orjson", f"{1e6 * bare:.0f} µs", "1.00 x"])
    head = ("loop", "client", "CPU per request", "to bare aiohttp")
    return f"""### One call

`deployments.cancel`, {IN_FLIGHT} in flight, the courtesy limit off, against the server process beside; each client in
turns of {SLICE} calls with the bare loop, in one process, seven times. Target: ≤ 1.20 x the bare loop on asyncio, and
several times faster than httpx.

{_harness.table(head, rows)}"""


def gate() -> None:
    """Fail where noise can no longer be the reason.

    Raises:
        Failed: A call costs far more than it should.
    """
    results = compare(1000, 2, clients=("ours", "httpx"), fast_loop=False)
    ours, httpx_times = (_harness.median(results[client], "times") for client in ("ours", "httpx"))
    theirs = ours / httpx_times
    print(f"one call: {ours:.2f} x bare aiohttp, {theirs:.2f} x httpx")
    if ours > 2 or theirs > 0.8:
        raise Failed(f"one call takes {ours:.2f} x the CPU of bare aiohttp and {theirs:.2f} x that of httpx")
