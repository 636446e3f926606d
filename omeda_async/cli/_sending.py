"""A bulk run: sent, watched, and reported."""

import asyncio
from typing import TYPE_CHECKING

import attrs

from omeda_async import (
    BulkReport,
    BulkRun,
    ClosedError,
    ConfigurationError,
    JournalError,
    OmedaAsyncError,
    Outcome,
    OutcomeStatus,
)
from omeda_async.cli._files import file_of
from omeda_async.cli._order import Format, Order
from omeda_async.cli._outcomes import Lines, advice, summary, writing
from omeda_async.cli._process import OutputLost
from omeda_async.cli._progress import Pauses, Watched, watching
from omeda_async.cli._report import show_report
from omeda_async.cli._screen import Exit, counted, notes, print_json, results, say, say_command, shown
from omeda_async.cli._signals import AT_ONCE, Stopper, stopping
from omeda_async.cli._words import words
from omeda_async.events import Hook
from omeda_async.outcomes import UNSETTLED
from omeda_async.rows import RowFile

if TYPE_CHECKING:
    from omeda_async.cli._pictures import Pictures


@attrs.define
class Ended:
    """How a run ended."""

    rows: int
    """Records in the input."""
    run: BulkRun | None = None
    interrupted: bool = False
    output_failed: str = ""
    """Why --output took no more; empty where it did."""
    broken_off: bool = False
    """Whether it was stopped at once, so that some records were not reported one by one."""
    pictures: "Pictures | None" = None
    """What is collected for --report."""
    failure: OmedaAsyncError | None = None
    """What went wrong beside the records' own outcomes after something had been sent."""


def send(order: Order, rows: RowFile) -> Exit:
    """Send the records and report; interrupted, what was not sent is reported as such."""
    ended = Ended(len(rows), pictures=_pictures(order))
    try:
        # Opened before the loop takes the signals: a pipe may be waited for, and a signal is to end that.
        with writing(order.asked.output) as lines:
            asyncio.run(_sent(order, rows, lines, ended))
            try:
                lines.end()
            except OSError as problem:
                ended.output_failed = _unwritable(order, problem)
    except KeyboardInterrupt:
        ended.interrupted = ended.broken_off = True
    if ended.run is None:
        raise KeyboardInterrupt
    try:
        return _report(order, ended.run, ended)
    except KeyboardInterrupt:
        say(notes(), "Interrupted while the summary was written.", "bold")
        return Exit.INTERRUPTED


def _pictures(order: Order) -> "Pictures | None":
    if order.asked.report is None:
        return None
    from omeda_async.cli._pictures import Pictures  # noqa: PLC0415 most commands draw none

    return Pictures.of(order)


async def _sent(order: Order, rows: RowFile, lines: Lines, ended: Ended) -> None:
    pauses, pictures = Pauses(), ended.pictures
    hooks: list[Hook] = [pauses] if pictures is None else [pauses, pictures.timeline]
    async with (
        stopping() as stopper,
        order.manager(hooks=hooks) as manager,
    ):
        run = ended.run = order.run(manager, rows)
        client = getattr(manager, order.provider.setting)
        if pictures is not None:
            pictures.timeline.used = lambda: [one.used for one in client.limits.windows]
        watched = Watched(
            title=order.title,
            run=run,
            total=len(rows),
            limits=lambda: client.limits,
            trouble=lambda: pauses.trouble(order.provider.setting),
        )
        with watching([watched], notes()) as note:
            pauses.tell = stopper.say = note
            stopper.runs = [run]
            try:
                await _drained(order, run, stopper, lines, ended)
            finally:
                if pictures is not None:
                    pictures.over()
        stopper.over = True
        ended.interrupted, ended.broken_off = stopper.asked > 0, stopper.asked > 1


async def _drained(order: Order, run: BulkRun, stopper: Stopper, lines: Lines, ended: Ended) -> None:
    try:
        async for found in run:
            outcome = _with_cause(found, run.stopped_by)
            if ended.pictures is not None:
                ended.pictures.take(outcome)
            try:
                lines(outcome)
                if lines.held:
                    await lines.taken(stopper.hurry)
            except OSError as problem:
                lines.lose()
                ended.output_failed = _unwritable(order, problem)
                if not _is_settled(run.report, ended.rows):
                    stopper.say(f"{ended.output_failed}; nothing new is sent.")
                    run.stop(ended.output_failed)
            stopper.again()
    except OmedaAsyncError as error:
        if not run.report.requests:
            raise
        ended.failure = error
    except asyncio.CancelledError:
        if stopper.asked < AT_ONCE:
            raise


def _unwritable(order: Order, problem: OSError) -> str:
    return f"{order.asked.output} cannot be written: {problem.strerror}"


def _is_settled(report: BulkReport, total: int) -> bool:
    """Whether a stop changes nothing any more: all was read, and nothing is left to be tried."""
    return report.total == total and not any(map(report.counts.get, UNSETTLED))


def _with_cause(outcome: Outcome, cause: OmedaAsyncError | None) -> Outcome:
    """Return an outcome with the cause of the stop as its error, where a stop is all that kept it from being sent."""
    unsent = outcome.status is OutcomeStatus.NOT_SENT and not outcome.attempts
    if cause is None or not unsent or not isinstance(outcome.error, ClosedError):
        return outcome
    return attrs.evolve(outcome, error=cause)


def _report(order: Order, run: BulkRun, ended: Ended) -> Exit:
    report, cause = run.report, run.stopped_by
    report = attrs.evolve(report, failures=tuple(_with_cause(outcome, cause) for outcome in report.failures))
    all_done = report.total == ended.rows and all(status.is_done for status in report.counts)
    ended.interrupted = ended.interrupted and not all_done
    code = _code(ended, all_done=all_done)
    through = ended.interrupted or _is_settled(report, ended.rows)
    stopped_by = None if cause is None or through else shown(_named(cause))
    try:
        _show(order, report, ended, stopped_by)
    except OutputLost as lost:
        sums = ", ".join(f"{count:,} {words(status)}" for status, count in report.counts.items())
        say(notes(), f"Error: {lost}; {counted(report.total, 'record')}: {sums}", "bold red")
        code = code or Exit.NOT_ALL_DONE
    else:
        _advise(order, report.counts, ended)
    if ended.output_failed:
        _tell_where_outcomes_are(order, ended.output_failed)
    if _drawn(ended, report, stopped_by):
        return code
    return code or Exit.NOT_ALL_DONE


def _drawn(ended: Ended, report: BulkReport, stopped_by: str | None) -> bool:
    """Write the page of a run, where one is asked for; False where it cannot be written."""
    if ended.pictures is None:
        return True
    cause = stopped_by or ("" if ended.failure is None else ended.failure.message)
    try:
        ended.pictures.write(report, ended.rows, cause, interrupted=ended.interrupted, unlisted=ended.broken_off)
    except ConfigurationError as problem:
        say(notes(), f"Error: {shown(problem.message)}", "bold red")
        return False
    return True


def _named(cause: OmedaAsyncError) -> str:
    return f"{cause.provider}: {advice(cause)}" if cause.provider else advice(cause)


def _code(ended: Ended, *, all_done: bool) -> Exit:
    if isinstance(ended.failure, JournalError):
        return Exit.JOURNAL_FAILED
    if ended.interrupted:
        return Exit.INTERRUPTED
    return Exit.DONE if all_done and not ended.output_failed and ended.failure is None else Exit.NOT_ALL_DONE


def _show(order: Order, report: BulkReport, ended: Ended, stopped_by: str | None) -> None:
    if order.asked.format is Format.JSON:
        failed = (ended.output_failed or None) if ended.failure is None else advice(ended.failure)
        about = {"operation": order.title, **order.where, "interrupted": ended.interrupted, "stopped_by": stopped_by}
        print_json(summary(report, **about, failure=failed))
    else:
        title = f"{order.title} {order.whereabouts}"
        show_report(results(), report, title, cause=stopped_by, stopped=ended.interrupted, rest=_rest(order, ended))


def _rest(order: Order, ended: Ended) -> str:
    """Return where the records are that are not done and not shown; nothing where no file has them."""
    if ended.output_failed or ended.broken_off:
        return ""
    return f"{order.asked.output or '--output FILE'} has them all"


def _advise(order: Order, counts: dict[OutcomeStatus, int], ended: Ended) -> None:
    if ended.failure is not None:
        say(notes(), f"Error: {shown(advice(ended.failure))}.{_way_on(order, ended.failure)}", "bold red")
    elif ended.interrupted and order.asked.journal:
        say(notes(), "Interrupted. The same command goes on where this one stopped.", "bold")
    elif ended.interrupted:
        say(notes(), "Interrupted. With --journal RUN.sqlite3 the same command could go on.", "bold")
    elif counts.get(OutcomeStatus.UNKNOWN):
        say(notes(), "Unknown means that the answer was lost: look at these before you send them again.", "bold")


def _tell_where_outcomes_are(order: Order, failed: str) -> None:
    """Say why --output did not take all outcomes, and where the others are."""
    text = f"Error: {shown(failed)}. What is settled is counted in the summary, but not every outcome is in that file."
    if order.asked.journal is None:
        text += " There is no journal (--journal) that has them, and the same command would send all again."
        say(notes(), text, "bold red")
        return
    from omeda_async.report._lines import without_secrets  # noqa: PLC0415 only a failure needs it

    text += " The journal has them: the same command with another --output writes all, and sends nothing twice. Now:"
    say(notes(), text, "bold red")
    say_command(notes(), "status", without_secrets(order.asked.journal))


def _way_on(order: Order, failure: OmedaAsyncError) -> str:
    if not isinstance(failure, JournalError) or order.asked.journal is None:
        return ""
    path = file_of(order.asked.journal)
    if path is None:
        return (
            " See that the database can be reached and written. Then give the same command again: it goes on, and what "
            "the journal does not know is settled with the provider."
        )
    if not path.exists():
        return " The same command would send every record again: send only what is not done."
    return (
        " See that it can be written, that there is room on the disk and no other program holds it. Then give the same "
        "command again: it goes on, and what the journal does not know is settled with the provider."
    )
