"""The mutation run: what it changes, what it takes for killed, and that its explanations are of this code."""

import subprocess
from pathlib import Path
from typing import IO

import pytest

from benchmarks import mutants
from benchmarks.mutants import Copy, Mutant

SOURCE = """from a import b

LEAST = 1


def f(self, text):
    self.seen = max(1, text)
    while not text < LEAST:
        text -= 1
    return text
"""


def changed(old: str, new: str) -> Mutant:
    assert old in SOURCE
    return Mutant("limits/x.py", SOURCE, SOURCE.replace(old, new))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a small tree in the place of ours: a module, and a test that concerns it."""
    for name in ("omeda_async/limits", "tests/limits", "benchmarks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (tmp_path / "omeda_async/limits/x.py").write_text(SOURCE.replace("from a import b\n", ""))
    for package in ("omeda_async", "omeda_async/limits"):
        (tmp_path / package / "__init__.py").touch()  # else one that is installed is imported
    test = "from types import SimpleNamespace\nfrom omeda_async.limits.x import f\n\n\n"
    (tmp_path / "tests/limits/test_limitsx.py").write_text(
        f"{test}def test_it():\n    assert f(SimpleNamespace(), 2) == 0\n"
    )
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    return tmp_path


def test_a_mutant_is_known_by_its_lines_and_shown_as_a_diff() -> None:
    """Wherever they stand: what is explained stays so when the lines move."""
    mutant = changed("text -= 1", "text -= 2")
    assert mutant.lines == ("text -= 1", "text -= 2")
    assert "-        text -= 1\n+        text -= 2\n" in mutant.diff


def test_what_can_be_changed_is_changed_and_declarations_are_not() -> None:
    """Numbers, comparisons, ``max``, statements left out; no two mutants are the same."""
    pytest.importorskip("cosmic_ray")
    changes = list(mutants.changes_of("limits/x.py", SOURCE + "\n@attrs.define(eq=False)\nclass C:\n    pass\n"))
    made = [mutant.lines for mutant in mutants.chosen(changes, None, 1)]
    assert len(set(made)) == len(made)
    assert ("self.seen = max(1, text)", "pass") in made
    assert ("self.seen = max(1, text)", "self.seen = min(1, text)") in made
    assert ("while not text < LEAST:", "while not text <= LEAST:") in made
    assert not [was for was, _ in made if was.startswith("@")]


def test_a_star_among_parameters_is_no_multiplication() -> None:
    """It stays as it is; a real one beside it is changed all the same."""
    pytest.importorskip("cosmic_ray")
    source = "def f(a, *, b=2 * 3):\n    return a * b\n\n\ndef g(\n    a,\n    *,\n    b,\n):\n    return a\n"
    made = [mutant.lines for mutant in mutants.chosen(list(mutants.changes_of("limits/x.py", source)), None, 1)]
    assert ("def f(a, *, b=2 * 3):", "def f(a, *, b=2 / 3):") in made
    assert ("return a * b", "return a / b") in made
    assert not [now for _, now in made if "/," in now]


def test_a_sample_is_the_same_for_a_seed() -> None:
    """And another one for another."""
    pytest.importorskip("cosmic_ray")
    changes = list(mutants.changes_of("limits/x.py", SOURCE))
    first, again, other = (list(mutants.chosen(changes, 5, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == len(other) == 5


def test_a_mutant_is_killed_by_a_test_that_fails(tree: Path) -> None:
    """Each is tried in the copy, and the module is as it was afterwards."""
    place = tree / "copy"
    place.mkdir()
    copy, source = Copy(place), SOURCE.replace("from a import b\n", "")
    copy.fill()
    noticed, missed = (source.replace(*change) for change in (("return text", "return 5"), ("max(1", "min(1")))
    assert copy.try_out(Mutant("limits/x.py", source, noticed)) == "killed"
    assert copy.try_out(Mutant("limits/x.py", source, missed)) == "survived"
    assert (place / "omeda_async/limits/x.py").read_text() == source


def test_a_mutant_that_does_not_end_is_told_as_such(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets some times what the tests take without it, and then more, should the machine have been busy."""
    waited: list[float | None] = []

    def run(*_words: object, timeout: float | None, **_how: object) -> None:
        waited.append(timeout)
        if timeout is not None:
            raise subprocess.TimeoutExpired("pytest", timeout)

    monkeypatch.setattr(subprocess, "run", run)
    mutant = changed("text -= 1", "text -= 0")
    assert Copy(tree).try_out(mutant) == "timed out"
    assert waited[0] is None
    assert waited[1] is not None
    assert waited[1] >= mutants.LEAST_PATIENCE
    assert waited[2:] == [mutants.AGAIN * waited[1]]
    assert (tree / "omeda_async/limits/x.py").read_text() == SOURCE


def test_of_tests_that_do_not_end_the_one_under_way_is_tried_alone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the time of all of them: a machine that was busy meanwhile has noticed nothing."""
    under_way = "tests/limits/test_limitsx.py::test_it[a b]"
    words: list[list[str]] = []

    def run(command: list[str], *, timeout: float | None, stdout: IO[bytes], **_how: object) -> None:
        words.append([word for word in command if ".py" in word])
        if timeout is not None and (len(words) == 2 or under_way in command):
            stdout.write(f"tests/limits/test_limitsx.py::test_that PASSED [ 50%]\n{under_way} ".encode())
            raise subprocess.TimeoutExpired("pytest", timeout)

    monkeypatch.setattr(subprocess, "run", run)
    assert Copy(tree).try_out(changed("text -= 1", "text -= 0")) == "timed out"
    own = "tests/limits/test_limitsx.py"
    assert words == [[own], [own], [under_way]]


def test_tests_that_fail_without_a_mutant_are_no_measure(tree: Path) -> None:
    """Else every mutant would be killed."""
    (tree / "tests/limits/test_limitsx.py").write_text("def test_it():\n    assert False\n")
    place = tree / "copy"
    place.mkdir()
    copy = Copy(place)
    copy.fill()
    with pytest.raises(SystemExit, match="fail without any mutant"):
        copy.try_out(Mutant("limits/x.py", SOURCE, SOURCE))


def test_a_test_that_fails_once_and_passes_alone_does_not_count(tree: Path) -> None:
    """A machine that is busy fails tests of real time; a mutant that no other test notices survives."""
    place, source = tree / "copy", SOURCE.replace("from a import b\n", "")
    place.mkdir()
    once = "def test_once():\n    path = Path('failed')\n    seen = path.exists()\n    path.touch()\n    assert seen\n"
    test = tree / "tests/limits/test_limitsx.py"
    test.write_text(f"from pathlib import Path\n\n\n{once}\n\n{test.read_text()}")
    copy = Copy(place)
    copy.fill()
    assert copy.try_out(Mutant("limits/x.py", source, source.replace("max(1", "min(1"))) == "survived"
    (place / "failed").unlink()
    assert copy.try_out(Mutant("limits/x.py", source, source.replace("return text", "return 5"))) == "killed"


def test_the_score_leaves_out_what_is_explained() -> None:
    """It changes nothing that can be seen, and cannot be killed."""
    assert mutants.score(["killed", "timed out", "explained", "survived"]) == pytest.approx(2 / 3)
    assert mutants.score(["explained"]) == mutants.score([]) == 1.0


def test_the_modules_and_the_tests_named_are_there() -> None:
    """Each word names a module, and each module's tests exist, its own first."""
    modules = mutants.modules_of(mutants.TESTS)
    assert {"_decide.py", "limits/_slots.py", "bulk/_isolate.py"} <= set(modules)
    for module in modules:
        tests = [word.removeprefix("--ignore=") for stage in mutants.tests_of(module) for word in stage]
        assert [test for test in tests if not (mutants.ROOT / test).exists()] == []
    assert set(mutants.FIRST) <= set(modules)
    first = [f"tests/limits/test_{name}.py" for names in mutants.FIRST.values() for name in names]
    assert [test for test in first if not (mutants.ROOT / test).exists()] == []
    own, rest, last = mutants.tests_of("limits/_slots.py")
    assert own == ["tests/limits/test_limits_slots_exact.py", "tests/limits/test_limits_slots.py"]
    assert rest == ["tests/limits", *(f"--ignore={test}" for test in last)]
    assert last == mutants.LAST
    with pytest.raises(SystemExit, match="no module"):
        mutants.modules_of(["nothing"])
    with pytest.raises(SystemExit, match="no tests"):
        mutants.tests_of("events.py")


def test_each_explanation_is_of_a_line_that_is_there() -> None:
    """One whose line has changed explains nothing any more."""
    for (module, was, now), why in mutants.explanations().items():
        source = (mutants.ROOT / "omeda_async" / module).read_text("utf-8")
        assert was in [line.strip() for line in source.splitlines()], f"{module}: {was}"
        assert was != now
        assert len(why) > 20
