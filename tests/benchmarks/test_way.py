"""Counting the way of one more row: what counts as a call, as a module and as a change."""

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import _harness, way
from benchmarks._inputs import write_three_kinds
from benchmarks.way import Called, Watch, Way

PLANTED = """
import asyncio

def plain():
    return 1

async def resumed():
    await asyncio.sleep(0)

def listed():
    return list(produced())

def produced():
    yield 1
    yield 2
"""


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], ModuleType]:
    def planted(name: str) -> ModuleType:
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PLANTED, encoding="ascii")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return planted


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    before = sys.getprofile()
    yield Watch(tmp_path / "package")
    sys.setprofile(before)


def test_a_planted_call_is_found_with_its_module(package: Callable[[str], ModuleType], watch: Watch) -> None:
    """Each call of the package counts, in its order; what is called outside of it does not."""
    one, other = package("one.py"), package("inner/other.py")
    with watch.watching():
        one.plain()
        other.plain()
        len("not ours")
        one.plain()
    assert watch.calls == [Called("one", "plain"), Called("inner.other", "plain"), Called("one", "plain")]
    assert way.changes(watch.calls) == 2


def test_each_resumption_of_a_coroutine_or_a_generator_is_a_call(
    package: Callable[[str], ModuleType], watch: Watch
) -> None:
    """A coroutine that waits once is called twice, a generator of two values three times."""
    module = package("one.py")
    with watch.watching():
        asyncio.run(module.resumed())
        module.listed()
    names = [called.function for called in watch.calls]
    assert names == ["resumed", "resumed", "listed", "produced", "produced", "produced"]


def test_calls_of_other_threads_count_and_those_of_what_is_left_out_do_not(
    package: Callable[[str], ModuleType], watch: Watch
) -> None:
    """The journal works in a thread of its own; the sandbox and the command line are no client code."""
    module, sandbox, command = map(package, ("one.py", "sandbox/server.py", "cli/app.py"))
    with watch.watching():
        for target in (module.plain, sandbox.plain):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        command.plain()
    assert watch.calls == [Called("one", "plain")]


def test_nothing_is_counted_once_the_watch_is_over(package: Callable[[str], ModuleType], watch: Watch) -> None:
    """Neither in this thread nor in those that are started later."""
    module = package("one.py")
    with watch.watching():
        pass
    module.plain()
    thread = threading.Thread(target=module.plain)
    thread.start()
    thread.join()
    assert watch.calls == []


def test_one_more_row_is_what_the_longer_run_has_beyond_the_shorter() -> None:
    """Setup falls out, and so does a module that is not called for every row."""
    setup = [Called("setup", "begin")] * 7
    row = [Called("a", "f"), Called("b", "g"), Called("b", "h"), Called("a", "k")]
    late = [Called("rare", "timer")]
    found = way.of_one_more([*setup, *row * 10], [*setup, *row * 20, *late], rows=10)
    assert found == Way(calls=4.1, modules=2, changes=2.1)


@pytest.mark.parametrize("journal", [False, True])
def test_a_run_tells_the_same_way_each_time(*, journal: bool) -> None:
    """The figures are a gate: what noise moves has no place in them."""
    with _harness.server() as url:
        first, second = (way.measure(url, journal=journal) for _ in range(2))
    assert first == pytest.approx(second, abs=0.3)  # the journal's thread may be told one group later
    assert first.calls > first.changes > first.modules > 10


def test_a_run_that_loses_a_row_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures would be those of a shorter way."""
    monkeypatch.setattr(way, "write_three_kinds", lambda path, rows: write_three_kinds(path, rows - 1))
    with _harness.server() as url, pytest.raises(_harness.Failed, match="rows done"):
        way.once(url, 10, journal=False)


def test_the_calls_are_written_with_their_module_where_it_changes() -> None:
    """A reader sees where the way goes back and forth."""
    written = list(way.lines([Called("a", "f"), Called("a", "g"), Called("b", "h")]))
    assert [line.split() for line in written] == [["a", "f"], ["g"], ["b", "h"]]
