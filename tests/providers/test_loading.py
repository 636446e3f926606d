"""What a provider loads: what takes long, only for what is not made of plain values."""

import subprocess
import sys
from pathlib import Path

import pytest

import omeda_async

SCRIPT = """
import asyncio
import sys
from omeda_async import BasicAuth, JourneyManagerSettings, OcambaSettings, SessionManager

async def main():
    manager = SessionManager(
        ocamba=OcambaSettings(token="t"),
        journey_manager=JourneyManagerSettings(base_url="https://example.com", auth=BasicAuth("user", "password")),
    )
    plan = await manager.{method}(["a", {record}]).plan()
    assert plan.requests == 2

asyncio.run(main())
print("cattrs" in sys.modules)
"""


def _loads_cattrs(method: str, record: str) -> bool:
    script = SCRIPT.format(method=method, record=record)
    run = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True)  # noqa: S603 our own words
    return run.stdout.strip() == "True"


@pytest.mark.parametrize("method", ["ocamba.campaigns.cancel_many", "journey_manager.transactions.cancel_many"])
def test_records_of_plain_values_are_read_without_cattrs(method: str) -> None:
    """Ids and mappings of strings need nothing that takes long to load."""
    assert not _loads_cattrs(method, '{"id": "b", "reason": "r", "key": 5}')


def test_the_check_notices_what_is_loaded() -> None:
    """Where a record loads cattrs itself, it says so."""
    assert _loads_cattrs("ocamba.campaigns.cancel_many", '"b" if __import__("cattrs") else ""')


ADDRESSES = """
import asyncio
import sys
sys.path.insert(0, {root!r})
from omeda_async import OmedaSettings, SessionManager

async def main():
    manager = SessionManager(omeda=OmedaSettings(app_id="a", client="c"))
    plan = await manager.omeda.opt_outs.submit_many([{{"email_address": {address!r}}}]).plan()
    assert plan.requests == 1

asyncio.run(main())
print("email_validator" in sys.modules, "dns" in sys.modules)
"""


@pytest.mark.parametrize(("address", "loaded"), [("anna+o'hara@mail.example.com", False), ("zoë@example.com", True)])
def test_plain_addresses_are_judged_without_email_validator(address: str, loaded: bool) -> None:
    """It is loaded for what is not plain, and then asks no server."""
    script = ADDRESSES.format(root=str(Path(omeda_async.__file__).parent.parent), address=address)
    run = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True)  # noqa: S603 our own words
    assert run.stdout.split() == [str(loaded), "False"]
