"""
The demo: four runs at once against the sandbox, and what its audit says of them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
import typer
from rich.console import Console

from omeda_async import (
    BasicAuth,
    BulkRun,
    ConfigurationError,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    OutcomeStatus,
    SessionManager,
)
from omeda_async.cli import _demo_data as data
from omeda_async.cli._outcomes import line
from omeda_async.cli._progress import Watched, watching
from omeda_async.cli._report import STYLES, new_table, words
from omeda_async.cli._screen import Exit, complaints, notes, results, say
from omeda_async.cli._signals import Stopper, stopping
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
"""What must come out, as the records were made for it."""


@attrs.frozen
class Ended:
    """
    How the demo ended.
    """

    watched: list[Watched]
    sandbox: Sandbox
    interrupted: bool


def show_demo(journal: Path | None) -> None:
    """
    Run the demo, show what came of it, and exit: 0 if all is as it must be.
    """
    with complaints():
        try:
            ended = asyncio.run(play(notes(), journal))
        except OSError as problem:
            raise ConfigurationError(f"the demo cannot run: {problem.strerror or problem}") from problem
        show(results(), ended)
    if ended.interrupted:
        again = f"The same command goes on from {journal}." if journal else "With --journal DIR it could go on."
        say(notes(), f"Interrupted. {again}", "bold")
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.DONE if _findings(ended) == [] else Exit.NOT_ALL_DONE)


async def play(console: Console, journal: Path | None) -> Ended:
    """
    Start the sandbox, and make the four runs at once.
    """
    async with Sandbox(seed=SEED, latency=LATENCY, port=_port(journal)) as sandbox:
        data.seed_sandbox(sandbox)
        if journal is not None:
            (journal / PORT_FILE).write_text(str(urlsplit(sandbox.url).port), encoding="ascii")
        say(console, f"The sandbox answers at {sandbox.url} as Omeda, Ocamba and Journey Manager.", "dim")
        async with _manager(sandbox) as manager:
            watched = _runs(manager, journal)
            with watching(watched, console) as note:
                async with stopping([one.run for one in watched], note) as stopper:
                    await _drain_all(watched, stopper)
        return Ended(watched, sandbox, stopper.asked > 0)


def _port(journal: Path | None) -> int:
    """
    Give the port to listen at: with journals the same each time, as a journal is another provider's elsewhere.

    Raises:
        OSError: The directory for the journals cannot be used.

    """
    if journal is None:
        return 0
    journal.mkdir(parents=True, exist_ok=True)
    try:
        return int((journal / PORT_FILE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0


def _manager(sandbox: Sandbox) -> SessionManager:
    account = sandbox.journey_manager
    return SessionManager(
        omeda=OmedaSettings(
            app_id=sandbox.app_id,
            brand=sandbox.brand,
            client=sandbox.client,
            user_id=sandbox.user_id,
            base_url=sandbox.url,
        ),
        ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url),
        journey_manager=JourneyManagerSettings(
            base_url=f"{sandbox.url}/workspaces", auth=BasicAuth(account.user, account.password)
        ),
    )


def _runs(manager: SessionManager, journal: Path | None) -> list[Watched]:
    omeda, ocamba, journeys = manager.omeda, manager.ocamba, manager.journey_manager

    def kept(name: str) -> Any:
        return {"journal": None if journal is None else journal / f"{name}.sqlite3"}

    runs: list[tuple[BulkRun, int, Callable[[], Any]]] = [
        (
            omeda.opt_outs.submit_many(list(data.opt_outs()), **kept("opt-outs")),
            data.OPT_OUTS,
            lambda: omeda.limits,
        ),
        (
            ocamba.campaigns.cancel_many(data.campaigns(), reason="demo", **kept("campaigns")),
            data.CAMPAIGNS,
            lambda: ocamba.limits,
        ),
        (
            omeda.deployments.cancel_many(data.deployments(), **kept("deployments")),
            data.DEPLOYMENTS,
            lambda: omeda.limits,
        ),
        (
            journeys.transactions.cancel_many(data.transactions(), reason="demo", **kept("transactions")),
            data.TRANSACTIONS,
            lambda: journeys.limits,
        ),
    ]
    return [
        Watched(title=title, run=run, total=total, limits=limits)
        for title, (run, total, limits) in zip(EXPECTED, runs, strict=True)
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
        if stopper.asked < 2:
            raise


def show(console: Console, ended: Ended) -> None:
    """
    Show the counts, the records that are not done, and the audit's verdict.
    """
    counts: Counter[OutcomeStatus] = Counter()
    for one in ended.watched:
        counts.update(one.run.report.counts)
    statuses = [status for status in OutcomeStatus if counts[status]]
    table = new_table("", "records", *map(words, statuses), "requests", "seconds")
    for one in ended.watched:
        report = one.run.report
        cells = [f"{report.counts.get(status, 0):,}" for status in statuses]
        table.add_row(one.title, f"{report.total:,}", *cells, f"{report.requests:,}", f"{report.duration:.1f}")
    table.add_section()
    total, requests = counts.total(), sum(one.run.report.requests for one in ended.watched)
    sums = [f"{counts[status]:,}" for status in statuses]
    table.add_row("all", f"{total:,}", *sums, f"{requests:,}", "", style="bold")
    console.print(table)
    failures = [outcome for one in ended.watched for outcome in one.run.report.failures]
    if not ended.interrupted:
        for outcome in failures:
            say(console, line(outcome), STYLES.get(outcome.status, "red"))
        say(console, "")
    _show_verdict(console, ended)


def _show_verdict(console: Console, ended: Ended) -> None:
    audit = ended.sandbox.audit
    per_second, per_minute = audit.busiest("ocamba", 1.0), audit.busiest("ocamba", 60.0)
    arrived = sum(audit.counts.values())
    say(
        console,
        f"Audit: {arrived:,} requests arrived; Ocamba got at most {per_second} in any second (10 are allowed) "
        f"and {per_minute} in any minute (150 are allowed).",
    )
    findings = _findings(ended)
    for finding in findings:
        say(console, f"✗ {finding}", "bold red")
    if not findings:
        what = "the counts add up, and every one is" if not ended.interrupted else "what was done is"
        say(console, f"✓ Never over a limit, no 429; {what} accounted for.", "bold green")


def _findings(ended: Ended) -> list[str]:
    """
    Say what is not as it must be; nothing where all is well.
    """
    found = ended.sandbox.over_limit(any_phase=True)
    if refused := sum(times for (_, _, status), times in ended.sandbox.audit.counts.items() if status == 429):
        found.append(f"{refused} requests were answered with 429")
    for one in ended.watched:
        report = one.run.report
        if report.total != sum(report.counts.values()) or (report.complete and report.total != one.total):
            found.append(f"{one.title}: {one.total} records went in, {report.total} came out")
        elif not ended.interrupted and report.counts != EXPECTED[one.title]:
            found.append(f"{one.title}: other outcomes than the records were made for")
    return found
