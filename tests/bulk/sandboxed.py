"""A session manager on a sandbox, for tests of bulk runs over real sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from omeda_async import (
    BasicAuth,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RateLimit,
    RetryPolicy,
    SessionManager,
)
from omeda_async.events import Event
from omeda_async.sandbox import Sandbox

QUICK = RetryPolicy(attempts=3, base_delay=0.05, max_delay=0.2, deadline=20.0)
FREE = RateLimit(parallel=8)


def ignore(_event: Event) -> None:
    """Hear an event and do nothing."""


@asynccontextmanager
async def manager_on(
    sandbox: Sandbox,
    *,
    retry: RetryPolicy = QUICK,
    timeout: float = 2.0,  # noqa: ASYNC109 the setting of that name
    limits: dict[str, RateLimit] | None = None,
    hooks: Sequence[Any] = (ignore,),
) -> AsyncIterator[SessionManager]:
    """Return a manager of all three providers; ``limits`` replaces those of some."""
    limits = {"omeda": FREE, "journey_manager": FREE} | (limits or {})
    common = {
        name: {"retry": retry, "timeout": timeout} | ({"rate_limit": limits[name]} if name in limits else {})
        for name in ("omeda", "ocamba", "journey_manager")
    }
    omeda: dict[str, Any] = common["omeda"]
    ocamba: dict[str, Any] = common["ocamba"]
    journey_manager: dict[str, Any] = common["journey_manager"]
    async with SessionManager(
        omeda=OmedaSettings(
            app_id=sandbox.app_id,
            brand=sandbox.brand,
            client=sandbox.client,
            user_id=sandbox.user_id,
            base_url=sandbox.url,
            **omeda,
        ),
        ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url, **ocamba),
        journey_manager=JourneyManagerSettings(
            base_url=f"{sandbox.url}/workspaces",
            auth=BasicAuth(sandbox.journey_manager_user, sandbox.journey_manager_password),
            **journey_manager,
        ),
        hooks=hooks,
    ) as manager:
        yield manager
