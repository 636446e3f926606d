# ruff: noqa: ASYNC240 the files are looked at while nothing else is under way
"""Processes that die, are thought dead, or deliver beside each other: one delivers at a time, and nothing is lost."""

import asyncio
from pathlib import Path

import pytest

from omeda_async import ClosedError, OutboxError, Outcome, OutcomeStatus
from omeda_async.bulk.journal.interface import Kept
from omeda_async.bulk.outbox.interface import Ended, LeaseLost, Store
from omeda_async.outbox import is_outbox, read_status
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox_help import Place, addresses, applied, client, crash, new, outbox_on, rows, slow, store_at
from tests.bulk.sandboxed import manager_on

DONE = Kept(OutcomeStatus.DONE, 1, '{"receipt":null,"error":null,"settled":false,"doubtful":false}')


async def test_what_a_process_had_put_when_it_died_is_sent_by_the_next_once_the_lease_has_ended(
    sandbox: Sandbox, place: Place
) -> None:
    """Ten seconds later, and no earlier: until then the other one might be alive."""
    loop = asyncio.get_running_loop()
    async with manager_on(sandbox) as manager:
        outbox = await manager.omeda.opt_outs.outbox(place, max_delay=100.0).__aenter__()
        tickets = [await outbox.put(client(number)) for number in range(3)]
        await asyncio.sleep(2)
        await crash(manager, outbox)
    died = loop.time()
    assert read_status(place).delivering is not None
    async with outbox_on(sandbox, place) as outbox:
        outcomes = [await outbox.outcome(ticket, timeout=600) for ticket in tickets]
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
    assert 6 < loop.time() - died < 12
    assert applied(sandbox) == addresses(0, 1, 2)


async def test_what_was_being_sent_is_sent_again_when_an_attempt_of_the_dead_can_have_ended(
    sandbox: Sandbox, place: Place
) -> None:
    """It was applied, and its response died with the process: done, by two requests, and in doubt until then."""
    loop = asyncio.get_running_loop()
    arrived = slow(sandbox, 50.0)
    async with manager_on(sandbox, timeout=20.0) as manager:
        outbox = await manager.omeda.opt_outs.outbox(place).__aenter__()
        ticket = await outbox.put(client(1))
        await arrived.wait()
        await crash(manager, outbox)
    died = loop.time()
    assert rows(place, "SELECT state, fence FROM entries") == [(1, 1)]
    async with outbox_on(sandbox, place) as outbox:
        fresh = await outbox.put(client(2))
        assert (await outbox.outcome(fresh, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() - died < 13  # what was never sent does not wait for that
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() - died > 27
    assert applied(sandbox)["a2@example.com"] == 1
    assert applied(sandbox)["a1@example.com"] >= 1


async def test_an_outbox_whose_process_died_young_is_known_and_read(sandbox: Sandbox, path: Path) -> None:
    """All of it is in the log beside the file."""
    async with manager_on(sandbox) as manager:
        outbox = await manager.omeda.opt_outs.outbox(path, max_delay=100.0).__aenter__()
        await outbox.put(client(1))
        await outbox._keeper.do(lambda: None)
        held = {one: one.read_bytes() for one in beside(path)}
        await outbox.aclose()
    for one, content in held.items():
        one.write_bytes(content)
    assert is_outbox(path)
    assert read_status(path).waiting == 1


def beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", "-wal", "-mark")]


async def test_an_outbox_without_the_log_that_stood_beside_it_is_refused(sandbox: Sandbox, path: Path) -> None:
    """What was acknowledged would be missing, and SQLite does not miss it; whoever insists removes the -mark."""
    async with outbox_on(sandbox, path, max_delay=100.0) as outbox:
        await outbox.put(client(1))
        file = path.read_bytes()
    async with outbox_on(sandbox, path, max_delay=100.0) as outbox:
        await outbox.put(client(2))
        file, mark = path.read_bytes(), beside(path)[2].read_bytes()
    path.write_bytes(file)
    beside(path)[2].write_bytes(mark)
    with pytest.raises(OutboxError, match="what was written last is missing"):
        async with outbox_on(sandbox, path):
            pass
    with pytest.raises(OutboxError, match="what was written last is missing"):
        read_status(path)
    beside(path)[2].unlink()
    async with outbox_on(sandbox, path):
        assert read_status(path).total == 1


async def test_a_new_outbox_in_the_place_of_one_that_was_removed_begins_anew(sandbox: Sandbox, path: Path) -> None:
    """What was noted of the old one counts no more; the outbox of somebody else in its place is noticed."""
    async with outbox_on(sandbox, path) as outbox:
        await outbox.outcome(await outbox.put(client(1)), timeout=600)
    old = path.read_bytes()
    path.unlink()
    async with outbox_on(sandbox, path) as outbox:
        await outbox.outcome(await outbox.put(client(2)), timeout=600)
    path.write_bytes(old)
    with pytest.raises(OutboxError, match="what was written last is missing"):
        read_status(path)


async def test_many_processes_put_and_one_delivers(sandbox: Sandbox, place: Place) -> None:
    """Each gets the outcomes of what it has put, whoever delivers; nothing is sent twice."""
    told: list[list[Outcome]] = [[], []]
    async with (
        outbox_on(sandbox, place, on_outcome=told[0].append) as first,
        outbox_on(sandbox, place, on_outcome=told[1].append) as second,
    ):
        outboxes = (first, second)
        tickets = [await outboxes[number % 2].put(client(number), key=number) for number in range(20)]
        outcomes = [await outboxes[number % 2].outcome(one, timeout=600) for number, one in enumerate(tickets)]
        assert [outcome.key for outcome in outcomes] == list(range(20))
        assert await second.put(client(99), key="x") == await second.put(client(99), key="x")
        status = await second.status()
        assert status.delivering == read_status(place).delivering is not None
        await asyncio.sleep(5)
    assert applied(sandbox) == addresses(*range(20), 99)
    assert sorted(map(len, told)) == [0, 21]


async def test_when_the_one_that_delivers_is_closed_another_takes_over_at_once(sandbox: Sandbox, place: Place) -> None:
    """The lease is given back, and nobody waits for its end."""
    loop = asyncio.get_running_loop()
    async with outbox_on(sandbox, place) as second:
        async with outbox_on(sandbox, place) as first:
            await first.outcome(await first.put(client(1)), timeout=600)
        began = loop.time()
        ticket = await second.put(client(2))
        assert (await second.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() - began < 2


async def test_a_process_that_was_suspended_for_too_long_writes_nothing_more(sandbox: Sandbox, place: Place) -> None:
    """Another delivers meanwhile, with a higher number; what the first was about to note is refused, and it is told."""
    arrived = slow(sandbox, 20.0)
    async with outbox_on(sandbox, place, timeout=30.0, lease=3.0) as first:
        renew = first._keeper.store.renew
        first._keeper.store.renew = lambda _: True  # as if it slept: it takes the lease for its own
        ticket = await first.put(client(1))
        await arrived.wait()
        async with outbox_on(sandbox, place, lease=3.0) as second:
            await asyncio.sleep(4)
            other = await second.put(client(2))
            assert (await second.outcome(other, timeout=600)).status is OutcomeStatus.DONE
            fences = rows(place, "SELECT fence FROM lease")
            await asyncio.sleep(20)  # the response of the first comes
            assert rows(place, "SELECT state, fence FROM entries ORDER BY id")[0] == (0, 1)
            first._keeper.store.renew = renew
            await asyncio.sleep(3)
            assert rows(place, "SELECT fence FROM lease") == fences == [(2,)]
            assert (await second.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
            assert (await first.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE


def test_the_lease_is_taken_by_one_and_by_another_only_when_it_has_ended(place: Place, now: list[float]) -> None:
    """Renewed it goes on; given back it is free; a later fence is higher; an earlier one may write nothing."""
    now[0] = 100.0
    one, other = store_at(place, lambda: now[0]), store_at(place, lambda: now[0])
    one.put([new(1), new(2)])
    first = one.take("one", 10.0, 5.0)
    assert first == 1
    assert other.take("other", 10.0, 5.0) is None
    now[0] = 109.0
    assert one.renew(first)
    now[0] = 118.0
    assert other.take("other", 10.0, 5.0) is None
    assert [claimed.number for claimed in one.claim(first, 1, 1000)] == [1]
    now[0] = 119.0
    second = other.take("other", 10.0, 5.0)
    assert second == 2
    assert not one.renew(first)
    for write in (lambda: one.claim(first, 9, 1000), lambda: one.end(first, [ended(1)])):
        with pytest.raises(LeaseLost):
            write()
    assert [claimed.number for claimed in other.claim(second, 9, 1000)] == [2]
    assert other.next_due() == 5.0
    now[0] = 124.0
    assert [(claimed.number, claimed.doubtful) for claimed in other.claim(second, 9, 1000)] == [(1, True)]
    other.end(second, [ended(1), ended(2)])
    other.release(second)
    assert one.take("one", 10.0, 5.0) == 3
    assert [found.kept for found in one.find([1, 2])] == [DONE, DONE]
    one.close()
    other.close()


def ended(number: int) -> Ended:
    return Ended(number=number, kept=DONE, again_in=None, tries=0, doubtful=False, told=True)


def test_a_clock_that_was_put_back_keeps_nobody_from_delivering(place: Place, now: list[float]) -> None:
    """A lease that ends later than any can is none."""
    now[0] = 1e9
    store = store_at(place, lambda: now[0])
    assert store.take("one", 10.0, 5.0) == 1
    now[0] = 1e6
    assert store.take("other", 10.0, 5.0) == 2
    store.close()


def test_an_outcome_is_noted_once_under_the_fence_that_has_claimed_it(place: Place, now: list[float]) -> None:
    """A record that is not claimed under it is left as it is."""
    store = store_at(place, lambda: now[0])
    store.put([new(1)])
    fence = store.take("one", 10.0, 5.0) or 0
    store.end(fence, [ended(1)])
    assert rows(place, "SELECT state FROM entries") == [(0,)]
    store.close()


def test_a_clock_that_is_put_back_keeps_nothing_waiting(place: Place, now: list[float]) -> None:
    """A record put, or one tried again, an hour ahead of the time is due at once: nothing waits so long."""
    now[0] = 4600.0
    store = store_at(place, lambda: now[0])
    store.put([new(1), new(2)])
    now[0] = 1000.0
    assert store.next_due() == 0.0
    fence = store.take("me", 10.0, 60.0)
    assert fence is not None
    assert [one.number for one in store.claim(fence, 9, 9999)] == [1, 2]
    store.close()


def test_a_clock_that_is_put_back_makes_nothing_look_held(place: Place, now: list[float]) -> None:
    """Who delivers holds nothing back: the status says that what is due goes at once."""
    now[0] = 1030.0
    store = store_at(place, lambda: now[0])
    fence = store.take("me", 60.0, 60.0) or 0
    now[0] = 1000.0
    store.put([new(1)])
    assert next_due(store) == 1000.0
    now[0] = 1030.0
    store.renew(fence)
    now[0] = 1000.0
    assert next_due(store) == 1000.0
    store.close()


def next_due(store: Store) -> float:
    due = store.status().next_due
    assert due is not None
    return due.timestamp()


def test_causes_that_are_as_frequent_stand_in_the_order_of_their_words(place: Place, now: list[float]) -> None:
    """However their records came: of many causes the same ones are shown every time."""
    store = store_at(place, lambda: now[0])
    store.put([new(number) for number in range(3)])
    fence = store.take("me", 10.0, 5.0) or 0
    for status, name in ((403, "c"), (402, "a"), (401, "b")):
        [claimed] = store.claim(fence, 1, 9999)
        error = f'"error":{{"status":{status},"message":"{name}"}}'
        kept = Kept(OutcomeStatus.FAILED, 1, DONE.stored.replace('"error":null', error))
        store.end(fence, [ended(claimed.number)._replace(kept=kept)])
    assert [cause.message for cause in store.status().causes] == ["a", "b", "c"]
    store.close()


def test_what_is_due_within_an_attempts_time_is_waited_for(place: Place, now: list[float]) -> None:
    """It may be a record that a dead process was sending: an attempt may take long."""
    now[0] = 1000.0
    store = store_at(place, lambda: now[0])
    fence = store.take("dead", 10.0, 900.0)
    assert fence is not None
    store.put([new(1)])
    store.claim(fence, 9, 9999)
    store.release(fence)
    assert store.next_due() == 900.0
    store.close()


async def test_who_waits_for_a_record_that_is_pruned_elsewhere_is_told(sandbox: Sandbox, place: Place) -> None:
    """Its outcome is never to be had again."""
    async with outbox_on(sandbox, place, max_delay=1000.0) as outbox:
        ticket = await outbox.put(client(1))
        waits = asyncio.create_task(outbox.outcome(ticket))
        await asyncio.sleep(1)
        rows(place, "DELETE FROM entries")
        with pytest.raises(OutboxError, match="it was pruned, or never put"):
            await waits


@pytest.mark.real_clock
async def test_a_put_from_another_loop_is_refused(sandbox: Sandbox, place: Place) -> None:
    """Nothing is written: nobody there could be told."""
    async with outbox_on(sandbox, place) as outbox:
        with pytest.raises(ClosedError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, outbox.put(client(1)))
        assert (await outbox.status()).waiting == 0
