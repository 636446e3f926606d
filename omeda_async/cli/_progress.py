"""
How far runs have come: a live bar on a terminal, a plain line every few seconds elsewhere.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from omeda_async import BulkReport, BulkRun
from omeda_async.cli._screen import say, seconds_in_words
from omeda_async.limits import LimitsView

LIVE_EVERY = 0.2
PLAIN_EVERY = 5.0


@attrs.frozen(kw_only=True)
class Watched:
    """
    A run to be watched.
    """

    title: str
    run: BulkRun
    total: int
    limits: Callable[[], LimitsView]

    def figures(self, report: BulkReport) -> dict[str, str]:
        """
        Give the figures to show beside the bar.
        """
        failed = sum(count for status, count in report.counts.items() if not status.is_done)
        rate = report.total / report.duration if report.duration > 0 else 0.0
        over = report.complete or not rate
        return {
            "failed": f"{failed:,} not done" if failed else "",
            "rate": f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s",
            "left": "" if over else f"{seconds_in_words((self.total - report.total) / rate)} left",
            "limit": "" if report.complete else limit_in_words(self.limits()),
        }


def limit_in_words(view: LimitsView) -> str:
    """
    Say what the limiter allows now.
    """
    if view.paused_for > 0:
        return f"paused by the provider for {seconds_in_words(view.paused_for)}"
    free = ", ".join(f"{one.free}/{one.window.calls} free in {one.window.seconds:g} s" for one in view.windows)
    words = [free] if free else []
    if not free:
        words.append(f"{view.in_flight} on the way" + (f" of {view.parallel}" if view.parallel else ""))
    if view.next_slot_in is not None and view.next_slot_in > 1:
        words.append(f"next in {seconds_in_words(view.next_slot_in)}")
    return " · ".join(words)


@contextmanager
def watching(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[str], None]]:
    """
    Show how far runs have come for as long as the block lasts; gives a way to say something meanwhile.
    """
    live = console.is_terminal and not console.is_dumb_terminal
    with (_live if live else _plain)(watched, console) as draw:
        with _Ticker(LIVE_EVERY if live else PLAIN_EVERY, draw):
            yield lambda text: say(console, text)
        if live:
            draw()


@contextmanager
def _live(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[], None]]:
    wide = console.width >= 100
    bar = BarColumn(bar_width=24 if wide else 10, complete_style="cyan", finished_style="green")
    columns = [
        TextColumn("{task.description}"),
        bar,
        TextColumn("{task.completed:>7,}/{task.total:,}"),
        TextColumn("{task.fields[failed]}", style="red"),
        TextColumn("{task.fields[beside]}", style="dim"),
    ]
    texts = max(len(one.title) + len(f"{one.total:,}") for one in watched) + len("1234567/ 1,234 not done    ")
    room = max(10, console.width - texts - (bar.bar_width or 0))
    blank: dict[str, Any] = {"failed": "", "beside": ""}
    with Progress(*columns, console=console, auto_refresh=False, transient=False) as progress:
        bars = {progress.add_task(one.title, total=one.total, **blank): one for one in watched}

        def draw() -> None:
            for bar_id, one in bars.items():
                report = one.run.report
                failed, *others = one.figures(report).values()
                beside: Any = " · ".join(filter(None, others))[:room]
                progress.update(bar_id, completed=report.total, failed=failed, beside=beside)
            progress.refresh()

        draw()
        yield draw


@contextmanager
def _plain(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[], None]]:
    def draw() -> None:
        for one in watched:
            report = one.run.report
            if not report.complete:
                figures = " · ".join(filter(None, one.figures(report).values()))
                say(console, f"{one.title}: {report.total:,} of {one.total:,} · {figures}")

    yield draw


class _Ticker:
    """
    Draws again and again while the loop runs.
    """

    def __init__(self, seconds: float, draw: Callable[[], None]) -> None:
        self._seconds = seconds
        self._draw = draw
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._plan()

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _plan(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._draw()
        self._plan()
