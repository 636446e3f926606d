"""Processes that share an account's limits by real stores, with windows ten times as fast, and what may happen to them.

``python -m benchmarks.shared_limits`` plays the same with Ocamba's own windows, and one fault at a time.
"""

import os
from collections.abc import Iterator

import pytest

from benchmarks.sharing.scene import Played, Scene, play
from benchmarks.sharing.stores import Place, place
from tests.limits.postgres_service import postgres_url
from tests.limits.redis_service import redis_url

IN_SHORT = bool(os.environ.get("SHORT_CAMPAIGNS"))
servers = pytest.mark.parametrize("store", ["redis", "postgres"], indirect=True)
in_full = pytest.mark.skipif(IN_SHORT, reason="played in full on another Python")


@pytest.fixture(scope="module", params=["file", "redis", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store of the kind, which may be stopped and robbed; its server is there besides, or the test is skipped."""
    if IN_SHORT and request.param != "file":
        pytest.skip("played in full on another Python")
    {"redis": redis_url, "postgres": postgres_url}.get(request.param, str)()
    with place(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A file."""
    with place("file", tmp_path_factory.mktemp("file")) as made:
        yield made


def came(played: Played, least: int) -> Played:
    """Return what was played, once it is certain that something was."""
    assert len(played.arrivals) >= least, played.members
    return played


def test_no_fault_that_keeps_the_data_costs_a_refusal(store: Place) -> None:
    """Two of four are killed, the store stands still, one is suspended for longer than its lease; clocks are wrong."""
    scene = Scene(faults=("kill", "stop", "suspend"), burst=0, windows=1.5, clocks=(1.0, -1.0))
    played = came(play(scene, store), 150)
    assert played.refused == 0
    assert sorted(played.members) == ["p1", "p3"]


@in_full
@servers
def test_data_that_is_lost_costs_a_hold_and_no_refusal(store: Place) -> None:
    """Nothing goes for a window and a lease, and then it goes on."""
    scene = Scene(faults=("lose",), burst=0, windows=1.6)
    played = came(play(scene, store), 75)
    assert played.refused == 0
    assert played.silence() >= scene.lap
    assert max(at for at, _, _ in played.arrivals) - played.began > scene.lap + scene.lease


@in_full
@servers
def test_without_the_hold_data_that_is_lost_costs_refusals(store: Place) -> None:
    """The control: the fault tests something."""
    played = came(play(Scene(faults=("lose",), burst=0, windows=0.4, hold=False), store), 75)
    assert played.refused > 0


@in_full
@pytest.mark.parametrize("store", ["redis"], indirect=True)
def test_sixteen_processes_use_the_whole_budget_in_equal_parts(store: Place) -> None:
    """Nobody is refused, at least 98 % is used, and no process has half as much again as another."""
    played = came(play(Scene(processes=16, windows=2.0), store), 280)
    assert played.refused == 0
    assert min(played.used()) >= 0.98
    assert played.spread() <= 1.5


SITUATIONS = [
    Scene(faster=20.0, calls=8, windows=2.2),
    Scene(faster=20.0, calls=53, windows=2.2, way="bulk"),
]


@pytest.mark.parametrize("scene", SITUATIONS, ids=["web workers", "bulk processes"])
def test_four_processes_of_one_account_are_never_refused(scene: Scene, file: Place) -> None:
    """Web workers with single calls, and processes with a bulk run each."""
    played = came(play(scene, file), 4 * (scene.calls or 0))
    assert played.refused == 0
    assert [member["done"] for member in played.members.values()] == [scene.calls] * 4


@pytest.mark.parametrize("scene", SITUATIONS, ids=["web workers", "bulk processes"])
def test_four_processes_that_share_nothing_are_refused(scene: Scene, file: Place) -> None:
    """The control."""
    assert came(play(scene, file, shares=False), 30).refused > 0
