"""What mypy and pyright, both strict, say to a program that uses the library: with mistakes, and without.

.ci/run types
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOREIGN = {
    "celery": r'.*"celery": module is installed, but missing library stubs|Untyped decorator makes function',
    "dataframes": r'Library stubs not installed for "pandas"',
    "django": r'.*"django[.\w]*": module is installed, but missing library stubs',
    "litestar": r'Argument "app" to "ASGITransport" has incompatible type "Litestar"',
    "task_queues": r'No overload variant of "kiq" of "AsyncTaskiqDecoratedTask"',
}
"""In how-tos, what mypy says of other libraries, whose types are wanting."""
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
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
from omeda_async.rows import Row, RowFile
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


async def from_a_file(manager: SessionManager, rows: RowFile) -> None:
    async for outcome in manager.omeda.opt_outs.submit_many(rows):
        assert_type(outcome.record, Row)
        print(outcome.record.number, outcome.record["email_address"])
    async for cancelled in manager.ocamba.campaigns.cancel_many(rows):
        assert_type(cancelled.record, Row)
    assert_type(manager.omeda.deployments.cancel_many([{"id": "FOO"}]).report.failures[0].record, dict[str, str])
    await manager.journey_manager.transactions.cancel_many(rows)


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


Said = dict[str, dict[int, str]]
"""What a checker says, by file and line."""


def mypy(folder: Path) -> Said:
    """Return what mypy says of the files in a folder."""
    own = ("--config-file=", "--cache-dir=.mypy_cache/strict", "--hide-error-context", "--no-pretty")
    said = _output(sys.executable, "-m", "mypy", "--strict", *own, *map(str, folder.glob("*.py")))
    assert re.search(r"^(Found|Success)", said, re.MULTILINE), said
    found: Said = {}
    for name, line, text in re.findall(r"(\w+)\.py:(\d+): error: (.*)", said):
        found.setdefault(name, {})[int(line)] = text
    return found


def pyright(folder: Path) -> Said:
    """Return what pyright says of the files in a folder."""
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    said = _output(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder))
    result = json.loads(said)
    assert result["summary"]["filesAnalyzed"] == len([*folder.glob("*.py")])
    found: Said = {}
    for one in result["generalDiagnostics"]:
        found.setdefault(Path(one["file"]).stem, {})[one["range"]["start"]["line"] + 1] = one["message"]
    return found


@pytest.fixture(scope="module", params=[mypy, pyright], ids=lambda check: check.__name__)
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Have all programs checked at once."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "good.py").write_text(BEGINNING + GOOD)
    (folder / "mistaken.py").write_text(BEGINNING + MISTAKEN + "".join(f"    {line}\n" for line in MISTAKES.values()))
    for example in EXAMPLES:
        shutil.copy(example, folder)
    found: Said = request.param(folder)
    return found


def test_a_program_without_mistakes_passes(said: Said) -> None:
    """Whoever uses the library as its documents say has nothing to annotate or to ignore."""
    lines = (BEGINNING + GOOD).splitlines()
    assert {lines[number - 1].strip(): text for number, text in said.get("good", {}).items()} == {}


def test_the_examples_pass(said: Said) -> None:
    """Those of the documents, as they are."""
    assert EXAMPLES
    assert {one.stem: said.get(one.stem, {}) for one in EXAMPLES} == {one.stem: {} for one in EXAMPLES}


def test_the_code_in_the_documents_passes(tmp_path: Path) -> None:
    """Every block that is a program, as it stands there, with mypy."""
    blocks: dict[str, str] = {}
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for match in BLOCK.finditer(text):
            place = "_".join(path.relative_to(ROOT).with_suffix("").parts).replace("-", "_")
            name = f"{place}_{text[: match.start()].count(chr(10)) + 1}"
            blocks[name] = f"{path.relative_to(ROOT)}"
            (tmp_path / f"{name}.py").write_text(match[1], "utf-8")
    assert {"README.md", "docs/files.md", "docs/calls.md", "docs/bulk.md", "docs/howto/fastapi.md"} <= {
        *blocks.values()
    }
    told = mypy(tmp_path)
    ours = {
        name: {line: text for line, text in lines.items() if not is_foreign(name, text)} for name, lines in told.items()
    }
    assert {name: lines for name, lines in ours.items() if lines} == {}


def is_foreign(block: str, text: str) -> bool:
    """Whether it is another library that mypy complains of."""
    return re.match(FOREIGN.get(block.rpartition("_")[0].removeprefix("docs_howto_"), "(?!)"), text) is not None


def test_six_of_seven_mistakes_are_seen(said: Said) -> None:
    """Each in its own line; the seventh is refused as soon as it is made."""
    first = (BEGINNING + MISTAKEN).count("\n") + 1
    found = said["mistaken"]
    seen = {name for number, name in enumerate(MISTAKES, start=first) if number in found}
    assert seen == MISTAKES.keys() - NO_CHECKER_SEES
    assert [number for number in found if first > number > BEGINNING.count("\n")] == []
