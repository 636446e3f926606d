"""Journals on the command line: resuming, looking into one, and writing what is not done as input again."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from omeda_async.rows import OPT_OUTS, RowFile
from tests.cli.cli_scene import Scene
from tests.report.pages import data_of

ROWS = "email,brand_ids,deployment_type_ids\na@x.com,XXG,\nb@x.com,ZZZ|QQQ,\nc@x.com,,23\nd@x.com,XXG\n"


def opted_out(scene: Scene) -> Path:
    journal = scene.directory / "run.sqlite3"
    scene.give("opt-out", scene.file("in.csv", ROWS), "--yes", "--journal", journal)
    return journal


def test_the_same_command_with_a_journal_sends_nothing_twice(scene: Scene) -> None:
    """What was settled is reported again, with its row, and no request is made for it."""
    journal, sent = opted_out(scene), len(scene.sandbox.requests)
    again = scene.give("opt-out", scene.directory / "in.csv", "--yes", "--journal", journal, "--format", "json")
    found = json.loads(again.stdout)
    assert found["counts"] == {"done": 2, "rejected": 2}
    assert found["requests"] == 0
    assert sorted(one["row"] for one in found["failures"]) == [3, 5]
    assert len(scene.sandbox.requests) == sent > 0


def test_requests_of_a_run_that_was_killed_are_at_least_those_that_were_noted(scene: Scene) -> None:
    """What was in flight may have been made, too."""
    journal = opted_out(scene)
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("UPDATE runs SET ended = NULL")
        connection.commit()
    words = " ".join(scene.give("status", journal).stdout.split())
    assert "killed; at least " in words


def test_status_shows_counts_causes_and_runs(scene: Scene) -> None:
    """The counts add up, each cause is said in the provider's words, and no address is shown."""
    result = scene.give("status", opted_out(scene))
    assert result.exit_code == 1
    words = " ".join(result.stdout.split())
    assert "omeda opt_outs.submit_many at http://127.0.0.1" in words
    assert "done 2 rejected 2 all 4" in words.replace("─", "")
    assert "1 rejected: BrandOptOut submission (ZZZ)" in words
    assert "run 1: " in words
    assert "complete" in words
    assert "b@x.com" not in result.output


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("in.csv", "E-Mail,brand_ids\nno address,XXG\n", "column E-Mail: is no e-mail address"),
        (
            "in.jsonl",
            '{"email_address": "no address", "brand_ids": ["XXG"]}\n',
            "field email_address: is no e-mail address",
        ),
    ],
)
def test_a_row_is_refused_in_the_same_words_wherever_they_are_read(
    scene: Scene, name: str, text: str, told: str
) -> None:
    """By the command itself, from its journal, and in a page of either: with the file's own name of the column."""
    journal, pages = scene.directory / "run.sqlite3", [scene.directory / "run.html", scene.directory / "status.html"]
    given = scene.give("opt-out", scene.file(name, text), "--yes", "--journal", journal, "--report", pages[0])
    shown = scene.give("status", journal, "--report", pages[1])
    for output in (given.stdout, shown.stdout):
        assert f"rejected: {told}" in " ".join(output.split())
    for page in pages:
        ((_, _, message),) = data_of(page)["failures"]["causes"]
        assert message.startswith(told)


def test_status_as_json_is_one_document(scene: Scene) -> None:
    """A program can read it."""
    found = json.loads(scene.give("status", opted_out(scene), "--format", "json").stdout)
    assert found["total"] == sum(found["counts"].values()) == 4
    assert found["running"] is False
    assert sum(cause["records"] for cause in found["causes"]) == 2
    assert len(found["runs"]) == 1


def test_failed_records_are_written_as_input_again(scene: Scene) -> None:
    """The file holds the records that are not done and can be read as it is; a row that had no record is named."""
    output = scene.directory / "again.csv"
    result = scene.give("status", opted_out(scene), "--failed", "--output", output)
    assert result.exit_code == 1
    assert "Left out: 1 record that the journal does not hold" in result.stderr
    assert "Their places in the input: 4, counted from 1" in result.stderr
    assert f"Why they are not done:\n  omeda-async status {scene.directory / 'run.sqlite3'}\n" in result.stderr
    assert [dict(row) for row in RowFile.at(OPT_OUTS, output)] == [
        {"email_address": "b@x.com", "brand_ids": ("ZZZ", "QQQ"), "deployment_type_ids": None}
    ]


def test_where_the_journal_holds_none_of_the_records_nothing_is_written(scene: Scene) -> None:
    """An earlier file is not emptied, and no empty one is made; where nothing has failed, one is."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / "again.csv"
    file = scene.file("in.csv", "email,brand_ids,deployment_type_ids\na@x.com,XXG,\nd@x.com,XXG\n")
    scene.give("opt-out", file, "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed", "--output", output)
    assert (result.exit_code, output.exists()) == (1, False)
    assert "Nothing is written, as the journal holds none of these records." in result.stderr
    assert "Left out: 1 record" in result.stderr
    output.write_text("earlier")
    assert scene.give("status", journal, "--failed", "--output", output).exit_code == 1
    assert output.read_text() == "earlier"
    assert scene.give("status", journal, "--failed", "--only", "failed", "--output", output).exit_code == 0
    assert output.read_text() == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE runs SET ended = NULL, complete = 0", "was killed"),
        ("UPDATE runs SET complete = 0, cause = 'ClosedError: x'", "was stopped"),
    ],
)
def test_rows_that_a_run_never_read_are_not_passed_over_in_silence(scene: Scene, change: str, told: str) -> None:
    """The journal does not know of them: ``--failed`` and ``status`` say so until the run was read to its end."""
    journal = scene.directory / "run.sqlite3"
    command: list[str | Path] = ["cancel-campaigns", scene.file("in.txt", "2\n3\n"), "--yes", "--journal", journal]
    scene.give(*command)
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute(change)
        connection.commit()
    told = f"The last run {told}, and may not have read its input to the end: rows that were not read are not in"
    result = scene.give("status", journal, "--failed")
    assert (result.exit_code, result.stdout) == (1, "2\n3\n")
    assert told in " ".join(result.stderr.split())
    assert "Run the same line again, which goes on." in result.stderr
    assert told in " ".join(scene.give("status", journal).stdout.split())
    scene.give(*command)
    result = scene.give("status", journal, "--failed")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2\n3\n", "")
    assert "may not have read" not in scene.give("status", journal).stdout


def test_failed_ids_come_out_one_a_line(scene: Scene) -> None:
    """What came in as a list of ids goes out as one, on standard output."""
    journal = scene.directory / "run.sqlite3"
    scene.sandbox.ocamba.seed_campaign("1")
    scene.give("cancel-campaigns", scene.file("in.txt", "1\n2\n3\n"), "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed")
    assert (result.exit_code, result.stdout) == (0, "2\n3\n")
    none = scene.give("status", journal, "--failed", "--only", "failed")
    assert (none.exit_code, none.stdout) == (0, "")


def test_a_dash_is_standard_output_and_an_unknown_ending_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is called "-", and none of a format nobody asked for is written."""
    monkeypatch.chdir(scene.directory)
    journal = scene.directory / "run.sqlite3"
    scene.give("cancel-campaigns", scene.file("in.txt", "2\n3\n"), "--yes", "--journal", journal)
    there = set(scene.directory.iterdir())
    result = scene.give("status", journal, "--failed", "--output", "-")
    assert (result.exit_code, result.stdout) == (0, "2\n3\n")
    refused = scene.give("status", journal, "--failed", "--output", "x.xls")
    assert refused.exit_code == 2
    assert "x.xls ends in .xls, which is no format: .csv, .jsonl" in refused.stderr
    assert set(scene.directory.iterdir()) == there


def test_opt_outs_that_a_csv_would_change_are_written_as_json_lines(scene: Scene) -> None:
    """Next to each other in a CSV, an opt-out with a blank field for ids would become one of the whole client."""
    text = '{"email": "a@x.com", "brand_ids": []}\n{"email": "b@x.com", "deployment_type_ids": [99999]}\n'
    journal = scene.directory / "run.sqlite3"
    scene.give("opt-out", scene.file("in.jsonl", text), "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"email_address": "a@x.com", "brand_ids": []},
        {"email_address": "b@x.com", "deployment_type_ids": [99999]},
    ]
    refused = scene.give("status", journal, "--failed", "--output", scene.directory / "x.csv")
    assert refused.exit_code == 2
    assert ".jsonl" in refused.stderr


@pytest.mark.parametrize("name", ["none.sqlite3", "in.csv"])
def test_what_is_no_journal_is_exit_2(scene: Scene, name: str) -> None:
    """A file that is not there or holds something else is named."""
    scene.file("in.csv", ROWS)
    result = scene.give("status", scene.directory / name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert "Traceback" not in result.output


def test_a_journal_of_another_command_is_refused(scene: Scene) -> None:
    """It is exit 2 and nothing is sent."""
    journal, sent = opted_out(scene), len(scene.sandbox.requests)
    result = scene.give("cancel-campaigns", scene.file("ids.txt", "1\n"), "--yes", "--journal", journal)
    assert result.exit_code == 2
    assert "belongs to another run" in result.stderr
    assert len(scene.sandbox.requests) == sent


@pytest.mark.parametrize("ending", ["", "-wal", "-lock"])
def test_the_journal_is_never_written_over(scene: Scene, ending: str) -> None:
    """Its own files are refused as the output, also by another name, and are as they were."""
    journal = opted_out(scene)
    taken = Path(f"{journal}{ending}")
    link = scene.directory / "link.csv"
    link.symlink_to(taken)
    before = journal.read_bytes()
    for output in (taken, link):
        result = scene.give("status", journal, "--failed", "--output", output)
        assert result.exit_code == 2
        assert "is the journal" in result.stderr
    assert journal.read_bytes() == before


@pytest.mark.parametrize("name", ["none.sqlite3", "run.sqlite3"])
def test_an_earlier_file_stays_until_the_new_one_is_whole(scene: Scene, name: str) -> None:
    """A journal that is not there, or records that do not fit, leave it as it was, and nothing beside it."""
    opted_out(scene)
    earlier = scene.file("earlier.txt", "a@x.com\n")
    there = set(scene.directory.iterdir())
    result = scene.give("status", scene.directory / name, "--failed", "--output", earlier)
    assert result.exit_code == 2
    assert earlier.read_text() == "a@x.com\n"
    assert set(scene.directory.iterdir()) == there


def test_an_earlier_file_is_replaced_where_it_is(scene: Scene) -> None:
    """Behind a link too, with the mode it had, and nothing is left beside it."""
    journal = opted_out(scene)
    earlier = scene.file("earlier.csv", "x" * 1000)
    earlier.chmod(0o640)
    link = scene.directory / "link.csv"
    link.symlink_to(earlier)
    there = set(scene.directory.iterdir())
    assert scene.give("status", journal, "--failed", "--output", link).exit_code == 1
    assert earlier.read_text().startswith("email_address,")
    assert earlier.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert set(scene.directory.iterdir()) == there


def test_what_is_no_file_is_written_as_it_is(scene: Scene) -> None:
    """A device takes the records, or says that it cannot; it is not replaced by a file."""
    result = scene.give("status", opted_out(scene), "--failed", "--output", "/dev/full")
    assert result.exit_code == 2
    assert "/dev/full cannot be written: No space left" in result.stderr
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("word", ["done", "already_done"])
def test_what_is_done_is_not_among_what_failed(scene: Scene, word: str) -> None:
    """It would be sent again by whoever gives the output to the command; and the words that can be meant are named."""
    result = scene.give("status", opted_out(scene), "--failed", "--only", "rejected", "--only", word)
    assert (result.exit_code, result.stdout) == (2, "")
    told = " ".join(result.stderr.replace("│", " ").split())
    assert "writes what is not done: give one of partly_done, too_late, rejected, failed, unknown, not_sent" in told


@pytest.mark.parametrize("option", [("--only", "failed"), ("--output", "x.csv")])
def test_an_option_that_would_do_nothing_is_refused(scene: Scene, option: tuple[str, str]) -> None:
    """Without --failed there is nothing to choose and nothing to write."""
    result = scene.give("status", opted_out(scene), *option)
    assert result.exit_code == 2
    assert "--failed" in result.stderr
    assert result.stdout == ""


def test_why_a_run_has_ended_is_said_in_plain_words(scene: Scene) -> None:
    """A deadline, and a signal: the name of an error is for programs."""
    for name in range(100):
        scene.sandbox.ocamba.seed_campaign(f"c{name}")
    file = scene.file("ids.txt", "".join(f"c{name}\n" for name in range(100)))
    journal = scene.directory / "run.sqlite3"
    scene.give("cancel-campaigns", file, "--yes", "--deadline", "2", "--journal", journal)
    scene.timers.append((2.0, lambda: signal.raise_signal(signal.SIGTERM)))
    scene.give("cancel-campaigns", file, "--yes", "--journal", journal)
    result = scene.give("status", journal)
    assert "stopped (the run's deadline has passed)" in " ".join(result.stdout.split())
    assert "stopped (by a signal, or by its program)" in " ".join(result.stdout.split())
    assert "ClosedError" not in result.stdout
    runs = json.loads(scene.give("status", journal, "--format", "json").stdout)["runs"]
    assert [run["cause"] for run in runs] == ["the run's deadline has passed", "by a signal, or by its program"]
