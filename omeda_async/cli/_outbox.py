"""What an outbox holds."""

from datetime import datetime
from typing import Any

from rich.console import Console

from omeda_async.cli._order import Format
from omeda_async.cli._report import STYLES, new_table, words
from omeda_async.cli._screen import Exit, print_json, results, say, shown
from omeda_async.outbox import OutboxStatus


def show_outbox(status: OutboxStatus, form: Format) -> Exit:
    """Show the counts and causes of an outbox; return what to exit with."""
    if form is Format.JSON:
        print_json(_document(status))
    else:
        _show(results(), status)
    done = status.complete and all(one.is_done for one in status.counts)
    return Exit.DONE if done else Exit.NOT_ALL_DONE


def _show(console: Console, status: OutboxStatus) -> None:
    say(console, f"{status.provider} {status.operation} at {status.base_url}", "bold")
    table = new_table("outcome", "records")
    for outcome, count in status.counts.items():
        table.add_row(words(outcome), f"{count:,}", style=STYLES.get(outcome, "red"))
    for what, count in (("waiting", status.waiting), ("under way", status.under_way)):
        if count:
            table.add_row(what, f"{count:,}", style="yellow")
    table.add_section()
    table.add_row("all", f"{status.total:,}", style="bold")
    console.print(table)
    for cause in status.causes:
        text = f"{cause.records:,} {words(cause.status)}: {shown(cause.message)}"
        say(console, text, STYLES.get(cause.status, "red"))
    if status.oldest is not None:
        since = _in_words(status.oldest)
        say(console, f"the oldest without an outcome was put at {since}; {status.retrying:,} are tried again", "dim")
    if status.next_due is not None:
        say(console, f"the next of those that wait is due at {_in_words(status.next_due)}", "dim")
    if status.untold:
        say(console, f"{status.untold:,} outcomes have still to be told to on_outcome", "dim")
    say(console, f"delivered by {shown(status.delivering)}" if status.delivering else "nobody delivers it now", "dim")


def _in_words(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _document(status: OutboxStatus) -> dict[str, Any]:
    return {
        "outbox": status.place,
        "provider": status.provider,
        "operation": status.operation,
        "base_url": status.base_url,
        "complete": status.complete,
        "total": status.total,
        "counts": {outcome.value: count for outcome, count in status.counts.items()},
        "waiting": status.waiting,
        "under_way": status.under_way,
        "retrying": status.retrying,
        "oldest": None if status.oldest is None else status.oldest.isoformat(),
        "next_due": None if status.next_due is None else status.next_due.isoformat(),
        "untold": status.untold,
        "delivering": status.delivering,
        "causes": [
            {"status": one.status.value, "error": one.error, "message": one.message, "records": one.records}
            for one in status.causes
        ],
    }
