"""What headers may do: tighten always, loosen only as confirmed."""

import asyncio
import math
from collections.abc import Callable, Mapping

import pytest

from omeda_async.errors import LimitWaitExceeded
from omeda_async.limits import Limiter, RateLimit, Window, make_limiter
from omeda_async.limits._header_evidence import HeaderEvidence, Reading
from omeda_async.limits._headers import Advice
from tests.limits.limits_help import advice, attempt, take_all, until_idle

LIMIT = RateLimit(Window(10, 1.0), Window(40, 60.0), parallel=10)
SKIPPED = 20.0
"""The provider's minute began so many seconds before the first attempt."""


async def spend(limiter: Limiter, count: int, say: Callable[[int, float], Mapping[str, str]]) -> list[float]:
    """Make attempts whose answers say what a function makes of the count and the rest of the minute."""
    counts: dict[int, int] = {}

    async def one() -> float:
        permit = await limiter.acquire()
        went = asyncio.get_running_loop().time()
        minute, passed = divmod(went + SKIPPED, 60.0)
        counts[int(minute)] = counts.get(int(minute), 0) + 1
        headers = say(counts[int(minute)], 60.0 - passed)
        await asyncio.sleep(0.01)
        limiter.release(permit, status=204, headers=headers)
        return went

    return sorted(await asyncio.gather(*(one() for _ in range(count))))


def truth(count: int, rest: float) -> dict[str, str]:
    """Say how it is, in whole seconds."""
    return advice(40 - count, limit=40, reset=str(round(rest)))


def reading(counted: int, at: float, known: int) -> Reading:
    """Make what a response says that came as soon as its attempt left, with no other in flight."""
    return Reading(counted, 40 - counted, at, at, grants=known, in_flight=0, released=known, known=known)


@pytest.mark.parametrize(("sooner", "state"), [(True, "doubted"), (False, "trusted")])
def test_a_counter_begins_anew_no_more_often_than_once_in_a_window(sooner: bool, state: str) -> None:
    """By clocks that run apart by a thousandth, both: one that does so the least bit sooner is not believed."""
    evidence, before = HeaderEvidence(60.0), None
    for count in range(1, 11):
        now = reading(count, float(count), count - 1)
        evidence.learn(now, before, possible=1, known=count)
        before = now
    evidence.learn(reading(1, 50.0, 10), before, possible=1, known=11)
    assert evidence.state(50.0) == "trusted"
    begins = 10.0 + 60.0 * (1 - 2 * 0.001)
    at = math.nextafter(begins, 0.0) if sooner else begins
    evidence.learn(reading(1, at, 12), reading(1, 50.0, 10), possible=1, known=13)
    assert evidence.state(at) == state


@pytest.mark.parametrize(("sooner", "state"), [(True, "doubted"), (False, "advice")])
def test_a_window_ends_at_the_earliest_moment_that_its_reset_allows(sooner: bool, state: str) -> None:
    """A counter that begins anew then is believed, and one that does so the least bit sooner is not."""
    evidence, first = HeaderEvidence(60.0), reading(5, 0.0, 0)
    evidence.learn(first, None, possible=0, known=1)
    evidence.learn_reset(first, Advice(40, 35, reset=30.0, slack=1.0))
    assert evidence.state(0.0) == "advice"
    earliest = 30.0 - (1.0 + 60.0 * 0.001)
    at = math.nextafter(earliest, 0.0) if sooner else earliest
    evidence.learn(reading(1, at, 5), first, possible=5, known=6)
    assert evidence.state(at) == state


async def test_true_headers_give_the_next_minute_as_soon_as_it_begins() -> None:
    """Forty are spent at once; the next forty go when the provider's minute is over, a probe ahead of them."""
    limiter = make_limiter(LIMIT)
    times = await spend(limiter, 80, truth)
    assert times[39] < 5
    assert 40.0 <= times[40] < 42.0
    assert times[41] - times[40] >= 0.01
    assert times[79] < 47.0
    assert limiter.view().windows[1].headers == "trusted"


async def test_only_one_goes_before_the_new_minute_is_confirmed() -> None:
    """While the probe has no answer, nobody follows it; an answer that confirms nothing frees nothing."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 40, truth)
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(5)]
    await asyncio.sleep(45)
    granted = [waiter for waiter in waiters if waiter.done()]
    assert len(granted) == 1
    limiter.release(granted[0].result(), status=500)
    await asyncio.sleep(5)
    assert sum(waiter.done() for waiter in waiters) == 1
    assert asyncio.get_running_loop().time() < 60
    for waiter in waiters:
        waiter.cancel()


async def test_the_answer_of_the_probe_frees_the_rest() -> None:
    """One counted in the new minute: all other slots were the old minute's."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 40, truth)
    permit = await limiter.acquire()
    assert limiter.view().windows[1].free == 0
    limiter.release(permit, status=204, headers=advice(39, limit=40, reset="58"))
    assert (limiter.view().windows[1].used, limiter.view().windows[1].free) == (1, 39)


async def test_a_wait_is_measured_by_the_minute_that_true_headers_tell() -> None:
    """What they will free in time is waited for, though our own slots come free later; the rest is refused."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 40, truth)
    began = asyncio.get_running_loop().time()
    with pytest.raises(LimitWaitExceeded) as caught:
        await limiter.acquire(max_wait=20.0)
    assert asyncio.get_running_loop().time() == began
    assert caught.value.next_slot_in == pytest.approx(40.0 - began, abs=1.5)
    await limiter.acquire(max_wait=41.5 - began)
    assert 40.0 <= asyncio.get_running_loop().time() < 41.5


async def test_who_has_a_minute_s_worth_ahead_waits_a_minute_longer() -> None:
    """By true headers, and a little less for the provider's clock: thirty-nine ahead go in the same minute."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 40, truth)

    async def told() -> float:
        with pytest.raises(LimitWaitExceeded) as caught:
            await limiter.acquire(max_wait=1.0)
        return caught.value.next_slot_in or 0.0

    alone = await told()
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(39)]
    await until_idle()
    assert await told() == pytest.approx(alone)
    waiters.append(asyncio.create_task(limiter.acquire()))
    await until_idle()
    assert await told() - alone == pytest.approx(59.94)
    for waiter in waiters:
        waiter.cancel()


async def test_a_number_that_is_told_twice_is_one_proof() -> None:
    """Two responses each time tell the same: that it counts is seen only as often as it has risen."""
    limiter = make_limiter(LIMIT)
    for count in range(1, 8):
        pair = await take_all(limiter, 2)
        for permit in pair:
            await asyncio.sleep(0.3)
            limiter.release(permit, status=204, headers=advice(20 - count, limit=40))
    assert limiter.view().windows[1].headers == "advice"


async def test_a_late_answer_of_the_window_before_tells_nothing_of_this_one() -> None:
    """It left last and was counted first: what it counts is over, so nobody else's calls are seen in it."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 30, truth)
    await asyncio.sleep(39.9 - asyncio.get_running_loop().time())
    first, late = await limiter.acquire(), None
    await asyncio.sleep(0.05)
    late = await limiter.acquire()
    await asyncio.sleep(0.25)
    limiter.release(first, status=204, headers=advice(39, limit=40, reset="60"))
    limiter.release(late, status=204, headers=advice(9, limit=40, reset="0"))
    minute = limiter.view().windows[1]
    assert (minute.headers, minute.held) == ("trusted", 0)
    assert minute.free == 38


LIES: dict[str, Callable[[int, float], Mapping[str, str]]] = {
    "no headers": lambda _count, _rest: {},
    "always as good as full": lambda _count, _rest: advice(39, limit=40, reset="30"),
    "always about to begin anew": lambda count, _rest: advice(max(0, 40 - count), limit=40, reset="0"),
    "a reset that stands still": lambda count, _rest: advice(max(0, 40 - count), limit=40, reset="7"),
    "another limit": lambda _count, _rest: advice(4990, limit=5000, reset="3"),
    "no numbers": lambda _count, _rest: {"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "many"},
    "a counter that begins anew at every fifth": lambda count, rest: advice(
        39 - count % 5, limit=40, reset=str(int(rest))
    ),
}


def two_endpoints(count: int, rest: float) -> dict[str, str]:
    """Count each of two endpoints by itself, though both spend one budget; every fifth call is of the second."""
    second = count // 5
    return advice(40 - (second if count % 5 == 0 else count - second), limit=40, reset=str(round(rest)))


LIES["a counter for each endpoint"] = two_endpoints


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_headers_that_prove_nothing_change_nothing(lie: Callable[[int, float], Mapping[str, str]]) -> None:
    """Absent, contradictory and nonsense headers: the slots hold, to the moment."""
    times = await spend(make_limiter(LIMIT), 80, lie)
    plain = await spend(make_limiter(LIMIT), 80, LIES["no headers"])
    begin = plain[0]
    assert times == pytest.approx([moment - begin for moment in plain], abs=0.01)
    assert times[40] >= 60.0


async def test_what_someone_else_spent_is_held_for_a_minute() -> None:
    """The provider counted 30 where we sent 1: 29 slots are not ours, until the evidence is a window old."""
    limiter = make_limiter(LIMIT)
    await attempt(limiter, headers=advice(10, limit=40))
    window = limiter.view().windows[1]
    assert (window.used, window.held, window.free) == (1, 29, 10)
    times = sorted(await asyncio.gather(*(attempt(limiter) for _ in range(11))))
    assert times[9] < 2
    assert times[10] == pytest.approx(60.07, abs=0.01)
    assert limiter.view().windows[1].held == 0


async def test_a_newer_answer_replaces_what_was_held() -> None:
    """The other one's minute is over, as the next answer shows."""
    limiter = make_limiter(LIMIT)
    await attempt(limiter, headers=advice(10, limit=40))
    await attempt(limiter, headers=advice(38, limit=40))
    assert limiter.view().windows[1].held == 0


async def test_an_answer_that_comes_late_does_not_take_back_what_a_newer_one_proved() -> None:
    """An old count that overtook nobody neither holds slots nor begins a new minute."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 39, truth)
    (slow,) = await take_all(limiter, 1)
    await asyncio.sleep(38)
    probe = asyncio.create_task(attempt(limiter, headers=advice(39, limit=40, reset="58")))
    await probe
    free = limiter.view().windows[1].free
    limiter.release(slow, status=204, headers=advice(0, limit=40, reset="30"))
    assert limiter.view().windows[1].held == 0
    assert limiter.view().windows[1].free == free == 38


async def test_a_limit_of_an_unknown_window_may_only_tighten() -> None:
    """None left of 5,000, for three seconds: nobody goes before, and no slot is freed."""
    limiter = make_limiter(LIMIT)
    await attempt(limiter, headers=advice(0, limit=5000, reset="3"))
    assert await attempt(limiter) == pytest.approx(4.01, abs=0.01)
    assert limiter.view().windows[1].used == 2


async def test_a_refusal_ends_the_trust_for_a_window() -> None:
    """After a 429 the counter loosens nothing until a whole window was clean."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 30, truth)
    assert limiter.view().windows[1].headers == "trusted"
    await attempt(limiter, 429, {"Retry-After": "5"})
    assert limiter.view().windows[1].headers == "doubted"
    await asyncio.sleep(61)
    assert limiter.view().windows[1].headers == "trusted"


async def test_too_many_in_flight_says_nothing_against_the_counter() -> None:
    """-1 is about what is in flight, not about a window: the trust stays."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 30, truth)
    await attempt(limiter, 429, {"Retry-After": "-1"})
    assert limiter.view().windows[1].headers == "trusted"


async def test_failures_that_a_proxy_answers_do_not_cost_the_counter_its_credit() -> None:
    """What came back without headers may not have been counted: a lower count after it is no contradiction."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 30, truth)
    for _ in range(3):
        await attempt(limiter, 502)
    await attempt(limiter, headers=advice(9, limit=40, reset="30"))
    assert limiter.view().windows[1].headers == "trusted"


async def test_headers_about_the_second_are_about_the_second() -> None:
    """A limit of 10 is the window of 10: three of someone else's are held there, none in the minute."""
    limiter = make_limiter(LIMIT)
    await attempt(limiter, headers=advice(6, limit=10, reset="0"))
    assert [window.held for window in limiter.view().windows] == [3, 0]


async def test_an_attempt_without_an_answer_is_never_freed_by_a_header() -> None:
    """It may come late: what the provider has counted says nothing of it."""
    limiter = make_limiter(LIMIT)
    await spend(limiter, 30, truth)
    lost = await take_all(limiter, 5)
    for permit in lost:
        limiter.release(permit, sent=True)
    await asyncio.sleep(40)
    await attempt(limiter, headers=advice(39, limit=40, reset="58"))
    assert limiter.view().windows[1].used == 6
    await until_idle()
