"""What is said of a cell that cannot be sent: its row, its column, and what to do about it."""

import csv
import io
import json
import re

import pytest

from tests.cli.cli_scene import Scene
from tests.providers.test_addresses import FORMS
from tests.providers.test_ids import WRONG

WAY_OUT = re.compile(
    r"\b(?:give|write|remove|put|must be|save|say|see|make|leave|it needs|at most|sends it|separate)\b"
    r"|is a quotation mark not closed\?"
)
NO_CELLS = {"", " FOO1", "FOO1\n", " \u00a0"}
"""What is left out around a cell, or is an empty one."""
IDS = [*(one for one in WRONG if one not in NO_CELLS and one.isprintable() and len(one) < 2000), "1000249,", "\u2026"]
TYPES = ["null", "true", "1e6", "1000432.0", '"1","2"', "<br>", "1 2", "1,000", "\u2026", "-4", "x", "9" * 19, "9" * 30]
CELLS = [
    *(("cancel-campaigns", "id", cell) for cell in IDS),
    *(("cancel-deployments", "id", cell) for cell in IDS[:20]),
    *(("cancel-transactions", "id", cell) for cell in IDS[:20]),
    *(("opt-out", "email", cell) for cell in FORMS if cell and cell.isprintable()),
    *(
        ("opt-out", "brand_ids", cell)
        for cell in ["XXG XXH", "XXG&nbsp;", '"1","2"', "null", "1000432.0", "1,000", "|"]
    ),
    *(("opt-out", "deployment_type_ids", cell) for cell in TYPES),
    *(("opt-out", "level", cell) for cell in ["all", "brand", "deployment_type"]),
    *(("opt-out", "promo_code", cell) for cell in ["SPRING"]),
    *(
        ("cancel-deployments", "scheduled_for", cell)
        for cell in ["null", "tomorrow", "2026-01-01", "2026-13-01T00:00Z"]
    ),
]
LINES = [
    *(
        ("cancel-campaigns", "campaign_id", line)
        for line in ["null", "true", "1000432.0", '{"id": null}', '{"id": [1]}']
    ),
    *(("cancel-campaigns", "reason", f'{{"id": "1", "reason": {value}}}') for value in ["5", "[]", "true"]),
    ("cancel-campaigns", "campaign_id", '{"id": 1, "id": 2}'),
    ("cancel-campaigns", "campaign_id", "{}"),
    *(("opt-out", "email_address", f'{{"email": {value}}}') for value in ["null", "true", "1000432.0", '""']),
    *(
        ("opt-out", "brand_ids", f'{{"email": "a@omeda.com", "brand_ids": {value}}}')
        for value in ["[]", "5", '"XXG"', "[null]", "[5]", '["XXG XXH"]', "{}"]
    ),
    *(
        ("opt-out", "deployment_type_ids", f'{{"email": "a@omeda.com", "deployment_type_ids": {value}}}')
        for value in ["[]", "5", '["5"]', "[null]", "[true]", "[1.0]"]
    ),
]


def said(scene: Scene, command: str, name: str, text: str) -> list[str]:
    """Return what a plan says of the rows that cannot be sent."""
    result = scene.give(command, scene.file(name, text), "--plan", "--format", "json")
    return [f"row {one['row']}: {one['message']}" for one in json.loads(result.stdout)["refused"]]


@pytest.mark.parametrize(("command", "column"), sorted({(command, column) for command, column, _ in CELLS}))
def test_every_cell_that_cannot_be_sent_is_told_with_row_column_and_way_out(
    command: str, column: str, scene: Scene
) -> None:
    """Whatever is wrong with it."""
    cells = [cell for *of, cell in CELLS if of == [command, column]]
    target = "email" if command == "opt-out" else "id"
    others = [] if column == target else [target]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [
            [*others, column],
            *([*(["a@omeda.com" if target == "email" else "FOO1"] * len(others)), cell] for cell in cells),
        ]
    )
    told = said(scene, command, "in.csv", out.getvalue())
    assert len(told) == len(cells)
    for number, text in enumerate(told, 2):
        # A level is missing something in the column of its ids.
        assert re.match(rf"row {number}: column (?:{column}|\w+_ids): ", text), text
        assert WAY_OUT.search(text), text


@pytest.mark.parametrize(("command", "field", "line"), LINES)
def test_every_value_of_json_is_told_with_row_field_and_way_out(
    command: str, field: str, line: str, scene: Scene
) -> None:
    """As in a file of cells."""
    (text,) = said(scene, command, "in.jsonl", f"{line}\n")
    assert text.startswith(f"row 1: field {field}: ")
    assert WAY_OUT.search(text), text


def test_a_row_of_another_length_is_told_with_the_column_and_the_way_out(scene: Scene) -> None:
    """One that has no cell, or no name."""
    few, many = said(scene, "cancel-campaigns", "in.csv", "id,reason\n1\n2,x,y\n")
    assert few == "row 2: column 2 has no cell: give as many cells as the header has, 2"
    assert many.startswith("row 3: cell 3 has no column in the header, which has 2: put a cell that holds")
