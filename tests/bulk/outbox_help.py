"""Outboxes on a sandbox, with a calendar that goes by the loop's clock."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from omeda_async import ClientOptOut, SessionManager, _clock
from omeda_async.bulk.outbox.interface import Identity, NewRecord
from omeda_async.bulk.outbox.sqlite import SqliteStore
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.sandboxed import manager_on

START = datetime(2026, 1, 1, tzinfo=UTC)


def client(number: int) -> ClientOptOut:
    return ClientOptOut(f"a{number}@example.com")


def applied(sandbox: Sandbox) -> Counter[str]:
    """How often each address was opted out."""
    return Counter(one.email_address for one in sandbox.omeda.opt_outs)


def addresses(*numbers: int) -> Counter[str]:
    return Counter(f"a{number}@example.com" for number in numbers)


def slow(sandbox: Sandbox, seconds: float, point: FaultPoint = FaultPoint.AFTER) -> asyncio.Event:
    """Let the next request take so long; the event is set when it has arrived."""
    arrived = asyncio.Event()

    def match(_: Any) -> bool:
        arrived.set()
        return True

    sandbox.fault(Fault(FaultKind.SLOW, point, seconds=seconds, match=match, times=1))
    return arrived


def follow_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the calendar go by the loop's clock."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(_clock, "utc_now", lambda: START + timedelta(seconds=loop.time()))


def rows(path: Path, sql: str) -> list[Any]:
    """What a query finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def store_at(path: Path, now: Callable[[], float], pii: str = "keep") -> SqliteStore:
    """A store by itself, open."""
    identity = Identity(
        provider="omeda", operation="opt_outs.outbox", base_url="https://x.example", scope={"client": "c"}, pii=pii
    )
    store = SqliteStore(path, identity, now)
    store.open()
    return store


def new(number: int, key: str | None = None) -> NewRecord:
    return NewRecord(b"%d" % number, key, f'[0,{{"email_address":"a{number}@example.com"}}]')


@asynccontextmanager
async def outbox_on(sandbox: Sandbox, path: Path, **options: Any) -> AsyncIterator[Any]:
    """An open outbox of a manager of its own, as another process would have."""
    given = {name: options.pop(name) for name in ("limits", "retry", "timeout", "hooks") if name in options}
    async with manager_on(sandbox, **given) as manager, manager.omeda.opt_outs.outbox(path, **options) as outbox:
        yield outbox


async def crash(manager: SessionManager, outbox: Any) -> None:
    """End an outbox as a kill would: nothing more is written, and the lease is not given back."""
    delivery, keeper = outbox._delivery, outbox._keeper
    term = delivery._term
    tasks = [delivery._main, *(() if term is None else (term.beating, *term.requests))]
    keeper._is_open, keeper.do, outbox._closing = False, _nowhere, asyncio.get_running_loop().create_future()
    outbox._closing.set_result(None)
    for task in tasks:
        task.cancel()
    await manager._transport.aclose()
    await keeper._worker.do(keeper.store.close)  # in its thread, which may be at work
    keeper._worker.end()


def _nowhere(_: Any) -> Any:
    raise asyncio.CancelledError
