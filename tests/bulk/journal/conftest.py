"""Where journals are kept in tests: in SQLite, and in PostgreSQL where one is found."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bulk.journal_help import Place
from tests.limits.postgres_service import postgres_url


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """Give the address of a schema of our own in a PostgreSQL; it is dropped in the end."""
    url, name = postgres_url(), f"omeda_async_test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture
def url(database: str) -> str:
    """Give the URL of a run that nobody has begun."""
    return f"{database}&run=test-{secrets.token_hex(8)}"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place for a journal, of each kind."""
    if request.param == "sqlite":
        return tmp_path / "run.sqlite3"
    url: str = request.getfixturevalue("url")
    return url
