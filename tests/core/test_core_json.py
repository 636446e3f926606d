"""Outcomes, reports and plans as plain JSON, and as a notebook shows them."""

import json
import math
import pickle
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import orjson
import pytest

from omeda_async import (
    BatchRejected,
    BrandOptOut,
    BulkReport,
    ClientOptOut,
    Culprit,
    InvalidRecord,
    OptOutReceipt,
    Outcome,
    OutcomeStatus,
    Plan,
    SessionManager,
)
from omeda_async._plain import plain
from omeda_async._row import Row
from omeda_async.sandbox import Sandbox
from tests.bulk.sandboxed import manager_on

ADDRESS = "reader@example.com"
MASKED = "r***@example.com"


def _refused() -> Outcome[BrandOptOut, OptOutReceipt]:
    error = BatchRejected(
        f"{ADDRESS} was refused",
        provider="omeda",
        operation="opt_outs.submit",
        attempts=1,
        status=400,
        messages=[f"{ADDRESS}: no"],
        culprits=[Culprit("BrandOptOut", "XXG", ADDRESS, f"{ADDRESS}: no")],
    )
    record = BrandOptOut(ADDRESS, brand_ids=["XXG"], key=ADDRESS)
    return Outcome(record, key=ADDRESS, position=3, status=OutcomeStatus.REJECTED, attempts=1, error=error)


def _done() -> Outcome[ClientOptOut, OptOutReceipt]:
    receipt = OptOutReceipt("S", message=f"{ADDRESS} is out")
    return Outcome(ClientOptOut(ADDRESS), None, 0, OutcomeStatus.DONE, 1, receipt)


def _report(*failures: Outcome) -> BulkReport:
    counts = {OutcomeStatus.DONE: 1200, OutcomeStatus.REJECTED: len(failures)}
    return BulkReport(total=1201, counts=counts, requests=3, duration=0.5, failures=failures, complete=True)


def _plan(*refused: Outcome) -> Plan:
    return Plan(
        records=5, requests=1, seconds=0.1, duplicates=0, refused=refused, refused_total=40, isolation_requests=8
    )


def test_an_outcome_is_plain_json() -> None:
    """Every field, the receipt's and the error's too; json and orjson write the same."""
    done = _done().to_dict()
    assert done == {
        "record": {"email_address": MASKED, "source": None, "key": None},
        "key": None,
        "position": 0,
        "status": "done",
        "attempts": 1,
        "receipt": {"submission_id": "S", "message": f"{MASKED} is out", "warnings": [], "settled": False, "raw": None},
        "error": None,
    }
    error = _refused().to_dict()["error"]
    assert (error["type"], error["status"], error["provider"], error["sent"]) == ("BatchRejected", 400, "omeda", False)
    assert error["culprits"][0]["email_address"] == MASKED
    assert json.loads(json.dumps(done)) == orjson.loads(orjson.dumps(done)) == done


def test_no_address_is_in_it_unless_somebody_insists() -> None:
    """Not in the record, the key, the receipt or the provider's own words; then all of them as they are."""
    for thing in (_refused(), _done(), _report(_refused()), _plan(_refused())):
        assert ADDRESS not in json.dumps(thing.to_dict())
        assert MASKED in json.dumps(thing.to_dict())
    whole = _refused().to_dict(mask=False)
    assert (whole["record"]["email_address"], whole["key"]) == (ADDRESS, ADDRESS)
    assert whole["error"]["messages"] == [f"{ADDRESS}: no"]
    assert _report(_refused()).to_dict(mask=False)["failures"] == [whole]


def test_a_report_and_a_plan_are_plain_json() -> None:
    """Counts by the statuses' words, and the outcomes in full."""
    report = _report(_refused())
    assert report.to_dict() == {
        "total": 1201,
        "counts": {"done": 1200, "rejected": 1},
        "requests": 3,
        "duration": 0.5,
        "failures": [_refused().to_dict()],
        "complete": True,
        "stopped_by": None,
    }
    stopped = attrs.evolve(report, stopped_by=InvalidRecord.of("key", f"is {ADDRESS}"))
    assert stopped.to_dict()["stopped_by"]["message"] == f"key: is {MASKED}"
    assert f"<th>stopped by</th><td>key: is {MASKED}</td>" in stopped._repr_html_()
    assert _plan(_refused()).to_dict()["refused"] == [_refused().to_dict()]


def test_encoders_that_ask_for_a_dictionary_get_it() -> None:
    """FastAPI's calls ``dict()``; json and orjson call ``default``."""
    for thing in (_refused(), _report(_refused()), _plan()):
        assert dict(thing) == thing.to_dict()
    outcomes = [_refused(), _done()]
    written = json.dumps(outcomes, default=Outcome.to_dict)
    assert json.loads(written) == orjson.loads(orjson.dumps(outcomes, default=Outcome.to_dict))
    assert ADDRESS not in written
    assert _done()["status"] == "done"


class Strange:
    """What cannot be looked into."""

    def __str__(self) -> str:
        raise ValueError("reader@example.com")


class Hostile(Mapping[str, Any]):
    """A mapping that raises."""

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise ValueError("no")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        (1.5, 1.5),
        (True, True),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (2**70, "1180591620717411303424"),
        (-(2**63) - 1, "-9223372036854775809"),
        ("é\ud800", "é\\ud800"),
        ({"\udc80": "ü"}, {"\\udc80": "ü"}),
        (OutcomeStatus.DONE, "done"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (("a", ADDRESS), ["a", MASKED]),
        ({"a": {ADDRESS: [ADDRESS]}, 5: None}, {"a": {MASKED: [MASKED]}, "5": None}),
        (Row(3, {"email_address": ADDRESS}), {"email_address": MASKED}),
        (Row(3, InvalidRecord.of("email_address", "no")), "<Row>"),
        (ADDRESS.encode(), "b***@example.com'"),
        (Strange(), "<Strange>"),
        (Hostile(), "<Hostile>"),
        (iter([1]), "<list_iterator>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_record_holds_is_written(value: Any, expected: Any) -> None:
    """Records are the caller's; nothing in one fails the report, shows an address, or uses an iterator up.

    Whoever writes it, json in ASCII or in UTF-8 as web frameworks do, or orjson, writes the same.
    """
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    whole = json.dumps(found, ensure_ascii=False).encode("utf-8")
    assert json.loads(whole) == json.loads(json.dumps(found)) == orjson.loads(orjson.dumps(found)) == found


def test_a_status_is_the_string_it_is_written_as() -> None:
    """In JSON, as a key, in a text, and when it is read again."""
    assert "done" in [*OutcomeStatus]
    assert f"{OutcomeStatus.NOT_SENT}" == "not_sent"
    assert {OutcomeStatus.DONE: 1}["done"] == 1  # type: ignore[index]  # as who has read JSON would ask
    assert json.dumps({OutcomeStatus.DONE: OutcomeStatus.FAILED}) == '{"done": "failed"}'
    assert pickle.loads(pickle.dumps(OutcomeStatus.DONE)) is OutcomeStatus("done")  # noqa: S301 our own


def test_a_notebook_shows_a_table_without_addresses_or_markup() -> None:
    """What a provider says is text, never HTML; of many records the first ten are shown."""
    error = InvalidRecord.of("email_address", "<script>alert('x')</script>")
    failures: list[Outcome] = [
        Outcome({}, f"<b>{ADDRESS}\ud800", place, OutcomeStatus.REJECTED, 0, None, error) for place in range(12)
    ]
    shown = _report(*failures)._repr_html_() + _plan(*failures)._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert ADDRESS not in shown.encode().decode()  # a notebook is UTF-8
    assert "<b>" not in shown
    assert "<td>1,200</td>" in shown
    assert shown.count("<td>rejected</td>") == 20
    assert "… and 2 more" in shown
    assert "… and 30 more" in shown


def test_a_report_is_short_however_many_failed() -> None:
    """Its repr counts the failures, and so does a plan's."""
    failures = [_refused()] * 1000
    assert "failures=<1000 outcomes>" in repr(_report(*failures))
    assert "refused=<1000 outcomes>, refused_total=40" in repr(_plan(*failures))


async def test_a_run_and_a_batcher_say_how_far_they_are() -> None:
    """In a log and in a notebook, before, after, and without an address."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        run = manager.omeda.opt_outs.submit_many([ClientOptOut(ADDRESS), ClientOptOut("bad")])
        assert repr(run) == "<BulkRun opt_outs.submit_many: not begun, 0 records>"
        assert "not begun" in run._repr_html_()
        await run
        assert repr(run) == "<BulkRun opt_outs.submit_many: complete, 2 records, rejected 1, done 1>"
        assert "<caption>opt_outs.submit_many: complete</caption>" in run._repr_html_()
        async with manager.omeda.opt_outs.batcher() as batcher:
            assert repr(batcher) == "<Batcher opt_outs.batcher: open, 0 records wait>"
        assert "closed" in repr(batcher)


def test_pydantic_is_told_what_to_take_and_to_write() -> None:
    """Without it being there: our objects only, and out what ``to_dict`` gives."""
    schema = Outcome.__get_pydantic_core_schema__(None, None)
    assert (schema["type"], schema["cls"]) == ("is-instance", Outcome)
    assert schema["serialization"]["function"](_refused()) == _refused().to_dict()


def test_settings_are_no_json() -> None:
    """Only what says what became of records is: a manager's secrets have no such form."""
    assert not hasattr(SessionManager, "to_dict")
