"""An outbox on the command line: how many wait, how the others ended, who delivers."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest

from omeda_async import BrandOptOut, ClientOptOut, OmedaSettings, RetryPolicy, SessionManager
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from omeda_async.testing import run_moved
from tests.cli.cli_scene import Scene


async def filled(path: Path | str, *, waiting: bool) -> None:
    """Put one that is done, one that is rejected, and perhaps one that fails."""
    async with Sandbox() as sandbox:
        settings = OmedaSettings(
            app_id=sandbox.app_id,
            client=sandbox.client,
            base_url=sandbox.url,
            retry=RetryPolicy(attempts=1),
        )
        async with SessionManager(omeda=settings) as manager, manager.omeda.opt_outs.outbox(path) as outbox:
            for record in (ClientOptOut("a@x.com"), BrandOptOut("b@x.com", brand_ids=["ZZZ"])):
                await outbox.outcome(await outbox.put(record))
            if waiting:
                sandbox.fault(Fault(FaultKind.UNAVAILABLE, times=None))
                await outbox.put(ClientOptOut("c@x.com"))
                while not (await outbox.status()).retrying:  # noqa: ASYNC110 the file is asked, as a program would
                    await asyncio.sleep(0.1)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, scene: Scene) -> Path | str:
    """Give a place for an outbox, of each kind."""
    if request.param == "sqlite":
        return scene.directory / "opt-outs.sqlite3"
    return f"{request.getfixturevalue('database')}&outbox=test-{secrets.token_hex(8)}"


def fill(place: Path | str, *, waiting: bool) -> None:
    """Fill an outbox; a database has a clock that does not move with ours."""
    if isinstance(place, Path):
        run_moved(filled(place, waiting=waiting), debug=False)
    else:
        asyncio.run(filled(place, waiting=waiting))


@pytest.mark.parametrize("waiting", [True, False])
def test_status_shows_what_an_outbox_holds(scene: Scene, place: Path | str, *, waiting: bool) -> None:
    """Counts, causes in the provider's words, what waits and since when; no address."""
    fill(place, waiting=waiting)
    result = scene.give("status", place)
    assert result.exit_code == 1
    words = " ".join(result.stdout.replace("─", "").split())
    assert "omeda opt_outs.outbox at http://127.0.0.1" in words
    assert f"done 1 rejected 1 {'waiting 1 all 3' if waiting else 'all 2'}" in words
    assert "1 rejected: BrandOptOut submission (ZZZ)" in words
    assert ("answered 503" in words) == waiting
    assert ("1 are tried again" in words) == waiting
    assert ("the next of those that wait is due " in words) == waiting
    assert "nobody delivers it now" in words
    assert "@x.com" not in result.output.replace("b***@x.com", "")
    found = json.loads(scene.give("status", place, "--format", "json").stdout)
    assert (found["next_due"] is not None) == waiting
    assert (found["counts"], found["waiting"], found["complete"]) == ({"done": 1, "rejected": 1}, waiting, not waiting)


def test_the_failed_records_of_an_outbox_are_not_written(scene: Scene, place: Path | str) -> None:
    """It tries them again by itself."""
    fill(place, waiting=False)
    result = scene.give("status", place, "--failed")
    assert result.exit_code == 2
    assert "by itself" in " ".join(result.stderr.split())


def test_an_outbox_that_is_damaged_is_a_sentence(scene: Scene) -> None:
    """And exit code 2."""
    path = scene.directory / "opt-outs.sqlite3"
    run_moved(filled(path, waiting=False), debug=False)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    result = scene.give("status", path)
    assert result.exit_code == 2
    assert "damaged" in " ".join(result.stderr.split())
