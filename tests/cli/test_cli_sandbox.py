"""The sandbox as a command: what it says before it runs."""

import pytest
import typer

from omeda_async.cli import _sandbox
from omeda_async.sandbox import Sandbox


async def test_the_variables_come_at_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a file that is not empty any more finds all of them in it."""
    written: list[str] = []
    monkeypatch.setattr(typer, "echo", written.append)
    async with Sandbox() as server:
        _sandbox._announce(server)
        (text,) = written
        names = [line.removeprefix("export ").partition("=")[0] for line in text.splitlines()]
        assert names == list(server.settings_env())
