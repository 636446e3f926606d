"""
What importing the package loads, and how that is measured.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import importing

UNUSED = {"cattrs", "aiolimiter"}


def _loaded_by(script: str) -> set[str]:
    run = subprocess.run(  # noqa: S603 our own words
        [sys.executable, "-I", "-c", f"import sys\n{script}\nprint(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(run.stdout.split())


def _clients_in(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name.startswith("omeda_async.providers.") and name.endswith(".client")}


def test_importing_the_front_door_loads_no_client_of_a_provider_and_nothing_it_needs() -> None:
    """
    The models, settings and errors are there; what only a configured provider uses is not.
    """
    loaded = _loaded_by("import omeda_async")
    assert {"omeda_async.manager", "omeda_async.providers.omeda.models"} <= loaded
    assert loaded & UNUSED == set()
    assert _clients_in(loaded) == set()


def test_a_manager_loads_the_client_of_the_provider_that_is_configured_alone() -> None:
    """
    Nothing of the other two comes with it.
    """
    loaded = _loaded_by(
        "from omeda_async import OcambaSettings, SessionManager\nSessionManager(ocamba=OcambaSettings(token='t'))"
    )
    assert _clients_in(loaded) == {"omeda_async.providers.ocamba.client"}


def test_the_import_benchmark_measures_compiled_files_also_where_none_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With PYTHONDONTWRITEBYTECODE set, each of its runs would compile everything anew and measure that.
    """
    (tmp_path / "measured_module.py").write_text("VALUE = 1\n", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    measured = importing.measure("measured_module")
    assert measured["modules"] > 0
    assert [path.stem.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()] == ["measured_module"]
