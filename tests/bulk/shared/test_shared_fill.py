"""The input of a run that several processes share is read once, into the journal."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from omeda_async import ConfigurationError, InvalidRecord, JournalError, OutcomeStatus
from omeda_async.bulk.journal.url import url_of
from omeda_async.bulk.shared import input as reading, run as shared_run
from omeda_async.bulk.shared.input import AT_ONCE
from omeda_async.journal import read_not_done, read_status
from tests.bulk.bulk_fakes import InputBrokeError, Watched
from tests.bulk.journal_help import asked, journalled, kept_records, trace
from tests.bulk.shared_help import adds_up, names, shared, standing, work_of

S = OutcomeStatus


async def test_what_is_filled_is_counted_and_not_sent(journal_url: str) -> None:
    """Each record is in one chunk; repeats and refused ones are beside them, with the reasons."""
    work = work_of()
    records = [*names(12), "bad one", "record 3", "record 11", "bad one"]
    filled = await shared(journal_url, work).fill(records, chunk=5)
    assert (filled.chunks, filled.records, filled.repeats, filled.refused) == (range(3), 12, 2, 2)
    assert filled.to_dict()["chunks"] == [0, 1, 2]
    assert not work.sent
    status = read_status(journal_url)
    assert status.counts == {S.NOT_SENT: 14, S.REJECTED: 2}
    assert status.chunks is not None
    assert (status.chunks.free, status.chunks.held, status.chunks.done, status.chunks.filled) == (3, 0, 0, True)
    assert (status.complete, status.running, status.repeats) == (False, False, 2)
    refused = list(read_not_done(journal_url, [S.REJECTED]))
    assert [(one.position, one.record, str(one.error)) for one in refused] == [
        (12, "bad one", "fake: name: is bad"),
        (15, "bad one", "fake: name: is bad"),
    ]


async def test_the_same_call_again_changes_nothing(journal_url: str) -> None:
    """Nor does another size of chunks; input that has grown at its end makes further chunks."""
    records = [*names(7), "record 2", "bad"]
    first = await shared(journal_url).fill(records, chunk=3)
    assert (first.added, first.absent) == (7, 0)
    assert await shared(journal_url).fill(records, chunk=100) == attrs.evolve(first, added=0)
    grown = await shared(journal_url).fill([*records, "record 7", "record 8", "record 3"], chunk=3)
    assert (grown.chunks, grown.records, grown.repeats, grown.refused) == (range(4), 9, 2, 1)
    assert (grown.added, grown.absent) == (2, 0)
    assert (await shared(journal_url).work()).counts == {S.DONE: 11, S.REJECTED: 1}
    again = await shared(journal_url).fill(records, chunk=3)
    assert (again.records, again.repeats, again.added, again.absent) == (9, 2, 0, 2)
    assert adds_up(journal_url, 12)


async def test_what_of_a_call_does_not_count_is_told(journal_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another size of chunks, where one is given; and records that cannot be sent, with the first reason."""
    await shared(journal_url).fill(names(3), chunk=2)
    await shared(journal_url).fill(names(4))
    await shared(journal_url).fill(names(5), chunk=2)
    assert not caplog.messages
    await shared(journal_url).fill([*names(6), "bad", *names(AT_ONCE), "bad too"], chunk=7)
    size, refused = caplog.messages
    assert f"{url_of(journal_url)} has chunks of 2 records, and keeps to that: chunks of 7 are for" in size
    assert "2 of the records that were read cannot be sent; the first of them, as fake: name: is bad" in refused


@pytest.mark.parametrize("at", [0, 1, 7, 10, 19, 24])
async def test_a_fill_that_breaks_off_is_completed_by_the_same_call(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Whatever was written: each record is in one chunk in the end, and chunks are full but for the last."""
    monkeypatch.setattr(reading, "AT_ONCE", 7)
    records = [*names(20), "record 4", *names(4, 20)]
    with pytest.raises(InputBrokeError):
        await shared(journal_url).fill(Watched(records, fail_at=at), chunk=4)
    chunks = read_status(journal_url).chunks
    assert chunks is not None
    assert not chunks.filled
    filled = await shared(journal_url).fill(records, chunk=4)
    assert (filled.chunks, filled.records, filled.repeats) == (range(6), 24, 1)
    sizes = asked(
        journal_url,
        """SELECT c.number, count(*) FROM omeda_async_journal_chunks AS c
        JOIN omeda_async_journal_records AS r ON r.id BETWEEN c.first AND c.last
        WHERE c.journal = %(journal)s GROUP BY c.number ORDER BY c.number""",
    )
    assert sizes == [(number, 4) for number in range(6)]


async def test_input_that_grows_and_breaks_off_leaves_the_run_incomplete(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of it last is in no chunk yet: nobody may take the run for done."""
    monkeypatch.setattr(reading, "AT_ONCE", 7)
    monkeypatch.setattr(shared_run, "OUTAGE", 2.0)
    run = shared(journal_url, work_of(concurrency=1))
    await run.fill(names(4), chunk=4)
    assert (await run.work()).complete
    with pytest.raises(InputBrokeError):
        await run.fill(Watched(names(20), fail_at=15), chunk=4)
    report = await run.work()
    assert (report.complete, report.counts) == (False, {OutcomeStatus.DONE: 12, OutcomeStatus.NOT_SENT: 2})
    assert "call fill again" in str(report.stopped_by)
    await run.fill(names(20), chunk=4)
    report = await run.work()
    assert (report.complete, report.counts) == (True, {OutcomeStatus.DONE: 20})


async def test_a_fill_cancelled_at_any_of_its_waits_is_completed(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets go of the lock; nothing is lost and nothing twice."""
    monkeypatch.setattr(reading, "AT_ONCE", 3)

    async def slowly() -> AsyncIterator[str]:
        for name in [*names(10), "record 1"]:
            await asyncio.sleep(0)
            yield name

    ended = False
    for passes in range(60):
        task = asyncio.create_task(shared(journal_url).fill(slowly(), chunk=4))
        for _ in range(passes):
            await asyncio.sleep(0)
        ended = ended or task.done()
        task.cancel()
        await asyncio.wait({task})
    filled = await shared(journal_url).fill(slowly(), chunk=4)
    assert (filled.chunks, filled.records, filled.repeats) == (range(3), 10, 1)


async def test_records_that_only_memory_holds_are_refused(journal_url: str) -> None:
    """Others could not send them; what JSON cannot hold says so."""
    filled = await shared(journal_url).fill([object(), "record 1"])
    assert (filled.records, filled.refused) == (1, 1)
    (refused,) = read_not_done(journal_url, [S.REJECTED])
    assert "cannot be kept as JSON" in str(refused.error)


async def test_without_personal_data_a_record_is_there_until_its_outcome_is(journal_url: str) -> None:
    """It has to be sent; then only a salted hash is left, and repeats are still known by that."""
    work = work_of()
    records = ["ann@example.com", "ben@example.com", "bad@example.com"]
    await shared(journal_url, work).fill(records, chunk=1, journal_pii="hash")
    assert b"ann@example.com" in trace(journal_url)
    assert b"bad@example.com" not in trace(journal_url)
    assert (await shared(journal_url, work).perform(0)).counts == {S.DONE: 1}
    assert b"ann@example.com" not in trace(journal_url)
    assert b"ben@example.com" in trace(journal_url)
    report = await shared(journal_url, work).work()
    assert b"example.com" not in trace(journal_url).replace(b"fake.example.com", b"")
    assert report.counts == {S.DONE: 2, S.REJECTED: 1}
    assert kept_records(journal_url) == {None}
    again = await shared(journal_url, work).fill([*records, "ann@example.com"], journal_pii="hash")
    assert (again.records, again.repeats) == (2, 1)
    assert sorted(work.sent) == records[:2]


async def test_a_plain_run_and_a_shared_one_do_not_take_each_others_journal(journal_url: str) -> None:
    """Each says what it is, before anything is sent."""
    await journalled(journal_url, ["a"])
    for use in (lambda: shared(journal_url).fill(["a"]), lambda: shared(journal_url).work()):
        with pytest.raises(JournalError, match="that of a plain run"):
            await use()
    with pytest.raises(JournalError, match="that of a plain run"):
        await shared(journal_url).report()
    url = f"{journal_url}-shared"
    await shared(url).fill(["a"])
    with pytest.raises(JournalError, match="that of a shared run"):
        await journalled(url, ["a"])
    assert (await shared(url).work()).counts == {S.DONE: 1}


async def test_another_run_is_refused(journal_url: str) -> None:
    """Of another scope, by whoever fills it or works on it; and one that nobody has filled."""
    await shared(journal_url, work_of(scope={"reason": "one"})).fill(["a"])
    other = shared(journal_url, work_of(scope={"reason": "two"}))
    for use in (lambda: other.fill(["a"]), other.work, lambda: other.perform(0)):
        with pytest.raises(JournalError, match="reason is 'one' there and 'two' here"):
            await use()
    with pytest.raises(JournalError, match="nobody has filled"):
        await shared(f"{journal_url}-other").work()
    with pytest.raises(JournalError, match="has no chunk 1"):
        await shared(journal_url, work_of(scope={"reason": "one"})).perform(1)


async def test_other_input_is_added_and_that_is_told(journal_url: str) -> None:
    """As where a plain run is resumed with another file: what the first one held is sent, too, and each counts once."""
    run = shared(journal_url)
    await run.fill(names(6), chunk=2)
    filled = await run.fill(["new", "record 4", "record 2", "new", "record 4", "record 0"], chunk=2)
    assert (filled.records, filled.repeats, filled.added, filled.absent) == (7, 2, 1, 3)
    report = await run.work()
    assert (report.counts, report.total, report.complete) == ({S.DONE: 9}, 9, True)


async def test_input_that_has_grown_at_its_head_has_no_repeats(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its records have moved down, and are themselves; also what was read in another group."""
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    run = shared(journal_url)
    await run.fill(names(6))
    filled = await run.fill(["new", *names(6), "record 1"])
    assert (filled.records, filled.repeats, filled.added, filled.absent) == (7, 1, 1, 0)
    assert (await run.work()).counts == {S.DONE: 8}


async def test_two_do_not_fill_a_run_at_once(journal_url: str) -> None:
    """The second is told so."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[str]:
        begun.set()
        yield "a"
        await gate.wait()

    first = asyncio.create_task(shared(journal_url).fill(held()))
    await begun.wait()
    with pytest.raises(JournalError, match="in use by another run"):
        await shared(journal_url).fill(["a"])
    gate.set()
    assert (await first).records == 1


async def test_lines_that_go_leave_the_others_known(journal_url: str) -> None:
    """They have moved up, and are no repeats."""
    await shared(journal_url).fill(names(6), chunk=2)
    filled = await shared(journal_url).fill(names(4, 2), chunk=2)
    assert (filled.chunks, filled.records, filled.repeats) == (range(3), 6, 0)
    assert standing(journal_url) == {"not_sent": 6}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"chunk": 0}, "chunk"), ({"journal_pii": "some"}, "journal_pii"), ({"chunk": True}, "chunk")],
)
async def test_options_out_of_range_are_named(journal_url: str, options: dict[str, Any], words: str) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match=words):
        await shared(journal_url).fill(["a"], **options)
    with pytest.raises(InvalidRecord, match="put a single one into a list"):
        await shared(journal_url).fill("a")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"lease": 0.0}, "lease"), ({"concurrency": 0}, "concurrency"), ({"priority": 3}, "priority")],
)
def test_options_of_the_run_are_checked(journal_url: str, options: dict[str, Any], words: str) -> None:
    """When it is made; so is the place."""
    with pytest.raises(ConfigurationError, match=words):
        shared(journal_url, **options)
    with pytest.raises(ConfigurationError, match="kept in PostgreSQL"):
        shared("run.sqlite3")
    with pytest.raises(TypeError, match="no option chunk"):
        shared(journal_url, chunk=3)
