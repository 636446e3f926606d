"""Journey Manager's requests and answers."""

from typing import Any

import orjson
import pytest

from omeda_async._operation import Operation, Response, Verdict
from omeda_async.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    InvalidRecord,
    NotFound,
    OmedaAsyncError,
    ServerError,
    SessionLost,
    UnreadableAnswer,
)
from omeda_async.providers.journey_manager import _operations as wire
from omeda_async.providers.journey_manager.models import (
    Transaction,
    TransactionCancel,
    TransactionPage,
    TransactionQuery,
    TransactionReceipt,
)

# The documented table of error keys.
ROWS: list[tuple[str, str, int, type[ApiError], bool]] = [
    ("internalError", "Please see Error Log ID 4711", 500, ServerError, True),
    ("submitKeyNotSpecified", "submitKey not specified", 400, BadRequest, False),
    (
        "txnAlreadyFinished",
        "The transaction has already been finished (Completed or Abandoned).",
        400,
        BadRequest,
        False,
    ),
    ("txnNotFound", "The transaction specified by the submitKey was not found.", 400, BadRequest, False),
]
# Where in the JSON the key stands is not documented.
SHAPES = [
    '{{"errorKey":"{key}","errorMessage":"{text}"}}',
    '{{"{key}":"{text}"}}',
    '{{"error":{{"code":"{key}","message":"{text}"}}}}',
    '{{"errors":[{{"{key}":{{"text":"{text}"}}}}]}}',
    '[["{key}","{text}"]]',
    '{{"message":"{text}"}}',
    "{text}",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_error_key_is_found_wherever_it_stands(shape: str, row: tuple[str, str, int, type[ApiError], bool]) -> None:
    """Each row of the error table is known by its key anywhere, or by its sentence alone."""
    key, text, status, kind, sent = row
    result = wire.CANCEL.parse(Response(status, {}, shape.format(key=key, text=text).encode()))
    assert type(result) is kind
    assert isinstance(result, ApiError)
    assert (result.code, result.status, result.sent) == (key, status, sent)
    assert result.messages == (text,)
    assert result.message == text
    assert result.error_log_id == ("4711" if key == "internalError" else None)


@pytest.mark.parametrize(("key", "text", "_status", "kind", "sent"), ROWS)
def test_an_error_key_under_a_200_is_no_success(
    key: str, text: str, _status: int, kind: type[ApiError], sent: bool
) -> None:
    """The key counts, whatever the status."""
    result = wire.CANCEL.parse(Response(200, {}, f'{{"errorKey":"{key}","m":"{text}"}}'.encode()))
    assert type(result) is kind
    assert isinstance(result, ApiError)
    assert (result.code, result.sent) == (key, sent)


@pytest.mark.parametrize("text", ["Error Log ID: 12", "error log id #12", "Please see Error Log ID 12."])
def test_the_error_log_id_is_kept(text: str) -> None:
    """The number is what the administrator asks for."""
    result = wire.CANCEL.parse(Response(500, {}, orjson.dumps({"message": text})))
    assert isinstance(result, ServerError)
    assert result.error_log_id == "12"


def test_an_unknown_refusal_keeps_its_words() -> None:
    """Without a known key or sentence the status decides, and the words are kept."""
    result = wire.CANCEL.parse(Response(400, {}, b'{"oops":"Something else went wrong","n":1}'))
    assert type(result) is BadRequest
    assert (result.code, result.messages) == (None, ("Something else went wrong",))


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b"[]", b"null", b'{"submitKey":"k","txnNotFound":null}'])
def test_an_empty_body_or_json_without_an_error_is_a_success(body: bytes) -> None:
    """The documented success is a bare 200."""
    assert wire.CANCEL.parse(Response(200, {"Content-Type": "application/json"}, body)) == TransactionReceipt()


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "/login"}, b""),
        (303, {}, b"{}"),
        (307, {}, b""),
        (200, {}, b"<html><p>This session has been expired (possibly due to multiple concurrent logins</p></html>"),
        (200, {}, b"This session has been expired (possibly due to multiple concurrent logins being attempted"),
        (200, {}, b'{"message":"This session has been expired (possibly due to multiple concurrent logins"}'),
        (401, {}, b"Your session has expired."),
    ],
)
@pytest.mark.parametrize("operation", [wire.CANCEL, wire.QUERY], ids=["cancel", "query"])
def test_a_dead_session_is_no_success(
    operation: Operation[Any, Any], status: int, headers: dict[str, str], body: bytes
) -> None:
    """Redirects and the sentence of an expired session are a lost session: nothing was carried out."""
    result = operation.parse(Response(status, headers, body))
    assert isinstance(result, SessionLost)
    assert (result.sent, result.status) == (False, status)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/html;charset=UTF-8"}, b"Log in"),
        ({}, b"\n  <!DOCTYPE html><html><body>Log in</body></html>"),
        ({"Content-Type": "application/json"}, b"<html></html>"),
    ],
)
@pytest.mark.parametrize("operation", [wire.CANCEL, wire.QUERY], ids=["cancel", "query"])
def test_a_page_under_a_200_is_a_lost_session_but_proves_nothing(
    operation: Operation[Any, Any], headers: dict[str, str], body: bytes
) -> None:
    """A proxy's page may have taken the place of a success: the cancel is in doubt, a read never is."""
    result = operation.parse(Response(200, headers, body))
    assert isinstance(result, SessionLost)
    assert (result.sent, result.status) == (operation is wire.CANCEL, 200)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_told_from_a_lost_session(status: int) -> None:
    """401 and 403 have several meanings: they never start a loop of logins."""
    result = wire.CANCEL.parse(Response(status, {"Content-Type": "text/html"}, b"<html>Forbidden</html>"))
    assert isinstance(result, AuthenticationFailed)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"error":"unknown"}'),
        (200, b'{"errorMessage":"unknown"}'),
        (200, b'{"success":false}'),
        (200, b'{"exception":{"a":1}}'),
        (202, b""),
        (201, b"{}"),
    ],
)
def test_a_2xx_with_a_hint_of_an_error_is_no_success(status: int, body: bytes) -> None:
    """What may be an error, and a 2xx nobody documents, prove nothing."""
    result = wire.CANCEL.parse(Response(status, {}, body))
    assert isinstance(result, UnreadableAnswer)
    assert result.sent is True


def test_a_404_means_that_the_url_is_wrong() -> None:
    """An unknown transaction is a 400: a 404 would meet every other transaction too."""
    result = wire.CANCEL.parse(Response(404, {}, b'{"message":"No such page here"}'))
    assert isinstance(result, NotFound)
    assert wire.CANCEL.hits_everyone(result) is True
    unknown = wire.CANCEL.parse(Response(404, {}, b'{"errorKey":"txnNotFound"}'))
    assert isinstance(unknown, BadRequest)
    assert wire.CANCEL.hits_everyone(unknown) is False


def test_only_already_finished_is_left_to_a_read() -> None:
    """Completed or abandoned: the refusal does not say, the form status does."""
    finished = wire.CANCEL.parse(Response(400, {}, b'{"errorKey":"txnAlreadyFinished"}'))
    unknown = wire.CANCEL.parse(Response(400, {}, b'{"errorKey":"txnNotFound"}'))
    assert isinstance(finished, OmedaAsyncError)
    assert isinstance(unknown, OmedaAsyncError)
    assert wire.CANCEL.unexplained(finished) is True
    assert wire.CANCEL.unexplained(unknown) is False
    assert wire.CANCEL.repeat_tells is False


def test_unset_attributes_are_left_out() -> None:
    """An attribute too many is a 400."""
    assert orjson.loads(wire.CANCEL.build(TransactionCancel("k")).body or b"") == {"params": {"submitKey": "k"}}


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (TransactionCancel(""), "submit_key"),
        (TransactionCancel("a\tb"), "submit_key"),
        (TransactionCancel(5.0), "submit_key"),  # type: ignore[arg-type] # what a caller may do
        (TransactionCancel("k", reason=5), "reason"),  # type: ignore[arg-type] # what a caller may do
        (TransactionCancel("k", milestones=["m"]), "milestones"),  # type: ignore[arg-type] # what a caller may do
    ],
)
def test_a_record_that_cannot_be_sent_is_refused(record: TransactionCancel, field: str) -> None:
    """The field at fault is named."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CANCEL.build(record)
    assert caught.value.field == field


def test_a_query_puts_values_in_parameters() -> None:
    """Never in the criteria string; under AND, so that the key lifts the provider's silent defaults."""
    query = TransactionQuery(
        submit_key="k'OR'1", form_status="Saved", attributes=iter(["submitKey"]), fetch_limit=5, fetch_offset=10
    )
    request = wire.QUERY.build(query)
    assert (request.method, request.path) == ("POST", "/secure/api/v1/txn/query")
    assert orjson.loads(request.body or b"") == {
        "fetchLimit": 5,
        "fetchOffset": 10,
        "attributes": ["submitKey"],
        "filters": [
            {
                "criteria": ["submitKey = {0}", "formStatus = {1}"],
                "params": ["k'OR'1", "Saved"],
                "operator": "AND",
            }
        ],
        "sorts": ["submitKey asc"],
    }
    assert orjson.loads(wire.QUERY.build(TransactionQuery()).body or b"") == {
        "fetchLimit": 1000,
        "fetchOffset": 0,
        "sorts": ["submitKey asc"],
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (TransactionQuery(fetch_limit=0), "fetch_limit"),
        (TransactionQuery(fetch_limit=10_001), "fetch_limit"),
        (TransactionQuery(fetch_limit=True), "fetch_limit"),
        (TransactionQuery(fetch_offset=-1), "fetch_offset"),
        (TransactionQuery(fetch_offset=2**31), "fetch_offset"),
        (TransactionQuery(fetch_offset=10**5000), "fetch_offset"),
        (TransactionQuery(attributes="submitKey"), "attributes"),
        (TransactionQuery(attributes=[""]), "attributes"),
        (TransactionQuery(submit_key=""), "submit_key"),
        (TransactionQuery(form_status=5), "form_status"),  # type: ignore[arg-type] # what a caller may do
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: TransactionQuery, field: str) -> None:
    """The field at fault is named."""
    with pytest.raises(InvalidRecord) as caught:
        wire.QUERY.build(query)
    assert caught.value.field == field


def test_a_page_of_transactions_is_read() -> None:
    """Known attributes have Python names, the rest is under ``raw``; a row's words are no error of ours."""
    rows = [{"submitKey": "k", "formStatus": "Saved", "trackingCode": "T", "note": "session has expired"}]
    result = wire.QUERY.parse(Response(200, {}, orjson.dumps({"fetchLimit": 5, "durationMs": 3, "result": rows})))
    assert isinstance(result, TransactionPage)
    (row,) = result.items
    assert (row.submit_key, row.form_status, row.tracking_code) == ("k", "Saved", "T")
    assert row.raw == rows[0]
    assert wire.QUERY.parse(Response(200, {}, b'{"result":[]}')) == TransactionPage()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"result":{}}', b'{"result":[5]}'])
def test_a_query_without_its_list_is_no_answer(body: bytes) -> None:
    """No rows is an answer; no list is none."""
    assert isinstance(wire.QUERY.parse(Response(200, {}, body)), UnreadableAnswer)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Abandoned", Verdict.DONE),
        ("Completed", Verdict.TOO_LATE),
        ("Opened", Verdict.NOT_DONE),
        ("Saved", Verdict.NOT_DONE),
        ("Submitted", Verdict.NOT_DONE),
        ("Expired", Verdict.NOT_DONE),
        ("Assigned", Verdict.NOT_DONE),
        ("WAITING_REVIEW", Verdict.NOT_DONE),
        ("ABANDONED", Verdict.DONE),
        ("Abandoning", Verdict.UNDECIDED),
        (None, Verdict.UNDECIDED),
    ],
)
def test_the_form_status_settles_a_cancel(status: str | None, verdict: Verdict) -> None:
    """Abandoned is done, completed is too late, everything else is not done."""
    settling = wire.CANCEL.verification
    assert settling is not None
    page = TransactionPage(items=(Transaction(submit_key="k", form_status=status),))
    assert settling.judge(TransactionCancel("k"), page) is verdict


def test_another_transaction_or_none_settles_nothing() -> None:
    """No row, another's row, two rows that differ, an error: undecided."""
    settling = wire.CANCEL.verification
    assert settling is not None
    record = TransactionCancel("k", "r")
    done, open_ = (Transaction(submit_key="k", form_status=status) for status in ("Abandoned", "Saved"))
    for items in ((), (Transaction(submit_key="x", form_status="Abandoned"),), (done, open_)):
        assert settling.judge(record, TransactionPage(items=items)) is Verdict.UNDECIDED
    assert settling.judge(record, NotFound("none")) is Verdict.UNDECIDED
    question = settling.question(record)
    assert (question.submit_key, question.form_status) == ("k", None)
    assert "formStatus" in question.attributes
    assert wire.CANCEL.settled is not None
    assert wire.CANCEL.settled(record, None) == TransactionReceipt(settled=True)
