"""Processes that share an account's limits by real stores, with windows that are faster, and what happens to them.

``python -m benchmarks.shared_limits`` plays the same with Ocamba's own windows, and one fault at a time.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from benchmarks.sharing.scene import Played, Scene, play
from benchmarks.sharing.stores import place
from tests.limits.postgres_service import postgres_url
from tests.limits.redis_service import redis_url

IN_SHORT = bool(os.environ.get("SHORT_CAMPAIGNS"))
TIMES, PATIENCE = 3, 100.0
"""How often something may be played, and for how many seconds in all."""
LEAST_USED, MOST_APART = 0.98, 1.5
MOST_WAITED = 0.1
"""For which part of a window a machine may let the server wait, if the window is to say something of the budget."""
TOO_BUSY = "the machine was too busy to tell how much of the budget is used"
in_full = pytest.mark.skipif(IN_SHORT, reason="played in full on another Python")
STORES: Mapping[str, Callable[[], object]] = {"file": str, "redis": redis_url, "postgres": postgres_url}
SERVERS = ("redis", "postgres")


def at_once(scenes: Mapping[str, tuple[str, Scene]], folder: Path, *, shares: bool = True) -> dict[str, Played]:
    """Play scenes by the kinds of their stores, each on one of its own, all at the same time: they mostly wait."""

    def one(name: str) -> Played:
        kind, scene = scenes[name]
        with place(kind, folder / name, syncs=False) as store:
            return play(scene, store, shares=shares)

    with ThreadPoolExecutor(len(scenes)) as pool:
        return dict(zip(scenes, pool.map(one, scenes), strict=True))


def never_refused(scene: Scene, kinds: Iterable[str], folder: Path, wrong: Callable[[Played], Iterator[str]]) -> None:
    """Play a scene on several kinds of stores: not one request is refused, and nothing is wrong with what came of it.

    What is wrong gets another chance, as a machine that is busy with something else may leave a part of the budget
    unused; a refusal gets none. Where a server is missing, the others are played, and the test is skipped then.
    """
    missing = [kind for kind in kinds if not is_there(kind)]
    todo, began = {kind: (kind, scene) for kind in kinds if kind not in missing}, time.monotonic()
    for attempt in range(1, TIMES + 1):
        played = at_once(todo, folder / str(attempt))
        assert {kind: one.refused for kind, one in played.items()} == dict.fromkeys(todo, 0)
        found = {kind: bad for kind, one in played.items() if (bad := list(wrong(one)))}
        todo = {kind: (kind, scene) for kind in found}
        if not found or (time.monotonic() - began) * (attempt + 1) / attempt > PATIENCE:
            break
    if all(bad == [TOO_BUSY] for bad in found.values()):
        for kind in found:
            pytest.skip(f"{kind}: {TOO_BUSY}")
    assert found == {}
    for kind in missing:
        STORES[kind]()  # skips


def is_there(kind: str) -> bool:
    """Whether there is a server of a kind; where none may be missing, the test fails."""
    try:
        STORES[kind]()
    except pytest.skip.Exception:
        return False
    return True


def unused(played: Played) -> Iterator[str]:
    """Say if too little of the budget was used in the windows that no fault had to do with, as far as one can say that.

    The first of all is none of them without a fault: everybody comes, and connects.
    """
    waited = played.kept_waiting()
    parts = {place: part for place, part in played.undisturbed().items() if place or played.faulted}
    able = {place: part for place, part in parts.items() if part >= LEAST_USED or waited[place] <= MOST_WAITED}
    if not all(part >= LEAST_USED for part in able.values()):
        yield f"used {played.used()}, of which {able} count"
    elif not able:
        yield TOO_BUSY


def unfair(played: Played) -> Iterator[str]:
    """Say if parts are not equal, as far as one can say that."""
    if played.spread() > MOST_APART:
        is_able = max(played.kept_waiting()) <= MOST_WAITED
        yield f"{played.spread():.2f} times as much as another" if is_able else TOO_BUSY


def test_no_fault_that_keeps_the_data_costs_a_refusal_or_a_budget(tmp_path: Path) -> None:
    """Two of four are killed, the store stands still, one is suspended for longer than its lease; clocks are wrong.

    A lease and a window later the two that are left use the whole budget: one whose clock is ahead, and one behind.
    """

    def wrong(played: Played) -> Iterator[str]:
        assert set(played.members) == {"p2", "p3"}
        assert min(played.done().values()) > 0
        yield from () if IN_SHORT else unused(played)  # where several suites have the machine to themselves

    scene = Scene(faults=("kill", "stop", "suspend"), burst=0, clocks=(1.0, -1.0))
    never_refused(scene, ("file",) if IN_SHORT else STORES, tmp_path, wrong)


@in_full
def test_data_that_is_lost_costs_a_hold_and_no_refusal(tmp_path: Path) -> None:
    """Nothing goes for a lease and a window, and then the whole budget is used."""

    def wrong(played: Played) -> Iterator[str]:
        assert played.silence() >= played.scene.held_for - 0.1 * played.scene.lap
        assert min(played.done().values()) > 0
        yield from unused(played)

    never_refused(Scene(faults=("lose",), burst=0), SERVERS, tmp_path, wrong)


@in_full
@pytest.mark.parametrize("kind", SERVERS)
def test_without_the_hold_data_that_is_lost_costs_refusals(kind: str, tmp_path: Path) -> None:
    """The control: the fault tests something. A machine that is too busy for a burst gets more time for it."""
    STORES[kind]()
    scenes = [
        Scene(faults=("lose",), burst=0, calls=60, windows=0.6, hold=False, faster=faster)
        for faster in (10.0, 5.0, 2.0)
    ]
    played = (at_once({kind: (kind, scene)}, tmp_path / f"{scene.faster}")[kind] for scene in scenes)
    assert any(one.refused for one in played)


@in_full
def test_sixteen_processes_use_the_whole_budget_in_equal_parts(tmp_path: Path) -> None:
    """At least 98 % is used, and no process has half as much again as another, whatever they share by."""

    def wrong(played: Played) -> Iterator[str]:
        yield from {*unused(played), *unfair(played)}

    never_refused(Scene(processes=16, windows=2.0, faster=5.0), STORES, tmp_path, wrong)


SITUATIONS = {
    "web workers": Scene(faster=20.0, calls=8, windows=4, way="single"),
    "bulk processes": Scene(faster=20.0, calls=53, windows=4, way="bulk"),
    "a job queue's tasks": Scene(faster=20.0, calls=12, windows=4, way="tasks"),
}


def test_four_processes_of_one_account_are_never_refused(tmp_path: Path) -> None:
    """Web workers with single calls, a bulk run in each, tasks with a loop each, as Celery's are."""
    played = at_once({name: ("file", scene) for name, scene in SITUATIONS.items()}, tmp_path)
    assert {name: one.refused for name, one in played.items()} == dict.fromkeys(SITUATIONS, 0)
    done = {name: dict.fromkeys(scene.names, scene.calls) for name, scene in SITUATIONS.items()}
    assert {name: one.done() for name, one in played.items()} == done


@in_full
@pytest.mark.parametrize("name", SITUATIONS)
def test_four_processes_that_share_nothing_are_refused(name: str, tmp_path: Path) -> None:
    """The control, in the same way."""
    scene = attrs.evolve(SITUATIONS[name], windows=0.6)
    played = (at_once({name: ("file", scene)}, tmp_path / str(turn), shares=False) for turn in range(TIMES))
    assert any(one[name].refused for one in played)
