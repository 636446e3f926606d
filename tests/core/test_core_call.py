"""One call, attempt by attempt: what is sent again, what is refused, and what the caller is told."""

from typing import Any

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async._operation import Response
from omeda_async._single import call
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda._requests import CancelDeployment
from tests.core.scripted import (
    ALL,
    CAMPAIGN_CANCEL,
    CANCELLED,
    DEPLOYMENT_CANCEL,
    DEPLOYMENT_CREATE,
    READ_FIRST,
    TRANSACTION_CANCEL,
    WAS_SENT,
    Case,
    Reply,
    account,
    answer,
    finished,
    lost,
    name_of,
    ocamba_error,
    omeda_error,
    unsent,
)

D = OutcomeStatus


@pytest.mark.parametrize("case", ALL, ids=name_of)
async def test_a_success_takes_one_request(case: Case) -> None:
    """What works at once is sent once."""
    owner, transport = account(case.done)
    result = await case.run(owner)
    assert (result.status, result.error, result.attempts, len(transport.sent)) == (D.DONE, None, 1, 1)
    assert not result.receipt.settled


@pytest.mark.parametrize("case", ALL, ids=name_of)
@pytest.mark.parametrize("failure", [unsent(), answer(429, {}), answer(429, {}, Retry_After="3")], ids=repr)
async def test_what_was_certainly_not_carried_out_is_sent_again(case: Case, failure: Reply) -> None:
    """Whatever the operation, an attempt that never left or was refused unseen is followed by another."""
    owner, transport = account(failure, case.done)
    result = await case.run(owner)
    assert (result.status, result.attempts, len(transport.sent)) == (D.DONE, 2, 2)


@pytest.mark.parametrize("case", ALL, ids=name_of)
async def test_attempts_that_never_left_end_in_failed(case: Case) -> None:
    """After five of them the error is raised as it is, and it is certain that nothing was carried out."""
    owner, transport = account(*[unsent() for _ in range(9)])
    result = await case.run(owner)
    assert (result.status, type(result.error), len(transport.sent)) == (D.FAILED, errors.ConnectionFailed, 5)
    assert (result.error.attempts, result.error.sent) == (5, False)
    assert (result.error.provider, result.error.operation) == ("omeda", case.operation.name)


REFUSALS: list[tuple[Case, Response, type[errors.OmedaAsyncError], OutcomeStatus]] = [
    (DEPLOYMENT_CANCEL, omeda_error(400, "The field 'UserId' is required."), errors.BadRequest, D.REJECTED),
    (DEPLOYMENT_CANCEL, omeda_error(400, CANCELLED), errors.AlreadyDone, D.ALREADY_DONE),
    (DEPLOYMENT_CANCEL, omeda_error(403, CANCELLED), errors.AlreadyDone, D.ALREADY_DONE),
    (DEPLOYMENT_CANCEL, omeda_error(404, WAS_SENT), errors.TooLate, D.TOO_LATE),
    (DEPLOYMENT_CANCEL, omeda_error(404, "No deployment was found."), errors.NotFound, D.REJECTED),
    (DEPLOYMENT_CANCEL, answer(403, text=""), errors.AuthenticationFailed, D.FAILED),
    (DEPLOYMENT_CANCEL, answer(405, text=""), errors.MethodNotAllowed, D.REJECTED),
    (DEPLOYMENT_CANCEL, answer(413, text=""), errors.ApiError, D.REJECTED),
    (DEPLOYMENT_CREATE, omeda_error(400, "'OwnerUserId' x was not found."), errors.BadRequest, D.REJECTED),
    (CAMPAIGN_CANCEL, answer(401, {}), errors.AuthenticationFailed, D.FAILED),
    (CAMPAIGN_CANCEL, answer(404, {}), errors.NotFound, D.REJECTED),
    (TRANSACTION_CANCEL, answer(400, {"errorKey": "txnNotFound"}), errors.BadRequest, D.REJECTED),
    (TRANSACTION_CANCEL, answer(302, text="", Location="/login"), errors.SessionLost, D.FAILED),
    (TRANSACTION_CANCEL, answer(403, text=""), errors.AuthenticationFailed, D.FAILED),
    (TRANSACTION_CANCEL, answer(404, text=""), errors.NotFound, D.REJECTED),
]


@pytest.mark.parametrize(("case", "reply", "kind", "status"), REFUSALS)
async def test_a_refusal_is_final(
    case: Case, reply: Response, kind: type[errors.OmedaAsyncError], status: OutcomeStatus
) -> None:
    """A refusal is never tried again, and its outcome follows from its meaning."""
    owner, transport = account(reply)
    result = await case.run(owner)
    assert (type(result.error), result.status, len(transport.sent)) == (kind, status, 1)
    assert (result.error.sent, result.error.attempts) == (False, 1)


@pytest.mark.parametrize(("case", "done", "gone", "open_"), READ_FIRST)
async def test_a_refusal_that_does_not_say_why_is_explained_by_one_read(
    case: Case, done: Response, gone: Response, open_: Response
) -> None:
    """One read decides between already done, too late and rejected."""
    refusal = ocamba_error(400) if case is CAMPAIGN_CANCEL else finished()
    expected = [
        (done, errors.AlreadyDone, D.ALREADY_DONE),
        (gone, errors.TooLate, D.TOO_LATE),
        (open_, errors.BadRequest, D.REJECTED),
        (answer(404, {}), errors.BadRequest, D.REJECTED),
    ]
    for found, kind, status in expected:
        owner, transport = account(refusal, found)
        result = await case.run(owner)
        assert (type(result.error), result.status, len(transport.sent)) == (kind, status, 2)
        assert (result.error.sent, result.error.attempts) == (False, 2)
        assert isinstance(result.error, errors.ApiError)
        assert result.error.messages


@pytest.mark.parametrize(("case", "refusal"), [(CAMPAIGN_CANCEL, ocamba_error(400)), (TRANSACTION_CANCEL, finished())])
async def test_explain_off_spares_the_read(case: Case, refusal: Response) -> None:
    """Without the read the refusal is reported as it came."""
    owner, transport = account(refusal)
    result = await case.run(owner, explain=False)
    assert (type(result.error), result.status, len(transport.sent)) == (errors.BadRequest, D.REJECTED, 1)


@pytest.mark.parametrize(("case", "refusal"), [(CAMPAIGN_CANCEL, ocamba_error(400)), (TRANSACTION_CANCEL, finished())])
async def test_a_failed_read_leaves_the_refusal_as_it_is(case: Case, refusal: Response) -> None:
    """When the read itself fails, nothing is guessed: the refusal stands, and nothing is in doubt."""
    owner, _ = account(refusal, *[unsent() for _ in range(5)])
    result = await case.run(owner)
    assert (type(result.error), result.status, result.doubtful) == (errors.BadRequest, D.REJECTED, False)


@pytest.mark.parametrize(("option", "value"), [("max_wait", "x"), ("max_wait", -1), ("priority", "bulk")])
async def test_an_option_of_a_call_out_of_range_is_refused_by_name(option: str, value: Any) -> None:
    """The error names the option, and nothing is sent."""
    owner, transport = account()
    with pytest.raises(errors.ConfigurationError, match=option):
        await call(owner, CAMPAIGN_CANCEL.operation, CAMPAIGN_CANCEL.params, **{option: value})
    assert not transport.sent


async def test_a_call_takes_no_options_that_are_none_of_its_own() -> None:
    """What only the bulk engine may say cannot be said from outside."""
    owner, _ = account()
    with pytest.raises(TypeError, match="doubtful"):
        await call(owner, CAMPAIGN_CANCEL.operation, CAMPAIGN_CANCEL.params, doubtful=True)  # type: ignore[call-arg]  # that is the point


async def test_a_single_call_returns_its_receipt_or_raises() -> None:
    """A settled success is returned with ``settled``; a refusal is raised with its context."""
    owner, _ = account(lost(), omeda_error(400, CANCELLED), omeda_error(400, CANCELLED))
    receipt = await call(owner, DEPLOYMENT_CANCEL.operation, DEPLOYMENT_CANCEL.params)
    assert receipt.settled
    with pytest.raises(errors.AlreadyDone) as caught:
        await call(owner, DEPLOYMENT_CANCEL.operation, DEPLOYMENT_CANCEL.params)
    assert caught.value.messages == (CANCELLED,)
    assert (caught.value.provider, caught.value.operation) == ("omeda", "deployments.cancel")


async def test_an_invalid_record_says_whose_it_is_and_sends_nothing() -> None:
    """A local refusal has its provider and operation too."""
    owner, transport = account()
    bad = CancelDeployment(brand="FOO", track_id="", user_id="u")
    with pytest.raises(errors.InvalidRecord) as caught:
        await call(owner, omeda.CANCEL, bad)
    assert (caught.value.provider, caught.value.operation) == ("omeda", "deployments.cancel")
    assert (caught.value.field, caught.value.sent, transport.sent) == ("track_id", False, [])
