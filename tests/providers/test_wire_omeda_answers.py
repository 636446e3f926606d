"""What Omeda's words mean, whichever way they come."""

from typing import Any

import orjson
import pytest

from omeda_async._operation import Operation, Response
from omeda_async.errors import (
    AlreadyDone,
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BatchRejected,
    NotAuthorized,
    NotFound,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    TooLate,
    UnreadableAnswer,
)
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentStatus, OptOutReceipt


def _errors(*texts: str, id_key: str = "SubmissionId") -> bytes:
    return orjson.dumps({"Errors": [{"Error": text} for text in texts], id_key: "C95A"})


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405, 409, 500, 503])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Deployment 'F' has been previously cancelled.", AlreadyDone),
        ("Deployment 'F' has been previously canceled.", AlreadyDone),
        ("Deployment 'F' was sent on 2012-02-29.", TooLate),
        ("User 'u' is not authorised to cancel this deployment.", NotAuthorized),
    ],
)
def test_words_count_more_than_the_status(status: int, text: str, kind: type[ApiError]) -> None:
    """Which status the state errors carry is not documented: the text decides."""
    result = wire.CANCEL.parse(Response(status, {}, _errors(text)))
    assert type(result) is kind
    assert isinstance(result, ApiError)
    assert (result.status, result.sent) == (status, False)


def test_the_state_of_the_deployment_counts_more_than_who_asks() -> None:
    """Of several errors the deployment's state is told, and every text is kept."""
    texts = (
        "User 'u' is not authorized to cancel this deployment.",
        "Deployment 'F' has been previously cancelled.",
    )
    result = wire.CANCEL.parse(Response(403, {}, _errors(*texts)))
    assert isinstance(result, AlreadyDone)
    assert result.messages == texts


@pytest.mark.parametrize(
    "text",
    [
        "The value 'Deployment x has been previously cancelled' for field 'UserId' exceeded a max length of 9.",
        "The value 'Deployment x was sent on 1' for field 'UserId' exceeded a max length of 9.",
        "The value 'User x is not authorized to y' for field 'UserId' exceeded a max length of 9.",
    ],
)
def test_a_value_repeated_in_a_message_means_nothing(text: str) -> None:
    """What the caller sent, quoted in a refusal, is not taken for the provider's word."""
    result = wire.CANCEL.parse(Response(400, {}, _errors(text)))
    assert type(result) is BadRequest
    assert result.fields == ("UserId",)


@pytest.mark.parametrize(
    "body",
    [
        b'{"Errors":["Deployment \'F\' has been previously cancelled."]}',
        b'{"Errors":"Deployment \'F\' has been previously cancelled."}',
        b'{"Errors":{"Error":"Deployment \'F\' has been previously cancelled."}}',
        b'{"errors":[{"error":"Deployment \'F\' has been previously cancelled."}]}',
        b'{"ResponseInfo":[{"TrackId":"F","Errors":[{"Error":"Deployment \'F\' has been previously cancelled."}]}]}',
        b'\xef\xbb\xbf{"Errors":[{"Error":"Deployment \'F\' has been previously cancelled."}]}',
    ],
)
def test_errors_are_found_in_every_shape(body: bytes) -> None:
    """A list of objects or strings, one alone, other capitals, inside the receipt: an error is an error."""
    assert isinstance(wire.CANCEL.parse(Response(200, {}, body)), AlreadyDone)


def test_errors_without_words_under_a_200_are_no_success() -> None:
    """A 200 whose error list says nothing readable is still an error."""
    result = wire.CANCEL.parse(Response(200, {}, b'{"TrackId":"F","Errors":[{"Code":null}]}'))
    assert type(result) is ApiError
    assert result.status == 200


def test_salvages_the_words_of_cut_json_only_from_a_refusal() -> None:
    """Cut JSON under a 400 still tells its whole messages; under a 200 it proves nothing."""
    body = _errors('Deployment "F" has been previously cancelled.', "User 'u'")[:-30]
    assert isinstance(wire.CANCEL.parse(Response(400, {}, body)), AlreadyDone)
    assert isinstance(wire.CANCEL.parse(Response(200, {}, body)), UnreadableAnswer)


@pytest.mark.parametrize("key", ["SubmissionId", "Submission"])
def test_the_submission_id_is_kept_under_both_its_names(key: str) -> None:
    """Omeda names the id in two ways."""
    result = wire.SUBMIT_OPT_OUTS.parse(Response(400, {}, _errors("Refused.", id_key=key)))
    assert isinstance(result, ApiError)
    assert result.submission_id == "C95A"


@pytest.mark.parametrize("operation", [wire.CREATE, wire.CLONE, wire.UPDATE, wire.CANCEL], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "body",
    [
        b'{"ResponseInfo":[{"TrackId":"F1","Url":"u","SubmissionId":"S"}]}',
        b'{"ResponseInfo":{"TrackId":"F1","Url":"u","SubmissionId":"S","New":[1]}}',
        b'{"TrackId":"F1","Url":"u","SubmissionId":"S","Errors":[]}',
        b'{"TrackId":"F1","ResponseInfo":[{"Url":"u"}],"Submission":"S","Errors":null}',
    ],
)
def test_a_receipt_is_read_in_every_shape(operation: Operation[Any, Any], body: bytes) -> None:
    """``ResponseInfo`` as a list or an object, or its fields at the top, with keys nobody knows."""
    assert operation.parse(Response(200, {}, body)) == DeploymentReceipt("F1", "u", "S")


def test_an_id_that_comes_as_a_number_is_a_text() -> None:
    """Ids come as strings or integers."""
    assert wire.CANCEL.parse(Response(200, {}, b'{"TrackId":7,"SubmissionId":8}')) == DeploymentReceipt("7", None, "8")


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"ResponseInfo":[]}', b'{"SubmissionId":"S"}', b'{"TrackId":null}', b'{"TrackId":true}', b"[]"],
)
def test_a_200_that_names_no_deployment_is_no_receipt(body: bytes) -> None:
    """A readable body that is not the documented receipt proves nothing."""
    for operation in (wire.CREATE, wire.CLONE):
        result = operation.parse(Response(200, {}, body))
        assert isinstance(result, UnreadableAnswer)
        assert result.sent is True


def test_a_url_alone_tells_that_a_known_deployment_was_changed_but_not_which_was_created() -> None:
    """Without its track id a created deployment is not found again: its receipt would be of no use."""
    body = b'{"ResponseInfo":[{"Url":"u"}]}'
    assert wire.UPDATE.parse(Response(200, {}, body)) == DeploymentReceipt(None, "u")
    assert isinstance(wire.CREATE.parse(Response(200, {}, body)), UnreadableAnswer)


@pytest.mark.parametrize(
    "warnings",
    [
        ["Slow.", "Late."],
        [{"Warning": "Slow."}, {"Warning": "Late."}],
        {"a": "Slow.", "b": "Late."},
        "Slow.|Late.",
    ],
)
def test_warnings_are_kept_on_the_receipt(warnings: object) -> None:
    """Warnings come as strings, as objects, as one object, as one string."""
    body = orjson.dumps({"ResponseInfo": [{"TrackId": "F"}], "Warnings": warnings})
    result = wire.CANCEL.parse(Response(200, {}, body))
    assert isinstance(result, DeploymentReceipt)
    assert result.warnings == (("Slow.|Late.",) if isinstance(warnings, str) else ("Slow.", "Late."))


def test_an_opt_out_success_keeps_its_messages_as_warnings() -> None:
    """A success can carry messages about some addresses; they are kept, and not shown whole."""
    body = b'{"Submission":"S","Success":"Your submission was successful","Messages":[{"Message":"a@b.c skipped"}]}'
    result = wire.SUBMIT_OPT_OUTS.parse(Response(200, {}, body))
    assert result == OptOutReceipt("S", "Your submission was successful", ("a@b.c skipped",))
    assert "a***@b.c" in repr(result)
    assert "a@b.c" not in repr(result)


@pytest.mark.parametrize(
    "body", [b'{"SubmissionId":"S"}', b'{"Success":"false"}', b'{"Success":false}', b'{"Success":""}']
)
def test_an_opt_out_answer_that_claims_no_success_is_none(body: bytes) -> None:
    """Only the documented word of success is one."""
    assert isinstance(wire.SUBMIT_OPT_OUTS.parse(Response(200, {}, body)), UnreadableAnswer)


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_no_brands_for_the_client_is_a_cause_that_meets_everyone(status: int) -> None:
    """The known sentence rejects the batch, names nobody, and stops a run."""
    body = _errors(
        "There are currently no valid brands associated for the client submitted.",
        "There were errors with your submission.  None of the OptOuts submitted in your request were created.",
    )
    result = wire.SUBMIT_OPT_OUTS.parse(Response(status, {}, body))
    assert isinstance(result, BatchRejected)
    assert (result.culprits, result.sent) == ((), False)
    assert wire.SUBMIT_OPT_OUTS.hits_everyone(result) is True


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationFailed),
        (408, ApiError),
        (429, RateLimited),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "Too many brand opt-out requests.",
        "None of the OptOuts submitted in your request were created.",
        "You have reached the rate limit for client opt-outs.",
    ],
)
def test_a_status_that_refuses_no_record_decides_whatever_it_says_of_opt_outs(
    status: int, kind: type[ApiError], text: str
) -> None:
    """A limit or a log-in that is spoken of with opt-outs: the run waits or stops, and no record is rejected for it."""
    for body in (_errors(text), b'{"Errors": [Error": "%s"]}' % text.encode()):
        assert type(wire.SUBMIT_OPT_OUTS.parse(Response(status, {}, body))) is kind


@pytest.mark.parametrize(
    ("status", "body", "kind", "everyone"),
    [
        (400, _errors("'EmailAddress' is a required field."), BatchRejected, False),
        (200, _errors("Something new."), BatchRejected, False),
        (400, b"<html>no</html>", BadRequest, False),
        (403, _errors("The AppId submitted is forbidden access."), AuthenticationFailed, True),
        (400, _errors("The AppId submitted is forbidden access."), AuthenticationFailed, True),
        (404, _errors("No such client."), NotFound, True),
        (404, b"", NotFound, True),
        (413, b"", ApiError, False),
        (503, b"", ApiError, False),
    ],
)
def test_a_refused_request_of_opt_outs_says_whether_others_would_fare_better(
    status: int, body: bytes, kind: type[ApiError], everyone: bool
) -> None:
    """What rejects the batch is told from what meets every record."""
    result = wire.SUBMIT_OPT_OUTS.parse(Response(status, {}, body))
    assert isinstance(result, kind)
    assert wire.SUBMIT_OPT_OUTS.hits_everyone(result) is everyone


def test_a_rejected_batch_shows_no_address() -> None:
    """The error's text and repr mask the addresses its messages and culprits keep."""
    text = (
        "BrandOptOut submission (XXG): the BrandId is not authorized. Email address test@omeda.com was not opted out."
    )
    result = wire.SUBMIT_OPT_OUTS.parse(Response(400, {}, _errors(text)))
    assert isinstance(result, BatchRejected)
    assert "t***@omeda.com" in str(result)
    shown = str(result) + repr(result) + repr(result.culprits) + result.body
    assert "test@omeda.com" not in shown
    assert result.culprits[0].email_address == "test@omeda.com"


@pytest.mark.parametrize(
    ("shown", "read"),
    [(5, 5), ("5", 5), (" 5 ", 5), ("five", None), ("\u0665", None), ("9" * 5000, None), (True, None)],
)
def test_a_deployment_type_is_an_integer_however_it_is_shown(shown: object, read: int | None) -> None:
    """As a number or as its digits it is the same id; what is neither is left to ``raw``."""
    result = wire.LOOKUP.parse(Response(200, {}, orjson.dumps({"TrackId": "F1", "DeploymentTypeId": shown})))
    assert isinstance(result, DeploymentStatus)
    assert result.deployment_type_id == read
    assert result.raw["DeploymentTypeId"] == shown


def test_a_look_up_is_read_with_all_its_dates_in_central_time() -> None:
    """The known fields are there under Python names, the rest under ``raw``."""
    body = {
        "TrackId": "F1", "DeploymentName": "n", "Status": "Sent", "OwnerUserId": "u", "DeploymentTypeId": 5,
        "SentDate": "2012-07-01 15:10:11", "CreatedDate": "2012-01-01 15:10:11.5 CST", "DeploymentDate": "soon",
        "SplitCount": 1,
    }  # fmt: skip
    result = wire.LOOKUP.parse(Response(200, {}, orjson.dumps(body)))
    assert isinstance(result, DeploymentStatus)
    assert (result.track_id, result.status, result.deployment_type_id) == ("F1", "Sent", 5)
    assert str(result.sent_date) == "2012-07-01 15:10:11-05:00"
    assert str(result.created_date) == "2012-01-01 15:10:11.500000-06:00"
    assert result.deployment_date is None
    assert result.raw["SplitCount"] == 1


def test_a_look_up_that_finds_nothing_is_not_found() -> None:
    """A 404 keeps the provider's words."""
    body = _errors("Could not find deployment matching track Id 'F1'.")
    result = wire.LOOKUP.parse(Response(404, {}, body))
    assert isinstance(result, NotFound)
    assert result.messages == ("Could not find deployment matching track Id 'F1'.",)


@pytest.mark.parametrize("body", [b"{}", b'{"Deployments":{}}', b'{"Deployments":["F1"]}', b"[]"])
def test_a_search_without_its_list_is_no_answer(body: bytes) -> None:
    """An empty list is an answer; no list is none."""
    assert isinstance(wire.SEARCH.parse(Response(200, {}, body)), UnreadableAnswer)
    assert wire.SEARCH.parse(Response(200, {}, b'{"Deployments":[]}')) == ()


def test_a_search_gives_every_deployment() -> None:
    """The rows of the vendor's own example."""
    rows = [{"Owner": "JDOE", "Status": "Scheduled", "TrackId": "FOO1"}, {"TrackId": "FOO2", "Status": "New"}]
    result = wire.SEARCH.parse(Response(200, {}, orjson.dumps({"Deployments": rows})))
    assert not isinstance(result, OmedaAsyncError)
    assert [(one.track_id, one.status, one.owner_user_id) for one in result] == [
        ("FOO1", "Scheduled", "JDOE"),
        ("FOO2", "New", None),
    ]


def test_an_endless_message_is_shown_in_part() -> None:
    """What is shown of a message is bounded; the message itself is kept whole."""
    text = "x" * 100_000
    result = wire.SUBMIT_OPT_OUTS.parse(Response(400, {}, _errors(text)))
    assert isinstance(result, ApiError)
    assert len(str(result)) < 2000
    assert result.messages == (text,)
