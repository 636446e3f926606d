"""Ocamba's requests and answers."""

from datetime import UTC, datetime

import orjson
import pytest

from omeda_async._operation import Response, Verdict
from omeda_async.errors import (
    ApiError,
    BadRequest,
    Conflict,
    InvalidRecord,
    NotFound,
    ServerError,
    UnreadableAnswer,
)
from omeda_async.providers.ocamba import _operations as wire
from omeda_async.providers.ocamba.models import (
    Campaign,
    CampaignCancel,
    CampaignPage,
    CampaignQuery,
    CampaignReceipt,
)


def test_a_cancel_without_a_reason_sends_an_empty_object() -> None:
    """The body is a JSON object always."""
    assert wire.CANCEL.build(CampaignCancel("1")).body == b"{}"


@pytest.mark.parametrize(
    ("campaign_id", "segment"), [("a/b", "a%2Fb"), ("ü?#", "%C3%BC%3F%23"), ("a%2F", "a%252F"), ("..a", "..a")]
)
def test_an_id_is_one_segment_of_the_path(campaign_id: str, segment: str) -> None:
    """Whatever an id holds, it stays one percent-encoded segment."""
    request = wire.CANCEL.build(CampaignCancel(campaign_id))
    assert request.path == f"/v1/hood/campaigns/{segment}/cancel"
    assert wire.GET.build(wire.GetCampaign(campaign_id=campaign_id)).path == f"/v1/hood/campaigns/{segment}"


@pytest.mark.parametrize("campaign_id", ["", "  ", ".", "..", "1\n2", "\x00", "\ud800", 5.0, None, True, b"1"])
def test_an_id_that_fits_no_path_is_refused(campaign_id: object) -> None:
    """Empty ids, directions, control characters and other types never leave."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CANCEL.build(CampaignCancel(campaign_id))  # type: ignore[arg-type] # what a caller may do
    assert caught.value.field == "campaign_id"
    assert caught.value.reason


@pytest.mark.parametrize("reason", [5, b"x", "\udfff"])
def test_a_reason_that_is_no_text_is_refused(reason: object) -> None:
    """A reason is a text that JSON can hold."""
    with pytest.raises(InvalidRecord) as caught:
        wire.CANCEL.build(CampaignCancel("1", reason))  # type: ignore[arg-type] # what a caller may do
    assert caught.value.field == "reason"


@pytest.mark.parametrize("body", [b"", b"not parsed", b"<html>"])
def test_a_204_is_a_success_whatever_comes_with_it(body: bytes) -> None:
    """A 204 says JSON in its content type and has no body: nothing is parsed."""
    assert wire.CANCEL.parse(Response(204, {"Content-Type": "application/json"}, body)) == CampaignReceipt()


@pytest.mark.parametrize("status", [200, 201, 202, 206])
def test_another_2xx_is_not_the_documented_success(status: int) -> None:
    """Only a 204 says that a campaign is cancelled."""
    result = wire.CANCEL.parse(Response(status, {}, b'{"code":200}'))
    assert isinstance(result, UnreadableAnswer)
    assert result.sent is True


@pytest.mark.parametrize(
    ("trace_id", "expected"), [("{}", None), ("", None), (None, None), ("99a8", "99a8"), (7, "7"), ([], None)]
)
def test_a_trace_id_that_says_nothing_is_none(trace_id: object, expected: str | None) -> None:
    """Other APIs of the vendor send the literal ``{}`` for none."""
    result = wire.CANCEL.parse(Response(400, {}, orjson.dumps({"title": "T", "trace_id": trace_id})))
    assert isinstance(result, ApiError)
    assert result.trace_id == expected


def test_a_500_without_a_message_tells_its_title() -> None:
    """The documented 500 has no message."""
    result = wire.CANCEL.parse(Response(500, {}, b'{"code":500,"title":"Internal server error."}'))
    assert isinstance(result, ServerError)
    assert (result.message, result.messages, result.sent) == (
        "Internal server error.",
        ("Internal server error.",),
        True,
    )


@pytest.mark.parametrize("text", ["has been previously canceled", "campaign was sent", "session has expired"])
def test_no_text_of_ocamba_is_matched(text: str) -> None:
    """Its texts differ between versions: they are kept, and decide nothing."""
    result = wire.CANCEL.parse(Response(400, {}, orjson.dumps({"code": 400, "title": text, "message": text})))
    assert type(result) is BadRequest


def test_a_refusal_that_says_nothing_is_left_to_a_read() -> None:
    """A repeat is a plain 400: only a read of the campaign explains it."""
    assert wire.CANCEL.unexplained(BadRequest("x")) is True
    assert wire.CANCEL.unexplained(Conflict("x")) is True
    assert wire.CANCEL.unexplained(NotFound("x")) is False
    assert wire.CANCEL.idempotent is True
    assert wire.CANCEL.repeat_tells is False


@pytest.mark.parametrize(
    "body",
    [
        b'{"total":1,"items":[{"id":"7","name":"N","status":"running","create_time":"2026-01-02 03:04:05"}]}',
        b'{"total":1,"items":[{"id":7,"name":"N","status":"running","create_time":"2026-01-02T03:04:05Z","x":{}}]}',
        b'{"id":"7","name":"N","status":"running","create_time":"2026-01-02 03:04:05"}',
    ],
)
def test_a_campaign_is_read_with_or_without_its_envelope(body: bytes) -> None:
    """One item in the envelope, ids as strings or numbers, times in GMT."""
    result = wire.GET.parse(Response(200, {}, body))
    assert isinstance(result, Campaign)
    assert (result.id, result.name, result.status) == ("7", "N", "running")
    assert result.create_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"items":[]}', b'{"items":[{"id":"1"},{"id":"2"}]}', b'{"items":[{"name":"x"}]}', b"[1]"]
)
def test_an_answer_that_shows_no_single_campaign_is_none(body: bytes) -> None:
    """What does not show exactly one campaign with its id settles nothing."""
    assert isinstance(wire.GET.parse(Response(200, {}, body)), UnreadableAnswer)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("canceled", Verdict.DONE),
        ("Cancelled", Verdict.DONE),
        ("sent", Verdict.TOO_LATE),
        ("running", Verdict.NOT_DONE),
        ("scheduled", Verdict.NOT_DONE),
        ("paused", Verdict.NOT_DONE),
        ("draft", Verdict.NOT_DONE),
        ("manual", Verdict.NOT_DONE),
        ("needs_decision", Verdict.NOT_DONE),
        ("canceling", Verdict.UNDECIDED),
        ("cancel_requested", Verdict.UNDECIDED),
        (None, Verdict.UNDECIDED),
    ],
)
def test_the_status_of_the_campaign_settles_a_cancel(status: str | None, verdict: Verdict) -> None:
    """Canceled is done, sent is too late, everything else is not done."""
    settling = wire.CANCEL.verification
    assert settling is not None
    assert settling.judge(CampaignCancel("7"), Campaign(id="7", status=status)) is verdict


def test_another_campaign_or_none_settles_nothing() -> None:
    """Only the campaign itself can tell."""
    settling = wire.CANCEL.verification
    assert settling is not None
    assert settling.question(CampaignCancel("7", "r")) == wire.GetCampaign(campaign_id="7")
    assert settling.judge(CampaignCancel("7"), Campaign(id="8", status="canceled")) is Verdict.UNDECIDED
    assert settling.judge(CampaignCancel("7"), NotFound("none")) is Verdict.UNDECIDED
    assert wire.CANCEL.settled is not None
    assert wire.CANCEL.settled(CampaignCancel("7"), None) == CampaignReceipt(settled=True)


def test_a_list_is_asked_for_page_by_page_in_a_steady_order() -> None:
    """The status filter, the order and the page are in the query, escaped."""
    query = CampaignQuery(statuses=iter(("running", "scheduled", "paused")), search="a&b=c", page=3, page_size=25)
    assert wire.LIST.build(query).path == (
        "/v1/hood/campaigns?page=3,25&sort=create_time&status=in:running,scheduled,paused&q=a%26b%3Dc"
    )
    assert wire.LIST.build(CampaignQuery()).path == "/v1/hood/campaigns?page=1,50&sort=create_time"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (CampaignQuery(page=0), "page"),
        (CampaignQuery(page=10**5000), "page"),
        (CampaignQuery(page_size=True), "page_size"),
        (CampaignQuery(statuses="running"), "statuses"),
        (CampaignQuery(statuses=["running", ""]), "statuses"),
        (CampaignQuery(sort=""), "sort"),
        (CampaignQuery(search=5), "search"),  # type: ignore[arg-type] # what a caller may do
    ],
)
def test_a_list_query_that_makes_no_sense_is_refused(query: CampaignQuery, field: str) -> None:
    """The field at fault is named."""
    with pytest.raises(InvalidRecord) as caught:
        wire.LIST.build(query)
    assert caught.value.field == field


def test_a_page_of_campaigns_is_read() -> None:
    """The items in order, and the total where it is a number."""
    result = wire.LIST.parse(Response(200, {}, b'{"total":12,"items":[{"id":"1","status":"paused"},{"id":2}]}'))
    assert isinstance(result, CampaignPage)
    assert ([one.id for one in result.items], result.total) == (["1", "2"], 12)
    assert wire.LIST.parse(Response(200, {}, b'{"items":[]}')) == CampaignPage()


@pytest.mark.parametrize("body", [b"{}", b'{"items":{}}', b'{"items":[{"id":"1"},{}]}', b"[]", b""])
def test_a_list_without_its_campaigns_is_no_answer(body: bytes) -> None:
    """A row without an id would be lost silently: the page is refused."""
    assert isinstance(wire.LIST.parse(Response(200, {}, body)), UnreadableAnswer)


def test_the_callers_key_is_no_part_of_a_record() -> None:
    """Two records that would send the same are equal, whatever the caller calls them."""
    assert CampaignCancel("7", key="a") == CampaignCancel("7", key="b")
    assert len({CampaignCancel("7", key="a"), CampaignCancel("7", key="b")}) == 1
