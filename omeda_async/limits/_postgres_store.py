"""The state of one account's limits in PostgreSQL: a row for each account, stepped under its lock.

A turn is one short transaction of two round trips. It is on disk before anybody is told, so that a server that was
killed has lost nothing; a standby that took over, a backup that was restored, another table: nothing is known of what
was sent meanwhile, and nothing is granted for a window and a lease.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from omeda_async._bounded import late_ones
from omeda_async._postgres import Address, Link, PostgresError, PostgresLate
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._store import Ask, Reply, StoreAway, StoreRefused, running_on
from omeda_async.limits._stored import dump_state, load_state
from omeda_async.limits._view import LimitsView

SCHEMA: Final = 1
LOOK_AGAIN, LOOK_SOON = 1.0, 0.25
"""Seconds after which a client looks again without having been called: while it can be called, and while not."""
ATTEMPTS: Final = 3
_UNDEFINED: Final = "42P01"
_LOCK: Final = 0x6F6D6A6C
"""What all that make tables at once wait for, whatever their part: ``_postgres_tables`` has the same."""

_MAKE: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(%(lock)s);
CREATE TABLE IF NOT EXISTS omeda_async_schemas (part text PRIMARY KEY, version integer NOT NULL);
CREATE TABLE IF NOT EXISTS omeda_async_limits (account text PRIMARY KEY, step text NOT NULL, state text NOT NULL)
    WITH (fillfactor = 50);
INSERT INTO omeda_async_schemas VALUES ('limits', %(schema)s) ON CONFLICT DO NOTHING;
COMMIT
"""
_CHECK: Final = """
SELECT pg_is_in_recovery(), pg_backend_pid(), (SELECT version FROM omeda_async_schemas WHERE part = 'limits'),
    coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE'), false)
"""
_CONTROL: Final = """
SELECT concat_ws('/', system_identifier, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
    CASE WHEN current_setting('fsync') <> 'on' THEN pg_postmaster_start_time() END) FROM pg_control_system()
"""
"""What tells the server's data from others': it changes where a standby takes over, and with a restored backup."""
_STARTED: Final = "SELECT pg_postmaster_start_time()::text"
"""The same where the role may not ask for that: any restart counts as another server."""
_BEGIN: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT set_config('lock_timeout', %(within)s, true), set_config('statement_timeout', %(within)s, true),
    set_config('idle_in_transaction_session_timeout', %(within)s, true), set_config('synchronous_commit', 'local', true)
"""
_ROW: Final = """
SELECT tableoid::text, step, CASE WHEN step = %(step)s THEN '' ELSE state END FROM omeda_async_limits
    WHERE account = %(account)s FOR UPDATE;
SELECT extract(epoch FROM clock_timestamp())::float8
"""
"""The clock is read once the lock is held."""
_FIRST: Final = "INSERT INTO omeda_async_limits VALUES (%(account)s, '', '') ON CONFLICT DO NOTHING"
_WRITE: Final = "UPDATE omeda_async_limits SET step = %(step)s, state = %(state)s WHERE account = %(account)s"
_CALL: Final = "SELECT pg_notify(%(channel)s, unnest(%(calls)s::text[]))"


class PostgresStore:
    """One account's limits in PostgreSQL; see the protocol ``Store``.

    Args:
        url: Where it is; it may hold a password, which is shown nowhere.
        account: The name of the account, which is no secret.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
        within: Seconds that a round trip may take, and that a lock is waited for.
        connect_within: Seconds that connecting may take.

    Raises:
        ValueError: The address is none; the message does not show it.
    """

    def __init__(
        self,
        url: str,
        account: str,
        uniform: Callable[[], float],
        *,
        within: float = 1.0,
        connect_within: float = 3.0,
    ) -> None:
        self._address = Address(url)
        self.name = self._address.name
        self._account = account
        self._channel = f"omeda_async_{account}"
        self._uniform = uniform
        self._within, self._connect_within = within, connect_within
        self._link: Link | None = None
        self._identity = _CONTROL
        self._client = ""
        self._called = asyncio.Event()
        self._is_called = self._was_fit = self._closed = False
        self._state: AccountState | None = None
        self._step = ""
        """What the row said when the state was read or written; empty when the state is to be read anew."""
        self._last = 0
        """The last permit that the row is known to have had: it never has fewer, unless it is an older one."""
        self._clock: Callable[[], float] | None = None
        """The server's, once there has been a turn."""

    async def turn(self, ask: Ask) -> Reply:
        if self._closed:
            raise StoreAway("it is closed")
        self._client = ask.client
        self._called.clear()  # this turn gets what others have called for until now
        for left in reversed(range(ATTEMPTS)):
            was_open = self._link is not None
            try:
                return await self._turn(ask)
            except PostgresError as error:
                self._drop()
                if error.code == _UNDEFINED and left:
                    await self._make()
                elif not was_open or error.meaning != "away" or isinstance(error, PostgresLate):
                    raise self._told(error) from None
                self._called.set()  # had that turn been made, the next says nothing: look again at once
            except BaseException:
                self._drop()
                raise
        raise StoreAway("its connections break off")

    async def changed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN if self._is_called else LOOK_SOON):
                await self._called.wait()

    def view(self) -> LimitsView | None:
        return None if self._state is None or self._clock is None else self._state.view(self._clock())

    async def aclose(self) -> None:
        self._closed = True
        self._drop()
        await late_ones(self._within)

    async def _turn(self, ask: Ask) -> Reply:
        """Make one turn; made twice, it does nothing the second time, and its permits come with the next one."""
        link = await self._reached()
        server, clock, step, text = await self._locked(link)
        state = self._state
        if state is None or not step or step != self._step:
            state = (
                load_state(text, self._uniform) if text else AccountState.begin(ask.rate_limit, server, self._uniform)
            )
        if state.last < self._last:
            ask = attrs.evolve(ask, distrusts=True)
        self._state, self._step = state, ""
        reply = state.turn(ask, clock, server)
        step = f"{ask.client} {ask.number}"
        values = {"account": self._account, "step": step, "state": dump_state(state)}
        calls = {"channel": self._channel, "calls": list(reply.calls)}
        said = [_WRITE, *([_CALL] if reply.calls else []), "COMMIT"]
        await link.run(";\n".join(said), values | calls, within=self._within)
        self._step, self._last, self._was_fit = step, state.last, True
        self._clock = running_on(reply.clock)
        return reply

    async def _locked(self, link: Link) -> tuple[str, float, str, str]:
        """Return which server it is, its clock, and the row, which is locked; a new one is empty."""
        values = {"account": self._account, "step": self._step or None, "within": f"{self._within * 1000:.0f}ms"}
        begin = f"{_BEGIN};\n{self._identity};\n{_ROW}"
        _, ((server,),), rows, ((clock,),) = await link.run(begin, values, within=self._within)
        if not rows:
            rows, ((clock,),) = await link.run(f"{_FIRST};\n{_ROW}", values, within=self._within)
        ((table, step, text),) = rows
        return f"{server}/{table}", clock, step, text

    async def _reached(self) -> Link:
        """Return the connection; a new one is asked first whether the server is fit for this."""
        if self._link is None:
            link = await self._address.connect(self._connect_within)
            try:
                await self._check(link)
            except BaseException:
                link.cut()
                raise
            self._link = link
        return self._link

    async def _check(self, link: Link) -> None:
        (((is_standby, process, version, is_known),),) = await link.run(_CHECK, within=self._within)
        if is_standby:
            raise PostgresError("it is a standby: give the server that may be written to", "read-only")
        if version is None:  # a journal or an outbox has made what all parts have in common
            raise PostgresError("the tables of limits are missing", "mistaken", _UNDEFINED)
        if version != SCHEMA:
            raise StoreRefused(
                f"another version of omeda-async uses its tables, which are of format {version}; this one's is {SCHEMA}"
            )
        # A pooler that parts connections among clients would not pass on what one of them listens to.
        self._is_called = process == link.process
        if self._is_called:
            await link.run(f'LISTEN "{self._channel}"', within=self._within)
            link.listen(self._noticed)
        self._identity = _CONTROL if is_known else _STARTED

    async def _make(self) -> None:
        """Make the tables where they are missing."""
        try:
            link = await self._address.connect(self._connect_within)
            try:
                await link.run(_MAKE, {"lock": _LOCK, "schema": SCHEMA}, within=self._within)
            finally:
                link.cut()
        except PostgresError as error:
            raise self._told(error) from None

    def _noticed(self, client: str) -> None:
        if client in {self._client, ""}:
            self._called.set()

    def _drop(self) -> None:
        self._step, self._is_called = "", False
        if self._link is not None:
            self._link.cut()
            self._link = None

    def _told(self, error: PostgresError) -> StoreAway | StoreRefused:
        # A server that was fit and is no more may be about to hand over to another.
        refused = error.meaning == "mistaken" or (error.meaning == "read-only" and not self._was_fit)
        return StoreRefused(str(error)) if refused else StoreAway(str(error))
