"""What the tests of the outbox share."""

import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from omeda_async import _clock
from omeda_async.bulk.outbox import place as place_of_outboxes, postgres_calls
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import Place, follow_the_loop, follow_the_loop_in_postgres, schema_of_its_own
from tests.limits.postgres_service import postgres_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opt-outs.sqlite3"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """Give a place for an outbox, of each kind; in PostgreSQL the clock is the loop's."""
    if request.param == "sqlite":
        return path
    url: str = request.getfixturevalue("moved_url")
    return url


@pytest.fixture
def moved_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the URL of an outbox whose clock is the loop's, and that is looked at as often as a file."""
    follow_the_loop_in_postgres(monkeypatch)
    for name in ("POLL", "POLL_DEAF"):
        monkeypatch.setattr(postgres_calls, name, place_of_outboxes.POLL)
    with schema_of_its_own(postgres_url()) as url:
        yield url


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time in seconds, to be changed: a store in PostgreSQL reads it from the calendar."""
    moment = [1000.0]
    monkeypatch.setattr(_clock, "utc_now", lambda: datetime.fromtimestamp(moment[0], UTC))
    return moment


@pytest.fixture
def url(database: str) -> str:
    """Give the URL of an outbox that nobody has opened, in a database with others, by the server's own clock."""
    return f"{database}&outbox=test-{secrets.token_hex(8)}"


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """A sandbox, and a calendar that goes by the loop's clock."""
    follow_the_loop(monkeypatch)
    async with Sandbox() as sandbox:
        yield sandbox
