"""What a role or a database has set for the sessions of others changes nothing for a journal."""

import asyncio

import pytest

from omeda_async import OutcomeStatus
from omeda_async.bulk.journal.postgres_link import opened
from omeda_async.bulk.journal.url import url_of
from omeda_async.journal import read_status
from tests.bulk.journal_help import Work, journalled
from tests.bulk.shared_help import names, shared, work_of

S = OutcomeStatus


def with_settings(url: str, *settings: str) -> str:
    """Return a run's URL in whose sessions something is set."""
    before, _, name = url.partition("&run=")
    given = "".join(f"%20-c{setting.replace('=', '%3D').replace(' ', '%5C%20')}" for setting in settings)
    return f"{before}{given}&run={name}"


@pytest.mark.parametrize("setting", ["datestyle=SQL,DMY", "standard_conforming_strings=off"])
async def test_what_is_written_and_read_is_the_same(journal_url: str, setting: str) -> None:
    """Filled in two calls, performed by several at once, and read; a plain one, too, is resumed."""
    url = with_settings(journal_url, setting)
    await shared(url).fill(names(6), chunk=5)
    assert (await shared(url).fill(names(30), chunk=5)).records == 30
    works = [work_of(max_entries=1, concurrency=4) for _ in range(2)]
    reports = await asyncio.gather(*(shared(url, work).work() for work in works))
    assert [(report.counts, report.complete) for report in reports] == [({S.DONE: 30}, True)] * 2
    assert sorted(name for work in works for name in work.sent) == sorted(names(30))
    assert read_status(url).complete
    plain = f"{url}-plain"
    for number in (5, 9):
        assert (await journalled(plain, names(number), Work())).counts == {S.DONE: number}
    assert len(read_status(plain).runs) == 2


def test_several_write_at_once_and_a_connection_is_left_alone(journal_url: str) -> None:
    """A provider may let wait for longer than an administrator expects of anybody; our own limits end the rest."""
    given = {"statement_timeout": "5s", "lock_timeout": "5s", "idle_session_timeout": "5s"}
    isolation = {"default_transaction_isolation": "repeatable read"}
    url = with_settings(journal_url, *(f"{name}={value}" for name, value in (given | isolation).items()))
    with opened(url_of(url)) as connection:
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in (*isolation, *given)]
    assert shown == [("read committed",), ("0",), ("0",), ("0",)]
