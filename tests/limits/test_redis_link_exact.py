"""One connection to Redis, step by step: on a moved clock, with a server in memory."""

import asyncio
import gc
from typing import Any

import pytest

pytest.importorskip("redis")
from redis.exceptions import (
    AuthenticationError,
    ConnectionError as RedisConnectionError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)

from omeda_async import _bounded as module
from omeda_async._bounded import late_ones
from omeda_async.limits._redis_link import Address, Link, explained
from omeda_async.limits._store import StoreAway, StoreRefused
from omeda_async.testing import run_moved
from tests.limits.fake_redis import FakeConnection, FakeRedis
from tests.limits.limits_help import until_idle

WITHIN = 0.25


def linked(server: FakeRedis) -> tuple[Link, FakeConnection]:
    """Make a connection that is not open yet."""
    connection = FakeConnection(server, "host")
    return Link(connection, WITHIN), connection


def test_a_connection_does_what_a_turn_needs_whatever_the_address_says() -> None:
    """Nothing is tried again, and nothing comes but answers and messages, as they are."""
    address = Address(
        "redis://me:secret@cache:6380/5?socket_timeout=9&socket_connect_timeout=9&retry_on_timeout=yes"
        "&health_check_interval=9&protocol=3&decode_responses=yes"
    )
    connection = address.connection(2.5)
    assert (connection.host, connection.port, connection.db) == ("cache", 6380, 5)
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (None, 2.5)
    assert (connection.retry_on_timeout, connection.health_check_interval, int(connection.protocol)) == (False, 0, 2)
    assert connection.encoder.decode_responses is False


def test_an_option_that_no_connection_has_is_refused_at_once() -> None:
    """Not when the first turn is made."""
    with pytest.raises(ValueError, match="no option of a connection"):
        Address("redis://cache/0?nonsense=1")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://cache:1/0", "redis://cache:1/0"),
        ("rediss://[::1]/3", "rediss://[::1]:6379/3"),
        ("unix:///run/redis", "unix:///run/redis"),
        ("unix:///run/redis?db=2", "unix:///run/redis?db=2"),
    ],
)
def test_an_address_has_a_name_without_secrets(url: str, name: str) -> None:
    """With what is meant where nothing is said."""
    assert Address(url).name == name


def test_a_cluster_is_followed_and_left_as_often_as_it_takes() -> None:
    """A node that does not say its host is on the one that was named."""
    address = Address("redis://:secret@home:7000/0")
    for moved, place in (("1 other:7001", ("other", 7001)), ("1 :7002", ("home", 7002))):
        address.follow(MovedError(moved))
        connection = address.connection(1.0)
        assert (connection.host, connection.port, connection.password) == (*place, "secret")
        address.go_home()
        connection = address.connection(1.0)
        assert (connection.host, connection.port) == ("home", 7000)


async def test_a_connection_is_opened_by_the_first_command_and_no_other() -> None:
    """It is not opened again once it is cut."""
    server = FakeRedis()
    link, connection = linked(server)
    link.cut()
    assert (connection.cuts, server.connected) == (0, [])
    for _ in range(2):
        assert await link.call("PING") == b"OK"
    assert (server.connected, server.asked) == ([connection], [("PING",), ("PING",)])
    link.cut()
    assert (connection.cuts, connection.is_connected) == (1, False)
    with pytest.raises(ConnectionError, match="closed"):
        await link.call("PING")
    assert server.connected == [connection]


async def test_a_command_that_is_late_is_cut_off_and_seen_to_its_end() -> None:
    """Though it swallows that it was cancelled; who ends waits for it."""
    server, loop, swallowed = FakeRedis(), asyncio.get_running_loop(), list[float]()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    link, connection = linked(server)

    async def deaf(connection: FakeConnection) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(loop.time())
        await asyncio.sleep(3.0)
        await connection.connect()  # as redis-py does now and then
        raise OSError("in the end")

    server.instead["PING"] = [deaf]
    began = loop.time()
    with pytest.raises(StoreAway, match=r"^no answer within 0\.25 s$"):
        await link.call("PING")
    assert loop.time() - began == pytest.approx(0.25, abs=0.001)
    assert connection.cuts == 1
    await asyncio.sleep(0.0)
    assert swallowed == [pytest.approx(began + 0.25, abs=0.001)]
    await late_ones(1.0)
    assert loop.time() - began == pytest.approx(1.25, abs=0.001)
    await late_ones(10.0)
    assert loop.time() - began == pytest.approx(3.25, abs=0.001)
    await until_idle()
    assert (connection.cuts, connection.is_connected, module._late) == (2, False, set())
    began = loop.time()
    await late_ones(10.0)
    assert loop.time() == pytest.approx(began, abs=0.001)
    gc.collect()
    assert complaints == []


async def test_a_command_that_is_cancelled_is_cut_off_at_once() -> None:
    """It hears of that, and nobody waits for it."""
    server, loop = FakeRedis(), asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    link, connection = linked(server)
    server.instead["PING"] = [lambda _: asyncio.Event().wait()]
    call = asyncio.create_task(link.call("PING"))
    await until_idle()
    call.cancel()
    await asyncio.wait({call})
    assert (call.cancelled(), connection.cuts, connection.is_connected) == (True, 1, False)
    await until_idle()
    assert (module._late, complaints) == (set(), [])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("fails", [True, False])
async def test_a_command_that_ends_in_the_moment_it_is_cancelled_is_not_complained_of(*, fails: bool) -> None:
    """Its answer, or its error, is nobody's."""
    server, loop = FakeRedis(), asyncio.get_running_loop()
    complaints: list[Any] = []
    calls: list[asyncio.Task[Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    link, connection = linked(server)
    goes_on: asyncio.Future[None] = loop.create_future()

    async def wait(_: FakeConnection) -> bytes:
        await goes_on
        calls.pop().cancel()
        if fails:
            raise OSError("just now")
        return b"OK"

    server.instead["PING"] = [wait]
    call = asyncio.create_task(link.call("PING"))
    calls.append(call)
    await until_idle()
    goes_on.set_result(None)
    await asyncio.wait({call})
    assert (call.cancelled(), connection.is_connected, module._late) == (True, False, set())
    del call
    gc.collect()
    await until_idle()
    assert complaints == []


def test_what_is_late_on_another_loop_is_not_waited_for() -> None:
    """It is of no concern here."""
    other = asyncio.SelectorEventLoop()
    task = other.create_task(asyncio.sleep(0.0))
    module._late.add(task)
    try:
        run_moved(late_ones(5.0))  # a loop of its own may not wait for it, and says so
    finally:
        module._late.clear()
        other.run_until_complete(task)
        other.close()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (AuthenticationError("wrong: hunter2"), StoreRefused, "it does not take the user name and password"),
        (NoPermissionError("no evalsha"), StoreRefused, "its user may not do what is needed: no evalsha"),
        (ResponseError("ERR nonsense"), StoreRefused, "it answers ERR nonsense"),
        (ResponseError("x" * 300), StoreRefused, f"it answers {'x' * 200}"),
        (ResponseError("BUSY running a script"), StoreAway, "BUSY running a script"),
        (ResponseError("BUSYKEY exists"), StoreRefused, "it answers BUSYKEY exists"),
        (OutOfMemoryError("no memory"), StoreAway, "no memory"),
        (RedisConnectionError("gone"), StoreAway, "gone"),
        (RedisError(), StoreAway, "RedisError"),
        (OSError("no route"), StoreAway, "no route"),
    ],
)
def test_what_an_error_means(error: Exception, kind: type[Exception], said: str) -> None:
    """What goes away by itself is waited for; what does not is said, in two hundred signs."""
    found = explained(error)
    assert (type(found), str(found)) == (kind, said)


def test_an_error_of_something_else_stays_what_it_is() -> None:
    """It is a mistake of ours."""
    with pytest.raises(ZeroDivisionError):
        explained(ZeroDivisionError())
