"""Journals that are damaged: never a wrong outcome, never somebody else's exception."""

import sqlite3
import tempfile
from contextlib import closing
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from omeda_async import JournalError, OutcomeStatus
from omeda_async.journal import read_not_done, read_status
from tests.bulk import journal_damage
from tests.bulk.journal_damage import (
    KINDS,
    MEMORY,
    NAME,
    PAGE,
    Sample,
    another,
    half_copied,
    misread,
    put,
    tried,
    without_sums,
)
from tests.bulk.journal_help import Work, journalled, rows
from tests.bulk.journal_samples import sample_of, unpack
from tests.campaigns import cases

EACH = cases(24)
"""Damaged journals of each kind: ``python -m tests.bulk.journal_damage 5000`` tries more."""


@pytest.fixture(scope="module")
def made() -> dict[str, Sample]:
    """Make the journals once."""
    return journal_damage.made()


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_what_is_made_of_a_damaged_journal_is_true_or_refused(made: dict[str, Sample], kind: str) -> None:
    """What a run reports and sends, its plan, and what readers tell: true, in doubt, or a JournalError."""
    ends = set()
    for seed in range(EACH):
        rng = Random(f"{kind} {seed}")  # noqa: S311 it has to be repeatable
        name = rng.choice(sorted(made))
        found, told = await tried(made[name], KINDS[kind](rng, another(made, name)))
        assert (seed, found) == (seed, [])
        ends.add(told)
    assert kind == "index of the log" or ends & {"refused", "stopped"}


@pytest.mark.parametrize("name", ["killed", "resumed", "finished"])
async def test_a_journal_that_is_whole_is_resumed(made: dict[str, Sample], name: str) -> None:
    """The check can pass: what is refused is refused for the damage. One without sums is resumed, too."""
    for sample in (made[name], without_sums(made[name])):
        assert await tried(sample, lambda _: None) == ([], "run")


@pytest.mark.parametrize("pages", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["killed", "resumed"])
async def test_a_journal_whose_log_was_half_copied_into_it_is_whole(
    made: dict[str, Sample], name: str, pages: int
) -> None:
    """So a full disk or a loss of power leaves it; the file alone is cut, and the log has all of it."""
    assert await tried(made[name], lambda folder: half_copied(folder / NAME, pages)) == ([], "run")


STRUCTURAL = {"cut", "header", "page zeroed", "pages swapped", "schema"}
"""Damage that can be told without sums, too."""


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if "log" not in kind))
async def test_of_a_journal_without_sums_nothing_foreign_is_raised(made: dict[str, Sample], kind: str) -> None:
    """Not every flipped bit can be told there; whatever is met while reading is a JournalError that names the file.

    A run that is not refused accounts for every record, and where whole pages are wrong, all it says is true.
    """
    ends = set()
    for seed in range(8):  # among fewer, none may be told
        rng = Random(f"{kind} {seed}")  # noqa: S311 the same
        name = rng.choice(sorted(made))
        found, told = await tried(without_sums(made[name]), KINDS[kind](rng, another(made, name)))
        assert (seed, [one for one in found if "missing" in one or "unnamed" in one]) == (seed, [])
        assert (seed, found if kind in STRUCTURAL else []) == (seed, [])
        ends.add(told)
    assert ends <= {"run", "refused", "stopped"}
    assert kind not in STRUCTURAL or ends & {"refused", "stopped"}


@pytest.mark.parametrize("sums", [True, False], ids=["with sums", "without"])
async def test_of_two_pages_that_have_changed_places_nothing_wrong_is_told(made: dict[str, Sample], sums: bool) -> None:
    """Whichever they are: a table may look like another one."""
    sample = made["finished"] if sums else without_sums(made["finished"])
    content = sample.files[NAME]
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    for one, other in combinations(range(len(pages)), 2):
        swapped = pages.copy()
        swapped[one], swapped[other] = pages[other], pages[one]
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            put(Path(folder), {NAME: b"".join(swapped)})
            assert (one, other, misread(sample, Path(folder, NAME))) == (one, other, [])
            with pytest.raises(JournalError, match=NAME):
                read_status(Path(folder, NAME))


async def test_a_fingerprint_of_no_record_is_damage(made: dict[str, Sample], tmp_path: Path) -> None:
    """Its record would count as new, and go again."""
    put(tmp_path, made["resumed"].files)
    path, work = tmp_path / NAME, Work()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE prints SET record = record + 1000 WHERE record = 5")
    with pytest.raises(JournalError, match="a fingerprint belongs to no record"):
        await journalled(path, list(reversed(journal_damage.RECORDS)), work)
    assert "record 4" not in work.sent


@pytest.mark.parametrize("end", [0, 4000])
async def test_a_journal_that_is_refused_stays_as_it_is(made: dict[str, Sample], tmp_path: Path, end: int) -> None:
    """Whoever has the missing part can still put it back, and go on."""
    put(tmp_path, made["killed"].files)
    log = tmp_path / f"{NAME}-wal"
    log.write_bytes(made["resumed"].files[log.name][:end])
    with pytest.raises(JournalError, match="is damaged"):
        await journalled(tmp_path / NAME, ["a"])
    log.write_bytes(made["killed"].files[log.name])
    assert read_status(tmp_path / NAME).total == len(made["killed"].truth)


async def test_a_log_that_is_lost_is_told_for_what_it_is(made: dict[str, Sample], tmp_path: Path) -> None:
    """To SQLite a journal without it is a journal that has not come so far."""
    put(tmp_path, {name: content for name, content in made["resumed"].files.items() if not name.endswith("-wal")})
    with pytest.raises(JournalError, match="what was written last is missing: the -wal beside it is lost"):
        await journalled(tmp_path / NAME, ["a"])
    with pytest.raises(JournalError, match="what was written last is missing"):
        read_status(tmp_path / NAME)


async def test_a_journal_that_was_removed_is_begun_anew(made: dict[str, Sample], tmp_path: Path) -> None:
    """Whoever removes it and nothing beside it wants another."""
    put(tmp_path, {name: content for name, content in made["resumed"].files.items() if name != NAME})
    assert (await journalled(tmp_path / NAME, ["a"])).counts == {OutcomeStatus.DONE: 1}
    assert read_status(tmp_path / NAME).total == 1


async def test_a_journal_without_sums_is_resumed_and_gets_them(tmp_path: Path) -> None:
    """Those that the format was first written in have none: what can be told without is noticed."""
    path = tmp_path / NAME
    unpack(sample_of("campaigns", "keep", "stopped"), path, "https://fake.example.com")
    with closing(sqlite3.connect(path)) as connection, connection:
        identity = '{"provider":"fake","operation":"fakes.do_many","base_url":"https://fake.example.com",'
        identity += '"journal_pii":"keep"}'
        connection.execute("UPDATE meta SET value = ? WHERE name = 'identity'", (identity,))
    told = list(read_not_done(path))
    assert told
    (records,) = rows(path, "SELECT count(*) FROM records")[0]
    await journalled(path, ["new"])
    assert rows(path, "SELECT count(*), count(sum) FROM records") == [(records + 1, 1)]
    assert {one.record for one in read_not_done(path)} <= {one.record for one in told}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE results SET status = 77 WHERE first = 1")
    with pytest.raises(JournalError, match="is damaged"):
        read_status(path)


async def test_a_moved_record_keeps_its_sum(tmp_path: Path) -> None:
    """Records that have moved up in the input, with odd texts in them, are given back as they came in."""
    odd = [{"key": 'a "b" \\ é 😀 \x7f \u2028', "n": 1e300, 7: None, "f": [1.0, -0.0]}, {"key": "b"}]
    bad = Work()
    bad.answer = journal_damage.failing
    await journalled(tmp_path / NAME, ["first", *odd], bad)
    await journalled(tmp_path / NAME, odd, bad)
    assert [one.position for one in read_not_done(tmp_path / NAME)] == [0, 0, 1]
    assert rows(tmp_path / NAME, "PRAGMA integrity_check") == [("ok",)]
