"""A clone whose answer was lost is found at a provider that names clones, and statuses, in its own way."""

import asyncio
from datetime import UTC, datetime

import pytest

from omeda_async import DeploymentSearch, OmedaSettings, SessionManager
from omeda_async.sandbox import Fault, Sandbox
from omeda_async.testing import run_moved

WHEN = datetime(2035, 2, 28, 19, 45, tzinfo=UTC)


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize("name", ["Spring", "S" * 72, "S" * 80])
@pytest.mark.parametrize("template", ["Copy of {}", "{} Copy of ", "{}Copy of ", "{}"])
def test_a_lost_clone_is_found_however_it_is_called(template: str, name: str, *, codes: bool) -> None:
    """Its receipt is that of the one deployment made, and it was made once."""

    async def main() -> None:
        async with Sandbox() as sandbox:
            sandbox.omeda.clone_name, sandbox.omeda.search_codes = template, codes
            source = sandbox.omeda.seed_deployment("T", name=name, owner=sandbox.user_id)
            sandbox.fault(Fault("drop", "after", match="deployments.clone"))
            settings = OmedaSettings(app_id=sandbox.app_id, brand=sandbox.brand, base_url=sandbox.url)
            async with SessionManager(omeda=settings) as manager:
                receipt = await manager.omeda.deployments.clone("T", deployment_date=WHEN)
            assert receipt.settled
            assert source.clones == 1
            assert {"T", receipt.track_id} == set(sandbox.omeda.deployments)

    run_moved(main())


@pytest.mark.parametrize("status", ["Waiting Review", "Scheduled", "New", "Not Accepted", "Cancelled"])
def test_a_status_reads_the_same_from_a_search_and_from_a_look_up(status: str) -> None:
    """A search may show a code where the look-up has words; ``raw`` keeps what came."""

    async def main() -> None:
        async with Sandbox() as sandbox:
            sandbox.omeda.search_codes = True
            sandbox.omeda.seed_deployment("T", status)
            settings = OmedaSettings(app_id=sandbox.app_id, brand=sandbox.brand, base_url=sandbox.url)
            async with SessionManager(omeda=settings) as manager:
                deployments = manager.omeda.deployments
                (row,), found = await asyncio.gather(deployments.search(DeploymentSearch()), deployments.lookup("T"))
            assert row.status == found.status == status
            assert row.raw["Status"] == status.upper().replace(" ", "_")

    run_moved(main())
