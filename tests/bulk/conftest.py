"""A PostgreSQL of their own for tests that stop and kill it."""

from collections.abc import Iterator
from signal import SIGCONT

import pytest

from tests.limits.postgres_service import OwnPostgres, own_postgres


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
