"""Processes with an outbox are killed: nothing that was acknowledged is lost; and what is not so is noticed."""

from random import Random
from typing import Any

import pytest

from benchmarks import outbox_kills
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import Place, client, outbox_on
from tests.limits.postgres_service import postgres_url


@pytest.mark.real_clock
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgres"])
async def test_what_was_acknowledged_before_a_kill_is_delivered_and_told(*, postgres: bool) -> None:
    """A real process gets SIGKILL, and another delivers what it has left; the benchmark does it 200 times."""
    rng = Random(7)  # noqa: S311 it has to be repeatable
    tally = await outbox_kills.soak(1, rng, postgres_url() if postgres else None)
    assert tally.killed.total() == 1
    assert tally.acknowledged > 0
    assert (tally.lost, tally.wrong, tally.again) == (0, 0, 0)


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
