"""The sandbox as a server of its own."""

import asyncio
import shlex
from collections.abc import Iterable
from pathlib import Path

import typer

from omeda_async import ConfigurationError
from omeda_async.cli._demo_data import seed_sandbox, write_files
from omeda_async.cli._files import refusing
from omeda_async.cli._screen import complaints, counted, notes, say
from omeda_async.cli._signals import handle_signals
from omeda_async.sandbox import Fault, Sandbox, serve


def run_sandbox(*, port: int, faults: Iterable[str], seed: int, latency: float, demo_data: Path | None) -> None:
    """Show the variables that lead a client to a sandbox, and run it until it is interrupted."""
    with complaints():
        arranged = [_fault(text) for text in faults]
        server = Sandbox(port=port, seed=seed, latency=latency)
        if demo_data is not None:
            seed_sandbox(server)
            with refusing(f"{demo_data} cannot be written"):
                for path in write_files(demo_data):
                    say(notes(), f"wrote {path}", "dim")
        with refusing(f"port {port} cannot be used"):
            asyncio.run(_serve(server, arranged))


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ValueError as problem:
        raise ConfigurationError(f"--fault {text!r}: {problem}") from problem


async def _serve(server: Sandbox, faults: Iterable[Fault]) -> None:
    task = asyncio.current_task()
    if task is not None:
        handle_signals(task.cancel)
    try:
        await serve(server, faults=faults, ready=_announce)
    except asyncio.CancelledError:
        say(notes(), f"{counted(sum(server.audit.counts.values()), 'request')}; stopped.", "dim")


def _announce(server: Sandbox) -> None:
    # At one go: who waits for the file that they go to finds either none or all of them.
    typer.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in server.settings_env().items()))
    say(notes(), f"The three providers answer at {server.url} until Ctrl-C; look on at {server.url}/")
