"""The time line: bounded however long a run is, and right at its edges."""

import asyncio
from typing import Any

import pytest

from omeda_async.events import AccountPaused, AttemptEnded, AttemptStarted, RetryPlanned
from omeda_async.limits import Window
from omeda_async.report._timeline import BUCKETS, Timeline

OF: dict[str, Any] = {"provider": "ocamba", "operation": "campaigns.cancel"}


def sent(line: Timeline, *, waited: float = 0.0, status: int | None = 200) -> None:
    line(AttemptStarted(attempt=1, waited=waited, **OF))
    line(AttemptEnded(attempt=1, status=status, seconds=0.0, waited=waited, **OF))


async def test_a_run_of_any_length_takes_a_few_hundred_buckets() -> None:
    """Two become one whenever there are too many; no request is lost, and none is counted twice."""
    line = Timeline(windows=[Window(10, 1.0)])
    for _ in range(5_000):
        sent(line)
        await asyncio.sleep(61.0)
    found = line.figures()
    assert found["seconds"] == pytest.approx(5_000 * 61)
    assert len(found["sent"]) <= BUCKETS
    assert len(found["windows"][0]["peaks"]) <= BUCKETS
    assert sum(found["sent"]) == sum(found["answers"]["done"]) == 5_000
    assert max(found["windows"][0]["peaks"]) == 1


async def test_a_window_is_as_full_as_the_limiter_says() -> None:
    """Where it is asked; else by the requests of the last so many seconds."""
    asked = Timeline(windows=[Window(10, 1.0), Window(20, 60.0)], used=lambda: [7, 19])
    alone = Timeline(windows=[Window(10, 1.0), Window(20, 60.0)])
    for _ in range(3):
        sent(asked)
        sent(alone)
        await asyncio.sleep(0.4)
    assert [max(one["peaks"]) for one in asked.figures()["windows"]] == [7, 19]
    assert [max(one["peaks"]) for one in alone.figures()["windows"]] == [3, 3]


async def test_a_window_empties_while_nothing_is_sent() -> None:
    """It stays full for its length, and is empty after that."""
    line = Timeline(windows=[Window(10, 5.0)])
    sent(line)
    await asyncio.sleep(12.0)
    peaks = line.figures()["windows"][0]["peaks"]
    assert peaks == [1] * 20 + [0] * 29


async def test_a_pause_is_drawn_as_long_as_it_was() -> None:
    """Not as long as was asked for, where the run ended before that; and one that is prolonged is one."""
    line = Timeline()
    sent(line)
    line(AccountPaused(seconds=4.0, **OF))
    await asyncio.sleep(2.0)
    line(AccountPaused(seconds=3_600.0, **OF))
    await asyncio.sleep(3.0)
    found = line.figures()
    assert found["waits"]["pauses"] == {"times": 1, "seconds": 5.0, "longest": 5.0}
    assert found["paused"][:20] == [0.25] * 20
    assert sum(found["paused"]) == 5.0
    assert found["width"] == 0.25


async def test_a_wait_for_a_pause_is_no_wait_for_the_limit() -> None:
    """What a request waited is told apart by what the provider had asked for meanwhile."""
    line = Timeline()
    line(AccountPaused(seconds=4.0, **OF))
    await asyncio.sleep(10.0)
    sent(line, waited=10.0)
    waits = line.figures()["waits"]
    assert waits["asked"] == {"times": 1, "seconds": 4.0, "longest": 4.0}
    assert waits["limit"] == {"times": 1, "seconds": 6.0, "longest": 6.0}


@pytest.mark.parametrize(
    ("status", "kind"), [(200, "done"), (404, "refused"), (429, "limited"), (503, "broken"), (None, "lost")]
)
async def test_answers_are_told_apart_by_their_status(status: int | None, kind: str) -> None:
    """Done, refused, refused for the limit, a server in trouble, no answer."""
    line = Timeline()
    sent(line, status=status)
    assert {name: sum(counts) for name, counts in line.figures()["answers"].items() if counts} == {kind: 1}


async def test_pauses_before_another_try_are_added_up_by_their_cause() -> None:
    """How often, how long, and the longest."""
    line = Timeline()
    for wait in (1.0, 3.0):
        line(RetryPlanned(attempt=1, wait=wait, error="ServerError", **OF))
    assert line.figures()["waits"]["retries"] == {"ServerError": {"times": 2, "seconds": 4.0, "longest": 3.0}}


async def test_nothing_at_all_is_drawn_as_nothing() -> None:
    """A run that sends nothing has figures, too."""
    found = Timeline(windows=[Window(10, 1.0)]).figures()
    assert (found["seconds"], found["sent"], found["windows"][0]["peaks"]) == (0.0, [], [])
