"""A body of many megabytes costs no more than one of a few: what is done with it is bounded, not only its bytes."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from omeda_async._call import read_response
from omeda_async._operation import Operation, Response
from omeda_async.errors import AlreadyDone, ApiError, BadRequest, BatchRejected, OmedaAsyncError, cut_body
from omeda_async.providers import _responses
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionPage
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignPage
from omeda_async.providers.omeda import _operations as omeda

SIZE = 14 * 1024 * 1024
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


LONG = {
    "one text": b'{"title":"' + b"a@b.co x " * (SIZE // 9) + b'"}',
    "one message": b'{"Errors":[{"Error":"' + b"brand opt-out a@b.co " * (SIZE // 21) + b'"}]}',
    "one key": b'{"' + b"k" * SIZE + b'":1}',
    "no JSON": b"\xff" * SIZE,
    "a page": many(b"<p>", b"<html>", b""),
    "broken errors": many(b'Error": "x", ', b"{", b""),
}


@OPERATIONS
@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_long_texts_are_cut_before_they_are_searched(operation: Operation[Any, Any], body: bytes) -> None:
    """An error keeps little of them, and shows less."""
    error = read_response(operation, Response(400, {}, body), ("a-secret-1234",))
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
