"""Processes with an outbox are killed: nothing that was acknowledged is lost; and what is not so is noticed."""

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import pytest

from benchmarks import outbox_kills
from benchmarks._outbox_killed import LEASE, TIMEOUT, in_child
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import Place, applied, client, outbox_on
from tests.limits.postgres_service import postgres_url


@pytest.mark.real_clock
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgres"])
async def test_what_was_acknowledged_before_a_kill_is_delivered_and_told(*, postgres: bool) -> None:
    """Real processes get SIGKILL, each at another moment, and others deliver; the benchmark does it 200 times."""
    rng = Random(9)  # noqa: S311 it has to be repeatable
    tally = await outbox_kills.soak(3, rng, postgres_url() if postgres else None)
    assert tally.killed == dict.fromkeys(outbox_kills.MOMENTS, 1)
    assert tally.acknowledged > 0
    assert (tally.lost, tally.wrong, tally.again) == (0, 0, 0)


@pytest.mark.real_clock
async def test_a_process_that_was_stopped_beyond_its_lease_sends_nothing_whose_outcome_was_seen(url: str) -> None:
    """A real one gets SIGSTOP while it delivers, another delivers meanwhile, and it goes on beside that one."""
    async with Sandbox(latency=outbox_kills.LATENCY) as sandbox:
        ours, theirs = outbox_kills.PROCESSES.Pipe(duplex=False)
        given = theirs, sandbox.url, url, "k", False
        process = outbox_kills.PROCESSES.Process(target=in_child, args=given)
        process.start()
        try:
            await heard(ours, "told", 5)
            os.kill(process.pid or 0, signal.SIGSTOP)
            async with outbox_on(sandbox, url, lease=LEASE, timeout=TIMEOUT) as outbox:
                while not (await outbox.status()).complete:  # noqa: ASYNC110 the database is asked
                    await asyncio.sleep(0.01)
                seen = applied(sandbox)
                os.kill(process.pid or 0, signal.SIGCONT)
                await heard(ours, "put", 20)
                again = {address: applied(sandbox)[address] for address in seen}
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
    assert len(seen) >= 5
    assert again == seen


async def heard(tidings: Connection, what: str, times: int) -> None:
    """Wait until a child has told something so many times more."""
    async with asyncio.timeout(60):
        while times:
            times -= (await asyncio.to_thread(tidings.recv))[0] == what


async def checked(sandbox: Sandbox, place: Place, acknowledged: set[str], told: dict[str, int]) -> Any:
    soak = outbox_kills.Soak(1, Random(1), sandbox, "")  # noqa: S311 the same
    soak._acknowledged, soak._told = acknowledged, told
    soak._check(str(place))
    return soak.tally


async def test_what_is_not_as_it_must_be_is_counted(sandbox: Sandbox, place: Place) -> None:
    """Acknowledged and not applied, not in the outbox or never told; done and not applied; applied once more."""
    async with outbox_on(sandbox, place) as outbox:
        for number in (1, 2):
            await outbox.outcome(await outbox.put(client(number), key=f"a{number}"), timeout=600)
    good = {"a1": 1, "a2": 1}
    tally = await checked(sandbox, place, {*good}, good)
    assert (tally.acknowledged, tally.lost, tally.wrong, tally.again) == (2, 0, 0, 0)
    assert (await checked(sandbox, place, {*good, "a3"}, {**good})).lost == 3
    assert (await checked(sandbox, place, {*good}, {"a1": 1})).lost == 1
    assert (await checked(sandbox, place, {*good}, {**good, "a3": 1})).wrong == 1
    assert (await checked(sandbox, place, {*good}, {"a1": 0, "a2": 1})).again == 1
    sandbox.omeda.opt_outs.clear()
    assert (await checked(sandbox, place, set(), {})).wrong == 2
