"""Commands run in this process, on a moved clock, against a sandbox on the same loop."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
from typer.testing import CliRunner, Result

from omeda_async.cli import app
from omeda_async.sandbox import Sandbox
from omeda_async.testing import run_moved


def free_port() -> int:
    """Find a port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@attrs.define
class Scene:
    """A sandbox, a directory for files, and a way to give commands."""

    sandbox: Sandbox
    directory: Path
    timers: list[tuple[float, Callable[[], object]]] = attrs.field(factory=list)
    """What happens so many seconds after the sandbox has started."""

    def give(self, *command: str | Path, stdin: bytes = b"") -> Result:
        """Return a command and return what came of it."""
        return CliRunner().invoke(app, [str(part) for part in command], input=stdin)

    def file(self, name: str, text: str | bytes) -> Path:
        """Write an input file."""
        path = self.directory / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def lines(self, path: Path) -> list[dict[str, Any]]:
        """Read a file of results."""
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Stand in for asyncio.run."""

        async def inside() -> Any:
            async with self.sandbox:
                loop = asyncio.get_running_loop()
                handles = [loop.call_later(seconds, what) for seconds, what in self.timers]
                try:
                    return await main
                finally:
                    for handle in handles:
                        handle.cancel()

        return run_moved(inside())
