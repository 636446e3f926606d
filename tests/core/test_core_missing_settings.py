"""What a call needs of the settings, and they do not have."""

import pytest

from omeda_async import ConfigurationError, OmedaSettings, OutcomeStatus, SessionManager
from omeda_async.sandbox import Sandbox


async def test_a_cancel_in_nobody_s_name_is_a_matter_of_the_settings() -> None:
    """The error names the setting and its variable, and nothing is sent; for a bulk run each record says what lacks."""
    async with Sandbox() as sandbox:
        settings = OmedaSettings(app_id=sandbox.app_id, brand=sandbox.brand, base_url=sandbox.url)
        async with SessionManager(omeda=settings) as manager:
            with pytest.raises(ConfigurationError, match="OMEDA_USER_ID"):
                await manager.omeda.deployments.cancel("FOO1")
            report = await manager.omeda.deployments.cancel_many(["FOO1"])
        assert report.counts == {OutcomeStatus.REJECTED: 1}
        assert not sandbox.requests
