# ruff: noqa: ASYNC240 the files are looked at while no run is under way
"""Journals that cannot be used: the run says so with a reason, before anything is sent, and leaves the file alone."""

import asyncio
import errno
import os
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from omeda_async import BulkRun, ConfigurationError, JournalError, Outcome, OutcomeStatus
from omeda_async.bulk import Item
from omeda_async.bulk.journal import sqlite_connection, sqlite_file, sqlite_lock
from omeda_async.bulk.journal.sqlite_lock import guarding, locked
from omeda_async.journal import read_not_done, read_status
from omeda_async.outcomes import Tally
from tests.bulk.bulk_fakes import adds_up, collect, positions
from tests.bulk.journal_help import Account, Place, Settings, Work, journal_of, journalled, rows, trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite3"


async def refused(place: Place, work: Work, **options: Any) -> str:
    """Run and be refused; nothing was sent, and the report says so."""
    run = journalled(place, ["a", "b"], work, **options)
    with pytest.raises(JournalError) as caught:
        await run
    assert work.sent == []
    assert adds_up(run, 0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("work", "options", "both"),
    [
        (Work(name="fakes.undo_many"), {}, ("fakes.do_many", "fakes.undo_many")),
        (Work(account=Account(provider="other")), {}, ("'fake'", "'other'")),
        (Work(account=Account(settings=Settings(url="https://b.example.com"))), {}, ("fake.example", "b.example")),
        (Work(scope={"reason": "tired"}), {}, ("reason", "not given", "tired")),
        (Work(), {"journal_pii": "hash"}, ("keep", "hash")),
    ],
    ids=["operation", "provider", "base URL", "reason", "what is kept"],
)
async def test_the_journal_of_another_run_is_refused(
    place: Place, work: Work, options: dict[str, Any], both: tuple[str, ...]
) -> None:
    """The message names what differs, on both sides; the file stays as it was."""
    await journalled(place, ["a"])
    before = trace(place)
    text = await refused(place, work, **options)
    assert all(part in text for part in both)
    assert trace(place) == before
    with pytest.raises(JournalError):
        await journalled(place, ["a"], work, **options).plan()


async def test_another_reason_is_refused_but_not_shown_where_only_hashes_are_kept(place: Place) -> None:
    """The hashes of two reasons are compared, and neither text is in the message."""
    await journalled(place, ["a"], Work(scope={"reason": "tired"}), journal_pii="hash")
    text = await refused(place, Work(scope={"reason": "cross"}), journal_pii="hash")
    assert "reason is another one" in text


async def test_the_iteration_raises_too(path: Path) -> None:
    """``async for`` over a run whose journal is refused ends at once with the error."""
    path.mkdir()
    with pytest.raises(JournalError):
        await collect(journalled(path, ["a"]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("email\na@example.com\n" * 100), "not a database"),
        (lambda path: sqlite3.connect(path).executescript("CREATE TABLE t (a)").connection.close(), "no journal"),
        (lambda path: path.mkdir(), "is no file"),
    ],
    ids=["text", "another database", "directory"],
)
async def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path, make: Any, reason: str) -> None:
    """An input file given as the journal by mistake is not written to, and nothing is made beside it."""
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    assert reason in await refused(path, Work())
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert list(path.parent.iterdir()) == [path]
    for read in (read_status, lambda one: list(read_not_done(one))):
        with pytest.raises(JournalError):
            read(path)


@pytest.mark.parametrize("where", ["missing/run.sqlite3", "a file/run.sqlite3"])
async def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path, where: str) -> None:
    """A directory that is not there, or is none."""
    tmp_path.joinpath("a file").write_text("")
    assert "cannot be used" in await refused(tmp_path / where, Work())


async def test_a_file_system_that_is_read_only_is_told_before_anything_is_sent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the journal would be a new one or is there already."""

    def refuse(*_: Any) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    connect = sqlite_connection.connect
    with monkeypatch.context() as patched:
        patched.setattr("omeda_async.bulk.journal.sqlite_file.os.open", refuse)
        assert "Read-only file system" in await refused(path, Work())
    await journalled(path, ["a"])
    monkeypatch.setattr(sqlite_file, "connect", lambda path, mode="ro": connect(path, mode=mode))
    assert "readonly" in await refused(path, Work())


async def test_a_journal_of_an_older_format_is_refused(path: Path) -> None:
    """Its fingerprints are others: every record in it would be sent again."""
    await journalled(path, ["a"])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert "older version" in await refused(path, Work())


async def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    """The message says which format it has, and what to do."""
    await journalled(path, ["a"])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    text = await refused(path, Work())
    assert "format 99" in text
    assert "upgrade" in text


async def test_a_damaged_journal_is_refused(path: Path) -> None:
    """A file whose pages were overwritten is not trusted."""
    await journalled(path, [f"r{number}" for number in range(2000)], Work(max_entries=500))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert "cannot be used" in await refused(path, Work())


async def test_a_journal_that_is_not_there_cannot_be_read(path: Path) -> None:
    """Reading makes no file."""
    with pytest.raises(JournalError, match="there is no journal"):
        read_status(path)
    assert not path.exists()


@pytest.mark.parametrize("journal", ["", 7, b"run.sqlite3"])
def test_a_journal_that_is_no_path_is_refused_at_once(journal: Any) -> None:
    """The option is checked when the run is made."""
    with pytest.raises(ConfigurationError, match="journal"):
        _ = journalled(journal, [])


async def test_a_second_run_on_the_same_journal_is_refused_while_the_first_is_under_way(place: Place) -> None:
    """The first goes on undisturbed, can be read meanwhile, and leaves the journal free."""
    work, no_more = Work(), asyncio.Event()

    async def records() -> AsyncIterator[str]:
        yield "a"
        await no_more.wait()

    first = asyncio.ensure_future(journalled(place, records(), work))
    while not work.applied:  # noqa: ASYNC110 the work is a stand-in that tells nobody
        await asyncio.sleep(0.1)
    assert "in use" in await refused(place, Work())
    assert read_status(place).running
    assert [run.ended for run in read_status(place).runs] == [None]
    no_more.set()
    assert (await first).counts == {OutcomeStatus.DONE: 1}
    assert not read_status(place).running
    await journalled(place, ["a"])


async def test_a_link_to_a_journal_is_the_same_journal(path: Path) -> None:
    """By whatever name it is opened, a journal that is in use is refused."""
    link = path.with_name("latest.sqlite3")
    link.symlink_to(path.name)
    first, second = journal_of(path), journal_of(link)
    await first.open(Tally())
    with pytest.raises(JournalError, match="in use"):
        await second.open(Tally())
    assert read_status(link).running
    await first.close(None)


def test_who_waits_for_a_journal_does_not_keep_out_who_is_about_to_have_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several that began at the same moment, each kept the others from it, and all were refused."""
    guarding(path).touch()
    monkeypatch.setattr(sqlite_lock, "_PEEK_MILLISECONDS", 0)
    kept = ExitStack()
    # As one that tries again has it open.
    monkeypatch.setattr(sqlite_lock, "closing", lambda one: nullcontext(kept.enter_context(closing(one))))
    with kept, closing(sqlite3.connect(guarding(path), isolation_level=None, timeout=0)) as first:
        first.execute("BEGIN IMMEDIATE")
        first.execute("PRAGMA user_version = 0")
        with pytest.raises(JournalError) as second, locked(path):
            pytest.fail("both have it")
        first.execute("COMMIT")
    assert "in use by another run" in str(second.value)


async def test_the_lock_of_a_journal_is_not_another_journal(path: Path) -> None:
    """A journal that was called as the lock of another is was written over, and no journal any more."""
    other = guarding(path)
    await journalled(other, ["a"])
    assert "is not what a run makes beside the journal" in await refused(path, Work())
    path.touch()
    assert "is not what a run makes beside the journal" in await refused(path, Work())
    assert read_status(other).total == 1


async def test_what_is_noted_in_a_lock_passes_for_a_journal_with_earlier_versions(path: Path) -> None:
    """They refuse a lock that is none of theirs: a run that goes back to one would be refused."""
    await journalled(path, ["a"])
    marks = [rows(guarding(path), f"PRAGMA {name}")[0][0] for name in ("application_id", "user_version")]
    assert marks == [rows(path, f"PRAGMA {name}")[0][0] for name in ("application_id", "user_version")]


async def test_the_lock_of_a_journal_is_no_journal(path: Path) -> None:
    """It was said to be a damaged one."""
    await journalled(path, ["a"])
    with pytest.raises(JournalError, match="no journal; give the journal itself"):
        read_status(guarding(path))
    assert "no journal; give the journal itself" in await refused(guarding(path), Work())


HOLD = """
import asyncio, sys
from omeda_async.bulk.journal.identity import Identity
from omeda_async.bulk.journal.place import journal_at
from omeda_async.bulk.journal.url import where_of
from omeda_async.outcomes import Tally

async def hold():
    await journal_at(where_of(sys.argv[1]), Identity(provider="fake", operation="fakes.do_many",
                     base_url="https://fake.example.com")).open(Tally())
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


@pytest.mark.real_clock
async def test_a_process_that_holds_the_journal_keeps_others_out_until_it_dies(place: Place) -> None:
    """Another process is refused; after SIGKILL nothing has to be cleaned up."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(place), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    assert "in use" in await refused(place, Work())
    assert read_status(place).running
    holder.kill()
    await holder.wait()
    assert not read_status(place).running
    assert (await journalled(place, ["a"])).counts == {OutcomeStatus.DONE: 1}
    assert [run.complete for run in read_status(place).runs] == [False, True]


async def test_all_files_of_a_journal_are_for_their_owner_only(path: Path) -> None:
    """The journal, its write-ahead log and the lock have mode 0600, also where the journal had been opened wide."""
    modes: dict[str, int] = {}

    def look(_: list[Item]) -> float:
        modes.update({file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()})
        return 0.01

    await journalled(path, ["a"], Work(answer_time=look))
    path.chmod(0o644)
    await journalled(path, ["b"], Work(answer_time=look))
    assert modes.keys() >= {"run.sqlite3", "run.sqlite3-wal", "run.sqlite3-lock"}
    assert set(modes.values()) == {0o600}


async def test_an_ended_run_leaves_one_file_and_its_lock(path: Path) -> None:
    """The journal can be copied and read without anything beside it."""
    await journalled(path, ["a"])
    assert {file.name for file in path.parent.iterdir()} == {"run.sqlite3", "run.sqlite3-lock"}
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def limit_pages(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Let the disk be full for a journal beyond so many pages."""
    connect = sqlite_connection.connect

    def small(path: Path, *, mode: str = "rw") -> sqlite3.Connection:
        connection = connect(path, mode=mode)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(sqlite_file, "connect", small)


async def test_a_full_disk_is_told_before_anything_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not even the tables fit, the run does not begin."""
    limit_pages(monkeypatch, 3)
    assert "full" in await refused(path, Work())


async def into(outcomes: list[Outcome], run: BulkRun) -> None:
    """Collect outcomes, so that those before an error are there after it."""
    async for outcome in run:
        outcomes.append(outcome)  # noqa: PERF401 a comprehension would lose them


@pytest.mark.parametrize("pages", [10, 12, 20, 40])
async def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """Nothing is sent that could not be noted before; every record has an outcome; with room again it goes on."""
    records = [f"record {number} {'x' * 200}" for number in range(1000)]
    work = Work(max_entries=20, concurrency=2)
    with monkeypatch.context() as patch:
        limit_pages(patch, pages)
        run = journalled(path, records, work)
        outcomes: list[Outcome] = []
        with pytest.raises(JournalError, match="full"):
            await into(outcomes, run)
    assert adds_up(run, 1000)
    assert positions(outcomes) == list(range(1000))
    done = [outcome.record for outcome in outcomes if outcome.status is OutcomeStatus.DONE]
    assert sorted(done) == sorted(work.applied)
    kept = {entry for (entry,) in rows(path, "SELECT json_extract(entry, '$[1]') FROM records")}
    assert set(work.sent) <= kept
    again = Work(max_entries=20)
    assert (await journalled(path, records, again)).counts == {OutcomeStatus.DONE: 1000}
    assert set(again.doubtful) <= set(work.sent)
