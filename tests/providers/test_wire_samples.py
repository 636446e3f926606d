"""The examples of the providers' documents, one by one."""

from typing import Any

import attrs
import orjson
import pytest

from omeda_async import errors
from omeda_async._operation import Response
from tests.samples_loader import OPERATIONS, Sample, load_samples


def _named(samples: list[Sample]) -> list[Any]:
    return [pytest.param(sample, id=sample.name) for sample in samples]


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("sample", _named(load_samples("request")))
def test_builds_the_documented_request(sample: Sample) -> None:
    """Method, path, headers and JSON are those of the document's example."""
    assert sample.request is not None
    request = sample.operation.build(sample.params)
    assert (request.method, request.path) == (sample.request["method"], sample.request["path"])
    assert dict(request.headers) == sample.request["headers"]
    # Compared as text: Python takes true for 1, and the provider does not.
    assert _canonical(orjson.loads(request.body or b"")) == _canonical(sample.request["json"])


@pytest.mark.parametrize("sample", _named(load_samples("answer")))
def test_reads_the_documented_answer(sample: Sample) -> None:
    """The document's example of an answer gives the receipt or the error it stands for."""
    assert sample.answer is not None
    assert sample.expect is not None
    answer = sample.answer
    result = sample.operation.parse(Response(answer["status"], answer["headers"], answer["body"].encode()))
    if "receipt" in sample.expect:
        told = orjson.loads(orjson.dumps(attrs.asdict(result)))
        assert told.pop("raw") == (orjson.loads(answer["body"]) if answer["body"] else {})
        assert told == sample.expect["receipt"]
    else:
        _assert_error(result, sample)


def _assert_error(result: object, sample: Sample) -> None:
    assert sample.answer is not None
    expected = dict(sample.expect or {})
    assert type(result) is getattr(errors, expected.pop("error"))
    assert isinstance(result, errors.ApiError)
    assert result.status == sample.answer["status"]
    culprits = expected.pop("culprits", None)
    for name, value in expected.items():
        found = getattr(result, name)
        assert (list(found) if isinstance(found, tuple) else found) == value
    if culprits is not None:
        assert isinstance(result, errors.BatchRejected)
        assert [[one.level, one.id, one.email_address] for one in result.culprits] == culprits


def test_every_document_has_its_examples() -> None:
    """Each of the five documents is there with a request and an answer."""
    wanted = {
        "Omeda: Email Deployment Cancel",
        "Omeda: Email Deployment",
        "Omeda: Email Optout Queue",
        "Ocamba: Cancel a Campaign",
        "Journey Manager: POST Cancel Txn",
    }
    assert {sample.source for sample in load_samples("request")} == wanted
    assert {sample.source for sample in load_samples("answer")} == wanted


def test_every_operation_is_known_by_the_name_users_call_it() -> None:
    """The operations are those of the public API."""
    assert sorted(OPERATIONS) == [
        "journey_manager transactions.cancel",
        "journey_manager transactions.query",
        "ocamba campaigns.cancel",
        "ocamba campaigns.get",
        "ocamba campaigns.list",
        "omeda deployments.cancel",
        "omeda deployments.clone",
        "omeda deployments.create",
        "omeda deployments.lookup",
        "omeda deployments.search",
        "omeda deployments.update",
        "omeda opt_outs.submit",
    ]
