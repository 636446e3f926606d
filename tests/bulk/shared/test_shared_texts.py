"""Free texts that no journal and no job can keep are refused by name, before anything is written."""

from pathlib import Path
from typing import Any

import pytest

from omeda_async import ConfigurationError, OcambaSettings, SessionManager
from omeda_async.sandbox import Sandbox
from omeda_async.worker import BulkJobs
from tests.bulk.journal_help import is_there
from tests.bulk.sandboxed import manager_on

HALF = r"holds U\+D800, half a surrogate pair, at character 3, which cannot be kept: remove it"
TEXTS = [
    ("ocamba", "campaigns", "reason"),
    ("journey_manager", "transactions", "reason"),
    ("journey_manager", "transactions", "milestones"),
    ("omeda", "deployments", "user_id"),
]


@pytest.mark.parametrize(("provider", "client", "option"), TEXTS)
async def test_half_a_surrogate_pair_is_refused_by_name(
    journal_url: str, tmp_path: Path, provider: str, client: str, option: str
) -> None:
    """Of a shared run and of one with a journal, in PostgreSQL or in a file; nothing is begun."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        ours = getattr(getattr(manager, provider), client)
        given: dict[str, Any] = {option: "no\ud800"}
        with pytest.raises(ConfigurationError, match=f"{option} {HALF}"):
            ours.shared_run(journal_url, **given)
        for place in (journal_url, tmp_path / "x"):
            with pytest.raises(ConfigurationError, match=f"{option} {HALF}"):
                ours.cancel_many(["1"], journal=place, **given)
    assert not (tmp_path / "x").exists()
    assert not is_there(journal_url)


@pytest.mark.parametrize("value", [5, b"why", ["why"], object()])
async def test_what_is_no_text_is_refused_by_name(journal_url: str, value: Any) -> None:
    """It is not called a damaged journal."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match="reason must be a text, not"):
            manager.ocamba.campaigns.shared_run(journal_url, reason=value)
        with pytest.raises(ConfigurationError, match="reason must be a text, not"):
            _ = manager.ocamba.campaigns.cancel_many(["1"], journal=journal_url, reason=value)


async def test_a_nul_is_kept_by_a_journal(journal_url: str) -> None:
    """As the provider gets it."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaign("1", status="scheduled")
        run = manager.ocamba.campaigns.shared_run(journal_url, reason="no\0")
        await run.fill(["1"])
        assert (await run.work()).complete


@pytest.mark.parametrize(
    ("run", "options", "words"),
    [
        ("r", {"reason": "no\0"}, "reason holds a NUL at character 3"),
        ("r", {"reason": "no\ud800"}, f"reason {HALF}"),
        ("r\0", {}, "run must be the name"),
        ("r\ud800", {}, "run must be the name"),
    ],
)
async def test_a_job_holds_no_such_text(database: str, run: str, options: dict[str, Any], words: str) -> None:
    """Nor does the name of a run or of a queue."""

    def manager() -> SessionManager:
        return SessionManager(ocamba=OcambaSettings(token="t"))

    async with BulkJobs.at(database, manager) as jobs:
        with pytest.raises(ConfigurationError, match=words):
            await jobs.defer_rows(["1"], "cancel-campaigns", run=run, **options)
        if not options:
            with pytest.raises(ConfigurationError, match=words):
                await jobs.status(run)
    for queue in ("q\0", "q\ud800", "", 5):
        with pytest.raises(ConfigurationError, match="queue must be"):
            async with BulkJobs.at(database, manager, queue=queue):
                pass


@pytest.mark.parametrize("text", ["\ud800", "\0", "\n"])
async def test_a_url_holds_no_such_text(text: str) -> None:
    """Wherever in it."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        for url in (
            f"postgresql://h/d{text}?run=x",
            f"postgresql://h{text}/d?run=x",
            f"postgresql://u{text}:p@h/d?run=x{text}",
        ):
            with pytest.raises(ConfigurationError, match="journal"):
                manager.ocamba.campaigns.shared_run(url)
