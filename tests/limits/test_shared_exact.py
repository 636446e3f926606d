"""What the limiters of an account share: who goes first, who is called, and when all of it is forgotten."""

import asyncio
import math
import os
from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import LimitWaitExceeded
from omeda_async.limits import Priority, RateLimit, Window, _shared as module, forget, make_limiter
from omeda_async.limits._lanes import Lanes
from omeda_async.limits._shared import Member, Shared, share
from omeda_async.limits._state import Permit
from omeda_async.testing import MovedClockLoop
from tests.limits.limits_help import until_idle

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
LIMIT = RateLimit(Window(10, 60.0), interactive_reserve=0)


def middle() -> float:
    """Draw the middle of all chances."""
    return 0.5


class Bench:
    """Limiters of one account, who note when they are called."""

    def __init__(self) -> None:
        """Begin with none."""
        self.shared = Shared(LIMIT, middle)
        self.called: list[Member] = []
        self.me = self.member()

    def member(
        self, *, interactive: int = 0, bulk: int = 0, last_grant: int = 0, called: float | None = None
    ) -> Member:
        """Add one in whose queue so many wait."""
        loop, lanes = asyncio.get_running_loop(), Lanes()
        for lane, count in ((INTERACTIVE, interactive), (BULK, bulk)):
            for _ in range(count):
                lanes.join(loop.create_future(), lane, math.inf)
        member = Member(loop, lanes, lambda: self.called.append(member), last_grant, called)
        self.shared.enter(member)
        return member

    async def calls(self) -> list[Member]:
        """Give those who were called, and forget it."""
        await until_idle()
        called, self.called = self.called, []
        return called


@pytest.mark.parametrize(
    ("interactive", "bulk", "wants"),
    [(0, 0, (False, False)), (1, 0, (True, False)), (0, 1, (False, True)), (1, 1, (True, True))],
)
async def test_a_limiter_wants_what_somebody_waits_for(interactive: int, bulk: int, wants: tuple[bool, bool]) -> None:
    """In each lane of its queue."""
    member = Bench().member(interactive=interactive, bulk=bulk)
    assert (member.wants(INTERACTIVE), member.wants(BULK)) == wants


async def test_who_was_called_is_called_once_and_waited_for_for_a_twentieth_of_a_second() -> None:
    """To the moment; who has answered may be called again."""
    bench = Bench()
    assert Member(asyncio.get_running_loop(), Lanes(), lambda: None).last_grant == 0  # it has had nothing
    assert not bench.me.is_silent(1e9)
    for now in (100.0, 100.01):
        bench.me.call(now)
    assert await bench.calls() == [bench.me]
    assert [bench.me.is_silent(now) for now in (100.0, 100.0 + 0.05, 100.051)] == [False, False, True]
    bench.me.called_at = None
    bench.me.call(200.0)
    assert await bench.calls() == [bench.me]


async def test_who_is_on_a_loop_that_is_closed_is_not_called_and_not_waited_for() -> None:
    """It never looks again."""
    bench = Bench()
    gone = asyncio.SelectorEventLoop()
    lanes = Lanes()
    lanes.join(asyncio.get_running_loop().create_future(), INTERACTIVE, math.inf)
    member = Member(gone, lanes, lambda: None)
    bench.shared.enter(member)
    gone.close()
    assert bench.shared.may_go(bench.me, BULK, 100.0)
    assert not bench.shared.others_want(bench.me, INTERACTIVE, 100.0)
    bench.shared.call_others(bench.me, 100.0)
    assert member.called_at is None
    member.call(100.0)
    assert member.called_at == 100.0


@pytest.mark.parametrize(
    ("priority", "other", "in_a_row", "goes"),
    [
        (BULK, {"interactive": 1, "last_grant": 9}, 0, False),  # interactive calls anywhere go first
        (BULK, {"interactive": 1, "last_grant": 9}, 8, False),
        (BULK, {"interactive": 1, "last_grant": 9}, 9, True),
        (INTERACTIVE, {"bulk": 1, "last_grant": 9}, 0, True),
        (INTERACTIVE, {"bulk": 1, "last_grant": 9}, 8, True),
        (INTERACTIVE, {"bulk": 1, "last_grant": 9}, 9, False),  # one in ten is bulk's
        (INTERACTIVE, {"bulk": 1, "last_grant": 9}, 10, False),
        (INTERACTIVE, {"bulk": 1, "last_grant": 9, "called": 99.0}, 9, True),
        (BULK, {"bulk": 1, "last_grant": 4}, 0, False),  # in a lane, who has waited longer
        (BULK, {"bulk": 1, "last_grant": 5}, 0, True),
        (BULK, {"bulk": 1, "last_grant": 6}, 0, True),
        (BULK, {"bulk": 1, "last_grant": 4, "called": 99.0}, 0, True),
        (INTERACTIVE, {"interactive": 1, "last_grant": 4}, 0, False),
        (INTERACTIVE, {"interactive": 1, "last_grant": 6}, 0, True),
        (INTERACTIVE, {"bulk": 1, "last_grant": 4}, 0, True),  # nobody waits in that lane
        (BULK, {"last_grant": 4}, 0, True),
        (BULK, {"interactive": 1, "called": 99.0}, 0, True),  # it does not answer
        (BULK, {"interactive": 1, "called": 99.99}, 0, False),
    ],
)
async def test_who_goes_first_is_let_go_first_and_called(
    priority: Priority, other: dict[str, Any], in_a_row: int, *, goes: bool
) -> None:
    """By its lane, then by how long it has had nothing."""
    bench = Bench()
    bench.me.last_grant, bench.shared.state.in_a_row = 5, in_a_row
    assert bench.shared.may_go(bench.me, priority, 100.0)
    member = bench.member(**other)
    assert bench.shared.may_go(bench.me, priority, 100.0) is goes
    assert await bench.calls() == ([] if goes or member.called_at == 99.99 else [member])


async def test_others_want_what_they_wait_for_as_long_as_they_answer() -> None:
    """One's own waiters are no others."""
    bench = Bench()
    me = bench.member(interactive=1, bulk=1)
    assert not bench.shared.others_want(me, BULK, 100.0)
    bench.member(bulk=1, called=99.0)
    assert not bench.shared.others_want(me, BULK, 100.0)
    bench.member(bulk=1)
    assert bench.shared.others_want(me, BULK, 100.0)
    assert not bench.shared.others_want(me, INTERACTIVE, 100.0)


async def test_of_the_others_those_who_wait_are_called() -> None:
    """Nobody else has anything to look at."""
    bench = Bench()
    me = bench.member(interactive=1)
    waits = [bench.member(interactive=1), bench.member(bulk=1)]
    bench.shared.call_others(me, 100.0)
    assert set(await bench.calls()) == set(waits)


async def test_there_are_several_where_there_are_two() -> None:
    """One alone need not ask the others."""
    loop = asyncio.get_running_loop()
    shared, seen = Shared(LIMIT, middle), list[bool]()
    members = [Member(loop, Lanes(), lambda: None) for _ in range(3)]
    seen.append(shared.several)
    steps: list[tuple[Callable[[Member], None], Member]] = [
        *((shared.enter, member) for member in members),
        *((shared.leave, member) for member in members),
    ]
    for step, member in steps:
        step(member)
        seen.append(shared.several)
    assert seen == [False, False, True, True, True, False, False]


async def test_a_time_is_the_loops_and_never_goes_backwards() -> None:
    """Whatever another loop has told before."""
    shared, loop = Shared(LIMIT, middle), asyncio.get_running_loop()
    assert shared.now(loop) == loop.time()
    shared.latest = loop.time() + 5.0
    assert shared.now(loop) == shared.latest == pytest.approx(loop.time() + 5.0, abs=0.01)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the moved clock be taken for one that all loops share."""
    monkeypatch.setattr("omeda_async._clock.is_moved", lambda _: False)


def shared_by(account: str, limit: RateLimit = LIMIT) -> Shared:
    """Give what the limiters of an account share on this loop."""
    return share(account, asyncio.get_running_loop(), limit, middle)


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("calls", [1, 10])
async def test_what_nobody_has_used_for_two_windows_is_forgotten(calls: int) -> None:
    """To the moment; what was used since then is not."""
    shared = shared_by("spring", RateLimit(Window(calls, 60.0)))
    shared.latest = 100.0
    assert [shared.is_over(now) for now in (100.0, 219.9, 220.0, 220.1)] == [False, False, False, True]
    shared.latest = asyncio.get_running_loop().time()
    assert shared_by("spring") is shared
    await asyncio.sleep(120.1)
    shared_by("autumn")
    assert shared_by("spring") is not shared
    forgotten = shared_by("autumn")
    forget()
    assert shared_by("autumn") is not forgotten


@pytest.mark.usefixtures("real")
async def test_what_somebody_uses_is_not_forgotten() -> None:
    """However long ago anything went."""
    limiter = make_limiter(LIMIT, account="spring")
    limiter.release(await limiter.acquire(), status=204)
    shared = shared_by("spring")
    await asyncio.sleep(1000.0)
    assert shared_by("spring") is shared
    await limiter.aclose()
    await asyncio.sleep(1000.0)
    assert shared_by("spring") is not shared


@pytest.mark.usefixtures("real")
async def test_a_pause_that_is_longer_than_two_windows_is_not_forgotten() -> None:
    """Nobody may use the account meanwhile, as under a job queue; whoever comes then keeps to it all the same."""
    limiter = make_limiter(LIMIT, account="spring")
    limiter.release(await limiter.acquire(), status=429, headers={"Retry-After": "600"})
    await limiter.aclose()
    await asyncio.sleep(300.0)
    later = make_limiter(LIMIT, account="spring")
    with pytest.raises(LimitWaitExceeded):
        await later.acquire(max_wait=200.0)
    await asyncio.sleep(400.0)
    later.release(await later.acquire(max_wait=0.0), status=204)
    await later.aclose()


@pytest.mark.usefixtures("real")
async def test_what_is_in_flight_is_not_forgotten_though_its_limiter_is_closed() -> None:
    """The cap holds for as long as it takes."""
    limit = RateLimit(Window(10, 60.0), parallel=1, interactive_reserve=0)
    limiter = make_limiter(limit, account="spring")
    permit = await limiter.acquire()
    await limiter.aclose()
    await asyncio.sleep(300.0)
    later = make_limiter(limit, account="spring")
    with pytest.raises(LimitWaitExceeded):
        await later.acquire(max_wait=1.0)
    limiter.release(permit, status=204)
    later.release(await later.acquire(max_wait=0.0), status=204)
    await later.aclose()


@pytest.mark.usefixtures("real")
async def test_what_was_made_this_moment_is_not_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that comes before its first limiter has entered would make another one, with its own budget."""
    await asyncio.sleep(1000.0)
    bury = Shared.bury

    def look(shared: Shared) -> None:
        module._forget_the_old(asyncio.get_running_loop().time())
        bury(shared)

    monkeypatch.setattr(Shared, "bury", look)
    assert shared_by("spring") is shared_by("spring")


async def test_what_is_of_a_loop_with_a_moved_clock_goes_with_it() -> None:
    """Its time is its own; the others stay."""
    mine, other = shared_by("spring"), MovedClockLoop()
    assert share("spring", other, LIMIT, middle) is not mine
    assert len(module._accounts) == 2
    other.close()
    assert shared_by("spring") is mine
    assert len(module._accounts) == 1


async def test_what_was_lost_with_a_loop_may_have_been_sent() -> None:
    """It counts, and is in flight no more."""
    shared, gone = Shared(LIMIT, middle), asyncio.SelectorEventLoop()
    shared.latest = 100.0
    lost, kept = (shared.state.take(100.0, BULK) for _ in range(2))
    shared.out = {lost: gone, kept: asyncio.get_running_loop()}
    gone.close()
    shared.bury()
    view = shared.state.view(100.0, {}, 1)
    assert (view.in_flight, view.used, list(shared.out)) == (1, 2, [kept])


def test_a_child_of_a_process_shares_with_nobody() -> None:
    """What its parent has used goes on there; what another thread held when it forked is nobody's."""

    async def use() -> Permit:
        return await make_limiter(LIMIT, account="spring").acquire()

    asyncio.run(use())
    assert module._accounts
    with module._lock:
        child = os.fork()
        if not child:
            os._exit(len(module._accounts) + 2 * module._lock.locked())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
