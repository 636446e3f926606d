"""Where journals are kept in tests: in SQLite, and in PostgreSQL where one is found."""

from pathlib import Path

import pytest

from tests.bulk.journal_help import Place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place for a journal, of each kind."""
    if request.param == "sqlite":
        return tmp_path / "run.sqlite3"
    url: str = request.getfixturevalue("journal_url")
    return url
