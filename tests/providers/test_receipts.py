"""A receipt is one only where it says nothing to the contrary, and names what was asked for."""

from typing import Any

import orjson
import pytest

from omeda_async import OutcomeStatus
from omeda_async._operation import Operation, Response
from omeda_async.errors import OmedaAsyncError, UnreadableAnswer
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.client import Transactions
from omeda_async.providers.journey_manager.models import TransactionQuery, TransactionReceipt
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda._requests import LookupDeployment
from tests.core.scripted import (
    CAMPAIGN_CANCEL,
    CANCELLED,
    DEPLOYMENT_CANCEL,
    DEPLOYMENT_CLONE,
    TRANSACTION_CANCEL,
    Case,
    account,
    answer,
    campaign,
    deployment,
    omeda_error,
    transaction,
)

D = OutcomeStatus
NOES: list[Any] = [
    False, "false", "False", " FALSE ", "no", "No", "n", "f", 0, "0", "", None, [], {}, "unsuccessful",
    "Your submission failed", "Your submission was not successful", "Submission could not be processed: error 17",
    "Your submission was partially successful", "rejected", "Access denied", "The submission wasn't accepted",
]  # fmt: skip
YESES: list[Any] = [True, "true", "yes", "Y", 1, "Your submission was successful", "Success", "OK"]


def response(value: Any, status: int = 200) -> Response:
    """What came, as JSON or as it is."""
    return Response(status, {}, value if isinstance(value, bytes) else orjson.dumps(value))


@pytest.mark.parametrize("success", NOES, ids=repr)
@pytest.mark.parametrize("key", ["Success", "success", "SUCCESS", "IsSuccess", "Successful", "succeeded"])
def test_a_receipt_that_denies_its_success_is_none(key: str, success: Any) -> None:
    """In any spelling, and whatever else it holds."""
    receipt = {"SubmissionId": "s", "TrackId": "FOO1", "Url": "u", "Success": "Your submission was successful"}
    opt_out = omeda.SUBMIT_OPT_OUTS.parse(response({**receipt, key: success}))
    cancel = omeda.CANCEL.parse(response({"ResponseInfo": [{**receipt, key: success}]}))
    for result in (opt_out, cancel):
        assert isinstance(result, UnreadableAnswer)
        assert (result.sent, result.status) == (True, 200)


@pytest.mark.parametrize(
    "more",
    [
        {"Success": False}, {"SUCCESS": "rejected"}, {"Submission": {"success": False}},
        {"SubmissionId": {"Error": "x"}}, {"SubmissionId": ["s", {"Status": "failed"}]},
    ],
    ids=repr,
)  # fmt: skip
def test_no_name_of_a_receipt_hides_what_another_says(more: dict[str, Any]) -> None:
    """In other letters before the one that counts, or inside one that holds a text as documented."""
    result = omeda.SUBMIT_OPT_OUTS.parse(response({**more, "success": "Your submission was successful"}))
    assert isinstance(result, UnreadableAnswer)
    assert result.sent


@pytest.mark.parametrize("success", YESES, ids=repr)
def test_a_receipt_that_does_not_is_one(success: Any) -> None:
    """As the document words it, and as others do."""
    receipt = {"SubmissionId": "s", "TrackId": "FOO1", "Url": "u", "Success": success}
    for operation in (omeda.SUBMIT_OPT_OUTS, omeda.CANCEL):
        assert not isinstance(operation.parse(response(receipt)), OmedaAsyncError)


@pytest.mark.parametrize(
    "more",
    [
        {"Fault": "x"}, {"unsuccessful": True},
        {"failed": True}, {"failed": "true"}, {"Status": "FAILED"}, {"Result": "Failure"},
        {"Outcome": "rejected"}, {"Rejected": ["FOO1"]}, {"Exception": {"a": 1}}, {"denied": 1}, {"ok": False},
        {"ErrorMessage": "x"}, {"ErrorCode": 17}, {"Result": {"Success": "false"}},
        {"Message": "It could not be done."},
        {"Message": "Your submission failed"}, {"Details": [{"Status": "error"}]}, {"failures": {"n": "1"}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_receipt_with_a_failure_in_it_is_none(more: dict[str, Any]) -> None:
    """Wherever it stands, and however it is called."""
    receipt = {"SubmissionId": "s", "TrackId": "FOO1", "Success": "Your submission was successful"}
    for operation in (omeda.CANCEL, omeda.UPDATE, omeda.CREATE, omeda.CLONE, omeda.SUBMIT_OPT_OUTS):
        for value in ({**receipt, **more}, {"ResponseInfo": [{**receipt, **more}], "Success": True}):
            assert isinstance(operation.parse(response(value)), OmedaAsyncError)


def test_an_error_in_any_part_of_the_response_counts() -> None:
    """It may hold several parts, or have its error beside the receipt."""
    receipt = {"TrackId": "FOO1", "Url": "u"}
    for value in (
        {"ResponseInfo": [receipt, {"Errors": [{"Error": CANCELLED}]}]},
        {"ResponseInfo": [{**receipt, "Error": CANCELLED}]},
        {"ResponseInfo": [receipt], "Errors": [{"Error": CANCELLED}]},
    ):
        result = omeda.CANCEL.parse(response(value))
        assert isinstance(result, OmedaAsyncError)
        assert result.message == CANCELLED


@pytest.mark.parametrize("more", [{"Errors": []}, {"Failed": False}, {"Failures": 0}, {"Error": None}], ids=repr)
def test_the_absence_of_a_failure_is_none(more: dict[str, Any]) -> None:
    """An empty list of errors says that there are none."""
    assert not isinstance(omeda.CANCEL.parse(response({"TrackId": "FOO1", **more})), OmedaAsyncError)


DENIED: list[Any] = [
    {"status": "failed"}, {"status": "FAILURE"}, {"status": "error"}, {"status": 500}, {"status": "500"}, {"status": 0},
    {"success": "false"}, {"success": False}, {"success": 0}, {"success": "0"}, {"success": "no"}, {"success": [False]},
    {"success": None}, {"success": ""}, {"ok": None}, {"cancelled": []}, {"code": 1}, {"state": 1},
    {"ok": False}, {"ok": "false"}, {"fault": "x"}, {"fault": {"code": 1}}, {"errors": ["x"]}, {"errors": {"a": 1}},
    {"error": True}, {"error": "x"}, {"error": 1}, {"Error": {"message": "m"}}, {"ERRORS": [1]}, {"failed": True},
    {"result": "FAILURE"}, {"result": "denied"}, {"result": {"status": "failed"}}, {"result": False},
    {"message": "denied"}, {"message": "not permitted"}, {"message": "You are not permitted to cancel this."},
    {"message": "The transaction was not cancelled."}, {"txn": {"state": {"outcome": "refused"}}},
    [{"status": "failed"}], [{"status": "ok"}, {"status": "failed"}], ["denied"], {"denied": True},
    {"status": "ok", "success": False}, {"data": [{"ok": True}, {"ok": False}]}, {"formStatus": "Completed"},
    {"formStatus": "Saved"}, {"something": "else"}, {"code": 17}, {"status": None, "reason": "locked"},
    "denied", "ok?", 1, True, False, 0, {"status": "not ok"}, {"validationFailures": [{"f": "m"}]},
    b"denied", b"Not permitted.", b"FALSE", b"<fault><code>1</code></fault>", b"{", b'{"status":', b"\xff",
    b"<soap:Envelope><soap:Fault><faultstring>no</faultstring></soap:Fault></soap:Envelope>",
    b'<?xml version="1.0"?><error>locked</error>',
]  # fmt: skip
SAID: list[Any] = [
    b"", b" \r\n", None, {}, [], [{}], {"success": True}, {"success": "true"}, {"Success": "TRUE"}, {"success": 1},
    {"status": "success"}, {"status": "OK"}, {"status": 200}, {"status": "200 OK"}, {"code": 200},
    {"statusCode": 200, "message": "OK"},
    {"ok": True}, {"result": "SUCCESS"}, {"result": {"status": "Success", "errors": []}}, {"error": None, "ok": True},
    {"success": True, "error": False}, {"message": "The transaction has been cancelled."}, {"formStatus": "Abandoned"},
    {"submitKey": "15d0"}, {"submitKey": "15d0", "status": "cancelled"}, {"result": None},
    {"errors": [], "warnings": []},
]  # fmt: skip


@pytest.mark.parametrize("value", SAID, ids=repr)
def test_a_success_is_nothing_but_one(value: Any) -> None:
    """The document shows no body; what says success and nothing else is one, too."""
    assert journey_manager.CANCEL.parse(response(value)) == TransactionReceipt()


@pytest.mark.parametrize("value", DENIED, ids=repr)
def test_whatever_else_comes_with_a_200_is_none(value: Any) -> None:
    """It is in doubt, so that the query tells."""
    result = journey_manager.CANCEL.parse(response(value))
    assert isinstance(result, UnreadableAnswer)
    assert (result.sent, result.status) == (True, 200)


@pytest.mark.parametrize("status", ["Abandoned", "Saved", "Completed"])
@pytest.mark.parametrize("value", [{"status": "failed"}, b"denied", {"something": "else"}], ids=repr)
async def test_the_query_tells_what_became_of_a_doubtful_success(value: Any, status: str) -> None:
    """Abandoned is done, completed too late, and anything else not done: it is asked again, and then failed."""
    reply = response(value)
    owner, transport = account(reply, transaction(status), reply, *[transaction(status)] * 2, attempts=2)
    result = await TRANSACTION_CANCEL.run(owner)
    expected = {"Abandoned": D.ALREADY_DONE, "Completed": D.TOO_LATE, "Saved": D.FAILED}[status]
    assert result.status is expected
    assert [one.path.rpartition("/")[2] for one in transport.sent][:2] == ["cancel", "query"]


async def test_a_transaction_of_another_key_is_verified() -> None:
    """A success that names another is not ours."""
    owner, transport = account(answer(200, {"submitKey": "other"}), *[transaction("Saved")] * 2, attempts=1)
    result = await TRANSACTION_CANCEL.run(owner)
    assert (result.status, len(transport.sent)) == (D.FAILED, 3)


LOOKUP = "https://ows.omeda.com/webservices/rest/brand/FOO/omail/deployment/lookup"
OTHERS = {
    "ResponseInfo": [{"TrackId": "FOO2", "Url": "u", "SubmissionId": "s"}],
    "TrackId": "FOO2",
    "Url": f"{LOOKUP}/FOO2/*",
}


@pytest.mark.parametrize("key", OTHERS)
async def test_a_receipt_of_another_deployment_is_no_receipt(key: str) -> None:
    """It is asked again, as after a lost answer; the provider's own words on the repeat settle it."""
    owner, transport = account(answer(200, {key: OTHERS[key]}), omeda_error(400, CANCELLED.replace("FOO2", "FOO1")))
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert (result.status, result.settled, len(transport.sent)) == (D.ALREADY_DONE, True, 2)


async def test_receipts_of_another_deployment_only_end_with_a_look() -> None:
    """What is never confirmed is looked up."""
    reply = answer(200, OTHERS)
    owner, _ = account(reply, reply, *[deployment("New")] * 2, attempts=2)
    result = await DEPLOYMENT_CANCEL.run(owner)
    assert result.status is not D.DONE
    assert "names something else than what was asked for" in str(result.error)


@pytest.mark.parametrize("url", [f"{LOOKUP}/FOO1/*", f"{LOOKUP}/foo%31", "https://ows.omeda.com/"])
async def test_a_receipt_may_name_its_deployment_in_its_url_alone(url: str) -> None:
    """Or not at all, as it came on the connection of the request."""
    owner, _ = account(answer(200, {"ResponseInfo": [{"TrackId": None, "Url": url}]}))
    assert (await DEPLOYMENT_CANCEL.run(owner)).status is D.DONE


@pytest.mark.parametrize("track_id", ["foo1", " FOO1", "FOO1"])
async def test_a_receipt_may_spell_its_track_id_in_other_capitals(track_id: str) -> None:
    """That is the same deployment."""
    owner, _ = account(answer(200, {"TrackId": track_id}))
    assert (await DEPLOYMENT_CANCEL.run(owner)).status is D.DONE


async def test_a_look_up_that_shows_another_deployment_settles_nothing() -> None:
    """Its status is not that of the one that was cancelled."""
    owner, _ = account(answer(502), answer(200, {"TrackId": "FOO2", "Status": "Cancelled"}), attempts=1)
    assert (await DEPLOYMENT_CANCEL.run(owner)).status is D.UNKNOWN


@pytest.mark.parametrize("status", ["failed", "Scheduled", "Cancelled", "cancelled", "Sent", 200])
async def test_a_look_up_that_names_no_deployment_settles_nothing(status: object) -> None:
    """A status that stands alone may be a gateway's word on the request; nor is it given to who asks."""
    alone = answer(200, {"status": status})
    owner, _ = account(answer(502), alone, alone, attempts=1)
    assert (await DEPLOYMENT_CANCEL.run(owner)).status is D.UNKNOWN
    owner, _ = account(alone, attempts=1)
    assert isinstance((await LOOKUP_OF_FOO1.run(owner)).error, UnreadableAnswer)


async def test_a_campaign_of_another_id_is_not_the_one_asked_for() -> None:
    """Neither for the caller, nor to settle anything."""
    owner, _ = account(campaign("canceled"), attempts=1)
    get: Operation[Any, Any] = ocamba.GET
    other = Case(get, ocamba.GetCampaign(campaign_id="1000249"), answer(200))
    assert isinstance((await other.run(owner)).error, UnreadableAnswer)


LOOKUP_OF_FOO1: Case = Case(omeda.LOOKUP, LookupDeployment(brand="FOO", track_id="FOO1"), answer(200))
QUERY_OF_A: Case = Case(journey_manager.QUERY, TransactionQuery(submit_key="a"), answer(200))


def shown(*keys: str) -> Response:
    """A page of transactions."""
    return answer(200, {"result": [{"submitKey": key, "formStatus": "Saved"} for key in keys], "fetchLimit": 1000})


@pytest.mark.parametrize(
    ("read", "foreign", "own"),
    [
        (LOOKUP_OF_FOO1, answer(200, {"TrackId": "FOO2", "Status": "New"}), answer(200, {"TrackId": " foo1"})),
        (QUERY_OF_A, shown("b", "c"), shown("b", "A")),
        (QUERY_OF_A, shown("b"), shown()),
    ],
)
async def test_a_read_that_shows_something_else_is_made_again(read: Case, foreign: Response, own: Response) -> None:
    """What is of another deployment or transaction is no answer; the caller never gets it."""
    owner, transport = account(foreign, own)
    assert (await read.run(owner)).error is None
    assert len(transport.sent) == 2
    owner, _ = account(foreign, foreign, attempts=2)
    assert isinstance((await read.run(owner)).error, UnreadableAnswer)


async def test_a_query_for_one_transaction_gives_no_other() -> None:
    """A server that looks at a part of the key only shows more than what was asked for."""
    owner, _ = account(shown("ab", "a", "abc"))
    found = [one.submit_key async for one in Transactions(owner).query(submit_key="a")]
    assert found == ["a"]


async def test_a_clone_is_not_its_source() -> None:
    """A receipt that names the source says of no clone."""
    owner, _ = account(answer(200, {"TrackId": "FOO6", "Url": "u"}), *[answer(404)] * 3, attempts=1)
    result = await DEPLOYMENT_CLONE.run(owner)
    assert result.status is not D.DONE


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
async def test_a_campaign_is_cancelled_by_a_204_only(status: int) -> None:
    """Whatever another 2xx says, the campaign is looked at."""
    owner, transport = account(answer(status, {"success": True}), campaign("canceled"), attempts=1)
    result = await CAMPAIGN_CANCEL.run(owner)
    assert (result.status, len(transport.sent)) == (D.ALREADY_DONE, 2)
