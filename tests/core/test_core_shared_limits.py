"""Managers of one account in one process, on the machine's clock, at a sandbox that counts twenty times as fast."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from omeda_async import OcambaSettings, RateLimit, SessionManager, Window
from omeda_async.sandbox import Sandbox

WINDOWS = ((10, 0.05), (150, 3.0))
LIMIT = RateLimit(*(Window(calls, seconds) for calls, seconds in WINDOWS), parallel=10, interactive_reserve=0)
Account = Callable[[], str | None]


@contextmanager
def sandbox_on_a_thread() -> Iterator[Sandbox]:
    """Run a sandbox on a loop of its own."""
    loop, sandbox = asyncio.new_event_loop(), Sandbox(ocamba_windows=WINDOWS)
    for place in range(400):
        sandbox.ocamba.seed_campaign(f"c{place}")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.__aenter__(), loop).result(10)
        yield sandbox
        asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def task(sandbox: Sandbox, first: int, calls: int, account: Account) -> None:
    """Make a manager, cancel some campaigns with it, and close it."""
    settings = OcambaSettings(
        token=sandbox.ocamba_token, base_url=sandbox.url, rate_limit=LIMIT, account=account(), timeout=10.0
    )
    async with SessionManager(ocamba=settings) as manager:
        cancel = manager.ocamba.campaigns.cancel
        await asyncio.gather(*(cancel(f"c{first + place}", reason="test") for place in range(calls)))


def refused(sandbox: Sandbox) -> bool:
    """Whether the sandbox has refused anything."""
    return any(one.refused for one in sandbox.requests)


def two_managers(sandbox: Sandbox, account: Account) -> None:
    """Use two managers on one loop."""

    async def both() -> None:
        await asyncio.gather(task(sandbox, 0, 70, account), task(sandbox, 100, 59, account))

    asyncio.run(both())


def one_after_the_other(sandbox: Sandbox, account: Account) -> None:
    """Run twelve tasks with a manager each, as a job queue does."""
    for place in range(12):
        asyncio.run(task(sandbox, 20 * place, 13, account))
        if refused(sandbox):
            return


def on_threads(sandbox: Sandbox, account: Account) -> None:
    """Use four managers on four threads, each on a loop of its own."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, task(sandbox, 100 * i, 40, account)) for i in range(4)]:
            done.result()


WAYS = [two_managers, one_after_the_other, on_threads]


@pytest.mark.parametrize("way", WAYS)
def test_managers_of_one_account_are_never_refused(way: Callable[[Sandbox, Account], None]) -> None:
    """Without being asked to, they share one limiter."""
    with sandbox_on_a_thread() as sandbox:
        way(sandbox, lambda: None)
        assert len(sandbox.requests) >= 129
        assert not refused(sandbox)


@pytest.mark.parametrize("way", WAYS)
def test_managers_that_are_said_to_be_of_different_accounts_are_refused(
    way: Callable[[Sandbox, Account], None],
) -> None:
    """The control: the same, where each names an account of its own."""
    names = iter("abcdefghijklmnop")
    with sandbox_on_a_thread() as sandbox:
        way(sandbox, lambda: next(names))
        assert refused(sandbox)
