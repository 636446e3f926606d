"""What jobs are made of, without a queue: when they come again, what may stand in them."""

import asyncio
from functools import partial
from typing import Any

import pytest
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException

from omeda_async import (
    AuthenticationFailed,
    ClosedError,
    ConfigurationError,
    ConnectionFailed,
    InvalidRecord,
    JournalError,
    NotAuthorized,
    OcambaSettings,
    RateLimited,
    ServerError,
    SessionManager,
    UnreadableAnswer,
)
from omeda_async.worker import BulkJobs, _running
from omeda_async.worker._again import FIRST, LONGEST, OFTEN, Later, seconds_until_again, taken
from omeda_async.worker._operations import check_options, operation_of
from omeda_async.worker._performing import Managers, Performing
from omeda_async.worker._places import check_database, journal_of, split
from omeda_async.worker._queue import Queue
from tests.limits.postgres_service import AwayAtFirst, free_port

DATABASE = "postgresql://ops@db.example.com/jobs"


def manager() -> SessionManager:
    return SessionManager(ocamba=OcambaSettings(token="t"))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailed("no way there"),
        ServerError("503", status=503),
        RateLimited("429", status=429),
        UnreadableAnswer("a page"),
        JournalError("the database is away"),
        ConnectorException("the database is away"),
        OSError("no more files"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_comes_again_later_and_later_and_not_for_ever(error: Exception) -> None:
    """First after seconds, then at most every quarter of an hour, for about a day."""
    waits = [seconds_until_again(error, attempts) for attempts in range(OFTEN)]
    assert waits[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert max(filter(None, waits)) == waits[-1] == LONGEST
    assert 20 * 3600 < sum(filter(None, waits)) < 30 * 3600
    assert seconds_until_again(error, OFTEN) is None


HIDING = "a\u202egnp.b\x1b[2J"


async def test_a_run_whose_name_cannot_be_shown_is_not_deferred() -> None:
    """Its name stands in logs and on terminals."""
    jobs = BulkJobs(App(connector=PsycopgConnector()), manager, journal=DATABASE)
    with pytest.raises(ConfigurationError, match="of characters that can be printed") as caught:
        await jobs.defer_rows(["1"], "cancel-campaigns", run=HIDING)
    assert str(caught.value).isprintable()


class Emptied(Queue):
    """A queue that holds no jobs any more."""

    async def remove(self, run: str) -> int:
        """Say so."""
        return len(run) * 0


@pytest.mark.parametrize("operation", ["cancel-campaigns", f"new{HIDING}"])
@pytest.mark.parametrize("options", [{}, {f"new{HIDING}": 1}], ids=["known", "unknown"])
async def test_a_job_of_somebody_elses_is_logged_without_what_turns_the_text(
    caplog: pytest.LogCaptureFixture, operation: str, options: dict[str, int]
) -> None:
    """Whoever can write to the queue's database chooses what stands in a job: its run, its operation, its options."""
    performing = Performing(
        managers=Managers(manager),
        queue=Emptied(app=App(connector=PsycopgConnector()), name="q"),
        journal=partial(journal_of, DATABASE),
        on_chunk=None,
    )
    with pytest.raises((ConfigurationError, Later)):
        await performing.perform(run=f"{HIDING} anna@example.com", chunk=1, operation=operation, options=options)
    (told,) = [record.getMessage() for record in caplog.records if record.name.startswith("omeda_async")]
    assert told.isprintable()
    assert "anna@" not in told


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationFailed("401", status=401),
        NotAuthorized("not yours"),
        ConfigurationError("no token"),
        InvalidRecord("no records"),
        TypeError("no such option"),
        KeyError("a slip of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_be_met_again_never_comes_again(error: Exception) -> None:
    """Somebody has to correct it."""
    assert seconds_until_again(error, 0) is None


@pytest.mark.parametrize("error", [ClosedError("stopped"), asyncio.CancelledError()])
def test_what_a_stopped_worker_gives_back_comes_again_at_once(error: BaseException) -> None:
    """As often as workers are stopped."""
    assert seconds_until_again(error, 10 * OFTEN) == 0


def test_a_chunk_of_anothers_is_looked_at_when_its_lease_may_be_over() -> None:
    """As often as it takes."""
    assert seconds_until_again(taken(42.0), 10 * OFTEN) == 42


def test_an_operation_that_is_none_is_told_which_there_are() -> None:
    """By the names of the commands."""
    with pytest.raises(ConfigurationError, match="opt-out, cancel-deployments, cancel-campaigns, cancel-transactions"):
        operation_of("optout")


def test_options_of_jobs_are_plain_and_hold_no_address() -> None:
    """Jobs are stored and logged by whoever runs the queue."""
    check_options({"reason": "wrong audience", "max_entries": 10, "explain": False, "milestones": None})
    with pytest.raises(ConfigurationError, match="reason holds an e-mail address") as caught:
        check_options({"reason": "as ada@example.com asked"})
    assert "ada" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="priority must be a text"):
        check_options({"priority": object()})


def test_the_journal_of_a_run_is_at_the_database_with_its_name() -> None:
    """Whatever the name holds; and it is read as it was written."""
    for database in (DATABASE, f"{DATABASE}?sslmode=verify-full"):
        assert split(journal_of(database, "spring 50% & more")) == (database, "spring 50% & more")


@pytest.mark.parametrize("url", [f"{DATABASE}?run=x", "run.sqlite3", "redis://h/0", 7])
def test_a_database_that_is_none_is_refused_without_its_secrets(url: object) -> None:
    """A run has a name of its own; a file is no place for several hosts."""
    with pytest.raises(ConfigurationError):
        check_database(url)
    with pytest.raises(ConfigurationError) as caught:
        check_database("postgresql://ops:hunter2@h/d?run=x")
    assert "hunter2" not in str(caught.value)


def test_jobs_are_made_of_an_app_and_a_factory() -> None:
    """Anything else is told at once, and so are two of them on one app."""
    app = App(connector=PsycopgConnector(conninfo=DATABASE))
    BulkJobs(app, manager)
    with pytest.raises(ConfigurationError, match="has BulkJobs already"):
        BulkJobs(app, manager)
    wrong: Any
    for wrong in ((object(), manager), (App(connector=PsycopgConnector()), "manager")):
        with pytest.raises(ConfigurationError, match="takes an App"):
            BulkJobs(*wrong)


async def test_one_manager_serves_all_that_is_under_way_and_is_closed_after_the_last() -> None:
    """The next one who comes has another one."""
    managers = Managers(manager)
    async with managers.one() as first:
        async with managers.one() as second:
            assert second is first
        assert not first._activity.closing.is_set
    assert first._activity.closing.is_set
    async with managers.one() as third:
        assert third is not first


async def test_a_factory_of_something_else_is_told_so() -> None:
    """By the name of the argument."""
    with pytest.raises(ConfigurationError, match="manager_factory must make a SessionManager, not dict"):
        async with Managers(dict).one():  # type: ignore[arg-type]  # that is the point
            pass


@pytest.mark.parametrize("times", [0, 3])
async def test_a_queue_whose_database_is_away_at_first_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """For as long as that is asked for; one line of the log says so."""
    away = AwayAtFirst(times)
    monkeypatch.setattr(_running, "connect", away)
    if times:
        with pytest.raises(ConfigurationError, match="Connection refused"):
            async with BulkJobs.at(database, manager):
                pass
        away.tries = 0
    async with BulkJobs.at(database, manager, patience=60.0):
        assert away.tries == times + 1
    assert caplog.text.count("is away, and waited for, for 60 s at the most") == bool(times)


async def test_a_queue_whose_database_stays_away_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """After as long as was asked for, with the reason; what no waiting would change is told at once."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConfigurationError, match="Connection refused"):
        async with BulkJobs.at(f"postgresql://127.0.0.1:{free_port()}/x", manager, patience=30.0):
            pass
    assert asyncio.get_running_loop().time() - began > 29.0
    assert caplog.text.count("waited for") == 1
