"""What a call waits for and how long: back-off, Retry-After, its deadline, and its slot at the limiter."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from multidict import CIMultiDict

from omeda_async import OutcomeStatus, RateLimit, Window, errors
from omeda_async._operation import Response
from omeda_async._single import call
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    HTML,
    OPT_OUT_RECEIPT,
    OPT_OUTS,
    Reply,
    account,
    answer,
    lost,
    unsent,
)

D = OutcomeStatus


async def test_an_attempt_is_not_begun_when_the_deadline_would_cut_it_short() -> None:
    """A slot that comes free a moment before the deadline is not used: our own patience must not leave a doubt."""
    owner, transport = account(answer(423, text="", Retry_After="9.5"), deadline=10.0)
    result = await OPT_OUTS.run(owner)
    assert (result.status, len(transport.sent)) == (D.FAILED, 1)
    assert result.error is not None
    assert not result.error.sent


def _gaps(transport: Any) -> list[float]:
    moments = [one.at for one in transport.sent]
    return [later - earlier for earlier, later in pairwise(moments)]


async def test_back_off_doubles_from_attempt_to_attempt() -> None:
    """Half a second, one, two, four; each with at most a quarter of jitter on top."""
    owner, transport = account(*[unsent() for _ in range(5)])
    await OPT_OUTS.run(owner)
    for gap, plain in zip(_gaps(transport), (0.5, 1.0, 2.0, 4.0), strict=True):
        assert plain <= gap <= plain * 1.25 + 0.05


DATES = CIMultiDict({"Date": "Tue, 01 Jan 2030 00:00:00 GMT", "Retry-After": "Tue, 01 Jan 2030 00:00:20 GMT"})


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "20"}, 20.0, 21.0),
        (DATES, 20.0, 21.0),
        ({"Retry-After": "0"}, 0.5, 0.7),
        ({"Retry-After": "soon"}, 0.5, 0.7),
        ({}, 0.5, 0.7),
    ],
    ids=["seconds", "date", "zero", "nonsense", "missing"],
)
async def test_retry_after_of_a_503_is_kept(headers: dict[str, str], least: float, most: float) -> None:
    """Seconds and HTTP dates are honoured; without one the back-off counts."""
    owner, transport = account(Response(503, CIMultiDict(headers), b""), OPT_OUT_RECEIPT)
    assert (await OPT_OUTS.run(owner)).status is D.DONE
    assert least <= _gaps(transport)[0] <= most


async def test_retry_after_of_a_429_holds_back_the_whole_account() -> None:
    """A second call of the same account waits as well."""
    owner, transport = account(answer(429, {}, Retry_After="30"), OPT_OUT_RECEIPT, OPT_OUT_RECEIPT)
    first = asyncio.create_task(OPT_OUTS.run(owner))
    await asyncio.sleep(1)
    second = await OPT_OUTS.run(owner)
    assert [(await first).status, second.status] == [D.DONE, D.DONE]
    assert [one.at >= 30 for one in transport.sent] == [False, True, True]


async def test_minus_one_is_never_slept_on() -> None:
    """Too many parallel requests: the next goes when one of ours has ended, after a pause of seconds at the most."""
    owner, transport = account(answer(429, {}, Retry_After="-1"), CAMPAIGN_CANCEL.done)
    assert (await CAMPAIGN_CANCEL.run(owner)).status is D.DONE
    assert _gaps(transport)[0] < 10


async def test_the_deadline_ends_a_call_whatever_the_attempts() -> None:
    """A wait that would pass it is not begun, and the last error is raised."""
    owner, transport = account(answer(503, text="", Retry_After="400"), deadline=300.0)
    result = await OPT_OUTS.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.ServerError, D.UNKNOWN, 1)
    assert asyncio.get_running_loop().time() < 1


async def test_no_attempt_is_given_more_time_than_is_left() -> None:
    """The time-out of an attempt is the settings' or the rest of the deadline."""
    owner, transport = account(answer(503, text="", Retry_After="70"), OPT_OUT_RECEIPT, deadline=100.0)
    await OPT_OUTS.run(owner)
    assert transport.sent[0].timeout == 60.0
    assert 25 < transport.sent[1].timeout <= 30


async def test_a_limit_that_outlasts_the_deadline_sends_nothing() -> None:
    """The limiter refuses at once what it could not grant in time."""
    owner, transport = account(OPT_OUT_RECEIPT, rate_limit=RateLimit(Window(1, 1000.0)), deadline=100.0)
    assert (await OPT_OUTS.run(owner)).status is D.DONE
    result = await OPT_OUTS.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.LimitWaitExceeded, D.NOT_SENT, 1)
    assert asyncio.get_running_loop().time() < 1


async def test_max_wait_refuses_at_once_and_says_the_numbers() -> None:
    """The error tells what was allowed and when a slot is free."""
    owner, _ = account(OPT_OUT_RECEIPT, rate_limit=RateLimit(Window(1, 60.0)))
    await OPT_OUTS.run(owner)
    with pytest.raises(errors.LimitWaitExceeded) as caught:
        await call(owner, OPT_OUTS.operation, OPT_OUTS.params, max_wait=2.0)
    assert caught.value.max_wait == 2.0
    assert 59 < (caught.value.next_slot_in or 0) < 61
    assert (caught.value.sent, caught.value.attempts, caught.value.provider) == (False, 0, "omeda")


async def test_a_limit_met_on_the_way_reports_what_went_wrong_before() -> None:
    """When a repeat cannot go for the limit, the error of the attempt made is the one that tells something."""
    owner, transport = account(unsent(), answer(500, text=""), rate_limit=RateLimit(Window(1, 60.0)), deadline=30.0)
    result = await OPT_OUTS.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.ServerError, D.UNKNOWN, 2)


async def test_a_patient_call_starts_its_deadline_with_its_turn() -> None:
    """A record of a bulk run may wait for its limit longer than one call may take."""
    owner, _ = account(OPT_OUT_RECEIPT, OPT_OUT_RECEIPT, rate_limit=RateLimit(Window(1, 1000.0)), deadline=10.0)
    await OPT_OUTS.run(owner)
    assert (await OPT_OUTS.run(owner, deadline_from_first_permit=True)).status is D.DONE
    assert asyncio.get_running_loop().time() >= 1000


SLOTS = RateLimit(Window(3, 10.0), parallel=2)


@pytest.mark.parametrize(
    ("script", "attempts"),
    [
        ([OPT_OUT_RECEIPT], 1),
        ([unsent(), OPT_OUT_RECEIPT], 2),
        ([lost(), OPT_OUT_RECEIPT], 2),
        ([answer(400, {})], 1),
        ([HTML, HTML, HTML, HTML, HTML], 5),
        ([answer(500, text=""), answer(500, text="")], 2),
    ],
)
async def test_no_slot_leaks_however_a_call_ends(script: Sequence[Reply], attempts: int) -> None:
    """Nothing is left in flight, and a window later every slot is free."""
    owner, transport = account(*script, rate_limit=SLOTS)
    result = await OPT_OUTS.run(owner)
    assert (result.attempts, len(transport.sent)) == (attempts, attempts)
    assert owner.limiter.view().in_flight == 0
    await asyncio.sleep(10.1)
    assert owner.limiter.view().windows[0].free == 3


async def test_an_attempt_that_never_left_gives_its_slot_back_at_once() -> None:
    """It cost the provider nothing, so it costs the limit nothing."""
    owner, _ = account(*[unsent() for _ in range(5)], rate_limit=RateLimit(Window(5, 1000.0)))
    await OPT_OUTS.run(owner)
    assert owner.limiter.view().windows[0].free == 5
