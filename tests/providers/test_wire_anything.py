"""No answer whatever makes ``parse`` raise, and only a 2xx is ever a success."""

from datetime import UTC, datetime
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from omeda_async._operation import Operation, Response
from omeda_async.errors import ApiError, InvalidRecord, OmedaAsyncError, UnreadableAnswer
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionCancel, TransactionQuery
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel, CampaignQuery
from omeda_async.providers.omeda import _operations as wire
from omeda_async.providers.omeda._requests import CreateDeployment, SearchDeployments, SubmitOptOuts, UpdateDeployment
from omeda_async.providers.omeda.models import (
    BrandOptOut,
    ClientOptOut,
    Deployment,
    DeploymentSearch,
    DeploymentTypeOptOut,
    DeploymentUpdate,
)
from tests.samples_loader import OPERATIONS, load_samples

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_OPERATIONS = [pytest.param(operation, id=name) for name, operation in OPERATIONS.items()]
_SAMPLES: list[bytes] = [sample.answer["body"].encode() for sample in load_samples("answer") if sample.answer]
_KEYS = st.sampled_from(
    [
        "Errors", "Error", "ResponseInfo", "TrackId", "Url", "SubmissionId", "Submission", "Success", "Warnings",
        "Deployments", "Status", "CreatedDate", "items", "id", "status", "total", "code", "title", "message",
        "trace_id", "result", "submitKey", "formStatus", "txnNotFound", "internalError", "errorLogId",
    ]
)  # fmt: skip
_TEXTS = st.sampled_from(
    [
        "", "0", "{}", "txnAlreadyFinished", "2026-01-01 00:00 CST", "9999-12-31 23:59", "\ud800",
        "Deployment 'x' has been previously cancelled.", "Deployment 'x' was sent on 2026-01-01.",
        "BrandOptOut submission (X): Email address a@b was not opted out.", "None of the OptOuts submitted",
        "Please see Error Log ID 5", "This session has been expired (possibly",
    ]
)  # fmt: skip
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text('ab@{}"<é ', max_size=8) | _TEXTS
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text("abE_é", max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    body: bytes
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        whole = draw(st.sampled_from(_SAMPLES))
        return whole[: draw(st.integers(0, len(whole)))]
    value = draw(_JSON)
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return repr(value).encode("utf-8", "replace")
    return body


_HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Retry-After", "Date", "Location"]),
    st.sampled_from(
        [
            "application/json", "text/html", "-1", "5", "nan", "1e999", "-7", "",
            "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 99 Oct 99999 07:28:00 GMT",
        ]
    )
    | st.text("12-: a", max_size=10),
)  # fmt: skip


# The first examples pay for imports; on a busy machine that is no sign of ill health.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("operation", _OPERATIONS)
@given(
    status=st.integers(-1, 1000) | st.sampled_from([200, 204, 302, 400, 403, 404, 500]),
    headers=_HEADERS,
    body=_bodies(),
)
def test_gives_a_receipt_only_for_a_2xx_and_else_an_error_of_ours(
    operation: Operation[Any, Any], status: int, headers: dict[str, str], body: bytes
) -> None:
    """Whatever comes, a receipt is of a 2xx, and everything else is an error that keeps the status and the body."""
    result = operation.parse(Response(status, headers, body))
    if not isinstance(result, OmedaAsyncError):
        assert 200 <= status <= 299
        return
    assert isinstance(result, ApiError | UnreadableAnswer)
    assert result.status == status
    assert len(result.body) <= 200


_JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text("a@b.\n\ud800/ ", max_size=5)
    | st.binary(max_size=3)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.lists(st.integers() | st.text("ab", max_size=2) | st.lists(st.none()), max_size=3)
    | st.dictionaries(st.text("ab"), st.none(), max_size=2)
)
_RECORDS = [
    (wire.CREATE, Deployment, lambda one: CreateDeployment(brand="F", deployment=one, now=_NOW)),
    (
        wire.UPDATE,
        DeploymentUpdate,
        lambda one: UpdateDeployment(brand="F", track_id="F", update=one, now=_NOW),
    ),
    (wire.SEARCH, DeploymentSearch, lambda one: SearchDeployments(brand="F", search=one)),
    (wire.SUBMIT_OPT_OUTS, ClientOptOut, lambda one: SubmitOptOuts(client="F", opt_outs=[one])),
    (wire.SUBMIT_OPT_OUTS, BrandOptOut, lambda one: SubmitOptOuts(client="F", opt_outs=[one])),
    (wire.SUBMIT_OPT_OUTS, DeploymentTypeOptOut, lambda one: SubmitOptOuts(client="F", opt_outs=[one])),
    (ocamba.CANCEL, CampaignCancel, lambda one: one),
    (ocamba.LIST, CampaignQuery, lambda one: one),
    (journey_manager.CANCEL, TransactionCancel, lambda one: one),
    (journey_manager.QUERY, TransactionQuery, lambda one: one),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize(("operation", "model", "make"), _RECORDS, ids=[model.__name__ for _, model, _ in _RECORDS])
@given(data=st.data())
def test_a_model_of_anything_is_made_and_then_sent_or_refused(
    operation: Operation[Any, Any], model: type[Any], make: Any, data: st.DataObject
) -> None:
    """Making a model never fails; building its request gives JSON that can be read, or names what is wrong."""
    fields = {field.name: data.draw(_JUNK, field.name) for field in attrs.fields(model)}
    record = model(**fields)
    try:
        request = operation.build(make(record))
    except InvalidRecord as refusal:
        assert refusal.reason  # noqa: PT017 either way is right
    else:
        assert request.body is None or isinstance(orjson.loads(request.body), dict)


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("body", [b"[" * 1000 + b"]" * 1000, b'{"Errors":' * 900 + b"1" + b"}" * 900, b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_takes_deep_and_broken_bodies(operation: Operation[Any, Any], body: bytes, status: int) -> None:
    """Nesting as deep as JSON readers allow, and bytes that are no UTF-8, end in an error of ours or a receipt."""
    result = operation.parse(Response(status, {}, body))
    assert isinstance(result, OmedaAsyncError) or status == 200


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("status", [100, 101, 199, 300, 304, 399, 600, 999, 0, -1])
def test_a_status_that_is_neither_success_nor_refusal_is_no_answer(operation: Operation[Any, Any], status: int) -> None:
    """Outside of 2xx, 4xx and 5xx nothing is read as a success or as a refusal."""
    result = operation.parse(Response(status, {}, b'{"ResponseInfo":[{"TrackId":"F"}],"Success":"yes"}'))
    lost = operation.provider == "journey_manager" and 300 <= status <= 399
    assert type(result).__name__ == ("SessionLost" if lost else "UnreadableAnswer")


_TELLING = (401, 402, 403, 405, 407, 421, 423, 424, 425, 426, 429, 431, 449, 451)
"""The 4xx that mean the same whoever says so."""
_KINDS = {
    400: "BadRequest",
    401: "AuthenticationFailed",
    403: "AuthenticationFailed",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    429: "RateLimited",
}


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("status", [*_TELLING, 400, 404, 406, 408, 409, 410, 413, 422, 499, 500, 502, 503, 504, 599])
def test_a_refusal_without_known_words_goes_by_its_status(operation: Operation[Any, Any], status: int) -> None:
    """An error status keeps its class and what it says of the effect, whatever the body; the body is kept."""
    kind = "ServerError" if status >= 500 else _KINDS.get(status, "ApiError")
    for body in (b"", b"not now", b'{"cut": "jso', b"[]", b"null", b"{}"):
        result = operation.parse(Response(status, {"Content-Type": "text/plain"}, body))
        assert isinstance(result, ApiError)
        assert (type(result).__name__, result.sent, result.status) == (
            kind,
            status >= 500 or status in {408, 499},
            status,
        )
        assert result.body == body.decode()
        assert str(status) in str(result)


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("status", [*_TELLING, 400, 404, 406, 408, 409, 410, 413, 422, 499, 500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"<html>Gateway</html>"),
        ("text/html; charset=utf-8", b"Gateway"),
        ("", b" <?xml version='1.0'?><a/>"),
    ],
)
def test_a_page_under_a_4xx_is_nobodys_word_on_the_record(
    operation: Operation[Any, Any], status: int, content_type: str, body: bytes
) -> None:
    """It may have come in the place of an answer; only what a gateway may say as well as the provider is certain."""
    result = operation.parse(Response(status, {"Content-Type": content_type}, body))
    assert isinstance(result, ApiError)
    kind = "ServerError" if status >= 500 else _KINDS.get(status, "ApiError")
    certain = status in _TELLING or (status == 413 and operation.name == "opt_outs.submit")
    assert (type(result).__name__, result.sent, result.status) == (kind, not certain, status)


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_json_is_the_providers_word_whatever_it_is_called(operation: Operation[Any, Any], status: int) -> None:
    """A provider that calls its JSON a page has refused the record all the same."""
    result = operation.parse(Response(status, {"Content-Type": "text/html"}, b'{"Error": "It is locked.", "code": 1}'))
    assert isinstance(result, ApiError)
    assert not result.sent


@pytest.mark.parametrize("status", [400, 408, 409, 423, 500, 502])
@pytest.mark.parametrize(
    ("key", "sent"), [("txnAlreadyFinished", False), ("txnNotFound", False), ("internalError", True)]
)
def test_a_key_of_journey_managers_is_its_own_word_whatever_the_status(status: int, key: str, sent: bool) -> None:
    """Only an internal error leaves open what was carried out."""
    result = journey_manager.CANCEL.parse(Response(status, {}, orjson.dumps({"errorKey": key})))
    assert isinstance(result, ApiError)
    assert (result.code, result.sent) == (key, sent)


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>x</html>", b'{"ResponseInfo":[{"Tra', b"OK", b'"OK"', b"7"])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_2xx_that_cannot_be_read_is_no_success(operation: Operation[Any, Any], status: int, body: bytes) -> None:
    """HTML, cut JSON and stray words under a 2xx prove nothing: the request may have been carried out."""
    result = operation.parse(Response(status, {"Content-Type": "application/json"}, body))
    lost = operation.provider == "journey_manager" and body.startswith(b"<")
    assert type(result).__name__ == ("SessionLost" if lost else "UnreadableAnswer")
    assert isinstance(result, OmedaAsyncError)
    assert result.sent is not (lost and operation.name == "transactions.query")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "-1"}, -1.0),
        ({"Retry-After": "-2"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:27:00 GMT"}, 60.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "yesterday"}, None),
    ],
)
@pytest.mark.parametrize("operation", _OPERATIONS)
def test_keeps_how_long_it_was_asked_to_wait(
    operation: Operation[Any, Any], headers: dict[str, str], expected: float | None
) -> None:
    """Seconds, a date beside the answer's own date, and -1 are kept; what makes no sense is None."""
    result = operation.parse(Response(429, headers, b""))
    assert isinstance(result, ApiError)
    assert result.retry_after == expected
