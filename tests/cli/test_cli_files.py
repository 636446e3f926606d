"""Files as people have them, given to commands: options, what is told, going on, and what is written."""

import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from omeda_async import BatchRejected, Culprit, Outcome, OutcomeStatus
from omeda_async.cli import app
from omeda_async.cli._report import show_figures
from omeda_async.cli._screen import say, wrapped
from omeda_async.rows import CAMPAIGNS, RowFile
from tests.cli.cli_scene import Scene
from tests.rows.workbooks import Cell, workbook

EXPORTS = Path(__file__).parents[1] / "samples" / "exports"
IDS = [str(1000 + number) for number in range(8)]
SHEET: list[list[Cell]] = [[int(one), f"k{one}"] for one in IDS]
FORMS: dict[str, bytes] = {
    "in.csv.gz": gzip.compress(("id,key\n" + "".join(f"{one},k{one}\n" for one in IDS)).encode()),
    "in.json": json.dumps([{"id": int(one), "key": f"k{one}"} for one in IDS]).encode(),
    "in.jsonl.gz": gzip.compress("".join(f'{{"id": "{one}", "key": "k{one}"}}\n' for one in IDS).encode()),
    "in.xlsx": workbook([["id", "key"], *SHEET]),
    "in.csv": "id;key;Größe\n".encode("cp1252") + "".join(f"{one};k{one};ß\n" for one in IDS).encode("cp1252"),
}


def test_a_mailchimp_export_takes_two_tries(scene: Scene) -> None:
    """The first names all columns at once and the option; the second sends, and tells what it has read."""
    file = EXPORTS / "mailchimp_unsubscribed.csv"
    refused = scene.give("opt-out", file, "--yes")
    assert refused.exit_code == 2
    assert "27 columns stand for no field" in refused.stderr
    assert "--ignore-other-columns" in refused.stderr
    result = scene.give("opt-out", file, "--yes", "--ignore-other-columns")
    assert result.exit_code == 0, result.output
    assert "27 are left out; read are 'Email Address' as email_address." in result.stderr
    addresses = {one.email_address for one in scene.sandbox.omeda.opt_outs}
    assert addresses == {"anna.berg@example.com", "jose@example.com"}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_goes_on_where_it_was_stopped_and_gives_back_what_failed(scene: Scene, name: str) -> None:
    """Some rows first, then all: none is sent twice, each is reported by its row, and the failed ones come back."""
    scene.sandbox.ocamba.seed_campaigns(IDS[1:])
    file, journal = scene.file(name, FORMS[name]), scene.directory / "run.sqlite3"
    first = 1 if name.startswith("in.js") else 2
    command = ("cancel-campaigns", file, "--yes", "--journal", journal, "--ignore-other-columns")
    begun = scene.give(*command, "--limit", "3", "--format", "json")
    assert json.loads(begun.stdout)["counts"] == {"done": 2, "rejected": 1}
    assert f"Only the first 3 of 8 rows of {file} are read." in begun.stderr
    sent, output = len(scene.sandbox.requests), scene.directory / "out.jsonl"
    ended = scene.give(*command, "--output", output)
    assert ended.exit_code == 1, ended.output
    cancels = [one for one in scene.sandbox.requests[sent:] if one.operation == "campaigns.cancel"]
    assert len(cancels) == 5
    lines = sorted(scene.lines(output), key=lambda one: int(one["row"]))
    assert [(one["row"], one["key"]) for one in lines] == [(first + at, f"k{one}") for at, one in enumerate(IDS)]
    again = scene.directory / "again.csv"
    assert scene.give("status", journal, "--failed", "--output", again).exit_code == 0
    assert [row.fields() for row in RowFile.at(CAMPAIGNS, again)] == [{"campaign_id": "1000", "key": "k1000"}]


def test_options_of_texts_lead_to_what_they_say(scene: Scene) -> None:
    """Encoding, delimiter and columns together; a plan in JSON has the notes in it."""
    file = scene.file("in.txt", "Größe|Adresse\n1|jürgen@example.com\n".encode("cp1252"))
    options = ("--encoding", "cp1252", "--delimiter", "|", "--column", "email_address=Adresse")
    plan = scene.give("opt-out", file, "--plan", "--format", "json", *options, "--ignore-other-columns")
    found = json.loads(plan.stdout)
    assert (plan.exit_code, found["records"], plan.stderr) == (0, 1, "")
    assert found["notes"] == [f"Of the columns of {file} 1 is left out; read are 'Adresse' as email_address"]
    guessed = scene.give("opt-out", file, "--yes", *options[2:], "--ignore-other-columns")
    assert guessed.exit_code == 1
    assert "that it is cp1252 is a guess" in guessed.stderr
    assert "column Adresse: holds letters beyond ASCII" in guessed.stdout
    assert scene.sandbox.requests == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--column", "email"], "--column 'email' must be FIELD=NAME"),
        (["--column", "email="], "must be FIELD=NAME"),
        (["--column", "key=A", "--column", "key=B"], "--column names key twice: 'A' and 'B'"),
        (["--column", "nope=A"], "'nope' is no field of opt-outs"),
        (["--encoding", "klingon"], "'klingon' is no encoding"),
        (["--delimiter", "ab"], "'ab' is no delimiter"),
        (["--sheet", "People"], "has no sheets"),
        (["--limit", "0"], "Invalid value"),
    ],
)
def test_an_option_that_cannot_be_is_refused(scene: Scene, options: list[str], words: str) -> None:
    """With exit 2, in a sentence, and before anything is sent."""
    result = scene.give("opt-out", scene.file("in.csv", "email\na@example.com\n"), "--yes", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert scene.sandbox.requests == []


def test_a_sheet_is_chosen_by_its_name(scene: Scene) -> None:
    """Where several hold something."""
    file = scene.file("in.xlsx", workbook([["email"], ["a@example.com"]], {"More": [["email"], ["b@example.com"]]}))
    assert "say which one with --sheet NAME" in scene.give("opt-out", file, "--yes").stderr
    assert scene.give("opt-out", file, "--yes", "--sheet", "More").exit_code == 0
    assert [one.email_address for one in scene.sandbox.omeda.opt_outs] == ["b@example.com"]


def test_results_are_written_as_csv_where_the_name_ends_so(scene: Scene) -> None:
    """One row for each record, with the columns of the JSON; no cell is a formula, and an earlier run's go."""
    text = "email,brand_ids,key\na@example.com,XXG,=1+1\nb@example.com,XXG|ZZZ,k\nc@example.com,,\n"
    output = scene.file("out.csv", "earlier\n")
    result = scene.give("opt-out", scene.file("in.csv", text), "--yes", "--output", output)
    assert result.exit_code == 1, result.output
    with output.open(encoding="utf-8", newline="") as stream:
        rows = {int(row["row"]): row for row in csv.DictReader(stream)}
    assert list(rows[2]) == [
        *("row", "position", "key", "status", "attempts", "error", "message", "refused_ids", "receipt"),
    ]
    assert (rows[2]["status"], rows[2]["key"], rows[2]["error"]) == ("done", "'=1+1", "")
    assert json.loads(rows[2]["receipt"])["submission_id"]
    assert (rows[3]["status"], rows[3]["refused_ids"]) == ("partly_done", "ZZZ")
    assert (rows[4]["status"], rows[4]["position"]) == ("rejected", "2")
    assert rows[4]["message"].startswith("column brand_ids: ")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "\t=", " +", "'-"], ids=ascii)  # noqa: RUF001 a spreadsheet's
def test_no_cell_of_results_is_a_formula(tmp_path: Path, sign: str) -> None:
    """Whoever wrote it: the user's key, the provider's words, refused ids, or what a receipt holds."""
    from omeda_async.cli._outcomes import writing  # noqa: PLC0415 beside the commands

    odd = f"{sign}cmd|' /C calc'!A0"
    culprit = Culprit(level="BrandOptOut", id=odd, email_address=None, message=odd)
    error = BatchRejected(odd, provider="", sent=False, status=400, messages=(odd,), culprits=(culprit,))
    outcomes: list[Outcome[None, str]] = [
        Outcome(record=None, key=odd, position=0, status=OutcomeStatus.PARTLY_DONE, error=error, attempts=1),
        Outcome(record=None, key=odd, position=1, status=OutcomeStatus.DONE, receipt=odd, attempts=1),
    ]
    with writing(str(tmp_path / "out.csv")) as lines:
        for outcome in outcomes:
            lines(outcome)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    shown = odd.replace("\t", "\ufffd")
    quoted = shown if sign == "\t=" else f"'{shown}"
    assert [row["key"] for row in rows] == [quoted, quoted]
    assert (rows[0]["message"], rows[0]["refused_ids"]) == (quoted, quoted)
    assert not [cell for row in rows for cell in row.values() if cell.strip(' "')[:1] in {*"=+-@＝"}]  # noqa: RUF001 the same


def test_a_csv_of_no_results_has_its_header(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it finds no rows, and no error."""
    from omeda_async.cli._outcomes import writing  # noqa: PLC0415 beside the commands

    output = scene.directory / "out.CSV"
    monkeypatch.chdir(scene.directory)
    with writing(str(output)) as lines:
        lines.end()
    assert output.read_text().startswith("row,position,key,status,")
    assert len(output.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "removed", "words"),
    [
        (
            "opt-out",
            ["OMEDA_APP_ID", "OMEDA_CLIENT"],
            "OMEDA_APP_ID is missing from the environment, although OMEDA_BRAND is set: set OMEDA_APP_ID and OMEDA_CL",
        ),
        (
            "cancel-deployments",
            ["OMEDA_BRAND", "OMEDA_CLIENT", "OMEDA_USER_ID"],
            "although OMEDA_APP_ID is set: set OMEDA_APP_ID and OMEDA_BRAND, and OMEDA_USER_ID where neither",
        ),
        (
            "cancel-transactions",
            ["JOURNEY_MANAGER_USERNAME", "JOURNEY_MANAGER_PASSWORD"],
            "set JOURNEY_MANAGER_BASE_URL, and JOURNEY_MANAGER_USERNAME with JOURNEY_MANAGER_PASSWORD, or JOURNEY_",
        ),
        ("opt-out", ["OMEDA_*"], "Omeda is not configured: set OMEDA_APP_ID and OMEDA_CLIENT"),
        ("cancel-deployments", ["OMEDA_*"], "set OMEDA_APP_ID and OMEDA_BRAND, and OMEDA_USER_ID where neither"),
        ("cancel-campaigns", ["OCAMBA_*"], "Ocamba is not configured: set OCAMBA_TOKEN"),
        (
            "cancel-transactions",
            ["JOURNEY_MANAGER_*"],
            "set JOURNEY_MANAGER_BASE_URL, and JOURNEY_MANAGER_USERNAME with JOURNEY_MANAGER_PASSWORD, or JOURNEY_",
        ),
    ],
)
def test_what_is_not_configured_names_all_that_has_to_be_set(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, command: str, removed: list[str], words: str
) -> None:
    """Also what goes with the first variable."""
    names = ["OMEDA_APP_ID", "OMEDA_BRAND", "OMEDA_CLIENT", "OMEDA_USER_ID", "OMEDA_BASE_URL", "OCAMBA_TOKEN"]
    names += ["OCAMBA_BASE_URL", "JOURNEY_MANAGER_BASE_URL", "JOURNEY_MANAGER_USERNAME", "JOURNEY_MANAGER_PASSWORD"]
    for name in names:
        if any(re.fullmatch(one.replace("*", ".*"), name) for one in removed):
            monkeypatch.delenv(name)
    result = scene.give(command, scene.file("in.csv", "email,id\na@example.com,1\n"), "--yes", "--ignore-other-columns")
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("width", range(12, 64, 4))
def test_sentences_are_wrapped_at_blanks_at_any_width(width: int) -> None:
    """No word is cut, also one that is longer than a line; the words stay in their order."""
    text = "  in.csv: 3 columns stand for no field: 'First Name', '東京 都'; leave them out (--ignore-other-columns)"
    lines = wrapped(text, width).split("\n")
    assert " ".join(lines).split() == text.split()
    assert all(Console().measure(line).maximum <= width for line in lines if " " in line.strip())
    file = io.StringIO()
    say(Console(file=file, width=width, force_terminal=True, color_system=None), text)
    assert file.getvalue() == wrapped(text, width) + "\n"
    file = io.StringIO()
    say(Console(file=file, width=width), text)
    assert file.getvalue() == text + "\n"


@pytest.mark.parametrize("command", ["opt-out", "cancel-deployments", "status", "sandbox", "demo", ""])
@pytest.mark.parametrize("columns", [60, 80])
def test_help_cuts_nothing(monkeypatch: pytest.MonkeyPatch, command: str, columns: int) -> None:
    """The names of all options are whole, also in a narrow terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    shown = CliRunner().invoke(app, [*([command] if command else []), "--help"]).stdout
    assert "…" not in shown
    if command == "opt-out":
        for option in ("--allow-odd-addresses", "--ignore-other-columns", "--column", "--encoding", "--limit"):
            assert option in shown


def test_figures_without_room_for_a_table_are_sentences() -> None:
    """Half a heading says nothing."""
    headings = ["records", "done", "already done", "requests"]
    rows = {"opt-outs": ["5,000", "4,997", "0", "13"], "all": ["5,000", "4,997", "0", "13"]}
    file = io.StringIO()
    show_figures(Console(file=file, width=30), headings, rows)
    assert file.getvalue().splitlines()[0] == "opt-outs: 5,000 records, 4,997 done, 13 requests"
    file = io.StringIO()
    show_figures(Console(file=file, width=60), headings, rows)
    assert {"records", "already", "requests"} <= set(file.getvalue().split())


def test_a_key_without_an_end_fills_no_terminal(scene: Scene) -> None:
    """Its line shows the start of it; the results have all of it."""
    key, output = "k" * 5000, scene.directory / "out.jsonl"
    file = scene.file("in.jsonl", json.dumps({"id": "none", "key": key}) + "\n")
    result = scene.give("cancel-campaigns", file, "--yes", "--output", output)
    assert "k" * 100 + "…" in result.stdout
    assert "k" * 101 not in result.stdout
    assert [line["key"] for line in scene.lines(output)] == [key]
