"""A journal whose files are moved, removed or replaced during the run: noticed at the next write, and the run stops."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from omeda_async import JournalError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.journal import read_status
from tests.bulk.bulk_fakes import adds_up, positions
from tests.bulk.journal_help import Work, journalled

S = OutcomeStatus
RECORDS = [f"record {number}" for number in range(100)]
FILES = ("run.sqlite3", "run.sqlite3-wal", "run.sqlite3-lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


def removed(file: Path) -> None:
    file.unlink()


def moved(file: Path) -> None:
    file.rename(file.with_suffix(".moved"))


def replaced(file: Path) -> None:
    """Put a copy in its place: what is written goes to the old one."""
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


async def stopped(path: Path, records: list[str], change: Callable[[], None]) -> tuple[Work, list[Outcome]]:
    """Run until something has changed with the files."""
    requests = 0

    def third(_: list[Item]) -> float:
        nonlocal requests
        requests += 1
        if requests == 3:
            change()
        return 0.01

    work = Work(concurrency=1, answer_time=third)
    run = journalled(path, records, work)
    outcomes: list[Outcome] = []

    async def take() -> None:
        async for outcome in run:
            outcomes.append(outcome)  # noqa: PERF401 a comprehension would lose them

    with pytest.raises(JournalError, match="moved, removed or replaced"):
        await take()
    assert adds_up(run, len(records))
    assert positions(outcomes) == list(range(len(records)))
    return work, outcomes


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("change", [removed, moved, replaced])
async def test_a_file_that_is_not_where_it_was_stops_the_run(
    path: Path, change: Callable[[Path], None], file: str
) -> None:
    """Nothing more is sent; what was is known, of this run and of earlier ones."""
    await journalled(path, RECORDS[:20], Work())
    work, outcomes = await stopped(path, RECORDS[20:] + RECORDS[:20], lambda: change(path.with_name(file)))
    assert len(work.sent) <= 4
    done = {outcome.record for outcome in outcomes if outcome.status is S.DONE}
    assert done == {*work.applied, *RECORDS[:20]}
    assert {outcome.status for outcome in outcomes if outcome.record not in done} == {S.NOT_SENT}


async def test_another_journal_in_its_place_is_left_alone(path: Path) -> None:
    """A run that has lost its journal tidies up nothing beside the one that is there now."""
    other = path.with_name("other.sqlite3")
    left: dict[str, bytes] = {}

    def swap() -> None:
        for file in (*FILES, "run.sqlite3-mark"):
            path.with_name(file).rename(path.with_name(f"old {file}"))
        for file in FILES[:2]:
            path.with_name(file).write_bytes(left[file])

    def copy(_: list[Item]) -> float:
        left.update({file: path.with_name(file.replace("run", "other")).read_bytes() for file in FILES[:2]})
        return 0.01

    await journalled(other, ["theirs"], Work(answer_time=copy))
    await stopped(path, RECORDS, swap)
    assert {file: path.with_name(file).read_bytes() for file in FILES[:2]} == left
    assert read_status(path).total == 1


async def test_a_journal_that_was_put_back_is_resumed(path: Path) -> None:
    """All that was sent is in it."""
    files = [path.with_name(file) for file in FILES]
    work, _ = await stopped(path, RECORDS, lambda: moved(files[0]))
    files[0].with_suffix(".moved").rename(files[0])
    again = Work()
    assert (await journalled(path, RECORDS, again)).counts == {S.DONE: 100}
    assert set(work.sent) & set(again.sent) <= set(again.doubtful)


async def test_a_link_that_leads_elsewhere_now_stops_the_run(path: Path) -> None:
    """The next run would open the other journal."""
    await journalled(path, ["theirs"])
    link = path.with_name("link")
    link.symlink_to(path)

    def lead_elsewhere() -> None:
        link.unlink()
        link.symlink_to(path.with_name("other"))
        path.with_name("other").touch()

    work, _ = await stopped(link, RECORDS, lead_elsewhere)
    assert len(work.sent) <= 4
