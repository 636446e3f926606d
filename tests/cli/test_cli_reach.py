"""How far opt-outs of a file reach: said before anything is sent."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from omeda_async.rows import CAMPAIGNS, OPT_OUTS, RowFile
from tests.cli.cli_scene import Scene

MIXED = """email,brand_ids,deployment_type_ids,level
a@x.com,,23,
b@x.com,,25,
c@x.com,XXG,,
d@x.com,,,
e@x.com,,,client
f@x.com,XXG,23,
g@x.com,,twenty,
"""


def levels_of(text: str) -> dict[str | None, int]:
    return dict(RowFile(OPT_OUTS, lambda: io.BytesIO(text.encode()), "in.jsonl").levels())


@pytest.mark.parametrize("level", [None, "client", "Brand", "deployment_type", "DeploymentTypeOptOut", "all", 7])
def test_the_level_counted_is_the_level_sent(scene: Scene, level: object) -> None:
    """Whatever a row names or leaves blank, it is counted as what the provider is sent for it."""
    choices: dict[str, tuple[Any, ...]] = {
        "brand_ids": ("left out", None, ["XXG"]),
        "deployment_type_ids": ("left out", None, [23]),
        "promo_code": ("left out", "P"),
    }
    lines = {}
    for number, values in enumerate(itertools.product(*choices.values())):
        record = {"email_address": f"a{number}@x.com", "level": level, **dict(zip(choices, values, strict=True))}
        given = {field: value for field, value in record.items() if value != "left out"}
        lines[record["email_address"]] = json.dumps(given) + "\n"
    scene.give("opt-out", scene.file("in.jsonl", "".join(lines.values())), "--yes")
    sent = {one.email_address: one.level for one in scene.sandbox.omeda.opt_outs}
    assert bool(sent) == (level not in {"all", 7})
    for address, line in lines.items():
        told = levels_of(line)
        assert told == {sent.get(address, *told): 1}, line


def test_levels_are_counted_and_add_up(tmp_path: Path) -> None:
    """Every row is counted once, those whose level cannot be told too; other kinds of rows have no levels."""
    (tmp_path / "in.csv").write_text(MIXED)
    (tmp_path / "ids.txt").write_text("1\n2\n")
    found = RowFile.at(OPT_OUTS, tmp_path / "in.csv")
    assert found.levels() == {"deployment_type": 2, "brand": 1, "client": 2, None: 2}
    assert found.levels().total() == len(found)
    assert RowFile.at(CAMPAIGNS, tmp_path / "ids.txt").levels() == {}


def test_a_plan_shows_how_many_records_are_of_the_whole_client(scene: Scene) -> None:
    """A blank cell too many must not go unseen: the plan has a line for each level."""
    result = scene.give("opt-out", scene.file("in.csv", MIXED), "--plan")
    table = {tuple(line.rsplit(maxsplit=1)) for line in map(str.strip, result.stdout.splitlines()) if " " in line}
    assert table >= {
        ("records", "7"),
        ("of deployment types", "2"),
        ("of brands", "1"),
        ("of the whole client", "2"),
        ("whose level cannot be told", "2"),
        ("cannot be sent", "2"),
    }
    document = json.loads(scene.give("opt-out", scene.directory / "in.csv", "--plan", "--format", "json").stdout)
    assert document["levels"] == {"deployment_type": 2, "brand": 1, "client": 2, "unknown": 2}


def test_the_question_names_the_whole_client(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says yes has read how far the records reach."""
    monkeypatch.setattr("omeda_async.cli._bulk.someone_there", lambda: True)
    result = scene.give("opt-out", scene.file("in.csv", MIXED), stdin=b"n\n")
    assert result.exit_code == 1
    levels = "2 of deployment types, 1 of brands, 2 of the whole client, 2 whose level cannot be told"
    assert f"Submit opt-outs: 7 records ({levels}), 2 of which cannot be sent, at Omeda (127.0.0.1:" in result.stderr
    assert scene.sandbox.requests == []


def test_a_promo_code_beside_no_ids_is_what_is_wrong(scene: Scene) -> None:
    """A file has no column of ids then, so that none can be empty."""
    result = scene.give("opt-out", scene.file("in.csv", "email,promo_code\na@x.com,P\nb@x.com,\n"), "--yes")
    wrong = "column promo_code: is for opt-outs of deployment types: give deployment_type_ids as well, or leave it out"
    assert f"row 2: rejected: {wrong}" in result.stdout
    assert [one.email_address for one in scene.sandbox.omeda.opt_outs] == ["b@x.com"]
