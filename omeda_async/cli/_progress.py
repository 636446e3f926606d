"""How far runs have come: a live bar on a terminal, a plain line every few seconds elsewhere."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from omeda_async import BulkReport, BulkRun, OutcomeStatus
from omeda_async.cli._left import Speed
from omeda_async.cli._screen import say, seconds_in_words
from omeda_async.events import AccountPaused, AttemptEnded, Event, RetryPlanned
from omeda_async.limits import LimitsView

LIVE_EVERY = 0.2
PLAIN_EVERY = 5.0


@attrs.frozen(kw_only=True)
class Watched:
    """A run to be watched."""

    title: str
    run: BulkRun
    total: int
    limits: Callable[[], LimitsView]
    trouble: Callable[[], str] = lambda: ""
    """What keeps it waiting now, besides the limits."""
    speed: Speed = attrs.field(init=False)

    @speed.default
    def _unmeasured(self) -> Speed:
        return Speed(self.run, self.total)

    def columns(self, report: BulkReport) -> tuple[str, str, str, str]:
        """Return the title, how many records are settled, how many of them are not done, and how many were not sent."""
        failed, unsent = _failed(report), report.counts.get(OutcomeStatus.NOT_SENT)
        total = f"{self.total:,}"
        return (
            self.title,
            f"{_settled(report):>{len(total)},}/{total}",
            f"{failed:,} not done" if failed else "",
            f"{unsent:,} not sent" if unsent else "",
        )

    def beside(self, report: BulkReport, room: float = math.inf) -> str:
        """Return the rate, the time left and what the limiter allows, or as much of it as there is room for."""
        rate = self.speed.records_a_second(report, _settled(report))
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
        if report.complete or self.run.stopped_by is not None:
            forms = [[speed]]
        else:
            limits = self.limits()
            seconds = self.speed.seconds_left(report, limits)
            left = "" if seconds is None else f"{seconds_in_words(seconds)} left"
            long, short = (limit_in_words(limits, short=short) for short in (False, True))
            forms = [[speed, left, long], [speed, left, short], [left, short], [short]]
            if trouble := self.trouble():  # the time left would be a guess
                forms = [[trouble, speed, long], [trouble, speed, short], [trouble, short], [trouble]]
        texts = (" · ".join(filter(None, form)) for form in forms)
        return next((text for text in texts if len(text) <= room), "")


def _settled(report: BulkReport) -> int:
    return report.total - report.counts.get(OutcomeStatus.NOT_SENT, 0)


def _failed(report: BulkReport) -> int:
    done = sum(count for status, count in report.counts.items() if status.is_done)
    return _settled(report) - done


def limit_in_words(view: LimitsView, *, short: bool = False) -> str:
    """Return in words what the limiter allows now; in short, only what matters most."""
    if not view.store_reachable:
        return "the limits' store is away" if short else f"waiting for {view.shared_by}, which does not answer"
    if view.held_for:
        why = "" if short else f", as {view.shared_by} does not know what was sent before"
        return f"held for {seconds_in_words(view.held_for)}{why}"
    if view.paused_for > 0:
        return f"paused {'' if short else 'by the provider '}for {seconds_in_words(view.paused_for)}"
    waits = view.next_slot_in is not None and view.next_slot_in > 1
    turn = f"next slot in {seconds_in_words(view.next_slot_in or 0.0)}" if waits else ""
    if short and turn:
        return turn
    tightest = min(view.windows, key=lambda one: one.free, default=None)
    if tightest is None:
        used = f"{view.in_flight} on the way" + (f" of {view.parallel}" if view.parallel else "")
    elif short:
        used = f"{tightest.used}/{tightest.window.calls} used"
    else:
        used = ", ".join(f"{one.used}/{one.window.calls} used in {one.window.seconds:g} s" for one in view.windows)
    return " · ".join(filter(None, (used, turn)))


TROUBLES = {
    "AnswerLost": "answers get lost",
    "ConnectionFailed": "no connection",
    "RateLimited": "refused for the limits",
    "ServerError": "the server is in trouble",
    "UnreadableAnswer": "what comes is no answer",
}
"""What attempts are made again for, by the class of the error."""


@attrs.define(eq=False)
class Pauses:
    """A hook that reports the pauses that providers ask for, those of one provider every few seconds at the most.

    It knows as well what attempts are made again for, until one succeeds.
    """

    tell: Callable[[str], object] = attrs.field(default=lambda _: None)
    """Shows a line."""
    _told: dict[str, float] = attrs.field(factory=dict, init=False)
    _troubles: dict[str, str] = attrs.field(factory=dict, init=False)

    def trouble(self, provider: str) -> str:
        """Return what attempts at a provider are made again for; nothing where the latest that ended has succeeded."""
        return self._troubles.get(provider, "")

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, AttemptEnded) and event.error is None:
            self._troubles.pop(event.provider, None)
        elif isinstance(event, RetryPlanned):
            self._troubles[event.provider] = f"{TROUBLES.get(event.error, event.error)}, tried again"
        elif isinstance(event, AccountPaused):
            now = asyncio.get_running_loop().time()
            if now - self._told.get(event.provider, -math.inf) >= PLAIN_EVERY:
                self._told[event.provider] = now
                provider = event.provider.replace("_", " ").title()
                self.tell(f"{provider} asked for a pause of {seconds_in_words(event.seconds)}.")


@contextmanager
def watching(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[str], None]]:
    """Show how far runs have come for as long as the block lasts; yields what shows a line meanwhile."""
    live = console.is_terminal and not console.is_dumb_terminal
    with (_live if live else _plain)(watched, console) as draw:
        with _Ticker(LIVE_EVERY if live else PLAIN_EVERY, draw):
            yield lambda text: say(console, text)
        if live:
            draw()


@contextmanager
def _live(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[], None]]:
    bar = BarColumn(bar_width=24 if console.width >= 100 else 10, complete_style="cyan", finished_style="green")
    columns = [
        TextColumn("{task.description}"),
        bar,
        TextColumn("{task.fields[count]}", justify="right"),
        TextColumn("{task.fields[failed]}", style="red"),
        TextColumn("{task.fields[unsent]}", style="yellow"),
        TextColumn("{task.fields[beside]}", style="dim"),
    ]
    blank: dict[str, Any] = dict.fromkeys(("count", "failed", "unsent", "beside"), "")
    with Progress(*columns, console=console, auto_refresh=False, transient=False) as progress:
        bars = {progress.add_task(one.title, total=one.total, **blank): one for one in watched}

        def draw() -> None:
            reports = [one.run.report for one in bars.values()]
            texts = [one.columns(report) for one, report in zip(bars.values(), reports, strict=True)]
            taken = sum(max(map(len, column)) for column in zip(*texts, strict=True)) + (bar.bar_width or 0)
            room = console.width - taken - len(columns)
            for (bar_id, one), report, (_, *counts) in zip(bars.items(), reports, texts, strict=True):
                fields: dict[str, Any] = dict(zip(blank, [*counts, one.beside(report, room)], strict=True))
                progress.update(bar_id, completed=_settled(report), **fields)
            progress.refresh()

        draw()
        yield draw


@contextmanager
def _plain(watched: Sequence[Watched], console: Console) -> Iterator[Callable[[], None]]:
    def draw() -> None:
        for one in watched:
            report = one.run.report
            if not report.complete:
                _, _, *counts = one.columns(report)
                figures = " · ".join(filter(None, [*counts, one.beside(report)]))
                say(console, f"{one.title}: {_settled(report):,} of {one.total:,} · {figures}")

    yield draw


class _Ticker:
    """Draws again and again while the loop runs."""

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
