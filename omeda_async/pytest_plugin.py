"""Fixtures for pytest: a sandbox of the three providers, and a session manager that is set up for it.

Use it with ``pytest_plugins = ["omeda_async.pytest_plugin"]`` in ``conftest.py``; it needs pytest-asyncio.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from omeda_async import SessionManager
from omeda_async._environment import settings_from_env
from omeda_async.limits import forget
from omeda_async.sandbox import Sandbox


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Emulate the three providers on 127.0.0.1; nothing of their limits has been used."""
    forget()
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture
async def session_manager(sandbox: Sandbox) -> AsyncIterator[SessionManager]:
    """Return a session manager whose three providers are the sandbox."""
    found = settings_from_env(sandbox.settings_env())
    async with SessionManager(omeda=found.omeda, ocamba=found.ocamba, journey_manager=found.journey_manager) as manager:
        yield manager
