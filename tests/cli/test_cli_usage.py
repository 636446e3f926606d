"""What a command refuses before it begins, and in which words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omeda_async.cli import app
from tests.cli.cli_scene import Scene


@pytest.fixture
def nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Leave the environment without a user of Omeda's."""
    monkeypatch.delenv("OMEDA_USER_ID")
    scene.sandbox.omeda.seed_deployment("d")
    return scene


FILES = [("ids.txt", "d\n"), ("in.csv", "track_id,key\nd,k\n"), ("in.jsonl", '{"track_id": "d", "user_id": null}\n')]


@pytest.mark.parametrize(("name", "text"), FILES)
def test_a_missing_user_is_one_message_before_anything_is_made(nobody: Scene, name: str, text: str) -> None:
    """It names the variable and the option; no journal, no results and no request come of it."""
    journal, output = nobody.directory / "run.sqlite3", nobody.directory / "out.jsonl"
    result = nobody.give(
        "cancel-deployments", nobody.file(name, text), "--yes", "--journal", journal, "--output", output
    )
    assert result.exit_code == 2
    assert "OMEDA_USER_ID" in result.stderr
    assert "--user-id" in result.stderr
    assert not journal.exists()
    assert not output.exists()
    assert nobody.sandbox.requests == []


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("ids.txt", "d\n", ["--user-id", "u"]),
        ("in.csv", "track_id,UserId\nd,u\n", []),
        ("in.jsonl", '{"track_id": "d", "user_id": "u"}\n', []),
    ],
)
def test_a_user_may_come_from_the_option_or_the_file(nobody: Scene, name: str, text: str, options: list[str]) -> None:
    """Without the variable, either of the two will do."""
    user = nobody.sandbox.user_id
    result = nobody.give(
        "cancel-deployments",
        nobody.file(name, text.replace('"u"', f'"{user}"').replace(",u", f",{user}")),
        *[user if option == "u" else option for option in options],
        "--yes",
    )
    assert result.exit_code == 0, result.output
    assert nobody.sandbox.omeda.deployments["d"].status == "Cancelled"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("in.csv", "id,reason\n1,x\n", "has no column 'Reson' to leave out"),
        ("in.jsonl", '{"id": "1", "reason": "x"}\n', "has no field 'Reson' to leave out"),
        ("ids.txt", "1\n2\n", "has no field 'Reson' to leave out"),
    ],
)
def test_a_column_to_ignore_has_to_be_there(scene: Scene, name: str, text: str, message: str) -> None:
    """A name that nothing has may be a slip for one that is then not left out."""
    result = scene.give("cancel-campaigns", scene.file(name, text), "--yes", "--ignore-column", "Reson")
    assert result.exit_code == 2
    assert message in result.stderr
    assert scene.sandbox.requests == []


def test_a_field_to_ignore_may_stand_in_a_later_line(scene: Scene) -> None:
    """Lines of JSON need not have the same fields."""
    file = scene.file("in.jsonl", '{"id": "1"}\nnonsense\n{"id": "2", "Note": 5}\n')
    result = scene.give("cancel-campaigns", file, "--plan", "--format", "json", "--ignore-column", "note")
    plan = json.loads(result.stdout)
    assert (plan["records"], plan["requests"], [one["row"] for one in plan["refused"]]) == (3, 2, [2])


def test_a_file_without_a_name_is_none(scene: Scene) -> None:
    """As a variable of a shell gives it that is not set."""
    result = scene.give("cancel-campaigns", "", "--plan")
    assert result.exit_code == 2
    assert "FILE must be the path of a file" in result.stderr


def test_a_plan_with_an_output_is_refused(scene: Scene) -> None:
    """There are no results to be written, and what the file holds stays."""
    output = scene.file("out.jsonl", "earlier\n")
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--plan", "--output", output)
    assert result.exit_code == 2
    assert "--plan sends nothing" in result.stderr
    assert output.read_text() == "earlier\n"


def test_a_header_alone_is_no_input(scene: Scene) -> None:
    """A file without a single row is refused like an empty one."""
    result = scene.give("cancel-campaigns", scene.file("in.csv", "campaign_id,reason\n\n"), "--yes")
    assert result.exit_code == 2
    assert "holds no rows" in result.stderr


@pytest.mark.parametrize("command", [(), ("opt-out",), ("status",), ("worker",)])
def test_the_help_gives_no_value_to_a_flag(command: tuple[str, ...]) -> None:
    """``--yes <bool>`` would be typed as ``--yes true``."""
    text = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"}).stdout
    assert "--help" in text
    assert "bool" not in text


def test_a_list_of_addresses_is_told_what_it_lacks(scene: Scene) -> None:
    """An opt-out needs a header; the message and the help say which line makes one of such a list."""
    result = scene.give("opt-out", scene.file("in.txt", "a@x.com\nb@x.com\n"), "--yes")
    assert result.exit_code == 2
    assert "put a line that reads email above the first" in result.stderr
    found = scene.give("opt-out", scene.file("in.txt", "email\na@x.com\nb@x.com\n"), "--plan", "--format", "json")
    assert json.loads(found.stdout)["levels"] == {"client": 2}
    words = " ".join(CliRunner().invoke(app, ["opt-out", "--help"]).stdout.replace("│", " ").split())
    assert "put a line that reads email above the first" in words
    assert "one id a line" not in words


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("bogus", "unknown kind 'bogus'; the kinds are drop, slow, 500"),
        ("drop,soon", "unknown point 'soon'; the points are before, after, later, mid"),
        ("drop,times=abc", "'times=abc': times must be a whole number from 1, or always"),
        ("503,probability=often", "'probability=often': probability must be a number from 0 to 1"),
        ("slow,seconds=nan", "seconds must be a number from 0, not nan"),
    ],
)
def test_a_wrong_fault_is_told_what_is_possible(fault: str, words: str) -> None:
    """The part that is wrong is named, with what it may be."""
    result = CliRunner().invoke(app, ["sandbox", "--fault", fault])
    assert result.exit_code == 2
    assert f"--fault {fault!r}: " in result.stderr
    assert words in result.stderr


def test_a_date_of_a_row_is_told_how_to_be_written(scene: Scene) -> None:
    """The example is one that a file can hold, and the row is the only one spoilt."""
    text = "track_id,scheduled_for\nd1,2026-01-01T10:00:00\nd2,tomorrow\nd3,2126-01-01T10:00:00-06:00\n"
    result = scene.give("cancel-deployments", scene.file("in.csv", text), "--plan", "--format", "json")
    plan = json.loads(result.stdout)
    example = "such as 2026-01-01T10:00:00-06:00"
    assert [(one["row"], one["message"]) for one in plan["refused"]] == [
        (2, f"column scheduled_for: has no offset from UTC: give it with one, {example}"),
        (3, f"column scheduled_for: is 'tomorrow': give ISO 8601, {example}"),
    ]
    assert plan["requests"] == 1


@pytest.mark.parametrize("text", ['{"campaign_id": 2}\n', "2\n"])
def test_a_number_may_be_an_id_in_json(scene: Scene, tmp_path: Path, text: str) -> None:
    """Many programs write ids as numbers: it is the same id as their decimal text."""
    scene.sandbox.ocamba.seed_campaign("2")
    (tmp_path / "in.jsonl").write_text(text)
    result = scene.give("cancel-campaigns", tmp_path / "in.jsonl", "--yes")
    assert result.exit_code == 0, result.output
    assert scene.sandbox.ocamba.campaigns["2"].status == "canceled"


@pytest.mark.parametrize("text", ['{"campaign_id": true}\n', '{"campaign_id": 2.5}\n', "true\n", "2.5\n"])
def test_what_is_no_id_in_json_stays_refused(scene: Scene, text: str) -> None:
    """Truth values and fractions are ids of nothing."""
    result = scene.give("cancel-campaigns", scene.file("in.jsonl", text), "--yes")
    assert result.exit_code == 1
    assert "rejected" in result.stdout
    assert scene.sandbox.requests == []


def test_a_line_of_json_has_fields_and_no_columns(scene: Scene) -> None:
    """What is wrong is said in the words of the file's form."""
    result = scene.give("opt-out", scene.file("in.jsonl", '{"email": "nobody"}\n'), "--yes")
    assert "row 1: rejected: field email_address: is no e-mail address" in result.stdout


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a@x.com,all,,", "column level: must be client, brand or deployment_type"),
        ("a@x.com,brand,,", "column BrandId: is missing or empty: an opt-out of the level brand needs it"),
        (
            "a@x.com,deployment_type,,",
            "column deployment_type_ids: is missing or empty: an opt-out of the level deployment_type needs it",
        ),
    ],
)
def test_a_wrong_level_is_told_which_words_and_columns_there_are(scene: Scene, row: str, message: str) -> None:
    """The words are those of the documentation, and the column is the one to be filled in or added."""
    text = f"email,level,BrandId,{'deployment_type_ids' if 'deploy' in row else 'source'}\n{row}\n"
    result = scene.give("opt-out", scene.file("in.csv", text), "--plan")
    assert f"row 2: rejected: {message}" in result.stdout


def test_a_level_without_any_column_for_ids_names_the_column_to_add(scene: Scene) -> None:
    """There is no such column yet, so that its documented name is given."""
    result = scene.give("opt-out", scene.file("in.csv", "email,level\na@x.com,brand\n"), "--plan")
    assert "row 2: rejected: column brand_ids: is missing or empty" in result.stdout


def test_one_request_is_not_requests(scene: Scene) -> None:
    """A count of one has its thing in the singular, in the summary and in the status of a journal."""
    scene.sandbox.ocamba.seed_campaign("1")
    journal = scene.directory / "run.sqlite3"
    done = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes", "--journal", journal)
    assert "1 request in " in done.stdout
    assert scene.give("status", journal).stdout.rstrip().endswith("; 1 request")


def test_how_many_records_were_written_again_is_told(scene: Scene) -> None:
    """Of --failed with --output, standard error has the count, and standard output nothing."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / "again.txt"
    scene.give("cancel-campaigns", scene.file("in.txt", "1\n2\n"), "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed", "--output", output)
    assert (result.stdout, result.stderr) == ("", f"2 records in {output}.\n")
    assert output.read_text() == "1\n2\n"


@pytest.mark.parametrize("options", [["--yes"], ["--plan"]])
def test_comment_lines_are_left_out_and_counted(scene: Scene, options: list[str]) -> None:
    """A list of ids may say what it is about; how many lines were taken for that is told."""
    scene.sandbox.ocamba.seed_campaigns(["1000248"])
    file = scene.file("ids.txt", "# campaigns to cancel\n1000248\n  # and that is all\n")
    result = scene.give("cancel-campaigns", file, *options)
    assert result.exit_code == 0
    if "--plan" in options:
        assert "comment lines, left out" in result.stdout
        plan = json.loads(scene.give("cancel-campaigns", file, "--plan", "--format", "json").stdout)
        assert (plan["records"], plan["comments"]) == (1, 2)
    else:
        assert "2 comment lines left out (they begin with #)." in result.stderr
        assert scene.sandbox.ocamba.campaigns["1000248"].status == "canceled"


def test_odd_addresses_are_sent_where_somebody_insists(scene: Scene) -> None:
    """Otherwise the row, the column and the character are told, and nothing is sent."""
    file = scene.file("in.csv", "E-Mail\na\u200bb@example.com\n")
    result = scene.give("opt-out", file, "--yes")
    assert result.exit_code == 1
    assert "column E-Mail" in result.stdout
    assert "U+200B zero-width" in result.stdout
    assert scene.sandbox.requests == []
    assert scene.give("opt-out", file, "--yes", "--allow-odd-addresses").exit_code == 0
    assert [one.email_address for one in scene.sandbox.omeda.opt_outs] == ["a\u200bb@example.com"]


def test_a_rate_replaces_the_limit_of_the_account(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts for the plan and for what is sent, and goes before the variable."""
    monkeypatch.setenv("OCAMBA_RATE_LIMIT", "1/1000")
    for place in range(6):
        scene.sandbox.ocamba.seed_campaign(f"c{place}")
    file = scene.file("in.txt", "".join(f"c{place}\n" for place in range(6)))
    command = ("cancel-campaigns", file, "--rate", "3/10", "--format", "json")
    assert json.loads(scene.give(*command, "--plan").stdout)["seconds"] == pytest.approx(20.0)
    result = scene.give(*command, "--yes")
    assert result.exit_code == 0, result.output
    assert scene.sandbox.audit.busiest("ocamba", 10.0) == 2


def test_a_rate_that_is_none_is_refused_with_its_part(scene: Scene) -> None:
    """Before anything is sent, with the option and what it may be."""
    result = scene.give("cancel-campaigns", scene.file("in.txt", "1\n"), "--yes", "--rate", "10/1,often")
    assert result.exit_code == 2
    assert "--rate '10/1,often': in 'often', there is neither calls/seconds" in " ".join(result.stderr.split())
    assert scene.sandbox.requests == []


def test_limits_are_shared_where_the_option_says(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the variable; the first run of all says why it waits, and the next one does not wait."""
    monkeypatch.setenv("OMEDA_ASYNC_SHARE_LIMITS", str(scene.directory / "elsewhere"))
    for place in range(3):
        scene.sandbox.ocamba.seed_campaign(f"c{place}")
    shared = scene.directory / "shared"
    command = ("--yes", "--share-limits", shared)
    first = scene.give("cancel-campaigns", scene.file("a.txt", "c0\nc1\n"), *command)
    assert first.exit_code == 0, first.output
    assert "held for 2 min" in " ".join(first.stderr.split())
    assert "does not know what was sent before" in " ".join(first.stderr.split())
    assert [one.suffix for one in shared.iterdir()] == [".sqlite3"]
    assert not (scene.directory / "elsewhere").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("theirs.csv", "theirs.csv is a file of something else; give a folder"),
        ("theirs.csv/folder", "theirs.csv is a file of something else; give a folder"),
        ("~nobody-of-that-name/limits", "begins with the home of a user that this host does not know"),
        ("x" * 300, "cannot be used: File name too long"),
        ("postgresql://host:port/db", "--share-limits: "),
    ],
)
@pytest.mark.parametrize("way", ["--plan", "--yes"])
def test_a_place_that_cannot_be_one_is_refused_before_anything_is_made(
    scene: Scene, place: str, said: str, way: str
) -> None:
    """Also by a plan, which makes nothing anyway."""
    file, theirs = scene.file("in.txt", "1\n"), scene.file("theirs.csv", "id\n1\n")
    given = place if place[0] in "~p" else scene.directory / place
    result = scene.give("cancel-campaigns", file, way, "--share-limits", given)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert "--share-limits" in result.stderr
    assert sorted(scene.directory.iterdir()) == [file, theirs]
    assert scene.sandbox.requests == []


def test_a_plan_makes_no_place_for_limits_and_says_what_its_time_assumes(scene: Scene) -> None:
    """It asks nobody, so that it cannot know what the others use, and whether it would be held."""
    file, shared = scene.file("in.txt", "1\n"), scene.directory / "deep" / "shared"
    for form in ("table", "json"):
        result = scene.give("cancel-campaigns", file, "--plan", "--share-limits", shared, "--format", form)
        assert result.exit_code == 0, result.output
        assert "with the whole limit to itself" in " ".join(result.output.split())
    assert sorted(scene.directory.iterdir()) == [file]
    result = scene.give("cancel-campaigns", file, "--plan")
    assert "with the whole limit to itself" not in " ".join(result.output.split())


def test_a_place_for_limits_that_is_none_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name it was given by, before anything is sent, and for a plan too."""
    file = scene.file("in.txt", "1\n")
    result = scene.give("cancel-campaigns", file, "--plan", "--share-limits", "ftp://host")
    assert result.exit_code == 2
    assert "--share-limits begins with 'ftp'" in " ".join(result.stderr.split())
    monkeypatch.setenv("OMEDA_ASYNC_SHARE_LIMITS", "ftp://host")
    result = scene.give("cancel-campaigns", file, "--yes")
    assert result.exit_code == 2
    assert "OMEDA_ASYNC_SHARE_LIMITS begins with 'ftp'" in " ".join(result.stderr.split())
