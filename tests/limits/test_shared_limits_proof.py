"""Processes that share an account's limits by real stores, with windows ten times as fast, and what may happen to them.

``python -m benchmarks.shared_limits`` plays the same with Ocamba's own windows, and one fault at a time.
"""

import os
from collections.abc import Iterator

import attrs
import pytest

from benchmarks.sharing.scene import Scene, play
from benchmarks.sharing.stores import Place, place
from tests.limits.postgres_service import postgres_url
from tests.limits.redis_service import redis_url

IN_SHORT = bool(os.environ.get("SHORT_CAMPAIGNS"))
servers = pytest.mark.parametrize("store", ["redis", "postgres"], indirect=True)
TIMES = 3
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


def test_no_fault_that_keeps_the_data_costs_a_refusal(store: Place) -> None:
    """Two of four are killed, the store stands still, one is suspended for longer than its lease; clocks are wrong."""
    scene = Scene(faults=("kill", "stop", "suspend"), burst=0, calls=70, windows=4, clocks=(1.0, -1.0))
    played = play(scene, store)
    assert played.refused == 0
    assert played.done() == {"p1": 70, "p3": 70}


@in_full
@servers
def test_data_that_is_lost_costs_a_hold_and_no_refusal(store: Place) -> None:
    """Nothing goes for a window and a lease, and then it goes on."""
    scene = Scene(faults=("lose",), burst=0, calls=40, windows=4)
    played = play(scene, store)
    assert played.refused == 0
    assert played.silence() >= scene.lap
    assert set(played.done().values()) == {40}


@in_full
@servers
def test_without_the_hold_data_that_is_lost_costs_refusals(store: Place) -> None:
    """The control: the fault tests something. A machine that is too busy for a burst gets another chance."""
    scene = Scene(faults=("lose",), burst=0, calls=60, windows=0.6, hold=False)
    assert any(play(scene, store).refused for _ in range(TIMES))


@in_full
@pytest.mark.parametrize("store", ["redis"], indirect=True)
def test_sixteen_processes_use_the_whole_budget_in_equal_parts(store: Place) -> None:
    """At least 98 % is used, and no process has half as much again as another; what is never so is no noise."""
    for _ in range(TIMES):
        played = play(Scene(processes=16, windows=2.0), store)
        assert played.refused == 0
        if min(played.used()) >= 0.98 and played.spread() <= 1.5:
            return
    pytest.fail(f"used {played.used()}, {played.spread():.2f} times as much as another")


SITUATIONS = [
    Scene(faster=20.0, calls=8, windows=4, way="single"),
    Scene(faster=20.0, calls=53, windows=4, way="bulk"),
]


@pytest.mark.parametrize("scene", SITUATIONS, ids=["web workers", "bulk processes"])
def test_four_processes_of_one_account_are_never_refused(scene: Scene, file: Place) -> None:
    """Web workers with single calls, and processes with a bulk run each."""
    played = play(scene, file)
    assert played.refused == 0
    assert played.done() == dict.fromkeys(["p0", "p1", "p2", "p3"], scene.calls)


@in_full
@pytest.mark.parametrize("scene", SITUATIONS, ids=["web workers", "bulk processes"])
def test_four_processes_that_share_nothing_are_refused(scene: Scene, file: Place) -> None:
    """The control, in the same way."""
    scene = attrs.evolve(scene, windows=0.6)
    assert any(play(scene, file, shares=False).refused for _ in range(TIMES))
