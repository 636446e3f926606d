"""Single calls: CPU per request beside a bare aiohttp loop that sends the same, and beside httpx.

``deployments.cancel``, free and contended, and ``opt_outs.submit`` with ten thousand tasks waiting at the limiter.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import aiohttp
import orjson

from benchmarks import _harness
from benchmarks._harness import Measured, metered
from benchmarks._server import arrived
from omeda_async import ClientOptOut, OmedaSettings, RateLimit, SessionManager

TRACK_ID = "FOO0102003002"
ADDRESS = "reader@example.com"
PATHS = {
    "cancel": "/webservices/rest/brand/FOO/omail/deployment/cancel/*",
    "submit": "/webservices/rest/client/foo/optoutfilterqueue/*",
}
BODIES = {
    "cancel": {"UserId": "omailAccount1", "TrackId": TRACK_ID},
    "submit": {"ClientOptOut": [{"EmailAddress": ADDRESS}]},
}
# What the library sends: the comparison is about the work, not about the words.
HEADERS = {
    "User-Agent": "bare/1.0",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "x-omeda-appid": "0D4C1B4E-0000-4000-8000-000000000000",
}
Send: TypeAlias = Callable[[], Awaitable[bool]]
"""Makes one call, and tells whether it was carried out."""


class Shape(NamedTuple):
    """How calls are made."""

    what: str
    tasks: int
    """Tasks that make calls at once."""
    turn: int
    """Calls of one client before it is the other's turn."""
    call: str = "cancel"
    parallel: int | None = None
    """Calls that may be in flight at once; None to let all."""


SHAPES = {
    "free": Shape("`deployments.cancel`, 16 tasks, all may", 16, 500),
    "contended": Shape("`deployments.cancel`, 64 tasks, 8 may", 64, 500, parallel=8),
    "waiting": Shape("`opt_outs.submit`, 10,000 tasks at once, 8 may", 10_000, 10_000, "submit", parallel=8),
    "few waiting": Shape("the same, 2,000 tasks", 2000, 2000, "submit", parallel=8),
}


async def _work(send: Send, tasks: int, calls: int) -> float:
    """Make so many calls, and give the CPU seconds they took."""
    numbers: Iterator[int] = iter(range(calls))

    async def work() -> int:
        done = 0
        for _ in numbers:
            done += await send()
        return done

    with metered() as used:
        done = sum(await asyncio.gather(*(work() for _ in range(tasks))))
    _harness.check("calls done", done, calls)
    return used.cpu


@asynccontextmanager
async def _ours(url: str, shape: Shape) -> AsyncIterator[Send]:
    settings = OmedaSettings(
        app_id=HEADERS["x-omeda-appid"],
        brand="FOO",
        client="foo",
        user_id="omailAccount1",
        base_url=url,
        rate_limit=RateLimit(parallel=shape.parallel or 2 * shape.tasks),
    )
    async with SessionManager(omeda=settings) as manager:

        async def cancel() -> bool:
            return (await manager.omeda.deployments.cancel(TRACK_ID)).track_id == TRACK_ID

        async def submit() -> bool:
            return (await manager.omeda.opt_outs.submit(ClientOptOut(ADDRESS))).submission_id is not None

        yield cancel if shape.call == "cancel" else submit


def _done(receipt: Any) -> bool:
    return "SubmissionId" in receipt or receipt["ResponseInfo"][0]["TrackId"] == TRACK_ID


@asynccontextmanager
async def _bare(url: str, shape: Shape) -> AsyncIterator[Send]:
    url, body = url + PATHS[shape.call], BODIES[shape.call]
    may: AbstractAsyncContextManager[None] = asyncio.Semaphore(shape.parallel) if shape.parallel else nullcontext()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send() -> bool:
            async with may, session.post(url, data=orjson.dumps(body), headers=HEADERS) as response:
                return _done(orjson.loads(await response.read()))

        yield send


@asynccontextmanager
async def _httpx(url: str, shape: Shape) -> AsyncIterator[Send]:
    import httpx  # noqa: PLC0415 it belongs to the extra bench

    url, body = url + PATHS[shape.call], BODIES[shape.call]
    async with httpx.AsyncClient() as client:

        async def send() -> bool:
            response = await client.post(url, content=orjson.dumps(body), headers=HEADERS)
            return _done(orjson.loads(response.content))

        yield send


CLIENTS = {"ours": _ours, "bare": _bare, "httpx": _httpx}


async def _measure(client: str, url: str, shape: Shape, turns: int) -> Measured:
    used, checksums = {client: 0.0, "bare": 0.0}, set()
    async with CLIENTS[client](url, shape) as send, _bare(url, shape) as bare:
        for turn in range(turns + 1):
            for name, one in ((client, send), ("bare", bare)):
                cpu = await _work(one, shape.tasks, shape.turn)
                used[name] += cpu if turn else 0.0  # the first is to warm up
                counts = arrived(url)
                _harness.check(f"requests of {name}", counts["requests"], shape.turn)
                checksums.add(counts["checksum"])
    _harness.check("different bodies", len(checksums), 1)
    calls = shape.turn * turns
    return {"cpu": used[client] / calls, "bare": used["bare"] / calls, "times": used[client] / used["bare"]}


def measure(client: str, url: str, shape: str, turns: int, *, fast_loop: bool = False) -> Measured:
    """Make calls with a client and with the bare loop, in turns; runs in a process of its own.

    Both in one process: where its memory lies and who else is on the machine changes such times by half. Every turn
    verifies that the server has counted each request, and that both have sent the same bodies.
    """
    return _harness.run(_measure(client, url, SHAPES[shape], turns), fast_loop=fast_loop)


class Comparison(NamedTuple):
    """One client, in one shape, on one loop."""

    key: str
    client: str
    shape: str
    turns: int
    fast_loop: bool = False


FULL = (
    Comparison("free", "ours", "free", 8),
    Comparison("httpx", "httpx", "free", 4),
    Comparison("contended", "ours", "contended", 8),
    Comparison("waiting", "ours", "waiting", 2),
    Comparison("uvloop", "ours", "free", 8, fast_loop=True),
)
SHORT = tuple(one._replace(turns=1, shape="few waiting" if one.shape == "waiting" else one.shape) for one in FULL)


def compare(comparisons: tuple[Comparison, ...], rounds: int) -> dict[str, list[Measured]]:
    """Make the comparisons in turns."""
    with _harness.server() as url:

        def one(what: Comparison) -> Measured:
            options = {"client": what.client, "shape": what.shape, "turns": what.turns, "fast_loop": what.fast_loop}
            return _harness.child(measure, url=url, **options)

        runs = {what.key: (lambda what=what: one(what)) for what in comparisons}
        return _harness.in_turns(runs, rounds)


def _figures(results: dict[str, list[Measured]]) -> _harness.Figures:
    figures = {f"call, {key}: x": _harness.median(ran, "times") for key, ran in results.items()}
    figures["call, to httpx: x"] = figures["call, free: x"] / figures.pop("call, httpx: x")
    return figures


def report() -> _harness.Report:
    """Measure in full, and write the section."""
    results = compare(FULL, 7)
    rows = [
        [
            SHAPES[what.shape].what,
            "uvloop" if what.fast_loop else "asyncio",
            "omeda_async" if what.client == "ours" else "httpx + orjson",
            *(f"{1e6 * _harness.median(results[what.key], cpu):.0f} µs" for cpu in ("cpu", "bare")),
            f"{_harness.median(results[what.key], 'times'):.2f} x",
        ]
        for what in FULL
    ]
    text = f"""### Single calls

CPU per call against the server process beside, other limits off; each client in turns with a bare aiohttp loop in one
process, seven times. Where few may, the bare loop has a semaphore.

{_harness.table(("calls", "loop", "client", "CPU per call", "bare aiohttp", "to bare aiohttp"), rows)}"""
    return text, _figures(results)


def gate() -> _harness.Figures:
    """Measure a little; every turn verifies its result."""
    return _figures(compare(SHORT, 1))
