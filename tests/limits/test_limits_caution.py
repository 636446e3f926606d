"""After a 429 all the same: the account pauses, goes one by one, and then no faster than it may."""

import asyncio
import datetime as dt
import math
from itertools import pairwise

import pytest

from omeda_async.limits import Limiter, RateLimit, Window, _limiter, make_limiter
from omeda_async.limits._caution import Caution, Pace
from tests.limits.limits_help import advice, attempt, take_all, until_idle

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10)


def limiter_without_jitter(limit: RateLimit = LIMIT) -> tuple[Limiter, list[float]]:
    """Make a limiter that adds nothing to a pause, and the list of its pauses."""
    pauses: list[float] = []
    return make_limiter(limit, on_pause=pauses.append, uniform=lambda: 0.0), pauses


async def refuse(limiter: Limiter, retry_after: str | None = None) -> None:
    """Make one attempt that is refused."""
    await attempt(limiter, 429, {} if retry_after is None else {"Retry-After": retry_after})


async def test_retry_after_holds_back_the_whole_account() -> None:
    """No attempt of anyone goes before the seconds are over."""
    limiter, pauses = limiter_without_jitter()
    await refuse(limiter, "7")
    assert pauses == [7.0]
    assert limiter.view().paused_for == 7.0
    assert limiter.view().refusals == 1
    times = await asyncio.gather(*(attempt(limiter) for _ in range(3)))
    assert min(times) == pytest.approx(7.01, abs=1e-4)


async def test_jitter_only_makes_a_pause_longer() -> None:
    """A pause is the seconds asked for and up to a tenth, one second at most."""
    pauses: list[float] = []
    limiter = make_limiter(LIMIT, on_pause=pauses.append, uniform=lambda: 1.0)
    await refuse(limiter, "5")
    await refuse(limiter, "50")
    assert pauses == pytest.approx([5.5, 51.0])


async def test_without_a_source_of_chance_a_pause_is_longer_by_half_of_that() -> None:
    """It is the same each time, and no longer than any may be."""
    pauses: list[float] = []
    await refuse(make_limiter(LIMIT, on_pause=pauses.append), "5")
    assert pauses == pytest.approx([5.25])


async def test_without_retry_after_the_pauses_double() -> None:
    """Refused again and again, the account waits 1, 2, 4 … seconds, a minute at most."""
    limiter, pauses = limiter_without_jitter()
    for _ in range(8):
        await refuse(limiter)
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


@pytest.mark.parametrize("nonsense", ["0", "soon", "-7", "inf", "Sun, 01 Mar 2026 12:00:00 GMT"])
async def test_a_retry_after_that_makes_no_sense_counts_as_none(nonsense: str) -> None:
    """What cannot be a wait, and a date that has passed, are replaced by our own."""
    limiter, pauses = limiter_without_jitter()
    await refuse(limiter, nonsense)
    assert pauses == [1.0]


@pytest.mark.parametrize("long", ["86401", "604800", "1e99"])
async def test_a_retry_after_of_more_than_a_day_is_a_day(long: str) -> None:
    """Whoever asks for a week is not asked again after a second."""
    limiter, pauses = limiter_without_jitter()
    await refuse(limiter, long)
    assert pauses == [86_400.0]
    assert await attempt(limiter) == pytest.approx(86_400.01, abs=1e-3)


async def test_a_retry_after_that_is_a_date_counts_from_the_answers_own_date() -> None:
    """The account waits until then by the provider's clock, however wrong ours is."""
    limiter, pauses = limiter_without_jitter()
    dates = {"Retry-After": "Sun, 01 Mar 2026 12:01:30 GMT", "Date": "Sun, 01 Mar 2026 12:00:00 GMT"}
    await attempt(limiter, 429, dates)
    assert pauses == [90.0]
    assert await attempt(limiter) == pytest.approx(90.01, abs=1e-3)


async def test_a_retry_after_that_is_a_date_counts_from_our_clock_where_the_answer_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our calendar is asked when such an answer comes, not before: not once for an answer that needs none."""
    asked: list[dt.datetime] = []

    def noon() -> dt.datetime:
        asked.append(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))
        return asked[-1]

    monkeypatch.setattr(_limiter, "utc_now", noon)
    limiter, pauses = limiter_without_jitter()
    await attempt(limiter, 204)
    assert asked == []
    await attempt(limiter, 429, {"Retry-After": "Sun, 01 Mar 2026 12:00:40 GMT"})
    assert pauses == [40.0]
    assert await attempt(limiter) == pytest.approx(40.02, abs=1e-3)


async def test_refusals_of_one_burst_are_one_episode() -> None:
    """Ten answers that were under way already do not make the pause ten times as long."""
    limiter, pauses = limiter_without_jitter()
    await asyncio.gather(*(refuse(limiter) for _ in range(10)))
    assert limiter.view().refusals == 10
    assert pauses == pytest.approx([1.0] * 10)


async def test_after_the_pause_one_goes_at_a_time_until_one_is_accepted() -> None:
    """The second attempt waits for the first one's answer, and the third for the pace."""
    limiter, _ = limiter_without_jitter()
    await refuse(limiter, "2")
    first, second = await asyncio.gather(attempt(limiter, takes=5.0), attempt(limiter))
    assert first == pytest.approx(2.01, abs=1e-4)
    assert second > first + 5.0


async def test_without_headers_the_pace_after_a_refusal_is_what_the_windows_allow_for_ever() -> None:
    """Class C is 2.5 a second: refused once, the account keeps to that."""
    limiter, _ = limiter_without_jitter()
    await refuse(limiter, "1")
    times = sorted(await asyncio.gather(*(attempt(limiter) for _ in range(30))))[2:]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.4] * 27, abs=1e-3)
    assert limiter.view().pace == pytest.approx(2.5)


async def test_after_a_refusal_no_more_go_than_the_headers_say_remain() -> None:
    """Three remain by the answer, one is kept for others: two go, and nothing more for the window's minute."""
    limiter, _ = limiter_without_jitter()
    await refuse(limiter, "1")
    await attempt(limiter, headers=advice(3))
    gone = [asyncio.create_task(attempt(limiter)) for _ in range(10)]
    await asyncio.sleep(30)
    assert sum(task.done() for task in gone) == 2
    await asyncio.gather(*gone)
    assert asyncio.get_running_loop().time() > 60


async def test_too_many_in_flight_halves_their_number_and_never_sleeps() -> None:
    """-1 with eight in flight: four at most, and the next goes as soon as one of ours has ended."""
    limiter, pauses = limiter_without_jitter(RateLimit(Window(100, 1.0), parallel=8))
    held = await take_all(limiter, 8)
    limiter.release(held[0], status=429, headers={"Retry-After": "-1"})
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(20)
    assert limiter.view().parallel == 4
    assert not waiter.done()
    for permit in held[1:5]:
        limiter.release(permit, status=204)
    await until_idle()
    assert waiter.done()
    assert pauses == []


async def test_after_too_many_at_once_the_next_waits_for_one_to_end() -> None:
    """Though there is room below the halved cap, none goes before one of ours has ended."""
    limiter, _ = limiter_without_jitter(RateLimit(Window(100, 1.0), parallel=8))
    held = await take_all(limiter, 8)
    for permit in held[:6]:
        limiter.release(permit, status=429, headers={"Retry-After": "-1"})
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(20)
    assert (limiter.view().parallel, limiter.view().in_flight, waiter.done()) == (4, 2, False)
    limiter.release(held[6], status=204)
    await until_idle()
    assert waiter.done()


async def test_too_many_with_none_in_flight_waits_a_moment() -> None:
    """There is nothing of ours to wait for: a short pause, and never at once again."""
    limiter, pauses = limiter_without_jitter()
    await refuse(limiter, "-1")
    assert pauses == [0.5]
    assert await attempt(limiter) >= 0.5


async def test_the_number_in_flight_grows_by_one_for_each_round_of_successes() -> None:
    """Halved to four, it is five after four successes, six after five more, and never above the setting."""
    limiter, _ = limiter_without_jitter(RateLimit(Window(1000, 1.0), parallel=8))
    held = await take_all(limiter, 8)
    for permit in held:
        limiter.release(permit, status=429, headers={"Retry-After": "-1"})
    seen = []
    for _ in range(40):
        await attempt(limiter)
        seen.append(limiter.view().parallel)
    assert [seen.index(cap) + 1 for cap in (5, 6, 7, 8)] == [4, 9, 15, 22]
    assert seen[-1] == 8


async def test_a_503_with_retry_after_holds_the_account_back_too() -> None:
    """A wait that is asked for is kept, whatever the status it comes with; without one there is none."""
    limiter, pauses = limiter_without_jitter()
    await attempt(limiter, 503, {})
    assert pauses == []
    await attempt(limiter, 503, {"Retry-After": "3"})
    assert pauses == [3.0]
    assert limiter.view().refusals == 0
    assert await attempt(limiter) == pytest.approx(3.02, abs=1e-4)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 0.5), (1.0, 1.1)])
async def test_too_many_in_flight_with_nothing_else_in_flight_is_a_pause_of_a_second_at_most(
    drawn: float, seconds: float
) -> None:
    """There is no answer to wait for: someone else has them in flight. Half a second at least, and the jitter."""
    pauses: list[float] = []
    limiter = make_limiter(LIMIT, on_pause=pauses.append, uniform=lambda: drawn)
    await refuse(limiter, "-1")
    assert pauses == pytest.approx([seconds])


async def test_a_refusal_of_what_left_before_a_pause_teaches_no_pace() -> None:
    """The account has been told to wait since: the next attempts are held to no pace for it."""
    limiter, _ = limiter_without_jitter()
    first, second = await take_all(limiter, 2)
    limiter.release(first, status=503, headers={"Retry-After": "10"})
    limiter.release(second, status=429, headers={})
    assert await attempt(limiter) == pytest.approx(10.0, abs=1e-4)
    assert limiter.view().pace is None


@pytest.mark.parametrize(("status", "wait"), [(503, "1"), (429, "2"), (429, None)])
async def test_a_short_pause_does_not_end_a_long_one(status: int, wait: str | None) -> None:
    """What was in flight when the account was told to wait a minute may be told less: the minute stands."""
    limiter, pauses = limiter_without_jitter()
    first, second = await take_all(limiter, 2)
    limiter.release(first, status=429, headers={"Retry-After": "60"})
    limiter.release(second, status=status, headers={} if wait is None else {"Retry-After": wait})
    assert pauses == [60.0, 60.0]
    assert await attempt(limiter) == pytest.approx(60.0, abs=1e-4)


def test_a_pace_that_is_refused_falls_and_recovers_more_slowly_each_time() -> None:
    """Down by a fifth; up by a twentieth after each clean while; a growth that is refused is taken back."""
    pace = Pace(2.5, patience=60.0)
    pace.rest(0.0)
    pace.spend(10.0)
    assert pace.rate == 2.5
    pace.spend(60.0)
    assert pace.rate == pytest.approx(2.625)
    pace.slow_down()
    assert [pace.rate, pace.patience] == pytest.approx([2.5, 120.0])
    pace.slow_down()
    assert [pace.rate, pace.patience] == pytest.approx([2.0, 240.0])
    for _ in range(50):
        pace.slow_down()
    assert [pace.rate, pace.patience] == pytest.approx([0.125, 3600.0])


def test_a_pace_that_rests_begins_anew_at_that_moment() -> None:
    """Nothing goes before it, and the while without a refusal is counted from it."""
    pace = Pace(2.0, patience=60.0)
    assert pace.next_at == 0.0
    pace.rest(10.0)
    assert pace.next_at == 10.0
    pace.spend(10.0)
    assert pace.next_at == 10.5
    pace.spend(69.9)
    assert pace.rate == 2.0
    pace.spend(70.0)
    assert pace.rate == pytest.approx(2.1)


def test_caution_is_pure_and_takes_its_time_from_the_caller() -> None:
    """The same calls at the same moments give the same answers."""
    first, second = (Caution(LIMIT, lambda: 0.5) for _ in range(2))
    for caution in (first, second):
        caution.refused(granted_at=0.0, now=1.0, retry_after=10.0, in_flight=0, left=None)
    assert first.paused_until == second.paused_until == pytest.approx(11.5)
    assert first.opens_at(0) > 11.0
    assert first.opens_at(0) <= 11.5
    assert first.opens_at(1) == math.inf


class StrictBucket:
    """A provider stricter than documented: 10 at once, then 2.5 a second."""

    def __init__(self) -> None:
        self.level, self.at, self.refused = 10.0, 0.0, 0

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.level, self.at = min(10.0, self.level + (now - self.at) * 2.5), now
        if self.level < 1:
            self.refused += 1
            return False
        self.level -= 1
        return True


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_stricter_provider_is_learned_and_not_fought(tells: bool, waits: bool) -> None:
    """A bucket of 2.5 a second refuses a few attempts of 500, and takes hardly longer than it must."""
    limiter, server = make_limiter(LIMIT), StrictBucket()

    async def call() -> None:
        while True:
            permit = await limiter.acquire()
            await asyncio.sleep(0.04)
            taken = server.take(asyncio.get_running_loop().time())
            headers = advice(int(server.level), limit=10, reset="1") if tells else {}
            await asyncio.sleep(0.04)
            if taken:
                limiter.release(permit, status=204, headers=headers)
                return
            limiter.release(permit, status=429, headers={"Retry-After": "1"} if waits else {})

    await asyncio.gather(*(call() for _ in range(500)))
    assert 0 < server.refused <= 12
    assert asyncio.get_running_loop().time() < 1.05 * 490 / 2.5
