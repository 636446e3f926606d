"""``--report``: a page with pictures of a run, and of a journal."""

import json
import re
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from omeda_async.report import report_page
from omeda_async.report._lines import without_secrets
from omeda_async.sandbox import Fault
from tests.cli.cli_scene import Scene
from tests.cli.test_cli_ending import send
from tests.report.pages import data_in, data_of

EMAILS = "email,brand_ids\na@x.com,XXG\nbert@x.com,ZZZ\nc@x.com,XXG\n"


def campaigns(scene: Scene, count: int) -> Path:
    """Seed all but the last, which the provider does not know."""
    ids = [f"{number:07}" for number in range(count)]
    scene.sandbox.ocamba.seed_campaigns(ids[:-1])
    return scene.file("ids.csv", "\n".join(["campaign_id", *ids]) + "\n")


def page_after(scene: Scene, *command: str | Path, code: int) -> dict[str, Any]:
    """Give a command with ``--report``, and return the data of the page."""
    result = scene.give(*command, "--report", scene.directory / "run.html")
    assert result.exit_code == code, result.output
    return data_of(scene.directory / "run.html")


def test_a_run_is_drawn_with_its_requests_and_its_records(scene: Scene) -> None:
    """The sums are those of the summary; no window is fuller than it may be; causes are in the provider's words."""
    journal = scene.directory / "run.sqlite3"
    file = campaigns(scene, 200)
    found = page_after(scene, "cancel-campaigns", file, "--yes", "--reason", "x y", "--journal", journal, code=1)
    assert found["counts"] == {"done": 199, "rejected": 1}
    assert (found["title"], found["state"]) == ("Cancel campaigns at Ocamba", "complete")
    line = found["timeline"]
    assert sum(line["sent"]) == sum(map(sum, line["answers"].values())) == found["requests"] >= 200
    for window in line["windows"]:
        assert window["calls"] - 2 <= max(window["peaks"]) <= window["calls"]  # two are left to interactive calls
    assert line["waits"]["limit"]["times"] > 100
    assert found["failures"]["rows"] == [[201, "0000199", 1, 0]]
    ((status, error, _),) = found["failures"]["causes"]
    assert (status, error) == ("rejected", "NotFound")
    assert [one["line"] for one in found["steps"]] == [
        f"omeda-async status {journal} --failed --output again.jsonl",
    ]


def test_an_interrupted_run_tells_the_line_that_goes_on(scene: Scene) -> None:
    """It is the command that was given, without what is so by default; what was not sent is listed."""
    scene.timers.append((2.0, lambda: send(signal.SIGINT)))
    journal = scene.directory / "run.sqlite3"
    file = campaigns(scene, 100)
    report = scene.directory / "run.html"
    command = ["cancel-campaigns", file, "--yes", "--reason", "it's wrong", "--journal", journal, "--concurrency", "3"]
    found = page_after(scene, *map(str, command), code=130)
    (step,) = found["steps"]
    assert step["line"] == (
        f"omeda-async cancel-campaigns {file} --reason 'it'\"'\"'s wrong' --journal {journal} --yes --report {report} "
        "--concurrency 3"
    )
    of_it = page_after(scene, "status", journal, code=1)
    assert (of_it["cause"], of_it["runs"][0]["cause"]) == ("by a signal, or by its program",) * 2
    assert found["state"] == "interrupted"
    assert found["failures"]["total"] == found["counts"]["not_sent"] > 50


def test_a_run_that_is_broken_off_says_what_is_missing(scene: Scene) -> None:
    """A second signal stops at once: the sums hold, and not all records are listed."""
    scene.timers += [(2.0, lambda: send(signal.SIGINT)), (2.001, lambda: send(signal.SIGINT))]
    scene.sandbox.faults.add(Fault("slow", "before", seconds=30.0))
    found = page_after(scene, "cancel-campaigns", campaigns(scene, 50), "--yes", "--reason", "x", code=130)
    assert found["notes"][0].startswith("The run was broken off")
    assert "no journal" in found["notes"][1]
    assert found["steps"] == []


def test_shared_limits_are_told_of(scene: Scene) -> None:
    """Their windows are as full as the limiter says, and what others send is not on the page."""
    shared = scene.directory / "limits"
    command = ["cancel-campaigns", campaigns(scene, 20), "--yes", "--reason", "x", "--share-limits", shared]
    found = page_after(scene, *map(str, command), code=1)
    assert "shared with other processes" in found["notes"][-1]
    assert [0 < max(one["peaks"]) <= one["calls"] for one in found["timeline"]["windows"]] == [True, True]


def test_what_was_waited_for_is_told_apart(scene: Scene) -> None:
    """A pause that the provider asks for, and what is tried again."""
    scene.sandbox.faults.add(Fault("429", "before", times=1, retry_after=7))
    scene.sandbox.faults.add(Fault("503", "before", times=2))
    found = page_after(scene, "cancel-campaigns", campaigns(scene, 30), "--yes", "--reason", "x", code=1)
    waits = found["timeline"]["waits"]
    assert 6 < waits["pauses"]["longest"] < 12  # a 503 asks for one as well, which may prolong it
    assert sum(found["timeline"]["paused"]) == pytest.approx(waits["pauses"]["seconds"], abs=0.05)
    assert 6 < waits["asked"]["longest"] < 12
    assert sum(found["timeline"]["answers"]["limited"]) == 1
    assert waits["retries"]["ServerError"]["times"] >= 1
    assert found["steps"] == []


def test_a_page_names_no_address_and_no_secret(scene: Scene) -> None:
    """Neither those of records, nor passwords of the command, nor the credentials."""
    scene.sandbox.faults.add(Fault("drop", "before", times=1))
    where = "redis://someone:hunter2@127.0.0.1:1/0"
    assert without_secrets(where) == "redis://HIDDEN@127.0.0.1:1/0"
    journal = scene.directory / "run.sqlite3"
    page_after(scene, "opt-out", scene.file("in.csv", EMAILS), "--yes", "--journal", journal, code=1)
    text = (scene.directory / "run.html").read_text()
    assert "bert@x.com" not in text
    assert "b***@x.com" in text
    for secret in (scene.sandbox.app_id, scene.sandbox.ocamba_token, scene.sandbox.journey_manager_password):
        assert secret not in text


def test_the_line_of_a_journals_page_shows_no_address(scene: Scene) -> None:
    """Neither of a file's name nor of anything else, and it says that something is to be put in; nor do other texts."""
    journal = scene.directory / "bert@x.com.sqlite3"
    page_after(scene, "cancel-campaigns", campaigns(scene, 3), "--yes", "--reason", "x", "--journal", journal, code=1)
    text = report_page(journal)
    (step,) = data_in(text)["steps"]
    assert "bert@" not in text
    assert "***@x.com.sqlite3' --failed" in step["line"]
    assert step["note"].endswith("Some of it is not shown (HIDDEN or ***): put in what was there.")


def test_a_page_can_be_made_of_a_journal_whose_name_is_no_text(scene: Scene) -> None:
    """As Linux allows: what cannot be written in UTF-8 is spelt out, and in a line it is not shown."""
    journal = scene.directory / "run\udcff.sqlite3"
    page_after(scene, "cancel-campaigns", campaigns(scene, 3), "--yes", "--reason", "x", "--journal", journal, code=1)
    assert scene.give("status", journal, "--report", scene.directory / "of.html").exit_code == 1
    found = data_of(scene.directory / "of.html")
    assert "run\\udcff.sqlite3" in found["notes"][0]
    assert "run\ufffd.sqlite3' --failed" in found["steps"][0]["line"]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--yes", "--yes"),
        ("run.sqlite3", "run.sqlite3"),
        ("postgresql://me:pa@ss/word@db/x?run=y", "postgresql://HIDDEN@db/x?run=y"),
        (
            "postgresql://db/x?run=y&password=p&sslpassword=q",
            "postgresql://db/x?run=y&password=HIDDEN&sslpassword=HIDDEN",
        ),
        ("wrong for bert@x.com", "wrong for b***@x.com"),
        ("postgresql://db/x?run=bert%40x.com&password=p", "postgresql://db/x?run=b***%40x.com&password=HIDDEN"),
        ("postgresql://me:pass@db/x?run=bert%40x.com", "postgresql://HIDDEN@db/x?run=b***%40x.com"),
        ("lists\udcff/\u202ea.csv", "lists\ufffd/\ufffda.csv"),
    ],
)
def test_a_word_of_a_command_shows_no_secret(word: str, shown: str) -> None:
    """Logins, passwords and addresses are left out; everything else is as it was typed."""
    assert without_secrets(word) == shown


def test_the_page_is_its_owners_and_an_earlier_one_stays_until_it_is_whole(scene: Scene) -> None:
    """A new one can be read by nobody else; one that is there keeps who may read it."""
    command: list[str | Path] = ["cancel-campaigns", campaigns(scene, 3), "--yes", "--reason", "x", "--report"]
    report = scene.directory / "run.html"
    scene.give(*command, report)
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    report.chmod(0o644)
    scene.give(*command, report)
    assert stat.S_IMODE(report.stat().st_mode) == 0o644
    assert [path.name for path in scene.directory.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize("report", ["-", "none/run.html", "ids.csv", "run.sqlite3", "out.jsonl", "."])
def test_a_page_that_has_no_place_is_refused_before_anything_is_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, report: str
) -> None:
    """Standard output, a directory, one that is not there, and whatever it would overwrite."""
    monkeypatch.chdir(scene.directory)
    campaigns(scene, 3)
    (scene.directory / "run.sqlite3").touch()
    beside = ["--journal", "run.sqlite3", "--output", "out.jsonl"]
    result = scene.give("cancel-campaigns", "ids.csv", "--yes", "--reason", "x", *beside, "--report", report)
    assert result.exit_code == 2
    assert "--report" in result.output
    assert len(scene.sandbox.requests) == 0


def test_a_plan_has_no_page(scene: Scene) -> None:
    """Nothing is sent, so that there is nothing to draw."""
    result = scene.give("cancel-campaigns", campaigns(scene, 3), "--plan", "--report", scene.directory / "run.html")
    assert result.exit_code == 2
    assert "--plan sends nothing" in result.output


def test_a_page_that_cannot_be_written_in_the_end_is_told(scene: Scene) -> None:
    """The run and its summary are as they are; the exit code says that something is missing."""
    folder = scene.directory / "folder"
    folder.mkdir()
    scene.timers.append((0.5, folder.rmdir))
    scene.sandbox.ocamba.seed_campaigns(ids := [str(number) for number in range(20)])
    file = scene.file("in.txt", "\n".join(ids))
    result = scene.give("cancel-campaigns", file, "--yes", "--reason", "x", "--report", folder / "run.html")
    assert result.exit_code == 1
    assert re.search(r"\bdone\b.*\b20\b", result.stdout)
    assert "run.html cannot be written" in result.stderr


def test_a_journal_is_drawn_with_its_runs(scene: Scene) -> None:
    """Its sums, causes and records; what it does not keep is said to be unknown, not invented."""
    journal = scene.directory / "run.sqlite3"
    scene.give("cancel-campaigns", campaigns(scene, 4), "--yes", "--reason", "x", "--journal", journal)
    found = page_after(scene, "status", journal, code=1)
    assert found["counts"] == {"done": 3, "rejected": 1}
    assert found["failures"]["rows"] == [[4, "0000003", 1, 0]]
    assert found["timeline"] is None
    assert [run["state"] for run in found["runs"]] == ["complete"]
    assert "is not known" in found["notes"][0]
    assert data_in(report_page(journal)) == found


def test_the_journal_of_an_interrupted_run_tells_how_to_go_on(scene: Scene) -> None:
    """With the reason that it knows, and a place for the input that it does not."""
    scene.timers.append((2.0, lambda: send(signal.SIGINT)))
    journal = scene.directory / "run.sqlite3"
    why = "not now, a@x.com"
    scene.give("cancel-campaigns", campaigns(scene, 100), "--yes", "--reason", why, "--journal", journal)
    found = page_after(scene, "status", journal, code=1)
    (step,) = found["steps"]
    assert step["line"] == f"omeda-async cancel-campaigns FILE --journal {journal} --reason 'not now, a***@x.com'"
    assert found["runs"][0]["state"] == "stopped"


def test_a_journal_in_postgresql_is_drawn_as_one_in_a_file(scene: Scene, journal_url: str) -> None:
    """Sums, causes and records are there; no password is."""
    secret = journal_url.replace("@", ":hunter2@", 1) if "@" in journal_url else journal_url
    scene.give("opt-out", scene.file("in.csv", EMAILS), "--yes", "--journal", secret)
    found = page_after(scene, "status", secret, code=1)
    assert found["counts"] == {"done": 2, "rejected": 1}
    assert [row[:3] for row in found["failures"]["rows"]] == [[2, "b***@x.com", found["failures"]["rows"][0][2]]]
    assert "hunter2" not in json.dumps(found)


def test_an_outbox_and_failed_records_have_no_page(scene: Scene) -> None:
    """What they are for is told."""
    journal = scene.directory / "run.sqlite3"
    scene.give("cancel-campaigns", campaigns(scene, 2), "--yes", "--reason", "x", "--journal", journal)
    result = scene.give("status", journal, "--failed", "--report", scene.directory / "run.html")
    assert result.exit_code == 2
    assert not (scene.directory / "run.html").exists()
    same = scene.give("status", journal, "--report", journal)
    assert same.exit_code == 2


def test_a_run_without_a_report_loads_nothing_that_draws(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and what collects for it come when they are asked for: elsewhere they might as well be missing."""
    for name in ("omeda_async.report", "omeda_async.cli._pictures"):
        monkeypatch.setitem(sys.modules, name, None)
    journal = scene.directory / "run.sqlite3"
    command: list[str | Path] = ["cancel-campaigns", campaigns(scene, 2), "--yes", "--reason", "x"]
    assert scene.give(*command, "--journal", journal).exit_code == 1
    assert scene.give("status", journal).exit_code == 1
