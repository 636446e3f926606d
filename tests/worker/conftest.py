"""What tests of workers share: scripted runs, and a name for one."""

import secrets
from collections.abc import Iterator

import pytest

from tests.worker.worker_help import Script, scripted


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Have runs do what they are told."""
    with scripted(monkeypatch) as script:
        yield script


@pytest.fixture
def run() -> str:
    """Return a name that no other run has."""
    return f"run-{secrets.token_hex(4)}"
