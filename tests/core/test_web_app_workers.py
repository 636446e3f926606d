"""The example web app under load, with four workers: one is killed, and the others get too short a time to end in."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import attrs
import pytest

from omeda_async import OmedaSettings, Outcome, SessionManager, _clock
from omeda_async.outbox import read_status
from omeda_async.sandbox import Fault, Sandbox
from omeda_async.testing import run_moved
from tests.core.web_load import Load, Sent, age_limits, applied, serving, told, unaccounted

for needed in ("fastapi", "uvicorn"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: it comes with the extra recipes")

WORKERS = 4
LEAST = 5
"""So many of each kind of request have to end well."""


@attrs.define
class Aftermath:
    """What is known once the app has ended."""

    port: int
    load: Load
    log: str
    killed: int
    applied: set[str]
    refused: list[str]
    busiest: int


async def _who_delivers(outbox: Path) -> int:
    """Return the process that delivers it."""
    async with asyncio.timeout(10):
        while (name := read_status(outbox).delivering) is None:  # noqa: ASYNC110 another process decides
            await asyncio.sleep(0.05)
    return int(name.rpartition(" ")[2])


async def _until(reached: Callable[[], bool]) -> None:
    """Wait for other processes, which a busy machine may keep from it for long."""
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.05)


async def _under_load(folder: Path) -> Aftermath:
    async with Sandbox(latency=0.01) as sandbox:
        sandbox.ocamba.seed_campaigns(map(str, range(1000)))
        settings = sandbox.settings_env()
        age_limits(folder / "limits", settings)
        environment = settings | {
            "OMEDA_ASYNC_SHARE_LIMITS": str(folder / "limits"),
            "OUTBOX": str(folder / "opt-outs.sqlite3"),
        }
        async with serving(environment, workers=WORKERS, grace=1) as server:
            load, campaigns = Load(server.url), map(str, count())
            async with asyncio.TaskGroup() as readers:
                for reader in range(24):
                    readers.create_task(load.unsubscribe("/outbox" if reader % 2 else "/unsubscribe", reader))
                for _ in range(8):
                    readers.create_task(load.cancel(campaigns))
                await _until(lambda: load.least() > 2)
                killed = await _who_delivers(folder / "opt-outs.sqlite3")
                os.kill(killed, signal.SIGKILL)
                before = load.least()
                await _until(lambda: load.least() > before + LEAST)
                # What is under way now takes longer than a worker may.
                sandbox.fault(Fault("slow", "after", match="opt_outs.submit", seconds=2.0, times=None))
                await _until(lambda: any(sent.path == "/unsubscribe" and sent.status is None for sent in load.sent))
                await asyncio.sleep(0.3)
                server.process.send_signal(signal.SIGTERM)
                await server.process.wait()
                load.is_over = True
        port = int(sandbox.url.rpartition(":")[2])
        refused, busiest = sandbox.over_limit(), sandbox.audit.busiest("omeda", 1.0)
        return Aftermath(port, load, server.log, killed, applied(sandbox), refused, busiest)


async def _deliver(folder: Path, port: int, promised: list[Sent]) -> tuple[set[str], dict[str, Outcome]]:
    """Open the outbox as the next process does, and ask for every outcome that was promised."""
    async with Sandbox(port=port) as sandbox:
        settings = OmedaSettings(app_id=sandbox.app_id, client=sandbox.client, base_url=sandbox.url)
        path = folder / "opt-outs.sqlite3"
        async with (
            SessionManager(omeda=settings) as manager,
            manager.omeda.opt_outs.outbox(path, on_outcome=lambda _: None) as outbox,
        ):
            outcomes = {sent.key: await outbox.outcome(sent.ticket, timeout=600) for sent in promised}
        return applied(sandbox), outcomes


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what a test sets."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.usefixtures("_environment")
def test_every_opt_out_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Done where that was said, told to the callback where nobody could hear it, delivered where that was promised."""
    after = asyncio.run(_under_load(tmp_path))
    load = after.load
    promised = [sent for sent in load.sent if sent.status == 202]
    left = read_status(tmp_path / "opt-outs.sqlite3")

    async def deliver() -> tuple[set[str], dict[str, Outcome]]:
        loop, began = asyncio.get_running_loop(), _clock.utc_now()
        start = loop.time()
        monkeypatch.setattr(_clock, "utc_now", lambda: began + timedelta(seconds=loop.time() - start))
        return await _deliver(tmp_path, after.port, promised)

    later, outcomes = run_moved(deliver())
    unheard = told(after.log, "unheard")
    seen = Counter(f"{sent.path} {sent.status}" for sent in load.sent)
    ends = f"{unheard.total()} unheard, {left.waiting + left.under_way} left, {after.busiest} in a second"
    print(dict(seen), dict(load.campaigns), ends)  # noqa: T201 what was measured

    assert after.refused == []
    assert unaccounted(load.sent, after.log, after.applied, after.killed) == []
    assert {sent.key for sent in promised if not outcomes[sent.key].status.is_done} == set()
    assert {sent.address for sent in promised} <= after.applied | later
    # And all of it was put to the test:
    assert load.least() > LEAST
    assert unheard.total() > 0
    assert left.waiting + left.under_way > 0


@pytest.mark.parametrize(
    ("status", "log", "is_applied", "is_fine"),
    [
        (200, "", True, True),
        (200, "", False, False),
        (503, "", False, True),
        (503, "", True, False),
        (500, "unheard a done", True, True),
        (None, "unheard a not_sent", False, True),
        (None, "", False, True),
        (None, "", True, False),
        (500, "unheard a not_sent", True, False),
        (500, "unheard a done", False, False),
        (200, "unheard a done", True, False),
    ],
)
def test_what_is_not_accounted_for_is_found(status: int | None, log: str, *, is_applied: bool, is_fine: bool) -> None:
    """The measure can fail."""
    sent = [Sent("/unsubscribe", "a", 1, status)]
    done = {"a@example.com"} if is_applied else set[str]()
    assert (unaccounted(sent, log, done, killed=2) == []) is is_fine
    assert (unaccounted(sent, log, done, killed=1) == []) is (is_fine or status in {None, 500})
