"""A call cancelled at each of its waits: what is certain then, and that nothing of it is left behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from omeda_async import OutcomeStatus, RateLimit, Window, errors
from omeda_async._account import Account
from omeda_async._auth import session
from omeda_async._call import Call
from omeda_async._result import Result
from omeda_async._single import call
from omeda_async._stop import Stop
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    DEPLOYMENT_CANCEL,
    DEPLOYMENT_CLONE,
    TRANSACTION_CANCEL,
    Case,
    Reply,
    ScriptedTransport,
    account,
    answer,
    campaign,
    deployment,
    lost,
    never,
    ocamba_error,
    unsent,
)

D = OutcomeStatus
SLOTS = RateLimit(Window(2, 10.0), parallel=1)


@attrs.frozen
class Interruption:
    """A wait of a call, how it comes to it, and what is certain when it is cancelled there."""

    name: str
    script: tuple[Reply, ...]
    at: float
    status: OutcomeStatus
    kind: type[errors.OmedaAsyncError]
    attempts: int
    used: int
    case: Case = CAMPAIGN_CANCEL
    in_flight: bool = False
    busy: bool = False
    """Does another call keep the account's one place in flight?"""
    login: Callable[[], Awaitable[Any]] | None = None


async def _no_login() -> Any:
    await never()


STOPS = [
    Interruption("logging in", (), 1.0, D.NOT_SENT, errors.ClosedError, 0, 0, login=_no_login),
    Interruption("waiting for the limiter", (never,), 1.0, D.NOT_SENT, errors.ClosedError, 0, 1, busy=True),
    Interruption("awaiting the answer", (never,), 1.0, D.UNKNOWN, errors.AnswerLost, 1, 1, in_flight=True),
    Interruption("backing off, never sent", (unsent(),), 0.3, D.FAILED, errors.ConnectionFailed, 1, 0),
    Interruption("backing off after a 423", (answer(423, text=""),), 0.3, D.FAILED, errors.ApiError, 1, 1),
    Interruption("backing off after a 503", (answer(503, text=""),), 0.3, D.UNKNOWN, errors.AnswerLost, 1, 1),
    Interruption(
        "waiting to read again",
        (lost(), answer(400, {}), deployment("Scheduled")),
        14.0,
        D.UNKNOWN,
        errors.AnswerLost,
        3,
        1,
        DEPLOYMENT_CANCEL,
    ),
    Interruption(
        "backing off after a lost answer", (lost(),), 0.3, D.UNKNOWN, errors.AnswerLost, 1, 1, DEPLOYMENT_CANCEL
    ),
    Interruption(
        "waiting for the limiter after a 429",
        (answer(429, {}, Retry_After="9"),),
        1.0,
        D.FAILED,
        errors.RateLimited,
        1,
        1,
    ),
    Interruption("waiting before the read", (lost(),), 0.3, D.UNKNOWN, errors.AnswerLost, 1, 1),
    Interruption(
        "reading after a lost answer", (lost(), never), 2.0, D.UNKNOWN, errors.AnswerLost, 2, 2, in_flight=True
    ),
    Interruption(
        "waiting for a slot to read", (lost(), unsent(), answer(503, text="")), 3.0, D.UNKNOWN, errors.AnswerLost, 3, 2
    ),
    Interruption(
        "reading what a refusal meant",
        (ocamba_error(400), never),
        1.0,
        D.FAILED,
        errors.BadRequest,
        2,
        2,
        in_flight=True,
    ),
    Interruption(
        "repeating after the read",
        (answer(500, text=""), campaign("running"), never),
        11.0,
        D.UNKNOWN,
        errors.AnswerLost,
        3,
        1,
        in_flight=True,
    ),
    Interruption(
        "looking up the source of a lost clone",
        (lost(), never),
        2.0,
        D.UNKNOWN,
        errors.AnswerLost,
        2,
        2,
        DEPLOYMENT_CLONE,
        in_flight=True,
    ),
    Interruption(
        "searching for a lost clone",
        (lost(), answer(200, {"TrackId": "FOO6", "DeploymentName": "Weekly", "Owner": "omailuser1"}), never),
        11.0,
        D.UNKNOWN,
        errors.AnswerLost,
        3,
        1,
        DEPLOYMENT_CLONE,
        in_flight=True,
    ),
]


def _prepared(stop: Interruption) -> tuple[Account, ScriptedTransport]:
    credentials = session(stop.login) if stop.login is not None else None
    return account(*stop.script, rate_limit=SLOTS, credentials=credentials)


async def _cancelled(made: Call[Any, Any], at: float) -> bool:
    task = asyncio.create_task(made.run())
    await asyncio.sleep(at)
    in_flight = made.in_flight
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return in_flight


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.name)
async def test_a_cancelled_call_says_what_is_certain_and_leaves_nothing_behind(stop: Interruption) -> None:
    """Its outcome never guesses, its permit is given back, and a window later every slot is free."""
    owner, transport = _prepared(stop)
    other = asyncio.create_task(owner.limiter.acquire()) if stop.busy else None
    await asyncio.sleep(0)
    made = stop.case.call(owner)
    assert await _cancelled(made, stop.at) is stop.in_flight
    result: Result[Any] = made.interrupted()
    assert (result.status, type(result.error), result.attempts) == (stop.status, stop.kind, stop.attempts)
    assert result.error is not None
    assert (result.error.sent, result.error.attempts) == (stop.status is D.UNKNOWN, stop.attempts)
    assert (result.error.provider, result.error.operation) == ("omeda", stop.case.operation.name)
    assert len(transport.sent) == stop.attempts
    view = owner.limiter.view()
    assert (view.windows[0].used, sum(view.waiting.values())) == (stop.used, 0)
    if other is not None:
        owner.limiter.release(await other, sent=False)
    assert owner.limiter.view().in_flight == 0
    await asyncio.sleep(20)
    assert owner.limiter.view().free == 1
    assert owner.limiter.view().windows[0].free == 2


@pytest.mark.parametrize("moment", [step / 100 for step in range(0, 301, 3)])
async def test_whenever_a_call_is_cancelled_its_outcome_is_true(moment: float) -> None:
    """Done at the provider and called not sent, or the other way round, never happens."""
    script: list[Reply] = [lost(), campaign("running"), answer(503, text=""), CAMPAIGN_CANCEL.done]
    owner, transport = account(*script, rate_limit=RateLimit(parallel=1), base_delay=0.2)
    made = CAMPAIGN_CANCEL.call(owner)
    task = asyncio.create_task(made.run())
    await asyncio.sleep(moment)
    task.cancel()
    try:
        result = await task
    except asyncio.CancelledError:
        result = made.interrupted()
    cancels = [one for one in transport.sent if one.path.endswith("/cancel")]
    assert result.status is not D.NOT_SENT or not transport.sent
    assert result.status in {D.NOT_SENT, D.UNKNOWN, D.FAILED, D.DONE}
    assert result.status is not D.DONE or len(cancels) >= 2
    assert result.attempts == len(transport.sent)
    assert owner.limiter.view().in_flight == 0


@pytest.mark.parametrize("case", [CAMPAIGN_CANCEL, DEPLOYMENT_CANCEL, TRANSACTION_CANCEL])
async def test_a_single_call_that_is_cancelled_is_under_way_no_more(case: Case) -> None:
    """The caller gets the cancellation, and closing the manager does not wait for the call."""
    owner, _ = account(never)
    task = asyncio.create_task(call(owner, case.operation, case.params))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    began = asyncio.get_running_loop().time()
    await owner.activity.aclose(50.0)
    assert asyncio.get_running_loop().time() - began < 0.01
    assert owner.limiter.view().in_flight == 0


async def test_a_stopped_run_makes_no_further_attempt() -> None:
    """Asked before each attempt and each wait: the call ends with what it knows."""
    stop = Stop()
    owner, transport = account(lost(), CAMPAIGN_CANCEL.done)
    task = asyncio.create_task(CAMPAIGN_CANCEL.run(owner, stop=stop))
    await asyncio.sleep(0.1)
    stop.set(errors.ClosedError("stopped"))
    result = await task
    assert (result.status, len(transport.sent)) == (D.UNKNOWN, 1)
    result = await CAMPAIGN_CANCEL.run(owner, stop=stop)
    assert (result.status, type(result.error), len(transport.sent)) == (D.NOT_SENT, errors.ClosedError, 1)


async def test_a_run_stopped_during_an_attempt_does_not_wait_for_another() -> None:
    """No back-off is sat out for an attempt that will not be made."""
    stop = Stop()

    async def stop_and_lose() -> Any:
        stop.set(errors.ClosedError("stopped"))
        return answer(503, text="", Retry_After="100")

    owner, _ = account(stop_and_lose, CAMPAIGN_CANCEL.done)
    result = await CAMPAIGN_CANCEL.run(owner, stop=stop)
    assert (result.status, type(result.error)) == (D.UNKNOWN, errors.ServerError)
    assert asyncio.get_running_loop().time() < 1


async def test_a_closed_limiter_ends_the_calls_that_wait() -> None:
    """They are told that nothing was sent."""
    owner, transport = account(never, rate_limit=SLOTS)
    first = asyncio.create_task(CAMPAIGN_CANCEL.run(owner))
    second = asyncio.create_task(CAMPAIGN_CANCEL.run(owner))
    await asyncio.sleep(1)
    owner.limiter.close()
    result = await second
    assert (result.status, type(result.error), len(transport.sent)) == (D.NOT_SENT, errors.ClosedError, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
