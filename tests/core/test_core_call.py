"""One call, attempt by attempt: what is sent again, what is settled, and what the caller is told."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from multidict import CIMultiDict

from omeda_async import ClientOptOut, DeploymentUpdate, OutcomeStatus, RateLimit, Window, errors
from omeda_async._operation import Response
from omeda_async._single import call
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda._requests import CancelDeployment, SubmitOptOuts, UpdateDeployment
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    CANCELLED,
    DEPLOYMENT_CANCEL,
    DEPLOYMENT_CLONE,
    DEPLOYMENT_CREATE,
    NEW_DEPLOYMENT,
    NOW,
    OMEDA_RECEIPT,
    TRANSACTION_CANCEL,
    WAS_SENT,
    Case,
    Reply,
    account,
    answer,
    campaign,
    deployment,
    finished,
    lost,
    ocamba_error,
    omeda_error,
    transaction,
    unsent,
)

OPT_OUT_RECEIPT = answer(200, {"SubmissionId": "762eae76", "Success": "Your submission was successful"})
OPT_OUTS = Case(
    omeda.SUBMIT_OPT_OUTS,
    SubmitOptOuts(client="foo", opt_outs=(ClientOptOut("a@b.example"),)),
    OPT_OUT_RECEIPT,
)
UPDATE = Case(
    omeda.UPDATE,
    UpdateDeployment(
        brand="FOO",
        track_id="FOO1",
        update=DeploymentUpdate(owner_user_id="omailuser1", track_opens=True, track_links=True),
        now=NOW,
    ),
    OMEDA_RECEIPT,
)
HARMLESS = (DEPLOYMENT_CANCEL, UPDATE, OPT_OUTS, CAMPAIGN_CANCEL, TRANSACTION_CANCEL)
ALL = (*HARMLESS, DEPLOYMENT_CREATE, DEPLOYMENT_CLONE)
D = OutcomeStatus
HTML = answer(200, text="<html>hello</html>", Content_Type="text/html")


def _unread(status: int) -> errors.UnreadableAnswer:
    return errors.UnreadableAnswer("the answer is larger than 16 MiB", sent=True, status=status)


def _name(case: object) -> str | None:
    return f"{case.operation.provider}.{case.operation.name}" if isinstance(case, Case) else None


def _search(*rows: dict[str, Any]) -> Response:
    return answer(200, {"Deployments": list(rows)})


CREATED = {
    "TrackId": "FOO7",
    "DeploymentName": NEW_DEPLOYMENT.deployment_name,
    "OwnerUserId": "omailuser1",
    "DeploymentDate": "2031-01-01 06:00",
    "Status": "New",
}


@pytest.mark.parametrize("case", ALL, ids=_name)
async def test_a_success_takes_one_request(case: Case) -> None:
    """What works at once is sent once."""
    owner, transport = account(case.done)
    result = await case.run(owner)
    assert (result.status, result.error, result.attempts, len(transport.sent)) == (D.DONE, None, 1, 1)
    assert not result.receipt.settled


@pytest.mark.parametrize("case", ALL, ids=_name)
@pytest.mark.parametrize("failure", [unsent(), answer(429, {}), answer(429, {}, Retry_After="3")], ids=repr)
async def test_what_was_certainly_not_carried_out_is_sent_again(case: Case, failure: Reply) -> None:
    """Whatever the operation, an attempt that never left or was refused unseen is followed by another."""
    owner, transport = account(failure, case.done)
    result = await case.run(owner)
    assert (result.status, result.attempts, len(transport.sent)) == (D.DONE, 2, 2)


@pytest.mark.parametrize("case", ALL, ids=_name)
async def test_attempts_that_never_left_end_in_failed(case: Case) -> None:
    """After five of them the error is raised as it is, and it is certain that nothing was carried out."""
    owner, transport = account(*[unsent() for _ in range(9)])
    result = await case.run(owner)
    assert (result.status, type(result.error), len(transport.sent)) == (D.FAILED, errors.ConnectionFailed, 5)
    assert (result.error.attempts, result.error.sent) == (5, False)
    assert (result.error.provider, result.error.operation) == ("omeda", case.operation.name)


@pytest.mark.parametrize("case", HARMLESS, ids=_name)
@pytest.mark.parametrize("refusal", [answer(503, text=""), _unread(503)], ids=repr)
async def test_a_503_is_tried_until_the_attempts_run_out_and_is_failed(case: Case, refusal: Reply) -> None:
    """Refused with 503 to the end: none was applied, that much is certain."""
    owner, transport = account(*[refusal] * 9)
    result = await case.run(owner)
    assert (result.status, result.error.status, len(transport.sent)) == (D.FAILED, 503, 5)
    assert not result.doubtful


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


DOUBTS = [lost(), lost(timed_out=True), answer(500, text=""), answer(502, text=""), answer(504, text=""), HTML]
DOUBTS += [_unread(200), _unread(500), _unread(502), _unread(504), answer(600, text=""), _unread(600)]
DOUBTS += [omeda_error(500, "x"), omeda_error(600, "x")]


@pytest.mark.parametrize("case", HARMLESS[:3], ids=_name)
@pytest.mark.parametrize("doubt", DOUBTS, ids=repr)
async def test_a_harmless_operation_whose_repeat_tells_is_sent_again(case: Case, doubt: Reply) -> None:
    """After a doubtful attempt the repeat's own success is the outcome."""
    owner, transport = account(doubt, case.done)
    result = await case.run(owner)
    assert (result.status, len(transport.sent)) == (D.DONE, 2)
    assert [one.path for one in transport.sent] == [transport.sent[0].path] * 2


async def test_previously_cancelled_after_a_lost_answer_is_our_own_doing() -> None:
    """The repeat's "previously cancelled" settles the lost attempt: a receipt, marked as settled."""
    owner, transport = account(lost(), omeda_error(400, CANCELLED))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error, result.attempts) == (D.ALREADY_DONE, None, 2)
    assert (result.receipt.track_id, result.receipt.settled) == ("FOO1", True)
    assert len(transport.sent) == 2


async def test_was_sent_after_a_lost_answer_is_too_late() -> None:
    """The repeat's "was sent on" says that the lost attempt did not cancel it."""
    owner, transport = account(lost(), omeda_error(400, WAS_SENT))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, type(result.error), len(transport.sent)) == (D.TOO_LATE, errors.TooLate, 2)
    assert not result.error.sent


@pytest.mark.parametrize(
    ("found", "status", "kind"),
    [
        (deployment("Cancelled"), D.ALREADY_DONE, None),
        (deployment("Sent"), D.TOO_LATE, errors.TooLate),
        (deployment("Scheduled"), D.REJECTED, errors.NotAuthorized),
        (answer(404, text=""), D.UNKNOWN, errors.NotAuthorized),
        (answer(403, text=""), D.UNKNOWN, errors.NotAuthorized),
    ],
    ids=["cancelled", "sent", "scheduled", "not found", "not allowed to look"],
)
async def test_another_refusal_after_a_lost_answer_is_looked_up(
    found: Response, status: OutcomeStatus, kind: type | None
) -> None:
    """That the repeat is "not authorized" does not say what became of the lost attempt: the look-up does."""
    refusal = omeda_error(403, "User 'omailAccount1' is not authorized to cancel this deployment.")
    owner, transport = account(lost(), refusal, found)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, None if result.error is None else type(result.error)) == (status, kind)
    assert transport.sent[2].path == "/webservices/rest/brand/FOO/omail/deployment/lookup/FOO1/*"
    assert result.attempts == 3


async def test_answers_lost_to_the_end_are_settled_by_the_look_up() -> None:
    """When five repeats told nothing, the last word is a read."""
    for status, expected in (("Cancelled", D.ALREADY_DONE), ("Sent", D.TOO_LATE), ("Scheduled", D.FAILED)):
        owner, transport = account(*[lost() for _ in range(5)], deployment(status))
        result = await DEPLOYMENT_CANCEL.run(owner)
        assert (result.status, result.attempts) == (expected, 6)
        assert "lookup" in transport.sent[5].path


@pytest.mark.parametrize("given_up", [lost(timed_out=True), answer(504, text=""), _unread(504)], ids=repr)
async def test_a_time_out_stays_unknown_though_the_read_says_not_done(given_up: Reply) -> None:
    """The provider may still be at work on an attempt that we, or a gateway, stopped waiting for."""
    owner, _ = account(*[given_up] * 5, deployment("Scheduled"))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error.sent) == (D.UNKNOWN, True)


async def test_opt_outs_are_settled_by_sending_them_again_and_else_stay_unknown() -> None:
    """There is no read for them: answers lost to the end leave them unknown."""
    owner, transport = account(*[lost() for _ in range(5)])
    result = await OPT_OUTS.run(owner)
    assert (result.status, len(transport.sent)) == (D.UNKNOWN, 5)
    assert result.error.sent


async def test_a_503_after_a_lost_answer_leaves_the_doubt() -> None:
    """A later refusal that says nothing about the first attempt does not turn unknown into failed."""
    owner, _ = account(lost(), *[answer(503, text="") for _ in range(4)])
    result = await OPT_OUTS.run(owner)
    assert (result.status, type(result.error)) == (D.UNKNOWN, errors.ServerError)
    assert result.error.sent


@pytest.mark.parametrize("doubt", DOUBTS, ids=repr)
async def test_a_create_is_never_repeated_after_a_doubt(doubt: Reply) -> None:
    """One request, then a search: nothing found proves nothing, and the caller is told that it may exist."""
    owner, transport = account(doubt, _search())
    result = await DEPLOYMENT_CREATE.run(owner)
    assert [one.path.rsplit("/", 2)[1] for one in transport.sent] == ["deployment", "search"]
    assert (result.status, result.doubtful) == (D.UNKNOWN, True)
    assert (result.error.sent, result.error.attempts) == (True, 2)


async def test_a_create_that_the_search_finds_is_done() -> None:
    """Exactly one deployment that can be no other: a receipt with its track id, marked as settled."""
    owner, transport = account(lost(), _search(CREATED))
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 2)
    assert (result.receipt.track_id, result.receipt.settled) == ("FOO7", True)


async def test_a_create_with_two_likenesses_stays_unknown() -> None:
    """Two that fit are no answer."""
    owner, _ = account(lost(), _search(CREATED, {**CREATED, "TrackId": "FOO8"}))
    assert (await DEPLOYMENT_CREATE.run(owner)).status is D.UNKNOWN


@pytest.mark.parametrize("refusal", [answer(503, text=""), _unread(503)], ids=repr)
async def test_a_create_refused_with_503_is_searched_for_and_not_repeated(refusal: Reply) -> None:
    """A 503 may come from a proxy that had passed it on: a search tells, and a double is not risked."""
    owner, transport = account(refusal, _search(CREATED))
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 2)
    owner, transport = account(refusal, _search())
    result = await DEPLOYMENT_CREATE.run(owner)
    assert (result.status, result.error.status, len(transport.sent)) == (D.UNKNOWN, 503, 2)
    assert result.error.sent


READ_FIRST = [
    (CAMPAIGN_CANCEL, campaign("canceled"), campaign("sent"), campaign("running")),
    (TRANSACTION_CANCEL, transaction("Abandoned"), transaction("Completed"), transaction("Saved")),
]


@pytest.mark.parametrize(("case", "done", "gone", "open_"), READ_FIRST)
@pytest.mark.parametrize("doubt", [lost(), answer(500, text=""), answer(502, text=""), _unread(502)], ids=repr)
async def test_where_a_repeat_tells_nothing_the_read_goes_first(
    case: Case, done: Response, gone: Response, open_: Response, doubt: Reply
) -> None:
    """After a doubt: done → settled; too late → told so; not done → sent again."""
    owner, transport = account(doubt, done)
    result = await case.run(owner)
    assert (result.status, result.receipt.settled, len(transport.sent)) == (D.ALREADY_DONE, True, 2)
    owner, transport = account(doubt, gone)
    result = await case.run(owner)
    assert (result.status, type(result.error), len(transport.sent)) == (D.TOO_LATE, errors.TooLate, 2)
    owner, transport = account(doubt, open_, case.done)
    result = await case.run(owner)
    assert (result.status, result.receipt.settled, len(transport.sent)) == (D.DONE, False, 3)
    assert transport.sent[0].path == transport.sent[2].path != transport.sent[1].path


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


async def test_an_attempt_is_not_begun_when_the_deadline_would_cut_it_short() -> None:
    """A slot that comes free a moment before the deadline is not used: our own patience must not leave a doubt."""
    owner, transport = account(answer(503, text="", Retry_After="9.5"), deadline=10.0)
    result = await OPT_OUTS.run(owner)
    assert (result.status, len(transport.sent)) == (D.FAILED, 1)
    assert result.error is not None
    assert not result.error.sent


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


async def test_an_unexplained_refusal_after_a_lost_answer_is_settled_even_with_explain_off() -> None:
    """Verification a doubt of ours is no matter of taste."""
    owner, _ = account(lost(), campaign("running"), ocamba_error(400), campaign("canceled"))
    result = await CAMPAIGN_CANCEL.run(owner, explain=False)
    assert (result.status, result.receipt.settled, result.attempts) == (D.ALREADY_DONE, True, 4)


@pytest.mark.parametrize("failure", [answer(500, text=""), _unread(500)], ids=repr)
async def test_a_500_goes_out_once_more_and_no_further(failure: Reply) -> None:
    """Omeda advises against more; the look-up tells the rest."""
    owner, transport = account(failure, failure, deployment("Scheduled"))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error.status, len(transport.sent)) == (D.FAILED, 500, 3)


async def test_a_record_of_an_earlier_run_is_read_before_it_is_sent() -> None:
    """What an interrupted run may have sent is settled first, where a repeat would tell nothing."""
    owner, transport = account(campaign("canceled"))
    result = await CAMPAIGN_CANCEL.run(owner, doubtful=True)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 1)
    owner, transport = account(campaign("running"), CAMPAIGN_CANCEL.done)
    result = await CAMPAIGN_CANCEL.run(owner, doubtful=True)
    assert (result.status, len(transport.sent)) == (D.DONE, 2)
    owner, transport = account(omeda_error(400, CANCELLED))
    result = await DEPLOYMENT_CANCEL.run(owner, doubtful=True)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 1)


async def test_a_record_of_an_earlier_run_that_nothing_settles_stays_unknown() -> None:
    """The doubt of the earlier run outlives attempts that never left."""
    owner, _ = account(*[unsent() for _ in range(9)])
    result = await OPT_OUTS.run(owner, doubtful=True)
    assert (result.status, result.doubtful) == (D.UNKNOWN, True)


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
    assert (type(result.error), result.status, len(transport.sent)) == (errors.ServerError, D.FAILED, 1)
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


@pytest.mark.parametrize(
    ("case", "refusal", "nothing"),
    [
        (TRANSACTION_CANCEL, answer(400, {"errorKey": "txnNotFound"}), answer(200, {"result": []})),
        (CAMPAIGN_CANCEL, answer(404, {"title": "Not found."}), answer(404, {"title": "Not found."})),
    ],
    ids=["transaction", "campaign"],
)
async def test_what_does_not_exist_was_not_cancelled_by_a_lost_attempt(
    case: Case, refusal: Response, nothing: Response
) -> None:
    """After a lost answer the repeat says that there is no such target: rejected, and certainly not done."""
    owner, _ = account(lost(), nothing, refusal, nothing)
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent) == (D.REJECTED, False)
