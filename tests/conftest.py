"""Every asynchronous test runs on a loop with a moved clock, unless it asks for a real one."""

import asyncio
import gc
import secrets
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import pytest
from hypothesis import settings

from omeda_async.limits import forget
from omeda_async.testing import MovedClockLoop
from tests.campaigns import cases


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 the hook's signature
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Choose the loop: a test marked ``real_clock`` gets an ordinary one."""
    if item.get_closest_marker("real_clock"):
        return {"real": asyncio.SelectorEventLoop}
    return {"moved": MovedClockLoop}


def pytest_collection_finish() -> None:
    """Keep the collector of cycles away from the tests themselves: it took half the time of tests with many objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_used_before() -> None:
    """Let no test wait for what the one before has used of an account."""
    forget()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever looks for the origin of a task have asyncio's own way back."""
    parser.addoption("--whole-stacks", action="store_true", help="let asyncio's debug mode note where tasks are made")


def _walk_nowhere(f: FrameType | None) -> Iterator[tuple[FrameType, int]]:
    """Stand in for the walk up the stack that asyncio's debug mode makes for every task, future and callback.

    It was half the time of these tests, and no check of that mode needs it. Tracebacks of errors are walked otherwise.
    """
    del f
    return iter(())


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and take back that signals are ignored, as under nohup or behind an ``&``."""
    # How long an example takes says more of a busy machine than of what it tries.
    settings.register_profile("ours", settings(max_examples=cases(100), deadline=None))
    settings.load_profile("ours")
    if not config.getoption("whole_stacks"):
        traceback.walk_stack = _walk_nowhere
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    config.addinivalue_line("markers", "real_clock: run on a real clock: other processes take part")


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """Give the address of a schema of our own in a PostgreSQL; it is dropped in the end."""
    from tests.limits.postgres_service import own_schema  # noqa: PLC0415 few tests need it

    with own_schema() as url:
        yield url


@pytest.fixture
def journal_url(database: str) -> str:
    """Give the URL of a run that nobody has begun."""
    return f"{database}&run=test-{secrets.token_hex(8)}"
