"""A body of many megabytes costs no more than one of a few: what is done with it is bounded, not only its bytes."""

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from omeda_async._call import read_response
from omeda_async._operation import Operation, Response
from omeda_async.errors import (
    AlreadyDone,
    ApiError,
    AuthenticationFailed,
    BadRequest,
    BatchRejected,
    OmedaAsyncError,
    RateLimited,
    ServerError,
    UnreadableAnswer,
    cut_body,
)
from omeda_async.providers import _responses
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionPage
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignPage
from omeda_async.providers.omeda import _operations as omeda

SIZE = 14 * 1024 * 1024
STATUSES = (401, 429, 503)
"""Those that decide whatever a body says."""
MOST_SECONDS = 2.0
"""Of a processor: ten times and more what 14 MB take, and far less than what holds everything up."""
OPERATIONS = pytest.mark.parametrize(
    "operation",
    [omeda.CANCEL, omeda.SUBMIT_OPT_OUTS, omeda.LOOKUP, omeda.SEARCH, ocamba.CANCEL, ocamba.GET, ocamba.LIST,
     journey_manager.CANCEL, journey_manager.QUERY],
    ids=lambda one: one.name,
)  # fmt: skip


def many(part: bytes, before: bytes = b"[", after: bytes = b"0]") -> bytes:
    """A body of some 14 MB of the same part."""
    return before + part * ((SIZE - len(before) - len(after)) // len(part)) + after


CROWDED = {
    "lists": many(b"[],"),
    "objects": many(b"{},"),
    "numbers": many(b"1,"),
    "texts": many(b'"",'),
    "errors": many(b'{"Error":"x"},', b'{"Errors":[', b"{}]}"),
    "rows": many(b"{},", b'{"result":[', b"{}]}"),
    "items": many(b'{"id":"7"},', b'{"items":[', b'{"id":"7"}]}'),
    "deployments": many(b"{},", b'{"Deployments":[', b"{}]}"),
    "properties": b"{" + b",".join(b'"k%d":1' % n for n in range(1_100_000)) + b"}",
    "deep": many(b"[", b"", b""),
}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the bodies are that are read as JSON."""
    sizes: list[int] = []
    loads: Callable[[bytes], Any] = orjson.loads

    class Counting:
        JSONDecodeError = orjson.JSONDecodeError

        @staticmethod
        def loads(body: bytes) -> Any:
            sizes.append(len(body))
            return loads(body)

    monkeypatch.setattr(_responses, "orjson", Counting)
    return sizes


FEW = pytest.mark.parametrize("operation", [omeda.SUBMIT_OPT_OUTS, journey_manager.CANCEL], ids=lambda one: one.name)


@OPERATIONS
@pytest.mark.parametrize("body", CROWDED.values(), ids=CROWDED)
@pytest.mark.parametrize("status", [200, 400])
def test_json_of_too_many_values_is_not_read(
    operation: Operation[Any, Any], body: bytes, status: int, loaded: list[int]
) -> None:
    """It is no answer; of a refusal the status counts."""
    result = operation.parse(Response(status, {}, body))
    assert isinstance(result, OmedaAsyncError)
    assert sum(loaded) <= 100_000
    assert isinstance(result, ApiError) is (status == 400)


@FEW
@pytest.mark.parametrize("body", CROWDED.values(), ids=CROWDED)
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_decides_whatever_crowds_its_body(
    operation: Operation[Any, Any], body: bytes, status: int, loaded: list[int]
) -> None:
    """Credentials stop a run, a 429 holds it, and a 5xx is a 5xx: none of them is a matter of what can be read."""
    result = operation.parse(Response(status, {}, body))
    assert isinstance(result, ApiError)
    assert (result.status, type(result)) == (status, BY_STATUS[status])
    assert sum(loaded) <= 100_000


BY_STATUS = {401: AuthenticationFailed, 429: RateLimited, 503: ServerError}
LONG = {
    "one text": b'{"title":"' + b"a@b.co x " * (SIZE // 9) + b'"}',
    "one message": b'{"Errors":[{"Error":"' + b"brand opt-out a@b.co " * (SIZE // 21) + b'"}]}',
    "one key": b'{"' + b"k" * SIZE + b'":1}',
    "no JSON": b"\xff" * SIZE,
    "a page": many(b"<p>", b"<html>", b""),
    "broken errors": many(b'Error": "x", ', b"{", b""),
    "signs": b'{"Errors":[{"Error":"' + b"&#64;" * (SIZE // 5) + b'"}]}',
    "secrets": b'{"message":"' + b"a-secret-1234 " * (SIZE // 14) + b'"}',
}


def read(operation: Operation[Any, Any], status: int, body: bytes) -> Any:
    """Read a response with a secret that it may hold; that takes little of a processor."""
    begun = time.thread_time()
    result = read_response(operation, Response(status, {}, body), ("a-secret-1234",))
    text = str(result) if isinstance(result, OmedaAsyncError) else ""
    assert time.thread_time() - begun < MOST_SECONDS
    assert "a-secret-1234" not in text
    return result


@FEW
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_decides_however_long_its_body(operation: Operation[Any, Any], status: int, body: bytes) -> None:
    """It is read as soon, and as little of it is kept."""
    error = read(operation, status, body)
    assert (error.status, type(error)) == (status, BY_STATUS[status])
    assert (len(error.body) <= 200, len(str(error)) <= 1100) == (True, True)
    assert sum(map(len, error.messages)) <= 1_000_000


@OPERATIONS
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_a_long_success_is_read_as_soon(operation: Operation[Any, Any], body: bytes) -> None:
    """As a receipt, or as what proves nothing; an error shows little of it."""
    result = read(operation, 200, body)
    if isinstance(result, ApiError | UnreadableAnswer):
        assert (len(result.body) <= 200, len(str(result)) <= 1100) == (True, True)


@OPERATIONS
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_long_texts_are_cut_before_they_are_searched(operation: Operation[Any, Any], body: bytes) -> None:
    """An error keeps little of them, and shows less."""
    error = read(operation, 400, body)
    assert isinstance(error, ApiError)
    assert len(error.body) <= 200
    assert len(str(error)) <= 1100
    assert sum(map(len, error.messages)) <= 1_000_000


def test_the_body_of_an_error_is_decoded_no_further_than_it_is_shown() -> None:
    """Characters of several bytes are whole, and addresses masked, up to the cut."""
    assert cut_body("é".encode() * SIZE) == "é" * 200
    assert cut_body("\U0001f600".encode() * SIZE) == "\U0001f600" * 200
    assert cut_body(b"x" * 190 + b" someone@example.com") == "x" * 190 + " s***@exam"


def test_a_whole_page_is_read() -> None:
    """As many rows, with as many attributes, as may be asked for."""
    row = {f"attribute{n}": "some text, and more" for n in range(30)} | {"submitKey": "k", "id": "7"}
    rows = [row] * 10_000
    found = journey_manager.QUERY.parse(Response(200, {}, orjson.dumps({"result": rows})))
    assert isinstance(found, TransactionPage)
    assert len(found.items) == 10_000
    assert not isinstance(
        journey_manager.QUERY.parse(Response(200, {}, orjson.dumps({"result": [{}] * 10_001}))), TransactionPage
    )
    page = ocamba.LIST.parse(Response(200, {}, orjson.dumps({"items": rows})))
    assert isinstance(page, CampaignPage)
    assert len(page.items) == 10_000


def test_a_refusal_of_a_large_batch_is_read() -> None:
    """One message for each of thousands of records."""
    errors = [{"Error": f"Brand opt-out (XXG), someone{n}@example.com, is not valid."} for n in range(5_000)]
    error = omeda.SUBMIT_OPT_OUTS.parse(Response(400, {}, orjson.dumps({"Errors": errors})))
    assert isinstance(error, ApiError)
    assert len(error.messages) == 5_000


def test_the_meaning_of_a_refusal_is_looked_for_in_its_first_messages() -> None:
    """Sentences made to be searched for long are searched some hundred times at most; whom they name is read in all."""
    slow = [{"Error": f"Deployment {'already ' * 120}{n}"} for n in range(14_000)]
    errors = [{"Error": "Deployment 'FOO1' has been previously cancelled."}, *slow]
    error = omeda.CANCEL.parse(Response(400, {}, orjson.dumps({"Errors": errors})))
    assert isinstance(error, AlreadyDone)
    late = omeda.CANCEL.parse(Response(400, {}, orjson.dumps({"Errors": [*slow, *errors[:1]]})))
    assert type(late) is BadRequest
    named = [{"Error": f"Brand opt-out (XXG), someone{n}@example.com, is not valid."} for n in range(1_000)]
    batch = omeda.SUBMIT_OPT_OUTS.parse(Response(400, {}, orjson.dumps({"Errors": named})))
    assert isinstance(batch, BatchRejected)
    assert len(batch.culprits) == 1_000
