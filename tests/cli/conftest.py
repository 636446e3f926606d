"""A scene for every test of a command."""

import asyncio
from functools import cache
from pathlib import Path

import pytest
import typer.testing

from omeda_async.sandbox import Sandbox
from tests.cli.cli_scene import Scene, free_port

# The commands are made once, and not for each that is given: that was a fifth of the time of these tests.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]  # nothing public does


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Lead the commands to a sandbox by the environment."""
    sandbox = Sandbox(port=free_port())
    url = f"http://127.0.0.1:{sandbox.port}"
    environment = {
        "OMEDA_APP_ID": sandbox.app_id,
        "OMEDA_BRAND": sandbox.brand,
        "OMEDA_CLIENT": sandbox.client,
        "OMEDA_USER_ID": sandbox.user_id,
        "OMEDA_BASE_URL": url,
        "OCAMBA_TOKEN": sandbox.ocamba_token,
        "OCAMBA_BASE_URL": url,
        "JOURNEY_MANAGER_BASE_URL": f"{url}/workspaces",
        "JOURNEY_MANAGER_USERNAME": sandbox.journey_manager_user,
        "JOURNEY_MANAGER_PASSWORD": sandbox.journey_manager_password,
        "COLUMNS": "120",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Scene(sandbox, tmp_path)
    monkeypatch.setattr(asyncio, "run", made.run)
    return made
