"""What a store is told, and what it keeps, as text."""

import json

import attrs
import pytest

from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._store import Ask, Ended
from omeda_async.limits._stored import dump_ask, dump_state, load_reply, load_state

LIMIT = RateLimit(Window(10, 1.0), parallel=1, interactive_reserve=0)


def test_who_asks_for_nothing_has_that_written() -> None:
    """Also for who reads it elsewhere."""
    ask = Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0)
    said = json.loads(dump_ask(ask))
    assert {name: said[name] for name in ("interactive", "bulk", "ended", "held", "leaves", "distrusts")} == {
        "interactive": 0,
        "bulk": 0,
        "ended": [],
        "held": [],
        "leaves": False,
        "distrusts": False,
    }


def test_a_reply_that_says_nothing_more_gives_nothing() -> None:
    """Nobody waits because of what is not said."""
    plain = {"rate_limit": {"windows": [{"calls": 1, "seconds": 2.0}]}, "clock": 3.0}
    reply = load_reply(json.dumps(plain))
    assert attrs.asdict(reply, recurse=False) == {
        "permits": (),
        "again_in": None,
        "earliest": 0.0,
        "paused_for": 0.0,
        "calls": (),
        "scarce": False,
        "rate_limit": RateLimit(Window(1, 2.0)),
        "clock": 3.0,
        "held_for": 0.0,
    }


def test_the_format_has_a_number() -> None:
    """Another version knows by it that it cannot read this."""
    assert json.loads(dump_state(AccountState.begin(LIMIT, "x", lambda: 0.5)))["version"] == 1


@pytest.mark.parametrize("uniform", [0.0, 1.0])
def test_a_state_that_is_read_draws_its_pauses_anew(uniform: float) -> None:
    """Those who read one text do not all come at once."""
    state = AccountState.begin(LIMIT, "x", lambda: 0.5)
    pauses = []
    for draw in (lambda: 0.5, lambda: uniform):
        read = load_state(dump_state(state), draw)
        read.hold_until = 0.0
        ask = Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0, interactive=1)
        read.turn(ask, 100.0, "x")
        read.hold_until = 0.0
        ((permit, _),) = read.turn(attrs.evolve(ask, number=2), 200.0, "x").permits
        ended = Ended(permit, sent=True, status=429, wait=10.0)
        pauses.append(read.turn(attrs.evolve(ask, number=3, ended=(ended,)), 201.0, "x").paused_for)
    assert pauses[0] != pauses[1]


def test_a_permit_waits_a_second_for_who_asked_for_it() -> None:
    """To the moment; then it goes to the next."""
    state = AccountState.begin(LIMIT, "x", lambda: 0.5)
    asks = {name: Ask(client=name, number=1, rate_limit=LIMIT, lease=5.0, interactive=1) for name in ("a", "b", "c")}
    state.turn(asks["a"], 100.0, "x")
    state.hold_until = 0.0
    ((permit, _),) = state.turn(attrs.evolve(asks["a"], number=2), 101.0, "x").permits
    for name in ("b", "c"):
        assert state.turn(asks[name], 101.0, "x").permits == ()
    gone = attrs.evolve(asks["a"], number=3, interactive=0, ended=(Ended(permit, sent=True, status=204),))
    assert state.turn(gone, 102.0, "x").calls == ("b",)
    later = attrs.evolve(asks["c"], number=2)
    assert state.turn(later, 102.99, "x").permits == ()
    assert [lane for _, lane in state.turn(attrs.evolve(later, number=3), 103.0, "x").permits] == [Priority.INTERACTIVE]


def test_the_limit_that_holds_need_not_be_named_by_everybody() -> None:
    """Redis leaves it out where a part has no other one."""
    state = AccountState.begin(LIMIT, "x", lambda: 0.5)
    state.turn(Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0, interactive=1), 100.0, "x")
    text = dump_state(state)
    plain = json.loads(text)
    for part in (plain["limits"]["_caution"], plain["clients"]["a"]):
        assert part.pop("rate_limit") == plain["limits"]["rate_limit"]
    assert dump_state(load_state(json.dumps(plain), lambda: 0.5)) == text
