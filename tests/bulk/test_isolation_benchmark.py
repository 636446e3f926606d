"""The benchmark of isolation: it verifies what it finds, and writes the figures that the design promises."""

import json
from pathlib import Path

import pytest

from benchmarks import isolation


@pytest.mark.parametrize(
    ("records", "culprits", "halving", "inferring"), [(100, 1, 15, 11), (1000, 5, 79, 61), (1000, 20, 233, 183)]
)
def test_the_figures_are_those_of_the_design(records: int, culprits: int, halving: int, inferring: int) -> None:
    """Requests one by one, halving, halving with inference, and with names: within a twentieth."""
    row = isolation.measure(records, culprits, 20)
    assert row.one_by_one == records + 1
    assert row.halving == pytest.approx(halving, rel=0.05)
    assert row.inferring == pytest.approx(inferring, rel=0.05)
    assert row.named == 2


def test_it_prints_json_and_writes_its_table_between_the_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands around the markers stays; a README without them is refused."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{isolation.BEGIN}\nold\n{isolation.END}\nafter\n")
    monkeypatch.setattr(isolation, "README", readme)
    monkeypatch.setattr(isolation, "CASES", ((100, 1),))
    monkeypatch.setattr(isolation, "ALL_BAD", ((100, 100),))
    isolation.main(["--json", "--write", "--runs", "5"])
    assert [row["records"] for row in json.loads(capsys.readouterr().out)] == [100, 100]
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| 100 | all 100 | 101 | 199 |" in text
    assert "old" not in text
    readme.write_text("no markers")
    with pytest.raises(SystemExit):
        isolation.main(["--write", "--runs", "1"])
