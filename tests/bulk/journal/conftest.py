"""Where journals are kept in tests: in SQLite, and in PostgreSQL where one is found."""

from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT

import pytest

from tests.bulk.journal_help import Place
from tests.limits.postgres_service import OwnPostgres, own_postgres


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place for a journal, of each kind."""
    if request.param == "sqlite":
        return tmp_path / "run.sqlite3"
    url: str = request.getfixturevalue("journal_url")
    return url


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnPostgres]:
    """Give a server of our own."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def server(own_server: OwnPostgres) -> OwnPostgres:
    """Give a server that runs, and that a test may stop."""
    if own_server.process.poll() is not None:
        own_server.start()
    own_server.signal_all(SIGCONT)
    return own_server
