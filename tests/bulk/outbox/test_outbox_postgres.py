"""What only an outbox in PostgreSQL meets: it is called, the server goes away, and others come at the same time."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from signal import SIGINT
from typing import Any

import psycopg
import pytest

from omeda_async import OutboxError, OutcomeStatus
from omeda_async.bulk.outbox import delivery, postgres_calls, postgres_sql, postgres_tables
from omeda_async.bulk.outbox.interface import LeaseLost
from omeda_async.outbox import is_outbox, read_status
from omeda_async.sandbox import Sandbox
from tests.bulk.outbox.test_outbox_crash import DONE, ended
from tests.bulk.outbox.test_outbox_postgres_within import connected, server_of
from tests.bulk.outbox_help import addresses, applied, client, crash, new, outbox_on, rows, slow, store_at
from tests.bulk.sandboxed import manager_on
from tests.limits.postgres_service import OwnPostgres, own_postgres


@pytest.fixture
def _nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody look without having been called."""
    for name in ("POLL", "POLL_DEAF"):
        monkeypatch.setattr(postgres_calls, name, 1e6)
    monkeypatch.setattr(postgres_calls, "AGAIN", 0.01)


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """Give a server of our own."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def server(own_server: OwnPostgres) -> Iterator[OwnPostgres]:
    """Give a server that a test may stop."""
    yield own_server
    if own_server.process.poll() is not None:
        own_server.start()


def processes(outbox: Any) -> list[int]:
    """The server's processes that an outbox speaks to, but for what it listens by."""
    store = outbox._keeper.store
    lines = [line._connection for line in (store._delivers, store._asks)]
    return [connection.info.backend_pid for connection in lines if connection is not None]


def terminate(url: str, condition: str) -> int:
    """End some of the server's processes; return how many."""
    with psycopg.connect(server_of(url), autocommit=True) as connection:
        sql = f"SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE {condition}"  # noqa: S608 our own words
        row = connection.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.real_clock
@pytest.mark.usefixtures("_nobody_looks")
async def test_a_commit_wakes_who_delivers_and_an_outcome_who_waits(sandbox: Sandbox, url: str) -> None:
    """By notifications alone, among two that have it open; the lease is taken over when it is given back."""
    async with outbox_on(sandbox, url, lease=1e6) as second:
        async with outbox_on(sandbox, url, lease=1e6) as first, connected(url) as connection:
            while not any(box._delivery.holds for box in (first, second)):  # noqa: ASYNC110 the lease is being taken
                await asyncio.sleep(0.01)
            other = second if first._delivery.holds else first
            ticket = await other.put(client(1), connection=connection)
            await connection.commit()
            assert (await other.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
        last = await second.put(client(2))
        assert (await second.outcome(last, timeout=30)).status is OutcomeStatus.DONE
    assert applied(sandbox) == addresses(1, 2)


@pytest.mark.real_clock
@pytest.mark.usefixtures("_nobody_looks")
async def test_a_connection_to_listen_by_that_is_cut_is_made_again_and_nothing_is_missed(
    sandbox: Sandbox, url: str
) -> None:
    """What was put meanwhile is looked for then; what is put later is heard of."""
    async with outbox_on(sandbox, url) as outbox, connected(url) as connection:
        for number in (1, 2):
            while not outbox._calls._hears:  # noqa: ASYNC110 it is being made
                await asyncio.sleep(0.01)
            channel = postgres_sql.channel_of(outbox._name)
            assert await asyncio.to_thread(terminate, url, f"query = 'LISTEN {channel}'") == 1
            ticket = await outbox.put(client(number), connection=connection)
            await connection.commit()
            assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
    assert applied(sandbox) == addresses(1, 2)


@pytest.mark.real_clock
async def test_connections_that_the_server_has_ended_cost_nobody_anything(sandbox: Sandbox, url: str) -> None:
    """They are made again for the next put, claim and outcome; no put fails."""
    arrived = slow(sandbox, 0.3)
    async with outbox_on(sandbox, url) as outbox:
        first = await outbox.put(client(1))
        await arrived.wait()
        pids = ",".join(map(str, processes(outbox)))
        assert await asyncio.to_thread(terminate, url, f"pid IN ({pids})") == 2
        second = await outbox.put(client(2))
        for ticket in (first, second):
            assert (await outbox.outcome(ticket, timeout=30)).status is OutcomeStatus.DONE
    assert applied(sandbox) == addresses(1, 2)


@pytest.mark.real_clock
async def test_a_server_that_is_away_for_a_time_loses_nothing(
    sandbox: Sandbox, server: OwnPostgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A put is refused meanwhile, and is not there; what was under way has its outcome when the server is back."""
    monkeypatch.setattr(delivery, "RETRY", 0.05)
    monkeypatch.setattr(postgres_calls, "AGAIN", 0.01)
    arrived = slow(sandbox, 0.3)
    url = f"{server.url}?outbox=x"
    async with outbox_on(sandbox, url, lease=60.0) as outbox:
        first = await outbox.put(client(1))
        await arrived.wait()
        await asyncio.to_thread(server.stop, SIGINT)
        with pytest.raises(OutboxError, match="is not there") as caught:
            await outbox.put(client(2))
        assert caught.value.sent is False
        while "outcomes could not be written down" not in caplog.text:  # noqa: ASYNC110 the log is asked
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.start)
        for ticket in (first, await outbox.put(client(3))):
            assert (await outbox.outcome(ticket, timeout=60)).status is OutcomeStatus.DONE
    assert applied(sandbox) == addresses(1, 3)
    assert read_status(url).counts == {OutcomeStatus.DONE: 2}


async def test_a_claim_whose_answer_is_lost_is_not(
    sandbox: Sandbox, moved_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one finds what it has claimed: that is sent once, some seconds later."""
    loop = asyncio.get_running_loop()
    async with outbox_on(sandbox, moved_url, max_delay=1.0) as outbox:
        line, lost = outbox._keeper.store._delivers, list[Any]()
        said = line.rows

        def deaf(sql: str, values: Any) -> Any:
            found = said(sql, values)
            if "claimed AS" in sql and not lost:
                lost.extend(found)
                raise OutboxError("the connection was closed", sent=True)
            return found

        monkeypatch.setattr(line, "rows", deaf)
        ticket = await outbox.put(client(1))
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert loop.time() < 10
    assert len(lost) == len(sandbox.requests) == 1


@pytest.mark.parametrize("kind", ["path", "moved_url"])
async def test_who_is_suspended_between_a_claim_and_its_request_sends_nothing_under_that_lease(
    sandbox: Sandbox, request: pytest.FixtureRequest, kind: str
) -> None:
    """It finds out before the first byte, ends its term, and sends the record under the next."""
    place, loop = request.getfixturevalue(kind), asyncio.get_running_loop()
    fences: list[Any] = []
    async with outbox_on(sandbox, place, timeout=20.0) as outbox:
        store = outbox._keeper.store
        claim = store.claim

        def suspended(fence: int, *given: Any) -> Any:
            claimed = claim(fence, *given)
            if claimed and not fences:
                loop._moving.now += 11.0  # type: ignore[attr-defined]  # the loop of these tests
                rows(place, "UPDATE lease SET fence = fence + 1")  # another had it, who is dead by now
            if claimed:
                fences.append((fence, len(sandbox.requests)))
            return claimed

        store.claim = suspended
        ticket = await outbox.put(client(1))
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE
        assert fences == [(1, 0), (3, 0)]
        assert rows(place, "SELECT fence FROM entries") == [(3,)]
    assert len(sandbox.requests) == 1


def test_a_lease_that_has_ended_by_the_server_s_clock_claims_nothing(moved_url: str, now: list[float]) -> None:
    """Also where nobody else has taken it; what was claimed before can be ended, and the lease renewed."""
    store = store_at(moved_url, lambda: 0.0)
    store.put([new(1), new(2)])
    fence = store.take("one", 10.0, 5.0)
    assert fence == 1
    assert [one.number for one in store.claim(fence, 1, 1000)] == [1]
    now[0] += 10.5
    with pytest.raises(LeaseLost):
        store.claim(fence, 1, 1000)
    store.end(fence, [ended(1)])
    assert [found.kept for found in store.find([1])] == [DONE]
    assert store.renew(fence)
    assert [one.number for one in store.claim(fence, 1, 1000)] == [2]
    store.close()


def at_once(work: Callable[[int], Any], number: int) -> list[Any]:
    """Do something in several threads at the same moment."""
    start = threading.Barrier(number)

    def begin(place: int) -> Any:
        start.wait()
        return work(place)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def test_of_several_who_take_the_lease_at_once_one_gets_it(url: str) -> None:
    """Each time another number, higher than all before."""
    stores = [store_at(url, lambda: 0.0) for _ in range(4)]
    fences = []
    for _ in range(10):
        taken = at_once(lambda place: stores[place].take("x", 60.0, 1.0), 4)
        [(place, fence)] = [(place, fence) for place, fence in enumerate(taken) if fence is not None]
        fences.append(fence)
        stores[place].release(fence)
    assert fences == list(range(1, 11))
    for store in stores:
        store.close()


def test_what_several_put_with_the_same_keys_at_once_is_put_once(url: str) -> None:
    """In whatever order each has them."""
    stores = [store_at(url, lambda: 0.0) for _ in range(4)]
    records = [new(number, f'"k{number}"') for number in range(20)]
    puts = at_once(lambda place: stores[place].put(records if place % 2 else records[::-1]), 4)
    numbers = [[one.number for one in (found if place % 2 else found[::-1])] for place, found in enumerate(puts)]
    assert all(one == numbers[0] for one in numbers)
    assert len(set(numbers[0])) == read_status(url).total == 20
    for store in stores:
        store.close()


def test_several_first_users_at_once_make_one_outbox(moved_url: str, now: list[float]) -> None:
    """No table is there before; all get the same."""
    assert now
    stores = at_once(lambda _: store_at(moved_url, lambda: 0.0), 4)
    assert len({store._box for store in map(_with_hash, stores)}) == 1
    assert rows(moved_url, "SELECT version FROM omeda_async_schemas WHERE part = 'outbox'") == [
        (len(postgres_tables.STEPS),)
    ]
    for store in stores:
        store.close()


def _with_hash(store: Any) -> Any:
    store._box = store._box._replace(identity=None)
    return store


@pytest.mark.parametrize("setting", ["datestyle%3DSQL,DMY", "standard_conforming_strings%3Doff"])
async def test_what_a_role_has_set_for_others_changes_nothing(sandbox: Sandbox, moved_url: str, setting: str) -> None:
    """Dates and bytes are read as they were written: a record put again is known, and the status says since when."""
    url = moved_url.replace("&outbox=", f"%20-c{setting}&outbox=")
    async with outbox_on(sandbox, url, max_delay=5.0) as outbox:
        for _ in range(2):
            ticket = await outbox.put(client(1), key="k")
        for status in (await outbox.status(), read_status(url)):
            assert (status.total, status.oldest is None, status.next_due is None) == (1, False, False)
        assert (await outbox.outcome(ticket, timeout=600)).status is OutcomeStatus.DONE


async def test_outboxes_of_other_names_are_others(sandbox: Sandbox, moved_url: str) -> None:
    """Each has its own lease, keys, records and tickets."""
    async with (
        outbox_on(sandbox, moved_url) as first,
        outbox_on(sandbox, f"{moved_url}-2", max_delay=1000.0) as second,
    ):
        mine, other = await first.put(client(1), key="k"), await second.put(client(2), key="k")
        assert (await first.outcome(mine, timeout=600)).status is OutcomeStatus.DONE
        with pytest.raises(OutboxError, match="another outbox"):
            await first.outcome(other, timeout=0)
        assert (await second.status()).waiting == 1
        assert await second.prune(older_than=0) == 0
        assert (await first.status()).total == 1


async def test_a_process_that_died_while_it_delivered_leaves_all_to_the_next(sandbox: Sandbox, moved_url: str) -> None:
    """Also what it had told the server, and has not heard the answer of."""
    async with manager_on(sandbox) as manager:
        outbox = await manager.omeda.opt_outs.outbox(moved_url, max_entries=2).__aenter__()
        tickets = [await outbox.put(client(number)) for number in range(6)]
        await crash(manager, outbox)
    async with outbox_on(sandbox, moved_url) as outbox:
        outcomes = [await outbox.outcome(ticket, timeout=600) for ticket in tickets]
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}


@pytest.mark.real_clock
async def test_no_secret_of_the_url_and_no_address_is_shown(
    sandbox: Sandbox, server: OwnPostgres, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the outbox, its status, its errors or the log, also while the server is away."""
    monkeypatch.setattr(delivery, "RETRY", 0.01)
    monkeypatch.setattr(postgres_calls, "AGAIN", 0.01)
    caplog.set_level(logging.DEBUG)
    url = f"{server.url.replace('postgres@', 'postgres:hunter2@')}?outbox=private&sslpassword=hunter3"
    async with outbox_on(sandbox, url, max_delay=5.0) as outbox:
        await outbox.put(client(1), key="a1@example.com")
        status = await outbox.status()
        assert status.place == f"postgresql://postgres@127.0.0.1:{server.port}/postgres?outbox=private"
        await asyncio.to_thread(server.stop, SIGINT)
        with pytest.raises(OutboxError) as caught:
            await outbox.put(client(2), key="a2@example.com")
        while "nobody can call the outbox" not in caplog.text:  # noqa: ASYNC110 the log is asked
            await asyncio.sleep(0.01)
        shown = [repr(outbox), repr(outbox._keeper.store._url), repr(status), str(caught.value), repr(caught.value)]
    assert not [text for text in (*shown, caplog.text) if "hunter" in text or "@example.com" in text]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE omeda_async_schemas SET version = 99 WHERE part = 'outbox'", "upgrade"),
        ("UPDATE omeda_async_outboxes SET identity = 'nonsense'", "damaged"),
        ("UPDATE omeda_async_outboxes SET identity = '{}'", "is another one"),
    ],
)
async def test_what_is_no_outbox_of_this_one_s_is_refused(
    sandbox: Sandbox, moved_url: str, sql: str, words: str
) -> None:
    """Tables of a newer version; rows that somebody else has written."""
    async with outbox_on(sandbox, moved_url):
        pass
    rows(moved_url, sql)
    with pytest.raises(OutboxError, match=words):
        async with outbox_on(sandbox, moved_url):
            pass


def test_an_outbox_that_nobody_has_opened_cannot_be_read(url: str, moved_url: str, now: list[float]) -> None:
    """Where there are tables, and where there are none; its URL is known for one all the same."""
    assert now
    store_at(f"{url}-other", lambda: 0.0).close()
    for where in (url, moved_url):
        assert is_outbox(where)
        with pytest.raises(OutboxError, match="nobody has opened one of this name"):
            read_status(where)


def test_a_format_is_made_of_the_one_before_it(
    moved_url: str, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an outbox is opened; what is in it stays, and is refused by readers of the old format."""
    assert now
    store = store_at(moved_url, lambda: 0.0)
    store.put([new(1)])
    store.close()
    step = "ALTER TABLE omeda_async_outbox_records ADD COLUMN more integer NOT NULL DEFAULT 5"
    with monkeypatch.context() as later:
        later.setattr(postgres_tables, "STEPS", (*postgres_tables.STEPS, step))
        with pytest.raises(OutboxError, match="brings them up to date"):
            read_status(moved_url)
        store_at(moved_url, lambda: 0.0).close()
        assert read_status(moved_url).waiting == 1
        assert rows(moved_url, "SELECT more FROM omeda_async_outbox_records") == [(5,)]
    with pytest.raises(OutboxError, match="upgrade"):
        read_status(moved_url)
