"""The libraries that records come from and outcomes go to, where they are installed (the extra ``recipes``)."""

import json
from typing import Any

import pytest

from omeda_async import (
    BulkReport,
    ClientOptOut,
    DeploymentTypeOptOut,
    InvalidRecord,
    OptOutReceipt,
    Outcome,
    OutcomeStatus,
    SessionManager,
)
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import collect
from tests.bulk.sandboxed import manager_on

np: Any = pytest.importorskip("numpy")
pd: Any = pytest.importorskip("pandas")
pl: Any = pytest.importorskip("polars")
pydantic: Any = pytest.importorskip("pydantic")
encoders: Any = pytest.importorskip("fastapi.encoders")
sqlalchemy: Any = pytest.importorskip("sqlalchemy")

EMPTY = [np.nan, np.float32("nan"), np.datetime64("NaT"), pd.NA, pd.NaT]


@pytest.fixture
async def sandbox() -> Any:
    async with Sandbox() as running:
        running.ocamba.seed_campaigns(["1", "2", "3"])
        yield running


@pytest.fixture
async def manager(sandbox: Sandbox) -> Any:
    async with manager_on(sandbox) as made:
        yield made


async def _statuses(run: Any) -> list[str]:
    outcomes = await collect(run)
    return [outcome.status.value for outcome in sorted(outcomes, key=lambda outcome: outcome.position)]


@pytest.mark.parametrize(
    "ids",
    [
        np.array([1, 2, 3]),
        np.array(["1", "2", "3"]),
        [np.uint8(1), {"id": np.int64(2), "key": np.int64(7)}, {"id": np.str_("3")}],
        pd.Series([1, 2, 3]),
        pd.Series([1, 2, 3], dtype="Int64"),
        pl.Series([1, 2, 3]),
        pd.DataFrame({"id": [1, 2, 3]}).to_dict("records"),
        pl.DataFrame({"id": [1, 2, 3], "reason": [None, "r", None]}).to_dicts(),
    ],
    ids=lambda value: type(value).__module__.partition(".")[0],
)
async def test_ids_of_a_column_or_of_rows_are_taken(manager: SessionManager, ids: Any) -> None:
    """Whatever they are held in."""
    assert await _statuses(manager.ocamba.campaigns.cancel_many(ids)) == ["done"] * 3


async def test_empty_cells_and_truths_are_refused(manager: SessionManager, sandbox: Sandbox) -> None:
    """By the words for each."""
    cells = [*EMPTY, np.bool_(True)]  # noqa: FBT003 numpy's truth
    records: list[Any] = [*cells, *({"id": cell} for cell in cells)]
    outcomes = await collect(manager.ocamba.campaigns.cancel_many(records))
    outcomes.sort(key=lambda outcome: outcome.position)
    words = [outcome.error.message for outcome in outcomes if outcome.error is not None]
    assert set(words[:5] + words[6:11]) == {"campaign_id: the cell is empty: give the id"}
    assert {words[5], words[11]} == {"campaign_id: must be a string, not bool"}
    assert not sandbox.requests


async def test_numbers_of_an_array_are_deployment_types(manager: SessionManager) -> None:
    """And an address may be numpy's string."""
    records = [DeploymentTypeOptOut(np.str_("a@example.com"), np.array([4194, 4804]))]
    assert await _statuses(manager.omeda.opt_outs.submit_many(records)) == ["done"]


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (pd.DataFrame({"id": [1]}), 'df.to_dict("records")'),
        (pl.DataFrame({"id": [1]}), "df.iter_rows(named=True)"),
        (pl.LazyFrame({"id": [1]}), "df.collect().iter_rows(named=True)"),
    ],
)
async def test_a_table_given_whole_is_refused(manager: SessionManager, table: Any, line: str) -> None:
    """With the line that works, which does."""
    with pytest.raises(InvalidRecord) as caught:
        _ = manager.ocamba.campaigns.cancel_many(table)
    assert f"write {line} " in str(caught.value)
    with pytest.raises(InvalidRecord) as alone:
        await manager.ocamba.campaigns.cancel(table)
    report = await manager.ocamba.campaigns.cancel_many([table])
    assert all(f"write {line} " in str(error) for error in (alone.value, report.failures[0].error))
    rows = eval(line, {"df": table})  # noqa: S307 our own words
    assert await _statuses(manager.ocamba.campaigns.cancel_many(rows)) == ["done"]


@pytest.mark.parametrize("mappings", [True, False])
async def test_rows_of_sqlalchemy_are_records(manager: SessionManager, *, mappings: bool) -> None:
    """As mappings and as rows; a NULL in a field that may be left out is nothing."""
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT 1 AS id, NULL AS reason UNION SELECT 2, 'r'"))
        found = (rows.mappings() if mappings else rows).all()
    engine.dispose()
    assert await _statuses(manager.ocamba.campaigns.cancel_many(found)) == ["done", "done"]


def test_fastapi_and_pydantic_write_what_to_dict_gives() -> None:
    """Whatever holds it; no address leaves by default, and a model takes none but ours."""
    receipt = OptOutReceipt("S", "ok")
    outcome = Outcome(ClientOptOut("reader@example.com"), None, 0, OutcomeStatus.DONE, 1, receipt)
    report = BulkReport(
        total=1, counts={OutcomeStatus.DONE: 1}, requests=1, duration=0.1, failures=(outcome,), complete=True
    )
    assert encoders.jsonable_encoder({"a": [outcome], "b": report}) == {
        "a": [outcome.to_dict()],
        "b": report.to_dict(),
    }
    model = pydantic.create_model("Answer", outcome=Outcome[ClientOptOut, OptOutReceipt], report=BulkReport)
    answer = model(outcome=outcome, report=report)
    assert answer.outcome is outcome
    assert json.loads(answer.model_dump_json()) == {"outcome": outcome.to_dict(), "report": report.to_dict()}
    assert "reader" not in answer.model_dump_json()
    assert model.model_json_schema(mode="serialization")["properties"]["outcome"]["type"] == "object"
    with pytest.raises(pydantic.ValidationError):
        model(outcome=outcome.to_dict(), report=report)
