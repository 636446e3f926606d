"""Rows of a shared run's journal that somebody has removed are missed."""

import pytest

from omeda_async import JournalError, OutcomeStatus
from omeda_async.bulk.shared import input as reading
from omeda_async.journal import read_status
from tests.bulk.bulk_fakes import InputBrokeError, Watched
from tests.bulk.journal_help import asked
from tests.bulk.shared_help import names, shared

S = OutcomeStatus
INPUT = [*names(9), "record 1", "bad one"]
ONE = "DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s AND position = 4"
LAST = "DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s AND position = 8"
REPEAT = "DELETE FROM omeda_async_journal_asides WHERE journal = %(journal)s AND repeats"
REFUSED = "DELETE FROM omeda_async_journal_asides WHERE journal = %(journal)s AND NOT repeats"
CHUNK = "DELETE FROM omeda_async_journal_chunks WHERE journal = %(journal)s AND number = 1"
LAST_CHUNK = "DELETE FROM omeda_async_journal_chunks WHERE journal = %(journal)s AND number = 2"
ALL = "DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s"


@pytest.mark.parametrize(
    ("removing", "counts", "words"),
    [
        (ONE, {S.DONE: 9, S.REJECTED: 1, S.UNKNOWN: 1}, "1 of the records that were read"),
        (LAST, {S.DONE: 9, S.REJECTED: 1, S.UNKNOWN: 1}, "1 of the records that were read"),
        (REPEAT, {S.DONE: 9, S.REJECTED: 1, S.UNKNOWN: 1}, "1 of the records that were read"),
        (REFUSED, {S.DONE: 10, S.UNKNOWN: 1}, "1 of the records that were read"),
        (CHUNK, {S.DONE: 7, S.REJECTED: 1, S.NOT_SENT: 3}, "3 are in no chunk any more"),
        (LAST_CHUNK, {S.DONE: 7, S.REJECTED: 1, S.NOT_SENT: 3}, "3 are in no chunk any more"),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_run_of_which_rows_were_removed_is_never_complete(
    journal_url: str, removing: str, counts: dict[S, int], words: str, when: str
) -> None:
    """Each record that was read is counted, those that are gone as unknown; it says so, and nothing is added to it."""
    run = shared(journal_url)
    await run.fill(INPUT, chunk=3)
    if when == "after":
        assert (await run.work()).complete
        if removing in {CHUNK, LAST_CHUNK}:
            counts = {S.DONE: 10, S.REJECTED: 1}
    asked(journal_url, removing)
    report = await run.work()
    assert (report.counts, report.total, report.complete) == (counts, 11, False)
    assert words in str(report.stopped_by)
    status = read_status(journal_url)
    assert not status.complete
    assert status.chunks is not None
    assert status.missing + status.chunks.missing == int(words[0])
    with pytest.raises(JournalError, match=f"nothing is added to it: {words}"):
        await run.fill(INPUT)


async def test_a_run_of_which_all_records_were_removed_is_not_complete(journal_url: str) -> None:
    """Though there is nothing left to do."""
    run = shared(journal_url)
    await run.fill(names(6), chunk=3)
    asked(journal_url, ALL)
    report = await run.work()
    assert (report.counts, report.complete) == ({S.UNKNOWN: 6}, False)


@pytest.mark.parametrize("removing", [ONE, CHUNK])
async def test_what_is_removed_before_the_input_was_read_to_its_end_is_missed(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, removing: str
) -> None:
    """The call that completes it says so, and reads nothing twice."""
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    with pytest.raises(InputBrokeError):
        await shared(journal_url).fill(Watched(names(20), fail_at=15), chunk=3)
    asked(journal_url, removing)
    with pytest.raises(JournalError, match="is damaged"):
        await shared(journal_url).fill(names(20), chunk=3)


async def test_a_run_that_another_version_has_filled_is_gone_on_with(journal_url: str) -> None:
    """Nothing was noted there: nothing is missed, and the next fill notes it."""
    run = shared(journal_url)
    await run.fill(names(6), chunk=3)
    asked(journal_url, "UPDATE omeda_async_journals SET records = NULL, asides = NULL WHERE id = %(journal)s")
    assert (await run.fill(names(7), chunk=3)).added == 1
    assert (await run.work()).complete
    asked(journal_url, ONE)
    assert not (await run.report()).complete
