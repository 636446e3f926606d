"""Redis as the store of shared limits, command by command: on a moved clock, with a server in memory."""

import asyncio
import logging
from typing import Any

import pytest

pytest.importorskip("redis")
from redis.exceptions import ConnectionError as RedisConnectionError, MovedError, ResponseError

from omeda_async.limits._redis_link import Address
from omeda_async.limits._redis_store import RedisStore, script
from omeda_async.limits._store import Ask, Reply, StoreAway, StoreRefused
from tests.limits.fake_redis import LIMIT, FakeConnection, FakeRedis
from tests.limits.limits_help import until_idle


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    """A server to which all connections lead."""
    made = FakeRedis()
    monkeypatch.setattr(Address, "connection", lambda address, within: made.connection(address, within))  # noqa: PLW0108 as a method
    return made


def store_at(_: FakeRedis) -> RedisStore:
    """Make a client's way there."""
    return RedisStore("redis://home:7000/0", "spring", lambda: 0.25)


async def turn(store: RedisStore, number: int = 1) -> Reply:
    """Make a turn."""
    return await store.turn(Ask(client="me", number=number, rate_limit=LIMIT, lease=5.0))


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()


async def test_a_turn_is_one_command(server: FakeRedis) -> None:
    """With one key, which is kept for 35 days; before the first, the server is asked who it is."""
    store = store_at(server)
    for number in (1, 2):
        await turn(store, number)
    await until_idle()
    assert [server.count(name) for name in ("INFO", "CONFIG", "EVALSHA", "EVAL", "SUBSCRIBE")] == [1, 0, 2, 0, 1]
    (_, name, keys, key, _, life, drawn, kept), *_ = [one for one in server.asked if one[0] == "EVALSHA"]
    assert (name, keys, key) == (script()[1], 1, "omeda-async:limits:{spring}")
    assert (life, drawn, kept) == ("life 1", "0.25", 35 * 24 * 3600)
    assert ("SUBSCRIBE", "omeda-async:limits:{spring}:me") in server.asked
    await store.aclose()
    assert [connection.cuts for connection in server.connected] == [1, 1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_view_is_of_now(server: FakeRedis) -> None:
    """By the store's clock, and the time that has passed since it was read."""
    store = store_at(server)
    assert store.view() is None
    await asyncio.sleep(7.0)
    await turn(store)
    await asyncio.sleep(3.0)
    view = store.view()
    assert view is not None
    assert view.paused_for == pytest.approx(120.0 - 103.0, abs=0.01)
    await store.aclose()


async def test_who_waits_looks_every_five_seconds_and_twice_a_second_while_it_cannot_be_called(
    server: FakeRedis,
) -> None:
    """A call wakes it at once, and a turn gets all that was called before it."""
    store, moments = store_at(server), list[float]()

    async def changes() -> float:
        began = now()
        await store.changed()
        return now() - began

    server.instead["SUBSCRIBE"] = [ResponseError("NOPERM")]
    await turn(store)
    await until_idle()
    moments.append(await changes())
    await turn(store, 2)
    await until_idle()
    moments.append(await changes())  # what was called before it has listened is not known
    await turn(store, 3)
    moments.append(await changes())
    await turn(store, 4)
    asyncio.get_running_loop().call_later(2.0, server.messages.put_nowait, ["message"])
    moments.append(await changes())
    assert moments == pytest.approx([0.5, 0.0, 5.0, 2.0], abs=0.01)
    await store.aclose()


async def test_a_line_that_breaks_is_noticed_and_made_anew(server: FakeRedis, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits looks at once; the log says why, for who looks closely."""
    store = store_at(server)
    await turn(store)
    await until_idle()
    await turn(store, 2)
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        server.messages.put_nowait(RedisConnectionError("gone"))
        began = now()
        await store.changed()
    assert now() - began == pytest.approx(0.0, abs=0.01)
    assert [one.getMessage() for one in caplog.records] == [
        "redis://home:7000/0 does not tell of changes: ConnectionError"
    ]
    assert (server.connected[1].cuts, store._listens) == (1, False)
    await turn(store, 3)
    await until_idle()
    assert (server.count("SUBSCRIBE"), store._listens) == (2, True)
    await store.aclose()


@pytest.mark.parametrize("number", [1, 2])
async def test_a_turn_is_made_again_where_its_connection_was_cut_since_the_last(server: FakeRedis, number: int) -> None:
    """Once: where it is new, and breaks in its first turn, the store is away."""
    store = store_at(server)
    await turn(store)
    await until_idle()
    server.instead["EVALSHA"] = [RedisConnectionError("reset")] * number
    if number == 1:
        await turn(store, 2)
        began = now()
        await store.changed()  # had that turn been made, the other says nothing
        assert now() == pytest.approx(began, abs=0.01)
    else:
        with pytest.raises(StoreAway, match="reset"):
            await turn(store, 2)
        assert store._link is None
    assert (server.count("EVALSHA"), server.count("INFO")) == (3, 2)
    assert server.connected[0].cuts == 1
    await store.aclose()


async def test_a_connection_that_breaks_in_its_first_turn_is_not_used_again(server: FakeRedis) -> None:
    """Nor one whose turn was cancelled, or refused."""
    store = store_at(server)
    for broken in (1, 2):
        server.instead["EVALSHA"] = [RedisConnectionError("reset")]
        with pytest.raises(StoreAway, match="reset"):
            await turn(store)
        assert (server.count("EVALSHA"), server.count("INFO")) == (broken, broken)
    server.instead["EVALSHA"] = [lambda _: asyncio.Event().wait()]
    waits = asyncio.create_task(turn(store))
    await until_idle()
    waits.cancel()
    await asyncio.wait({waits})
    server.instead["EVALSHA"] = [ResponseError("ERR no")]
    with pytest.raises(StoreRefused, match="it answers ERR no"):
        await turn(store)
    await turn(store)
    server.instead["EVALSHA"] = [ResponseError("ERR no")]
    with pytest.raises(StoreRefused, match="it answers ERR no"):
        await turn(store)
    assert (server.count("EVALSHA"), server.count("INFO")) == (6, 5)
    await store.aclose()
    assert all(connection.cuts == 1 for connection in server.connected)


async def test_a_turn_that_is_under_way_when_the_store_is_closed_is_not_made_again(server: FakeRedis) -> None:
    """Nothing is opened any more."""
    store = store_at(server)
    await turn(store)

    async def close(_: FakeConnection) -> None:
        store._closed = True
        raise RedisConnectionError("cut")

    server.instead["EVALSHA"] = [close]
    with pytest.raises(StoreAway, match="cut"):
        await turn(store, 2)
    with pytest.raises(StoreAway, match="it is closed"):
        await turn(store, 3)
    assert server.count("EVALSHA") == 2
    await store.aclose()


async def test_a_cluster_that_sends_one_about_is_away(server: FakeRedis) -> None:
    """After three times; then it begins anew, where it was sent to last."""
    store = store_at(server)
    server.instead["EVALSHA"] = [MovedError(f"1 node{place}:7001") for place in range(9)]
    with pytest.raises(StoreAway, match="its cluster is being changed"):
        await turn(store)
    assert server.count("EVALSHA") == 3
    server.instead.clear()
    await turn(store)
    hosts = [one.host for one in server.connected if ("INFO",) in one.asked]
    assert hosts == ["home", "node0", "node1", "node2"]
    await store.aclose()


async def test_a_node_that_is_gone_is_left_for_the_one_that_was_named(server: FakeRedis) -> None:
    """It knows who has the key now; what does not answer is let go of."""
    store = store_at(server)
    server.instead["EVALSHA"] = [MovedError("1 node:7001")]
    server.instead["INFO"] = [None, RedisConnectionError("gone")]
    with pytest.raises(StoreAway, match="gone"):
        await turn(store)
    await turn(store)
    asked = [one for one in server.connected if ("INFO",) in one.asked]
    assert [one.host for one in asked] == ["home", "node", "home"]
    assert [one.cuts for one in asked] == [1, 1, 0]
    await store.aclose()


async def test_a_connection_whose_server_was_not_asked_to_the_end_is_let_go(server: FakeRedis) -> None:
    """It was cancelled meanwhile."""
    store = store_at(server)
    server.instead["INFO"] = [lambda _: asyncio.Event().wait()]
    waits = asyncio.create_task(turn(store))
    await until_idle()
    waits.cancel()
    await asyncio.wait({waits})
    assert [one.cuts for one in server.connected if ("INFO",) in one.asked] == [1]
    await store.aclose()


@pytest.mark.parametrize(
    ("version", "will_do"),
    [("7", True), ("7.0.15", True), ("8.0", True), ("6.2.14", False), ("6.2-rc1", False), ("edge", True), ("", True)],
)
async def test_a_server_is_to_be_of_version_seven(server: FakeRedis, version: str, *, will_do: bool) -> None:
    """What does not say which it is may do."""
    server.facts |= {"redis_version": version, "executable": "/a:b:c"}
    store = store_at(server)
    if will_do:
        await turn(store)
    else:
        with pytest.raises(StoreRefused, match=f"it is Redis {version}: 7 is needed, or Valkey"):
            await turn(store)
    await store.aclose()


@pytest.mark.parametrize(
    ("facts", "error", "said"),
    [
        ({"role": "slave"}, StoreAway, "it is a replica"),
        ({"run_id": ""}, StoreRefused, "it does not tell its run_id in INFO"),
        ({"maxmemory_policy": "allkeys-lru"}, StoreRefused, "its maxmemory-policy is allkeys-lru"),
    ],
)
async def test_a_server_that_will_not_do_is_not_asked_for_anything(
    server: FakeRedis, facts: dict[str, str], error: type[Exception], said: str
) -> None:
    """It says why."""
    server.facts |= facts
    store = store_at(server)
    with pytest.raises(error, match=said):
        await turn(store)
    assert (server.count("EVALSHA"), store._link) == (0, None)
    assert [one.cuts for one in server.connected if ("INFO",) in one.asked] == [1]
    await store.aclose()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([b"maxmemory-policy", b"noeviction"], ""),
        ([b"maxmemory-policy", b"volatile-ttl"], "volatile-ttl"),
        ([], "warned"),
        (ResponseError("NOPERM"), "warned"),
    ],
)
async def test_what_is_not_told_at_once_is_asked_for(
    server: FakeRedis, caplog: pytest.LogCaptureFixture, answer: Any, said: str
) -> None:
    """Some hosts keep it to themselves in both places."""
    del server.facts["maxmemory_policy"]
    server.instead["CONFIG"] = [answer if isinstance(answer, Exception) else lambda _: answer]
    store = store_at(server)
    if said == "volatile-ttl":
        with pytest.raises(StoreRefused, match="its maxmemory-policy is volatile-ttl"):
            await turn(store)
    else:
        await turn(store)
        server.instead |= {"EVALSHA": [RedisConnectionError("cut")], "CONFIG": [lambda _: []] * 2}
        await turn(store, 2)
        assert server.count("CONFIG") == 2
    if said != "volatile-ttl":
        assert [record.levelname for record in caplog.records] == ["WARNING"]  # and not each time
    assert ("CONFIG", "GET", "maxmemory-policy") in server.asked
    await store.aclose()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("OMEDAVERSION 9", r"another version of omeda-async keeps its limits there \(format 9, and this one's is 1\)"),
        ("OMEDASTATE", "what it keeps is not the state of an account's limits"),
    ],
)
async def test_what_is_kept_and_cannot_be_read_is_told_of(server: FakeRedis, answer: str, said: str) -> None:
    """By the script, which leaves it as it is."""
    store = store_at(server)
    server.instead["EVALSHA"] = [ResponseError(answer)]
    with pytest.raises(StoreRefused, match=f"^{said}$"):
        await turn(store)
    await store.aclose()


async def test_a_turn_takes_a_second_at_the_most(server: FakeRedis) -> None:
    """Where nothing else is said."""
    store, began = store_at(server), now()
    server.instead["INFO"] = [lambda _: asyncio.Event().wait()]
    with pytest.raises(StoreAway, match=r"^no answer within 1 s$"):
        await turn(store)
    assert now() - began == pytest.approx(1.0, abs=0.01)
    await store.aclose()


async def test_a_store_that_was_never_used_is_closed(server: FakeRedis) -> None:
    """There is nothing to let go of."""
    store = store_at(server)
    await store.aclose()
    with pytest.raises(StoreAway, match="it is closed"):
        await turn(store)
    assert server.asked == []


async def test_who_listens_ends_though_it_swallows_that_it_is_cancelled(
    server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py does now and then: its connection is cut, and that ends it."""

    async def deaf(_: FakeRedis, connection: FakeConnection) -> None:
        while connection.is_connected:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        raise RedisConnectionError("cut")

    monkeypatch.setattr(FakeRedis, "called_out", deaf)
    store = store_at(server)
    await turn(store)
    await until_idle()
    began = now()
    await store.aclose()
    assert now() == pytest.approx(began, abs=0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}
