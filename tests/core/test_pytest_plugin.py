"""The fixtures that the package ships for the tests of its users."""

import subprocess
import sys
from pathlib import Path

import pytest

from omeda_async import OutcomeStatus, SessionManager
from omeda_async.limits import Limiter, RateLimit, Window, make_limiter
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


@pytest.fixture
async def limiter() -> Limiter:
    """A limiter of an account that is used."""
    used = make_limiter(RateLimit(Window(10, 60.0)), account="spring")
    used.release(await used.acquire(), status=204)
    return used


async def test_what_was_used_before_the_sandbox_counts_for_nothing(
    limiter: Limiter,
    sandbox: Sandbox,  # noqa: F811 the fixture
) -> None:
    """A test does not wait for what the one before has used, of whatever account."""
    assert sandbox.requests == []
    other = make_limiter(RateLimit(Window(10, 60.0)), account="spring")
    other.release(await other.acquire(), status=204)
    assert (limiter.view().used, other.view().used) == (1, 1)


CONFTEST = 'pytest_plugins = ["omeda_async.pytest_plugin"]\n'
TEST = """
import pytest

@pytest.mark.asyncio
async def test_them(session_manager, sandbox):
    sandbox.ocamba.seed_campaign("1")
    await session_manager.ocamba.campaigns.cancel("1")
    assert sandbox.ocamba.campaigns["1"].status == "canceled"
"""


def run_pytest(directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "test_them.py").write_text(TEST)
    (directory / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    quick = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *quick, str(directory)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=directory)  # noqa: S603 our own words


@pytest.mark.real_clock
def test_one_line_in_a_conftest_is_enough(tmp_path: Path) -> None:
    """Another project's pytest finds both fixtures through ``pytest_plugins``."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.real_clock
def test_without_that_line_nothing_of_ours_is_loaded(tmp_path: Path) -> None:
    """A project that merely has this library installed gets no fixtures from it."""
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "fixture 'session_manager' not found" in done.stdout
