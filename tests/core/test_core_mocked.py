"""Mocked responses of aioresponses, for the tests of whoever uses the library."""

import importlib
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from aioresponses import CallbackResult

from omeda_async import NotFound, OcambaSettings, RetryPolicy, SessionManager
from omeda_async.testing import mocked_responses

URL = "https://api.ocamba.com/v1/hood/campaigns"


def _manager() -> SessionManager:
    return SessionManager(ocamba=OcambaSettings(token="t", retry=RetryPolicy(attempts=1)))


async def test_a_mocked_response_is_a_providers() -> None:
    """By its status, its body and its headers, with what aioresponses has for them."""
    with mocked_responses() as mocked:
        mocked.get(f"{URL}/1000248", payload={"id": "1000248", "status": "running"})
        mocked.get(f"{URL}/1000249", status=404)
        async with _manager() as manager:
            assert (await manager.ocamba.campaigns.get("1000248")).status == "running"
            with pytest.raises(NotFound):
                await manager.ocamba.campaigns.get("1000249")
    assert {method for method, _ in mocked.requests} == {"GET"}


async def test_a_callback_answers_too() -> None:
    """Also one that makes its answer itself."""

    def answer(_url: object, **_options: object) -> CallbackResult:
        return CallbackResult(payload={"id": "7"})

    with mocked_responses() as mocked:
        mocked.get(f"{URL}/7", callback=answer)
        async with _manager() as manager:
            assert (await manager.ocamba.campaigns.get(7)).id == "7"


def test_nothing_is_left_of_it() -> None:
    """Whoever uses aioresponses otherwise finds it as it was."""
    core: Any = importlib.import_module("aioresponses.core")
    before = core.ClientResponse
    with mocked_responses():
        assert core.ClientResponse is not before
    assert core.ClientResponse is before is aiohttp.ClientResponse


def test_a_moved_clock_needs_no_aioresponses() -> None:
    """Who has not installed it is told so only where responses are to be mocked."""
    script = "import sys; sys.modules['aioresponses'] = None; from omeda_async import testing as t; print(t.run_moved)"
    command = [sys.executable, "-c", f"{script}; t.mocked_responses()"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own words
    assert "run_moved" in run.stdout
    assert "ModuleNotFoundError" in run.stderr
