"""What a journal or an outbox holds."""

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any, Final, TextIO

import typer
from rich.console import Console

from omeda_async import ConfigurationError, OutcomeStatus, outbox
from omeda_async.cli._again import Survey, write_again
from omeda_async.cli._files import check_output, check_report, replacing
from omeda_async.cli._order import Format
from omeda_async.cli._report import STYLES, show_counts
from omeda_async.cli._screen import Exit, complaints, counted, notes, print_json, results, say, say_command, shown
from omeda_async.cli._words import cause_in_words, in_command, words
from omeda_async.journal import JournalChunks, JournalRun, JournalStatus, read_status
from omeda_async.outbox import OutboxStatus, is_outbox

_CAUSES: Final = 20
"""So many are told at the most."""
_NOT_DONE: Final = [status for status in OutcomeStatus if not status.is_done]


def show_status(journal: str, form: Format, report: str | None = None) -> None:
    """Show the counts, requests, times and causes of a journal, or an outbox; exit 0 if all is done, else 1."""
    with complaints(argument="journal"):
        _check_named(journal)
        check_report(report, journal=journal)
        status = outbox.read_status(journal) if is_outbox(journal) else read_status(journal)
        if report is not None:
            if isinstance(status, OutboxStatus):
                raise ConfigurationError(
                    f"{status.place} is an outbox, which goes on by itself: --report is for journals"
                )
            from omeda_async.cli._pictures import write_journal  # noqa: PLC0415 most commands draw none

            write_journal(journal, report)
    if form is Format.JSON:
        print_json(_outbox_document(status) if isinstance(status, OutboxStatus) else _document(status))
    else:
        _show(results(), status)
    done = status.complete and all(one.is_done for one in status.counts)
    raise typer.Exit(Exit.DONE if done else Exit.NOT_ALL_DONE)


def write_failed(journal: str, only: list[OutcomeStatus] | None, output: str | None) -> None:
    """Write the records that are not done as input again: to a file, or to standard output (None or ``-``)."""
    output = None if output == "-" else output
    statuses = only or _NOT_DONE
    if not set(statuses) <= set(_NOT_DONE):
        others = ", ".join(_NOT_DONE)
        raise typer.BadParameter(f"--failed writes what is not done: give one of {others}", param_hint="--only")
    with complaints(argument="journal"):
        _check_named(journal)
        if is_outbox(journal):
            raise ConfigurationError(
                "this is an outbox, which tries what failed again by itself: --failed is for journals"
            )
        check_output(output, journal=journal)
        status, survey = write_again(journal, statuses, partial(_opened, output), output or "")
    if survey.lost_in_all and not survey.found:
        say(notes(), "Nothing is written, as the journal holds none of these records.", "bold")
    elif output is not None:
        say(notes(), f"{counted(survey.found, 'record')} in {output}.", "dim")
    left_out = [text for text in (_lost(survey), _damage(status), _unread(status)) if text]
    for text in left_out:
        say(notes(), text, "bold")
    if survey.lost_in_all:
        say(notes(), "Why they are not done:")
        say_command(notes(), "status", status.place)
    raise typer.Exit(Exit.NOT_ALL_DONE if left_out else Exit.DONE)


def _opened(output: str | None) -> AbstractContextManager[TextIO]:
    return nullcontext(sys.stdout) if output is None else replacing(output)


def _check_named(journal: str) -> None:
    """Check that a URL says what of its database is meant.

    Raises:
        ConfigurationError: It names neither a run nor an outbox.
    """
    if re.match(r"postgres(?:ql)?:/", journal) and not re.search(r"[?&](?:run|outbox)=", journal):
        raise ConfigurationError("the URL of a database must say what to show of it: ?run=NAME, or ?outbox=NAME")


def _lost(survey: Survey) -> str:
    """Return in words which records the journal does not hold; empty where it holds all of them."""
    if not survey.lost_in_all:
        return ""
    places = ", ".join(f"{number:,}" for number in survey.lost)
    more = f" and {survey.lost_in_all - len(survey.lost):,} more" if survey.lost_in_all > len(survey.lost) else ""
    return (
        f"Left out: {counted(survey.lost_in_all, 'record')} that the journal does not hold: what could not be read, "
        f"or all where it keeps no records. Their places in the input: {places}{more}, counted from 1 without header, "
        "comments and blank lines."
    )


def _damage(status: JournalStatus) -> str:
    missing = status.missing + (0 if status.chunks is None else status.chunks.missing)
    return f"Damaged: {counted(missing, 'record')} missing, as rows were removed from the journal." if missing else ""


def _unread(status: JournalStatus) -> str:
    """Return in words that the input may have rows that the journal has not; empty where it was read to its end."""
    if status.chunks is not None:
        if status.chunks.filled:
            return ""
        how, remedy = "The input has not been read to its end", "Enqueue the same again, which reads them"
    elif status.runs and status.runs[-1].complete:
        return ""
    elif status.running:
        how, remedy = "A run is under way, and may not have read its input to the end", "Look again when it has ended"
    else:
        ended = "stopped" if status.runs and status.runs[-1].ended else "killed"
        how = f"The last run was {ended}, and may not have read its input to the end"
        remedy = "Run the same line again, which goes on"
    return f"{how}: rows that were not read are not in the journal. {remedy}."


def _show(console: Console, status: JournalStatus | OutboxStatus) -> None:
    if isinstance(status, OutboxStatus):
        pending = {"waiting": status.waiting, "under way": status.under_way}
    else:
        pending = {"on its way" if status.running else "begun, and not heard of since": status.under_way}
    say(console, f"{status.provider} {status.operation} at {status.base_url}", "bold")
    show_counts(console, status.counts, status.total, pending)
    for cause in status.causes:
        say(console, f"{cause.records:,} {words(cause.status)}: {shown(cause.message)}", STYLES[cause.status])
    if isinstance(status, OutboxStatus):
        _show_delivery(console, status)
    else:
        _show_runs(console, status)


def _show_delivery(console: Console, status: OutboxStatus) -> None:
    if status.oldest is not None:
        since = _moment(status.oldest)
        say(console, f"the oldest without an outcome was put at {since}; {status.retrying:,} are tried again", "dim")
    if status.next_due is not None:
        say(console, f"the next of those that wait is due at {_moment(status.next_due)}", "dim")
    if status.untold:
        say(console, f"{status.untold:,} outcomes have still to be told to on_outcome", "dim")
    say(console, f"delivered by {shown(status.delivering)}" if status.delivering else "nobody delivers it now", "dim")


def _show_runs(console: Console, status: JournalStatus) -> None:
    if untouched := _untouched(status):
        say(console, f"{untouched:,} not sent: no worker has begun them.", STYLES[OutcomeStatus.NOT_SENT])
    if status.causes or untouched:
        say(console, "")
    if status.chunks is not None:
        _show_shared(console, status, status.chunks)
        return
    for number, run in enumerate(status.runs, 1):
        say(console, _run_in_words(number, run, running=status.running and number == len(status.runs)), "dim")
    if (unread := _unread(status)) and not status.running:
        say(console, unread, "yellow")


def _show_shared(console: Console, status: JournalStatus, chunks: JournalChunks) -> None:
    say(console, _chunks_in_words(chunks))
    if chunks.stopped_by is not None and chunks.free and not chunks.cancelled:
        why = shown(in_command(chunks.stopped_by)).rstrip(".")
        advice = "No worker goes on by itself: put that right, and enqueue the same again."
        say(console, f"Stopped, as every record would meet this: {why}. {advice}", "red")
    if damage := _damage(status):
        say(console, damage, "red")
    for run in status.runs:
        say(console, _reading_in_words(run), "dim")
    say(console, f"{counted(status.requests, 'request')} in all", "dim")


def _untouched(status: JournalStatus) -> int:
    """Return how many records of a shared run are not sent for no cause, as far as all causes are known."""
    if status.chunks is None or len(status.causes) >= _CAUSES:
        return 0
    begun = sum(one.records for one in status.causes if one.status is OutcomeStatus.NOT_SENT)
    return status.counts.get(OutcomeStatus.NOT_SENT, 0) - begun


def _chunks_in_words(chunks: JournalChunks) -> str:
    parts = [(chunks.done, "done"), (chunks.held, "under way"), (chunks.free, "to be sent")]
    text = counted(chunks.done + chunks.held + chunks.free, "chunk")
    text += "".join(f"{', ' if place else ': '}{count:,} {what}" for place, (count, what) in enumerate(parts))
    if chunks.cancelled:
        return f"{text}; cancelled, so that nothing more is sent"
    return text if chunks.filled else f"{text}; the input has not been read to its end"


def _run_in_words(number: int, run: JournalRun, *, running: bool) -> str:
    if run.ended is not None:
        until = f"to {_moment(run.ended)}, {'complete' if run.complete else 'stopped'}"
        until += f" ({shown(cause_in_words(run.cause))})" if run.cause else ""
    else:
        until = "under way" if running else "killed"
    least = "at least " if until == "killed" else ""  # what was in flight then was not noted
    return f"run {number}: {_moment(run.started)} {until}; {least}{counted(run.requests, 'request')}"


def _reading_in_words(reading: JournalRun) -> str:
    """Say when an input was read into a shared run: that sends nothing, and its end is not the run's."""
    if reading.ended is None or not reading.complete:
        return f"input read from {_moment(reading.started)}, not to its end"
    return f"input read from {_moment(reading.started)} to {_moment(reading.ended)}, to its end"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _document(status: JournalStatus) -> dict[str, Any]:
    runs = [] if status.chunks else status.runs
    readings = status.runs if status.chunks else []
    names = ("provider", "operation", "base_url", "running", "complete", "total", "counts", "under_way", "missing")
    return {
        "journal": status.place,
        **_fields(status, *names, "repeats", "requests", "chunks", "causes"),
        "runs": [
            {
                **_fields(run, "started", "ended", "complete", "requests"),
                "cause": run.cause and cause_in_words(run.cause),
            }
            for run in runs
        ],
        "readings": [{**_fields(one, "started", "ended"), "to_its_end": one.complete} for one in readings],
    }


def _outbox_document(status: OutboxStatus) -> dict[str, Any]:
    names = ("provider", "operation", "base_url", "complete", "total", "counts", "waiting", "under_way", "retrying")
    return {"outbox": status.place, **_fields(status, *names, "oldest", "next_due", "untold", "delivering", "causes")}


def _fields(held: object, *names: str) -> dict[str, Any]:
    return {name: getattr(held, name) for name in names}
