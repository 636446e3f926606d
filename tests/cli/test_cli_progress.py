"""What is beside the bar: settled records apart from those not sent, pauses in calm words, and nothing cut off."""

import asyncio
import io
import json
import logging
import re
import sys
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from rich.console import Console

from omeda_async import BulkReport, OcambaSettings, Outcome, OutcomeStatus, Plan, SessionManager
from omeda_async.cli import _screen
from omeda_async.cli._progress import Pauses, Watched, limit_in_words, watching
from omeda_async.cli._report import new_table, show_plan
from omeda_async.events import AccountPaused, AttemptEnded, RetryPlanned
from omeda_async.limits import LimitsView, Window, WindowView
from omeda_async.sandbox import Fault, Sandbox
from tests.cli.cli_scene import Scene

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def view(**changed: Any) -> LimitsView:
    minute = WindowView(window=Window(150, 60.0), used=128, free=2, held=20, headers="trusted")
    second = WindowView(window=Window(10, 1.0), used=3, free=7, held=0, headers="trusted")
    usual: dict[str, Any] = {
        "windows": (second, minute),
        "waiting": {},
        "in_flight": 2,
        "parallel": 8,
        "next_slot_in": 0.0,
        "paused_for": 0.0,
        "refusals": 0,
        "pace": None,
    }
    return LimitsView(**usual | changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "128/150 used"),
        ({"next_slot_in": 6.4}, "next slot in 6.4 s"),
        ({"paused_for": 12.0, "next_slot_in": 12.0}, "paused for 12 s"),
        ({"windows": ()}, "2 on the way of 8"),
        ({"held_for": 42.0}, "held for 42 s"),
        ({"store_reachable": False}, "the limits' store is away"),
    ],
)
def test_in_short_the_limit_that_matters_most_is_said(changed: dict[str, Any], words: str) -> None:
    """The tightest window, or the wait for the next slot, or the pause."""
    assert limit_in_words(view(**changed), short=True) == words


def report(duration: float = 10.0, **counts: int) -> BulkReport:
    by_status = {OutcomeStatus[name.upper()]: count for name, count in counts.items()}
    total = sum(counts.values())
    return BulkReport(total=total, counts=by_status, requests=total, duration=duration, failures=(), complete=False)


def watched(stopped_by: Exception | None = None, **changed: Any) -> Watched:
    run: Any = SimpleNamespace(stopped_by=stopped_by, report=report(done=90, rejected=10), max_entries=1)
    return Watched(title="Cancel campaigns", run=run, total=1000, limits=lambda: view(**changed))


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (200, "10/s · 6 min 14 s left · 3/10 used in 1 s, 128/150 used in 60 s · next slot in 6.4 s"),
        (60, "10/s · 6 min 14 s left · next slot in 6.4 s"),
        (42, "6 min 14 s left · next slot in 6.4 s"),
        (20, "next slot in 6.4 s"),
        (5, ""),
    ],
)
def test_what_is_beside_the_bar_is_whole_or_not_there(room: int, words: str) -> None:
    """With less room there is less of it, and the limit stays longest."""
    assert watched(next_slot_in=6.4).beside(report(done=90, rejected=10), room) == words


def test_records_not_sent_are_neither_progress_nor_rate() -> None:
    """After a stop they stand beside what was settled, and no time is left to be told."""
    one, stopped = watched(ConnectionError()), report(done=38, already_done=1, unknown=1, not_sent=960)
    assert one.columns(stopped) == ("Cancel campaigns", "   40/1,000", "1 not done", "960 not sent")
    assert one.beside(stopped) == "4.0/s"


@pytest.mark.parametrize(
    ("room", "words"),
    [(200, "no connection, tried again · 10/s · 3/10"), (30, "no connection, tried again"), (5, "")],
)
def test_what_keeps_a_run_waiting_is_said_first(room: int, words: str) -> None:
    """How long that will take is not guessed at."""
    one = attrs.evolve(watched(), trouble=lambda: "no connection, tried again")
    assert one.beside(report(done=90, rejected=10), room).startswith(words)
    assert "left" not in one.beside(report(done=90, rejected=10), room)


def test_what_attempts_are_made_again_for_is_known_until_one_succeeds() -> None:
    """By provider, and in words."""
    pauses = Pauses()
    who: dict[str, Any] = {"provider": "ocamba", "operation": "campaigns.cancel", "attempt": 1}
    ended: dict[str, Any] = {"status": None, "seconds": 1.0, "waited": 0.0}
    for error, words in [("ConnectionFailed", "no connection, tried again"), ("Odd", "Odd, tried again")]:
        pauses(RetryPlanned(**who, wait=1.0, error=error))
        pauses(AttemptEnded(**who, **ended, error=error))
        assert (pauses.trouble("ocamba"), pauses.trouble("omeda")) == (words, "")
    pauses(AttemptEnded(**who, **ended, error=None))
    assert pauses.trouble("ocamba") == ""


def seconds_left(one: Watched, so_far: BulkReport) -> float | None:
    return one.speed.seconds_left(so_far, one.limits())


def test_where_the_limits_leave_room_the_time_left_is_what_was_measured() -> None:
    """Ten requests took each second, and a hundred are left."""
    one = watched(windows=())
    for second in range(1, 91):
        left = seconds_left(one, report(float(second), done=10 * second))
    assert left == pytest.approx(10.0)


def test_no_time_left_is_told_while_what_comes_was_settled_before() -> None:
    """A resumed run gives thousands of records at once: how many more of them there are is not known."""
    one = watched(windows=())
    for second in range(1, 11):
        resumed = attrs.evolve(report(float(second), done=50 * second), requests=second)
        assert seconds_left(one, resumed) is None
    for second in range(11, 41):
        own = attrs.evolve(report(float(second), done=500 + 10 * (second - 10)), requests=10 * (second - 9))
        left = seconds_left(one, own)
    assert left is not None
    assert 20.0 <= left <= 30.0  # the seconds of before count, too, for a minute


def test_a_pause_is_no_part_of_the_measured_rate() -> None:
    """Five minutes in which the provider wanted nothing lengthen the time left by what is left of them only."""
    shown = {"windows": (), "paused_for": 0.0}
    one = attrs.evolve(watched(), limits=lambda: view(**shown))
    for second in range(1, 31):
        seconds_left(one, report(float(second), done=10 * second))
    shown["paused_for"] = 290.0
    for second in range(40, 330, 10):
        left = seconds_left(one, report(float(second), done=300))
    assert left == pytest.approx(290.0)
    shown["paused_for"] = 0.0
    assert seconds_left(one, report(331.0, done=300)) == pytest.approx(70.0)


def test_what_a_journal_remembered_makes_no_run_fast() -> None:
    """Nine hundred were settled by an earlier run, ten by this one, in ten seconds: one a second."""
    one = watched(windows=())
    so_far = attrs.evolve(report(10.0, already_done=900, done=10), requests=10)
    assert one.beside(so_far).startswith("1.0/s")


def test_nothing_is_said_of_the_time_left_before_anything_was_sent() -> None:
    """What comes from a journal alone tells nothing."""
    so_far = attrs.evolve(report(0.5, already_done=900), requests=0)
    assert " left" not in watched().beside(so_far)


def test_the_time_left_is_never_far_from_what_it_takes(scene: Scene) -> None:
    """Four hundred campaigns go in bursts of 150 a minute: from the first line on, the end is foreseen."""
    ids = [str(number) for number in range(400)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    result = scene.give("cancel-campaigns", scene.file("in.txt", "\n".join(ids)), "--yes")
    assert result.exit_code == 0, result.output
    lines = re.findall(r"· (?:(\d+) min )?([\d.]+) s left", result.stderr)
    ends = [5 * turn + 60 * int(minutes or 0) + float(seconds) for turn, (minutes, seconds) in enumerate(lines, 1)]
    assert len(ends) > 15
    assert 90 < min(ends) < max(ends) < 135
    assert abs(ends[-1] - 5 * len(ends)) < 5


def test_a_resumed_run_is_no_faster_than_its_own_requests(scene: Scene) -> None:
    """Hundreds of outcomes come from the journal at once; the rate is that of the others, ten a second at the most."""
    ids = [str(number) for number in range(400)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    command = ("cancel-campaigns", scene.file("in.txt", "\n".join(ids)), "--yes")
    journal = ("--journal", scene.directory / "run.sqlite3")
    scene.give(*command, *journal, "--deadline", "60")
    result = scene.give(*command, *journal)
    assert result.exit_code == 0, result.output
    lines = re.findall(r"· ([\d.]+)/s · (?:(\d+) min )?([\d.]+) s left", result.stderr)
    assert lines
    assert max(float(rate) for rate, _, _ in lines) <= 11


@pytest.mark.parametrize("width", [80, 100, 120])
async def test_no_line_beside_a_bar_is_cut(width: int) -> None:
    """At the usual widths the line fits, with the limit whole at its end."""
    file = io.StringIO()
    with watching([watched(next_slot_in=6.4)], Console(file=file, force_terminal=True, width=width)):
        pass
    last = ESCAPES.sub("", file.getvalue()).replace("\r", "\n").rstrip().rpartition("\n")[2]
    assert last.rstrip().endswith("next slot in 6.4 s")
    assert "  100/1,000" in last
    assert "…" not in last
    assert len(last) <= width


async def test_a_stopped_run_leaves_its_bar_unfilled() -> None:
    """Of sixty cancels a few are settled when the run is stopped; the bar ends there."""
    file, ids = io.StringIO(), [str(number) for number in range(60)]
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(ids)
        async with SessionManager(ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)) as manager:
            run = manager.ocamba.campaigns.cancel_many(ids)
            one = Watched(title="Cancel", run=run, total=60, limits=lambda: manager.ocamba.limits)
            with watching([one], Console(file=file, force_terminal=True, width=140)):
                async for _ in run:
                    run.stop()
    last = file.getvalue().rpartition("Cancel")[2]
    settled = run.report.counts[OutcomeStatus.DONE]
    assert 0 < settled < 60
    assert f"{settled}/60" in last
    assert f"{60 - settled} not sent" in last


async def test_pauses_are_told_once_in_a_while() -> None:
    """Each provider's first one is, and another only some seconds later; other events are not."""
    told: list[str] = []
    pauses = Pauses(told.append)
    for provider in ("omeda", "omeda", "journey_manager"):
        pauses(AccountPaused(provider=provider, operation="*", seconds=1.0))
    pauses(AttemptEnded(provider="omeda", operation="x", attempt=1, status=200, seconds=0.1, waited=0.0))
    await asyncio.sleep(6)
    pauses(AccountPaused(provider="omeda", operation="*", seconds=61.0))
    assert told == [
        "Omeda asked for a pause of 1.0 s.",
        "Journey Manager asked for a pause of 1.0 s.",
        "Omeda asked for a pause of 1 min 1 s.",
    ]


def test_a_pause_is_said_calmly(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that asks for a pause is no reason for a warning in the midst of the bars."""
    last_resort = io.StringIO()
    monkeypatch.setattr(logging, "lastResort", logging.StreamHandler(last_resort))
    scene.sandbox.ocamba.seed_campaign("1")
    scene.sandbox.fault(Fault("503", retry_after=3))
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes")
    assert result.exit_code == 0, result.output
    assert "Ocamba asked for a pause of 3" in result.stderr
    assert "AccountPaused" not in result.output + last_resort.getvalue()


def test_what_a_deadline_leaves_says_that_it_was_the_deadline(scene: Scene) -> None:
    """Nobody interrupted it: every record that was not sent names the cause, and so does the summary."""
    ids = [str(number) for number in range(100)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    output = scene.directory / "out.jsonl"
    command = ("cancel-campaigns", scene.file("in.txt", "\n".join(ids)), "--yes", "--deadline", "3")
    result = scene.give(*command, "--output", output, "--format", "json")
    left = [line["message"] for line in scene.lines(output) if line["status"] == "not_sent"]
    assert left
    assert set(left) == {"the run's deadline has passed"}
    shown = {one["message"] for one in json.loads(result.stdout)["failures"]}
    assert shown == {"the run's deadline has passed"}


def test_a_table_in_a_file_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the output is no terminal it has no width, whatever the terminal beside it has."""
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    console, headings = _screen.results(), ["heading number one"] * 12
    table = new_table(*headings)
    table.add_row(*["1,000,000,000"] * 12)
    console.print(table)
    written = file.getvalue()
    assert written.count("1,000,000,000") == 12
    assert "…" not in written


def test_at_eighty_columns_headings_are_whole() -> None:
    """The demo's widest table still has every word of its headings in one piece."""
    file = io.StringIO()
    headings = ("records", "done", "already done", "too late", "rejected", "unknown", "not sent", "requests", "seconds")
    table = new_table("", *headings)
    table.add_row("transactions", "5,000", "4,997", "3", "1", "3", "12", "1,234", "5,123", "12.5")
    Console(file=file, width=80).print(table)
    words = file.getvalue().split()
    assert set(" ".join(headings).split()) <= set(words)
    assert {"4,997", "5,123", "12.5"} <= set(words)


def test_a_record_due_before_its_turn_is_said_in_one_sentence() -> None:
    """The line names the record and what may happen, without a gap where a reason would be."""
    file = io.StringIO()
    late = tuple(Outcome("r", f"d{place}", place, OutcomeStatus.TOO_LATE) for place in range(25))
    plan = Plan(
        records=25, requests=25, seconds=9.0, duplicates=0, refused=(), refused_total=0, isolation_requests=0, late=late
    )
    show_plan(Console(file=file, width=100), plan, "Cancel deployments", {})
    assert "record 1 (d0): its turn may come too late\n" in file.getvalue()
    assert "and 5 more that may come too late" in file.getvalue()
    assert re.search(r"estimated time under the limits +9\.0 s", file.getvalue())
