"""Several processes perform the chunks of one run; here, several runs in one process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from omeda_async import ClosedError, JournalError, OutcomeStatus
from omeda_async._postgres_blocking import Connection, PostgresFailed, transaction
from omeda_async._result import Result
from omeda_async.bulk import Item, Job
from omeda_async.bulk._run import identity_of
from omeda_async.bulk.journal import postgres_chunk, postgres_chunks
from omeda_async.bulk.journal.chunks import Claimed, Terms
from omeda_async.bulk.journal.interface import WriteGroup
from omeda_async.bulk.journal.postgres_chunk import ChunkBackend
from omeda_async.bulk.journal.postgres_chunks import give_back
from omeda_async.bulk.journal.postgres_line import Line
from omeda_async.bulk.journal.url import url_of
from omeda_async.bulk.shared import input as reading, run as shared_run, whole
from omeda_async.errors import AuthenticationFailed
from omeda_async.journal import cancel_run, read_not_done, read_status, reopen_run
from tests.bulk.bulk_fakes import InputBrokeError, Watched, refusal
from tests.bulk.journal_help import Work, asked
from tests.bulk.postgres_journals import at
from tests.bulk.shared_help import (
    Abandoned,
    SharedAccount,
    later,
    names,
    outcome,
    rows_of,
    shared,
    standing,
    statuses,
    work_of,
)
from tests.limits.postgres_service import OwnPostgres

S = OutcomeStatus


async def test_several_share_a_run_and_each_record_is_sent_once(journal_url: str) -> None:
    """Both do some of it, and both give the same report, which adds up."""
    works = [work_of(concurrency=2), work_of(concurrency=2)]
    records = [*names(60), "record 7", "bad"]
    await shared(journal_url).fill(records, chunk=10)
    reports = await asyncio.gather(*(shared(journal_url, work).work() for work in works))
    assert all(work.sent for work in works)
    assert sorted(works[0].sent + works[1].sent) == sorted(names(60))
    for report in reports:
        assert report.counts == {S.DONE: 61, S.REJECTED: 1}
        assert (report.total, report.complete, report.requests) == (62, True, 12)
        assert [(one.position, one.key) for one in report.failures] == [(61, None)]
    assert read_status(journal_url).complete
    assert read_status(journal_url).requests == 12


async def test_chunks_are_performed_one_by_one(journal_url: str) -> None:
    """As an engine for jobs wants it: each tells how it stands, and a second time does nothing."""
    work = work_of()
    run = shared(journal_url, work)
    filled = await run.fill(names(25), chunk=10)
    reports = [await run.perform(number) for number in (*filled.chunks, 1)]
    assert statuses(reports) == ["done"] * 4
    assert [report.counts for report in reports] == [{S.DONE: 10}, {S.DONE: 10}, {S.DONE: 5}, {S.DONE: 10}]
    assert [report.requests for report in reports] == [2, 2, 1, 0]
    assert sorted(work.sent) == sorted(names(25))
    assert (await run.report()).complete


async def test_a_chunk_that_another_performs_says_when_to_try_again(journal_url: str) -> None:
    """Its lease, and the time-out of an attempt: that of the account that performs it."""
    await shared(journal_url).fill(names(3))
    account = SharedAccount(timeout=50.0, connect_timeout=10.0)
    slow = asyncio.create_task(shared(journal_url, work_of(account=account, answer_time=lambda _: 3.0)).perform(0))
    await asyncio.sleep(1.0)
    taken = await shared(journal_url).perform(0)
    assert taken.status == "taken"
    assert taken.retry_in is not None
    assert 60.0 < taken.retry_in <= 65.0
    chunks = read_status(journal_url).chunks
    assert chunks is not None
    assert (chunks.held, read_status(journal_url).running) == (1, True)
    assert (await slow).status == "done"


@pytest.mark.parametrize(
    "heard",
    [lambda _: None, lambda dead: dead.backend.renew(dead.line), lambda dead: dead.intend(0)],
    ids=["claimed", "renewed", "written"],
)
async def test_a_lease_that_is_over_is_not_enough(journal_url: str, heard: Callable[[Abandoned], None]) -> None:
    """Whatever was heard of it last: what it has sent may arrive until the time-out of an attempt is over, too."""
    await shared(journal_url).fill(names(3))
    work = work_of()
    with Abandoned(journal_url, Terms(lease=30.0, attempt=60.0, lookback=0.0)) as dead:
        heard(dead)
        for gone, least in ((0.0, 85.0), (31.0, 54.0)):
            later(journal_url, gone)
            taken = await shared(journal_url, work).perform(0)
            assert taken.status == "taken"
            assert taken.retry_in is not None
            assert least < taken.retry_in <= 90.0 - gone
    assert not work.sent
    later(journal_url, 59.0)
    assert (await shared(journal_url, work).perform(0)).counts == {S.DONE: 3}


async def test_what_a_dead_process_had_intended_is_settled_after_its_lease(journal_url: str) -> None:
    """Not before the lease and the time-out of an attempt; the rest is sent as new."""
    await shared(journal_url).fill(names(6))
    work = work_of()
    with Abandoned(journal_url) as dead:
        dead.intend(1, 4)
        assert standing(journal_url) == {"not_sent": 4, "begun": 2}
        taken = await shared(journal_url, work).perform(0)
    assert taken.status == "taken"
    assert not work.sent
    assert taken.retry_in is not None
    assert 0.0 < taken.retry_in <= 0.7
    report = await shared(journal_url, work).work()
    assert report.counts == {S.DONE: 6}
    assert sorted(work.doubtful) == ["record 1", "record 4"]
    assert sorted(work.sent) == names(6)


async def test_a_process_thought_dead_writes_nothing_more(journal_url: str) -> None:
    """Neither intents nor outcomes, nor does it renew its lease; what its successor has written stands."""
    await shared(journal_url).fill(names(6))
    with Abandoned(journal_url) as dead:
        dead.intend(0, 1)
        report = await shared(journal_url).work()
        before = rows_of(journal_url)
        assert dead.refused_to_write()
        for known in (S.FAILED, S.REJECTED):
            with pytest.raises(JournalError, match="another process"):
                dead.end_as((known, 0, 1, 2))
        dead.backend.renew(dead.line)
        assert dead.told
        with pytest.raises(JournalError, match="another process"):
            dead.backend.end(1, {}, None)
    assert rows_of(journal_url) == before
    assert standing(journal_url) == {"done": 6}
    assert report.counts == {S.DONE: 6}


@pytest.mark.parametrize("is_done", [False, True], ids=["and goes on with it", "and has done it"])
async def test_a_chunk_that_another_has_claimed_at_the_very_end_is_not_called_done(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    """After the last write of one that was suspended then, and before it would have given the chunk back."""
    await shared(journal_url).fill(names(3))
    with Abandoned(journal_url) as late:

        def claimed_meanwhile(line: Line, claimed: Claimed, *, done: bool) -> bool:
            with psycopg.connect(journal_url.rpartition("&run=")[0]) as connection:
                connection.execute(
                    "UPDATE omeda_async_journal_chunks SET fence = fence + 1, done = %s WHERE journal = %s",
                    (is_done, claimed.journal),
                )
            return give_back(line, claimed, done=done)

        monkeypatch.setattr(postgres_chunk, "give_back", claimed_meanwhile)
        if is_done:
            late.backend.end(1, {}, None)
        else:
            with pytest.raises(JournalError, match="another process"):
                late.backend.end(1, {}, None)
        assert (late.backend.is_lost, late.backend.done) == ((False, True) if is_done else (True, None))


async def test_a_lease_that_has_run_out_lets_nothing_be_sent(journal_url: str) -> None:
    """By this process's own clock, from when it was asked for; a renewal is asked for in time or is none."""
    await shared(journal_url).fill(names(6))
    with Abandoned(journal_url) as held:
        held.time = 0.39
        assert not held.backend.lapsed()
        held.backend.renew(held.line)
        held.time = 0.78
        assert not held.backend.lapsed()
        held.time = 0.8
        assert held.backend.lapsed()


async def test_a_renewal_that_comes_late_holds_nothing(journal_url: str) -> None:
    """The chunk was given back: it is the next one's at once."""
    await shared(journal_url).fill(names(3))
    with Abandoned(journal_url) as held:
        held.backend.end(0, {}, "stopped")
        held.backend.renew(held.line)
    chunks = read_status(journal_url).chunks
    assert chunks is not None
    assert (chunks.free, chunks.held) == (1, 0)
    assert (await shared(journal_url).perform(0)).status == "done"


async def test_a_chunk_is_held_for_longer_than_a_lease_as_it_is_renewed(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times in each, by a connection of its own, while nothing is written for a while."""
    renew, lines = ChunkBackend.renew, list[Line]()

    def noted(backend: ChunkBackend, line: Line) -> None:
        lines.append(line)
        renew(backend, line)
        assert not backend.lapsed()

    monkeypatch.setattr(ChunkBackend, "renew", noted)
    await shared(journal_url).fill(names(3))
    work = work_of(answer_time=lambda _: 19.5)
    report = await shared(journal_url, work, lease=3.0).perform(0)
    assert (report.status, report.counts) == ("done", {S.DONE: 3})
    assert (len(lines), len(set(map(id, lines)))) == (19, 1)


async def test_a_run_is_cancelled_from_anywhere_and_goes_on(journal_url: str) -> None:
    """Who holds a chunk stops, with what is in flight noted; no further one is claimed until it is reopened."""
    work = work_of(concurrency=1, answer_time=at(2, lambda: cancel_run(journal_url)))
    await shared(journal_url).fill(names(40), chunk=20)
    report = await shared(journal_url, work).work()
    assert str(report.stopped_by) == "the run was cancelled"
    assert report.counts == {S.DONE: len(work.applied), S.NOT_SENT: 40 - len(work.applied)}
    assert len(work.applied) < 20
    assert (await shared(journal_url).perform(1)).status == "cancelled"
    assert str((await shared(journal_url).work()).stopped_by) == "the run was cancelled"
    assert await asyncio.to_thread(reopen_run, journal_url) == (0, 1)
    assert (await shared(journal_url, work).work()).counts == {S.DONE: 40}
    assert sorted(work.sent) == sorted(names(40))


async def test_a_reopened_run_tries_again_what_failed(journal_url: str) -> None:
    """Only that; what may have been carried out is settled by the operation's rule."""
    failed = Result[Any](error=refusal(), known=S.FAILED, attempts=2)
    unknown = Result[Any](error=refusal(), known=S.UNKNOWN, attempts=1, doubtful=True)
    work = work_of(max_entries=1, endings={"record 1": failed, "record 3": unknown})
    await shared(journal_url).fill([*names(6), "record 1"], chunk=3)
    report = await shared(journal_url, work).work()
    assert report.counts == {S.DONE: 4, S.FAILED: 2, S.UNKNOWN: 1}
    assert [(one.position, one.record, one.status) for one in report.failures] == [
        (1, "record 1", S.FAILED),
        (3, "record 3", S.UNKNOWN),
    ]
    assert [one.record for one in read_not_done(journal_url)] == ["record 1", "record 3"]
    assert reopen_run(journal_url) == (0, 1)
    again = work_of()
    assert (await shared(journal_url, again).work()).counts == {S.DONE: 7}
    assert (sorted(again.sent), again.doubtful) == (["record 1", "record 3"], ["record 3"])
    assert reopen_run(journal_url) == ()


async def test_a_process_with_other_settings_sends_nothing(journal_url: str) -> None:
    """Records that read differently there are not what was asked for; others may perform the chunk at once."""

    class Other(Work):
        def read(self, raw: Any) -> Item:
            item = super().read(raw)
            item.fingerprint += b"?"
            return item

    await shared(journal_url).fill(names(3))
    other = Other(account=work_of().account)
    with pytest.raises(JournalError, match="read differently here"):
        await shared(journal_url, other).perform(0)
    assert not other.sent
    assert (await shared(journal_url).perform(0)).counts == {S.DONE: 3}


async def test_a_cause_that_meets_everyone_stops_the_run(journal_url: str) -> None:
    """No further chunk is claimed; the report says why, and the same call goes on later."""

    class Stopping(Work):
        async def perform(self, items: list[Item], job: Job) -> None:
            await super().perform(items, job)
            job.stop.set(AuthenticationFailed("wrong token", status=401))

    work = Stopping(account=work_of().account, max_entries=5, concurrency=1)
    work.answer = lambda items: Result(error=refusal(), known=S.FAILED, attempts=len(items))
    await shared(journal_url).fill(names(30), chunk=10)
    report = await shared(journal_url, work).work()
    assert isinstance(report.stopped_by, AuthenticationFailed)
    assert (report.counts, report.complete) == ({S.FAILED: 5, S.NOT_SENT: 25}, False)
    assert (await shared(journal_url).work()).counts == {S.DONE: 30}


async def test_closing_the_manager_gives_the_chunks_back(journal_url: str) -> None:
    """At once, for others to go on."""
    work = work_of(concurrency=1, answer_time=lambda _: 0.5)
    await shared(journal_url).fill(names(20), chunk=20)
    task = asyncio.create_task(shared(journal_url, work).work())
    await asyncio.sleep(0.7)
    work.account.activity.stop()
    await work.account.activity.aclose(5.0)
    report = await task
    assert isinstance(report.stopped_by, ClosedError)
    assert report.counts == {S.DONE: len(work.applied), S.NOT_SENT: 20 - len(work.applied)}
    with pytest.raises(ClosedError):
        await shared(journal_url, work).work()
    assert (await shared(journal_url).perform(0)).status == "done"


@pytest.mark.parametrize("twice", [False, True])
async def test_cancelled_at_any_moment_nothing_is_lost_or_left_held(journal_url: str, *, twice: bool) -> None:
    """Whatever was under way: the next goes on at once, and what may have been sent is settled, not guessed."""
    sent: list[tuple[Any, bool]] = []

    def note(items: list[Item]) -> float:
        sent.extend((item.raw, item.doubtful) for item in items)
        return 0.003

    await shared(journal_url).fill(names(120), chunk=2)
    for passes in range(30):
        work = work_of(max_entries=1, concurrency=2, answer_time=note)
        task = asyncio.create_task(shared(journal_url, work, lease=600.0).work())
        for _ in range(passes):
            await asyncio.sleep(0.001)
        task.cancel()
        if twice:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task})
        chunks = read_status(journal_url).chunks
        assert chunks is not None
        assert chunks.held == 0
    report = await shared(journal_url, work_of(answer_time=note)).work()
    assert report.counts == {S.DONE: 120}
    assert {raw for raw, _ in sent} == set(names(120))
    assert max(Counter(raw for raw, doubtful in sent if not doubtful).values()) == 1


async def test_a_connection_that_is_lost_is_made_anew(journal_url: str) -> None:
    """In the middle of a chunk: it is gone on with, each record is sent once, and nothing is in doubt."""
    name = f"ours-{journal_url[-16:]}"
    url = f"{journal_url}&application_name={name}"
    cut = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = %(name)s AND pid <> pg_backend_pid()"""
    work = work_of(concurrency=1, answer_time=at(2, lambda: asked(url, cut, name=name)))
    await shared(url).fill(names(30), chunk=10)
    report = await shared(url, work).work()
    assert report.counts == {S.DONE: 30}
    assert (sorted(work.sent), work.doubtful) == (sorted(names(30)), [])


async def test_a_connection_that_is_lost_beyond_the_lease_and_back_is_no_failure(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is given back by a new connection, and claimed again; what was under way is in doubt."""
    monkeypatch.setattr(postgres_chunk, "OUT", -1.0)
    url = f"{journal_url}&application_name=ours-{journal_url[-16:]}"
    cut = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = %(name)s AND pid <> pg_backend_pid()"""
    work = work_of(concurrency=1, answer_time=at(2, lambda: asked(url, cut, name=url[-21:])))
    await shared(url).fill(names(30), chunk=10)
    report = await shared(url, work).work()
    assert report.counts == {S.DONE: 30}
    assert {name for name, times in Counter(work.sent).items() if times > 1} <= set(work.doubtful)


@pytest.mark.parametrize("times", [2, 1000])
async def test_a_database_that_is_away_when_all_is_done_is_waited_for(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The report comes all the same; where it does not come back, the error does, and the work is done."""
    monkeypatch.setattr(shared_run, "OUTAGE", 3.0)
    tries, read = 0, whole.read_report

    def away(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= times:
            raise JournalError("the connection was lost")
        return read(*given)

    monkeypatch.setattr(shared_run, "read_report", away)
    await shared(journal_url).fill(names(3))
    if times == 2:
        assert (await shared(journal_url).work()).counts == {S.DONE: 3}
    else:
        with pytest.raises(JournalError, match="was lost"):
            await shared(journal_url).work()
    assert read_status(journal_url).complete


@pytest.mark.parametrize("read", [0, 6])
async def test_a_run_that_nobody_fills_to_its_end_is_not_waited_for_without_end(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, read: int
) -> None:
    """What is there is sent; a line says what is waited for, the report what to do. Who fills it is waited for."""
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    monkeypatch.setattr(shared_run, "OUTAGE", 4.0)
    with pytest.raises(InputBrokeError):
        await shared(journal_url).fill(Watched(names(9), fail_at=read), chunk=3)
    began = asyncio.get_running_loop().time()
    report = await shared(journal_url, work_of(concurrency=1)).work()
    assert asyncio.get_running_loop().time() - began > 4.0
    assert (report.counts.get(S.DONE, 0), report.complete) == (read, False)
    assert "nobody reads it: call fill again" in str(report.stopped_by)
    assert caplog.text.count("nobody reads it; waited for, for 4 s at the most") == 1

    async def slowly() -> AsyncIterator[str]:
        for name in names(9):
            await asyncio.sleep(0.8)
            yield name

    working = asyncio.create_task(shared(journal_url, work_of(concurrency=1)).work())
    await shared(journal_url).fill(slowly(), chunk=3)
    report = await working
    assert (report.counts, report.complete, report.stopped_by) == ({S.DONE: 9}, True, None)


def test_a_claim_that_comes_to_nothing_does_not_hide_what_others_made_of_late(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk that is performed here has the limiter told of it, and no further one."""
    asyncio.run(shared(journal_url).fill(names(2), chunk=1))
    terms, line = Terms(lease=30.0, attempt=0.0, lookback=60.0), Line(url_of(journal_url), 30.0)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(postgres_chunks, "holder", lambda: "another process")
        with Abandoned(journal_url, terms, 0) as other:
            other.backend.write(WriteGroup(requests=5, recent=5))
    for _ in range(2):
        claimed = postgres_chunks.claim(line, identity_of(work_of(), "keep"), terms, 1)
        assert isinstance(claimed, Claimed)
        postgres_chunks.give_back(line, claimed, done=False)
    line.close()
    with Abandoned(journal_url, terms, 1) as mine:
        assert (mine.backend.open().requests, mine.backend.open().requests) == (5, 0)


async def test_a_commit_whose_answer_is_lost_is_made_again_and_each_outcome_keeps_its_own_words(
    journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try had stored new words under a number; words from before that are stored anew get another one."""
    told: list[PostgresFailed] = []

    @contextmanager
    def losing(connection: Connection, *, at_once: bool = False) -> Iterator[None]:
        with transaction(connection, at_once=at_once):
            yield
        if told:
            connection.close()
            raise told.pop()

    monkeypatch.setattr(postgres_chunk, "transaction", losing)
    await shared(journal_url).fill(names(3))
    with Abandoned(journal_url, Terms(lease=30.0, attempt=0.0, lookback=0.0)) as held:
        held.intend(0, 1, 2)
        held.end_as((S.DONE, 0))
        told.append(PostgresFailed("the connection was lost", is_away=True))
        held.end_as((S.DONE, 1), (S.REJECTED, 2))
    assert not told
    answers = asked(
        journal_url,
        """SELECT a.answer FROM omeda_async_journal_records AS r
        JOIN omeda_async_journal_answers AS a ON a.id = r.answer WHERE r.journal = %(journal)s ORDER BY r.id""",
    )
    assert [text for (text,) in answers] == [outcome(S.DONE).stored, outcome(S.DONE).stored, outcome(S.REJECTED).stored]


async def test_a_write_that_the_server_undoes_for_the_sake_of_another_is_made_again(server: OwnPostgres) -> None:
    """Two wait for each other, and one has to give way: nothing is lost, and the chunk is gone on with."""
    url = f"{server.url}?run=undone"
    one = "UPDATE omeda_async_journal_{} SET journal = journal WHERE journal = (SELECT id FROM omeda_async_journals {})"
    mine = "WHERE name = %s"
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %(pid)s = ANY(pg_blocking_pids(pid))"
    await shared(url).fill(names(3))
    with (
        Abandoned(url, Terms(lease=30.0, attempt=0.0, lookback=0.0)) as held,
        psycopg.connect(server.url) as other,
    ):
        other.execute("SET deadlock_timeout = '10min'")
        other.execute(one.format("records", mine).encode(), ("undone",))
        writing = asyncio.create_task(asyncio.to_thread(held.intend, 0, 1))
        while asked(url, waits, pid=other.info.backend_pid) == [(0,)]:  # noqa: ASYNC110 the database is asked
            await asyncio.sleep(0.01)
        other.execute(one.format("chunks", mine).encode(), ("undone",))
        other.commit()
        await writing
    assert standing(url) == {"begun": 2, "not_sent": 1}
