"""What ``status --failed`` writes is read as what it was, or is not written."""

import asyncio
import csv
import errno
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async import DeploymentCancel, SessionManager
from omeda_async.cli._demo_data import write_files
from omeda_async.rows import CAMPAIGNS, DEPLOYMENTS, OPT_OUTS, TRANSACTIONS, RowFile, RowKind
from omeda_async.rows._formulas import quoted, unquoted
from tests.campaigns import cases
from tests.cli.cli_scene import Scene

ODD = [
    ["=1+1", "-5", "+7", "@sum", "＝1"],  # noqa: RUF001 a spreadsheet takes the wide one for the other
    ["'x", "'=x", "''=x", "'"],
    ["id", "2"],
    ["a,b", "2"],
    ["a;b", "2"],
    ['a"b', '"'],
    ["a|b"],
    ["{x", "[y"],
    ['"x"', "2"],
    ["# a comment", "2"],
    ["2", "#3"],
    ["sep=;", "2"],
    ["a\u202eb", "2"],
    ["a\tb", "2"],
    ["1.0E+06", "0012"],
    ["PK\x03\x04"],
]


def read_again(data: str, name: str) -> list[Any]:
    file = RowFile(CAMPAIGNS, lambda: io.BytesIO(data.encode()), name)
    return [row.fields()["campaign_id"] for row in file]


@pytest.mark.parametrize("name", ["", "again.txt", "again.csv", "again.jsonl"])
@pytest.mark.parametrize("ids", ODD, ids=repr)
def test_ids_come_back_as_they_were_or_the_format_is_refused(scene: Scene, ids: list[str], name: str) -> None:
    """Whatever stands in them; without a file name, and in JSON Lines, all of them do."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / (name or "none")
    lines = "".join(json.dumps({"campaign_id": one}) + "\n" for one in ids)
    scene.give("cancel-campaigns", scene.file("in.jsonl", lines), "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed", *(("--output", output) if name else ()))
    if result.exit_code == 2 and name in {"again.txt", "again.csv"}:
        assert f"do not fit into {output}: give a file that ends in .jsonl" in result.stderr
        assert not output.exists()
        return
    assert result.exit_code == 0, result.output
    written = output.read_text() if name else result.stdout
    assert read_again(written, name) == ids
    assert name or written.replace("\n", "").isprintable()


DUE = "2126-03-01T06:30:00-06:00"
OTHERS: dict[str, tuple[RowKind, dict[str, Any]]] = {
    "cancel-campaigns": (CAMPAIGNS, {"reason": "=too late, 'really'", "key": "-1"}),
    "cancel-deployments": (DEPLOYMENTS, {"scheduled_for": DUE, "user_id": "+1\u202e"}),
    "cancel-transactions": (TRANSACTIONS, {"reason": '@all\n"x"', "milestones": "a|b;c"}),
}


@pytest.mark.parametrize("name", ["", "again.txt", "again.csv", "again.jsonl"])
@pytest.mark.parametrize("more", [False, True], ids=["ids", "fields"])
@pytest.mark.parametrize("command", OTHERS)
def test_records_of_every_command_come_back_as_they_were(scene: Scene, command: str, name: str, *, more: bool) -> None:
    """Odd ids, moments and texts of every kind; what does not fit into a format is not written."""
    kind, fields = OTHERS[command]
    given_ = [{kind.target: one, **(fields if more else {})} for ids in ODD for one in ids]
    given_ = [one for place, one in enumerate(given_) if one not in given_[:place]]
    journal, output = scene.directory / "run.sqlite3", scene.directory / (name or "none")
    file = scene.file("in.jsonl", "".join(json.dumps(one) + "\n" for one in given_))
    assert scene.give(command, file, "--yes", "--journal", journal).exit_code == 1
    result = scene.give("status", journal, "--failed", *(("--output", output) if name else ()))
    if result.exit_code == 2 and name in {"again.txt", "again.csv"}:
        assert f"do not fit into {output}: give a file that ends in .jsonl" in result.stderr
        assert not output.exists()
        return
    assert result.exit_code == 0, result.output
    written = (output.read_text() if name else result.stdout).encode()
    assert [row.fields() for row in RowFile(kind, lambda: io.BytesIO(written), name)] == given_


@pytest.mark.parametrize("name", ["again.csv", "again.jsonl"])
def test_records_of_a_program_come_back_as_files(scene: Scene, name: str) -> None:
    """A moment with its offset from UTC, and an id as it was."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / name
    due = datetime(2126, 3, 1, 6, 30, tzinfo=ZoneInfo("America/Chicago"))

    async def main() -> None:
        async with SessionManager.from_env() as manager:
            await manager.omeda.deployments.cancel_many(
                [DeploymentCancel("=FOO1", scheduled_for=due, key="k1"), DeploymentCancel("FOO2", scheduled_for=due)],
                journal=journal,
            )

    asyncio.run(main())
    assert scene.give("status", journal, "--failed", "--output", output).exit_code == 0
    found = [row.fields() for row in RowFile.at(DEPLOYMENTS, output)]
    assert found == [
        {"track_id": "=FOO1", "scheduled_for": DUE, "key": "k1"},
        {"track_id": "FOO2", "scheduled_for": DUE},
    ]


def test_cells_that_a_spreadsheet_would_run_are_quoted(scene: Scene) -> None:
    """The file shows them as text, and read again they are what they were."""
    journal, output = scene.directory / "run.sqlite3", scene.directory / "again.csv"
    lines = [
        {"email_address": "a@x.com", "brand_ids": ["ZZZ"], "source": "=1+1", "key": "-7"},
        {"email_address": "+b@x.com", "brand_ids": ["-Z", "Y"], "source": "@sum(a1)", "key": "+49"},
    ]
    file = scene.file("in.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    scene.give("opt-out", file, "--yes", "--journal", journal)
    assert scene.give("status", journal, "--failed", "--output", output).exit_code == 0
    with output.open(newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert "'=1+1" in cells
    assert not [cell for cell in cells if cell[0] in "=+-@"]
    assert [row.fields() for row in RowFile.at(OPT_OUTS, output)] == [
        {**line, "brand_ids": tuple(line["brand_ids"])} for line in lines
    ]


def test_the_demos_files_hold_no_formula(tmp_path: Path) -> None:
    """They go the same way."""
    for path in write_files(tmp_path):
        assert not [line for line in path.read_text().splitlines() if line[0] in "=+-@"]


@given(st.text(alphabet=st.one_of(st.sampled_from("'=+-@\t\r\n"), st.characters()), max_size=6))
@settings(max_examples=cases(300), deadline=None)
def test_reading_undoes_the_quoting_of_any_cell(cell: str) -> None:
    """Also where it begins with apostrophes itself."""
    assert unquoted(quoted(cell)) == cell
    assert quoted(cell)[:1] not in set("=+-@\t\r\n")


def test_a_list_of_addresses_is_written_so_that_it_can_be_read(scene: Scene) -> None:
    """One address a line needs a header, and gets one."""
    journal = scene.directory / "run.sqlite3"
    text = '{"email_address": "nobody"}\n{"email_address": "no-one"}\n'
    scene.give("opt-out", scene.file("in.jsonl", text), "--yes", "--journal", journal)
    result = scene.give("status", journal, "--failed")
    assert result.stdout == "email_address\nnobody\nno-one\n"


@pytest.mark.parametrize("form", ["table", "json"])
def test_nothing_that_controls_a_terminal_is_printed_raw(scene: Scene, form: str) -> None:
    """Whatever a file holds: results show it by its escape, and lose nothing of it."""
    odd, output = "a\u202eb\u2066c\x9bd\u200fe", scene.directory / "out.jsonl"
    file = scene.file("in.jsonl", json.dumps({"campaign_id": odd, "key": odd}) + "\n")
    journal = scene.directory / "run.sqlite3"
    command = ("cancel-campaigns", file, "--format", form)
    results = [scene.give(*command, "--plan")]
    results.append(scene.give(*command, "--yes", "--output", output, "--journal", journal))
    results.append(scene.give("status", journal, "--format", form))
    results.append(scene.give("status", scene.directory / odd))
    results.append(scene.give("status", journal, "--failed", "--output", scene.directory / f"{odd}.jsonl"))
    results.append(scene.give("cancel-campaigns", scene.directory / odd, "--plan"))
    texts = [result.stdout + result.stderr for result in results] + [output.read_text()]
    assert all(text.replace("\n", "").isprintable() for text in texts)
    assert [line["key"] for line in scene.lines(output)] == [odd]


class Full(io.StringIO):
    """A file on a full disk."""

    def flush(self) -> None:
        """Fail."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("output", [None, "again.txt"])
def test_a_full_disk_under_the_draft_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch, output: str | None) -> None:
    """Nothing is written by halves."""
    journal = scene.directory / "run.sqlite3"
    scene.give("cancel-campaigns", scene.file("in.txt", "1\n2\n"), "--yes", "--journal", journal)
    monkeypatch.setattr("omeda_async.cli._again.tempfile.TemporaryFile", lambda *_, **__: Full())
    path = scene.directory / (output or "none")
    result = scene.give("status", journal, "--failed", *(("--output", path) if output else ()))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no draft can be written to" in result.stderr
    assert "No space left on device" in result.stderr
    assert not path.exists()
