"""Runs, reports and plans as a notebook shows them: tables of HTML, addresses masked and everything escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from omeda_async._masking import readable

SHOWN: Final = 10
"""Records shown one by one."""
_SUMS: Final = ("records", "requests", "duplicates", "settled", "refused_total", "isolation_requests")


def report_table(report: Any, title: str | None = None) -> str:
    """Return the table of a report: how many ended how, and the first that are not done."""
    counts = [(str(status), count) for status, count in report.counts.items()]
    sums: list[tuple[str, Any]] = [
        ("records", report.total),
        ("requests", report.requests),
        ("seconds", f"{report.duration:.1f}"),
    ]
    if report.stopped_by is not None:
        sums.append(("stopped by", report.stopped_by))
    left = sum(count for status, count in report.counts.items() if not status.is_done)
    state = "complete" if report.complete else "not complete"
    return _table(title or f"bulk run: {state}", [*counts, *sums], report.failures, left)


def plan_table(plan: Any) -> str:
    """Return the table of a plan: what it would take, and the first records that are refused."""
    sums = [(name.replace("_", " "), getattr(plan, name)) for name in _SUMS]
    return _table("plan", [*sums, ("seconds", f"{plan.seconds:.1f}")], plan.refused, plan.refused_total)


def _table(title: str, rows: Iterable[tuple[str, Any]], records: Sequence[Any], total: int) -> str:
    body = "".join(f"<tr><th>{_cell(name)}</th><td>{_cell(value)}</td></tr>" for name, value in rows)
    return f"<table><caption>{_cell(title)}</caption><tbody>{body}</tbody></table>{_records(records, total)}"


def _records(records: Sequence[Any], total: int) -> str:
    if not records:
        return ""
    lines = ["".join(f"<td>{_cell(value)}</td>" for value in _seen(record)) for record in records[:SHOWN]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>… and {total - SHOWN:,} more</p>" if total > SHOWN else ""
    head = "".join(f"<th>{name}</th>" for name in ("position", "key", "status", "error"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _seen(outcome: Any) -> tuple[Any, ...]:
    return outcome.position, "" if outcome.key is None else str(outcome.key), outcome.status, outcome.error or ""


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else readable(str(value))
    return escape(text).encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is in no notebook
