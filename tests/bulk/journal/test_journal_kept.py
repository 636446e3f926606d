"""What a journal keeps of records, receipts and errors, and what comes back of it; also through a real sandbox."""

from pathlib import Path
from time import process_time
from typing import Any

import attrs
import orjson
import pytest

from omeda_async import (
    BrandOptOut,
    CampaignReceipt,
    ClientOptOut,
    Culprit,
    DeploymentReceipt,
    DeploymentTypeOptOut,
    OcambaSettings,
    OmedaAsyncError,
    OmedaSettings,
    OptOutReceipt,
    OutcomeStatus,
    SessionManager,
    TransactionReceipt,
    errors,
)
from omeda_async._result import Result
from omeda_async.bulk import Item
from omeda_async.bulk.journal.codec import Codec, record_of, result_of
from omeda_async.journal import read_not_done, read_status
from omeda_async.providers._models import Answer
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import collect
from tests.bulk.journal_help import Place, forget_result, journalled

S = OutcomeStatus
UNKEPT = {"method", "url", "headers"}
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OmedaAsyncError)]
FILLED: dict[str, Any] = {
    "culprits": (Culprit("BrandOptOut", "X", "a@example.com", "a@example.com is not"),),
    "messages": ("a@example.com: no", "zwei\u2028"),
    "fields": ("EmailAddress",),
    "retry_after": -1.0,
    "status": 418,
    "attempts": 3,
    "sent": True,
    "timed_out": True,
    "max_wait": 2.5,
    "next_slot_in": None,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


def kept(result: Result[Any], salt: bytes | None = None) -> Result[Any]:
    ((_, found),) = Codec(salt).kept([(None, result)])
    return result_of(found)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_it_was(kind: type[OmedaAsyncError]) -> None:
    """Class, texts, numbers and culprits of each class of the tree, every field filled."""
    names = [field.name for field in attrs.fields(kind) if field.name not in UNKEPT]
    error = kind(**{name: FILLED.get(name, f"a text for {name}") for name in names})
    again = kept(Result(error=error, attempts=3)).error
    assert type(again) is kind
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)


@pytest.mark.parametrize(
    "receipt",
    [
        OptOutReceipt("S", "queued", ("w1", "w2"), settled=True),
        DeploymentReceipt("T", "https://x", "S", ("w",)),
        CampaignReceipt(),
        TransactionReceipt(settled=True),
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [S.DONE, S.ALREADY_DONE])
def test_every_receipt_comes_back_as_it_was(receipt: Any, status: OutcomeStatus) -> None:
    """With the status it had."""
    result: Result[Any] = Result(receipt=receipt, attempts=2, settled=status is S.ALREADY_DONE)
    again = kept(result)
    assert again.receipt == receipt
    assert (again.status, again.attempts, again.settled) == (status, 2, result.settled)


def test_an_error_of_a_class_of_someone_elses_comes_back_as_the_nearest_of_ours() -> None:
    """What a caller has derived is kept as what it was derived from."""

    class Own(errors.BadRequest):
        pass

    again = kept(Result(error=Own("no", status=400))).error
    assert type(again) is errors.BadRequest


@pytest.mark.parametrize("salt", [None, b"salt"], ids=["keep", "hash"])
def test_what_tells_of_this_processs_own_attempt_is_not_kept(salt: bytes | None) -> None:
    """The request's URL, which names the record, and the response's headers; of a receipt, the response itself."""
    error = errors.BadRequest("no", status=400, method="POST", url="https://x/id-7", headers={"Date": "today"})
    again = kept(Result(error=error), salt).error
    assert again is not None
    assert (again.method, again.url, again.headers) == (None, None, {})
    receipt = kept(Result(receipt=DeploymentReceipt("T", raw=Answer({"TrackId": "T", "New": 1}))), salt).receipt
    assert receipt == DeploymentReceipt("T")
    assert receipt is not None
    assert receipt.raw is None


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_with_hashes_no_text_of_an_error_holds_an_address(kind: type[OmedaAsyncError]) -> None:
    """Not even a masked one."""
    names = [field.name for field in attrs.fields(kind)]
    error = kind(**{name: FILLED.get(name, f"jane.doe@example.com in {name}") for name in names})
    ((_, found),) = Codec(b"salt").kept([(None, Result(error=error))])
    assert "@" not in found.stored
    assert "jane" not in found.stored
    assert type(kept(Result(error=error), b"salt").error) is kind


@pytest.mark.parametrize(
    "record",
    [
        "FOO1",
        "",
        'quotes " \\ and \x00 and \ud83d\ude00',
        {"track_id": "A", "nested": {"a": [1, None, True, 1.5]}},
        {},
        7,
        None,
        ["a", "b"],
        ClientOptOut("a@example.com", key="k"),
        BrandOptOut("a@example.com", brand_ids=["X", "Y"], source="s"),
        DeploymentTypeOptOut("a@example.com", deployment_type_ids=[1, 2], promo_code="p"),
        {"__class__": "os.system", "command": "true"},
        {"__class__": "omeda_async.sandbox.Sandbox"},
        {"__class__": 7},
    ],
    ids=repr,
)
def test_a_record_comes_back_as_it_came_in(record: Any) -> None:
    """Also one that looks like the journal's own way to write a model, which makes no object of any class."""
    item = Item(raw=record, key=None, params=None, fingerprint=b"", position=3)
    entry = Codec().entries([item]).json[1:-1]
    assert orjson.loads(entry)[0] == 3
    if isinstance(record, str) and "\ud83d" in record:
        record = None  # half a character is nothing that JSON could hold
    assert record_of(entry) == record


@pytest.mark.parametrize(
    "odd", [object(), {1, 2}, 2**70, "\ud800", {"a": object()}, b"bytes"], ids=lambda odd: type(odd).__name__
)
def test_a_record_that_json_cannot_hold_costs_its_neighbours_nothing(odd: Any) -> None:
    """It is known by its position; the others are kept."""
    items = [
        Item(raw=raw, key=None, params=None, fingerprint=b"", position=position)
        for position, raw in enumerate(["a", odd, "b"])
    ]
    assert orjson.loads(Codec().entries(items).json) == [[0, "a"], [1, None], [2, "b"]]


def manager_of(sandbox: Sandbox) -> SessionManager:
    return SessionManager(
        omeda=OmedaSettings(
            app_id=sandbox.app_id,
            brand=sandbox.brand,
            client=sandbox.client,
            user_id="omailAccount1",
            base_url=sandbox.url,
        ),
        ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url),
    )


@pytest.mark.parametrize(("place", "total"), [("sqlite", 3000), ("postgres", 300)], indirect=["place"])
async def test_opt_outs_broken_off_and_resumed_end_in_the_right_state(place: Place, total: int) -> None:
    """With culprits among them, stopped in the middle: each is applied, and the refused come back as models."""
    bad_ones = {7, total // 2, total - 1}
    records: list[Any] = [BrandOptOut(f"r{number}@example.com", brand_ids=["XXG"]) for number in range(total)]
    for bad in bad_ones:
        records[bad] = BrandOptOut(f"r{bad}@example.com", brand_ids=["XXG", "NONE"])
    async with Sandbox(latency=0.01) as sandbox, manager_of(sandbox) as manager:
        run = manager.omeda.opt_outs.submit_many(records, journal=place, max_entries=total // 30)
        taken = 0
        async for _ in run:
            taken += 1
            if taken == total // 6:
                break
        await run.aclose(timeout=0)
        outcomes = await collect(manager.omeda.opt_outs.submit_many(records, journal=place, max_entries=total // 30))
        applied = sandbox.omeda.opt_outs.applied()
    assert applied == {("brand", f"r{number}@example.com", "XXG") for number in range(total)}
    assert {outcome.status for outcome in outcomes if outcome.position not in bad_ones} == {S.DONE}
    assert read_status(place).counts == {S.DONE: total - 3, S.PARTLY_DONE: 3}
    found = list(read_not_done(place))
    assert [one.record for one in found] == [records[bad] for bad in sorted(bad_ones)]
    assert all(isinstance(one.error, errors.BatchRejected) and one.error.culprits[0].id == "NONE" for one in found)


async def test_a_cancel_that_was_under_way_is_settled_by_a_read(place: Place) -> None:
    """The killed run's cancel had been carried out: it is not sent again, and reported as done by us."""
    async with Sandbox() as sandbox, manager_of(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        await manager.ocamba.campaigns.cancel_many(["1", "2"], journal=place)
        forget_result(place, 1)
        asked = len(sandbox.requests)
        outcomes = await collect(manager.ocamba.campaigns.cancel_many(["1", "2"], journal=place))
        (read,) = list(sandbox.requests)[asked:]
    assert read.method == "GET"
    by_key = {outcome.key: outcome for outcome in outcomes}
    assert by_key["1"].status is S.ALREADY_DONE
    assert by_key["1"].receipt is not None
    assert by_key["1"].receipt.settled
    assert by_key["2"].status is S.DONE


async def test_another_reason_or_brand_is_refused(path: Path) -> None:
    """What holds for every record of a run belongs to its identity, as each provider's client tells it."""
    async with Sandbox() as sandbox, manager_of(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        sandbox.omeda.seed_deployment("FOO1")
        await manager.ocamba.campaigns.cancel_many(["1"], reason="tired", journal=path)
        with pytest.raises(errors.JournalError, match=r"reason is 'tired' there and 'cross' here"):
            await manager.ocamba.campaigns.cancel_many(["1"], reason="cross", journal=path)
        second = path.with_name("second")
        await manager.omeda.deployments.cancel_many(["FOO1"], journal=second)
        with pytest.raises(errors.JournalError, match=r"brand is 'FOO' there and 'BAR' here"):
            await manager.omeda.for_brand("BAR").deployments.cancel_many(["FOO1"], journal=second)
        with pytest.raises(errors.JournalError, match="operation"):
            await manager.omeda.opt_outs.submit_many([ClientOptOut("a@example.com")], journal=second)


async def test_records_of_any_kind_are_journalled(place: Place) -> None:
    """A run over records that JSON cannot hold is resumed as well: they are known by what they ask for."""
    await journalled(place, [("a", 1), b"b", 2**80])
    report = await journalled(place, [("a", 1), b"b", 2**80])
    assert (report.counts, report.requests) == ({S.DONE: 3}, 0)


def test_hiding_addresses_takes_time_in_proportion_to_the_text() -> None:
    """A provider's endless word costs no more than as many short ones, and each word with an address is hidden."""
    codec, long = Codec(b"salt"), "a" * 200_000
    begun = process_time()
    assert codec.text(f"{long} x@y.com, {long}@\n{long}") == f"{long} *** ***\n{long}"
    assert process_time() - begun < 5
