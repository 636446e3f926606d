"""What limiters and a store mean by what they do not say."""

from omeda_async.limits import RateLimit, Window
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._store import Ask, Ended, Reply

LIMIT = RateLimit(Window(1, 10.0), interactive_reserve=0)


def test_a_turn_in_which_nothing_is_said_wants_nothing() -> None:
    """It has nothing, stays, and trusts the clock."""
    ask = Ask(client="a", number=1, rate_limit=LIMIT, lease=5.0)
    assert (ask.interactive, ask.bulk, ask.ended, ask.held, ask.leaves, ask.distrusts) == (0, 0, (), (), False, False)


def test_a_reply_in_which_nothing_is_said_grants_nothing_and_holds_nothing_up() -> None:
    """Nobody else waits, and there is nothing to come for."""
    reply = Reply(rate_limit=LIMIT, clock=7.0)
    assert (reply.permits, reply.again_in, reply.calls, reply.scarce) == ((), None, (), False)
    assert (reply.earliest, reply.paused_for, reply.held_for) == (0.0, 0.0, 0.0)


def test_an_attempt_of_which_nothing_is_said_had_no_response() -> None:
    """Nor does anything ask to wait."""
    ended = Ended(3, sent=True)
    assert (ended.status, ended.advice, ended.wait) == (None, None, None)


def test_a_permit_waits_a_second_for_who_is_late() -> None:
    """Then it is somebody else's."""
    for late, granted in ((0.9, True), (1.1, False)):
        state = AccountState.begin(LIMIT, "life", lambda: 0.5)
        state.turn(Ask(client="before", number=1, rate_limit=LIMIT, lease=0.0, leaves=True), 0.0, "life")
        one, two = (Ask(client=name, number=1, rate_limit=LIMIT, lease=5.0, interactive=1) for name in ("a", "b"))
        (number, _), *_ = state.turn(one, 20.0, "life").permits
        assert state.turn(two, 20.0, "life").permits == ()
        gives = Ask(client="a", number=2, rate_limit=LIMIT, lease=5.0, ended=(Ended(number, sent=False),))
        assert state.turn(gives, 20.1, "life").calls == ("b",)
        fetches = Ask(client="b", number=2, rate_limit=LIMIT, lease=5.0)
        assert bool(state.turn(fetches, 20.1 + late, "life").permits) is granted
