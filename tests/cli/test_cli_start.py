"""What a command loads before it does anything: counted in modules, as time says more of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENDED = "\nimport sys; print(*sys.modules, file=sys.stderr)"
OURS = "import sys\nfrom omeda_async.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass" + ENDED
BARE = """
import typer
app = typer.Typer()

@app.command()
def one(file: str, yes: bool = False) -> None:
    pass

@app.command()
def two(file: str, yes: bool = False) -> None:
    pass

app(standalone_mode=False)
"""
SERVERS = {"aiohttp", "yarl", "omeda_async._transport", "omeda_async.sandbox"}
"""What sends requests, or serves them."""
JOURNALS = {"sqlite3", "aiosqlite", "omeda_async.journal"}
SENDING = {"rich.progress", "omeda_async.cli._sending"}


def loaded_by(script: str, *arguments: str | Path) -> set[str]:
    """Run a script in a new process, and return the modules that it has loaded at its end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = os.environ | {"OCAMBA_TOKEN": "t"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)  # noqa: S603 ours
    return set(run.stderr.split())


def providers_in(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name.startswith("omeda_async.providers.")}


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.txt"
    path.write_text("".join(f"{number}\n" for number in range(10)))
    return path


def test_help_loads_nothing_that_works() -> None:
    """Someone who asks what there is waits for no HTTP client, server, journal, provider or table."""
    loaded = loaded_by(OURS, "--help")
    assert "omeda_async.cli._app" in loaded
    assert loaded & (SERVERS | JOURNALS | SENDING) == set()
    assert loaded & {"cattrs", "aiolimiter", "procrastinate", "omeda_async.cli._bulk", "omeda_async.cli._demo"} == set()
    assert providers_in(loaded) == set()


def test_help_loads_little_more_than_a_program_without_anything() -> None:
    """Beside what the framework needs for two commands that do nothing, a bounded number of modules comes with it."""
    added = loaded_by(OURS, "--help") - loaded_by(BARE + ENDED, "--help")
    assert len({name for name in added if name.startswith("omeda_async")}) <= 60
    assert len(added) <= 180


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_plan_loads_no_http_client_and_no_other_provider(ids: Path, form: str) -> None:
    """Nothing is sent, so that neither aiohttp nor bars nor a journal are needed; one provider is."""
    loaded = loaded_by(OURS, "cancel-campaigns", ids, "--plan", "--format", form)
    assert loaded & (SERVERS | JOURNALS | SENDING) == set()
    assert "omeda_async.providers.ocamba.client" in loaded
    assert not [name for name in providers_in(loaded) if ".omeda" in name or ".journey_manager" in name]


def test_a_bulk_command_loads_no_sandbox(ids: Path) -> None:
    """Also one that sends, up to the question, which is refused where nobody can be asked."""
    loaded = loaded_by(OURS, "cancel-campaigns", ids)
    assert "omeda_async.cli._bulk" in loaded
    assert loaded & SERVERS == set()


def test_a_journal_is_shown_without_an_http_client(tmp_path: Path) -> None:
    """What a run has done is read from its file."""
    loaded = loaded_by(OURS, "status", tmp_path / "none.sqlite3")
    assert "sqlite3" in loaded
    assert loaded & SERVERS == set()
