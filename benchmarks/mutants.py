"""Change the code that must not be wrong, one small thing at a time, and see whether a test notices.

Mutants are made by cosmic-ray's operators (of arithmetic, only the opposite of each) and two of ours: ``max`` for
``min``, and a statement left out; declarations of classes and fields stay as they are, and so does a lone ``*`` among
parameters, which is no multiplication. Each is put into a copy of the tree, in which the tests run that concern its
module, until one fails twice or its time is over: then it is killed. Survivors are shown with their diffs; those that
change nothing that can be seen stand in ``mutants_explained.toml`` with the reason, and are not counted. Less than
95 % killed, and the exit code is 1.

Usage: ``python -m benchmarks.mutants [--module limits/_slots.py ...] [--sample 60] [--seed 1] [--list]``
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from difflib import unified_diff
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

ROOT = Path(__file__).parent.parent
EXPLAINED = Path(__file__).with_name("mutants_explained.toml")
COPIED = ("omeda_async", "tests", "benchmarks", "pyproject.toml")
WANTED = 0.95
LEAST_PATIENCE = 10.0
PATIENCE = 3.0
"""A mutant's tests get so many times what they take without one, and these seconds besides."""
AGAIN = 4.0
"""Where they did not end in that time, and it is not known which test was under way, they get so many times as much."""
TESTS = {
    "_decide.py": [f"tests/core/test_core_{name}.py" for name in ("decide", "decide_ends", "doubt", "call", "reads")],
    "limits/": ["tests/limits"],
    "_bounded.py": [f"tests/limits/test_{name}.py" for name in ("redis_link_exact", "limits_redis", "limits_postgres")],
    "bulk/_isolate.py": [
        f"tests/bulk/test_{name}.py"
        for name in ("isolation", "isolation_doubt", "sizes", "isolation_stopped", "common_causes", "bulk_settling")
    ],
    "bulk/_common_cause.py": ["tests/bulk/test_outages.py", "tests/bulk/test_never_reached.py"],
    "bulk/_chunks.py": ["tests/bulk/test_sizes.py", "tests/bulk/test_bulk_units.py"],
}
"""The tests that concern a module, those first that are likely to notice."""
FIRST = {
    "limits/_account_state.py": ["account_state", "limits_lua"],
    "limits/_caution.py": ["account_state", "limits_lua"],
    "limits/_conversation.py": ["store_limiter"],
    "limits/_gate.py": ["limits_slots", "limits_evidence", "limits_reserve", "limits_property"],
    "limits/_header_evidence.py": ["limits_evidence", "limits_property", "account_state"],
    "limits/_host.py": ["sqlite_store"],
    "limits/_limiter.py": ["limits_deadlines", "limits_overtaking", "limits_lanes", "limits_caution", "limits_reserve"],
    "limits/_postgres_store.py": ["limits_postgres"],
    "limits/_rate_limit.py": ["limits_rules"],
    "limits/_redis_link.py": ["limits_redis"],
    "limits/_redis_store.py": ["limits_redis"],
    "limits/_refusals.py": ["limits_deadlines", "limits_caution", "store_limiter"],
    "limits/_sqlite_file.py": ["sqlite_store"],
    "limits/_sqlite_store.py": ["sqlite_store"],
    "limits/_state.py": ["limits_slots", "limits_evidence", "limits_reserve", "limits_caution", "account_state"],
    "limits/_store.py": ["account_state", "store_limiter"],
    "limits/_store_limiter.py": ["store_limiter"],
    "limits/_stored.py": ["account_state", "sqlite_store"],
    "limits/_turn_times.py": ["store_limiter", "account_state"],
    "limits/_view.py": ["limits_slots", "limits_evidence", "limits_shared", "account_state"],
    "limits/_where.py": ["store_limiter", "sqlite_store"],
}
"""Those in ``tests/limits`` that are likely to notice a change of a module: they run before the others."""
LAST = [f"tests/limits/test_{name}.py" for name in ("sqlite_processes", "shared_limits_proof")]
"""Processes at work in real time, for minutes: they run after the others."""
KINDS = re.compile(
    r"core/(?:ReplaceBinaryOperator_(?:Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul)"
    r"|ReplaceComparisonOperator_(?:Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt|Eq_NotEq|NotEq_Eq"
    r"|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)"
    r"|ReplaceUnaryOperator_(?:Delete_USub|Delete_Not)|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr"
    r"|ReplaceOrWithAnd|AddNot|ReplaceBreakWithContinue|ReplaceContinueWithBreak|NumberReplacer|ZeroIterationForLoop)"
)
DECLARES = re.compile(r"^@|attrs\.field\(|^if TYPE_CHECKING|^$")
CALLS_OR_SETS = re.compile(r"\w+(?:\.|\[)")
"""How a statement begins that can be left out."""
FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
"""What pytest says of a test that has failed."""
UNDER_WAY = re.compile(r"^(\S+\.py::.+?) *\Z", re.MULTILINE)
"""And of one that it has begun."""
Fate = Literal["killed", "timed out", "survived", "explained"]
FATES: tuple[Fate, ...] = get_args(Fate)


@attrs.frozen
class Mutant:
    """One change of one module."""

    module: str
    """Its path below ``omeda_async``."""
    source: str = attrs.field(repr=False)
    changed: str = attrs.field(repr=False)

    @property
    def lines(self) -> tuple[str, str]:
        """Return what was there and what is there now, without the blanks around."""
        changes = list(unified_diff(self.source.splitlines(), self.changed.splitlines(), n=0))[3:]
        was, now = (" ".join(line[1:].strip() for line in changes if line[0] == sign) for sign in "-+")
        return was, now

    @property
    def diff(self) -> str:
        """Return it as a diff."""
        sides = self.source.splitlines(), self.changed.splitlines()
        return "\n".join(unified_diff(*sides, self.module, self.module, n=2, lineterm=""))


class Other:
    """Replaces one name by another, where it is called."""

    def __init__(self, name: str, other: str) -> None:
        self.name, self.other = name, other

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Say where it can."""
        if node.type == "name" and node.value == self.name and (after := node.get_next_leaf()) and after.value == "(":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        """Do it."""
        node.value = self.other
        return node


class LeftOut:
    """Replaces a statement that returns nothing and names nothing new by ``pass``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Say where it can: a call of a method, and what is put into an attribute or an element."""
        if node.type == "simple_stmt" and CALLS_OR_SETS.match(node.get_code(include_prefix=False)):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        """Do it."""
        nothing = import_module("parso").parse("pass\n").children[0]
        nothing.get_first_leaf().prefix = node.get_first_leaf().prefix
        return nothing


@attrs.frozen
class Change:
    """Where a mutant can be made, and by what."""

    module: str
    source: str = attrs.field(repr=False)
    operator: Any = attrs.field(repr=False)
    occurrence: int

    def made(self) -> Mutant | None:
        """Return the mutant; None where it is no program, or concerns a declaration."""
        changed = import_module("cosmic_ray.mutating").mutate_code(self.source, self.operator, self.occurrence)
        mutant = Mutant(self.module, self.source, changed or self.source)
        was, now = mutant.lines
        in_signature = "/," in now and now.replace("/,", "*,") == was  # a star without a factor behind it
        return None if in_signature or DECLARES.search(was) or not _is_program(mutant.changed) else mutant


def changes_of(module: str, source: str) -> Iterator[Change]:
    """Return every change that can be made in a module."""
    nodes = import_module("cosmic_ray.ast")
    every = list(nodes.ast_nodes(nodes.get_ast(source)))
    for operator in _operators():
        count = sum(len(list(operator.mutation_positions(node))) for node in every)
        yield from (Change(module, source, operator, occurrence) for occurrence in range(count))


def _operators() -> list[Any]:
    try:
        plugins = import_module("cosmic_ray.plugins")
    except ModuleNotFoundError:
        raise SystemExit("this needs cosmic-ray: pip install 'omeda-async[bench]'") from None
    named = [plugins.get_operator(name)() for name in plugins.operator_names() if KINDS.fullmatch(name)]
    return [*named, Other("max", "min"), Other("min", "max"), LeftOut()]


def _is_program(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


def modules_of(words: Iterable[str]) -> list[str]:
    """Return the modules that words name, each a path below ``omeda_async`` or the start of one."""
    package = ROOT / "omeda_async"
    every = sorted(str(path.relative_to(package)) for path in package.rglob("*.py"))
    found = [name for word in words for name in every if name.startswith(word) and not name.endswith("__init__.py")]
    if not found:
        raise SystemExit(f"no module is called so: {', '.join(words)}")
    return list(dict.fromkeys(found))


def tests_of(module: str) -> list[list[str]]:
    """Return the tests that concern a module, in the order in which they run: those first that are likely to notice."""
    tests = next((tests for start, tests in TESTS.items() if module.startswith(start)), None)
    if tests is None:
        raise SystemExit(f"no tests are named for {module}: see TESTS")
    folder, _, name = module.removesuffix(".py").rpartition("/")
    likely = [f"{name.removeprefix('_')}_exact", f"{folder}{name}_exact", f"{folder}{name}", *FIRST.get(module, ())]
    own = _there(f"tests/{folder}/test_{one}.py" for one in likely)
    last = _there(LAST) if folder == "limits" else []
    stages = [own, [*tests, *(f"--ignore={one}" for one in last)], last]
    return [stage for stage in stages if stage]


def _there(names: Iterable[str]) -> list[str]:
    return [name for name in names if (ROOT / name).is_file()]


def explanations() -> dict[tuple[str, str, str], str]:
    """Return why some mutants change nothing that can be seen, by their module and their lines."""
    entries = tomllib.loads(EXPLAINED.read_text("utf-8")).get("mutant", [])
    return {(one["module"], one["was"], one["now"]): one["why"] for one in entries}


@attrs.define
class Copy:
    """A copy of the tree, in which mutants live."""

    place: Path
    _times: dict[tuple[str, ...], float] = attrs.field(factory=dict)

    def fill(self) -> None:
        """Copy what the tests need. What is compiled is known by its contents, not by its time."""
        for name in COPIED:
            source, target = ROOT / name, self.place / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
            else:
                shutil.copy(source, target)
        words = ["compileall", "-q", "--invalidation-mode", "checked-hash", "omeda_async", "tests", "benchmarks"]
        subprocess.run([sys.executable, "-m", *words], cwd=self.place, check=True)  # noqa: S603 our own interpreter

    def try_out(self, mutant: Mutant) -> Fate:
        """Say whether a test notices a mutant; first, the tests have to pass without it."""
        path = self.place / "omeda_async" / mutant.module
        for tests in tests_of(mutant.module):
            seconds = LEAST_PATIENCE + PATIENCE * self._time_of(tests, mutant.module)
            path.write_text(mutant.changed, "utf-8")
            try:
                fate = self._fate(tests, seconds)
            finally:
                path.write_text(mutant.source, "utf-8")
            if fate != "survived":
                return fate
        return "survived"

    def _time_of(self, tests: Sequence[str], module: str) -> float:
        if (known := self._times.get(tuple(tests))) is not None:
            return known
        began = time.monotonic()
        if self._fate(tests, None) != "survived":
            raise SystemExit(f"the tests of {module} fail without any mutant: {' '.join(tests)}")
        return self._times.setdefault(tuple(tests), time.monotonic() - began)

    def _fate(self, tests: Sequence[str], seconds: float | None) -> Fate:
        """Run tests; one that fails or does not end, and passes alone, was kept from its time, and is left out."""
        passes_alone: list[str] = []
        while True:
            fate, which = self._run([*tests, *(f"--deselect={one}" for one in passes_alone)], seconds)
            if fate == "timed out" and not which:
                return self._run(tests, AGAIN * (seconds or 0.0))[0]
            if fate == "survived" or not which:
                return fate
            alone, _ = self._run([which], seconds)
            if alone != "survived":
                return alone
            passes_alone.append(which)

    def _run(self, tests: Sequence[str], seconds: float | None) -> tuple[Fate, str]:
        """Run tests until one fails, and return which, or which one was under way when their time was over."""
        words = ["-m", "pytest", "-x", "-v", "-p", "no:cacheprovider", "--no-header", *tests]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryFile() as said:  # no pipe: what a test has left behind may hold it open
            try:
                subprocess.run(  # noqa: S603 our own interpreter
                    [sys.executable, *words],
                    cwd=self.place,
                    env=environment,
                    timeout=seconds,
                    check=True,
                    stdout=said,
                    stderr=subprocess.DEVNULL,
                )
            except subprocess.SubprocessError as error:
                said.seek(0)
                is_late = isinstance(error, subprocess.TimeoutExpired)
                found = (UNDER_WAY if is_late else FAILED).search(said.read().decode(errors="replace"))
                return "timed out" if is_late else "killed", found[1] if found else ""
        return "survived", ""


def chosen(changes: Sequence[Change], sample: int | None, seed: int) -> Iterator[Mutant]:
    """Return so many mutants, always the same for a seed; one that several changes come to is one."""
    order = list(changes) if sample is None else random.Random(seed).sample(changes, len(changes))  # noqa: S311 no secret
    seen: set[tuple[str, str]] = set()
    for change in order:
        if len(seen) == sample:
            return
        mutant = change.made()
        if mutant is not None and (mutant.module, mutant.changed) not in seen:
            seen.add((mutant.module, mutant.changed))
            yield mutant


def fates(mutants: Iterable[Mutant], copy: Copy) -> Iterator[tuple[Mutant, Fate]]:
    """Try out mutants, and say what becomes of each; what is explained is not tried."""
    explained = explanations()
    for mutant in mutants:
        if (mutant.module, *mutant.lines) in explained:
            yield mutant, "explained"
        else:
            yield mutant, copy.try_out(mutant)


def score(told: Iterable[Fate]) -> float:
    """Return the part that was killed, or did not end, of those that are not explained; 1 of none."""
    counted = [fate != "survived" for fate in told if fate != "explained"]
    return sum(counted) / len(counted) if counted else 1.0


def main(arguments: Sequence[str]) -> int:
    """Try out mutants, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--module", action="append", help="below omeda_async, or the start of some; all named in TESTS")
    parser.add_argument("--sample", type=int, help="so many of the mutants; all without it")
    parser.add_argument("--seed", type=int, default=1, help="which of them")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many at the beginning, tried before")
    parser.add_argument("--list", action="store_true", help="show them, and try out none")
    options = parser.parse_args(arguments)
    modules = {name: ROOT / "omeda_async" / name for name in modules_of(options.module or TESTS)}
    changes = [one for name, path in modules.items() for one in changes_of(name, path.read_text("utf-8"))]
    mutants = islice(chosen(changes, options.sample, options.seed), options.skip, None)
    if options.list:
        print("\n\n".join(one.diff for one in mutants))
        return 0
    told: list[Fate] = []
    with tempfile.TemporaryDirectory() as place:
        copy = Copy(Path(place))
        copy.fill()
        for mutant, fate in fates(mutants, copy):
            told.append(fate)
            print(f"{len(told)}: {mutant.module}: {' → '.join(mutant.lines)}: {fate}", file=sys.stderr, flush=True)
            if fate == "survived":
                print(f"\n{mutant.diff}", flush=True)
    print(f"\n{len(changes)} changes, {len(told)} mutants: {_counted(told)}; {score(told):.1%} killed")
    return 0 if score(told) >= WANTED else 1


def _counted(told: Sequence[Fate]) -> str:
    return ", ".join(f"{told.count(fate)} {fate}" for fate in FATES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
