"""A bulk run: sent, watched, and reported."""

import asyncio
from typing import Any

import attrs

from omeda_async import BulkRun, ClosedError, OmedaAsyncError, Outcome, OutcomeStatus, SessionManager
from omeda_async.cli._order import Format, Order
from omeda_async.cli._outcomes import summary, writing
from omeda_async.cli._progress import Pauses, Watched, watching
from omeda_async.cli._report import show_report
from omeda_async.cli._screen import Exit, notes, print_json, results, say, shown
from omeda_async.cli._signals import stopping
from omeda_async.rows import RowFile


@attrs.define
class Ended:
    """How a run ended."""

    run: BulkRun
    interrupted: bool = False
    unwritten: bool = False
    """Whether some results could not be written."""
    broken_off: bool = False
    """Whether it was stopped at once, so that some records were not reported one by one."""


def send(order: Order, rows: RowFile, settings: Any, host: str) -> Exit:
    """Send the records and report; interrupted, what was not sent is reported as such."""
    return _report(order, rows, asyncio.run(_sent(order, rows, settings)), host)


async def _sent(order: Order, rows: RowFile, settings: Any) -> Ended:
    pauses = Pauses()
    async with SessionManager(**{order.provider.setting: settings}, hooks=[pauses]) as manager:
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
    """Return an outcome with the cause of the stop as its error, where a stop is all that kept it from being sent."""
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
    """Return where the records are that are not done and not shown; nothing where no file has them."""
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
