"""The measured runs: all inputs hold the same records, and a run that loses one fails."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks import _harness, bulk, calls, cancels, command, journals
from benchmarks._inputs import INPUTS, bodies, mixed_dicts
from benchmarks.bulk import Bench
from omeda_async.bulk.journal.place import backend_at
from omeda_async.journal import read_status

MIXED = ("mixed", "keyed", "jsonl", "dicts", "models")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with _harness.server() as url:
        yield Bench(url, tmp_path)


def _bare(kind: str, folder: Path, count: int) -> list[tuple[int, dict[str, Any]]]:
    source = INPUTS[kind]
    made = source.make(folder / kind, count)
    return [(number, orjson.loads(body)) for number, body in bodies(source.bare(made), 500)]


def test_all_mixed_inputs_hold_the_same_records(tmp_path: Path) -> None:
    """Whatever they come in, a bare script makes the same requests of them."""
    first, *others = (_bare(kind, tmp_path, 1234) for kind in MIXED)
    assert [number for number, _ in first] == [500, 500, 234]
    assert all(other == first for other in others)


def test_mixed_records_are_as_they_are_said_to_be() -> None:
    """Of the three levels, with 1 to 4 ids, and three in ten with a source of their own."""
    records = list(mixed_dicts(10_000))
    sources = Counter(record.get("source") for record in records)
    assert sum(count == 1 for count in sources.values()) == 3000
    assert {len(record.get("brand_ids", [])) for record in records} == {0, 1, 2, 3, 4}
    for field in ("brand_ids", "deployment_type_ids"):
        assert 0.3 < sum(field in record for record in records) / len(records) < 0.37


@pytest.mark.parametrize("kind", INPUTS)
def test_both_send_the_same_bodies(bench: Bench, kind: str) -> None:
    """The comparison is about the work: what the server has got is the same, whoever sent it."""
    for who in ("bare", "ours"):
        measured = bulk.run(who, kind, bench.file(kind, 600), 600, bench.url)
        bench.verify(kind, 600, measured["done"])


@pytest.mark.parametrize(("sent", "told"), [(1199, 1200), (1200, 1199), (1201, 1200)])
def test_a_run_that_loses_a_record_fails(bench: Bench, sent: int, told: int) -> None:
    """Whether it has not sent it, or has not said that it is done; one too many is as wrong."""
    bulk.run("bare", "csv", bench.file("csv", sent), sent, bench.url)
    with pytest.raises(_harness.Failed, match="records done" if told < 1200 else "opt-outs arrived"):
        bench.verify("csv", 1200, told)


def test_a_run_that_sends_something_else_fails(bench: Bench) -> None:
    """As many records in as many requests, and another body."""
    bulk.run("bare", "csv", bench.file("csv", 600), 600, bench.url)
    bench.verify("csv", 600, 600)
    bulk.run("bare", "mixed", bench.file("mixed", 600), 600, bench.url)
    with pytest.raises(_harness.Failed, match="bodies"):
        bench.verify("csv", 600, 600)


def test_a_journalled_run_without_its_journal_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be taken for a fast journal."""

    def forgetful(run: Callable[..., Any], *, journal: str | None, **options: Any) -> Any:
        assert journal is not None
        return run(journal=None, **options)

    monkeypatch.setattr(_harness, "child", forgetful)
    with pytest.raises(_harness.Failed, match="was to be journalled"):
        bench.run("ours", 600, journal=True)


def test_cancels_send_the_same_bodies_and_a_lost_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, the same with the journal, and the bare loop; each id once."""
    monkeypatch.setattr(_harness, "child", lambda run, **options: run(**options))
    cancels.compare(40, 1)
    monkeypatch.setattr(_harness, "child", lambda run, *, records, **options: run(records=records - 1, **options))
    with pytest.raises(_harness.Failed, match="ids cancelled"):
        cancels.compare(40, 1)


def test_a_single_call_that_is_not_carried_out_fails() -> None:
    """Also where it raises nothing."""
    answers = iter([True, False, True])

    async def send() -> bool:
        return next(answers)

    with pytest.raises(_harness.Failed, match="calls done"):
        asyncio.run(calls._work(send, 2, 3))


@pytest.mark.parametrize("shape", ["free", "contended", "few waiting"])
def test_single_calls_send_what_the_bare_loop_sends(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """Requests and bodies are verified after each turn."""
    monkeypatch.setitem(calls.SHAPES, shape, calls.SHAPES[shape]._replace(tasks=12, turn=24))
    with _harness.server() as url:
        measured = calls.measure("ours", url, shape, 1)
    assert measured["times"] == pytest.approx(measured["cpu"] / measured["bare"])


def test_a_command_that_says_something_else_fails() -> None:
    """Its start would be that of another program."""
    assert command.measure("benchmarks._typer_alone", ("--help",), "Greet somebody")["modules"] > 50
    with pytest.raises(_harness.Failed, match="says"):
        command.measure("benchmarks._typer_alone", ("--help",), "opt-out")
    with pytest.raises(_harness.Failed, match="exit code"):
        command.measure("benchmarks._typer_alone", (), "Greet somebody")


def test_a_measured_journal_holds_what_was_written_and_knows_it_again(tmp_path: Path) -> None:
    """The first time all is new, the second time all is known, and every record has its outcome."""
    path = tmp_path / "run.sqlite3"
    for known in (0, 600):
        assert journals._written(backend_at(path, journals.IDENTITY), 600, 100)[1] == known
    assert read_status(path).counts == {"done": 600}
