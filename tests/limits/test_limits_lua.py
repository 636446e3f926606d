"""The rules in Lua are the rules in Python: random turns of several clients give the same replies and states."""

import json
import math
import os
import random
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from omeda_async.limits._account_state import AccountState
from omeda_async.limits._stored import VERSION, dump_ask, dump_state, load_reply, load_state
from tests.limits.redis_service import URL, answers, missing
from tests.limits.turn_scripts import Script

redis = pytest.importorskip("redis")
TURNS = 60
SCRIPTS = int(os.environ.get("OMEDA_ASYNC_TEST_TURN_SCRIPTS", "16"))
NEAR = 1e-6


@attrs.define
class Lua:
    """The script, run on a clock that the test moves."""

    key: str
    _run: Any

    @classmethod
    def make(cls, client: Any) -> "Lua":
        """Register the script, with the clock as another argument."""
        from omeda_async.limits._redis_store import script  # noqa: PLC0415 it needs redis-py, which is optional

        text = script()[0]
        moved = text.replace('redis.call("TIME")', "cjson.decode(ARGV[5])")
        assert moved.count("ARGV[5]") == 1
        return cls(f"omeda-async:test:{{{secrets.token_hex(8)}}}", client.register_script(moved))

    def turn(self, ask: Any, clock: float, server: str, chance: float) -> tuple[bytes, bytes]:
        """Make one turn; return the reply and the state."""
        seconds, micros = divmod(round(clock * 1e6), 1_000_000)
        time = json.dumps([str(seconds), str(micros)])
        reply, state = self._run(keys=[self.key], args=[dump_ask(ask), server, repr(chance), 100, time])
        return reply, state


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of the server that is there."""
    where = urlsplit(URL)
    if not answers(where.hostname or "127.0.0.1", where.port or 6379):
        missing(f"no Redis at {where.hostname}:{where.port or 6379}: start one, or name it in OMEDA_ASYNC_TEST_REDIS")
    with redis.Redis.from_url(URL) as made:
        yield made


def difference(one: Any, other: Any, place: str = "") -> str | None:
    """Return where two values differ by more than what 14 digits leave; None where they are the same."""
    if attrs.has(type(one)):
        return difference(attrs.asdict(one, recurse=False), attrs.asdict(other, recurse=False), place)
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{place}: {one.keys() ^ other.keys()}"
        return next(filter(None, (difference(one[key], other[key], f"{place}/{key}") for key in one)), None)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next(filter(None, (difference(*pair, f"{place}/{i}") for i, pair in pairs)), None)
    if type(one) in {int, float} and type(other) in {int, float}:
        both_nan = one != one and other != other  # noqa: PLR0124 that is how NaN is told
        return None if both_nan or one == other or abs(one - other) < NEAR else f"{place}: {one} and {other}"
    return None if one == other else f"{place}: {one!r} and {other!r}"


def plain(state: AccountState) -> Any:
    """Return a state as plain values."""
    return json.loads(dump_state(state))


def compare(lua: Lua, seed: int) -> int:
    """Run one random script through both; return how many permits were granted."""
    chances, granted, state = [0.5], 0, None
    script = Script(
        random.Random(seed),  # noqa: S311 repeatable
        trouble=(0.0, 0.03, 0.3)[seed % 3],
    )
    turns = script.turns(TURNS)
    step = next(turns)
    while True:
        ask, clock, server, chances[0] = step
        if state is None:
            state = AccountState.begin(ask.rate_limit, server, lambda: chances[0])
        expected = state.turn(ask, clock, server)
        reply, text = lua.turn(ask, clock, server, chances[0])
        found = load_state(text, lambda: chances[0])
        wrong = difference(expected, load_reply(reply)) or difference(plain(state), plain(found))
        assert wrong is None, f"script {seed}, turn of {ask}: {wrong}; {expected}"
        # Both go on from the text, so that the digits it has left out do not add up.
        state, granted = found, granted + len(expected.permits)
        try:
            step = turns.send(expected)
        except StopIteration:
            return granted


@pytest.mark.parametrize("part", range(8))
def test_the_script_steps_as_the_python_rules_do(client: Any, part: int) -> None:
    """Whatever clients ask, whatever becomes of their attempts, and whatever goes wrong on the way."""
    lua, granted = Lua.make(client), 0
    for seed in range(part, SCRIPTS, 8):
        client.delete(lua.key)
        granted += compare(lua, seed)
    client.delete(lua.key)
    assert granted > SCRIPTS / 8


def test_the_formats_have_one_version() -> None:
    """Of the state as Python writes it, and as the script does."""
    pytest.importorskip("redis")
    from omeda_async.limits._redis_store import script  # noqa: PLC0415 the same

    assert f"local VERSION = {VERSION}\n" in script()[0]
    assert math.isfinite(VERSION)
