"""Fixtures for pytest: a sandbox of the three providers, and a session manager that is set up for it.

Use it with ``pytest_plugins = ["omeda_async.pytest_plugin"]`` in ``conftest.py``; it needs pytest-asyncio.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from omeda_async import BasicAuth, JourneyManagerSettings, OcambaSettings, OmedaSettings, SessionManager
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
    user, password = sandbox.journey_manager_user, sandbox.journey_manager_password
    async with SessionManager(
        omeda=OmedaSettings(
            app_id=sandbox.app_id,
            brand=sandbox.brand,
            client=sandbox.client,
            user_id=sandbox.user_id,
            base_url=sandbox.url,
        ),
        ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url),
        journey_manager=JourneyManagerSettings(base_url=f"{sandbox.url}/workspaces", auth=BasicAuth(user, password)),
    ) as manager:
        yield manager
