"""The state of one account's limits in Redis or Valkey: one JSON value, stepped by one Lua script a turn.

The key is kept for 35 days after the last turn, so that an account that is used once a month finds it again: where it
is gone, nothing is known of what was sent before, and nothing is granted for a window and a lease.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from importlib import resources

from redis.exceptions import MovedError, NoScriptError, RedisError, ResponseError

from omeda_async._bounded import late_ones
from omeda_async.limits._redis_link import Address, Link, explained
from omeda_async.limits._store import Ask, Reply, StoreAway, StoreRefused, running_on
from omeda_async.limits._stored import dump_ask, load_reply, load_state, of_another_version
from omeda_async.limits._view import LimitsView

logger = logging.getLogger("omeda_async")
KEPT_FOR = 35 * 86_400
"""Seconds for which a state is kept after its last turn."""
LOOK_AGAIN, LOOK_SOON = 5.0, 0.5
"""Seconds after which a client looks again without having been called: while it can be called, and while not."""
ATTEMPTS = 3
OLDEST = 7
"""The first version of Redis for which this is tested."""


@functools.cache
def script() -> tuple[str, str]:
    """Return the script and its name at the server."""
    folder = resources.files("omeda_async.limits") / "lua"
    parts = sorted((part for part in folder.iterdir() if part.name.endswith(".lua")), key=lambda part: part.name)
    text = "".join(part.read_text(encoding="utf-8") for part in parts)
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """One account's limits in Redis; see the protocol ``Store``.

    Args:
        url: Where it is; it may hold a password, which is shown nowhere.
        account: The name of the account, which is no secret.
        uniform: A source of numbers between 0 and 1, for the jitter of pauses.
        within: Seconds that connecting may take, and a turn.

    Raises:
        ValueError: The address is none; the message does not show it.
    """

    def __init__(self, url: str, account: str, uniform: Callable[[], float], *, within: float = 1.0) -> None:
        """Connect to nothing yet: the first turn does."""
        self._address = Address(url)
        self.name = self._address.name
        # All that belongs to an account is in one slot of a cluster.
        self._key = f"omeda-async:limits:{{{account}}}"
        self._uniform = uniform
        self._within = within
        self._link: Link | None = None
        self._life = ""
        self._called = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._ear: Link | None = None
        self._listens = self._closed = self._warned = False
        self._last: tuple[bytes, Callable[[], float]] | None = None
        """The state after the last turn, and the server's clock."""

    async def turn(self, ask: Ask) -> Reply:
        if self._closed:
            raise StoreAway("it is closed")
        self._called.clear()  # this turn gets what others have called for until now
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(f"{self._key}:{ask.client}"), name="omeda_async calls")
        answer, state = await self._evaluated(dump_ask(ask))
        reply = load_reply(answer)
        self._last = state, running_on(reply.clock)
        return reply

    async def changed(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN if self._listens else LOOK_SOON):
                await self._called.wait()

    def view(self) -> LimitsView | None:
        if self._last is None:
            return None
        text, clock = self._last
        return load_state(text, self._uniform).view(clock())

    async def aclose(self) -> None:
        self._closed = True
        self._drop()
        if self._ear is not None:
            self._ear.cut()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=self._within)
        await late_ones(self._within)

    async def _evaluated(self, ask: str) -> tuple[bytes, bytes]:
        """Run the script; where the connection turns out to have been cut before, on another one.

        The same turn made twice does nothing the second time; its permits come back with the next one.
        """
        for _ in range(ATTEMPTS):
            was_open = self._link is not None
            link = await self._reached()
            try:
                return await self._evaluate(link, ask)
            except MovedError as moved:
                self._drop()
                self._address.follow(moved)
            except (RedisError, OSError) as error:
                self._drop()
                if isinstance(error, ResponseError) or not was_open or self._closed:
                    raise explained(error) from None
                self._called.set()  # had that turn been made, this one says nothing: look again at once
            except BaseException:
                self._drop()
                raise
        raise StoreAway("its connections break off, or its cluster is being changed")

    async def _evaluate(self, link: Link, ask: str) -> tuple[bytes, bytes]:
        text, name = script()
        rest = (1, self._key, ask, self._life, repr(self._uniform()), KEPT_FOR)
        try:
            answer, state = await link.call("EVALSHA", name, *rest)
        except NoScriptError:
            answer, state = await link.call("EVAL", text, *rest)
        except ResponseError as error:
            kind, _, version = str(error).partition(" ")
            if kind == "OMEDAVERSION":
                raise of_another_version(version) from None
            if kind.startswith("OMEDA"):
                raise StoreRefused("what it keeps is not the state of an account's limits") from None
            raise
        return answer, state

    async def _reached(self) -> Link:
        """Return the connection; a new one is asked first which server, in which of its lives, it has reached."""
        if self._link is not None:
            return self._link
        link = Link(self._address.connection(self._within), self._within)
        try:
            self._life = await self._checked(link)
        except (RedisError, OSError) as error:
            link.cut()
            self._address.go_home()
            raise explained(error) from None
        except BaseException:
            link.cut()
            raise
        self._link = link
        return link

    async def _checked(self, link: Link) -> str:
        """Return what tells the server's present life from others, if it is fit for this."""
        found = (await link.call("INFO")).decode(errors="replace")
        facts = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
        if facts.get("role", "master") != "master":
            raise StoreAway("it is a replica: only a master keeps limits")
        version = facts.get("redis_version", "")
        if version.split(".")[0].isdigit() and int(version.split(".")[0]) < OLDEST:
            raise StoreRefused(f"it is Redis {version}: {OLDEST} is needed, or Valkey")
        if not facts.get("run_id"):
            raise StoreRefused("it does not tell its run_id in INFO, by which a restart is noticed")
        self._check_policy(facts.get("maxmemory_policy") or await _asked_policy(link))
        return str(facts["run_id"])

    def _check_policy(self, policy: str | None) -> None:
        if policy is None and not self._warned:
            self._warned = True
            logger.warning("%s does not tell its maxmemory-policy: limits hold with noeviction only", self.name)
        if policy not in {None, "noeviction"}:
            raise StoreRefused(f"its maxmemory-policy is {policy}: set it to noeviction, or limits may be evicted")

    async def _listen(self, channel: str) -> None:
        """Note when another client's turn has left a permit for this one, for as long as the connection holds."""
        self._ear = link = Link(self._address.connection(self._within), self._within)
        try:
            await link.call("SUBSCRIBE", channel)
            self._listens = True
            while not self._closed:
                self._called.set()  # at first too: what was called before is not known
                await link.next_message()
        except (StoreAway, RedisError, OSError) as error:
            logger.debug("%s does not tell of changes: %s", self.name, type(error).__name__)
        finally:
            link.cut()
            if self._listens:
                self._listens = False
                self._called.set()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.cut()
            self._link = None


async def _asked_policy(link: Link) -> str | None:
    """Return the maxmemory-policy; None where the server keeps it to itself."""
    try:
        found = await link.call("CONFIG", "GET", "maxmemory-policy")
    except ResponseError:
        return None
    return found[1].decode() if len(found) == 2 else None
