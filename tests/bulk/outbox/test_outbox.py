"""The outbox as its users see it: put, outcomes by ticket and by callback, keys, closing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omeda_async import (
    BrandOptOut,
    ClientOptOut,
    ClosedError,
    ConfigurationError,
    InvalidRecord,
    OutboxError,
    Outcome,
    OutcomePending,
    OutcomeStatus,
    Priority,
)
from omeda_async.outbox import is_outbox, read_status
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk.outbox_help import Place, addresses, applied, client, outbox_on, rows, slow
from tests.bulk.sandboxed import manager_on


async def test_what_is_put_is_delivered_and_its_outcome_is_told_by_ticket_and_by_callback(
    sandbox: Sandbox, place: Place
) -> None:
    """The record, the caller's key, the receipt; and once more later, from another outbox on the same file."""
    told: list[Outcome] = []
    async with outbox_on(sandbox, place, on_outcome=told.append) as outbox:
        ticket = await outbox.put(client(1), key="user-17")
        outcome = await outbox.outcome(ticket, timeout=600)
        assert (outcome.record, outcome.key, outcome.status) == (client(1), "user-17", OutcomeStatus.DONE)
        assert (outcome.attempts, outcome.error) == (1, None)
        assert outcome.receipt.submission_id
    async with outbox_on(sandbox, place) as outbox:
        assert await outbox.outcome(ticket, timeout=0) == outcome
    assert told == [outcome]
    assert applied(sandbox) == addresses(1)
    status = read_status(place)
    assert (status.total, status.counts, status.waiting, status.under_way) == (1, {OutcomeStatus.DONE: 1}, 0, 0)
    assert status.complete
    assert status.delivering is None
    assert is_outbox(place)


async def test_many_puts_share_transactions_and_requests(sandbox: Sandbox, place: Place) -> None:
    """A thousand at once: a few writes, two requests, a ticket each."""
    asyncio.get_running_loop().set_debug(False)  # which notes a traceback for each callback
    async with outbox_on(sandbox, place) as outbox:
        store, writes = outbox._keeper.store, list[int]()
        put = store.put

        def counted(records: Any) -> Any:
            writes.append(len(records))
            return put(records)

        store.put = counted
        tickets = await asyncio.gather(*(outbox.put(client(number)) for number in range(1000)))
        assert len(set(tickets)) == 1000
        outcomes = await asyncio.gather(*(outbox.outcome(ticket, timeout=600) for ticket in tickets))
    assert [outcome.record for outcome in outcomes] == [client(number) for number in range(1000)]
    assert sum(writes) == 1000
    assert len(writes) <= 3
    assert len(sandbox.requests) == 2


async def test_each_put_waits_for_the_disk(sandbox: Sandbox, path: Path) -> None:
    """It returns after the commit of a log that is forced to the disk, and not before."""
    async with outbox_on(sandbox, path) as outbox:
        said: list[str] = []
        sql = outbox._keeper.store._sql
        assert await outbox._keeper.do(lambda: sql.execute("PRAGMA synchronous").fetchone()) == (2,)
        assert await outbox._keeper.do(lambda: sql.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        sql.set_trace_callback(said.append)
        await outbox.put(client(1))
        begun = next(place for place, one in enumerate(said) if "INSERT INTO entries" in one)
        assert "COMMIT" in said[begun:]


async def test_an_intent_is_on_disk_before_the_request_and_an_outcome_before_anybody_is_told(
    sandbox: Sandbox, place: Place
) -> None:
    """Seen by another connection: at the moment when the request arrives, and when the callback is called."""
    seen: list[Any] = []

    def look(_: Any) -> bool:
        seen.append(rows(place, "SELECT state, status FROM entries"))
        return False

    sandbox.fault(Fault(FaultKind.SLOW, match=look, times=None))
    async with outbox_on(sandbox, place, on_outcome=look) as outbox:
        await outbox.outcome(await outbox.put(client(1)), timeout=600)
    assert seen == [[(1, None)], [(2, 1)]]


async def test_a_record_that_is_refused_by_the_provider_ends_so_and_harms_no_other(
    sandbox: Sandbox, place: Place
) -> None:
    """Its outcome says why; it is not tried again."""
    async with outbox_on(sandbox, place) as outbox:
        bad = await outbox.put(BrandOptOut("b@example.com", brand_ids=["NOPE"]), key="bad")
        good = await outbox.put(client(1))
        outcome = await outbox.outcome(bad, timeout=600)
        assert (outcome.status, outcome.key) == (OutcomeStatus.REJECTED, "bad")
        assert outcome.error.culprits[0].id == "NOPE"
        assert (await outbox.outcome(good, timeout=600)).status is OutcomeStatus.DONE


@pytest.mark.parametrize(
    ("record", "key", "field"),
    [
        (ClientOptOut("nonsense"), None, "email_address"),
        ({"email": "a@example.com", "colour": "red"}, None, "colour"),
        (client(1), True, "key"),
        (client(1), 2.5, "key"),
        (client(1), 2**70, "key"),
        (42, None, None),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_put(
    sandbox: Sandbox, place: Place, record: Any, key: Any, field: str | None
) -> None:
    """The field and the reason, at once; nothing is in the outbox."""
    async with outbox_on(sandbox, place) as outbox:
        with pytest.raises(InvalidRecord) as caught:
            await outbox.put(record, key=key)
        assert caught.value.field in {field, None}
        assert (await outbox.status()).total == 0


async def test_the_same_key_and_record_under_way_is_the_same_ticket_another_record_is_refused(
    sandbox: Sandbox, place: Place
) -> None:
    """While it has no outcome; once it has one, the same is put and sent anew."""
    sandbox.fault(Fault(FaultKind.SLOW, seconds=1.0, times=1))
    async with outbox_on(sandbox, place) as outbox:
        first = await outbox.put(client(1), key="user-17")
        assert await outbox.put(client(1), key="user-17") == first
        assert await outbox.put({"email_address": "a1@example.com"}, key="user-17") == first
        other = await outbox.put(client(1), key=17)
        with pytest.raises(InvalidRecord, match="under way for another record") as caught:
            await outbox.put(client(2), key="user-17")
        assert caught.value.field == "key"
        both = await asyncio.gather(outbox.put(client(3), key="x"), outbox.put(client(3), key="x"))
        assert both[0] == both[1] != other != first
        await outbox.outcome(first, timeout=600)
        again = await outbox.put(client(1), key="user-17")
        assert again != first
        assert (await outbox.outcome(again, timeout=600)).status is OutcomeStatus.DONE
        assert (await outbox.put(ClientOptOut("k@example.com", key="own"))) != first
        assert (await outbox.status()).total == 5
    assert applied(sandbox)["a1@example.com"] == 2


async def test_a_key_longer_than_an_index_takes_is_refused_and_costs_nobody_else_anything(
    sandbox: Sandbox, place: Place
) -> None:
    """What is put at the same moment shares its transaction."""
    longest = "".join(map(chr, range(0x4E00, 0x4E00 + 666)))  # which nothing makes shorter
    async with outbox_on(sandbox, place) as outbox:
        puts = (outbox.put(client(number), key=key) for number, key in enumerate(["a", f"{longest}ä", longest, "b"]))
        first, refused, longer, last = await asyncio.gather(*puts, return_exceptions=True)
        assert isinstance(refused, InvalidRecord)
        assert refused.reason == "is too long: 2,000 bytes at the most"
        assert [ticket for ticket in (first, longer, last) if not isinstance(ticket, str)] == []
        assert (await outbox.outcome(str(longer), timeout=600)).key == longest


async def test_a_record_s_own_key_counts_where_none_is_given(sandbox: Sandbox, place: Place) -> None:
    """Its outcome carries it."""
    async with outbox_on(sandbox, place) as outbox:
        ticket = await outbox.put(ClientOptOut("a@example.com", key=7))
        assert (await outbox.outcome(ticket, timeout=600)).key == 7


async def test_an_outcome_that_is_not_there_yet_is_pending_and_can_be_asked_for_again(
    sandbox: Sandbox, place: Place
) -> None:
    """The error is a TimeoutError, too; the record is delivered all the same."""
    sandbox.fault(Fault(FaultKind.SLOW, seconds=1.0, times=1))
    async with outbox_on(sandbox, place) as outbox:
        ticket = await outbox.put(client(1))
        for timeout in (0, 0.5):
            with pytest.raises(TimeoutError) as caught:
                await outbox.outcome(ticket, timeout=timeout)
            assert isinstance(caught.value, OutcomePending)
        assert (await outbox.outcome(ticket)).status is OutcomeStatus.DONE


@pytest.mark.parametrize(
    ("ticket", "words"),
    [("7-{name}", "no such record"), ("1-00000000", "another outbox"), ("x", "no ticket"), (5, "no ticket")],
)
async def test_a_ticket_that_is_none_is_refused(sandbox: Sandbox, place: Place, ticket: Any, words: str) -> None:
    """Of another outbox, never given, pruned, no ticket at all: each is said."""
    async with outbox_on(sandbox, place) as outbox:
        given = ticket.format(name=outbox._name) if isinstance(ticket, str) else ticket
        with pytest.raises(OutboxError, match=words):
            await outbox.outcome(given, timeout=1)


async def test_closing_leaves_what_was_not_sent_for_the_next(sandbox: Sandbox, place: Place) -> None:
    """It ends at once though a record waits, and that is sent by the outbox that is opened next."""
    loop = asyncio.get_running_loop()
    async with outbox_on(sandbox, place, max_delay=60.0) as outbox:
        ticket = await outbox.put(client(1))
        began = loop.time()
    assert loop.time() - began < 1
    assert applied(sandbox) == {}
    async with outbox_on(sandbox, place) as outbox:
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() - began < 2
    assert applied(sandbox) == addresses(1)


async def test_closing_waits_for_what_is_under_way(sandbox: Sandbox, place: Place) -> None:
    """A request that is out has its outcome written down, and told."""
    told: list[Outcome] = []
    arrived = slow(sandbox, 1.0)
    async with outbox_on(sandbox, place, on_outcome=told.append) as outbox:
        await outbox.put(client(1))
        await arrived.wait()
        assert told == []
    assert [outcome.status for outcome in told] == [OutcomeStatus.DONE]
    assert read_status(place).counts == {OutcomeStatus.DONE: 1}


@pytest.mark.parametrize("how", ["time", "cancel", "manager"])
async def test_a_close_that_has_no_time_leaves_the_rest_in_doubt_and_the_next_sends_it_again(
    sandbox: Sandbox, place: Place, how: str
) -> None:
    """What was under way may have been applied: it waits, in doubt, and is settled by sending it again."""
    arrived = slow(sandbox, 20.0)
    async with manager_on(sandbox, timeout=30.0) as manager:
        outbox = manager.omeda.opt_outs.outbox(place)
        async with outbox:
            ticket = await outbox.put(client(1))
            await arrived.wait()
            if how == "time":
                await outbox.aclose(timeout=1.0)
            elif how == "manager":
                await manager.aclose(timeout=1.0)
            else:
                closing = asyncio.create_task(outbox.aclose())
                await asyncio.sleep(0.1)
                closing.cancel()
                await asyncio.wait({closing})
                assert closing.cancelled()
    assert rows(place, "SELECT state, doubt, status FROM entries") == [(0, 1, 7)]
    async with outbox_on(sandbox, place) as outbox:
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
    assert "a1@example.com" in applied(sandbox)


@pytest.mark.parametrize("moment", [0, 1, 2, 3, 4, 6, 8, 10, 13, 16, 20, 25])
async def test_a_close_at_any_moment_that_is_cancelled_at_any_moment_loses_nothing(
    sandbox: Sandbox, place: Place, moment: int
) -> None:
    """Pass by pass through claiming, sending and writing down: each is delivered, by it or by the next."""
    async with manager_on(sandbox) as manager:
        outbox = await manager.omeda.opt_outs.outbox(place, max_delay=0.0, max_entries=2).__aenter__()
        tickets = [await outbox.put(client(number)) for number in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        closing = asyncio.create_task(outbox.aclose())
        for _ in range(1 + moment // 2):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        assert rows(place, "SELECT holder, until FROM lease") == [("", 0)]
        assert rows(place, "SELECT count(*) FROM entries WHERE state = 1") == [(0,)]
    async with outbox_on(sandbox, place) as outbox:
        outcomes = [await outbox.outcome(ticket, timeout=600) for ticket in tickets]
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
    assert applied(sandbox).keys() == addresses(*range(4)).keys()


async def test_a_close_while_nothing_can_be_written_ends_all_the_same(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for good: what was under way is in doubt, and the next sends it again."""
    arrived = slow(sandbox, 1.0)
    async with manager_on(sandbox) as manager:
        outbox = await manager.omeda.opt_outs.outbox(place).__aenter__()
        ticket = await outbox.put(client(1))
        await arrived.wait()
        store = outbox._keeper.store

        def full(*_: Any) -> None:
            raise OutboxError("the disk is full")

        for name in ("end", "release"):
            monkeypatch.setattr(store, name, full)
        async with asyncio.timeout(60):
            await outbox.aclose(timeout=5.0)
    async with outbox_on(sandbox, place) as outbox:
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE


async def test_an_outbox_that_is_closed_says_so(sandbox: Sandbox, place: Place) -> None:
    """Before it is opened and after; who waits for an outcome is told, and asks the next."""
    async with manager_on(sandbox) as manager:
        outbox = manager.omeda.opt_outs.outbox(place, max_delay=100.0)
        with pytest.raises(ClosedError, match="async with"):
            await outbox.put(client(1))
        await outbox.aclose()
        assert repr(outbox) == "<Outbox opt_outs.outbox: not open>"
        async with outbox:
            assert repr(outbox) == "<Outbox opt_outs.outbox: open>"
            ticket = await outbox.put(client(1))
            waiting = asyncio.create_task(outbox.outcome(ticket))
            await asyncio.sleep(1)
        with pytest.raises(ClosedError, match="ask again with the ticket"):
            await waiting
        for use in (outbox.put(client(2)), outbox.outcome(ticket), outbox.status(), outbox.prune(1)):
            with pytest.raises(ClosedError):
                await use
        with pytest.raises(ClosedError, match="opened before"):
            await outbox.__aenter__()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lease", 0),
        ("max_delay", -1),
        ("retention", float("nan")),
        ("give_up_after", "a day"),
        ("pii", "hsh"),
        ("priority", 1),
        ("max_entries", 0),
        ("on_outcome", 5),
    ],
)
async def test_an_option_out_of_range_is_refused_by_name(
    sandbox: Sandbox, place: Place, option: str, value: Any
) -> None:
    """Before the file is made; an option that there is not is a TypeError."""
    async with manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match=option):
            manager.omeda.opt_outs.outbox(place, **{option: value})
        with pytest.raises(TypeError, match="no option colour"):
            manager.omeda.opt_outs.outbox(place, **{option: value, "colour": "red"})
        for other in ("postgresql://localhost/x", "mysql://localhost/x?outbox=y", ""):
            with pytest.raises(ConfigurationError, match="outbox=NAME"):
                manager.omeda.opt_outs.outbox(other)
        for odd in ("postgresql://u:p@ss@localhost/x?outbox=y", "postgresql://localhost/x?outbox=y&colour=red"):
            with pytest.raises(ConfigurationError, match="must read postgresql://") as caught:
                manager.omeda.opt_outs.outbox(odd)
            assert "p@ss" not in str(caught.value)
        _ = manager.omeda.opt_outs.outbox(place, priority=Priority.BULK)
    assert isinstance(place, str) or not is_outbox(place)


@pytest.mark.parametrize("moment", range(12))
async def test_a_put_cancelled_at_any_moment_is_whole_or_not_there(sandbox: Sandbox, place: Place, moment: int) -> None:
    """Pass by pass of the loop: either it is delivered once, or it is not in the outbox; others are not disturbed."""
    async with outbox_on(sandbox, place) as outbox:
        others = [asyncio.create_task(outbox.put(client(number))) for number in (1, 2)]
        await asyncio.sleep(0)
        task = asyncio.create_task(outbox.put(client(3)))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task, *others})
        outcomes = [await outbox.outcome(one.result(), timeout=600) for one in others]
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        await asyncio.sleep(5)
        total = (await outbox.status()).total
    assert total == applied(sandbox).total()
    assert set(applied(sandbox).values()) == {1}
    assert task.cancelled() or total == 3
