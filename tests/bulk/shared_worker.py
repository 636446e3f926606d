"""A process that works on a shared run of cancels, at a sandbox: its arguments are in ``main``."""

import asyncio
import sys

from omeda_async import OmedaSettings, RateLimit, RetryPolicy, SessionManager


async def main(*given: str) -> None:
    """Work until nothing is left, and print how many are done."""
    base_url, run, lease, rate, app_id, brand, user_id = given
    settings = OmedaSettings(
        app_id=app_id,
        brand=brand,
        user_id=user_id,
        base_url=base_url,
        rate_limit=RateLimit.parse(rate),
        retry=RetryPolicy(base_delay=0.05, max_delay=0.2, settle_delay=0.1),
        timeout=1.0,
        connect_timeout=0.5,
    )
    async with SessionManager(omeda=settings, log_events=False) as manager:
        report = await manager.omeda.deployments.shared_run(run, lease=float(lease), concurrency=4).work()
    print(sum(number for status, number in report.counts.items() if status.is_done), flush=True)  # noqa: T201 for the test


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
