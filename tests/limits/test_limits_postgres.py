"""PostgreSQL as the store of shared limits: what is granted, whom it wakes, and what is promised when it fails."""

import asyncio
import contextlib
import gc
import json
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import attrs
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from omeda_async import _postgres_tables
from omeda_async._bounded import late_ones
from omeda_async._postgres import Address, Link
from omeda_async._postgres_blocking import connect
from omeda_async.errors import ConfigurationError
from omeda_async.limits import Priority, RateLimit, Window, _postgres_store as module
from omeda_async.limits._postgres_store import PostgresStore
from omeda_async.limits._store import Ask, Ended, Reply, StoreAway, StoreRefused
from omeda_async.limits._where import open_store
from tests.limits.postgres_service import OwnPostgres, own_postgres, postgres_url

pytestmark = pytest.mark.real_clock
LIMIT = RateLimit(Window(5, 20.0), interactive_reserve=0)
HOLD = 5.0 + 20.0 * 1.001
SHORT = 0.15
"""Seconds that a round trip may take, where it is to take too long."""


@attrs.define
class Client:
    """One client of a store."""

    name: str
    store: PostgresStore
    number: int = 0

    async def ask(self, *ended: Ended, **wants: Any) -> Reply:
        """Make one turn."""
        self.number += 1
        given: dict[str, Any] = {"rate_limit": LIMIT, "lease": 5.0, "ended": ended} | wants
        return await self.store.turn(Ask(client=self.name, number=self.number, **given))


class Account:
    """One account, in a schema of its own."""

    def __init__(self, url: str) -> None:
        """Make the schema."""
        self.schema = f"test_{secrets.token_hex(6)}"
        self.name = f"ocamba-{secrets.token_hex(6)}"
        self._bare = url
        self.url = self.with_options(f"-csearch_path={self.schema}")
        self.sql(f"CREATE SCHEMA {self.schema}")
        self._stores: list[PostgresStore] = []

    def with_options(self, options: str) -> str:
        """Return the URL with options of the session."""
        return f"{self._bare}{'&' if '?' in self._bare else '?'}options={quote(options)}"

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Carry out a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def client(self, name: str, *, url: str | None = None, within: float = 5.0) -> Client:
        """Add a client."""
        store = PostgresStore(url or self.url, self.name, lambda: 0.5, within=within, connect_within=within)
        self._stores.append(store)
        return Client(name, store)

    async def past_the_hold(self, client: Client) -> None:
        """Let the hold be over that every state begins with."""
        await client.ask()
        ((text,),) = self.sql("SELECT state FROM omeda_async_limits")
        state = json.dumps(json.loads(text) | {"hold_until": 0.0})
        self.sql(f"UPDATE omeda_async_limits SET step = 'test', state = '{state}'")  # noqa: S608 a test's own

    async def aclose(self) -> None:
        """Close the stores."""
        for store in self._stores:
            await store.aclose()


@contextlib.asynccontextmanager
async def account_at(url: str) -> AsyncIterator[Account]:
    """Give an account, and remove it."""
    account = Account(url)
    try:
        yield account
    finally:
        await account.aclose()
        with contextlib.suppress(psycopg.Error):
            account.sql(f"DROP SCHEMA {account.schema} CASCADE")


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    """An account at the server that is there."""
    async with account_at(postgres_url()) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    """A server that tests may stop."""
    with own_postgres() as made:
        yield made


async def test_nothing_goes_before_a_window_and_a_lease_have_passed(account: Account) -> None:
    """The first client of all does not know who has sent what before."""
    reply = await account.client("a").ask(bulk=1)
    assert reply.permits == ()
    assert reply.held_for == pytest.approx(HOLD, abs=0.01)
    assert reply.again_in == pytest.approx(HOLD, abs=0.01)


async def test_two_clients_share_one_budget(account: Account) -> None:
    """What one has taken is not there for the other, and what came back unused is."""
    one, other = account.client("a"), account.client("b")
    await account.past_the_hold(one)
    mine = await one.ask(interactive=1, bulk=2)
    assert [priority for _, priority in mine.permits] == [Priority.INTERACTIVE, Priority.BULK, Priority.BULK]
    assert len((await other.ask(bulk=9)).permits) == 2
    await one.ask(*(Ended(number, sent=False) for number, _ in mine.permits))
    assert len((await other.ask(bulk=9, held=(4, 5))).permits) == 3
    view = other.store.view()
    assert view is not None
    assert (view.used, view.clients) == (5, 2)


async def test_clients_that_come_first_at_the_same_time_make_the_tables_once(account: Account) -> None:
    """Each of them is held: none takes what another has made for a state that is known."""
    clients = [account.client(f"client {place}") for place in range(6)]
    replies = await asyncio.gather(*(client.ask(bulk=1) for client in clients))
    assert all(reply.held_for > HOLD - 1 and not reply.permits for reply in replies)
    assert account.sql("SELECT account FROM omeda_async_limits") == [(account.name,)]
    assert (await clients[0].ask(bulk=1)).held_for < HOLD
    view = clients[0].store.view()
    assert view is not None
    assert view.clients == 6


async def test_tables_are_made_where_a_journal_was_first(account: Account) -> None:
    """As where a run is enqueued in a new database, and its workers share their limits there."""
    with contextlib.closing(connect(account.url)) as connection:
        _postgres_tables.make_tables(connection, "journal", ["CREATE TABLE beside (name text)"])
    await account.past_the_hold(account.client("a"))
    assert len((await account.client("b").ask(bulk=1)).permits) == 1
    assert account.sql("SELECT part FROM omeda_async_schemas ORDER BY 1") == [("journal",), ("limits",)]


async def test_who_is_next_is_woken_and_nobody_else(account: Account) -> None:
    """One permit is free, and goes to the one that waits longest; a look of its own comes later."""
    limit = RateLimit(Window(100, 20.0), parallel=1, interactive_reserve=0)
    one, two, three = (account.client(name) for name in "abc")
    await account.past_the_hold(one)
    ((permit, _),) = (await one.ask(bulk=1, rate_limit=limit)).permits
    for client in (two, three):
        assert (await client.ask(bulk=1, rate_limit=limit)).permits == ()
    woken = [asyncio.create_task(client.store.changed()) for client in (two, three)]
    reply = await one.ask(Ended(permit, sent=True, status=204), rate_limit=limit)
    (called,) = reply.calls
    first, second = woken if called == "b" else woken[::-1]
    await asyncio.wait_for(first, module.LOOK_AGAIN / 2)
    assert not second.done()
    assert len((await (two if called == "b" else three).ask(bulk=1, rate_limit=limit)).permits) == 1
    second.cancel()


async def test_a_connection_that_is_cut_is_opened_again_and_listened_to(account: Account) -> None:
    """Whoever waits looks at once, and nobody is told that the server is away."""
    one, two = account.client("a"), account.client("b")
    await account.past_the_hold(one)
    await two.ask(bulk=1)
    waits = asyncio.create_task(two.store.changed())
    await asyncio.sleep(0)
    account.sql(f"SELECT pg_terminate_backend({(await two.store._reached()).process})")
    await asyncio.wait_for(waits, module.LOOK_AGAIN / 2)
    assert (await two.ask(bulk=0)).held_for == 0
    again = asyncio.create_task(two.store.changed())
    await asyncio.sleep(0)
    account.sql(f"SELECT pg_notify('omeda_async_{account.name}', 'b')")
    await asyncio.wait_for(again, module.LOOK_AGAIN / 2)


@pytest.mark.parametrize(
    "loss",
    [
        "TRUNCATE omeda_async_limits",
        "DELETE FROM omeda_async_limits",
        "DROP TABLE omeda_async_limits, omeda_async_schemas",
        """CREATE TABLE copy (LIKE omeda_async_limits INCLUDING ALL);
        INSERT INTO copy SELECT * FROM omeda_async_limits;
        DROP TABLE omeda_async_limits;
        ALTER TABLE copy RENAME TO omeda_async_limits""",
    ],
)
async def test_data_that_is_lost_or_was_restored_is_a_hold(account: Account, loss: str) -> None:
    """Nobody knows any more what was sent."""
    one, two = account.client("a"), account.client("b")
    await account.past_the_hold(one)
    assert len((await one.ask(bulk=3)).permits) == 3
    account.sql(loss)
    assert (await two.ask(bulk=1)).held_for == pytest.approx(HOLD, abs=0.5)
    assert (await one.ask(bulk=1)).held_for == pytest.approx(HOLD, abs=0.5)


async def test_a_row_that_is_set_back_is_a_hold(account: Account) -> None:
    """It has fewer permits than it had."""
    client = account.client("a")
    await account.past_the_hold(client)
    await client.ask(bulk=1)
    ((old,),) = account.sql("SELECT state FROM omeda_async_limits")
    await client.ask(bulk=2)
    account.sql(f"UPDATE omeda_async_limits SET step = 'old', state = '{old}'")  # noqa: S608 a test's own
    assert (await client.ask(bulk=1)).held_for == pytest.approx(HOLD, abs=0.5)


async def test_a_turn_keeps_a_lock_for_a_second_at_the_most(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the transaction of a client that does not."""
    told: list[object] = []
    run = Link.run

    async def note(link: Link, text: str, values: Any = None, **how: Any) -> Any:
        told.append((values or {}).get("within"))
        return await run(link, text, values, **how)

    monkeypatch.setattr(Link, "run", note)
    store = PostgresStore(account.url, account.name, lambda: 0.5)
    await store.turn(Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0))
    await store.aclose()
    assert set(told) == {None, "1000ms"}


async def test_a_row_that_is_locked_for_long_is_away_and_then_goes_on(account: Account) -> None:
    """The turn waits no longer than it may, and has done nothing."""
    client = account.client("a", within=SHORT)
    slow = account.client("b")
    await account.past_the_hold(slow)
    with psycopg.connect(account.url) as other:
        other.execute("SELECT 1 FROM omeda_async_limits FOR UPDATE")
        with pytest.raises(StoreAway, match=r"timeout|no answer within"):
            await client.ask(bulk=9)
    assert len((await slow.ask(bulk=9)).permits) == 5


async def test_a_client_that_stands_still_in_a_turn_locks_nobody_out(account: Account) -> None:
    """The server ends its transaction; it comes again, and is told nothing wrong."""
    still, other = account.client("a", within=SHORT), account.client("b")
    await account.past_the_hold(other)
    await still.ask(bulk=1)
    link = await still.store._reached()
    await still.store._locked(link)
    assert len((await other.ask(bulk=9)).permits) == 4
    with contextlib.suppress(StoreAway):
        await still.ask(bulk=0)
    assert (await still.ask(bulk=0)).held_for == 0


async def test_a_turn_that_is_cancelled_leaves_nothing_behind(account: Account) -> None:
    """What it may have been granted comes back with the next one."""
    client = account.client("a")
    await account.past_the_hold(client)
    for _ in range(5):
        turn = asyncio.create_task(client.ask(bulk=5))
        for _ in range(secrets.randbelow(20)):
            await asyncio.sleep(0)
        turn.cancel()
        await asyncio.wait({turn})
    await client.ask(bulk=5)
    reply = await client.ask(bulk=5)
    assert len(reply.permits) == 5


async def test_connecting_that_is_cancelled_at_any_moment_leaves_nothing_open(account: Account) -> None:
    """Also where the connection is there in the same pass of the loop."""
    for passes in range(0, 800, 8):
        task = asyncio.create_task(Address(account.url).connect(5.0))
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result().cut()
        await late_ones(5.0)
    gc.collect()  # what is left open and forgotten warns, and that fails
    assert [one for one in gc.get_objects() if type(one) is psycopg.AsyncConnection and not one.closed] == []


async def test_a_connection_that_is_cut_when_its_answer_has_come_is_closed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shutting its socket came too late for that: what has been asked ends well."""
    link = await Address(account.url).connect(5.0)
    monkeypatch.setattr(Link, "_shut", lambda _: None)
    running = asyncio.create_task(link._run("SELECT 1", ()))
    await asyncio.sleep(0)
    link.cut()
    assert await running == [[(1,)]]
    assert link._connection.closed


async def test_another_version_of_the_tables_is_refused(account: Account) -> None:
    """It says which."""
    await account.client("a").ask()
    account.sql("UPDATE omeda_async_schemas SET version = 9")
    with pytest.raises(StoreRefused, match=r"of format 9; this one's is 1"):
        await account.client("b").ask()


async def test_a_state_of_another_version_is_refused(account: Account) -> None:
    """It says which."""
    await account.client("a").ask()
    account.sql("""UPDATE omeda_async_limits SET step = '', state = '{"version": 7}'""")
    with pytest.raises(StoreRefused, match=r"format 7, and this one's is 1"):
        await account.client("b").ask()


async def test_a_session_that_only_reads_is_refused(account: Account) -> None:
    """As a standby would be."""
    await account.client("a").ask()
    url = account.with_options(f"-csearch_path={account.schema} -cdefault_transaction_read_only=on")
    with pytest.raises(StoreRefused, match="read-only transaction"):
        await account.client("b", url=url).ask()


async def test_a_role_that_may_not_ask_for_the_system_identifier_goes_by_the_start_of_the_server(
    server: OwnPostgres,
) -> None:
    """Any restart counts as another server then."""
    async with account_at(server.url) as account:  # what everybody may do is another matter on a server of others
        role = f"role_{account.schema}"
        account.sql(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA {account.schema} TO {role}")
        url = account.with_options(f"-csearch_path={account.schema} -crole={role}")
        client = account.client("a", url=url)
        await client.ask()
        assert client.store._identity == module._CONTROL
        account.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        try:
            other = account.client("b", url=url)
            assert (await other.ask()).held_for == pytest.approx(HOLD, abs=0.5)
            assert other.store._identity == module._STARTED
        finally:
            account.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


class Relay:
    """Passes everything on, and makes up the number of the server's process, as a pooler does."""

    def __init__(self, url: str) -> None:
        """Note where to."""
        found = conninfo_to_dict(url)
        self._host, self._port = str(found.get("host", "127.0.0.1")), int(found.get("port") or 5432)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> int:
        """Begin, and return the port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        """End."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._host, self._port)
        ways = [self._pass_on(reader, there[1]), self._pass_on(there[0], writer)]
        self._tasks |= {asyncio.create_task(way) for way in ways}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while found := await reader.read(65536):
                place = found.find(b"K\x00\x00\x00\x0c")
                if place >= 0:
                    found = found[: place + 5] + b"\x00\x00\x00\x07" + found[place + 9 :]
                writer.write(found)
        finally:
            writer.close()


async def test_a_pooler_that_would_not_pass_on_calls_is_noticed(account: Account) -> None:
    """Nothing is listened to, and a client that waits looks sooner."""
    async with Relay(account.url) as port:
        found = conninfo_to_dict(account.url) | {"port": port, "host": "127.0.0.1", "hostaddr": None}
        url = make_conninfo("", **found)
        client = account.client("a", url=url)
        await client.ask(bulk=1)
        await client.ask(bulk=1)  # the first has made the tables: what came of it is looked at at once
        assert not client.store._is_called
        listening = [
            str(query) for (query,) in account.sql("SELECT query FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        ]
        assert not any(client.store._channel in query for query in listening)
        began = asyncio.get_running_loop().time()
        await client.store.changed()
        assert 0.2 < asyncio.get_running_loop().time() - began < module.LOOK_AGAIN
        await account.aclose()


async def test_a_wrong_password_is_refused_and_shown_nowhere(server: OwnPostgres) -> None:
    """It is in no name, and in no error."""
    hba = server.folder / "pg_hba.conf"
    kept = hba.read_text()
    server.says("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    hba.write_text("host all guarded all scram-sha-256\n" + kept)
    server.stop()
    server.start()
    url = server.url.replace("postgres@", "guarded:hunter2secret@")
    store = PostgresStore(url, "account", lambda: 0.5)
    with pytest.raises(StoreRefused, match="password authentication failed") as caught:
        await store.turn(Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0))
    shown = f"{caught.value!r} {caught.value.__cause__!r} {store.name} {store!r} {store._address!r}"
    assert "hunter2" not in shown
    assert store.name == f"postgresql://127.0.0.1:{server.port}/postgres"
    await store.aclose()
    hba.write_text(kept)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2/se@cret@host:x/y",
        "postgresql://me:12/hunter2@host/db",
        "postgresql://me:x@hunter2@host/db",
        "postgresql://me:hunter2@host/db?nonsense=1",
    ],
)
def test_an_address_that_is_none_is_not_shown(url: str) -> None:
    """The error says what one looks like."""
    with pytest.raises(ConfigurationError, match="it must read postgresql://") as caught:
        open_store(url, ("ocamba", "host", 443, b"x"), lambda: 0.5)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_both_schemes_lead_here() -> None:
    """Also several hosts, and what libpq takes otherwise."""
    where = "postgres://me:hunter2@one,two:5433/limits?target_session_attrs=read-write&sslmode=require"
    store = open_store(where, ("ocamba", "host", 443, b"x"), lambda: 0.5)
    assert isinstance(store, PostgresStore)
    assert store.name == "postgresql://one:5432,two:5433/limits"


async def test_a_database_that_is_not_there_is_refused(account: Account) -> None:
    """It says which."""
    found = conninfo_to_dict(account.url) | {"dbname": "nowhere"}
    with pytest.raises(StoreRefused, match='"nowhere" does not exist'):
        await account.client("a", url=make_conninfo("", **found)).ask()


async def test_a_server_that_says_nothing_is_away() -> None:
    """Neither a port on which nobody listens nor one that never answers is waited for long."""
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        for place, said in ((silent, "no answer within 0.15 s"), (closed, "refused")):
            url = f"postgresql://me:hunter2@127.0.0.1:{place.getsockname()[1]}/db"
            store = PostgresStore(url, "account", lambda: 0.5, connect_within=SHORT)
            with pytest.raises(StoreAway, match=said):
                await store.turn(Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0))
            await store.aclose()


async def at_rest(work: Callable[[], Awaitable[Reply]]) -> Reply:
    """Return the first reply of a server that is being started."""
    while True:
        try:
            return await work()
        except StoreAway:
            await asyncio.sleep(0.02)


async def test_a_server_that_stands_still_is_away_and_then_goes_on(server: OwnPostgres) -> None:
    """Nothing is granted meanwhile, and nothing twice."""
    async with account_at(server.url) as account:
        client, other = account.client("a", within=SHORT), account.client("b")
        await account.past_the_hold(other)
        ((permit, _),) = (await client.ask(bulk=1)).permits
        server.signal_all(signal.SIGSTOP)
        try:
            for _ in range(2):
                with pytest.raises(StoreAway, match="no answer within"):
                    await client.ask(bulk=9, held=(permit,))
        finally:
            server.signal_all(signal.SIGCONT)
        reply = await at_rest(lambda: client.ask(bulk=9, held=(permit,)))
        again = await client.ask(bulk=9, held=(permit, *(number for number, _ in reply.permits)))
        assert (len(reply.permits) + len(again.permits), reply.held_for) == (4, 0)


async def test_a_server_that_was_killed_has_lost_nothing(server: OwnPostgres) -> None:
    """What was granted was on disk before: there is no hold, and no permit twice."""
    async with account_at(server.url) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        ((permit, _),) = (await client.ask(bulk=1)).permits
        server.stop(signal.SIGQUIT)
        with pytest.raises(StoreAway):
            await client.ask(bulk=1, held=(permit,))
        server.start()
        reply = await at_rest(lambda: client.ask(bulk=9, held=(permit,)))
        assert (len(reply.permits), reply.held_for) == (4, 0)


async def test_a_standby_is_refused_and_once_it_has_taken_over_a_hold(server: OwnPostgres) -> None:
    """What the one before had not yet told it is not known. Who knew the server waits for one that may be written."""
    async with account_at(server.url) as account:
        client = account.client("a")
        await account.past_the_hold(client)
        assert len((await client.ask(bulk=1)).permits) == 1
        server.stop()
        (server.folder / "standby.signal").touch()
        server.start()
        with pytest.raises(StoreRefused, match="it is a standby"):
            await account.client("b").ask()
        with pytest.raises(StoreAway, match="it is a standby"):
            await client.ask(bulk=1)
        server.says("SELECT pg_promote()")
        reply = await at_rest(lambda: client.ask(bulk=1))
        assert reply.held_for == pytest.approx(HOLD, abs=0.5)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (psycopg.errors.lookup("25006")("cannot execute"), "read-only"),
        (psycopg.errors.lookup("55000")("recovery is in progress"), "read-only"),
        (psycopg.errors.lookup("57P01")("terminating connection"), "away"),
        (psycopg.errors.lookup("53300")("too many connections"), "away"),
        (psycopg.errors.lookup("42501")("permission denied"), "mistaken"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "away"),
        (psycopg.OperationalError('connection failed: FATAL:  role "me" does not exist'), "mistaken"),
        (psycopg.OperationalError("connection failed: ERROR:  no such database: limits"), "mistaken"),
        (psycopg.OperationalError("connection failed: certificate verify failed"), "mistaken"),
        (psycopg.InterfaceError("Psycopg cannot use the 'ProactorEventLoop'"), "mistaken"),
        (OSError("no route"), "away"),
    ],
)
def test_what_may_go_away_is_waited_for_and_what_is_set_wrongly_is_refused(error: Exception, meaning: str) -> None:
    """By the SQLSTATE where there is one; libpq gives none for a connection that is refused."""
    assert Address("postgresql://host/db").explained(error).meaning == meaning


def test_an_address_is_named_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does not say by itself."""
    monkeypatch.setenv("PGHOST", "db.example.com")
    monkeypatch.setenv("PGPORT", "15499")
    monkeypatch.setenv("PGDATABASE", "bulk")
    assert Address("postgresql://").name == "postgresql://db.example.com:15499/bulk"
    assert Address("postgresql://h:5/d").name == "postgresql://h:5/d"


def test_the_password_is_in_no_error() -> None:
    """Also where the server, or libpq, says it."""
    address = Address("postgresql://me:hunter2@host/db")
    assert str(address.explained(psycopg.OperationalError("cannot parse hunter2"))) == "cannot parse ***"


def test_all_that_make_tables_wait_for_one_another() -> None:
    """Limits, journals and outboxes enter their formats into one table, which the first of them makes."""
    assert module._LOCK == _postgres_tables._LOCK
