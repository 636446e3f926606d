"""A story of what a journal holds."""

from collections.abc import Callable, Iterator
from os import PathLike
from typing import Final
from urllib.parse import urlsplit

from omeda_async.errors import OmedaAsyncError
from omeda_async.journal import JournalRun, JournalStatus, read_not_done, read_status
from omeda_async.report._failures import Failures, names_of
from omeda_async.report._lines import step, without_secrets
from omeda_async.report._story import RunLine, Step, Story

TITLES: Final = {
    "opt_outs.submit_many": ("Submit opt-outs", "opt-out"),
    "deployments.cancel_many": ("Cancel deployments", "cancel-deployments"),
    "campaigns.cancel_many": ("Cancel campaigns", "cancel-campaigns"),
    "transactions.cancel_many": ("Cancel transactions", "cancel-transactions"),
}
"""What each operation is called, and its command."""
_OPTIONS: Final = ("reason", "milestones")


def story_of(
    journal: str | PathLike[str], told: Callable[[OmedaAsyncError], str] = lambda error: error.message
) -> Story:
    """Return what a journal holds.

    Args:
        journal: Its file or its URL.
        told: Gives the words of an error.

    Raises:
        JournalError: It cannot be read, or is none.
        ConfigurationError: It is neither a path nor a URL of PostgreSQL with the name of a run.
    """
    status = read_status(journal)
    failures = Failures()
    for one in read_not_done(journal):
        failures.add(
            one.status,
            one.position + 1,
            names=names_of(one.record),
            attempts=one.attempts,
            error=type(one.error).__name__ if one.error else "",
            message=told(one.error) if one.error else "",
        )
    title, _ = TITLES.get(status.operation, (status.operation, ""))
    runs = [*_runs(status)] if status.chunks is None else []
    return Story(
        title=f"{title} at {status.provider.replace('_', ' ').title()}",
        place=urlsplit(status.base_url).netloc.rpartition("@")[2],
        source="journal",
        state=_state(status),
        cause=runs[-1].cause if runs else "",
        counts=status.counts,
        under_way=status.under_way,
        requests=status.requests,
        started=status.runs[0].started if status.runs else None,
        version=status.runs[-1].version if status.runs else "",
        failures=failures,
        notes=[*_notes(status)],
        steps=[*steps(status)],
        runs=runs,
    )


def _state(status: JournalStatus) -> str:
    if status.running:
        return "under way"
    return "complete" if status.complete else "not complete"


def _runs(status: JournalStatus) -> Iterator[RunLine]:
    for number, run in enumerate(status.runs, 1):
        running = status.running and number == len(status.runs)
        yield RunLine(
            started=run.started,
            ended=run.ended,
            state=_run_state(run, running=running),
            requests=run.requests,
            cause=run.cause or "",
        )


def _run_state(run: JournalRun, *, running: bool) -> str:
    if run.ended is None:
        return "under way" if running else "killed"
    return "complete" if run.complete else "stopped"


def _notes(status: JournalStatus) -> Iterator[str]:
    place = without_secrets(status.place) if "://" in status.place else status.place
    yield (
        f"This page was made of the journal {place}, which keeps what became of records, and no times of single "
        "requests: when they were sent, and what they waited for, is not known. A page that a command makes with "
        "--report as it sends has both."
    )
    if status.chunks is not None:
        yield "Several processes share this run: when each has sent is not known, only how many requests it was in all."
    if not status.keeps_records:
        yield "The journal keeps no records: those that are not done are known by their place in the input only."
    if status.repeats:
        yield f"{status.repeats:,} records repeat an earlier one; they are counted, and not listed below."
    if status.under_way and status.running:
        yield f"{status.under_way:,} records are on their way; they are listed as unknown."
    elif status.under_way:
        yield f"{status.under_way:,} records were begun and not heard of since; they are listed as unknown."

    if status.missing:
        yield f"{status.missing:,} records are not there any more: somebody has removed rows from the journal."


def steps(status: JournalStatus) -> Iterator[Step]:
    """Return the commands that go on from what a journal holds."""
    _, command = TITLES.get(status.operation, ("", ""))
    if not command or status.running:
        return
    if not status.complete:
        options = [(name, status.scope[name]) for name in _OPTIONS if name in status.scope and status.keeps_records]
        words = [command, "FILE", "--journal", status.place]
        words += [word for name, value in options for word in (f"--{name}", str(value))]
        note = "FILE is the input, and all options are as they were in the first command: a journal does not keep them."
        yield step("Go on where the run stopped: what is settled is not sent again.", words, note)
    elif not all(one.is_done for one in status.counts):
        yield again(status.place)


def again(journal: str) -> Step:
    """Return what writes the records that are not done as input again."""
    words = ["status", journal, "--failed", "--output", "again.jsonl"]
    note = "Then give that file to the command, with a journal of its own."
    if "://" in journal:
        note += " The password of the database is left out here."
    return step("Write the records that are not done as input again, to be corrected.", words, note)
