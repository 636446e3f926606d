"""What has to be right before anything is enqueued or sent by workers; the rest is tested with them."""

import asyncio
import json
import re
import secrets
import shlex
from urllib.parse import quote, urlencode, urlsplit

import psycopg
import pytest

from tests.bulk.bulk_fakes import InputBrokeError, Watched
from tests.bulk.journal_help import asked
from tests.bulk.shared_help import names, shared
from tests.cli.cli_scene import Scene
from tests.report.pages import data_of

ROWS = "email,brand_ids\na@x.com,XXG\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["opt-out", "FILE", "--enqueue"], "--enqueue needs a journal"),
        (["opt-out", "FILE", "--enqueue", "--journal", "run.sqlite3"], "--enqueue needs a journal"),
        (["opt-out", "FILE", "--enqueue", "--journal", "URL", "--output", "o.csv"], "--output is for who sends"),
        (["opt-out", "FILE", "--enqueue", "--journal", "URL", "--rate", "1/1"], "--rate is for who sends"),
        (["opt-out", "FILE", "--enqueue", "--journal", "URL", "--report", "r.html"], "--report is for who sends"),
        (["opt-out", "FILE", "--priority", "3"], "give --enqueue"),
        (["opt-out", "FILE", "--reopen"], "give --enqueue"),
        (["worker", "URL"], "must not name a run"),
        (["worker", "run.sqlite3"], "must be given as postgresql://"),
        (["worker", "postgresql://a:hunter2@127.0.0.1:1/none"], "database of the queue cannot be used"),
        (["cancel-run", "URL"], "there is no"),
        (["cancel-run", "run.sqlite3"], "kept in PostgreSQL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_told_before_anything_is_done(
    scene: Scene, journal_url: str, command: list[str], words: str
) -> None:
    """In a sentence that says what to give, and no password."""
    names = {"FILE": str(scene.file("in.csv", ROWS)), "URL": journal_url}
    result = scene.give(*(names.get(one, one) for one in command))
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
    assert "hunter2" not in result.output
    assert len(scene.sandbox.requests) == 0


def test_another_file_under_the_same_name_is_added_and_told(scene: Scene, journal_url: str) -> None:
    """What was there before, and what of it this file does not hold: it is sent, too."""
    enqueue = ("--enqueue", "--yes", "--journal", journal_url)
    first = scene.give("opt-out", scene.file("first.csv", "email,brand_ids\na@x.com,XXG\nb@x.com,XXG\n"), *enqueue)
    assert (first.exit_code, "before" in first.output, "earlier" in first.output) == (0, False, False)
    other = scene.give("opt-out", scene.file("other.csv", "email,brand_ids\nc@x.com,XXG\nb@x.com,XXG\n"), *enqueue)
    said = " ".join(other.output.split())
    assert "3 records in 2 chunks" in said
    assert "Of these records, 2 were there before." in said
    assert "Not in this file, but in an earlier one: 1 record, sent all the same." in said
    refused = scene.give(
        "opt-out", scene.file("odd.csv", "email,brand_ids\nc@x.com,XXG\n"), *enqueue, "--allow-odd-addresses"
    )
    assert refused.exit_code == 2
    assert "allow_odd_addresses is not given there and True here" in " ".join(refused.output.split())


@pytest.mark.parametrize("where", ["postgresql://{user}@{host}:{port}/{name}?", "postgresql:///{name}?{query}&"])
def test_the_commands_that_are_printed_work_as_they_stand(
    scene: Scene, database: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Wherever the server is, and whoever connects; each is on a line of its own, quoted, and has no password."""
    with psycopg.connect(database) as connection:
        info = connection.info
        parts = {"user": quote(info.user), "host": info.host, "port": info.port, "name": info.dbname}
    query = urlencode({name: parts[name] for name in ("user", "host", "port")} | {"password": "hunter2"})
    url = f"{where.format(**parts, query=query)}{urlsplit(database).query}&run=it's {secrets.token_hex(4)}"
    monkeypatch.setenv("COLUMNS", "20")
    done = scene.give("opt-out", scene.file("in.csv", ROWS), "--enqueue", "--yes", "--journal", url)
    assert done.exit_code == 0, done.output
    assert "hunter2" not in done.output
    commands = [shlex.split(line) for line in done.stderr.splitlines() if line.startswith("  omeda-async ")]
    assert [command[1] for command in commands] == ["worker", "status"]
    for name in ("PGUSER", "PGHOST", "PGPORT"):
        monkeypatch.setenv(name, "nowhere")
    assert scene.give(*commands[1][1:], "--format", "json").exit_code == 1
    assert "run=" not in commands[0][2]


def test_the_status_of_a_shared_run_tells_its_requests_and_when_its_input_was_read(
    scene: Scene, journal_url: str
) -> None:
    """An input that was read is not called a complete run, and has no requests; times have one form."""
    asyncio.run(shared(journal_url).fill(names(12)))
    said = " ".join(scene.give("status", journal_url).stdout.split())
    assert re.search(r"UTC, to its end 0 requests in all$", said)
    found = json.loads(scene.give("status", journal_url, "--format", "json").stdout)
    assert (found["complete"], found["runs"], found["chunks"]["seen"]) == (False, [], None)
    report = asyncio.run(shared(journal_url).work())
    said = " ".join(scene.give("status", journal_url).stdout.split())
    assert re.search(
        rf"input read from [-0-9: ]+ UTC to [-0-9: ]+ UTC, to its end {report.requests} requests in all$", said
    )
    assert "run 1" not in said
    page = scene.directory / "run.html"
    found = json.loads(scene.give("status", journal_url, "--format", "json", "--report", page).stdout)
    assert (found["complete"], found["requests"]) == (True, report.requests)
    (reading,) = found["readings"]
    assert reading["to_its_end"] is True
    assert all("T" in moment for moment in (reading["started"], reading["ended"], found["chunks"]["seen"]))
    assert (data_of(page)["runs"], data_of(page)["requests"]) == ([], report.requests)


def test_an_input_that_was_not_read_to_its_end_is_told(scene: Scene, journal_url: str) -> None:
    """Whoever reads the status cannot know whether somebody still does."""
    with pytest.raises(InputBrokeError):
        asyncio.run(shared(journal_url).fill(Watched(names(12), fail_at=5)))
    assert ", not to its end" in " ".join(scene.give("status", journal_url).stdout.split())
    (reading,) = json.loads(scene.give("status", journal_url, "--format", "json").stdout)["readings"]
    assert (reading["ended"], reading["to_its_end"]) == (None, False)


def test_rows_that_were_removed_from_a_run_are_told(scene: Scene, journal_url: str) -> None:
    """The status of such a run is never that all is done."""
    file = scene.file("in.csv", "email,brand_ids\na@x.com,XXG\nb@x.com,XXG\n")
    assert scene.give("opt-out", file, "--enqueue", "--yes", "--journal", journal_url).exit_code == 0
    asked(journal_url, "DELETE FROM omeda_async_journal_records WHERE journal = %(journal)s AND position = 1")
    status = scene.give("status", journal_url)
    assert (status.exit_code, "Damaged: 1 record missing" in status.output) == (1, True)
    found = json.loads(scene.give("status", journal_url, "--format", "json").stdout)
    assert (found["missing"], found["complete"]) == (1, False)


def test_what_is_enqueued_needs_an_extra(scene: Scene, monkeypatch: pytest.MonkeyPatch, journal_url: str) -> None:
    """Without it the package to install is named."""
    monkeypatch.setattr("omeda_async.cli._order.find_spec", lambda _: None)
    enqueue = ["opt-out", str(scene.file("in.csv", ROWS)), "--enqueue", "--journal", journal_url]
    for command in (enqueue, ["worker", "postgresql://h/d"]):
        result = scene.give(*command)
        assert result.exit_code == 2
        assert "omeda-async[worker]" in result.output
