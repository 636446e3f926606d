"""Records with a deadline of their own: the nearest goes first, and the plan says who is late."""

import datetime as dt

from omeda_async import DeploymentCancel, OmedaSettings, OutcomeStatus, SessionManager, _clock
from omeda_async.bulk import Item
from omeda_async.bulk._queue import BatchQueue
from omeda_async.sandbox import Sandbox

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def settings(sandbox: Sandbox) -> OmedaSettings:
    return OmedaSettings(app_id=sandbox.app_id, brand=sandbox.brand, user_id=sandbox.user_id, base_url=sandbox.url)


def item(name: str, due: float | None = None) -> Item:
    made = Item(raw=name, key=name, params=None, fingerprint=name.encode())
    if due is not None:
        made.due = due
    return made


async def test_outcomes_come_in_the_order_of_the_deadlines() -> None:
    """With one call at a time the outcomes follow the deadlines; records without one come last, in their order."""
    records = [
        DeploymentCancel("NONE1"),
        DeploymentCancel("LATER", scheduled_for=NOW + dt.timedelta(days=2)),
        DeploymentCancel("NONE2"),
        DeploymentCancel("SOON", scheduled_for=NOW),
    ]
    async with Sandbox() as sandbox, SessionManager(omeda=settings(sandbox)) as manager:
        for record in records:
            sandbox.omeda.seed_deployment(record.track_id)
        run = manager.omeda.deployments.cancel_many(records, concurrency=1)
        keys = [outcome.key async for outcome in run]
    assert keys == ["SOON", "LATER", "NONE1", "NONE2"]


async def test_the_plan_names_who_cannot_make_it() -> None:
    """At 10 per second the 31st cancel goes after 3 s: of 31 records due in 2.95 s the last one is late."""
    start = _clock.utc_now()
    due = start + dt.timedelta(seconds=2.95)
    records = [DeploymentCancel(f"FOO{number}", scheduled_for=due) for number in range(31)]
    async with SessionManager(omeda=OmedaSettings(app_id="x", brand="FOO", user_id="me")) as manager:
        plan = await manager.omeda.deployments.cancel_many(records).plan()
    assert [outcome.key for outcome in plan.late] == ["FOO30"]
    assert plan.late[0].status is OutcomeStatus.TOO_LATE


async def test_turns_are_bounded_and_keep_the_order_of_arrival_among_equals() -> None:
    """The queue holds no more than its limit, and batches that are due at the same time keep their order."""
    turns = BatchQueue(3, takers=1)
    for name, due in (("a", None), ("b", 5.0), ("c", 5.0)):
        turns.put_nowait([item(name, due)])
    assert turns.full
    taken = [await turns.take() for _ in range(3)]
    assert [batch[0].key for batch in taken if batch] == ["b", "c", "a"]
