"""Reports and plans as tables."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from rich import box
from rich.console import Console
from rich.table import Table

from omeda_async import BulkReport, Outcome, OutcomeStatus, Plan
from omeda_async.cli._outcomes import SHOWN, grouped, lines_of, place
from omeda_async.cli._screen import BOUNDLESS, counted, say, seconds_in_words, shown
from omeda_async.cli._words import words

STYLES = {
    OutcomeStatus.DONE: "green",
    OutcomeStatus.ALREADY_DONE: "green",
    OutcomeStatus.PARTLY_DONE: "yellow",
    OutcomeStatus.TOO_LATE: "yellow",
    OutcomeStatus.REJECTED: "red",
    OutcomeStatus.FAILED: "red",
    OutcomeStatus.UNKNOWN: "bold red",
    OutcomeStatus.NOT_SENT: "yellow",
}

CUT = "The last row has no line end: look whether the file is whole."
DENSE = 6
LEVELS = {
    "deployment_type": "of deployment types",
    "brand": "of brands",
    "client": "of the whole client",
    None: "whose level cannot be told",
}


def new_table(*headings: str) -> Table:
    """Make an empty table: the first column is text, the others are numbers."""
    # Many columns fit into 80 characters only with headings in two lines and less space between the columns.
    dense = len(headings) > DENSE
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0 if dense else 1, 0, 0), pad_edge=False, show_edge=not dense)
    for position, heading in enumerate(headings):
        text = heading.replace(" ", "\n") if dense else heading
        table.add_column(
            text,
            justify="right" if position else "left",
            vertical="bottom",
            overflow="fold",
            no_wrap=dense and not position,
        )
    return table


def show_figures(console: Console, headings: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Show figures by row and heading, the last row for the sums: as a table, or in sentences where it has no room."""
    table = new_table("", *headings)
    *titles, last = rows
    for title in titles:
        table.add_row(title, *rows[title])
    table.add_section()
    table.add_row(last, *rows[last], style="bold")
    if console.measure(table, options=console.options.update(width=BOUNDLESS)).maximum <= console.width:
        console.print(table)
        return
    for title, cells in rows.items():
        figures = (f"{cell} {heading}" for heading, cell in zip(headings, cells, strict=True) if cell not in {"", "0"})
        say(console, f"{title}: {', '.join(figures)}", "bold" if title == last else "")
    say(console, "")


def show_counts(
    console: Console, counts: Mapping[OutcomeStatus, int], total: int, pending: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Show how many records ended how; those without an outcome yet by what is said of them."""
    table = new_table("outcome", "records")
    for status in OutcomeStatus:
        if count := counts.get(status):
            table.add_row(words(status), f"{count:,}", style=STYLES[status])
    for what, count in pending.items():
        if count:
            table.add_row(what, f"{count:,}", style="yellow")
    table.add_section()
    table.add_row("all", f"{total:,}", style="bold")
    console.print(table)


def show_report(
    console: Console,
    report: BulkReport,
    title: str,
    *,
    cause: str | None = None,
    stopped: bool = False,
    rest: str = "",
) -> None:
    """Show the counts of a run, and what is not done.

    Args:
        console: Where.
        report: The run's.
        title: What was done, and where.
        cause: Why the run was stopped before its end, if it was; then what was not sent is counted only.
        stopped: Whether the user stopped it; then, too, what was not sent is counted only.
        rest: Where to find the records that are not done beyond those shown.
    """
    say(console, title, "bold")
    show_counts(console, report.counts, report.total)
    say(console, f"{counted(report.requests, 'request')} in {seconds_in_words(report.duration)}", "dim")
    left_out = {OutcomeStatus.NOT_SENT} if cause or stopped else set()
    counts = {status: count for status, count in report.counts.items() if status not in left_out}
    not_done = sum(count for status, count in counts.items() if not status.is_done)
    show_failures(console, [one for one in report.failures if one.status in counts], not_done, rest=rest)
    if cause:
        say(console, f"\nStopped before the end: {cause}", "bold red")


def show_failures(console: Console, failures: Sequence[Outcome], count: int, *, rest: str) -> None:
    """Show the records that are not done, those alike in one line, how many more there are, and where to find these."""
    if failures:
        say(console, "")
    groups = grouped(sorted(failures, key=attrgetter("position")))[:SHOWN]
    for group in groups:
        say(console, lines_of(group), STYLES[group[0].status])
    if more := count - sum(map(len, groups)):
        say(console, f"… and {more:,} more{shown(f'; {rest}') if rest else ''}", "dim")


def levels_in_words(levels: Mapping[str | None, int]) -> dict[str, int]:
    """Return the counts of records by how far they reach, as people say it."""
    return {text: levels[level] for level, text in LEVELS.items() if levels.get(level)}


def show_plan(
    console: Console,
    plan: Plan,
    title: str,
    levels: Mapping[str | None, int],
    *,
    comments: int = 0,
    is_cut: bool = False,
) -> None:
    """Show what a run would do.

    Args:
        console: Where.
        plan: The run's.
        title: What would be done, and where.
        levels: How many records reach how far; empty where they do not differ in that.
        comments: How many lines of the file are comments, and no records.
        is_cut: Whether the last row has no line end.
    """
    table = new_table("plan", "")
    table.add_row("records", f"{plan.records:,}")
    for level, count in levels_in_words(levels).items():
        table.add_row(f"  {level}", f"{count:,}", style="bold" if level == LEVELS["client"] else "")
    if comments:
        table.add_row("comment lines, left out", f"{comments:,}")
    if plan.settled:
        table.add_row("settled by an earlier run", f"{plan.settled:,}")
    table.add_row("repeats of an earlier record", f"{plan.duplicates:,}")
    table.add_row("cannot be sent", f"{plan.refused_total:,}", style="red" if plan.refused_total else "")
    left = plan.records - plan.settled - plan.duplicates - plan.refused_total
    table.add_row("to be sent", f"{left:,}")
    table.add_row("requests", f"{plan.requests:,}")
    if plan.isolation_requests:
        table.add_row("more, to find culprits, at worst", f"{plan.isolation_requests:,}")
    table.add_row("estimated time under the limits", seconds_in_words(plan.seconds))
    if plan.late:
        table.add_row("due before their turn", f"{len(plan.late):,}", style="red")
    say(console, title, "bold")
    console.print(table)
    kept = len(plan.refused)
    them = f"all {kept:,}" if kept == plan.refused_total else f"the first {kept:,} of the {plan.refused_total:,}"
    show_failures(console, plan.refused, plan.refused_total, rest=f"--format json has {them}")
    for outcome in plan.late[:SHOWN]:
        say(console, shown(f"{place(outcome)}: its turn may come too late"), "yellow")
    if len(plan.late) > SHOWN:
        say(console, f"… and {len(plan.late) - SHOWN:,} more that may come too late", "dim")
    if is_cut:
        say(console, CUT, "yellow")
    say(console, "Nothing was sent.", "bold")
