"""What an error tells of the request and its response, and a receipt of the response: enough, and nothing secret."""

import asyncio
import copy
import json
import pickle
from typing import Any

import attrs
import orjson
import pytest

from omeda_async import (
    AnswerLost,
    BasicAuth,
    ClientOptOut,
    ConnectionFailed,
    InvalidRecord,
    JourneyManagerSettings,
    LimitWaitExceeded,
    NotFound,
    OcambaSettings,
    OmedaSettings,
    RateLimit,
    SessionManager,
    TransactionReceipt,
    UnreadableAnswer,
    Window,
)
from omeda_async._shown import shown_headers, shown_url
from tests.core.raw import says, serving
from tests.core.test_core_per_call import CLOSED, DONE, failing, ocamba

TOKEN = "top-secret-token"
HEADERS = {
    "Date": "Mon, 01 Jan 2029 10:00:00 GMT",
    "Retry-After": "7",
    "X-RateLimit-Remaining-1": "0",
    "RateLimit-Reset": "3",
    "X-Request-Id": "r-1",
    "Via": f"1.1 gateway {TOKEN}",
    "Set-Cookie": "JSESSIONID=abc",
    "Authorization": f"Bearer {TOKEN}",
    "X-Amzn-Trace-Id": "Root=jane.doe@omeda.com",
    "X-Other": "other",
}
SHOWN = {
    "date": "Mon, 01 Jan 2029 10:00:00 GMT",
    "retry-after": "7",
    "x-ratelimit-remaining-1": "0",
    "ratelimit-reset": "3",
    "x-request-id": "r-1",
    "via": "1.1 gateway ***",
    "x-amzn-trace-id": "R***@omeda.com",
}


def reply(status: int, value: Any = None, **headers: str) -> bytes:
    body = b"" if value is None else orjson.dumps(value)
    lines = {"Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return f"HTTP/1.1 {status} Some\r\n{head}\r\n".encode() + body


async def test_an_error_tells_method_url_and_the_headers_that_help() -> None:
    """Without the query, without what signs or is somebody's; it is the same after a pickle and a copy."""
    async with ocamba(says(reply(404, {"message": "no"}, **HEADERS)), token=TOKEN) as (manager, server):
        error = await failing(manager.ocamba.campaigns.cancel("1000248", reason="jane.doe@omeda.com"))
        listed = await failing(anext(manager.ocamba.campaigns.list(search="jane.doe@omeda.com")))
    assert isinstance(error, NotFound)
    assert (error.method, error.url) == ("POST", f"{server.url}/v1/hood/campaigns/1000248/cancel")
    assert (listed.method, listed.url) == ("GET", f"{server.url}/v1/hood/campaigns")
    assert dict(error.headers) == dict(listed.headers) == SHOWN
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):  # noqa: S301 our own
        assert (again.method, again.url, again.headers) == (error.method, error.url, error.headers)
    assert all("jane" not in text and TOKEN not in text for text in (repr(error), str(error), repr(vars(error))))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b?c=jane@x.com", "/a/b"),
        ("/cancel/id-1/jane.doe%40omeda.com/*", "/cancel/id-1/j***%40omeda.com/*"),
        ("/a@b/c@d?e", "/a***@b/c***@d"),
    ],
)
def test_an_address_in_a_path_is_masked_and_the_rest_is_not(path: str, shown: str) -> None:
    """A user in whose name something is done may be one."""
    assert shown_url("https://ows.omeda.com", path) == f"https://ows.omeda.com{shown}"


def test_headers_are_cut_and_cannot_control_a_terminal() -> None:
    """Whoever makes them long, or other than text."""
    found = shown_headers({"x-request-id": "x" * 5000, "VIA": "a\x1b[31mb", "Cookie": "secret"})
    assert found == {"x-request-id": "x" * 200, "via": "a\ufffd[31mb"}


async def test_errors_without_an_answer_tell_what_was_asked() -> None:
    """A connection that failed, an answer that was lost, a turn that came too late; nothing where nothing was made."""
    limit = RateLimit(Window(1, 60.0))
    async with SessionManager(ocamba=OcambaSettings(token="t", base_url=CLOSED, rate_limit=limit)) as manager:
        invalid = await failing(manager.ocamba.campaigns.cancel(""))
        failed = await failing(manager.ocamba.campaigns.cancel("1", deadline=0.5))
    async with ocamba(says(b"", close=True), rate_limit=limit) as (manager, server):
        lost = await failing(manager.ocamba.campaigns.get("1", deadline=5.0))
        late = await failing(manager.ocamba.campaigns.get("2", deadline=5.0))
    assert [type(one) for one in (invalid, failed, lost, late)] == [
        *(InvalidRecord, ConnectionFailed, AnswerLost, LimitWaitExceeded)
    ]
    assert (invalid.method, invalid.url) == (None, None)
    assert (failed.method, failed.url) == ("POST", f"{CLOSED}/v1/hood/campaigns/1/cancel")
    assert [(one.method, one.url) for one in (lost, late)] == [
        ("GET", f"{server.url}/v1/hood/campaigns/{number}") for number in "12"
    ]
    assert all(one.headers == {} for one in (invalid, failed, lost, late))


async def test_an_answer_that_names_something_else_tells_its_headers_too() -> None:
    """As any other that is none."""
    async with ocamba(says(reply(200, {"id": "2", "status": "running"}, Via="gateway"))) as (manager, _):
        error = await failing(manager.ocamba.campaigns.get("1", deadline=0.5))
    assert isinstance(error, UnreadableAnswer)
    assert error.headers == {"via": "gateway"}


QUEUED = {"SubmissionId": "S", "Success": "Your submission was successful"}


async def test_a_receipt_has_the_whole_response() -> None:
    """Unknown fields, too; it cannot be changed, and is written as JSON as it came."""
    given = {**QUEUED, "New": {"of": [1, None]}, "Echo": "top-secret-app-id"}
    async with serving(says(reply(200, given))) as server:
        settings = OmedaSettings(app_id="top-secret-app-id", client="foo", base_url=server.url)
        async with SessionManager(omeda=settings) as manager:
            receipt = await manager.omeda.opt_outs.submit(ClientOptOut("a@omeda.com"))
            outcomes = [one async for one in manager.omeda.opt_outs.submit_many([ClientOptOut("a@omeda.com")])]
    raw = receipt.raw
    assert raw == {**QUEUED, "New": {"of": [1, None]}, "Echo": "***"}
    assert outcomes[0].receipt is not None
    assert outcomes[0].receipt.raw == raw
    assert json.loads(json.dumps(raw)) == orjson.loads(orjson.dumps(raw)) == dict(raw)
    for again in (pickle.loads(pickle.dumps(receipt)), copy.deepcopy(receipt)):  # noqa: S301 our own
        assert (again, again.raw) == (receipt, raw)
        assert type(again.raw) is type(raw)
    assert "SubmissionId" not in repr(receipt)
    assert receipt == attrs.evolve(receipt, raw=None)


CHANGES = {
    "set": lambda raw: raw.__setitem__("a", 1),
    "delete": lambda raw: raw.__delitem__("SubmissionId"),
    "update": lambda raw: raw.update(a=1),
    "merge": lambda raw: raw.__ior__({"a": 1}),
    "pop": lambda raw: raw.pop("SubmissionId"),
    "popitem": lambda raw: raw.popitem(),
    "setdefault": lambda raw: raw.setdefault("a", 1),
    "clear": lambda raw: raw.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_was_answered_is_not_changed(change: Any) -> None:
    """It is evidence."""
    async with serving(says(reply(200, QUEUED))) as server:
        settings = OmedaSettings(app_id="a", client="foo", base_url=server.url)
        async with SessionManager(omeda=settings) as manager:
            receipt = await manager.omeda.opt_outs.submit(ClientOptOut("a@omeda.com"))
    with pytest.raises(TypeError, match="is not changed"):
        change(receipt.raw)
    assert receipt.raw == QUEUED


@pytest.mark.parametrize(
    ("answer", "raw"),
    [(reply(200), {}), (reply(200, {"success": True, "submitKey": "1"}), {"success": True, "submitKey": "1"})],
)
async def test_an_answer_without_a_body_is_empty_and_none_is_none(answer: bytes, raw: Any) -> None:
    """What was settled by a read has no answer of its own."""
    async with ocamba(says(DONE)) as (manager, _):
        assert (await manager.ocamba.campaigns.cancel("1")).raw == {}
    async with serving(says(answer)) as server:
        settings = JourneyManagerSettings(base_url=server.url, auth=BasicAuth("u", "password"))
        async with SessionManager(journey_manager=settings) as manager:
            assert (await manager.journey_manager.transactions.cancel("1")).raw == raw
    assert TransactionReceipt(settled=True).raw is None
    await asyncio.sleep(0)
