"""Transactions that the server ends as they and others wait for each other: each can be done again, and is."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from omeda_async import JournalError, OutcomeStatus
from omeda_async.journal import read_status
from tests.bulk.shared_help import names, shared, standing, work_of

S = OutcomeStatus
_ENDS = """
CREATE SEQUENCE {name};
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('{name}') <= {times} THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {name} AFTER UPDATE ON omeda_async_journal_records EXECUTE FUNCTION {name}();
"""


@contextmanager
def ended(url: str, times: int) -> Iterator[None]:
    """Have the server end so many transactions that change records; it forgets that number when it does."""
    name = f"ends_{secrets.token_hex(6)}"
    with psycopg.connect(url.rpartition("&run=")[0], autocommit=True) as connection:
        connection.execute(_ENDS.format(name=name, times=times).encode())
        try:
            yield
        finally:
            connection.execute(f"DROP FUNCTION {name} CASCADE; DROP SEQUENCE {name}".encode())


async def test_what_becomes_of_a_chunk_is_written_again(journal_url: str) -> None:
    """Nothing is in doubt for that, and nothing sent twice."""
    await shared(journal_url).fill(names(4))
    work = work_of()
    with ended(journal_url, times=2):
        report = await shared(journal_url, work).work()
    assert report.counts == {S.DONE: 4}
    assert sorted(work.sent) == names(4)
    assert not work.doubtful


async def test_what_is_read_is_added_again(journal_url: str) -> None:
    """An input in another order, as its records get other places; its new ones are there once, and so are repeats."""
    await shared(journal_url).fill(names(4)[::-1], chunk=2)
    with ended(journal_url, times=2):
        filled = await shared(journal_url).fill([*names(7), *names(2)])
    assert (filled.records, filled.repeats, filled.added, filled.absent) == (7, 2, 3, 0)
    assert filled.chunks == range(4)
    report = await shared(journal_url).work()
    assert (report.total, report.counts, report.complete) == (9, {S.DONE: 9}, True)
    assert read_status(journal_url).missing == 0


async def test_what_always_ends_so_is_told(journal_url: str) -> None:
    """The same call completes it."""
    await shared(journal_url).fill(names(4)[::-1])
    with ended(journal_url, times=100), pytest.raises(JournalError, match="deadlock detected"):
        await shared(journal_url).fill(names(5))
    assert standing(journal_url) == {"not_sent": 4}
    assert (await shared(journal_url).fill(names(5))).records == 5
