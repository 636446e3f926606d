"""A journal in PostgreSQL on the command line: it is resumed and read by its URL, and no password is shown."""

import json

from tests.cli.cli_scene import Scene
from tests.report.pages import data_of

ROWS = "email,brand_ids\na@x.com,XXG\nb@x.com,ZZZ\nc@x.com,XXG\n"


def test_the_same_command_goes_on_with_a_journal_in_postgresql(scene: Scene, journal_url: str) -> None:
    """What was settled is not sent again; ``status`` tells counts and causes, and ``--failed`` the records."""
    file = scene.file("in.csv", ROWS)
    for requests in (True, False):
        result = scene.give("opt-out", file, "--yes", "--journal", journal_url, "--format", "json")
        found = json.loads(result.stdout)
        assert found["counts"] == {"done": 2, "rejected": 1}
        assert bool(found["requests"]) is requests
    shown = scene.give("status", journal_url)
    assert shown.exit_code == 1
    assert "run 2: " in shown.stdout
    again = scene.give("status", journal_url, "--failed")
    assert again.stdout == "email_address,brand_ids\nb@x.com,ZZZ\n"


def test_a_journal_in_postgresql_has_a_page(scene: Scene, journal_url: str) -> None:
    """With counts, causes, runs and the line that goes on; a user, a password and addresses are in none of it."""
    secret = journal_url.replace("@", ":hunter2@", 1) if "@" in journal_url else journal_url
    page = scene.directory / "run.html"
    scene.give("opt-out", scene.file("in.csv", ROWS), "--yes", "--journal", secret)
    assert scene.give("status", secret, "--report", page).exit_code == 1
    text, found = page.read_text("utf-8"), data_of(page)
    assert found["counts"] == {"done": 2, "rejected": 1}
    assert [row[:2] for row in found["failures"]["rows"]] == [[2, "b***@x.com"]]
    assert [run["state"] for run in found["runs"]] == ["complete"]
    assert found["runs"][0]["started"].endswith("+00:00")
    assert found["steps"][0]["line"].endswith("--failed --output again.jsonl")
    assert "hunter2" not in text
    assert "b@x.com" not in text


def test_a_status_as_json_names_the_place_without_the_password(scene: Scene, journal_url: str) -> None:
    """All else is there as it was given, so that it leads to the same."""
    secret = journal_url.replace("@", ":hunter2@", 1) if "@" in journal_url else journal_url
    scene.give("opt-out", scene.file("in.csv", ROWS), "--yes", "--journal", secret)
    result = scene.give("status", secret, "--format", "json")
    found = json.loads(result.stdout)
    assert found["journal"] == journal_url
    assert "hunter2" not in result.output


def test_a_database_that_is_not_there_is_told_before_anything_is_sent(scene: Scene) -> None:
    """The message names the URL and the reason, and not the password."""
    where = "postgresql://someone:hunter2@127.0.0.1:1/none?run=x"
    for command in (["opt-out", str(scene.file("in.csv", ROWS)), "--yes", "--journal", where], ["status", where]):
        result = scene.give(*command)
        assert result.exit_code == 2
        assert "127.0.0.1:1/none?run=x" in " ".join(result.output.split())
        assert "hunter2" not in result.output
    assert len(scene.sandbox.requests) == 0


def test_a_url_without_the_name_of_a_run_is_refused(scene: Scene) -> None:
    """It says what is missing, and shows nothing of the URL."""
    result = scene.give("status", "postgresql://someone:hunter2@127.0.0.1/none")
    assert result.exit_code == 2
    assert "run=NAME" in result.output
    assert "hunter2" not in result.output
