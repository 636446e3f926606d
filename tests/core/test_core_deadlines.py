"""The deadline of a call holds for all that is done for it, and what is not begun for it leaves nothing taken."""

import asyncio

import attrs
import pytest

from omeda_async import OutcomeStatus as D, RateLimit, Window, errors
from omeda_async._operation import Response
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    TRANSACTION_CANCEL,
    Case,
    account,
    answer,
    campaign,
    lost,
    transaction,
)

CASES = [
    (CAMPAIGN_CANCEL, lost(), campaign("canceled")),
    (TRANSACTION_CANCEL, lost(), transaction("Abandoned")),
]


@pytest.mark.parametrize(("case", "first", "found"), CASES)
async def test_a_verifying_read_has_the_rest_of_the_calls_time(case: Case, first: Response, found: Response) -> None:
    """No read has a deadline of its own: with eight seconds left, its time-out is no longer than that."""
    owner, transport = account(first, found, deadline=20.0)
    transport.seconds = 12.0
    assert (await case.run(owner)).status in {D.DONE, D.ALREADY_DONE}
    assert transport.sent[1].timeout == pytest.approx(20.0 - transport.sent[1].at)


@pytest.mark.parametrize(("case", "first", "found"), CASES)
async def test_a_read_that_is_begun_no_more_leaves_the_doubt(case: Case, first: Response, found: Response) -> None:
    """With too little time left for one it is not made, and the record is unknown in time."""
    owner, transport = account(first, found, deadline=20.0)
    transport.seconds = 19.9
    assert (await case.run(owner)).status is D.UNKNOWN
    assert len(transport.sent) == 1
    assert asyncio.get_running_loop().time() <= 20.0


async def test_a_permit_that_comes_too_near_the_deadline_is_given_back() -> None:
    """Nothing is in flight, and the slot is free for the next call at once."""
    owner, transport = account(CAMPAIGN_CANCEL.done, rate_limit=RateLimit(Window(1, 100.0)), deadline=10.0)
    permit = await owner.limiter.acquire()
    late = CAMPAIGN_CANCEL.call(owner, permit=permit)
    late.deadline = asyncio.get_running_loop().time() + 0.1
    result = await late.run()
    assert (type(result.error), result.status, result.attempts) == (errors.LimitWaitExceeded, D.NOT_SENT, 0)
    assert (owner.limiter.view().in_flight, owner.limiter.view().free) == (0, 1)
    assert (await CAMPAIGN_CANCEL.run(owner)).status is D.DONE
    assert len(transport.sent) == 1


@pytest.mark.parametrize("offset", range(195, 201))
@pytest.mark.parametrize("secret", ["Zq9!k", "Zq9", "Zq9!kW7"])
async def test_no_part_of_a_short_secret_is_left_where_an_error_is_cut(secret: str, offset: int) -> None:
    """Texts are cut at 200 characters: a secret that stands across the cut is hidden whole, however short it is."""
    owner, _ = account(answer(400, text="x" * (offset - 1) + f" {secret} is wrong"))
    owner.credentials.secrets = (secret,)  # type: ignore[misc]  # a fake's
    error = (await CAMPAIGN_CANCEL.run(owner, explain=False)).error
    assert error is not None
    assert "Zq" not in f"{error} {error!r} {attrs.asdict(error, recurse=False)}"
