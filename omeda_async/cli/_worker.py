"""A worker in the foreground, and runs that are cancelled."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from omeda_async import ChunkReport, ChunkStatus, SessionManager, journal
from omeda_async._environment import settings_from_env
from omeda_async.cli._order import check_extra, trusting
from omeda_async.cli._process import leave
from omeda_async.cli._screen import complaints, counted, notes, say, shown
from omeda_async.cli._signals import handle_signals
from omeda_async.cli._words import words
from omeda_async.limits import check_where

if TYPE_CHECKING:
    from omeda_async.worker import Waiting

ALONE = "alone"
PATIENCE = 60.0
"""Seconds for which a database that is away at first is waited for, as a shared run does."""
TOLD = {
    ChunkStatus.DONE: "green",
    ChunkStatus.LEFT: "yellow",
    ChunkStatus.CANCELLED: "yellow",
}
"""What is told of chunks, and how."""


@attrs.frozen(kw_only=True)
class Way:
    """How a worker reaches the providers, and with whom it shares their limits."""

    share_limits: str | None = attrs.field(repr=False)
    proxy: str | None = attrs.field(repr=False)
    ca_file: Path | None

    def manager(self, database: str) -> SessionManager:
        """Make a manager of the providers that the environment names.

        Raises:
            ConfigurationError: A variable is missing or wrong, or the way is none.
        """
        where = self.share_limits or settings_from_env().share_limits or database
        check_where(where, "--share-limits")
        return SessionManager.from_env(
            proxy=self.proxy,
            ssl=None if self.ca_file is None else trusting(self.ca_file),
            log_events=False,
            share_limits=None if where == ALONE else where,
        )


def work(database: str, way: Way, *, concurrency: int, grace: float, once: bool) -> None:
    """Send what is enqueued until a signal comes, or until nothing is left to do now."""
    with complaints():
        check_extra()
        asyncio.run(_worked(database, way, concurrency=concurrency, grace=grace, once=once))


def cancel(run: str) -> None:
    """Cancel a run."""
    with complaints(argument="journal"):
        journal.cancel_run(run)
        say(notes(), "Cancelled: nothing new of it is sent. What is under way may end.", "bold")


async def _worked(database: str, way: Way, *, concurrency: int, grace: float, once: bool) -> None:
    from omeda_async.worker import BulkJobs  # noqa: PLC0415 it needs an extra

    for name in ("procrastinate", "psycopg"):  # what they meet with is told as ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asked = 0
    main = asyncio.current_task()

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked > 1 or main is None:
            leave()
        else:
            say(notes(), "Stopping: what is on its way may end. Again to stop at once.")
            main.cancel()

    handle_signals(stop)
    try:
        async with BulkJobs.at(database, lambda: way.manager(database), patience=PATIENCE, on_chunk=_tell) as jobs:
            say(notes(), f"Working, {counted(concurrency, 'chunk')} at a time.", "bold")
            await jobs.run_worker(concurrency=concurrency, grace=grace, wait=not once)
            _tell_waiting(await jobs.waiting())
    except asyncio.CancelledError:
        if not asked:
            raise
        say(notes(), "Stopped; what is not sent waits for the next worker.", "bold")


def _tell_waiting(waiting: "Waiting") -> None:
    """Say what is left for later, by a worker that ends when there is nothing to do now."""
    if waiting.jobs:
        when, many = f"{waiting.seconds:.0f} s", waiting.jobs > 1
        text = f"{counted(waiting.jobs, 'job')} {'come again, the first' if many else 'comes again'} in {when}."
        say(notes(), f"{text} A worker has to be there then.", "yellow")


def _tell(run: str, report: ChunkReport) -> None:
    style = TOLD.get(report.status)
    if style is None:
        return
    counts = ", ".join(f"{count:,} {words(status)}" for status, count in report.counts.items())
    why = f" ({shown(str(report.stopped_by))})" if report.stopped_by is not None else ""
    say(notes(), f"{run}: chunk {report.number} {report.status}{why}{f': {counts}' if counts else ''}", style)
