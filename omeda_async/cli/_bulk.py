"""What the bulk commands have in common: connect, plan or confirm, run, report."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
import typer

from omeda_async import (
    BulkRun,
    ClosedError,
    ConfigurationError,
    OmedaAsyncError,
    Outcome,
    OutcomeStatus,
    SessionManager,
)
from omeda_async.cli._files import check_output
from omeda_async.cli._input import opened
from omeda_async.cli._outcomes import as_dict, summary, writing
from omeda_async.cli._progress import Pauses, Watched, watching
from omeda_async.cli._report import levels_in_words, show_plan, show_report
from omeda_async.cli._screen import Exit, Format, complaints, counted, notes, print_json, results, say, shown
from omeda_async.cli._signals import stopping
from omeda_async.rows import RowFile, RowKind
from omeda_async.settings import settings_from_env


@attrs.frozen(kw_only=True)
class Provider:
    """A provider as people and the environment call it."""

    name: str
    setting: Literal["omeda", "ocamba", "journey_manager"]
    """The name of its settings."""
    variable: str
    """The variable without which it is not configured."""


OMEDA = Provider(name="Omeda", setting="omeda", variable="OMEDA_APP_ID")
OCAMBA = Provider(name="Ocamba", setting="ocamba", variable="OCAMBA_TOKEN")
JOURNEY_MANAGER = Provider(name="Journey Manager", setting="journey_manager", variable="JOURNEY_MANAGER_BASE_URL")


@attrs.frozen(kw_only=True)
class Asked:
    """What every bulk command can be asked for; see the options of the same names."""

    file: str
    journal: Path | None = None
    plan: bool = False
    yes: bool = False
    output: str | None = None
    format: Format = Format.TABLE
    ignore_column: list[str] | None = None
    concurrency: int | None = None
    deadline: float | None = None


Make: TypeAlias = Callable[[SessionManager, RowFile, dict[str, Any]], BulkRun]
"""Makes the run, of the manager, the records and the options of every bulk method."""


@attrs.frozen(kw_only=True)
class Order:
    """A bulk command with everything it was given."""

    kind: RowKind
    verb: str
    """What is done to the records: ``"cancel"``."""
    provider: Provider
    make: Make
    asked: Asked
    own: Mapping[str, Any] = attrs.field(factory=dict)
    """The options that only this command has."""

    @property
    def title(self) -> str:
        """Say what is done: ``"Cancel campaigns"``."""
        return f"{self.verb.capitalize()} {self.kind.what}"

    def run(self, manager: SessionManager, rows: RowFile) -> BulkRun:
        """Make the run, which has not begun then."""
        asked = self.asked
        options = {"journal": asked.journal, "concurrency": asked.concurrency, "deadline": asked.deadline}
        return self.make(manager, rows, options)


@attrs.define
class Ended:
    """How a run ended."""

    run: BulkRun
    interrupted: bool = False
    unwritten: bool = False
    """Could some results not be written?"""
    broken_off: bool = False
    """Was it stopped at once, so that some records were not reported one by one?"""


def perform(order: Order) -> None:
    """Do what was asked for, and exit with the code that says how it went."""
    with complaints(), opened(order.kind, order.asked.file, order.asked.ignore_column or ()) as rows:
        _check_outputs(order.asked)
        settings, pauses = _settings(order.provider), Pauses()
        _check_user(order, rows, settings)
        manager: SessionManager = SessionManager(**{order.provider.setting: settings}, hooks=[pauses])
        host = urlsplit(settings.url).netloc
        if order.asked.plan:
            code = _plan(order, rows, manager, host)
        elif not _confirmed(order, rows, host):
            say(notes(), "Nothing was sent.", "bold")
            code = Exit.NOT_ALL_DONE
        else:
            code = _report(order, rows, asyncio.run(_send(order, rows, manager, pauses)), host)
    raise typer.Exit(code)


def _check_outputs(asked: Asked) -> None:
    if asked.plan and asked.output is not None:
        raise ConfigurationError(
            "--plan sends nothing, so that there are no results for --output: leave one of them out; "
            "--format json gives the whole plan"
        )
    if asked.output == "-":
        raise ConfigurationError("--output - would mix the results with the summary on standard output: give a file")
    check_output(asked.output, file=asked.file, journal=asked.journal)


def _settings(provider: Provider) -> Any:
    settings = getattr(settings_from_env(only=provider.setting), provider.setting)
    if settings is None:
        raise ConfigurationError(f"{provider.name} is not configured: set {provider.variable} and what goes with it")
    return settings


def _check_user(order: Order, rows: RowFile, settings: Any) -> None:
    """Refuse what is done in somebody's name where nobody is named, neither for all records nor for any."""
    if "user_id" in order.kind.fields and not (order.own.get("user_id") or settings.user_id or rows.has("user_id")):
        raise ConfigurationError(
            f"{order.title} is done in somebody's name: set OMEDA_USER_ID, give --user-id, "
            f"or add a {'field' if rows.format == 'jsonl' else 'column'} user_id to the file"
        )


def _plan(order: Order, rows: RowFile, manager: SessionManager, host: str) -> Exit:
    async def make() -> Any:
        async with manager:
            return await order.run(manager, rows).plan()

    plan, levels = asyncio.run(make()), rows.levels()
    if order.asked.format is Format.JSON:
        found = {name: value for name, value in attrs.asdict(plan, recurse=False).items() if name != "refused_total"}
        found["refused"] = [as_dict(outcome) for outcome in plan.refused]
        found["late"] = [as_dict(outcome) for outcome in plan.late]
        found["refused_left_out"] = plan.refused_total - len(plan.refused)
        if levels:
            found["levels"] = {level or "unknown": count for level, count in levels.items()}
        print_json({"plan": order.title, "provider": order.provider.name, "host": host, **found})
    else:
        show_plan(results(), plan, f"{order.title} at {order.provider.name} ({host})", levels)
    return Exit.NOT_ALL_DONE if plan.refused_total else Exit.DONE


def someone_there() -> bool:
    """Is there somebody who can be asked?"""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirmed(order: Order, rows: RowFile, host: str) -> bool:
    if order.asked.yes:
        return True
    if order.asked.file == "-" or not someone_there():
        raise ConfigurationError("this cannot be undone and there is nobody to ask: give --yes, or see --plan first")
    what = counted(len(rows), "record")
    if levels := levels_in_words(rows.levels()):
        what += f" ({', '.join(f'{count:,} {level}' for level, count in levels.items())})"
    where = f"at {order.provider.name} ({host})"
    try:
        return typer.confirm(f"{order.title}: {what}, {where}. This cannot be undone. Go on?", err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None


async def _send(order: Order, rows: RowFile, manager: SessionManager, pauses: Pauses) -> Ended:
    async with manager:
        run = order.run(manager, rows)
        client = getattr(manager, order.provider.setting)
        watched = Watched(title=order.title, run=run, total=len(rows), limits=lambda: client.limits)
        ended = Ended(run)
        with writing(order.asked.output) as write, watching([watched], notes()) as note:
            pauses.tell = note
            async with stopping([run], note) as stopper:
                try:
                    async for outcome in run:
                        write(_with_cause(outcome, run.stopped_by))
                        stopper.again()
                except OSError as problem:
                    await run.aclose()
                    ended.unwritten = True
                    note(f"Stopped, as {order.asked.output} cannot be written: {problem.strerror}")
                except asyncio.CancelledError:
                    if stopper.asked < 2:
                        raise
            ended.interrupted, ended.broken_off = stopper.asked > 0, stopper.asked > 1
    return ended


def _with_cause(outcome: Outcome, cause: OmedaAsyncError | None) -> Outcome:
    """Return a record that a stop left unsent the reason why the run was stopped, where its own is only that it was."""
    unsent = outcome.status is OutcomeStatus.NOT_SENT and not outcome.attempts
    if cause is None or not unsent or not isinstance(outcome.error, ClosedError):
        return outcome
    return attrs.evolve(outcome, error=cause)


def _report(order: Order, rows: RowFile, ended: Ended, host: str) -> Exit:
    report, cause = ended.run.report, ended.run.stopped_by
    report = attrs.evolve(report, failures=tuple(_with_cause(outcome, cause) for outcome in report.failures))
    all_done = report.total == len(rows) and all(status.is_done for status in report.counts)
    interrupted = ended.interrupted and not all_done
    stopped_by = None if cause is None or interrupted else shown(str(cause))
    if order.asked.format is Format.JSON:
        where = {"operation": order.title, "provider": order.provider.name, "host": host}
        print_json(summary(report, **where, interrupted=interrupted, stopped_by=stopped_by))
    else:
        title = f"{order.title} at {order.provider.name} ({host})"
        show_report(results(), report, title, cause=stopped_by, stopped=interrupted, rest=_rest(order, ended))
    _advise(order, report.counts, interrupted=interrupted)
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.DONE if all_done and not ended.unwritten else Exit.NOT_ALL_DONE


def _rest(order: Order, ended: Ended) -> str:
    """Say where to find the records that are not done beyond those shown; nothing where no file has them."""
    if ended.unwritten or ended.broken_off:
        return ""
    return f"{order.asked.output or '--output FILE'} has them all"


def _advise(order: Order, counts: dict[OutcomeStatus, int], *, interrupted: bool) -> None:
    if interrupted and order.asked.journal:
        say(notes(), "Interrupted. The same command goes on where this one stopped.", "bold")
    elif interrupted:
        say(notes(), "Interrupted. With --journal RUN.sqlite3 the same command could go on.", "bold")
    elif counts.get(OutcomeStatus.UNKNOWN):
        say(notes(), "Unknown means that the answer was lost: look at these before you send them again.", "bold")
