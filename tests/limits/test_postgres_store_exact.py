"""PostgreSQL as the store of shared limits, message by message: on a moved clock, with a server in memory."""

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest

pytest.importorskip("psycopg")
from omeda_async._postgres import Address, PostgresError, PostgresLate
from omeda_async.limits import RateLimit, Window, _postgres_store as module
from omeda_async.limits._postgres_store import PostgresStore
from omeda_async.limits._store import Ask, Ended, Reply, StoreAway, StoreRefused
from omeda_async.limits._stored import dump_state, load_state
from tests.limits.fake_store import middle
from tests.limits.limits_help import until_idle

LIMIT = RateLimit(Window(100, 20.0), parallel=1, interactive_reserve=0)
HOLD = 5.0 + 20.02
MISSING = PostgresError("no such table", "mistaken", "42P01")
AWAY = PostgresError("gone")


@attrs.define(eq=False)
class FakeLink:
    """A connection to it."""

    server: "FakePostgres"
    process: int = 7
    cuts: int = 0
    tell: Callable[[str], None] | None = None

    async def run(self, text: str, values: Any = None, *, within: float) -> Any:
        """Carry out a message."""
        assert within == 1.0
        return await self.server.run(text, values)

    def listen(self, tell: Callable[[str], None]) -> None:
        """Tell of what is called out."""
        self.tell = tell

    def cut(self) -> None:
        """Let go of it."""
        self.cuts += 1


@attrs.define(eq=False)
class FakePostgres:
    """The server, with one row."""

    standby: bool = False
    version: int | None = 1
    known: bool = True
    process: int = 7
    row: tuple[str, str] | None = None
    links: list[FakeLink] = attrs.field(factory=list)
    said: list[str] = attrs.field(factory=list)
    steps: list[str | None] = attrs.field(factory=list)
    known_by: list[str] = attrs.field(factory=list)
    """What each turn has told the server from others by."""
    fails: dict[str, list[Any]] = attrs.field(factory=dict)
    """What happens to the next messages of a kind instead: an error is raised, a function awaited."""
    patience: list[float] = attrs.field(factory=list)

    async def connect(self, within: float) -> FakeLink:
        """Connect."""
        self.patience.append(within)
        self._fail("connect")
        self.links.append(FakeLink(self))
        return self.links[-1]

    def _fail(self, kind: str) -> Any:
        self.said.append(kind)
        if (fails := self.fails.get(kind)) and (one := fails.pop(0)) is not None:
            if isinstance(one, BaseException):
                raise one
            return one()
        return None

    async def run(self, text: str, values: Any) -> Any:
        """Carry out a message."""
        marks = {
            module._CHECK: "check",
            module._MAKE: "make",
            module._FIRST: "first",
            "LISTEN": "listen",
            module._BEGIN: "lock",
        }
        kind = next((name for mark, name in marks.items() if text.startswith(mark)), "write")
        if (waits := self._fail(kind)) is not None:
            await waits
        if kind == "check":
            return [[(self.standby, self.process, self.version, self.known)]]
        clock = asyncio.get_running_loop().time() + 1000.0
        if kind == "lock":
            self.steps.append(values["step"])
            assert values["within"] == "1000ms"
            server = "known" if module._CONTROL in text else "started"
            self.known_by.append(server)
            return [[()], [(server,)], self._rows(values["step"]), [(clock,)]]
        if kind == "make":
            self.version = 1
        if kind == "first":
            self.row = ("", "")
            return [self._rows(None), [(clock,)]]
        if kind == "write":
            assert ("pg_notify" in text) == bool(values["calls"])
            self.row = values["step"], values["state"]
        return []

    def _rows(self, step: str | None) -> list[tuple[str, str, str]]:
        if self.row is None:
            return []
        return [("table", self.row[0], "" if self.row[0] == step else self.row[1])]

    def know(self, pause: float = 0.0) -> None:
        """Be one whose state is old: nothing is held."""
        assert self.row is not None
        state = load_state(self.row[1], middle)
        state.hold_until = 0.0
        state.limits._caution.paused_until = state.latest + pause
        self.row = "other 1", dump_state(state)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakePostgres:
    """A server to which all connections lead."""
    made = FakePostgres()
    monkeypatch.setattr(Address, "connect", lambda _, within: made.connect(within))
    return made


@attrs.define
class Client:
    """One client's way there."""

    name: str = "me"
    number: int = 0
    store: PostgresStore = attrs.field(factory=lambda: PostgresStore("postgresql://host/db", "spring", middle))

    async def turn(self, **wants: Any) -> Reply:
        """Make a turn."""
        self.number += 1
        return await self.store.turn(Ask(client=self.name, number=self.number, rate_limit=LIMIT, lease=5.0, **wants))


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()


async def changes(client: Client) -> float:
    """Give the seconds for which a client waits until it looks again."""
    began = now()
    await client.store.changed()
    return now() - began


async def test_a_turn_is_two_messages(server: FakePostgres) -> None:
    """What the client itself has written last is not sent to it again."""
    client = Client()
    assert client.store.view() is None
    assert (await client.turn()).held_for == pytest.approx(HOLD)
    assert server.said == ["connect", "check", "listen", "lock", "first", "write"]
    server.said.clear()
    assert (await client.turn()).held_for == pytest.approx(HOLD)
    assert server.said == ["lock", "write"]
    assert (server.steps, server.patience) == ([None, "me 1"], [3.0])
    await client.store.aclose()
    assert [link.cuts for link in server.links] == [1]
    with pytest.raises(StoreAway, match="it is closed"):
        await client.turn()


async def test_what_another_has_written_is_read(server: FakePostgres) -> None:
    """And what a client was given is known to all."""
    one, two = Client("one"), Client("two")
    await one.turn()
    server.know()
    ((permit, _),) = (await one.turn(interactive=1)).permits
    assert (await two.turn(interactive=1)).permits == ()
    reply = await one.turn(ended=(Ended(permit, sent=True, status=204),))
    assert reply.calls == ("two",)
    assert len((await two.turn(interactive=1)).permits) == 1
    assert [step for step in server.steps if step] == ["one 1", "one 2", "two 1"]
    await asyncio.gather(one.store.aclose(), two.store.aclose())


async def test_a_view_is_of_now(server: FakePostgres) -> None:
    """By the server's clock, and the time that has passed since it was read."""
    client = Client()
    await asyncio.sleep(7.0)
    await client.turn()
    server.know(pause=50.0)
    await client.turn()
    await asyncio.sleep(3.0)
    view = client.store.view()
    assert view is not None
    assert view.paused_for == pytest.approx(47.0, abs=0.01)
    await client.store.aclose()


async def test_who_waits_looks_every_second_and_more_often_while_it_cannot_be_called(server: FakePostgres) -> None:
    """It is woken by a call that is for it, or for everybody; a turn gets all that was called before it."""
    client = Client()
    await client.turn()
    tell, loop = server.links[0].tell, asyncio.get_running_loop()
    assert tell is not None
    moments = [await changes(client)]
    for called in ("you", "me", ""):
        await client.turn()
        loop.call_later(0.5, tell, called)
        moments.append(await changes(client))
    await client.turn()
    moments.append(await changes(client))
    server.fails["lock"] = [PostgresLate("no answer within 1 s")]
    with pytest.raises(StoreAway):
        await client.turn()
    moments.append(await changes(client))
    server.process = 8
    await client.turn()
    moments.append(await changes(client))
    assert moments == pytest.approx([1.0, 1.0, 0.5, 0.5, 1.0, 0.25, 0.25], abs=0.01)
    assert server.said.count("listen") == 1
    await client.store.aclose()


async def test_tables_that_are_missing_are_made(server: FakePostgres) -> None:
    """Also where another part has made what all have in common; where they are missing each time, it ends."""
    client, other = Client(), Client("other")
    server.version = None
    await other.turn()
    await other.store.aclose()
    assert server.said.count("make") == 1
    for heard in (server.said, server.links):
        heard.clear()
    server.row = None
    server.fails["check"] = [MISSING]
    assert (await client.turn()).held_for == pytest.approx(HOLD)
    assert server.said.count("make") == 1
    assert [link.cuts for link in server.links] == [1, 1, 0]
    assert await changes(client) == pytest.approx(0.0, abs=0.01)  # had that turn been made, this one says nothing
    server.said.clear()
    server.fails["lock"] = [MISSING] * 9
    with pytest.raises(StoreRefused, match="no such table"):
        await client.turn()
    assert (server.said.count("lock"), server.said.count("make")) == (3, 2)
    await client.store.aclose()
    assert all(link.cuts == 1 for link in server.links)


@pytest.mark.parametrize("kind", ["connect", "make"])
async def test_tables_that_cannot_be_made_are_told_of(server: FakePostgres, kind: str) -> None:
    """By what kept them from being made."""
    client = Client()
    server.fails |= {"check": [MISSING], kind: [None, AWAY] if kind == "connect" else [AWAY]}
    with pytest.raises(StoreAway, match="gone"):
        await client.turn()
    assert all(link.cuts == 1 for link in server.links)
    await client.store.aclose()


async def test_a_turn_is_made_again_where_its_connection_was_cut_since_the_last(server: FakePostgres) -> None:
    """Once, and whoever waits looks again at once; where it is new, the server is away."""
    client = Client()
    server.fails["lock"] = [AWAY]
    with pytest.raises(StoreAway, match="gone"):
        await client.turn()
    assert server.said == ["connect", "check", "listen", "lock"]
    await client.turn()
    server.said.clear()
    server.fails["lock"] = [AWAY]
    await client.turn()
    assert server.said == ["lock", "connect", "check", "listen", "lock", "write"]
    assert await changes(client) == pytest.approx(0.0, abs=0.01)
    server.said.clear()
    server.fails["lock"] = [AWAY, AWAY]
    with pytest.raises(StoreAway, match="gone"):
        await client.turn()
    assert server.said == ["lock", "connect", "check", "listen", "lock"]
    await client.store.aclose()
    assert all(link.cuts == 1 for link in server.links)


@pytest.mark.parametrize(
    "error", [PostgresLate("late"), PostgresError("no", "read-only"), PostgresError("no", "mistaken")]
)
async def test_a_turn_that_was_late_or_refused_is_not_made_again(server: FakePostgres, error: PostgresError) -> None:
    """The next one has another connection."""
    client = Client()
    await client.turn()
    server.said.clear()
    server.fails["lock"] = [error]
    with pytest.raises((StoreAway, StoreRefused)):
        await client.turn()
    assert server.said == ["lock"]
    await client.turn()
    assert (server.said[1], "make" in server.said) == ("connect", False)
    await client.store.aclose()


@pytest.mark.parametrize(
    ("error", "new", "known"),
    [
        (PostgresError("so it says", "mistaken"), StoreRefused, StoreRefused),
        (PostgresError("so it says", "read-only"), StoreRefused, StoreAway),
        (PostgresError("so it says", "away"), StoreAway, StoreAway),
    ],
)
async def test_a_server_that_was_fit_may_be_so_again(
    server: FakePostgres, error: PostgresError, new: type[Exception], known: type[Exception]
) -> None:
    """It may be about to hand over to another; what is set wrongly stays so."""
    client, other = Client(), Client("other")
    await client.turn()
    server.fails["lock"] = [error, None, error, error]
    with pytest.raises(new, match="so it says"):
        await other.turn()
    await other.turn()
    with pytest.raises(known, match="so it says"):
        await other.turn()
    await asyncio.gather(client.store.aclose(), other.store.aclose())


async def test_a_turn_that_is_cancelled_leaves_no_connection(server: FakePostgres) -> None:
    """Neither one that was used nor one that was being looked at; and nothing that it changed is believed."""
    client = Client()
    await client.turn()
    server.know()
    for kind in ("write", "check"):
        server.fails[kind] = [lambda: asyncio.Event().wait()]
        waits = asyncio.create_task(client.turn(interactive=1))
        await until_idle()
        waits.cancel()
        await asyncio.wait({waits})
        assert waits.cancelled()
    assert [link.cuts for link in server.links] == [1, 1]
    ((number, _),) = (await client.turn(interactive=1)).permits
    assert number == 1
    await client.store.aclose()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"standby": True}, "it is a standby: give the server that may be written to"),
        ({"version": 9}, "its tables, which are of format 9; this one's is 1"),
    ],
)
async def test_a_server_that_will_not_do_is_refused(server: FakePostgres, facts: dict[str, Any], said: str) -> None:
    """It says why, and its connection is let go."""
    for name, value in facts.items():
        setattr(server, name, value)
    client = Client()
    with pytest.raises(StoreRefused, match=said):
        await client.turn()
    assert [link.cuts for link in server.links] == [1]
    await client.store.aclose()


async def test_a_server_that_does_not_tell_which_it_is_goes_by_its_start(server: FakePostgres) -> None:
    """To learn that is to be held, as it might be another."""
    client = Client()
    await client.turn()
    server.know()
    assert (await client.turn()).held_for == 0
    server.known = False
    other = Client("other")
    assert (await other.turn()).held_for == pytest.approx(HOLD)
    assert server.known_by == ["known", "known", "started"]
    await asyncio.gather(client.store.aclose(), other.store.aclose())


async def test_a_row_that_is_older_than_it_was_is_a_hold(server: FakePostgres) -> None:
    """One that is as it was is none."""
    client = Client()
    await client.turn()
    server.know()
    before = server.row
    assert len((await client.turn(interactive=1)).permits) == 1
    assert (await client.turn()).held_for == 0
    server.row = before
    assert (await client.turn()).held_for == pytest.approx(HOLD)
    await client.store.aclose()


async def test_what_was_never_written_is_not_shown(server: FakePostgres) -> None:
    """Nobody knows whether it holds."""
    client = Client()
    server.fails["write"] = [PostgresLate("late")]
    with pytest.raises(StoreAway):
        await client.turn()
    assert client.store.view() is None
    await client.store.aclose()


async def test_a_row_that_was_removed_while_the_server_was_away_is_a_hold(server: FakePostgres) -> None:
    """What the client remembers of it is not enough: others may have had permits since."""
    client = Client()
    await client.turn()
    server.know()
    assert (await client.turn()).held_for == 0
    server.fails["lock"] = [PostgresLate("late")]
    with pytest.raises(StoreAway):
        await client.turn()
    server.row = None
    assert (await client.turn()).held_for == pytest.approx(HOLD)
    await client.store.aclose()


async def test_a_row_that_was_known_is_not_a_hold_for_who_comes_first(server: FakePostgres) -> None:
    """Nobody has had a permit yet, and that is no sign of anything."""
    first, client = Client("first"), Client()
    await first.turn(leaves=True)
    await first.store.aclose()
    server.know()
    assert (await client.turn()).held_for == 0
    assert client.store.name == "postgresql://host:5432/db"
    await client.store.aclose()
