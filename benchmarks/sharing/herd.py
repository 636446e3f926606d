"""Processes that use one account: each cancels campaigns as fast as the limits let it.

``python -m benchmarks.sharing.herd JSON`` says that it is ready, makes them by fork once its input's first line has
said when they begin, says their numbers, and ends them when its input ends. Each says in the end what it has got.
"""

import asyncio
import contextlib
import datetime as dt
import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from hashlib import sha1
from typing import Any

import aiohttp
import attrs

from omeda_async import OcambaSettings, OmedaAsyncError, Priority, RateLimit, RetryPolicy, SessionManager, _clock
from omeda_async._account import account_key
from omeda_async.limits import _redis_store
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._where import open_store

ACCOUNT = "proof"
OURS = ("calls", "single", "bulk", "tasks")
NEEDED = ("_call", "_single", "_transport", "bulk._run", "limits._store_limiter", "providers.ocamba.client")
"""What is loaded with the first call, besides the store."""
CONNECT_TIMEOUT = 10.0
"""Seconds, as everybody has who says nothing else."""
IN_A_TASK = 4
"""Calls."""


@attrs.frozen(kw_only=True)
class Plan:
    """What the processes are to do."""

    names: list[str]
    """What each is called."""
    url: str
    """Where the server is."""
    limit: str
    where: str | None
    """Where limits are shared."""
    timeout: float
    lasts: float
    """Seconds from the beginning to the end."""
    begins_at: float = 0.0
    """By the machine's monotonic clock."""
    at_once: int = 12
    """How many calls of each wait or are under way."""
    calls: int | None = None
    """How many calls each makes; None for as many as it can."""
    way: str = "calls"
    """``calls`` of bulk work, ``single`` ones, a ``bulk`` run, ``tasks`` that have a loop each, or another library: see
    ``others``."""
    hold: bool = True
    """Whether what the store has lost is a hold: without it, the control."""
    ahead: float = 0.0
    """By how many seconds the calendar clock is ahead."""

    @property
    def ends_at(self) -> float:
        """Return when they end."""
        return self.begins_at + self.lasts


def shift_calendar(seconds: float) -> None:
    """Set the clocks that show the calendar in this process."""
    real, real_ns, utc_now = time.time, time.time_ns, _clock.utc_now
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)
    _clock.utc_now = lambda: utc_now() + dt.timedelta(seconds=seconds)


def leave_out_the_hold() -> None:
    """Let a state that is lost, or new, grant at once."""
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731 it stands in for a method
    AccountState._hold = nothing  # type: ignore[method-assign]  # noqa: SLF001 the control
    text, _ = _redis_store.script()
    without = text.replace("\n    hold(state, now)\n", "\n")
    assert without != text
    name = sha1(without.encode(), usedforsecurity=False).hexdigest()
    _redis_store.script = lambda: (without, name)  # type: ignore[assignment]


@attrs.define
class Member:
    """One of the processes."""

    plan: Plan
    name: str
    done: int = 0
    number: int = 0
    errors: dict[str, int] = attrs.field(factory=dict)

    def campaign(self) -> str:
        """Return a campaign that says who cancels it."""
        self.number += 1
        return f"{self.name}-{self.number}"

    def wants_more(self) -> bool:
        """Whether there is something left to do."""
        more = self.plan.calls is None or self.number < self.plan.calls
        return more and time.monotonic() < self.plan.ends_at

    async def use(self, cancel: Callable[[str], Coroutine[Any, Any, Any]], most: int | None = None) -> None:
        """Make one call after the other, and so many at most."""
        left = itertools.repeat(None) if most is None else itertools.repeat(None, most)
        while self.wants_more() and next(left, self) is None:
            try:
                await cancel(self.campaign())
                self.done += 1
            except OmedaAsyncError as error:
                self.errors[type(error).__name__] = self.errors.get(type(error).__name__, 0) + 1
                await asyncio.sleep(0.05)

    async def calls(self, manager: SessionManager) -> None:
        """Make single calls; a task makes a few."""
        way, cancel = self.plan.way, manager.ocamba.campaigns.cancel
        priority = Priority.BULK if way == "calls" else Priority.INTERACTIVE
        at_once, most = (IN_A_TASK, 1) if way == "tasks" else (self.plan.at_once, None)
        some = [self.use(lambda name: cancel(name, reason="test", priority=priority), most) for _ in range(at_once)]
        await asyncio.gather(*some)

    async def bulk(self, manager: SessionManager) -> None:
        """Make one bulk run."""

        async def campaigns() -> AsyncIterator[str]:
            while self.wants_more():
                yield self.campaign()

        report = await manager.ocamba.campaigns.cancel_many(campaigns(), reason="test")
        self.done = report.total - len(report.failures)

    async def work(self) -> None:
        """Do what is planned, from its beginning to its end."""
        plan = self.plan
        await asyncio.sleep(max(0.0, plan.begins_at - time.monotonic()))
        if plan.way not in OURS:
            from benchmarks.sharing import others  # noqa: PLC0415 it needs what only the benchmark has

            async with aiohttp.ClientSession() as session:
                await others.use(self, session)
            return
        async with SessionManager(ocamba=settings(plan), share_limits=plan.where) as manager:
            await (self.bulk(manager) if plan.way == "bulk" else self.calls(manager))

    async def until_the_end(self) -> None:
        """Work, and let go at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.plan.ends_at - time.monotonic())):
                await self.work()

    def live(self) -> None:
        """Do what is planned, and say what has come of it; as a job queue's worker, with a loop for each task."""
        asyncio.run(self.until_the_end())
        while self.plan.way == "tasks" and self.wants_more():
            asyncio.run(self.until_the_end())
        said = json.dumps({"name": self.name, "done": self.done, "errors": self.errors})
        os.write(1, f"{said}\n".encode())  # whole, whoever else writes


def _be(plan: Plan, name: str) -> int:
    os.close(0)
    if plan.ahead:
        shift_calendar(plan.ahead)
    Member(plan, name).live()
    return 0


def settings(plan: Plan) -> OcambaSettings:
    """Return what each of the processes is given."""
    return OcambaSettings(
        token="test",  # noqa: S106 no secret
        base_url=plan.url,
        rate_limit=RateLimit.parse(plan.limit),
        account=ACCOUNT,
        timeout=plan.timeout,
        connect_timeout=CONNECT_TIMEOUT,
        retry=RetryPolicy(deadline=600.0),
    )


def load(plan: Plan) -> None:
    """Load what all will need: sixteen processes that do it at once keep a busy machine from all else for a window."""
    for name in NEEDED:
        importlib.import_module(f"omeda_async.{name}")
    if plan.where is not None and plan.way in OURS:
        open_store(plan.where, account_key("ocamba", settings(plan), None), lambda: 0.5)


def main(plan: Plan) -> None:
    """Make the processes, and wait for them."""
    if not plan.hold:
        leave_out_the_hold()
    load(plan)
    print(json.dumps("ready"), flush=True)
    plan = attrs.evolve(plan, begins_at=float(sys.stdin.readline()))
    pids = []
    for name in plan.names:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                code = _be(plan, name)
            finally:
                sys.stdout.flush()
                os._exit(code)
        pids.append(pid)
    print(json.dumps(dict(zip(plan.names, pids, strict=True))), flush=True)
    threading.Thread(target=_end_with_input, args=(pids,), daemon=True).start()
    for pid in pids:
        os.waitpid(pid, 0)


def _end_with_input(pids: list[int]) -> None:
    sys.stdin.read()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Plan(**json.loads(sys.argv[1])))
