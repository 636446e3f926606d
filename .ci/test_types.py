"""What mypy and pyright, both strict, say to a program that uses the library: with mistakes, and without.

.ci/run types
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BEGINNING = """\
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, assert_type

from omeda_async import (
    Batcher,
    BrandOptOut,
    BulkReport,
    BulkRun,
    CampaignCancel,
    CampaignReceipt,
    ClientOptOut,
    DeploymentCancel,
    OptOut,
    OptOutReceipt,
    OptOutRecord,
    Outcome,
    OutcomeStatus,
    Plan,
    SessionManager,
    TransactionReceipt,
)
"""
GOOD = """

def count(report: BulkReport) -> int:
    return report.counts.get(OutcomeStatus.DONE, 0)


async def shown(run: BulkRun[ClientOptOut, OptOutReceipt]) -> Plan[ClientOptOut, OptOutReceipt]:
    return await run.plan()


async def use(manager: SessionManager, ids: list[str], rows: AsyncIterator[Mapping[str, Any]]) -> None:
    readers = [ClientOptOut("reader@example.com")]
    run = manager.omeda.opt_outs.submit_many(readers, journal="run.sqlite3", journal_pii="hash")
    assert_type(run, BulkRun[ClientOptOut, OptOutReceipt])
    await shown(run)
    async for outcome in run:
        assert_type(outcome.record, ClientOptOut)
        if outcome.receipt is not None:
            assert_type(outcome.receipt.submission_id, str | None)
        print(outcome.to_dict()["status"], outcome.status == "done", outcome.status is OutcomeStatus.DONE)
    several = [ClientOptOut("a@example.com"), BrandOptOut("b@example.com", brand_ids=["XXG"])]
    report = await manager.omeda.opt_outs.submit_many(several)
    print(report.failures[0].record, count(report))
    chosen: list[OptOut] = [ClientOptOut("a@example.com"), BrandOptOut("b@example.com", brand_ids=["XXG"])]
    await manager.omeda.opt_outs.submit_many(chosen)
    await manager.omeda.opt_outs.submit_many([ClientOptOut("a@example.com"), {"email_address": "b@example.com"}])
    await manager.omeda.opt_outs.submit_many([{"email_address": "b@example.com", "brand_ids": ["XXG"]}])
    await manager.omeda.opt_outs.submit_many(ClientOptOut(f"reader{number}@example.com") for number in range(4))
    await manager.omeda.opt_outs.submit_many(rows)
    campaigns = manager.ocamba.campaigns.cancel_many(ids, reason="stop", concurrency=4)
    assert_type(campaigns, BulkRun[str, CampaignReceipt])
    await campaigns
    await manager.ocamba.campaigns.cancel_many([1000248, "1000249", CampaignCancel("1000250"), {"id": "1000251"}])
    await manager.ocamba.campaigns.cancel_many(range(4))
    transactions = await manager.journey_manager.transactions.cancel_many(ids, milestones="stopped")
    assert_type(transactions, BulkReport[str, TransactionReceipt])
    await manager.omeda.deployments.cancel_many(DeploymentCancel(one, key=7) for one in ids)
    await manager.ocamba.campaigns.cancel(1000248)
    async with manager.omeda.opt_outs.batcher() as batcher:
        kept: Batcher[OptOutRecord, OptOutReceipt] = batcher
        bare: Outcome = await kept.add(ClientOptOut("reader@example.com"))
        print(bare, await batcher.add({"email_address": "reader@example.com"}))


def ids_of(table: Iterator[Mapping[str, str]], manager: SessionManager) -> BulkRun:
    return manager.ocamba.campaigns.cancel_many(row["id"] for row in table)
"""
MISTAKEN = """

async def use(manager: SessionManager, batcher: Batcher[OptOutRecord, OptOutReceipt]) -> None:
    outcome = await batcher.add(ClientOptOut("reader@example.com"))
    assert outcome.receipt is not None
"""
MISTAKES = {
    "a field that no receipt has": "print(outcome.receipt.typo)",
    "numbers for opt-outs": "await manager.omeda.opt_outs.submit_many([42])",
    "addresses for opt-outs": 'await manager.omeda.opt_outs.submit_many(["a@b.c"])',
    "an option's mistyped word": 'await manager.omeda.opt_outs.submit_many([], journal_pii="hsh")',
    "one id for many": 'await manager.ocamba.campaigns.cancel_many("123")',
    "a number for an opt-out": "await batcher.add(42)",
    "an option's mistyped name": 'await manager.ocamba.campaigns.cancel_many(["123"], concurency=4)',
}
NO_CHECKER_SEES = {"one id for many"}
"""A string is an iterable of strings. The run refuses it as soon as it is made."""


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def mypy(path: Path) -> dict[int, str]:
    """Return what mypy says, by line."""
    own = ("--config-file=", "--cache-dir=.mypy_cache/strict", "--hide-error-context", "--no-pretty")
    said = _output(sys.executable, "-m", "mypy", "--strict", *own, str(path))
    assert re.search(r"^(Found|Success)", said, re.MULTILINE), said
    return {int(line): text for line, text in re.findall(rf"{re.escape(path.name)}:(\d+): error: (.*)", said)}


def pyright(path: Path) -> dict[int, str]:
    """Return what pyright says, by line."""
    settings = {"typeCheckingMode": "strict", "include": [str(path)], "extraPaths": [str(ROOT)]}
    (path.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    project = str(path.parent)
    said = _output(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", project)
    found = json.loads(said)
    assert found["summary"]["filesAnalyzed"] == 1
    return {one["range"]["start"]["line"] + 1: one["message"] for one in found["generalDiagnostics"]}


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright], ids=lambda check: check.__name__)


@CHECKERS
def test_a_program_without_mistakes_passes(check: Callable[[Path], dict[int, str]], tmp_path: Path) -> None:
    """Whoever uses the library as its documents say has nothing to annotate or to ignore."""
    path = tmp_path / "good.py"
    path.write_text(BEGINNING + GOOD)
    lines = path.read_text().splitlines()
    assert {lines[number - 1].strip(): text for number, text in check(path).items()} == {}


@CHECKERS
def test_six_of_seven_mistakes_are_seen(check: Callable[[Path], dict[int, str]], tmp_path: Path) -> None:
    """Each in its own line; the seventh is refused as soon as it is made."""
    path = tmp_path / "mistaken.py"
    path.write_text(BEGINNING + MISTAKEN + "".join(f"    {line}\n" for line in MISTAKES.values()))
    first = (BEGINNING + MISTAKEN).count("\n") + 1
    found = check(path)
    seen = {name for number, name in enumerate(MISTAKES, start=first) if number in found}
    assert seen == MISTAKES.keys() - NO_CHECKER_SEES
    assert [number for number in found if first > number > BEGINNING.count("\n")] == []
