"""How a call in doubt is settled: by the repeat, by a read, or not at all."""

import asyncio
from itertools import pairwise

import pytest

from omeda_async import OutcomeStatus, errors
from omeda_async._operation import Response
from omeda_async._stop import Stop
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    CANCELLED,
    DEPLOYMENT_CANCEL,
    DOUBTS,
    HARMLESS,
    HTML,
    OPEN,
    OPT_OUTS,
    READ_FIRST,
    TRANSACTION_CANCEL,
    UPDATE,
    WAS_SENT,
    Case,
    Reply,
    ScriptedTransport,
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
    unread,
    unsent,
)

D = OutcomeStatus


def _gaps(transport: ScriptedTransport) -> list[float]:
    moments = [one.at for one in transport.sent]
    return [later - earlier for earlier, later in pairwise(moments)]


@pytest.mark.parametrize(("case", "open_"), OPEN, ids=name_of)
@pytest.mark.parametrize("refusal", [answer(503, text=""), unread(503)], ids=repr)
async def test_a_503_is_tried_until_the_attempts_run_out_and_then_looked_up(
    case: Case, open_: Response, refusal: Reply
) -> None:
    """Refused with 503 to the end: a gateway may have passed it on, so that only reads tell that it has failed."""
    owner, transport = account(*[refusal] * 5, open_, open_)
    result = await case.run(owner)
    assert (result.status, result.error.status, result.error.sent) == (D.FAILED, 503, False)
    assert [one.path for one in transport.sent[:5]] == [transport.sent[0].path] * 5
    assert (transport.script, transport.sent[5].path) == ([], transport.sent[6].path)
    assert _gaps(transport)[5] == pytest.approx(5.01)


@pytest.mark.parametrize("case", [UPDATE, OPT_OUTS], ids=name_of)
@pytest.mark.parametrize("refusal", [answer(503, text=""), unread(503)], ids=repr)
async def test_a_503_to_the_end_stays_unknown_where_nothing_can_be_looked_up(case: Case, refusal: Reply) -> None:
    """It may have been passed on, and there is no read that would tell."""
    owner, transport = account(*[refusal] * 5)
    result = await case.run(owner)
    assert (result.status, result.error.status, result.error.sent) == (D.UNKNOWN, 503, True)
    assert transport.script == []


@pytest.mark.parametrize(("case", "open_"), OPEN, ids=name_of)
async def test_a_503_although_applied_is_done(case: Case, open_: Response) -> None:
    """The repeat is refused for what the first has done: that is read, or the refusal says so."""
    del open_
    told: dict[str, list[Reply]] = {
        "deployments.cancel": [omeda_error(400, CANCELLED)],
        "campaigns.cancel": [ocamba_error(400), campaign("canceled")],
        "transactions.cancel": [finished(), transaction("Abandoned")],
    }
    owner, transport = account(answer(503, text=""), *told[case.operation.name])
    result = await case.run(owner)
    assert (result.status, result.error, result.receipt.settled, transport.script) == (D.ALREADY_DONE, None, True, [])


@pytest.mark.parametrize("case", HARMLESS[:3], ids=name_of)
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
        ([deployment("Cancelled")], D.ALREADY_DONE, None),
        ([deployment("Sent")], D.TOO_LATE, errors.TooLate),
        ([deployment("Scheduled"), deployment("Scheduled")], D.REJECTED, errors.NotAuthorized),
        ([deployment("Scheduled"), deployment("Cancelled")], D.ALREADY_DONE, None),
        ([deployment("Scheduled"), answer(403, text="")], D.UNKNOWN, errors.NotAuthorized),
        ([answer(404, text="")], D.UNKNOWN, errors.NotAuthorized),
        ([answer(403, text="")], D.UNKNOWN, errors.NotAuthorized),
    ],
    ids=["cancelled", "sent", "scheduled", "cancelled late", "then not shown", "not found", "not allowed to look"],
)
async def test_another_refusal_after_a_lost_answer_is_looked_up(
    found: list[Response], status: OutcomeStatus, kind: type | None
) -> None:
    """That the repeat is "not authorized" does not say what became of the lost attempt: the look-up does."""
    refusal = omeda_error(403, "User 'omailAccount1' is not authorized to cancel this deployment.")
    owner, transport = account(lost(), refusal, *found)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, None if result.error is None else type(result.error)) == (status, kind)
    look_up = "/webservices/rest/brand/FOO/omail/deployment/lookup/FOO1/*"
    assert [one.path for one in transport.sent[2:]] == [look_up] * len(found)
    assert (result.attempts, transport.script) == (2 + len(found), [])


async def test_answers_lost_to_the_end_are_settled_by_the_look_up() -> None:
    """When five repeats told nothing, the last word is a read."""
    for status, expected in (("Cancelled", D.ALREADY_DONE), ("Sent", D.TOO_LATE)):
        owner, transport = account(*[lost() for _ in range(5)], deployment(status))
        result = await DEPLOYMENT_CANCEL.run(owner)
        assert (result.status, result.attempts) == (expected, 6)
        assert "lookup" in transport.sent[5].path


IN_BETWEEN: list[Reply] = [
    *(lost(), lost(timed_out=True), HTML, unread(200)),
    *(answer(status, text="") for status in (408, 499, 502, 504, 520, 599, 600)),
    *(unread(status) for status in (408, 502, 504)),
]


async def test_a_redirect_is_looked_up_before_it_is_asked_again() -> None:
    """Asked again at once, it would be the same; a look-up that is redirected, too, says as much."""
    owner, transport = account(unread(302), deployment("Scheduled"), DEPLOYMENT_CANCEL.done)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, len(transport.sent)) == (D.DONE, 3)
    owner, transport = account(unread(302), unread(302))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, len(transport.sent)) == (D.UNKNOWN, 2)


@pytest.mark.parametrize("doubt", IN_BETWEEN, ids=repr)
async def test_not_done_is_believed_only_when_it_is_read_again_after_a_while(doubt: Reply) -> None:
    """The provider may still come to what broke off in between: five seconds later it has."""
    owner, transport = account(*[doubt] * 5, deployment("Scheduled"), deployment("Scheduled"))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error.sent, result.attempts) == (D.FAILED, False, 7)
    assert _gaps(transport)[5] == pytest.approx(5.01)
    owner, transport = account(*[doubt] * 5, deployment("Scheduled"), deployment("Cancelled"))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error, result.receipt.settled) == (D.ALREADY_DONE, None, True)


@pytest.mark.parametrize("doubt", IN_BETWEEN, ids=repr)
async def test_not_done_is_not_believed_where_there_is_no_time_to_read_it_again(doubt: Reply) -> None:
    """A deadline nearer than the settle delay leaves it unknown, at once."""
    owner, transport = account(doubt, deployment("Scheduled"), attempts=1, deadline=5.5)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error.sent, transport.script) == (D.UNKNOWN, True, [])
    assert asyncio.get_running_loop().time() < 1


@pytest.mark.parametrize(("pause", "status", "sent"), [(30, D.FAILED, False), (2, D.UNKNOWN, True)])
async def test_a_read_that_was_held_up_for_longer_than_the_settle_delay_is_believed_without_another(
    pause: int, status: OutcomeStatus, sent: bool
) -> None:
    """No time is left to read it again; but the provider has had its time by then, unless it was not so long."""
    limited = answer(429, text="", Retry_After=str(pause))
    owner, transport = account(*(lost(), unsent(), limited, deployment("Scheduled")), attempts=2, deadline=pause + 5.0)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.error.sent, transport.script) == (status, sent, [])


async def test_the_settle_delay_is_a_setting() -> None:
    """It is kept to the second; none believes the second read at once."""
    for delay in (0.0, 60.0):
        owner, transport = account(lost(), *[deployment("Scheduled")] * 2, attempts=1, settle_delay=delay)
        assert (await DEPLOYMENT_CANCEL.run(owner)).status is D.FAILED
        assert _gaps(transport)[1] == pytest.approx(delay + 0.01)


async def test_a_stop_in_the_settle_delay_leaves_it_unknown() -> None:
    """Nothing more is asked, and nothing is guessed."""
    stop = Stop()
    owner, transport = account(lost(), deployment("Scheduled"), attempts=1)
    task = asyncio.create_task(DEPLOYMENT_CANCEL.run(owner, stop=stop))
    await asyncio.sleep(3)
    stop.set(errors.ClosedError("stopped"))
    result = await task
    assert (result.status, result.error.sent, len(transport.sent)) == (D.UNKNOWN, True, 2)


@pytest.mark.parametrize(
    ("late", "status"),
    [
        ([deployment("Cancelled")], D.ALREADY_DONE),
        ([deployment("Scheduled")], D.FAILED),
        ([deployment("Sent")], D.TOO_LATE),
        ([answer(404, text="")], D.UNKNOWN),
        ([unsent()] * 5, D.UNKNOWN),
        ([answer(502, text="")] * 5, D.UNKNOWN),
    ],
    ids=["cancelled", "scheduled", "sent", "not found", "not reached", "lost"],
)
async def test_what_the_last_read_says_counts(late: list[Reply], status: OutcomeStatus) -> None:
    """A read that fails, or shows nothing, settles nothing; that it was not done a while ago is no proof."""
    owner, transport = account(lost(), deployment("Scheduled"), *late, attempts=5, deadline=300.0)
    transport.script[1:1] = [lost() for _ in range(4)]
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, transport.script) == (status, [])


@pytest.mark.parametrize(("case", "open_"), OPEN, ids=name_of)
async def test_a_500_is_the_providers_own_word_and_needs_no_second_read(case: Case, open_: Response) -> None:
    """It has ended with the request by then: what a read does not show will not come."""
    owner, transport = account(answer(500, text=""), open_, attempts=1)
    result = await case.run(owner)
    assert (result.status, result.error.sent, transport.script) == (D.FAILED, False, [])


@pytest.mark.parametrize("doubts", [(lost(), answer(500, text="")), (answer(500, text=""), lost())], ids=repr)
async def test_one_of_several_doubts_from_in_between_is_enough_for_a_second_read(doubts: tuple[Reply, ...]) -> None:
    """The provider may still come to the first when the second has its answer."""
    owner, transport = account(*doubts, *[deployment("Scheduled")] * 2, attempts=2)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, transport.script) == (D.FAILED, [])
    assert _gaps(transport)[2] == pytest.approx(5.01)


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


@pytest.mark.parametrize(("case", "done", "gone", "open_"), READ_FIRST)
@pytest.mark.parametrize("doubt", [lost(), answer(500, text=""), answer(502, text=""), unread(502)], ids=repr)
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


async def test_an_unexplained_refusal_after_a_lost_answer_is_settled_even_with_explain_off() -> None:
    """Verification a doubt of ours is no matter of taste."""
    owner, _ = account(lost(), campaign("running"), ocamba_error(400), campaign("canceled"))
    result = await CAMPAIGN_CANCEL.run(owner, explain=False)
    assert (result.status, result.receipt.settled, result.attempts) == (D.ALREADY_DONE, True, 4)


@pytest.mark.parametrize("failure", [answer(500, text=""), unread(500)], ids=repr)
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


async def test_the_end_of_an_earlier_run_may_be_a_moment_ago() -> None:
    """Its request may still be on its way: a refusal, and a read that says "not done", are not its last word."""
    for late, status in (("running", D.REJECTED), ("canceled", D.ALREADY_DONE)):
        owner, transport = account(campaign("running"), ocamba_error(400), campaign("running"), campaign(late))
        result = await CAMPAIGN_CANCEL.run(owner, doubtful=True)
        assert (result.status, transport.script) == (status, [])
        assert _gaps(transport)[2] == pytest.approx(5.01)


async def test_a_record_of_an_earlier_run_that_nothing_settles_stays_unknown() -> None:
    """The doubt of the earlier run outlives attempts that never left."""
    owner, _ = account(*[unsent() for _ in range(9)])
    result = await OPT_OUTS.run(owner, doubtful=True)
    assert (result.status, result.doubtful) == (D.UNKNOWN, True)


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
