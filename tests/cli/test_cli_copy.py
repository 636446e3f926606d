"""What was planned and confirmed is what is sent, whatever happens to FILE meanwhile."""

import errno
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.cli_scene import Scene


@pytest.fixture(params=["appended", "overwritten", "emptied", "removed"])
def change(request: pytest.FixtureRequest) -> Any:
    """Do something to a file."""

    def appended(path: Path) -> None:
        with path.open("a") as more:
            more.write("a3@x.com\na4@x.com\n")

    ways = {
        "appended": appended,
        "overwritten": lambda path: path.write_text("email\nother@x.com\n" * 20_000),
        "emptied": lambda path: path.write_text(""),
        "removed": Path.unlink,
    }
    return ways[request.param]


def test_what_changes_while_the_question_stands_is_not_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    """Two records were confirmed, and these two are sent."""
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: True)
    file = scene.file("in.csv", "email\na1@x.com\na2@x.com\n")
    asked: list[str] = []

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        change(file)
        return True

    monkeypatch.setattr(typer, "confirm", confirm)
    result = scene.give("opt-out", file)
    assert result.exit_code == 0, result.output
    assert "2 records (2 of the whole client)" in asked[0]
    assert {one.email_address for one in scene.sandbox.omeda.opt_outs} == {"a1@x.com", "a2@x.com"}


def test_what_changes_while_the_run_is_under_way_is_not_sent(scene: Scene, change: Any) -> None:
    """Every row of the file as it was is accounted for, and nothing else reaches the provider."""
    ids = [str(number) for number in range(100, 160)]
    scene.sandbox.ocamba.seed_campaigns(ids)
    file = scene.file("in.txt", "\n".join(ids) + "\n")
    scene.timers.append((1.5, lambda: change(file)))
    result = scene.give("cancel-campaigns", file, "--yes", "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"] == {"done": 60}


class Written(io.FileIO):
    """A file that somebody writes to while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and let the file grow."""
        found = super().read(size)
        if not found:
            with Path(str(self.name)).open("ab") as more:
                more.write(b"200\n")
        return found


@pytest.mark.parametrize("way", ["path", "standard input"])
def test_a_file_that_changes_while_it_is_copied_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """What was read may be of two states; nothing is sent."""
    file = scene.file("in.txt", "100\n")
    os.utime(file, (1, 1))
    if way == "path":
        monkeypatch.setattr(Path, "open", lambda path, mode="r", **_: Written(str(path), mode.strip("tb")))
    with io.TextIOWrapper(Written(file)) as stdin:
        if way == "standard input":
            monkeypatch.setattr("omeda_async.cli._input.sys", type("sys", (), {"stdin": stdin}))
        result = scene.give("cancel-campaigns", file if way == "path" else "-", "--yes")
    assert result.exit_code == 2
    assert f"{file if way == 'path' else 'standard input'} was changed while it was read" in result.stderr
    assert scene.sandbox.requests == []


class Restored(io.FileIO):
    """A file that is overwritten, and its times set back, as soon as it has been read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and overwrite the file at its end."""
        found = super().read(size)
        if not found:
            Path(str(self.name)).write_bytes(b"999\n")
        return found


def test_a_file_with_the_same_times_and_another_content_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within the same tick of the clock leave the same times."""
    file = scene.file("in.txt", "100\n")
    times = file.stat()
    monkeypatch.setattr(os, "fstat", lambda _: times)
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", **_: (Restored if "r" in mode else io.FileIO)(path, mode[0])
    )
    result = scene.give("cancel-campaigns", file, "--yes")
    assert result.exit_code == 2
    assert "was changed while it was read" in result.stderr
    assert scene.sandbox.requests == []


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, _: Any, /) -> int:
        """Fail."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("way", ["path", "standard input"])
def test_a_full_disk_is_said_before_anything_is_sent(scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """With the user's name of the file, where the copy was to be, and the way out."""
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    file = scene.file("in.txt", "100\n")
    result = scene.give("cancel-campaigns", file if way == "path" else "-", "--yes", stdin=b"100\n")
    assert result.exit_code == 2
    assert f"{file if way == 'path' else way} cannot be copied to {tempfile.gettempdir()}" in result.stderr
    assert "No space left on device; set TMPDIR" in result.stderr
    assert scene.sandbox.requests == []


def test_the_copy_has_no_name_and_is_nobody_elses(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be left behind, whatever ends the process, nor read by others."""
    seen: list[Iterator[Any] | os.stat_result] = []
    made = tempfile.TemporaryFile

    def noted(*given: Any, **named: Any) -> Any:
        copy = made(*given, **named)
        seen.append(os.fstat(copy.fileno()))
        return copy

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    scene.give("cancel-campaigns", scene.file("in.txt", "100\n"), "--plan")
    (found,) = seen
    assert isinstance(found, os.stat_result)
    assert (found.st_nlink, stat.S_IMODE(found.st_mode)) == (0, 0o600)


@pytest.mark.parametrize(("text", "is_cut"), [("100\n101\n", False), ("100\n101", True)])
def test_a_last_row_without_a_line_end_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, text: str, is_cut: bool
) -> None:
    """In the plan, as a table and as JSON, before the question, and where nobody is asked."""
    file = scene.file("in.txt", text)
    assert ("The last row has no line end" in scene.give("cancel-campaigns", file, "--plan").stdout) is is_cut
    plan = json.loads(scene.give("cancel-campaigns", file, "--plan", "--format", "json").stdout)
    assert plan["last_row_without_line_end"] is is_cut
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: True)
    assert ("The last row has no line end" in scene.give("cancel-campaigns", file, stdin=b"n\n").stderr) is is_cut
    for command in (["--yes"], ["--yes", "--format", "json"]):
        assert scene.give("cancel-campaigns", file, *command).stderr.count("The last row has no line end") == is_cut
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: False)
    assert ("The last row has no line end" in scene.give("cancel-campaigns", file).stderr) is is_cut


def test_the_question_and_the_plan_say_how_many_cannot_be_sent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many an earlier run has settled."""
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: True)
    journal = scene.directory / "run.sqlite3"
    scene.give("opt-out", scene.file("in.csv", "email\na1@x.com\n"), "--yes", "--journal", journal)
    file = scene.file("in.csv", "email\na1@x.com\nnobody\nnobody-else\na2@x.com\n")
    asked = scene.give("opt-out", file, "--journal", journal, stdin=b"n\n").stderr
    assert (
        "4 records (4 of the whole client), 2 of which cannot be sent, "
        "1 of which an earlier run has settled, at Omeda" in asked
    )
    plan = json.loads(scene.give("opt-out", file, "--plan", "--format", "json").stdout)
    assert (plan["records"], plan["refused_total"]) == (4, 2)
    assert "cannot be sent" in scene.give("opt-out", file, "--plan").stdout


def test_a_closed_standard_input_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be started without one."""
    monkeypatch.setattr("omeda_async.cli._input.sys", type("sys", (), {"stdin": None}))
    result = scene.give("cancel-campaigns", "-", "--yes")
    assert result.exit_code == 2
    assert "standard input cannot be read: it is closed" in result.stderr
