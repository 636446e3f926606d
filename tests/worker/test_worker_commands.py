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

from omeda_async import OcambaSettings, SessionManager
from omeda_async.journal import read_status
from omeda_async.sandbox import Latency, Sandbox
from omeda_async.worker import BulkJobs
from omeda_async.worker._places import journal_of
from tests.bulk.journal_help import asked
from tests.limits.postgres_service import free_port, own_postgres, program
from tests.worker.worker_help import WITHIN, carry_out, until

pytestmark = pytest.mark.real_clock  # each command is a process
ROOT = Path(__file__).parents[2]
HOSTS = ROOT / "docs" / "hosts.md"
BLOCKS = re.compile(r"<!-- command: (database|hosts) -->\n```sh\n(.*?)```", re.DOTALL)
SUDO = '#!/bin/sh\n[ "$1 $2" = "-u postgres" ] && shift 2 && PGUSER=postgres exec "$@"\n'


@attrs.define
class Shell:
    """Where commands are given: a sandbox, a database with the queue and the journals, and a folder."""

    sandbox: Sandbox
    database: str
    folder: Path
    run: str = attrs.field(factory=lambda: f"cli-{secrets.token_hex(6)}")
    environment: dict[str, str] = attrs.field(factory=dict)
    """What else the programs are told."""

    @property
    def journal(self) -> str:
        """The journal of a run of its own."""
        return journal_of(self.database, self.run)

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

    async def type(self, line: str) -> str:
        """Type a line as it stands in a document, and return what it says on standard output."""
        process = await self.begin("sh", "-ec", line)
        out, err = await process.communicate()
        assert process.returncode == 0, (out, err)
        return out.decode()

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
        places = [self.folder, Path(sys.executable).parent, Path(program("createuser")).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, places))
        ours = {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMEDA_RATE_LIMIT": "1000/1,parallel=4"}
        return os.environ | self.sandbox.settings_env() | ours | self.environment


@pytest.fixture
def shell(database: str, tmp_path: Path) -> Shell:
    """Of the database, with an empty queue, and where nobody shares limits."""
    for table in ("procrastinate_jobs", "omeda_async_limits"):
        if carry_out(database, "SELECT to_regclass(%s) IS NOT NULL", table) == [(True,)]:
            carry_out(database, f"TRUNCATE {table} CASCADE")
    return Shell(Sandbox(), database, tmp_path)


async def test_the_two_commands_of_the_document_send_a_file(tmp_path: Path) -> None:
    """As they stand there, with the line before them that makes the role and the database of a new server."""
    lines = {found[1]: found[2].strip().splitlines() for found in BLOCKS.finditer(HOSTS.read_text("utf-8"))}
    ((make,), (first, second)) = lines["database"], lines["hosts"]
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    with own_postgres() as server:
        place = {"PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": "ops", "USER": "ops"}
        database = f"postgresql://ops@{server.host}:{server.port}/bulk"
        shell = Shell(Sandbox(), database, tmp_path, "spring-cleaning", place)
        async with shell.sandbox:
            shell.file(60)
            await shell.type(make)
            assert "60 records in 1 chunk; 1 new job." in await shell.type(first)
            sending = await shell.begin("sh", "-ec", f"exec {second}")
            assert sending.stderr is not None
            async with asyncio.timeout(WITHIN):
                said = [(await sending.stderr.readline()).decode() for _ in range(2)]
            assert said[0] == "Working, 2 chunks at a time.\n"
            assert re.fullmatch(
                r"nothing goes for \d+ s, as postgresql://.* does not know what was sent before\n", said[1]
            )
            assert not shell.sandbox.requests
            end_hold(database)
            await until(lambda: read_status(shell.journal).complete)
            sending.send_signal(signal.SIGTERM)
            _, err = await sending.communicate()
            assert sending.returncode == 0, err
            assert "spring-cleaning: chunk 0 done: 60 done" in err.decode()
            assert set(shell.sandbox.omeda.opt_outs.counter().values()) == {1}
            assert len(shell.sandbox.omeda.opt_outs.applied()) == 60
            assert "done" in await shell.type("omeda-async status 'postgresql:///bulk?run=spring-cleaning'")


def limits_at(database: str) -> list[dict[str, Any]]:
    """Return the states of the accounts whose limits are shared there; those of other tests are gone."""
    if carry_out(database, "SELECT to_regclass('omeda_async_limits') IS NULL") == [(True,)]:
        return []
    return [json.loads(state) for (state,) in carry_out(database, "SELECT state FROM omeda_async_limits") if state]


def end_hold(database: str) -> None:
    """Let the hold be over that limits begin with which nobody has shared before."""
    change = "regexp_replace(state, '\"hold_until\": *[0-9.]+', '\"hold_until\":0.0')"
    carry_out(database, f"UPDATE omeda_async_limits SET step = 'test', state = {change}")  # noqa: S608 our own


def asked_for(sandbox: Sandbox, command: str) -> dict[str, str | None]:
    """Return what a command has done once to which records at the provider, and the reason that it was given."""
    found: dict[str, dict[str, str | None]] = {
        "opt-out": {address: None for (_, address, _), times in sandbox.omeda.opt_outs.counter().items() if times == 1},
        "cancel-deployments": {one.track_id: None for one in sandbox.omeda.deployments.values() if one.cancels == 1},
        "cancel-campaigns": {one.id: one.reason for one in sandbox.ocamba.campaigns.values() if one.cancels == 1},
        "cancel-transactions": {
            key: one.reason for key, one in sandbox.journey_manager.transactions.items() if one.cancels == 1
        },
    }
    return found[command]


def seeded(sandbox: Sandbox, *ids: str) -> None:
    """Let there be a deployment, a campaign and a transaction of each id."""
    for one in ids:
        sandbox.omeda.seed_deployment(one)
        sandbox.ocamba.seed_campaign(one)
        sandbox.journey_manager.seed_transaction(one)


async def test_what_each_command_enqueues_a_worker_sends(shell: Shell) -> None:
    """With its own option, which the job keeps until then; the status of each run says that all is done."""
    commands = {
        "opt-out": ("email", None),
        "cancel-deployments": ("track_id", None),
        "cancel-campaigns": ("campaign_id", "Wrong audience"),
        "cancel-transactions": ("submit_key", "Wrong form"),
    }
    ids = {command: [f"A{number}" for number in range(3)] for command in commands}
    ids["opt-out"] = [f"{one}@example.com" for one in ids["opt-out"]]
    journals = {command: f"{shell.journal}-{command}" for command in commands}

    async def enqueue(command: str, header: str, reason: str | None) -> None:
        (shell.folder / f"{command}.csv").write_text("\n".join([header, *ids[command], ""]))
        own = [] if reason is None else ["--reason", reason]
        where = ["--yes", "--enqueue", "--journal", journals[command]]
        await shell.give(command, f"{command}.csv", *where, *own)

    async with shell.sandbox:
        seeded(shell.sandbox, *ids["cancel-campaigns"])
        await asyncio.gather(*(enqueue(command, *rest) for command, rest in commands.items()))
        assert not shell.sandbox.requests
        await shell.give(*shell.worker("--once"))
        await asyncio.gather(*(shell.give("status", journal) for journal in journals.values()))
        for command, (_, reason) in commands.items():
            assert asked_for(shell.sandbox, command) == dict.fromkeys(ids[command], reason)


async def test_what_failed_of_an_enqueued_run_is_input_again(shell: Shell) -> None:
    """``status --failed`` writes it, and a run of it sends what is left."""
    async with shell.sandbox:
        seeded(shell.sandbox, "1", "3")
        (shell.folder / "in.csv").write_text("campaign_id\n1\n2\n3\n")
        await shell.give("cancel-campaigns", "in.csv", "--yes", "--enqueue", "--journal", shell.journal)
        await shell.give(*shell.worker("--once"))
        await shell.give("status", shell.journal, "--failed", "--output", "again.csv")
        header, *rows = (shell.folder / "again.csv").read_text().splitlines()
        assert (header.split(",")[0], [row.split(",")[0] for row in rows]) == ("campaign_id", ["2"])
        seeded(shell.sandbox, "2")
        again = f"{shell.journal}-again"
        await shell.give("cancel-campaigns", "again.csv", "--yes", "--enqueue", "--journal", again)
        await shell.give(*shell.worker("--once"))
        await shell.give("status", again)
        assert asked_for(shell.sandbox, "cancel-campaigns") == dict.fromkeys("123")


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


async def test_a_run_that_a_cause_has_stopped_says_so_and_what_to_do(shell: Shell) -> None:
    """Until somebody goes on with it; how many records nobody has begun is told apart from those that met the cause."""
    advice = "enqueue the same again"
    async with shell.sandbox:
        shell.file(30)
        await shell.enqueue()
        (shell.folder / "unsubscribed.csv").write_text("email_address,brand_ids\nother@example.com,XXG\n")
        await shell.enqueue()
        said, _ = await shell.give("status", shell.journal, code=1)
        assert "31 not sent: no worker has begun them." in said
        assert advice not in said
        right, shell.environment = shell.environment, {"OMEDA_APP_ID": "wrong"}
        await shell.give(*shell.worker("--once", "--concurrency", "1"))
        said, _ = await shell.give("status", shell.journal, code=1)
        assert "1 not sent: no worker has begun them." in said
        assert re.search(
            rf"Stopped, as every record would meet this: .* is forbidden access\. No .*{advice}", " ".join(said.split())
        ), said
        found, _ = await shell.give("status", shell.journal, "--format", "json", code=1)
        assert json.loads(found)["chunks"]["stopped_by"]
        shell.environment = right
        await shell.enqueue()
        said, _ = await shell.give("status", shell.journal, code=1)
        assert advice not in said
        await shell.give(*shell.worker("--once"))
        said, _ = await shell.give("status", shell.journal)
        assert advice not in said


async def test_a_run_that_is_gone_on_with_is_not_stopped(shell: Shell) -> None:
    """Whoever claims a chunk of it has gone on, also without the queue."""
    async with shell.sandbox:
        shell.file(3)
        await shell.enqueue()
        asked(shell.journal, "UPDATE omeda_async_journals SET stopped = 'no' WHERE id = %(journal)s")
        chunks = read_status(shell.journal).chunks
        assert chunks is not None
        assert chunks.stopped_by == "no"
        await shell.give(*shell.worker("--once"))
        chunks = read_status(shell.journal).chunks
        assert chunks is not None
        assert chunks.stopped_by is None


async def test_a_worker_that_ends_says_what_comes_again(shell: Shell) -> None:
    """And when, as far as is known: here the chunks are another's, who is not heard of any more."""
    held = "UPDATE omeda_async_journal_chunks SET free_at = clock_timestamp() + interval '600 s' WHERE "
    async with shell.sandbox:
        shell.file(30)
        await shell.enqueue()
        _, err = await shell.give(*shell.worker("--once"))
        assert "again" not in err
        for number, told in ((1, "1 job comes again in"), (2, "2 jobs come again, the first in")):
            (shell.folder / "unsubscribed.csv").write_text(f"email_address,brand_ids\nother{number}@example.com,XXG\n")
            await shell.enqueue()
            asked(shell.journal, f"{held} journal = %(journal)s AND NOT done")
            _, err = await shell.give(*shell.worker("--once"))
            assert re.search(rf"^{told} (?:5|6)\d\d s\. A worker has to be there then\.$", err, re.MULTILINE), err
        assert len(shell.sandbox.omeda.opt_outs.applied()) == 30


async def test_two_workers_share_one_budget_without_being_told(shell: Shell) -> None:
    """By the database where the journals are: at the real pace of the provider, it refuses nothing."""
    ids = [f"C{number}" for number in range(36)]
    async with shell.sandbox:
        seeded(shell.sandbox, *ids)
        token, url = shell.sandbox.ocamba_token, shell.sandbox.url

        def manager() -> SessionManager:
            return SessionManager(ocamba=OcambaSettings(token=token, base_url=url))

        async with BulkJobs.at(shell.database, manager) as jobs:
            await jobs.defer_rows(ids, "cancel-campaigns", run=shell.run, chunk=6)
        worker = (sys.executable, "-m", "omeda_async", "worker", shell.database)
        workers = [await shell.begin(*worker) for _ in range(2)]
        await until(lambda: [len(one["clients"]) for one in limits_at(shell.database)] == [2])
        assert not shell.sandbox.requests  # held, as nobody knows what was sent before
        end_hold(shell.database)
        await until(lambda: read_status(shell.journal).complete, within=60)
        for one in workers:
            one.send_signal(signal.SIGTERM)
        said = [(await one.communicate())[1].decode() for one in workers]
        assert all(f"{shell.run}: chunk" in text for text in said), said
        assert asked_for(shell.sandbox, "cancel-campaigns") == dict.fromkeys(ids)
        assert [one.status for one in shell.sandbox.requests if one.refused] == []
        shell.sandbox.assert_never_over_limit()


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
