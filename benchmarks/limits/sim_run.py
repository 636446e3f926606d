"""One simulated run: a client, a network and a server on a virtual clock."""

import asyncio
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from benchmarks.limits.sim_policies import POLICIES, Headers, Policy
from benchmarks.limits.sim_servers import Server, make_server, optimum
from omeda_async.testing import MovedClockLoop

ROUNDINGS: dict[str, Callable[[float], str]] = {
    "down": lambda seconds: str(math.floor(seconds)),
    "up": lambda seconds: str(math.ceil(seconds)),
    "nearest": lambda seconds: str(round(seconds)),
    "hundredths": lambda seconds: f"{seconds:.2f}",
}
_CLOCKS = ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns")
_PEERS = ("pyrate_limiter", "limits", "throttled", "time")


@attrs.frozen
class Run:
    """What to simulate."""

    policy: str
    server: str
    requests: int
    seed: int
    other_per_second: float = 0.0
    retry_after: bool = True


@attrs.frozen
class Result:
    """What came of it."""

    run: Run
    refusals: int
    ratio: float
    """The time the last request was taken, over the earliest possible."""
    arrivals: tuple[tuple[float, bool], ...]
    """When each request came to the server, and whether it was taken."""
    phase: float


class Network:
    """Trips: lognormal with a mean of 40 ms, and two in a hundred of 500 ms."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 a simulation is to be repeatable
        self._trips: list[tuple[float, float]] = []

    def trip(self, number: int) -> tuple[float, float]:
        """Return the seconds out and back of the request sent as the given one, the same for every policy."""
        while len(self._trips) <= number:
            self._trips.append((self._one(), self._one()))
        return self._trips[number]

    def _one(self) -> float:
        sigma = 0.5
        if self._random.random() < 0.02:
            return 0.5
        return self._random.lognormvariate(math.log(0.04) - sigma * sigma / 2, sigma)


class Client:
    """Sends every request once it may, and again after a 429."""

    def __init__(self, run: Run, policy: Policy, server: Server, rounding: str) -> None:
        self._run, self._policy, self._server = run, policy, server
        self._round = ROUNDINGS[rounding]
        self._network = Network(run.seed)
        self._sent = 0
        self.arrivals: list[tuple[float, bool]] = []

    async def call(self) -> None:
        """Get one request taken."""
        while not await self._attempt():
            pass

    async def _attempt(self) -> bool:
        permit = await self._policy.acquire()
        out, back = self._network.trip(self._sent)
        self._sent += 1
        await asyncio.sleep(out)
        now = asyncio.get_running_loop().time()
        taken = self._server.take(now)
        headers = self._headers(now, taken=taken)
        self.arrivals.append((now, taken))
        await asyncio.sleep(back)
        await self._policy.release(permit, 204 if taken else 429, headers)
        return taken

    def _headers(self, now: float, *, taken: bool) -> Headers:
        if not taken:
            wait = math.ceil(self._server.earliest(now) - now)
            return {"Retry-After": str(max(1, wait))} if self._run.retry_after else {}
        limit, remaining, reset = self._server.advice(now)
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": self._round(max(0.0, reset)),
        }


async def _someone_else(server: Server, per_second: float, seed: int) -> None:
    chance = random.Random(seed + 1_000_000)  # noqa: S311 a simulation is to be repeatable
    while True:
        await asyncio.sleep(chance.expovariate(per_second))
        server.take(asyncio.get_running_loop().time())


async def _play(run: Run, client: Client, server: Server) -> None:
    other = None
    if run.other_per_second:
        other = asyncio.ensure_future(_someone_else(server, run.other_per_second, run.seed))
    await asyncio.gather(*(client.call() for _ in range(run.requests)))
    if other is not None:
        other.cancel()


async def _at_once(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


@contextmanager
def _virtual_time(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let the other libraries read the loop's clock wherever they read the machine's, and start no threads."""
    real = {getattr(time, name): name for name in _CLOCKS}
    fakes: dict[str, Any] = {
        name: (lambda: int((1e9 + loop.time()) * 1e9)) if name.endswith("_ns") else (lambda: 1e9 + loop.time())
        for name in _CLOCKS
    }
    # A moved clock does not wait for a thread: limits would find that hours have passed.
    changed: list[tuple[Any, str, Any]] = [(asyncio, "to_thread", asyncio.to_thread)]
    asyncio.to_thread = _at_once
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _PEERS:
            for key, value in list(vars(module).items()):
                if callable(value) and getattr(value, "__hash__", None) and value in real:
                    changed.append((module, key, value))
                    setattr(module, key, fakes[real[value]])
    try:
        yield
    finally:
        for module, key, value in changed:
            setattr(module, key, value)


def simulate(run: Run) -> Result:
    """Play one run."""
    chance = random.Random(run.seed)  # noqa: S311 a simulation is to be repeatable
    # Twenty seeds in a row take one phase from each of twenty equal parts of the minute, so that luck has less say.
    phase, drift = (run.seed % 20 + chance.random()) * 3, chance.uniform(-0.0005, 0.0005)
    rounding = list(ROUNDINGS)[run.seed % len(ROUNDINGS)]
    server = make_server(run.server, phase, drift)
    loop = MovedClockLoop(patience=0.0)
    with _virtual_time(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def main() -> Client:
            client = Client(run, POLICIES[run.policy](), server, rounding)
            await _play(run, client, server)
            return client

        client = runner.run(main())
    network = Network(run.seed)
    best = optimum(run.server, phase, drift, [network.trip(i)[0] for i in range(run.requests)])
    refusals = sum(not taken for _, taken in client.arrivals)
    return Result(run, refusals, client.arrivals[-1][0] / best, tuple(client.arrivals), phase)
