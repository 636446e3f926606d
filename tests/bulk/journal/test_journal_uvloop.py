"""A journal on uvloop, which gives a handle without a time for what is due at once."""

from pathlib import Path
from typing import Any

import pytest

from omeda_async import OcambaSettings, OutcomeStatus, SessionManager
from omeda_async.sandbox import Sandbox


def test_a_run_with_a_journal_is_done(tmp_path: Path) -> None:
    """Several workers ask at once for something to be written."""
    uvloop: Any = pytest.importorskip("uvloop")
    ids = [str(number) for number in range(20)]

    async def main() -> None:
        async with Sandbox(ocamba_windows=((1000, 1.0),)) as sandbox:
            sandbox.ocamba.seed_campaigns(ids)
            settings = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)
            async with SessionManager(ocamba=settings) as manager:
                cancels = manager.ocamba.campaigns.cancel_many(ids, reason="spring", journal=tmp_path / "run.sqlite3")
                report = await cancels
        assert report.counts == {OutcomeStatus.DONE: 20}

    uvloop.run(main())
