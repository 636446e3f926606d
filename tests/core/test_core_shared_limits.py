"""Managers of one account in one process, on the machine's clock, at a sandbox that may count twenty times as fast."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest

from omeda_async import OcambaSettings, RateLimit, SessionManager, Window
from omeda_async.sandbox import Sandbox

Windows = tuple[tuple[int, float], ...]
WINDOWS: Windows = ((10, 1.0), (150, 60.0))
FAST: Windows = ((10, 0.05), (150, 3.0))
Account = Callable[[], str | None]
Way = Callable[[Sandbox, Account, int], None]


@contextmanager
def sandbox_on_a_thread(windows: Windows) -> Iterator[Sandbox]:
    """Run a sandbox on a loop of its own."""
    loop, sandbox = asyncio.new_event_loop(), Sandbox(ocamba_windows=windows)
    for place in range(400):
        sandbox.ocamba.seed_campaign(f"c{place}")
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.__aenter__(), loop).result(10)
        try:
            yield sandbox
        finally:
            asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def task(sandbox: Sandbox, first: int, calls: int, account: Account) -> None:
    """Make a manager, cancel some campaigns with it, and close it."""
    windows = (Window(most, seconds) for most, seconds in sandbox.ocamba_windows)
    limit = RateLimit(*windows, parallel=10, interactive_reserve=0)
    settings = OcambaSettings(
        token=sandbox.ocamba_token, base_url=sandbox.url, rate_limit=limit, account=account(), timeout=10.0
    )
    async with SessionManager(ocamba=settings) as manager:
        cancel = manager.ocamba.campaigns.cancel
        await asyncio.gather(*(cancel(f"c{first + place}", reason="test") for place in range(calls)))


def refused(sandbox: Sandbox) -> bool:
    """Whether the sandbox has refused anything."""
    return any(one.refused for one in sandbox.requests)


def two_managers(sandbox: Sandbox, account: Account, calls: int) -> None:
    """Use two managers on one loop."""

    async def both() -> None:
        await asyncio.gather(task(sandbox, 0, calls, account), task(sandbox, 100, calls, account))

    asyncio.run(both())


def one_after_the_other(sandbox: Sandbox, account: Account, calls: int) -> None:
    """Run some tasks with a manager each, as a job queue does."""
    for place in range(12 * 13 // calls):
        asyncio.run(task(sandbox, 20 * place, calls, account))
        if refused(sandbox):
            return


def on_threads(sandbox: Sandbox, account: Account, calls: int) -> None:
    """Use four managers on four threads, each on a loop of its own."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(asyncio.run, task(sandbox, 100 * i, calls, account)) for i in range(4)]:
            done.result()


WAYS: dict[Way, int] = {two_managers: 65, one_after_the_other: 13, on_threads: 40}


@pytest.mark.parametrize("way", WAYS)
def test_managers_of_one_account_are_never_refused(way: Way) -> None:
    """Without being asked to, they share one limiter."""
    with sandbox_on_a_thread(FAST) as sandbox:
        way(sandbox, lambda: None, WAYS[way])
        assert len(sandbox.requests) >= 129
        assert not refused(sandbox)


@pytest.mark.parametrize("way", WAYS)
def test_managers_that_are_said_to_be_of_different_accounts_are_refused(way: Way) -> None:
    """The control: each names an account of its own, in windows that no busy machine outlasts."""
    names = map(str, count())
    with sandbox_on_a_thread(WINDOWS) as sandbox:
        way(sandbox, lambda: next(names), 6)
        assert refused(sandbox)
