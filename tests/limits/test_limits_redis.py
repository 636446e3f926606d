"""Redis as the store of shared limits: what is granted, whom it wakes, and what is promised when it fails."""

import asyncio
import contextlib
import gc
import json
import logging
import secrets
import shutil
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from omeda_async.errors import ConfigurationError, LimitWaitExceeded
from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._store import Ask, Ended, Reply, StoreAway, StoreRefused
from omeda_async.limits._store_limiter import StoreLimiter
from omeda_async.limits._where import open_store
from tests.limits.redis_service import OwnServer, free_port, own_server

pytest.importorskip("redis")
from omeda_async.limits._redis_store import RedisStore

pytestmark = pytest.mark.real_clock
LIMIT = RateLimit(Window(5, 20.0), interactive_reserve=0)
SHORT = 0.15
"""Seconds that a turn may take, where it is to take too long."""


@attrs.define
class Client:
    """One client of a store."""

    name: str
    store: RedisStore
    number: int = 0

    async def ask(self, **wants: Any) -> Reply:
        """Make one turn."""
        self.number += 1
        return await self.store.turn(Ask(client=self.name, number=self.number, rate_limit=LIMIT, lease=5.0, **wants))


class Account:
    """One account at a server."""

    def __init__(self, server: OwnServer) -> None:
        """Make up a name."""
        self.server = server
        self.name = secrets.token_hex(8)
        self.key = f"omeda-async:limits:{{{self.name}}}"
        self._stores: list[RedisStore] = []

    def client(self, name: str, *, url: str | None = None, within: float = 5.0) -> Client:
        """Add a client."""
        store = RedisStore(url or self.server.url, self.name, lambda: 0.5, within=within)
        self._stores.append(store)
        return Client(name, store)

    async def kept(self) -> Any:
        """Return the state."""
        return json.loads((await self.server.says("GET", self.key)).split(b"\r\n")[1])

    async def past_the_hold(self, client: Client) -> None:
        """Let the hold be over that every state begins with."""
        await client.ask()
        state = await self.kept()
        assert state["hold_until"] > 20
        assert await self.server.says("SET", self.key, json.dumps(state | {"hold_until": 0.0})) == b"+OK\r\n"

    async def aclose(self) -> None:
        """Close the stores."""
        for store in self._stores:
            await store.aclose()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server that no test stops."""
    yield from own_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server that this test may stop."""
    yield from own_server(tmp_path)


@contextlib.asynccontextmanager
async def account_at(server: OwnServer) -> AsyncIterator[Account]:
    """Give an account, and close its stores."""
    account = Account(server)
    try:
        yield account
    finally:
        await account.aclose()


@pytest.fixture
async def account(shared_server: OwnServer) -> AsyncIterator[Account]:
    """An account at the server that no test stops."""
    async with account_at(shared_server) as made:
        yield made


async def test_nothing_goes_before_a_window_and_a_lease_have_passed(account: Account) -> None:
    """The first client of all does not know who has sent what before."""
    reply = await account.client("a").ask(bulk=1)
    assert reply.permits == ()
    assert reply.held_for == pytest.approx(25.02, abs=0.01)
    assert reply.again_in == pytest.approx(25.02, abs=0.01)


async def test_two_clients_share_one_budget(account: Account) -> None:
    """What one has taken is not there for the other."""
    one, other = account.client("a"), account.client("b")
    await account.past_the_hold(one)
    mine = await one.ask(interactive=1, bulk=2)
    theirs = await other.ask(bulk=9)
    assert [priority for _, priority in mine.permits] == [Priority.INTERACTIVE, Priority.BULK, Priority.BULK]
    assert len(theirs.permits) == 2
    assert not {number for number, _ in mine.permits} & {number for number, _ in theirs.permits}


async def test_a_client_is_woken_by_the_turn_of_another(account: Account) -> None:
    """The message comes from the script, and long before the client would look again by itself."""
    one, other = account.client("a"), account.client("b")
    await account.past_the_hold(one)
    permits = [number for number, _ in (await one.ask(bulk=5)).permits]
    assert (await other.ask(bulk=1)).permits == ()
    while not other.store._listens:
        await other.store.changed()
    await other.ask(bulk=1)
    woken = asyncio.create_task(other.store.changed())
    reply = await one.ask(ended=[Ended(permits[0], sent=False)], held=permits[1:])
    assert reply.calls == ("b",)
    async with asyncio.timeout(0.5):
        await woken
    assert len((await other.ask(bulk=1)).permits) == 1


async def test_a_client_that_cannot_be_called_looks_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its subscription is cut and refused; nothing is waited for longer than that takes."""
    client = account.client("a")
    await client.ask()
    while not client.store._listens:
        await client.store.changed()
    waits = asyncio.create_task(client.store.changed())
    await account.server.says("CLIENT", "KILL", "TYPE", "pubsub")
    async with asyncio.timeout(2.0):
        await waits
    assert not client.store._listens
    monkeypatch.setattr("omeda_async.limits._redis_store.LOOK_SOON", 0.01)
    client.store._called.clear()
    async with asyncio.timeout(1.0):
        await client.store.changed()
    await client.ask()
    while not client.store._listens:
        await client.store.changed()


async def test_the_view_shows_what_the_last_turn_has_left(account: Account) -> None:
    """Clients, slots, and who waits."""
    one, other = account.client("a"), account.client("b")
    assert one.store.view() is None
    await account.past_the_hold(one)
    await one.ask(bulk=3)
    await other.ask(bulk=4)
    view = other.store.view()
    assert view is not None
    assert (view.clients, view.in_flight, view.waiting[Priority.BULK], view.windows[0].free) == (2, 5, 2, 0)


async def test_the_key_stands_in_one_slot_and_lasts_a_month(account: Account) -> None:
    """An account that is used once a month is never held for having been forgotten."""
    await account.client("a").ask()
    left = await account.server.says("PTTL", account.key)
    assert 34 * 86_400_000 < int(left[1:]) <= 35 * 86_400_000
    assert account.key.endswith(f"{{{account.name}}}")


async def test_a_script_that_the_server_has_forgotten_is_sent_again(account: Account) -> None:
    """It forgets them at a restart, or when told to."""
    client = account.client("a")
    await account.past_the_hold(client)
    assert await account.server.says("SCRIPT", "FLUSH", "SYNC") == b"+OK\r\n"
    assert len((await client.ask(bulk=1)).permits) == 1


async def test_lost_data_hold_everything(account: Account) -> None:
    """Nobody knows any more what was sent."""
    client = account.client("a")
    await account.past_the_hold(client)
    assert len((await client.ask(bulk=1)).permits) == 1
    await account.server.says("DEL", account.key)
    reply = await client.ask(bulk=1)
    assert (reply.permits, reply.held_for > 20) == ((), True)


async def test_another_life_of_the_server_holds_everything(server: OwnServer) -> None:
    """Restarted with its data, as from a copy on disk: what came after that copy is lost."""
    async with account_at(server) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        assert len((await client.ask(bulk=1)).permits) == 1
        state = await account.kept()
        server.kill()
        server.start()
        await server.says("SET", account.key, json.dumps(state))
        reply = await client.ask(bulk=1)
        assert (reply.permits, reply.held_for > 20) == ((), True)


async def test_a_connection_that_was_closed_is_not_opened_again_unseen(server: OwnServer) -> None:
    """It may lead to another life of the server: a new connection asks for it first."""
    async with account_at(server) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        link = client.store._link
        assert link is not None
        await link._connection.disconnect(nowait=True)
        with pytest.raises(ConnectionError, match="closed"):
            await link.call("PING")
        assert len((await client.ask(bulk=1)).permits) == 1
        assert client.store._link is not link


async def test_a_server_that_is_gone_is_away_and_one_that_comes_back_holds(server: OwnServer) -> None:
    """Killed, it answers nothing; restarted, it has lost everything, and says so."""
    async with account_at(server) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreAway, match="Connect"):
                await client.ask(bulk=1)
        server.start()
        reply = await client.ask(bulk=1)
        assert (reply.permits, reply.held_for > 20) == ((), True)


async def test_a_server_that_stands_still_is_away_in_good_time(server: OwnServer) -> None:
    """What it did with the turn is not known; when it goes on, the permits of the lost reply come back."""
    async with account_at(server) as account:
        client = account.client("a", within=SHORT)
        await account.past_the_hold(client)
        server.suspend()
        for _ in range(2):
            with pytest.raises(StoreAway, match=r"no answer within 0\.15 s|Timeout connecting"):
                await client.ask(bulk=4)
        server.go_on()
        for _ in range(20):
            try:
                reply = await client.ask(bulk=4)
                break
            except StoreAway:
                continue  # it has much to make up for
        assert len(reply.permits) == 4


@contextlib.asynccontextmanager
async def line_to(port: int, *, on_answer: Callable[[], bool]) -> AsyncIterator[int]:
    """Give the port of a line to a server, which is cut instead of passing on an answer where ``on_answer`` says so."""
    lines = set[asyncio.Task[Any]]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while (data := await reader.read(65_536)) and not (answers and on_answer()):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.add(typing.cast("asyncio.Task[Any]", asyncio.current_task()))
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, ours, answers=False), pump(theirs, writer, answers=True))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]
    await asyncio.wait(lines, timeout=1.0)


async def test_a_connection_cut_in_the_middle_of_a_turn_loses_no_permit(account: Account) -> None:
    """The turn was made, and its reply never came: the same turn again gives nothing, and the next one all of it."""
    cut_next: list[bool] = []
    async with line_to(account.server.port, on_answer=lambda: bool(cut_next and cut_next.pop())) as port:
        client = account.client("a", url=f"redis://127.0.0.1:{port}/0")
        await account.past_the_hold(client)
        while not client.store._listens:
            await client.store.changed()
        cut_next.append(True)
        assert (await client.ask(bulk=5)).permits == ()
        async with asyncio.timeout(0.5):
            await client.store.changed()
        assert len((await client.ask(bulk=5)).permits) == 5
        await client.store.aclose()


async def test_a_cancelled_turn_leaves_nothing_behind(account: Account) -> None:
    """Wherever it stood: the next turn gets its own answer, and what the cancelled one was given comes back."""
    client = account.client("a")
    await account.past_the_hold(client)
    for passes in range(40):
        turn = asyncio.ensure_future(client.ask(bulk=5))
        for _ in range(passes % 20):
            await asyncio.sleep(0)
        turn.cancel()
        await asyncio.wait({turn})
    await client.ask()
    assert len((await client.ask(bulk=9)).permits) == 5


async def test_the_store_ends_with_its_loop() -> None:
    """Closed in the middle of everything, it leaves no task."""
    store = RedisStore("redis://127.0.0.1:1/0", "x", lambda: 0.5)
    with pytest.raises(StoreAway):
        await Client("a", store).ask()
    await store.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(StoreAway, match="closed"):
        await Client("a", store).ask()


async def test_a_command_that_fails_as_it_is_cancelled_is_not_complained_of() -> None:
    """Its error is nobody's any more."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    for passes in range(24):
        store = RedisStore("redis://127.0.0.1:1/0", "x", lambda: 0.5)
        turn = asyncio.ensure_future(Client("a", store).ask())
        for _ in range(passes):
            await asyncio.sleep(0)
        turn.cancel()
        await asyncio.wait({turn})
        await store.aclose()
        if not turn.cancelled():
            turn.exception()
        del turn
    gc.collect()
    assert told == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_evict_is_refused(server: OwnServer, policy: str) -> None:
    """The limits would be gone in the middle of everything."""
    await server.says("CONFIG", "SET", "maxmemory-policy", policy)
    async with account_at(server) as account:
        with pytest.raises(StoreRefused, match=f"maxmemory-policy is {policy}: set it to noeviction"):
            await account.client("a").ask()


def test_a_policy_that_is_kept_secret_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Some hosts answer neither INFO memory nor CONFIG."""
    store = RedisStore("redis://cache:6379/0", "x", lambda: 0.5)
    for _ in range(2):
        store._check_policy(None)
    assert [record.getMessage() for record in caplog.records] == [
        "redis://cache:6379/0 does not tell its maxmemory-policy: limits hold with noeviction only"
    ]


async def test_a_server_without_memory_is_away_and_keeps_what_it_had(server: OwnServer) -> None:
    """The turn is not made; it is made when there is room again."""
    async with account_at(server) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        await server.says("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreAway, match="maxmemory"):
            await client.ask(bulk=1)
        await server.says("CONFIG", "SET", "maxmemory", "0")
        assert len((await client.ask(bulk=1)).permits) == 1


async def test_a_replica_is_away(server: OwnServer) -> None:
    """It may be behind, and takes nothing; whoever was a master a moment ago too."""
    async with account_at(server) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        await server.says("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreAway, match="read only replica"):
            await client.ask(bulk=1)
        with pytest.raises(StoreAway, match="it is a replica"):
            await client.ask(bulk=1)


async def test_a_password_is_shown_nowhere(server: OwnServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a right one nor a wrong one: not in names, errors, logs or representations."""
    caplog.set_level(logging.DEBUG)
    await server.says("CONFIG", "SET", "requirepass", "open-sesame")
    async with account_at(server) as account:
        right = account.client("a", url=f"redis://:open-sesame@127.0.0.1:{server.port}/0")
        assert (await right.ask()).held_for > 20
        wrong = account.client("b", url=f"redis://:shut-sesame@127.0.0.1:{server.port}/0")
        with pytest.raises(StoreRefused, match="does not take the user name and password") as refused:
            await wrong.ask()
        without = account.client("c")
        with pytest.raises(StoreRefused, match="does not take the user name and password"):
            await without.ask()
        shown = [right.store.name, repr(vars(refused.value)), str(refused.value), repr(right.store), caplog.text]
    assert "sesame" not in " ".join(shown)
    assert right.store.name == f"redis://127.0.0.1:{server.port}/0"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://:pass-word@host:pass-word/0", "redis://host:6379/0"),
        ("http://:pass-word@host/0", "redis://host:6379/0"),
        ("redis://:pass-word@host/0?pass-word=1", "is no option of a connection"),
        ("redis://:pass-word@host/0?protocol=x", "redis://host:6379/0"),
        ("redis://:pass-word@host/0?socket_timeout=x", "redis://host:6379/0"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(url: str, message: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match=message) as refused:
        RedisStore(url, "x", lambda: 0.5)
    assert "pass-word" not in str(refused.value)
    assert refused.value.__suppress_context__


async def test_a_user_who_may_not_publish_only_waits_longer(account: Account) -> None:
    """Messages make waits shorter, and are no more than that."""
    user = ("ACL", "SETUSER", "quiet", "on", ">x", "~*", "resetchannels", "+@all", "-publish", "-subscribe")
    assert await account.server.says(*user) == b"+OK\r\n"
    one = account.client("a", url=f"redis://quiet:x@127.0.0.1:{account.server.port}/0")
    other = account.client("b")
    await account.past_the_hold(one)
    permits = [number for number, _ in (await one.ask(bulk=5)).permits]
    await other.ask(bulk=1)
    assert (await one.ask(ended=[Ended(permits[0], sent=False)], held=permits[1:])).calls == ("b",)
    assert not one.store._listens


async def test_a_user_who_may_not_run_scripts_is_refused(account: Account) -> None:
    """It says what may not be done."""
    await account.server.says("ACL", "SETUSER", "idle", "on", ">x", "~*", "&*", "+@all", "-evalsha")
    client = account.client("a", url=f"redis://idle:x@127.0.0.1:{account.server.port}/0")
    with pytest.raises(StoreRefused, match="evalsha"):
        await client.ask()


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ([("SET", "nonsense")], "is not the state of an account's limits"),
        ([("SET", "{}")], "another version of omeda-async keeps its limits there"),
        ([("SET", '{"version":2}')], r"\(format 2, and this one's is 1\)"),
        ([("SET", '{"version":1}')], "is not the state of an account's limits"),
        ([("LPUSH", "x")], "WRONGTYPE"),
    ],
)
async def test_what_is_no_state_is_refused(account: Account, commands: list[tuple[str, str]], message: str) -> None:
    """Somebody else's value is not touched."""
    for command, value in commands:
        await account.server.says(command, account.key, value)
    with pytest.raises(StoreRefused, match=message):
        await account.client("a").ask()


async def test_an_old_server_is_refused(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is needed."""
    monkeypatch.setattr("omeda_async.limits._redis_store.OLDEST", 99)
    with pytest.raises(StoreRefused, match=r"it is Redis \d.*: 99 is needed, or Valkey"):
        await account.client("a").ask()


async def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    """On one host; its path is the name."""
    for server in own_server(tmp_path, "--unixsocket", str(tmp_path / "sock")):
        async with account_at(server) as account:
            client = account.client("a", url=f"unix://{tmp_path / 'sock'}")
            assert (await client.ask()).held_for > 20
            assert client.store.name == f"unix://{tmp_path / 'sock'}"


async def test_tls_will_do(tmp_path: Path) -> None:
    """With the server's certificate checked."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    made = await asyncio.create_subprocess_exec(
        "openssl", *words.split(), *names, cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"]
    for server in own_server(tmp_path, *options, "--tls-auth-clients", "no"):
        async with account_at(server) as account:
            client = account.client("a", url=f"rediss://localhost:{port}/0?ssl_ca_certs={tmp_path}/cert.pem")
            assert (await client.ask()).held_for > 20
            assert client.store.name == f"rediss://localhost:{port}/0"
            stranger = account.client("b", url=f"rediss://localhost:{port}/0")
            with pytest.raises(StoreAway, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.ask()


async def test_the_node_of_a_cluster_that_has_the_key_is_found(account: Account) -> None:
    """The one that was named answers that another one has it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"INFO\r\n" in data and b"SETINFO" not in data:
                facts = b"run_id:x\r\nrole:master\r\nredis_version:7.0.0\r\nmaxmemory_policy:noeviction"
                writer.write(b"$%d\r\n%s\r\n" % (len(facts), facts))
            elif b"EVALSHA" in data:
                writer.write(b"-MOVED 1 127.0.0.1:%d\r\n" % account.server.port)
            else:
                writer.write(b"+OK\r\n" * max(1, data.count(b"SETINFO")))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as node:
        client = account.client("a", url=f"redis://127.0.0.1:{node.sockets[0].getsockname()[1]}/0")
        assert (await client.ask()).held_for > 20
        assert (await client.ask()).held_for > 20
        await client.store.aclose()


async def test_limiters_of_two_processes_share_by_redis(account: Account) -> None:
    """As ``share_limits="redis://…"`` makes them: what one holds, the other waits for, and gets when it comes back."""
    await account.past_the_hold(account.client("before"))
    stores = [RedisStore(account.server.url, account.name, lambda: 0.5) for _ in range(2)]
    one, other = [StoreLimiter(LIMIT, store, lease=5.0) for store in stores]
    permits = [await one.acquire() for _ in range(5)]
    with pytest.raises(LimitWaitExceeded):
        await other.acquire(max_wait=0.05)
    waiting = asyncio.create_task(other.acquire())
    while not stores[1]._listens:  # noqa: ASYNC110 it is no event
        await asyncio.sleep(0.01)
    one.release(permits[0], sent=False)
    async with asyncio.timeout(1.0):
        other.release(await waiting, sent=False)
    view = other.view()
    assert (view.shared_by, view.store_reachable, view.windows[0].used >= 4) == (stores[1].name, True, True)
    await asyncio.gather(one.aclose(), other.aclose())
    assert set((await account.kept())["clients"]) == {"before"}


def test_an_address_makes_the_store_and_one_that_is_none_says_so() -> None:
    """What is shared by it is named, and no secret."""
    key = ("ocamba", "api.ocamba.example", 443, b"\x01")
    store = open_store("rediss://user:pass-word@cache:6380/5", key, lambda: 0.5)
    assert isinstance(store, RedisStore)
    assert store.name == "rediss://cache:6380/5"
    assert open_store("redis://[::1]", key, lambda: 0.5).name == "redis://[::1]:6379/0"
    assert open_store("unix:///run/redis.sock?db=2", key, lambda: 0.5).name == "unix:///run/redis.sock?db=2"
    with pytest.raises(ConfigurationError, match=r"^share_limits: it must read redis://host:6379/0") as refused:
        open_store("redis://:pass-word@cache:pass-word/5", key, lambda: 0.5)
    assert "pass-word" not in str(refused.value)
