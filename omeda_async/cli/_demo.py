"""The demo: four runs at once against the sandbox, and what its audit says of them."""

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import typer
from rich.console import Console

from omeda_async import (
    BulkReport,
    BulkRun,
    ConfigurationError,
    OutcomeStatus,
    SessionManager,
)
from omeda_async._environment import settings_from_env
from omeda_async.cli import _demo_data as data
from omeda_async.cli._files import journal_files
from omeda_async.cli._outcomes import line
from omeda_async.cli._progress import Pauses, Watched, watching
from omeda_async.cli._report import STYLES, show_figures
from omeda_async.cli._screen import Exit, complaints, counted, notes, results, say
from omeda_async.cli._signals import AT_ONCE, Stopper, stopping
from omeda_async.cli._words import words
from omeda_async.outcomes import UNSETTLED
from omeda_async.sandbox import Latency, Sandbox

LATENCY = Latency(0.03, 0.4)
SEED = 2026
PORT_FILE = "sandbox-port"
EXPECTED = {
    "opt-outs": {OutcomeStatus.DONE: data.OPT_OUTS - len(data.BAD), OutcomeStatus.REJECTED: len(data.BAD)},
    "campaigns": {OutcomeStatus.DONE: data.CAMPAIGNS},
    "deployments": {
        OutcomeStatus.DONE: data.DEPLOYMENTS - len(data.CANCELLED) - 1,
        OutcomeStatus.ALREADY_DONE: len(data.CANCELLED),
        OutcomeStatus.TOO_LATE: 1,
    },
    "transactions": {OutcomeStatus.DONE: data.TRANSACTIONS},
}
"""The outcomes that the records were made for."""


@attrs.frozen
class Ended:
    """How the demo ended."""

    watched: list[Watched]
    sandbox: Sandbox
    interrupted: bool

    @property
    def finished(self) -> bool:
        """Whether nothing is left that the same command could go on with."""
        reports = [one.run.report for one in self.watched]
        return all(report.complete and not any(map(report.counts.get, UNSETTLED)) for report in reports)


def show_demo(directory: Path) -> None:
    """Run the demo or go on with it, show the results, and exit: with 0 if all is well."""
    with complaints():
        try:
            ended = asyncio.run(play(notes(), directory))
        except OSError as problem:
            raise ConfigurationError(f"the demo cannot run: {_why(problem, directory)}") from problem
        show(results(), ended)
    if ended.finished:
        _clear(directory)
    if ended.interrupted:
        again = "begins anew" if ended.finished else f"goes on from {directory}"
        say(notes(), f"Interrupted. The same command {again}.", "bold")
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.DONE if _findings(ended) == [] else Exit.NOT_ALL_DONE)


async def play(console: Console, directory: Path) -> Ended:
    """Start the sandbox, and carry out the four runs at once, or what is left of them."""
    port = _port(directory)
    async with stopping() as stopper, Sandbox(seed=SEED, latency=LATENCY, port=port) as sandbox:
        data.seed_sandbox(sandbox)
        data.set_minute(sandbox, asyncio.get_running_loop().time())
        (directory / PORT_FILE).write_text(str(urlsplit(sandbox.url).port), encoding="ascii")
        say(console, f"The sandbox answers at {sandbox.url} as Omeda, Ocamba and Journey Manager.", "dim")
        if port:
            say(console, f"It goes on where the demo in {directory} was stopped.", "bold")
        pauses = Pauses()
        async with _manager(sandbox, pauses) as manager:
            watched = _runs(manager, directory)
            with watching(watched, console) as note:
                pauses.tell = stopper.say = note
                stopper.runs = [one.run for one in watched]
                await _drain_all(watched, stopper)
            stopper.over = True
        return Ended(watched, sandbox, stopper.asked > 0)


def _port(directory: Path) -> int:
    """Return the port to listen at: that of the demo that was stopped, as its journals hold for that address only.

    Raises:
        OSError: The directory for the journals cannot be used.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return int((directory / PORT_FILE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0


def _journal(directory: Path, title: str) -> Path:
    return directory / f"{title}.sqlite3"


def _clear(directory: Path) -> None:
    """Remove what the demo wrote, so that the next one begins anew, and the directory if it is then empty."""
    with suppress(OSError):
        for title in EXPECTED:
            for path in journal_files(_journal(directory, title)):
                path.unlink(missing_ok=True)
        (directory / PORT_FILE).unlink(missing_ok=True)
        directory.rmdir()


def _why(problem: OSError, directory: Path) -> str:
    if problem.errno == errno.EADDRINUSE:
        return f"its port is in use; wait until a demo in {directory} has ended, or remove {directory} to begin anew"
    return f"{problem.strerror or problem}" + (f": {problem.filename}" if problem.filename else "")


def _manager(sandbox: Sandbox, pauses: Pauses) -> SessionManager:
    found = settings_from_env(sandbox.settings_env())
    return SessionManager(
        omeda=found.omeda,
        ocamba=found.ocamba,
        journey_manager=found.journey_manager,
        hooks=[pauses],
        log_events=False,
    )


def _runs(manager: SessionManager, directory: Path) -> list[Watched]:
    def watched(title: str, client: Any, begin: Callable[..., BulkRun], records: Any, **options: Any) -> Watched:
        run = begin(records, journal=_journal(directory, title), **options)
        return Watched(title=title, run=run, total=len(records), limits=lambda: client.limits)

    omeda, ocamba, journeys = manager.omeda, manager.ocamba, manager.journey_manager
    return [
        watched("opt-outs", omeda, omeda.opt_outs.submit_many, list(data.opt_outs())),
        watched("campaigns", ocamba, ocamba.campaigns.cancel_many, data.campaigns(), reason="demo"),
        watched("deployments", omeda, omeda.deployments.cancel_many, data.deployments()),
        watched("transactions", journeys, journeys.transactions.cancel_many, data.transactions(), reason="demo"),
    ]


async def _drain_all(watched: list[Watched], stopper: Stopper) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for one in watched:
                group.create_task(_drain(one.run, stopper))
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None


async def _drain(run: BulkRun, stopper: Stopper) -> None:
    try:
        async for _ in run:
            stopper.again()
    except asyncio.CancelledError:
        if stopper.asked < AT_ONCE:
            raise


def show(console: Console, ended: Ended) -> None:
    """Show the counts, the records that are not done, and the audit's verdict."""
    counts: Counter[OutcomeStatus] = Counter()
    for one in ended.watched:
        counts.update(one.run.report.counts)
    statuses = [status for status in OutcomeStatus if counts[status]]
    headings = ["records", *map(words, statuses), "requests", "seconds"]
    rows = {one.title: _cells(one.run.report, statuses) for one in ended.watched}
    requests = sum(one.run.report.requests for one in ended.watched)
    rows["all"] = [f"{counts.total():,}", *(f"{counts[status]:,}" for status in statuses), f"{requests:,}", ""]
    show_figures(console, headings, rows)
    failures = [outcome for one in ended.watched for outcome in one.run.report.failures]
    if not ended.interrupted:
        for outcome in failures:
            say(console, line(outcome), STYLES[outcome.status])
        say(console, "")
    _show_verdict(console, ended)


def _cells(report: BulkReport, statuses: Sequence[OutcomeStatus]) -> list[str]:
    counts = [f"{report.counts.get(status, 0):,}" for status in statuses]
    return [f"{report.total:,}", *counts, f"{report.requests:,}", f"{report.duration:.1f}"]


def _show_verdict(console: Console, ended: Ended) -> None:
    second, minute = sorted(ended.sandbox.limits.windows, key=lambda window: window.seconds)
    arrived = sum(ended.sandbox.audit.counts.values())
    say(
        console,
        f"Audit: {counted(arrived, 'request')} arrived; Ocamba counted at most {second.peak} in a second "
        f"({second.calls} are allowed) and {minute.peak} in a minute ({minute.calls} are allowed).",
    )
    findings = _findings(ended)
    for finding in findings:
        say(console, f"✗ {finding}", "bold red")
    if not findings:
        what = "the counts add up, and every one is" if not ended.interrupted else "what was done is"
        say(console, f"✓ Never over a limit, no 429; {what} accounted for.", "bold green")


def _findings(ended: Ended) -> list[str]:
    """Return in words what is wrong; nothing where all is well."""
    found = ended.sandbox.over_limit()
    if refused := sum(times for (_, _, status), times in ended.sandbox.audit.counts.items() if status == 429):
        found.append(f"{refused} requests were answered with 429")
    for one in ended.watched:
        report = one.run.report
        if report.total != sum(report.counts.values()) or (report.complete and report.total != one.total):
            found.append(f"{one.title}: {one.total} records went in, {report.total} came out")
        elif not ended.interrupted and report.counts != EXPECTED[one.title]:
            found.append(f"{one.title}: other outcomes than the records were made for")
    return found
