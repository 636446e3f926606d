"""What follows a doubtful attempt and does not clear it up: the doubt about the attempt stays."""

from typing import Any

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async._auth import session
from omeda_async._operation import Response
from tests.core.logins import LOGIN_HTML, LOGIN_PAGE, Tokens
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    DEPLOYMENT_CANCEL,
    OPT_OUTS,
    TRANSACTION_CANCEL,
    UPDATE,
    WAS_SENT,
    Case,
    Reply,
    account,
    answer,
    campaign,
    deployment,
    finished,
    lost,
    name_of,
    ocamba_error,
    omeda_error,
    transaction,
    unsent,
)

D = OutcomeStatus


@pytest.mark.parametrize(
    ("second", "status"),
    [
        ([unsent(), unsent(), transaction("Saved"), transaction("Saved")], D.FAILED),
        ([unsent(), unsent(), transaction("Saved"), transaction("Abandoned")], D.ALREADY_DONE),
        ([unsent(), unsent(), transaction("Abandoned")], D.ALREADY_DONE),
        ([unsent(), unsent(), answer(200, {"result": []})], D.UNKNOWN),
        ([LOGIN_PAGE, transaction("Abandoned")], D.ALREADY_DONE),
        ([LOGIN_PAGE, LOGIN_PAGE], D.UNKNOWN),
        ([finished(), transaction("Abandoned")], D.ALREADY_DONE),
        ([TRANSACTION_CANCEL.done], D.DONE),
    ],
    ids=["saved", "late", "abandoned", "no row", "login page, abandoned", "login pages", "finished, abandoned", "done"],
)
async def test_a_page_stays_in_doubt_when_the_repeat_fails_for_certain(second: Any, status: OutcomeStatus) -> None:
    """The new login does not make the first attempt certain."""
    credentials = session(Tokens("abcdef1", "abcdef2").headers)
    owner, transport = account(LOGIN_HTML, *second, credentials=credentials, attempts=2)
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, transport.script) == (status, [])


async def test_a_page_stays_in_doubt_when_the_login_fails() -> None:
    """Nothing more can be asked: unknown."""
    owner, _ = account(LOGIN_HTML, credentials=session(Tokens("abcdef1", ValueError("x")).headers))
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, result.error is not None and result.error.sent) == (D.UNKNOWN, True)


LOCKED = omeda_error(400, "The deployment is locked by another request.")
REFUSED_REPEATS = [
    (DEPLOYMENT_CANCEL, [LOCKED], deployment("Scheduled"), deployment("Cancelled")),
    (CAMPAIGN_CANCEL, [campaign("running"), ocamba_error(400)], campaign("running"), campaign("canceled")),
    (
        TRANSACTION_CANCEL,
        [transaction("Saved"), answer(400, {"error": "It is locked."})],
        transaction("Saved"),
        transaction("Abandoned"),
    ),
]


@pytest.mark.parametrize(("case", "repeat", "open_", "done"), REFUSED_REPEATS, ids=name_of)
@pytest.mark.parametrize("first", [lost(), lost(timed_out=True), answer(502, text="")], ids=repr)
async def test_a_refused_repeat_is_read_again_after_a_while(
    case: Case, repeat: list[Response], open_: Response, done: Response, first: Reply
) -> None:
    """The provider may still be at work on the first attempt, and that may be why it refuses the repeat."""
    owner, transport = account(first, *repeat, open_, open_)
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent, transport.script) == (D.REJECTED, False, [])
    assert transport.sent[-1].at - transport.sent[-2].at == pytest.approx(5.01)
    owner, transport = account(first, *repeat, open_, done)
    result = await case.run(owner)
    assert (result.status, result.error, transport.script) == (D.ALREADY_DONE, None, [])


@pytest.mark.parametrize(("case", "repeat", "open_", "done"), REFUSED_REPEATS, ids=name_of)
async def test_a_refused_repeat_leaves_it_unknown_where_nothing_can_be_read_again(
    case: Case, repeat: list[Response], open_: Response, done: Response
) -> None:
    """There is a read that says "not done", and no time or no answer for a later one."""
    del done
    owner, transport = account(lost(), *repeat, open_, deadline=6.0)
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent, transport.script) == (D.UNKNOWN, True, [])
    owner, transport = account(lost(), *repeat, open_, answer(403, text=""))
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent, transport.script) == (D.UNKNOWN, True, [])


async def test_a_time_out_is_cleared_up_by_a_target_that_has_gone_past_it() -> None:
    """What was sent cannot be cancelled by an attempt that is still under way, whoever says so."""
    for rest in ([omeda_error(400, WAS_SENT)], [LOCKED, deployment("Sent")]):
        owner, _ = account(lost(timed_out=True), *rest)
        result = await DEPLOYMENT_CANCEL.run(owner)
        assert (result.status, type(result.error)) == (D.TOO_LATE, errors.TooLate)
        assert result.error is not None
        assert not result.error.sent


SUMMARY = "There were errors with your submission.  None of the OptOuts submitted in your request were created."
NAMED = "ClientOptOut submission: Email address a@b.example was not opted out."


@pytest.mark.parametrize(
    ("case", "refusal"),
    [
        (OPT_OUTS, omeda_error(400, NAMED, SUMMARY)),
        (OPT_OUTS, omeda_error(500, NAMED, SUMMARY)),
        (UPDATE, omeda_error(404, "Could not find deployment matching track Id FOO1.")),
    ],
    ids=["a record", "a record, under a 500", "no such deployment"],
)
async def test_a_refusal_for_what_was_asked_says_the_same_of_the_lost_attempt(case: Case, refusal: Response) -> None:
    """The lost attempt held the same record, or spoke of the same nothing: it was refused, too."""
    owner, _ = account(lost(), refusal)
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent, result.doubtful) == (D.REJECTED, False, False)


@pytest.mark.parametrize(
    ("case", "refusal", "status"),
    [
        (UPDATE, omeda_error(400, "Invalid value for field 'DeploymentDate': it must be in the future."), D.UNKNOWN),
        (UPDATE, omeda_error(400, "Deployment 'FOO1' cannot be edited. Sent deployments cannot be edited."), D.UNKNOWN),
        (UPDATE, omeda_error(403, "User 'u' is not authorized to edit this deployment."), D.UNKNOWN),
        (UPDATE, omeda_error(400, WAS_SENT), D.TOO_LATE),
        (UPDATE, answer(404, text=""), D.UNKNOWN),
        (UPDATE, answer(413, text=""), D.UNKNOWN),
        (OPT_OUTS, omeda_error(400, "A submission like this one is being processed."), D.UNKNOWN),
        (OPT_OUTS, omeda_error(400, SUMMARY), D.UNKNOWN),
        (OPT_OUTS, omeda_error(400, "There are currently no valid brands for the client submitted."), D.UNKNOWN),
        (OPT_OUTS, answer(404, text=""), D.UNKNOWN),
        (OPT_OUTS, answer(405, text=""), D.UNKNOWN),
    ],
)
async def test_a_refusal_for_what_may_have_changed_since_leaves_the_lost_attempt_in_doubt(
    case: Case, refusal: Response, status: OutcomeStatus
) -> None:
    """There is no read that would tell, and what the repeat is refused for may be of later, even of our own doing."""
    owner, transport = account(lost(), refusal)
    result = await case.run(owner)
    assert (result.status, result.doubtful, len(transport.sent)) == (status, True, 2)
    assert result.error is not None
    assert result.error.sent


@pytest.mark.parametrize("case", [UPDATE, OPT_OUTS], ids=["update", "opt-outs"])
async def test_a_refusal_without_a_doubt_before_it_is_certain(case: Case) -> None:
    """The first attempt is refused: nothing was carried out, whatever the reason."""
    owner, _ = account(unsent(), omeda_error(400, "Deployment 'FOO1' cannot be edited."))
    result = await case.run(owner)
    assert (result.status, result.error and result.error.sent) == (D.REJECTED, False)
