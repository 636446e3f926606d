"""
The fixtures that the package ships for the tests of its users.
"""

from omeda_async import OutcomeStatus, SessionManager
from omeda_async.pytest_plugin import sandbox, session_manager  # noqa: F401 the fixtures under test
from omeda_async.sandbox import Sandbox


async def test_the_fixtures_are_set_up_for_each_other(
    sandbox: Sandbox,  # noqa: F811 the fixture
    session_manager: SessionManager,  # noqa: F811 the fixture
) -> None:
    """A session manager from the plugin reaches all three providers of the sandbox from the plugin."""
    sandbox.ocamba.seed_campaigns(["1"])
    sandbox.omeda.seed_deployment("FOO1")
    sandbox.journey_manager.seed_transaction("key")
    reports = [
        await session_manager.ocamba.campaigns.cancel_many(["1"]),
        await session_manager.omeda.deployments.cancel_many(["FOO1"]),
        await session_manager.journey_manager.transactions.cancel_many(["key"]),
    ]
    assert [report.counts for report in reports] == [{OutcomeStatus.DONE: 1}] * 3
