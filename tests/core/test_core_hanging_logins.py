"""A token callable or a login that hangs holds nobody up for longer than their own deadline."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from omeda_async import OcambaSettings, OutcomeStatus, RetryPolicy, SessionManager, errors
from omeda_async._auth import bearer
from tests.core.logins import REFUSED
from tests.core.scripted import CAMPAIGN_CANCEL, account

D = OutcomeStatus


class Stuck:
    """A token callable that gives some tokens, and then hangs."""

    def __init__(self, *tokens: str, heeds: bool = True) -> None:
        self.tokens = list(tokens)
        self.asked = 0
        self.let_go = asyncio.Event()
        self._heeds = heeds

    async def __call__(self) -> str:
        """Return the next token, if there is one."""
        self.asked += 1
        while not self.tokens and not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                if self._heeds:
                    raise
                self._heeds = True  # the second time: a test that fails ends, too
        return self.tokens.pop(0) if self.tokens else "late-token"


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds a cancellation", "does not"])
async def test_a_token_that_never_comes_ends_with_the_calls_deadline(heeds: bool) -> None:
    """Nothing was sent, nothing is in doubt, and the error says what was missing."""
    stuck = Stuck(heeds=heeds)
    owner, transport = account(credentials=bearer(stuck), deadline=20.0)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert now() <= 20.0
    assert (type(result.error), result.status, result.doubtful) == (errors.ConnectionFailed, D.FAILED, False)
    assert "the credentials could not be loaded" in str(result.error)
    assert (transport.sent, owner.limiter.view().in_flight) == ([], 0)
    stuck.let_go.set()


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds a cancellation", "does not"])
async def test_a_renewal_that_hangs_ends_with_the_calls_deadline(heeds: bool) -> None:
    """The attempt before was refused, which is certain."""
    stuck = Stuck("old-token", heeds=heeds)
    owner, transport = account(REFUSED, credentials=bearer(stuck), deadline=20.0)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert now() <= 20.0
    assert (result.status, result.doubtful, len(transport.sent)) == (D.FAILED, False, 1)
    stuck.let_go.set()


async def test_a_load_that_did_not_let_go_is_not_waited_for_by_the_next_call() -> None:
    """It asks anew, and what the one before gives in the end is not taken."""
    stuck = Stuck(heeds=False)
    owner, transport = account(CAMPAIGN_CANCEL.done, CAMPAIGN_CANCEL.done, credentials=bearer(stuck), deadline=20.0)
    await CAMPAIGN_CANCEL.run(owner)
    stuck.tokens = ["second-token"]
    assert (await CAMPAIGN_CANCEL.run(owner)).status is D.DONE
    stuck.let_go.set()
    await asyncio.sleep(1)
    await CAMPAIGN_CANCEL.run(owner)
    assert {one.headers["Authorization"] for one in transport.sent} == {"Bearer second-token"}


async def test_a_caller_that_is_cancelled_leaves_the_load_to_those_who_wait() -> None:
    """It is not begun anew; and when nobody waits any more, it ends."""
    stuck = Stuck()
    owner, _ = account(*[CAMPAIGN_CANCEL.done] * 3, credentials=bearer(stuck))
    calls = [asyncio.create_task(CAMPAIGN_CANCEL.run(owner)) for _ in range(3)]
    await asyncio.sleep(1)
    calls[0].cancel()
    await asyncio.sleep(1)
    stuck.let_go.set()
    results = await asyncio.gather(*calls[1:])
    assert ({result.status for result in results}, stuck.asked) == ({D.DONE}, 1)


async def test_those_who_wait_for_one_load_each_have_an_error_of_their_own() -> None:
    """What is noted on one says nothing of the others."""

    async def fails() -> str:
        await asyncio.sleep(1)
        raise OSError

    owner, _ = account(credentials=bearer(fails), attempts=1)
    first, second = await asyncio.gather(CAMPAIGN_CANCEL.run(owner), CAMPAIGN_CANCEL.run(owner))
    assert first.error is not second.error
    assert type(first.error) is type(second.error) is errors.ConnectionFailed


@pytest.mark.parametrize("stop", [lambda run: run.stop(), lambda run: run.aclose(timeout=5.0)], ids=["stop", "aclose"])
async def test_a_token_that_heeds_nothing_does_not_keep_a_run_from_stopping(stop: Callable[[Any], Any]) -> None:
    """The stop reaches who waits for it, and nothing is sent."""
    stuck = Stuck(heeds=False)
    async with SessionManager(ocamba=OcambaSettings(token=stuck, base_url="http://127.0.0.1:9")) as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(20)])
        waiting = asyncio.ensure_future(run)
        await asyncio.sleep(10)
        if (closing := stop(run)) is not None:
            await closing
        report = await waiting
        assert now() <= 20.0
        assert set(report.counts) == {D.NOT_SENT}
    stuck.let_go.set()


async def test_a_token_that_never_comes_stops_a_run_in_the_time_of_one_call() -> None:
    """The first few records show it: the rest is not sent, and each that waited did so for its deadline only."""
    settings = OcambaSettings(token=Stuck(), base_url="http://127.0.0.1:9", retry=RetryPolicy(deadline=60.0))
    async with SessionManager(ocamba=settings) as manager:
        run = manager.ocamba.campaigns.cancel_many([str(number) for number in range(500)])
        report = await run
        assert now() <= 61.0
        assert isinstance(run.stopped_by, errors.ConnectionFailed)
        assert (report.total, report.requests, set(report.counts)) == (500, 0, {D.FAILED, D.NOT_SENT})
