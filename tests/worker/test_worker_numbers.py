"""Numbers that nobody means are refused by the option's name, not by the database."""

from typing import Any

import pytest

from omeda_async import ConfigurationError
from omeda_async.worker import BulkJobs
from tests.worker.worker_help import manager

ABSURD: list[Any] = [0, -1, True, 1.5, "5", None, 2**31, 2**63, 10**400, float("nan"), float("inf")]
DURATIONS: list[Any] = [0, -1.0, True, "5", None, 1e-9, 1e9, 10**400, float("nan"), float("inf")]
PRIORITIES: list[Any] = [True, 1.5, "5", None, 2**31, -(2**31) - 1, 10**6, -(10**6), 10**400]


async def defer(database: str, **options: Any) -> None:
    async with BulkJobs.at(database, manager) as jobs:
        await jobs.defer_rows(["1"], "cancel-campaigns", run="numbers", **options)


@pytest.mark.parametrize("value", [value for value in ABSURD if value is not None], ids=str)
async def test_absurd_numbers_of_chunks_are_named(database: str, value: Any) -> None:
    """Of records in one, and which one is to be performed."""
    with pytest.raises(ConfigurationError, match=r"^chunk must be a whole number from 1"):
        await defer(database, chunk=value)
    async with manager() as ours:
        run = ours.ocamba.campaigns.shared_run(f"{database}&run=numbers")
        with pytest.raises(ConfigurationError, match=r"^chunk must be a whole number from 1"):
            await run.fill(["1"], chunk=value)
        if value != 0 or isinstance(value, bool):
            with pytest.raises(ConfigurationError, match=r"^number must be a whole number from 0"):
                await run.perform(value)


@pytest.mark.parametrize("value", DURATIONS, ids=str)
async def test_absurd_durations_are_named(database: str, value: Any) -> None:
    """Of a lease, also as an option of jobs, and of the time after which a worker counts as gone."""
    with pytest.raises(ConfigurationError, match=r"^lease must be from 0\.1 to 86,400 seconds"):
        await defer(database, lease=value)
    with pytest.raises(ConfigurationError, match=r"^stalled_after must be from 0\.1 to 86,400 seconds"):
        async with BulkJobs.at(database, manager, stalled_after=value):
            pass


@pytest.mark.parametrize("value", PRIORITIES, ids=str)
async def test_absurd_priorities_are_named(database: str, value: Any) -> None:
    """One before which no sweep would go is one of them."""
    with pytest.raises(ConfigurationError, match=r"^priority must be a whole number from -999999 to 999999"):
        await defer(database, priority=value)


@pytest.mark.parametrize("value", ABSURD, ids=str)
async def test_absurd_numbers_of_a_worker_are_named(database: str, value: Any) -> None:
    """How many chunks it performs, and how often it looks for those that are gone."""
    async with BulkJobs.at(database, manager) as jobs:
        with pytest.raises(ConfigurationError, match=r"^concurrency must be a whole number from 1 to 1000"):
            await jobs.run_worker(concurrency=value)
    with pytest.raises(ConfigurationError, match=r"^sweep_every must be a whole number from 1 to 59"):
        async with BulkJobs.at(database, manager, sweep_every=value):
            pass


async def test_the_largest_that_are_taken_are_taken_by_the_database_too(database: str) -> None:
    """At the very bounds."""
    for priority in (999_999, -999_999):
        await defer(database, priority=priority, chunk=1_000_000, lease=86400.0)
    async with BulkJobs.at(database, manager, stalled_after=86400.0) as jobs:
        await jobs._queue.sweep(86400.0, None)
    async with manager() as ours:
        shared = ours.ocamba.campaigns.shared_run(f"{database}&run=numbers", lease=86400.0)
        assert (await shared.perform(0)).status in {"done", "left"}
