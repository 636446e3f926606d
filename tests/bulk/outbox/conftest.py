"""What the tests of the outbox share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import follow_the_loop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opt-outs.sqlite3"


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """A sandbox, and a calendar that goes by the loop's clock."""
    follow_the_loop(monkeypatch)
    async with Sandbox() as sandbox:
        yield sandbox
