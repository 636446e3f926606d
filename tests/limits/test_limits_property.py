"""The claim: whatever the limits, the server, the headers, the network and the cancellations, nothing is refused."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from omeda_async.errors import ConfigurationError
from omeda_async.limits import Permit, RateLimit, Window, make_limiter
from omeda_async.testing import run_moved
from tests.campaigns import cases
from tests.limits.limits_world import HEADERS, SERVERS, Play, World

TRUE_HEADERS = HEADERS[:5]


@st.composite
def rate_limits(draw: st.DrawFn) -> RateLimit:
    """Draw one or two windows that both bind."""
    first = Window(draw(st.integers(1, 12)), draw(st.sampled_from([0.2, 1.0, 3.0])))
    parallel = draw(st.none() | st.integers(1, 12))
    longer = Window(first.calls * draw(st.integers(2, 5)) + 1, first.seconds * draw(st.integers(8, 30)))
    try:
        return (
            RateLimit(first, longer, parallel=parallel) if draw(st.booleans()) else RateLimit(first, parallel=parallel)
        )
    except ConfigurationError:
        return RateLimit(first, parallel=parallel)


worlds = st.builds(
    World,
    limit=rate_limits(),
    server=st.sampled_from(SERVERS),
    headers=st.sampled_from(HEADERS),
    phase=st.floats(0, 1),
    drift=st.floats(-0.0005, 0.0005),
    longest_trip=st.sampled_from([0.05, 0.5, 4.0]),
    cancelled=st.sampled_from([0.0, 0.1, 0.5]),
    calls=st.integers(1, 90),
    spread=st.sampled_from([0.0, 0.0, 5.0, 40.0]),
    seed=st.integers(0, 1000),
)


def play(world: World, make: Any) -> Play:
    """Run a world to its end, and then until every slot must be free again."""

    async def main() -> Play:
        done = Play(world, make)
        await done.run()
        await asyncio.sleep(sum(window.seconds for window in world.limit.windows) * 1.01)
        return done

    return run_moved(main(), debug=False)


@settings(max_examples=cases(150), derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds)
def test_no_server_ever_refuses_and_no_slot_leaks(world: World) -> None:
    """Every call that is not cancelled goes through, none is refused, and in the end every slot is free."""
    done = play(world, make_limiter)
    assert done.server.refused == []
    assert done.finished + done.cancelled == world.calls
    limiter: Any = done.limiter
    view = limiter.view()
    assert view.in_flight == 0
    assert sum(view.waiting.values()) == 0
    assert [(window.used, window.held) for window in view.windows] == [(0, 0) for _ in view.windows]


class SendLog:
    """Control: exact sliding windows over the times of sending, first come, first served."""

    def __init__(self, limit: RateLimit) -> None:
        """Start with nothing sent."""
        self._limit = limit
        self._log: list[float] = []
        self._lock = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until every window, as the sender sees it, has room."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            for window in sorted(self._limit.windows, key=lambda window: -window.seconds):
                if len(self._log) >= window.calls:
                    await asyncio.sleep(max(0.0, self._log[-window.calls] + window.seconds * 1.001 - loop.time()))
            self._log.append(loop.time())

    def release(self, permit: None, **_: object) -> None:
        """Learn nothing."""


class AllAtReset:
    """Control: ours, but every slot of the longest window is freed as soon as the reported reset has passed."""

    def __init__(self, limit: RateLimit) -> None:
        """Take the real limiter, and keep its own corrections out of it."""
        self._inner: Any = make_limiter(limit)

    async def acquire(self) -> Permit:
        """Ask the limiter."""
        permit: Permit = await self._inner.acquire()
        return permit

    def release(
        self, permit: Permit, *, status: int | None = None, headers: Mapping[str, str] | None = None, sent: bool = True
    ) -> None:
        """Free everything once the reset has passed, with a second for the rounding."""
        self._inner.release(permit, sent=sent, status=status)
        if headers and "X-RateLimit-Reset" in headers:
            loop = asyncio.get_running_loop()
            loop.call_later(float(headers["X-RateLimit-Reset"]) + 0.01, self._free_all)

    def _free_all(self) -> None:
        self._inner._state._gates[-1].slots.keep_newest(0)
        loop = asyncio.get_running_loop()
        self._inner._dispatch(loop, loop.time())


def ordinary_worlds() -> list[World]:
    """Give worlds like Ocamba's, in which the controls have to fail."""
    chance = random.Random(7)  # noqa: S311 worlds are to be repeatable
    return [
        World(
            limit=RateLimit(Window(5, 1.0), Window(20, 10.0), parallel=5),
            server=server,
            headers=chance.choice(("down", "nearest", "hundredths")),
            phase=chance.random(),
            calls=80,
            longest_trip=chance.choice((0.2, 0.9)),
            seed=chance.randrange(1000),
        )
        for server in ("fixed", "opened", "log")
        for _ in range(6)
    ]


def refusals(make: Any) -> int:
    """Count what is refused in all the ordinary worlds."""
    return sum(len(play(world, make).server.refused) for world in ordinary_worlds())


@pytest.mark.parametrize("control", [SendLog, AllAtReset])
def test_the_controls_are_refused_where_ours_is_not(control: Any) -> None:
    """A log of send times and a release of everything at Reset fail in worlds in which ours does not."""
    assert refusals(make_limiter) == 0
    assert refusals(control) > 10


@settings(max_examples=cases(25), derandomize=True, deadline=None)
@given(phase=st.floats(0, 1), headers=st.sampled_from(TRUE_HEADERS[1:]), seed=st.integers(0, 99))
def test_true_headers_save_time_and_are_never_refused(phase: float, headers: str, seed: int) -> None:
    """With headers that tell the truth, a run ends no later than without, and mostly much earlier."""
    limit = RateLimit(Window(10, 1.0), Window(40, 30.0), parallel=10)
    ends = []
    for mode in ("none", headers):
        done = timed(World(limit=limit, phase=phase, headers=mode, calls=200, longest_trip=0.1, seed=seed))
        assert done[0].server.refused == []
        ends.append(done[1])
    without, with_headers = ends
    assert with_headers <= without + 1.0
    if 0.3 < phase < 0.9:
        assert with_headers < without - 2.0


def timed(world: World) -> tuple[Play, float]:
    """Run a world, and tell when it ended."""

    async def main() -> tuple[Play, float]:
        done = Play(world, make_limiter)
        await done.run()
        return done, asyncio.get_running_loop().time()

    return run_moved(main(), debug=False)
