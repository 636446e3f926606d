"""The demo, from end to end on a moved clock; and the sandbox as a process of its own."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from omeda_async import OutcomeStatus
from omeda_async.cli import _demo_data, app
from omeda_async.journal import read_status
from omeda_async.rows import OPT_OUTS, RowFile
from omeda_async.testing import run_moved


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have asyncio.run run on a moved clock, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(asyncio, "run", run_moved)


def figures(output: str, name: str) -> list[str]:
    line = next(line for line in output.splitlines() if line.split()[:1] == [name])
    return line.split()[1:]


@pytest.mark.usefixtures("moved")
def test_the_demo_accounts_for_every_record_and_keeps_every_limit() -> None:
    """The table adds up, the bad records are named in the provider's words, and the audit finds nothing."""
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    assert figures(result.stdout, "opt-outs")[:5] == ["5,000", "4,997", "0", "0", "3"]
    assert figures(result.stdout, "campaigns")[:6] == ["180", "180", "0", "0", "0", "180"]
    assert figures(result.stdout, "deployments")[:5] == ["50", "46", "3", "1", "0"]
    assert figures(result.stdout, "transactions")[:2] == ["50", "50"]
    assert figures(result.stdout, "all")[:5] == ["5,280", "5,273", "3", "1", "3"]
    assert "record 1234 (reader-1234): rejected: BrandOptOut submission (ZZZ)" in result.stdout
    assert "record 2718 (reader-2718): rejected: DeploymentTypeOptOut submission (99999)" in result.stdout
    assert "record 4321 (reader-4321): rejected: BrandOptOut submission (QQQ)" in result.stdout
    assert "(FOO0201001042): too late" in result.stdout
    counted = re.search(
        r"Ocamba counted at most 8 in a second .* and (\d+) in a minute \(150 are allowed\)", result.stdout
    )
    assert counted is not None
    assert int(counted[1]) <= 150
    assert "Never over a limit, no 429" in result.stdout
    assert "reader1234@" not in result.output
    assert list(Path().iterdir()) == []


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the demo a small one, without bad records."""
    for name, count in (("OPT_OUTS", 30), ("CAMPAIGNS", 5), ("DEPLOYMENTS", 5), ("TRANSACTIONS", 5)):
        monkeypatch.setattr(_demo_data, name, count)


@pytest.mark.usefixtures("moved", "small")
def test_the_demo_says_what_is_not_as_it_must_be() -> None:
    """Outcomes other than the records were made for are found, and the exit is 1."""
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 1
    assert "campaigns: other outcomes than the records were made for" in result.stdout


KILLED = """
import asyncio, os, signal
from contextlib import suppress
from omeda_async import JournalError, OutcomeStatus
from omeda_async.cli import app
from omeda_async.journal import read_status
from omeda_async.testing import run_moved

async def killed(main):
    running = asyncio.ensure_future(main)
    while not running.done():
        await asyncio.sleep(0.05)
        with suppress(JournalError):
            if read_status("omeda-async-demo/campaigns.sqlite3").counts.get(OutcomeStatus.DONE, 0) >= 20:
                os.kill(os.getpid(), signal.SIGKILL)
    return await running

asyncio.run = lambda main: run_moved(killed(main))
app(["demo"])
"""


@pytest.mark.usefixtures("moved")
def test_the_same_line_goes_on_with_a_demo_that_was_killed() -> None:
    """Killed halfway, it goes on without any option: nothing settled is sent again, and all comes out as it must."""
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, capture_output=True, text=True)  # noqa: S603 ours
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = read_status("omeda-async-demo/campaigns.sqlite3")
    assert 20 <= before.counts[OutcomeStatus.DONE] < 180
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    assert "It goes on where the demo in omeda-async-demo was stopped." in result.stderr
    assert figures(result.stdout, "all")[:5] == ["5,280", "5,273", "3", "1", "3"]
    sent = int(figures(result.stdout, "campaigns")[5])
    assert sent <= 180 - before.counts[OutcomeStatus.DONE] + before.under_way
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("moved", "small")
def test_a_finished_demo_begins_anew(tmp_path: Path) -> None:
    """Given again with the same directory, it sends everything again; what is not its own in there stays."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    first = CliRunner().invoke(app, ["demo", "--journal", "runs"])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["notes.txt"]
    again = CliRunner().invoke(app, ["demo", "--journal", "runs"])
    assert figures(first.stdout, "campaigns")[:3] == figures(again.stdout, "campaigns")[:3] == ["5", "5", "5"]


@pytest.mark.usefixtures("moved", "small")
def test_a_demo_whose_port_is_taken_says_what_to_do(tmp_path: Path) -> None:
    """Its journals know one address: where something else listens, it is exit 2, and they stay."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "sandbox-port").write_text(str(other.getsockname()[1]))
        result = CliRunner().invoke(app, ["demo", "--journal", "runs"])
    assert result.exit_code == 2
    assert "its port is in use" in result.stderr
    assert "remove runs to begin anew" in result.stderr
    assert (tmp_path / "runs" / "sandbox-port").exists()


@pytest.mark.usefixtures("moved")
def test_a_demo_without_a_place_for_its_journals_says_which(tmp_path: Path) -> None:
    """A file in the way of the directory is named, and the exit is 2."""
    (tmp_path / "omeda-async-demo").write_text("")
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert "File exists: omeda-async-demo" in result.stderr


@pytest.mark.usefixtures("moved", "small")
def test_the_demo_refuses_journals_that_are_none(tmp_path: Path) -> None:
    """A file in the way is named, and the exit is 2."""
    (tmp_path / "campaigns.sqlite3").write_text("no journal, and quite some text that no database begins with")
    result = CliRunner().invoke(app, ["demo", "--journal", str(tmp_path)])
    assert result.exit_code == 2
    assert "campaigns.sqlite3" in result.stderr


def test_the_demo_can_be_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One signal stops all four runs in order; what was done is accounted for, it can go on, and the exit is 130."""

    async def interrupted(main: Coroutine[Any, Any, Any]) -> Any:
        asyncio.get_running_loop().call_later(3.0, os.kill, os.getpid(), signal.SIGINT)
        return await main

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyncio, "run", lambda main: run_moved(interrupted(main)))
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 130, result.output
    assert "Never over a limit, no 429; what was done is accounted for." in result.stdout
    assert figures(result.stdout, "all")[0] == "5,280"
    assert "The same command goes on from omeda-async-demo." in result.stderr
    assert {path.name for path in Path("omeda-async-demo").glob("*.sqlite3")} == {
        *("opt-outs.sqlite3", "campaigns.sqlite3", "deployments.sqlite3", "transactions.sqlite3")
    }


def test_the_demos_files_hold_the_demos_records(tmp_path: Path) -> None:
    """Written as files and read again, the opt-outs are the same ones."""
    paths = {path.name: path for path in _demo_data.write_files(tmp_path)}
    assert paths.keys() == {"campaigns.txt", "deployments.txt", "transactions.txt", "opt-outs.csv"}
    rows = list(RowFile.at(OPT_OUTS, paths["opt-outs.csv"]))
    assert len(rows) == 5_000
    assert rows[1_233]["brand_ids"] == ("ZZZ",)
    assert rows[2_717]["deployment_type_ids"] == (99_999,)


@pytest.mark.real_clock
def test_the_sandbox_runs_until_it_is_stopped() -> None:
    """It prints the variables that lead to it, answers, and ends in order on SIGTERM."""
    command = [sys.executable, "-m", "omeda_async", "sandbox", "--port", "0", "--fault", "502,times=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 ours
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(10)]
        found = re.fullmatch(r"export OCAMBA_BASE_URL=(http://127\.0\.0\.1:\d+)\n", lines[6])
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/_sandbox/state", timeout=10) as answer:  # noqa: S310 a loopback URL
            state = answer.read()
        process.terminate()
        assert process.wait(10) == 0
        assert b"502 before" in state
        assert "requests; stopped." in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--fault", "nonsense"], "--fault 'nonsense'"), (["--port", "70000"], "--port"), (["--fault", "drop,x=1"], "x")],
)
def test_a_wrong_option_of_the_sandbox_is_exit_2(arguments: list[str], words: str) -> None:
    """What cannot be is named, and nothing is started."""
    result = CliRunner().invoke(app, ["sandbox", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
