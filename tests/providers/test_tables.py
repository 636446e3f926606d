"""Records out of data frames and databases: integers as ids, empty cells, rows, and tables given whole.

What numpy, pandas, polars and SQLAlchemy give is stood in for here; ``test_home_libraries`` has the real ones.
"""

import numbers
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple, Self

import orjson
import pytest

from omeda_async import (
    BrandOptOut,
    CampaignCancel,
    ClientOptOut,
    DeploymentCancel,
    DeploymentTypeOptOut,
    InvalidRecord,
    Outcome,
    OutcomeStatus,
    SessionManager,
    TransactionCancel,
)
from omeda_async._empty import is_empty
from omeda_async.bulk._item import Item
from omeda_async.bulk.journal.codec import Codec, record_of
from omeda_async.providers.omeda._converter import read_opt_out
from omeda_async.sandbox import Sandbox
from tests.bulk.bulk_fakes import collect
from tests.bulk.sandboxed import manager_on


@numbers.Integral.register
class Int64:
    """An integer as numpy's are: none of Python's, but registered as one."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __int__(self) -> int:
        return self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return self.value == other


class Text(str):
    """A string as numpy's are."""

    __slots__ = ()


class NAType:
    """Pandas' NA: whatever is asked of it is NA again, and NA is neither true nor false."""

    def __eq__(self, _other: object) -> Self:  # type: ignore[override]  # as NA does
        return self

    def __ne__(self, _other: object) -> Self:  # type: ignore[override]  # as NA does
        return self

    __hash__ = None  # type: ignore[assignment]  # never looked up

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NaTType(datetime):
    """Pandas' NaT: a datetime, and not itself."""

    def __ne__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # never looked up


class Row:
    """A row as SQLAlchemy's are: no mapping, but it shows one."""

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._mapping = held


NAT = NaTType(1970, 1, 1)
EMPTY = [None, float("nan"), NAType(), NAT]
empty = pytest.mark.parametrize("cell", EMPTY, ids=["None", "NaN", "NA", "NaT"])


def _ids_sent(sandbox: Sandbox) -> list[str]:
    return [request.path.split("/")[-2] for request in sandbox.requests]


async def _refusals(run: Any) -> list[str]:
    outcomes: list[Outcome] = sorted(await collect(run), key=lambda outcome: outcome.position)
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.REJECTED}
    assert all(isinstance(outcome.error, InvalidRecord) for outcome in outcomes)
    return [outcome.error.message for outcome in outcomes if outcome.error is not None]


@pytest.mark.parametrize("kind", [int, Int64])
async def test_an_integer_is_an_id(kind: Any) -> None:
    """Alone, in a mapping and in a model, Python's or numpy's; it is the same as its digits."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2", "3", "4", "5"])
        records = [kind(1), {"id": kind(2)}, {"campaign_id": kind(3), "reason": Text("r")}, CampaignCancel(kind(4))]
        outcomes = await collect(manager.ocamba.campaigns.cancel_many([*records, "1", kind(1)]))
        await manager.ocamba.campaigns.cancel(kind(5))
        assert (await manager.ocamba.campaigns.get(kind(5))).id == "5"
    assert {(outcome.key, outcome.status) for outcome in outcomes} == {(one, OutcomeStatus.DONE) for one in "1234"}
    assert sorted(_ids_sent(sandbox)[:4]) == ["1", "2", "3", "4"]


def test_the_other_providers_take_integers_too() -> None:
    """A model holds the digits, whoever made it."""
    assert DeploymentCancel(Int64(5)).track_id == "5"
    assert TransactionCancel(5) == TransactionCancel("5")


async def test_an_integer_of_numpy_is_a_deployment_type_and_a_key() -> None:
    """It goes out as the number it is; a brand is a word, and refused as a number."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        types: Any = [Int64(4194), 4804]
        records = [
            DeploymentTypeOptOut("a@example.com", types, key=Int64(7)),  # type: ignore[arg-type]  # as a table gives it
            {"email_address": "b@example.com", "deployment_type_ids": types, "key": Int64(8)},
        ]
        outcomes = await collect(manager.omeda.opt_outs.submit_many(records))
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        assert [outcome.key for outcome in outcomes] == [7, 8]
        sent = [orjson.loads(read_opt_out(record)[0][1]) for record in records]
        assert [one["DeploymentTypeId"] for one in sent] == [[4194, 4804]] * 2
        brands: Any = [Int64(5)]
        refused = manager.omeda.opt_outs.submit_many([BrandOptOut("a@example.com", brands)])
        assert await _refusals(refused) == ["brand_ids: must be a string, not int"]


@pytest.mark.parametrize("value", [True, False])
async def test_a_truth_is_no_id(value: object) -> None:
    """Though it counts as an integer."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        records: Any = [value, {"id": value}, CampaignCancel(value)]  # type: ignore[arg-type]  # what a caller may do
        found = await _refusals(manager.ocamba.campaigns.cancel_many(records))
    assert found == ["campaign_id: must be a string, not bool"] * 3


@empty
async def test_an_empty_cell_for_an_id_is_called_one(cell: Any) -> None:
    """Whatever stands for it, and wherever it stands; nothing is sent."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        records: Any = [cell, {"id": cell}, CampaignCancel(cell)]
        found = await _refusals(manager.ocamba.campaigns.cancel_many(records))
        assert found == ["campaign_id: the cell is empty: give the id"] * 3
        assert not sandbox.requests


@empty
async def test_an_empty_cell_of_an_opt_out_is_called_one(cell: Any) -> None:
    """An address, ids, a level; an opt-out is never widened to the whole client by one."""
    records: Any = [
        cell,
        ClientOptOut(cell),
        {"email_address": cell},
        BrandOptOut("a@example.com", [cell]),
        DeploymentTypeOptOut("a@example.com", [cell]),
    ]
    if cell is not None:  # which says that no such ids are meant
        records += [
            {"email_address": "a@example.com", "brand_ids": cell},
            {"email_address": "a@example.com", "brand_ids": cell, "deployment_type_ids": [4194]},
            {"email_address": "a@example.com", "brand_ids": cell, "deployment_type_ids": None, "source": "s"},
            {"email_address": "a@example.com", "level": cell},
            {"email_address": "a@example.com", "source": cell},
            {"email_address": "a@example.com", "key": cell},
        ]
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        found = await _refusals(manager.omeda.opt_outs.submit_many(records))
        assert [text for text in found if "the cell is empty: " not in text] == []
        assert found[1] == "email_address: the cell is empty: give the address"
        assert not sandbox.requests


@pytest.mark.parametrize("cell", EMPTY[1:], ids=["NaN", "NA", "NaT"])
@pytest.mark.parametrize("field", ["brand_ids", "deployment_type_ids"])
async def test_what_is_said_about_empty_ids_is_a_way_out(cell: Any, field: str) -> None:
    """Followed, each sentence leads to a record that is sent."""
    address = {"email_address": "a@example.com"}
    records = [{**address, field: cell}, {**address, field: None}, {**address, field: cell, "level": "client"}]
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        found = await _refusals(manager.omeda.opt_outs.submit_many(records))
        way_out = {**address, field: None, "level": "client"}
        (outcome,) = await collect(manager.omeda.opt_outs.submit_many([way_out]))
    meant = "give an id; where the whole client is meant, give"
    assert found == [
        f"{field}: the cell is empty: {meant} None here and client in a field named level",
        f"{field}: is empty: {meant} client in a field named level",
        f"{field}: the cell is empty: give None",
    ]
    assert outcome.status is OutcomeStatus.DONE


@pytest.mark.parametrize(
    "record",
    [
        BrandOptOut("a@example.com", brand_ids=None),
        DeploymentTypeOptOut("a@example.com", deployment_type_ids=None),
    ],
)
async def test_none_for_the_ids_of_a_model_is_called_none(record: BrandOptOut | DeploymentTypeOptOut) -> None:
    """No cell is empty where somebody wrote it; and the model for the whole client is named."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(InvalidRecord, match=r"_ids: is None: give at least one id; the whole client takes a Cli"):
            await manager.omeda.opt_outs.submit(record)


async def test_a_mapping_in_place_of_an_opt_out_is_told_the_way_out() -> None:
    """``submit`` takes models alone; ``submit_many`` takes it."""
    record: Any = {"email_address": "a@example.com"}
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        words = r"must be an opt-out, not dict: write ClientOptOut\(…\), .*; submit_many\(records\) takes mappings"
        with pytest.raises(InvalidRecord, match=words):
            await manager.omeda.opt_outs.submit(record)


async def test_an_empty_date_is_called_one() -> None:
    """Pandas' NaT is a datetime to Python."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        records = [DeploymentCancel("F1", scheduled_for=NAT), {"id": "F1", "scheduled_for": NAT}]
        found = await _refusals(manager.omeda.deployments.cancel_many(records))
    assert [text.partition(": give")[0] for text in found] == ["scheduled_for: the cell is empty"] * 2


def test_what_cannot_be_compared_is_no_empty_cell() -> None:
    """Asking never fails."""

    class Angry:
        def __ne__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]  # never looked up

    others: list[object] = [Angry(), 0, "", [], False, 1.5]
    assert [one for one in others if is_empty(one)] == []


async def test_a_plain_address_is_refused_with_what_to_write() -> None:
    """In bulk, in a batcher and in one request; the address itself is not shown."""
    records: Any = ["reader@example.com"]
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher() as batcher,
    ):
        (bulk,) = await _refusals(manager.omeda.opt_outs.submit_many(records))
        batched = (await batcher.add(records[0])).error
        with pytest.raises(InvalidRecord) as single:
            await manager.omeda.opt_outs.submit(*records)
        assert not sandbox.requests
    assert batched is not None
    for text in (bulk, batched.message, single.value.message):
        assert "write ClientOptOut(address), BrandOptOut(address, brand_ids=[…])" in text
        assert "reader" not in text


class _Table:
    def __iter__(self) -> Iterator[str]:
        return iter(["campaign_id"])

    def _method(self) -> None: ...


class PandasFrame(_Table):
    """As pandas and those who follow it: iterated, it gives the names of its columns."""

    to_dict = itertuples = _Table._method


class PolarsFrame(_Table):
    """As polars: iterated, it gives its columns."""

    iter_rows = to_dicts = _Table._method


class LazyFrame:
    """As polars': it cannot be iterated at all."""

    collect = collect_schema = _Table._method


class ArrowTable:
    """As pyarrow's."""

    to_pylist = itercolumns = _Table._method


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (PandasFrame(), 'df.to_dict("records")'),
        (PolarsFrame(), "df.iter_rows(named=True)"),
        (LazyFrame(), "df.collect().iter_rows(named=True)"),
        (ArrowTable(), "table.to_pylist()"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_table_given_whole_is_refused_with_the_line_that_works(table: Any, line: str) -> None:
    """Its rows are not what it gives: the names of its columns would be taken for ids."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for bulk in (manager.ocamba.campaigns.cancel_many, manager.omeda.opt_outs.submit_many):
            with pytest.raises(InvalidRecord) as caught:
                _ = bulk(table)
            assert f"is a {type(table).__name__}, whose rows are not what it gives: write {line} " in str(caught.value)


@pytest.mark.parametrize(
    "table", [PandasFrame(), PolarsFrame(), LazyFrame(), ArrowTable()], ids=lambda value: type(value).__name__
)
async def test_a_table_in_the_place_of_one_record_is_refused_in_the_same_words(table: Any) -> None:
    """Whoever gives it to a single call, a batcher, an outbox or in a list meant its rows."""
    words, found = f"is a {type(table).__name__}, whose rows are not what it gives: write ", list[str]()
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        for bulk in (manager.ocamba.campaigns.cancel_many, manager.omeda.opt_outs.submit_many):
            found += await _refusals(bulk([table]))
        found.append(str((await batcher.add(table)).error))
        for call in (manager.omeda.opt_outs.submit, manager.ocamba.campaigns.cancel):
            with pytest.raises(InvalidRecord) as caught:
                await call(table)
            found.append(str(caught.value))
        assert not sandbox.requests
    assert [words in one and one.endswith(": each of them is a record") for one in found] == [True] * 5


async def test_a_row_of_a_database_is_a_record() -> None:
    """By the names of its columns, as in SQLAlchemy; a mapping of any kind is one, too."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        rows: Any = [Row({"id": 1, "reason": None}), Row({"campaign_id": "2"}), Row({"campaign": "3"})]
        outcomes = await collect(manager.ocamba.campaigns.cancel_many(rows))
        opt_out: Any = Row({"email_address": "a@example.com", "brand_ids": None, "deployment_type_ids": None})
        report = await manager.omeda.opt_outs.submit_many([opt_out])
    assert [outcome.status for outcome in sorted(outcomes, key=lambda outcome: outcome.position)] == [
        OutcomeStatus.DONE,
        OutcomeStatus.DONE,
        OutcomeStatus.REJECTED,
    ]
    assert report.counts == {OutcomeStatus.DONE: 1}


class Pandas(NamedTuple):
    """A row as pandas' itertuples gives it."""

    email_address: str
    source: str | None = None


def _rows() -> list[Any]:
    """A row of sqlite3, a named tuple (as of pandas' itertuples), and one of SQLAlchemy's kind."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT 'a@example.com' AS email_address, NULL AS source").fetchone()
    named = Pandas("a@example.com")
    return [row, named, Row({"email_address": "a@example.com", "source": None})]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: type(row).__name__)
async def test_rows_keep_their_names(manager: SessionManager, row: Any) -> None:
    """As records, in what is written of their outcomes, and in a journal: its failed ones are input again."""
    [outcome] = await collect(manager.omeda.opt_outs.submit_many([row]))
    assert outcome.status is OutcomeStatus.DONE
    assert outcome.to_dict(mask=False)["record"] == {"email_address": "a@example.com", "source": None}
    kept = Codec().entries([Item(raw=row, key=None, params=None, fingerprint=b"f" * 16, position=0)])
    [entry] = orjson.loads(kept.json)
    assert record_of(orjson.dumps(entry).decode()) == {"email_address": "a@example.com", "source": None}


async def test_rows_without_names_are_refused_with_what_gives_them(manager: SessionManager) -> None:
    """Of opt-outs and of cancels; a list where one opt-out belongs is told the way for several."""
    rows: list[Any] = [("a@example.com", None)]
    outcomes = [
        *await collect(manager.omeda.opt_outs.submit_many(rows)),
        *await collect(manager.ocamba.campaigns.cancel_many(rows)),
    ]
    assert all('df.to_dict("records")' in str(outcome.error) for outcome in outcomes)
    several: Any = [ClientOptOut("a@example.com")]
    with pytest.raises(InvalidRecord, match=r"submit\(\*records\), or all to submit_many"):
        await manager.omeda.opt_outs.submit(several)


def test_a_journal_keeps_integers_of_numpy_as_numbers() -> None:
    """A record that holds one is kept whole."""
    items = [
        Item(raw=raw, key=None, params=None, fingerprint=b"f" * 16, position=place)
        for place, raw in enumerate([Int64(5), {"id": Int64(6)}])
    ]
    kept = orjson.loads(Codec().entries(items).json)
    assert [record_of(orjson.dumps(one).decode()) for one in kept] == [5, {"id": 6}]


async def test_single_calls_take_integers(manager: SessionManager, sandbox: Sandbox) -> None:
    """Every call that is given an id."""
    sandbox.omeda.seed_deployment("123")
    assert (await manager.omeda.deployments.lookup(123)).track_id == "123"
    assert (await manager.omeda.deployments.cancel(Int64(123))).track_id == "123"
    assert [one async for one in manager.journey_manager.transactions.query(submit_key=7)] == []


@pytest.fixture
async def sandbox() -> Any:
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def manager(sandbox: Sandbox) -> Any:
    async with manager_on(sandbox) as made:
        yield made
