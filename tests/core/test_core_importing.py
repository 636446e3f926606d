"""What importing the package loads, and how that is measured."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import omeda_async
from benchmarks import importing

UNUSED = {"aiohttp", "aiolimiter", "cattrs", "email_validator", "procrastinate", "psycopg"}


def _loaded_by(script: str) -> set[str]:
    run = subprocess.run(  # noqa: S603 our own words
        [sys.executable, "-I", "-c", f"import sys\n{script}\nprint(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(run.stdout.split())


def _of_providers(loaded: set[str], kind: str) -> set[str]:
    return {name for name in loaded if name.startswith("omeda_async.providers.") and name.endswith(f".{kind}")}


def _clients_in(loaded: set[str]) -> set[str]:
    return _of_providers(loaded, "client")


def test_importing_the_front_door_loads_nothing_of_a_provider_and_nothing_it_needs() -> None:
    """The manager, settings and errors are there; what only who uses a provider needs is not."""
    loaded = _loaded_by("import omeda_async")
    assert {"omeda_async.manager", "omeda_async.settings", "omeda_async.errors"} <= loaded
    assert loaded & UNUSED == set()
    assert _clients_in(loaded) == _of_providers(loaded, "models") == set()


def test_asking_for_a_model_loads_those_of_its_provider_alone() -> None:
    """All of them, and the other providers' are left where they are."""
    loaded = _loaded_by("from omeda_async import ClientOptOut, OptOut, Tester")
    assert _of_providers(loaded, "models") == {"omeda_async.providers.omeda.models"}


def test_every_name_is_there_for_an_import_of_all_of_them() -> None:
    """Also those that are loaded when they are asked for; what is no name of ours is told as ever."""
    script = "from omeda_async import *\nimport omeda_async\nassert set(omeda_async.__all__) <= set(globals())"
    assert "omeda_async.providers.ocamba.models" in _loaded_by(script)
    with pytest.raises(AttributeError, match=r"module 'omeda_async' has no attribute 'Campain'"):
        getattr(omeda_async, "Campain")  # noqa: B009 a type checker would see that it is none


def test_the_names_loaded_when_asked_for_are_those_a_type_checker_sees() -> None:
    """The two lists, one for the type checker and one for the run, hold the same."""
    tree = ast.parse(Path(omeda_async.__file__).read_text("utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test).startswith("typing."))
    seen = {
        line.module: {alias.name for alias in line.names} for line in typed.body if isinstance(line, ast.ImportFrom)
    }
    assert seen == {f"omeda_async.{place}": set(names) for place, names in omeda_async._LATER.items()}


def test_a_manager_loads_the_client_of_the_provider_that_is_configured_alone() -> None:
    """Nothing of the other two comes with it."""
    loaded = _loaded_by(
        "from omeda_async import OcambaSettings, SessionManager\nSessionManager(ocamba=OcambaSettings(token='t'))"
    )
    assert _clients_in(loaded) == {"omeda_async.providers.ocamba.client"}


def test_every_module_is_imported_where_nothing_can_fork() -> None:
    """As on Windows: there is no ``os.register_at_fork`` there, nor ``fcntl``."""
    loaded = _loaded_by(
        "import importlib, os, pkgutil\n"
        "del os.fork, os.register_at_fork\nsys.modules['fcntl'] = None\nimport omeda_async\n"
        "for one in pkgutil.walk_packages(omeda_async.__path__, 'omeda_async.'):\n"
        "    one.name.endswith('__main__') or importlib.import_module(one.name)"
    )
    assert {"omeda_async.limits._shared", "omeda_async.bulk.journal.postgres_chunks"} <= loaded


def test_the_import_benchmark_measures_compiled_files_also_where_none_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PYTHONDONTWRITEBYTECODE set, each of its runs would compile everything anew and measure that."""
    (tmp_path / "measured_module.py").write_text("VALUE = 1\n", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    measured = importing.measure("measured_module")
    assert measured["modules"] > 0
    assert [path.stem.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["measured_module"]
