"""One budget for everyone on the account: on one loop, one after the other, on threads with loops of their own."""

import asyncio
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest

from omeda_async import (
    BasicAuth,
    BearerAuth,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    SessionManager,
    _clock,
)
from omeda_async._account import account_key
from omeda_async.limits import Limiter, LimitsView, Priority, RateLimit, Window, forget, make_limiter
from omeda_async.limits._lanes import Lanes
from omeda_async.limits._shared import PATIENCE, Member, share
from omeda_async.testing import run_moved
from tests.limits.limits_help import attempt, until_idle

SECOND, MINUTE = 0.05, 3.0
"""Seconds of the two windows: twenty times as fast as the provider's."""
LIMIT = RateLimit(Window(10, SECOND), Window(150, MINUTE), parallel=10, interactive_reserve=0)


class Server:
    """Counts arrivals in fixed windows on the machine's clock, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[float, int]] = Counter()
        self.taken = self.refused = 0

    def take(self, now: float) -> bool:
        """Count one, and tell whether it is taken."""
        with self._lock:
            good = True
            for calls, seconds in ((10, SECOND), (150, MINUTE)):
                window = (seconds, int(now / seconds))
                self._counts[window] += 1
                good = good and self._counts[window] <= calls
            self.taken += good
            self.refused += not good
            return good


async def call(limiter: Limiter, server: Server, **how: Any) -> None:
    """Make one attempt that takes a hundredth of a second."""
    permit = await limiter.acquire(**how)
    await asyncio.sleep(0.005)
    good = server.take(asyncio.get_running_loop().time())
    await asyncio.sleep(0.005)
    limiter.release(permit, status=204 if good else 429)


async def burst(server: Server, account: str | None, calls: int) -> None:
    """Do what a task of a job queue does: make a limiter, and as many calls as it can."""
    limiter = make_limiter(LIMIT, account=account)
    await asyncio.gather(*(call(limiter, server) for _ in range(calls)))
    limiter.close()


async def _two_at_once(server: Server, account: str | None) -> None:
    await asyncio.gather(burst(server, account, 70), burst(server, account, 59))


def one_after_the_other(server: Server, account: str | None) -> None:
    """Run twelve tasks, each on a loop of its own that begins when the one before has ended."""
    for _ in range(12):
        asyncio.run(burst(server, account, 14))


def at_once(server: Server, account: str | None) -> None:
    """Run two limiters on one loop."""
    asyncio.run(_two_at_once(server, account))


def on_threads(server: Server, account: str | None) -> None:
    """Run four loops on four threads."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, burst(server, account, 40)) for _ in range(4)]:
            done.result()


WAYS = [at_once, one_after_the_other, on_threads]


def test_a_view_is_of_a_limiter_alone_unless_it_says_otherwise() -> None:
    """As one may make one for a test of one's own."""
    view = LimitsView(
        windows=(), waiting={}, in_flight=1, parallel=2, next_slot_in=0.0, paused_for=0.0, refusals=0, pace=None
    )
    assert (view.clients, view.shared_by, view.store_reachable) == (1, "process", True)
    assert (view.held_for, view.next_bulk_in, view.interactive_reserve, view.spacing) == (0.0, 0.0, 0, 0.0)
    assert (view.used, view.free, view.seconds_for(100)) == (1, 1, 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_limiters_of_one_account_are_never_refused(way: Callable[[Server, str | None], None]) -> None:
    """At once on a loop, one after the other, on threads: all of them together keep to the limit."""
    server = Server()
    way(server, "spring")
    assert server.refused == 0
    assert server.taken >= 129


def test_limiters_that_do_not_share_are_refused() -> None:
    """The control: the same without an account."""
    server = Server()
    at_once(server, None)
    assert server.refused > 0


async def test_interactive_calls_anywhere_go_before_bulk_anywhere() -> None:
    """And in a lane, who has waited longer: two limiters take turns."""
    limit = RateLimit(Window(1, 1.0))
    one, two = (make_limiter(limit, account="spring") for _ in range(2))
    order = list[str]()

    async def go(limiter: Limiter, name: str, priority: Priority) -> None:
        await attempt(limiter, priority=priority)
        order.append(name)

    await attempt(two)
    tasks = [asyncio.create_task(go(one, "one's bulk", Priority.BULK)) for _ in range(3)]
    await until_idle()
    tasks += [asyncio.create_task(go(two, "two's", Priority.INTERACTIVE)) for _ in range(3)]
    tasks += [asyncio.create_task(go(one, "one's", Priority.INTERACTIVE)) for _ in range(3)]
    await asyncio.gather(*tasks)
    assert order == ["one's", "two's"] * 3 + ["one's bulk"] * 3
    assert one.view().clients == 2


async def test_what_one_gives_back_the_other_gets_at_once() -> None:
    """A slot of the cap that is free again wakes whoever waits for it, also at another limiter."""
    limit = RateLimit(Window(100, 1.0), parallel=1)
    one, two = (make_limiter(limit, account="spring") for _ in range(2))
    permit = await one.acquire()
    waits = asyncio.create_task(two.acquire())
    await until_idle()
    assert not waits.done()
    one.release(permit, status=204)
    await until_idle()
    assert waits.done()
    two.release(waits.result(), status=204)
    assert (one.view().in_flight, two.view().used) == (0, 2)


async def test_the_turn_at_a_pace_is_shared() -> None:
    """Nothing goes faster than the pace, and an interactive call of one takes the turn of the other's bulk."""
    limit, loop = RateLimit.courtesy(per_second=4, parallel=8), asyncio.get_running_loop()
    one, two = (make_limiter(limit, account="spring") for _ in range(2))
    await attempt(one, takes=0.0)
    bulk = [asyncio.create_task(attempt(one, priority=Priority.BULK)) for _ in range(3)]
    await until_idle()
    await asyncio.sleep(0.1)
    asked = loop.time()
    went = await attempt(two)
    assert went - asked <= 0.26
    moments = sorted([went, *await asyncio.gather(*bulk)])
    assert [later - sooner for sooner, later in pairwise(moments)] == pytest.approx([0.25] * 3)


async def test_a_loop_that_does_not_answer_holds_nobody_up() -> None:
    """Its turn is passed over until it looks again."""
    limiter, loop, calls = make_limiter(RateLimit(Window(2, 1.0)), account="spring"), asyncio.get_running_loop(), [0]
    await attempt(limiter)

    def busy() -> None:
        calls[0] += 1

    lanes = Lanes()
    lanes.join(loop.create_future(), Priority.INTERACTIVE, math.inf)
    other = Member(loop, lanes, busy)
    share("spring", loop, RateLimit(Window(2, 1.0)), lambda: 0.5).enter(other)
    assert await attempt(limiter) == pytest.approx(0.01 + PATIENCE, abs=0.01)
    assert calls == [1]
    assert await attempt(limiter) == pytest.approx(1.02, abs=0.01)  # it is not called, and waited for, each time


async def test_the_tighter_of_two_limits_holds_and_a_warning_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of each window, of the cap and of the pace; what went before counts in windows that are new, too."""
    loose = make_limiter(RateLimit(Window(10, 1.0), parallel=8, interactive_reserve=0), account="spring")
    permits = [await loose.acquire() for _ in range(3)]
    for permit in permits[:2]:
        loose.release(permit, status=204)
    with caplog.at_level(logging.WARNING, "omeda_async"):
        for _ in range(2):
            tight = make_limiter(RateLimit(Window(5, 1.0), Window(20, 60.0), parallel=9, pace=0.01), account="spring")
            await tight.acquire()
    assert len(caplog.records) == 1
    assert "the tighter of each holds" in caplog.records[0].getMessage()
    view = loose.view()
    assert [(one.window, one.held) for one in view.windows] == [(Window(5, 1.0), 0), (Window(20, 60.0), 2)]
    assert (view.parallel, view.spacing, view.interactive_reserve) == (8, 0.01, 2)
    assert [one.reserved >= 2 for one in view.windows] == [True, True]
    assert [one.used + one.held for one in view.windows] == [5, 5]
    loose.release(permits[2], status=204)
    assert loose.view().in_flight == 2


def test_what_a_closed_loop_never_gave_back_is_counted_as_lost() -> None:
    """Its slots come back a window later, and its place in flight at once."""
    limit = RateLimit(Window(5, MINUTE), parallel=2)

    async def leave_two_behind() -> None:
        limiter = make_limiter(limit, account="spring")
        await limiter.acquire()
        await limiter.acquire()

    async def look() -> tuple[int, int]:
        limiter = make_limiter(limit, account="spring")
        limiter.release(await limiter.acquire(max_wait=0), status=204)
        return limiter.view().used, limiter.view().in_flight

    asyncio.run(leave_two_behind())
    assert asyncio.run(look()) == (3, 0)


class LoopAt(asyncio.SelectorEventLoop):
    """A loop whose time the test sets; nothing runs on it."""

    now = 1000.0

    def time(self) -> float:
        """Return the time."""
        return self.now


def test_what_nobody_has_used_for_twice_its_longest_window_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is in use any more; but not where a limiter is left that may go on with it."""
    monkeypatch.setattr(_clock, "is_moved", lambda _: False)
    limit = RateLimit(Window(10, 1.0), Window(150, 60.0))
    with closing(LoopAt()) as loop, closing(LoopAt()) as another:

        def spring() -> object:
            return share("spring", loop, limit, lambda: 0.5)

        first, member = share("spring", loop, limit, lambda: 0.5), Member(another, Lanes(), lambda: None)
        first.enter(member)
        loop.now += 120.1
        assert spring() is first
        first.leave(member)
        loop.now += 119.9
        assert spring() is first
        loop.now += 120.1
        assert spring() is not first


def test_a_limiter_on_a_loop_that_is_closed_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will go on with it."""
    monkeypatch.setattr(_clock, "is_moved", lambda _: False)
    limit, member = RateLimit(Window(10, 1.0)), Member(LoopAt(), Lanes(), lambda: None)
    with closing(LoopAt()) as loop:
        first = share("spring", loop, limit, lambda: 0.5)
        first.enter(member)
        loop.now += 2.1
        assert share("spring", loop, limit, lambda: 0.5) is first
        member.loop.close()
        loop.now += 2.1
        assert share("spring", loop, limit, lambda: 0.5) is not first


def test_moved_clocks_share_with_nobody() -> None:
    """Neither with a real clock nor with the moved clock of another loop: their time is their own."""
    limit = RateLimit(Window(10, 3600.0))  # so long that a busy machine makes no difference

    async def use() -> int:
        limiter = make_limiter(limit, account="spring")
        await attempt(limiter)
        return limiter.view().used

    assert asyncio.run(use()) == 1
    assert run_moved(use()) == 1
    assert run_moved(use()) == 1
    assert asyncio.run(use()) == 2


def test_an_account_is_told_by_its_name_or_credential_and_by_where_it_is() -> None:
    """And what tells it shows neither."""
    usual = account_key("ocamba", OcambaSettings(token="t"), "s3cret")
    assert usual == account_key("ocamba", OcambaSettings(token="u", base_url="https://API.ocamba.com:443/x"), "s3cret")
    assert "s3cret" not in repr(usual)
    others = [
        account_key("omeda", OcambaSettings(token="t"), "s3cret"),
        account_key("ocamba", OcambaSettings(token="t"), "another"),
        account_key("ocamba", OcambaSettings(token="t"), None),
        account_key("ocamba", OcambaSettings(token="t", account="s3cret"), "s3cret"),
        account_key("ocamba", OcambaSettings(token="t", base_url="http://127.0.0.1:1"), "s3cret"),
        account_key("ocamba", OcambaSettings(token="t", base_url="http://127.0.0.1:2"), "s3cret"),
    ]
    assert len({usual, *others}) == 7
    named = account_key("ocamba", OcambaSettings(token="t", account="spring"), "old")
    assert named == account_key("ocamba", OcambaSettings(token="t", account="spring"), "new")


def _managers(url: str) -> list[tuple[SessionManager, SessionManager, bool]]:
    def omeda(app_id: str) -> SessionManager:
        return SessionManager(omeda=OmedaSettings(app_id=app_id, brand="FOO", base_url=url))

    def ocamba(token: Any, **more: Any) -> SessionManager:
        return SessionManager(ocamba=OcambaSettings(token=token, base_url=url, **more))

    def journeys(auth: BasicAuth | BearerAuth) -> SessionManager:
        return SessionManager(journey_manager=JourneyManagerSettings(base_url=url, auth=auth))

    return [
        (omeda("a"), omeda("a"), True),
        (omeda("a"), omeda("b"), False),
        (ocamba("t"), ocamba("t"), True),
        (ocamba("t"), ocamba("u"), False),
        (ocamba(lambda: "t"), ocamba(lambda: "u"), True),
        (ocamba("t", account="x"), ocamba(lambda: "u", account="x"), True),
        (journeys(BasicAuth("u", "old")), journeys(BasicAuth("u", "new")), True),
        (journeys(BasicAuth("u", "p")), journeys(BasicAuth("v", "p")), False),
        (journeys(BearerAuth("t")), journeys(BearerAuth("t")), True),
    ]


async def test_managers_share_by_what_is_fixed_in_their_credentials() -> None:
    """A password may change and a token may come from a callable; another app id, token or user is another account."""
    for one, two, together in _managers("http://127.0.0.1:9"):
        (first,), (second,) = one._accounts, two._accounts
        await attempt(first.limiter)
        await attempt(second.limiter)
        assert (first.limiter.view().clients == 2) is together
        forget()
