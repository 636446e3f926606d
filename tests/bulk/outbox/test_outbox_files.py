"""Files that are no outbox, or cannot be written: said before put returns, and nothing is delivered silently."""

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ClientOptOut, ClosedError, OutboxError, OutcomeStatus
from omeda_async.bulk.journal.sqlite_connection import connect
from omeda_async.bulk.outbox import sqlite_file
from omeda_async.outbox import is_outbox, read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk.journal_damage import half_copied
from tests.bulk.journal_help import half_moved
from tests.bulk.outbox_help import Place, applied, client, new, outbox_on, rows, store_at
from tests.bulk.sandboxed import manager_on


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()


def newer_outbox(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {sqlite_file.APPLICATION}")
        connection.execute("PRAGMA user_version = 99")
    connection.close()


async def refused(sandbox: Sandbox, place: Place, **options: Any) -> str:
    with pytest.raises(OutboxError) as caught:
        async with outbox_on(sandbox, place, **options):
            pass
    return str(caught.value)


def test_an_outbox_that_was_emptied_is_refused(path: Path) -> None:
    """It was taken for a new one, and what waited in it was forgotten; removed, it is begun anew."""
    store_at(path, lambda: 1.0).close()
    os.truncate(path, 0)
    told = "it is empty, although it was written, as the -mark beside it notes"
    with pytest.raises(OutboxError, match=told):
        store_at(path, lambda: 1.0)
    with pytest.raises(OutboxError, match=told):
        read_status(path)
    path.unlink()
    store_at(path, lambda: 1.0).close()
    assert read_status(path).total == 0


@pytest.mark.parametrize("step", ["create", "keep_log", "_fill", "whose"])
def test_an_outbox_whose_making_ended_is_not_taken_for_emptied(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Also where one that was removed has left its -mark."""
    store_at(path, lambda: 1.0).close()
    path.unlink()

    def killed(*_: object) -> Any:
        raise sqlite3.OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, step, killed)
        with pytest.raises(OutboxError, match="killed"):
            store_at(path, lambda: 1.0)
    store_at(path, lambda: 1.0).close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("email\na@example.com\n" * 50), "damaged"),
        (lambda path: path.write_text("x"), "no outbox of this library"),
        (Path.mkdir, "no file"),
        (other_database, "no outbox of this library"),
        (newer_outbox, "upgrade"),
    ],
    ids=["text", "byte", "folder", "database", "newer"],
)
async def test_a_file_of_another_kind_is_refused_and_left_alone(
    sandbox: Sandbox, path: Path, make: Any, reason: str
) -> None:
    """The reason is said when it is opened; not a byte of it is changed, and nothing is beside it."""
    make(path)
    before = path.read_bytes() if path.is_file() else b""  # noqa: ASYNC240 nothing else is under way
    assert reason in await refused(sandbox, path)
    assert (path.read_bytes() if path.is_file() else b"") == before  # noqa: ASYNC240 the same
    assert [one.name for one in path.parent.iterdir()] == [path.name]


async def test_a_journal_is_no_outbox_and_an_outbox_no_journal(sandbox: Sandbox, path: Path, tmp_path: Path) -> None:
    """Each says what the other is."""
    journal = tmp_path / "run.sqlite3"
    async with manager_on(sandbox) as manager:
        await manager.omeda.opt_outs.submit_many([client(1)], journal=journal)
        assert "the journal of a" in await refused(sandbox, journal)
        async with manager.omeda.opt_outs.outbox(path):
            pass
        with pytest.raises(Exception, match="no journal"):
            await manager.omeda.opt_outs.submit_many([client(1)], journal=path)
    assert not is_outbox(journal)
    with pytest.raises(OutboxError, match="no outbox"):
        read_status(journal)


async def test_the_outbox_of_another_client_or_mode_is_refused(sandbox: Sandbox, place: Place) -> None:
    """The message names what differs."""
    async with outbox_on(sandbox, place):
        pass
    assert "pii is 'keep' there and 'hash' here" in await refused(sandbox, place, pii="hash")
    async with Sandbox() as other:
        assert "base_url" in await refused(other, place)


async def test_an_outbox_that_could_not_be_opened_is_not_opened_again(sandbox: Sandbox, path: Path) -> None:
    """Another has to be made: the thread of this one has ended."""
    path.write_text("x" * 2000)  # noqa: ASYNC240 nothing else is under way
    async with manager_on(sandbox) as manager:
        outbox = manager.omeda.opt_outs.outbox(path)
        for error in (OutboxError, ClosedError):
            with pytest.raises(error):
                await outbox.__aenter__()


async def test_opening_that_is_cancelled_leaves_nothing_open(sandbox: Sandbox, place: Place) -> None:
    """At any pass of the loop; the next one opens it."""
    for passes in range(6):
        async with manager_on(sandbox) as manager:
            opening = asyncio.create_task(manager.omeda.opt_outs.outbox(place).__aenter__())
            for _ in range(passes):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.wait({opening})
            if not opening.cancelled():
                await opening.result().aclose()
    assert not [thread for thread in threading.enumerate() if "outbox" in thread.name]
    async with outbox_on(sandbox, place) as outbox:
        assert (await outbox.outcome(await outbox.put(client(1)), timeout=600)).status is OutcomeStatus.DONE


async def test_a_folder_that_is_not_there_is_said(sandbox: Sandbox, tmp_path: Path) -> None:
    """In the system's words."""
    assert "No such file" in await refused(sandbox, tmp_path / "nowhere" / "outbox.sqlite3")


async def test_a_file_that_is_read_only_is_said(sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is opened, before anything is put."""
    async with outbox_on(sandbox, path):
        pass
    monkeypatch.setattr(sqlite_file, "connect", lambda path, mode="ro": connect(path, mode=mode))
    assert "readonly" in await refused(sandbox, path)


async def test_all_files_are_for_their_owner_only(sandbox: Sandbox, path: Path) -> None:
    """They hold addresses."""
    async with outbox_on(sandbox, path) as outbox:
        await outbox.put(client(1))
        modes = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == {0o600}


async def test_a_full_disk_is_told_before_put_returns_and_nothing_of_it_is_delivered(
    sandbox: Sandbox, path: Path
) -> None:
    """The put that fails is not in the outbox; what was put before is delivered; once there is room it goes on."""
    async with outbox_on(sandbox, path, max_delay=5.0) as outbox:
        kept = await outbox.put(client(1))
        sql = outbox._keeper.store._sql
        await outbox._keeper.do(lambda: sql.execute("PRAGMA max_page_count = 1").fetchone())
        big = ClientOptOut("big@example.com", source="x" * 20_000)
        with pytest.raises(OutboxError, match="full") as caught:
            await outbox.put(big)
        assert caught.value.sent is False
        assert "is not there" in str(caught.value)
        await outbox._keeper.do(lambda: sql.execute("PRAGMA max_page_count = 100000").fetchone())
        assert (await outbox.outcome(kept, timeout=600)).status is OutcomeStatus.DONE
        assert (await outbox.outcome(await outbox.put(big), timeout=600)).status is OutcomeStatus.DONE
    assert applied(sandbox) == {"a1@example.com": 1, "big@example.com": 1}


class Failing:
    """A connection that fails some times, when a put is to be committed."""

    def __init__(self, connection: sqlite3.Connection, times: int) -> None:
        self._connection = connection
        self._puts = False
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        """Execute it, or fail."""
        self._puts = "INSERT INTO entries" in sql or (self._puts and sql != "BEGIN IMMEDIATE")
        if sql == "COMMIT" and self._puts and self._times:
            self._times -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(sql, *values)


async def test_a_write_that_fails_at_its_very_end_says_that_it_may_be_there(sandbox: Sandbox, path: Path) -> None:
    """All who shared it are told, each by an error of its own; with the same key it can be put again."""
    async with outbox_on(sandbox, path, max_delay=5.0) as outbox:
        store = outbox._keeper.store
        store._sql = Failing(store._sql, times=2)  # the second write is that of two
        ends = await asyncio.gather(
            *(outbox.put(client(number), key=number) for number in (1, 2, 3)), return_exceptions=True
        )
        assert {type(end) for end in ends} == {OutboxError}
        assert ends[1] is not ends[2]
        assert all(isinstance(end, OutboxError) and end.sent and "may be there" in str(end) for end in ends)
        tickets = [await outbox.put(client(number), key=number) for number in (1, 2, 3)]
        assert [(await outbox.outcome(one, timeout=600)).status for one in tickets] == [OutcomeStatus.DONE] * 3
    assert set(applied(sandbox).values()) == {1}


async def test_outcomes_that_cannot_be_written_down_are_told_nobody_until_they_are(
    sandbox: Sandbox, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk fails when the response is there: it is noted some seconds later, and sent only once."""
    loop, told = asyncio.get_running_loop(), list[Any]()
    sandbox.fault(Fault(FaultKind.SLOW, seconds=1.0, times=1))
    async with outbox_on(sandbox, place, on_outcome=told.append) as outbox:
        ticket = await outbox.put(client(1))
        await asyncio.sleep(0.7)
        end, failures = outbox._keeper.store.end, [OutboxError("disk I/O error")] * 2

        def failing(*given: Any) -> None:
            if failures:
                raise failures.pop()
            end(*given)

        outbox._keeper.store.end = failing
        began = loop.time()
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() - began > 9
    assert len(told) == len(sandbox.requests) == 1
    assert "could not be written down" in caplog.text


async def test_a_damaged_record_is_not_sent_and_nothing_is_put_beside_it(sandbox: Sandbox, path: Path) -> None:
    """When it is opened, and while it is open: what would be sent is not what was put."""
    async with outbox_on(sandbox, path, max_delay=100.0) as outbox:
        await outbox.put(client(1))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entries SET record = replace(record, 'a1@', 'b1@')")
    connection.close()
    assert "a record is not what was put" in await refused(sandbox, path)
    assert applied(sandbox) == {}


async def test_damage_that_comes_while_it_is_open_ends_the_puts(sandbox: Sandbox, path: Path) -> None:
    """Nobody is told that something is safe in a file that is not."""
    async with outbox_on(sandbox, path, max_delay=5.0) as outbox:
        await outbox.put(client(1))
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE entries SET record = replace(record, 'a1@', 'b1@')")
        connection.close()
        await asyncio.sleep(20)
        with pytest.raises(OutboxError, match="damaged"):
            await outbox.put(client(2))
    assert applied(sandbox) == {}


async def test_pages_that_are_damaged_are_found_when_it_is_opened(sandbox: Sandbox, path: Path) -> None:
    """By SQLite's own check."""
    async with outbox_on(sandbox, path) as outbox:
        for number in range(100):
            await outbox.put(client(number))
    content = bytearray(path.read_bytes())  # noqa: ASYNC240 nothing else is under way
    content[4096 * 3 + 8 : 4096 * 5] = b"\xff" * (4096 * 2 - 8)
    path.write_bytes(content)  # noqa: ASYNC240 the same
    assert "damaged" in await refused(sandbox, path)


@pytest.mark.parametrize("pages", [1, 2, 4])
async def test_an_outbox_whose_log_was_half_copied_into_it_is_whole(
    sandbox: Sandbox, path: Path, tmp_path: Path, pages: int
) -> None:
    """So a full disk or a loss of power leaves it, and so others see it while one copies; the log has all of it."""
    sandbox.fault(Fault(FaultKind.UNAVAILABLE, times=None))
    torn = tmp_path / "torn.sqlite3"
    async with outbox_on(sandbox, path) as outbox:
        for number in range(40):
            await outbox.put(client(number))
        for end in ("", "-wal"):
            Path(f"{torn}{end}").write_bytes(Path(f"{path}{end}").read_bytes())  # noqa: ASYNC240 nothing else is under way
    half_copied(torn, pages)
    assert is_outbox(torn)
    assert read_status(torn).total == 40
    async with outbox_on(sandbox, torn) as outbox:
        assert (await outbox.status()).total == 40


async def test_a_file_that_is_moved_while_it_is_open_is_noticed_by_the_next_put(sandbox: Sandbox, path: Path) -> None:
    """SQLite would go on writing to it, and nobody would send that."""
    async with outbox_on(sandbox, path) as outbox:
        await outbox.put(client(1))
        path.rename(path.with_name("elsewhere.sqlite3"))  # noqa: ASYNC240 at once
        with pytest.raises(OutboxError, match="was moved, removed or replaced"):
            await outbox.put(client(2))


@pytest.mark.parametrize("told", [True, False])
async def test_with_hashes_only_nothing_of_a_record_is_left_once_it_has_its_outcome(
    sandbox: Sandbox, place: Place, *, told: bool
) -> None:
    """Until then it must be there to be sent. The key goes once the outcome was told; the file holds no address."""
    heard: list[Any] = []
    address = ClientOptOut("private.person@example.com", source="private.source")
    options = {"on_outcome": heard.append} if told else {}
    sandbox.fault(Fault(FaultKind.SLOW, seconds=1.0, times=1))
    async with outbox_on(sandbox, place, pii="hash", retention=None, **options) as outbox:
        ticket = await outbox.put(address, key="private.person")
        assert await outbox.put(address, key="private.person") == ticket
        [(record,)] = rows(place, "SELECT record FROM entries")
        assert "private.person@example.com" in record
        outcome = await outbox.outcome(ticket, timeout=600)
        assert (outcome.record, outcome.status) == (None, OutcomeStatus.DONE)
        await asyncio.sleep(5)
        assert (await outbox.outcome(ticket, timeout=0)).key is None
        assert rows(place, "SELECT record, key, length(fingerprint) FROM entries") == [(None, None, 16)]
        assert read_status(place).keeps_records is False
    assert [one.key for one in heard] == ["private.person"] * told
    if isinstance(place, Path):
        assert b"private" not in place.read_bytes()


def test_a_file_whose_pages_are_just_coming_from_the_wal_is_fine(path: Path) -> None:
    """To who looks, and to who opens it: a worker that starts while others put a lot."""
    store = store_at(path, lambda: 0.0)
    store.put([new(one) for one in range(100)])
    store.close()
    before = path.read_bytes()
    store = store_at(path, lambda: 0.0)
    store.put([new(one) for one in range(100, 200)])
    copy = half_moved(path, before)
    store.close()
    assert is_outbox(copy)
    assert read_status(copy).waiting == 200
    store_at(copy, lambda: 0.0).close()
    assert read_status(copy).waiting == 200
