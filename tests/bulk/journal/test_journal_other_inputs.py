"""A journal that is given one input after the other keeps what became of each record of all of them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async import OutcomeStatus
from omeda_async.bulk import Item, fingerprint
from omeda_async.journal import read_not_done, read_status
from tests.bulk.bulk_fakes import collect
from tests.bulk.journal_help import Place, Work, journalled
from tests.bulk.shared_help import shared, work_of

S = OutcomeStatus
MODES = pytest.mark.parametrize("mode", ["keep", "hash"])


class Lenient:
    """Work that sends what other work refuses."""

    def read(self, raw: Any) -> Item:
        """Turn any record into an item."""
        return Item(raw=raw, key=raw, params=raw, fingerprint=fingerprint(str(raw)), size=10)


@attrs.define
class LenientWork(Lenient, Work):
    """Plain work that does."""


async def run(place: Place, *inputs: list[Any], work: type[Work] = Work, mode: str = "keep") -> dict[S, int]:
    """Have inputs sent by one journal, one after the other; tell what is in it then."""
    for records in inputs:
        report = await journalled(place, records, work(), journal_pii=mode)
        assert report.total == len(records)
    status = read_status(place)
    assert status.total == sum(status.counts.values())
    return dict(status.counts)


async def fill(url: str, *inputs: list[Any], mode: Any = "keep") -> dict[S, int]:
    """Do the same by a shared run."""
    for records in inputs:
        await shared(url).fill(records, journal_pii=mode)
        report = await shared(url).work()
        assert report.counts == read_status(url).counts
        assert report.complete
    return dict(read_status(url).counts)


@MODES
async def test_what_an_earlier_input_had_refused_stays(place: Place, mode: str) -> None:
    """Wherever it stood, it counts, and is given back beside what the next one has refused."""
    inputs = ["bad one", "a"], ["b"], ["bad two", "c"], ["d", "bad two", "bad three"]
    assert await run(place, *inputs, mode=mode) == {S.DONE: 4, S.REJECTED: 3}
    refused = [(one.record, str(one.error)) for one in read_not_done(place)]
    given = ["bad one", "bad two", "bad three"] if mode == "keep" else [None] * 3
    assert sorted(refused, key=str) == sorted([(record, "fake: name: is bad") for record in given], key=str)


@MODES
async def test_the_same_input_again_counts_no_refused_record_twice(place: Place, mode: str) -> None:
    """Nor does it when it has grown, has other lines first, or an earlier run of it was stopped."""
    records = ["bad one", "a", "bad one", "a", *map(str, range(40))]
    stopped = journalled(place, records, Work(), journal_pii=mode)
    async for _ in stopped:
        stopped.stop()
    assert await run(place, records, records, mode=mode) == {S.DONE: 42, S.REJECTED: 2}
    assert await run(place, [*records, "bad two", "a"], records, mode=mode) == {S.DONE: 43, S.REJECTED: 3}
    assert await run(place, ["bad one"], ["bad one", *["x"] * 4, "bad one"], mode=mode) == {S.DONE: 47, S.REJECTED: 3}


@MODES
async def test_repeats_of_an_earlier_input_stay(place: Place, mode: str) -> None:
    """Each of them has its outcome."""
    assert await run(place, ["a", "a", "a"], ["b"], ["b", "a", "b"], mode=mode) == {S.DONE: 5}
    assert read_status(place).repeats == 3


@MODES
async def test_a_record_that_is_refused_no_more_counts_as_what_it_became(place: Place, mode: str) -> None:
    """It was read by both runs, and is one; others that were refused stay."""
    assert await run(place, ["bad one", "bad two", "a"], mode=mode) == {S.DONE: 1, S.REJECTED: 2}
    assert await run(place, ["bad one", "a"], work=LenientWork, mode=mode) == {S.DONE: 2, S.REJECTED: 1}


async def test_a_record_that_json_cannot_hold_is_known_by_its_place(place: Place) -> None:
    """And by why it is refused: the same input again counts it once."""
    assert await run(place, [ValueError(), "a", KeyError()], [ValueError(), "a", KeyError()], ["b", "c"]) == {
        S.DONE: 3,
        S.REJECTED: 2,
    }


async def test_a_run_that_is_stopped_early_loses_nothing_that_earlier_ones_had_refused(place: Place) -> None:
    """What it has not come to stands as it was."""
    await run(place, ["bad one", "a", "bad two"])
    stopped = journalled(place, iter(["x", "bad one", "y", *map(str, range(400)), "bad two"]), Work(concurrency=1))
    async for _ in stopped:
        stopped.stop()
    assert read_status(place).counts[S.REJECTED] == 2


@MODES
async def test_a_shared_run_keeps_what_earlier_inputs_had_refused(journal_url: str, mode: str) -> None:
    """It counts once, however often the same input is filled in, and is given back."""
    records = ["bad one", "a", "bad one", "a"]
    assert await fill(journal_url, records, records, ["b"], mode=mode) == {S.DONE: 3, S.REJECTED: 2}
    assert await fill(journal_url, [*records, "bad two"], ["c", "bad two"], mode=mode) == {S.DONE: 4, S.REJECTED: 3}
    assert len([*read_not_done(journal_url)]) == 3


async def test_a_shared_run_sends_what_is_refused_no_more(journal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is one, and nothing counts as missing, also where that fill is broken off."""
    await fill(journal_url, ["bad one", "bad two", "a"])
    work = work_of()
    monkeypatch.setattr(type(work), "read", Lenient.read)

    async def breaks_off() -> Any:
        yield "bad one"
        for number in range(3000):
            yield str(number)
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await shared(journal_url, work).fill(breaks_off())
    assert read_status(journal_url).missing == 0
    filled = await shared(journal_url, work).fill(["bad one", "a"])
    assert filled.refused == 1
    assert read_status(journal_url).counts[S.REJECTED] == 1


@pytest.mark.parametrize("sums", [True, False])
async def test_a_journal_that_knows_asides_by_their_positions_is_gone_on_with(tmp_path: Path, sums: bool) -> None:
    """The next run knows them by what they are, and counts none twice."""
    path = tmp_path / "run.sqlite3"
    records = ["bad one", "a", "a", "bad two"]
    await run(path, records)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_BY_POSITIONS)
        if not sums:
            connection.executescript("ALTER TABLE asides DROP COLUMN sum; ALTER TABLE asides DROP COLUMN entry_sum")
            for table, *columns in (("runs", "sum", "ids", "writes"), ("results", "sum"), ("answers", "sum")):
                for column in columns:
                    connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            connection.executescript("ALTER TABLE records DROP COLUMN sum; ALTER TABLE prints DROP COLUMN sum")
            connection.execute("DELETE FROM meta WHERE name = 'sum'")
            connection.commit()
    assert read_status(path).counts == {S.DONE: 2, S.REJECTED: 2}
    outcomes = await collect(journalled(path, records, Work()))
    assert len(outcomes) == 4
    assert await run(path, records, ["b"]) == {S.DONE: 3, S.REJECTED: 2}


_BY_POSITIONS = """
PRAGMA journal_mode = DELETE;
CREATE TABLE old (
    position INTEGER PRIMARY KEY, run INTEGER NOT NULL, repeats INTEGER NOT NULL, status INTEGER NOT NULL,
    attempts INTEGER NOT NULL, answer INTEGER NOT NULL, entry TEXT, entry_sum INTEGER, sum INTEGER
);
INSERT INTO old SELECT position, run, repeats, status, attempts, answer, entry, entry_sum,
    (sum - known_by % 2147483647) % 2147483647 FROM asides;
DROP TABLE asides;
ALTER TABLE old RENAME TO asides;
UPDATE asides SET sum = (
    position * 65537 + run * 257 + repeats * 1000003 + status * 7919 + attempts * 31 + answer * 104729
    + entry_sum * 1299709
) % 2147483647;
"""
