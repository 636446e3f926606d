"""What is enqueued, sent and cancelled on the command line; the document's two commands, as they stand there."""

import asyncio
import json
import os
import re
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async.journal import read_status
from omeda_async.sandbox import Latency, Sandbox
from tests.limits.postgres_service import free_port
from tests.worker.worker_help import carry_out, until

pytestmark = pytest.mark.real_clock  # each command is a process
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- command: hosts -->\n```sh\n(.*?)```", re.DOTALL)


@attrs.define
class Shell:
    """Where commands are given: a sandbox, a database with the queue and the journals, and a folder."""

    sandbox: Sandbox
    database: str
    folder: Path
    run: str = attrs.field(factory=lambda: f"cli-{secrets.token_hex(6)}")

    @property
    def journal(self) -> str:
        """The journal of a run of its own."""
        return f"{self.database}&run={self.run}"

    def file(self, records: int) -> str:
        """Write so many opt-outs."""
        rows = [f"person{number}@{self.run}.com,XXG\n" for number in range(records)]
        (self.folder / "unsubscribed.csv").write_text("".join(["email,brand_ids\n", *rows]))
        return "unsubscribed.csv"

    async def begin(self, *command: str) -> Process:
        """Start a program."""
        return await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=self._environment(), stdout=PIPE, stderr=PIPE
        )

    async def give(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Give a command, and return what it says on standard output and standard error."""
        process = await self.begin(sys.executable, "-m", "omeda_async", *arguments)
        out, err = await process.communicate()
        assert process.returncode == code, (out, err)
        return out.decode(), err.decode()

    async def enqueue(self, *options: str, code: int = 0) -> dict[str, Any]:
        """Enqueue the file, and return what came of it."""
        command = ("opt-out", "unsubscribed.csv", "--yes", "--enqueue", "--journal", self.journal, "--format", "json")
        out, err = await self.give(*command, *options, code=code)
        found: dict[str, Any] = json.loads(out) if out else {"error": err}
        return found

    def worker(self, *options: str) -> tuple[str, ...]:
        """Return the command of a worker that nobody sends beside."""
        return ("worker", self.database, "--share-limits", "alone", *options)

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMEDA_RATE_LIMIT": "1000/1,parallel=4"}
        return os.environ | self.sandbox.settings_env() | ours


@pytest.fixture
def shell(database: str, tmp_path: Path) -> Shell:
    """Of the database, whose queue is left as empty as it was."""
    if carry_out(database, "SELECT to_regclass('procrastinate_jobs') IS NOT NULL") == [(True,)]:
        carry_out(database, "TRUNCATE procrastinate_jobs CASCADE")
    return Shell(Sandbox(), database, tmp_path)


async def test_the_two_commands_of_the_document_send_a_file(shell: Shell) -> None:
    """As they stand there, but for the database and the hold of limits that nobody has shared before."""
    found = BLOCK.search((ROOT / "docs" / "hosts.md").read_text("utf-8"))
    assert found is not None
    first, second = found[1].strip().splitlines()
    assert all("postgresql:///postgres" in line for line in (first, second))
    async with shell.sandbox:
        shell.file(60)
        enqueuing = await shell.begin(
            "sh", "-ec", first.replace("postgresql:///postgres?run=spring-cleaning", shell.journal)
        )
        out, err = await enqueuing.communicate()
        assert enqueuing.returncode == 0, err
        assert b"60 records in 1 chunk; 1 new job." in out
        sending = await shell.begin(
            "sh", "-ec", f"exec {second.replace('postgresql:///postgres', repr(shell.database))} --share-limits alone"
        )
        await until(lambda: len(shell.sandbox.omeda.opt_outs.applied()) == 60)
        await until(lambda: read_status(shell.journal).complete)
        sending.send_signal(signal.SIGTERM)
        _, err = await sending.communicate()
        assert sending.returncode == 0, err
        assert f"{shell.run}: chunk 0 done: 60 done" in err.decode()
        out, _ = (text.encode() for text in await shell.give("status", shell.journal))
        assert b"done" in out


async def test_enqueued_twice_is_sent_once_and_a_cancelled_run_goes_on_when_that_is_said(shell: Shell) -> None:
    """The second time makes no job; a cancelled run is refused with the option that lets it go on."""
    async with shell.sandbox:
        shell.file(30)
        first = await shell.enqueue("--priority", "3")
        assert (first["records"], first["chunks"], first["jobs"]) == (30, 1, 1)
        assert (await shell.enqueue())["jobs"] == 0
        await shell.give("cancel-run", shell.journal)
        assert "reopen" in (await shell.enqueue(code=2))["error"]
        out, _ = await shell.give("status", shell.journal, code=1)
        assert "cancelled" in out
        assert (await shell.enqueue("--reopen"))["jobs"] == 0  # the one that waited is there
        _, err = await shell.give(*shell.worker("--once"))
        assert "chunk 0 done" in err
        assert len(shell.sandbox.omeda.opt_outs.applied()) == 30
        out, _ = await shell.give("status", shell.journal)
        assert "1 chunk: 1 done, 0 under way, 0 to be sent" in out


async def test_a_worker_that_is_stopped_gives_its_chunk_to_the_next(shell: Shell) -> None:
    """SIGTERM: what is on its way ends, nothing new is sent, the exit is in order, and nothing is sent twice."""
    shell.sandbox = Sandbox(latency=Latency(0.05))
    async with shell.sandbox:
        shell.file(200)
        await shell.enqueue("--max-entries", "2", "--concurrency", "2")
        worker = await shell.begin(sys.executable, "-m", "omeda_async", *shell.worker())
        await until(lambda: len(shell.sandbox.requests) >= 6)
        worker.send_signal(signal.SIGTERM)
        _, err = await worker.communicate()
        assert worker.returncode == 0, err
        assert b"Stopping" in err
        assert f"{shell.run}: chunk 0 left" in err.decode()
        assert len(shell.sandbox.requests) < 60
        status = read_status(shell.journal)
        assert status.under_way == 0
        assert sum(status.counts.values()) == 200
        await shell.give(*shell.worker("--once"))
        assert len(shell.sandbox.requests) == 100
        assert set(shell.sandbox.omeda.opt_outs.counter().values()) == {1}
    assert read_status(shell.journal).complete


async def test_a_worker_whose_database_is_away_waits_until_it_is_stopped(shell: Shell) -> None:
    """It says so once, and ends in order."""
    away = f"postgresql://127.0.0.1:{free_port()}/x"
    async with shell.sandbox:
        worker = await shell.begin(sys.executable, "-m", "omeda_async", "worker", away, "--share-limits", "alone")
        assert worker.stderr is not None
        said = await worker.stderr.readline()
        assert b"is away, and waited for" in said
        assert b"Connection refused" in said
        await asyncio.sleep(1.5)  # it tries again
        worker.send_signal(signal.SIGTERM)
        _, err = await worker.communicate()
        assert worker.returncode == 0, err
        assert b"Stopped" in err
        assert b"waited for" not in err
