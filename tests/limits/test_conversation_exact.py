"""What a client and the store tell each other, to the digit; the time is an argument."""

from typing import Any

import pytest

from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._conversation import Conversation
from omeda_async.limits._store import Ask, Ended, Reply

LIMIT = RateLimit(Window(10, 1.0))


class Talk:
    """A conversation whose clock is set."""

    def __init__(self) -> None:
        """Begin it at 100."""
        self.now = 100.0
        self.told = Conversation(LIMIT, 30.0, 8.0, lambda: self.now)

    def turn(self, at: float, ahead: float = 1000.0, *, takes: float = 0.0, permits: Any = ()) -> bool:
        """Make a turn whose reply shows a clock that is so far ahead of when it came; tell whether that is believed."""
        ask = self.told.ask()
        self.now = at + takes
        reply = Reply(rate_limit=LIMIT, clock=self.now + ahead, permits=permits)
        self.got = self.told.take(ask, reply, at, self.now)
        return not self.told.distrusts


def test_a_turn_tells_what_there_is_and_nothing_else() -> None:
    """Turns are numbered from 1."""
    talk = Talk()
    talk.told.client = "me"
    assert talk.told.ask() == Ask(client="me", number=1, rate_limit=LIMIT, lease=30.0)
    ended = Ended(7, sent=True, status=204)
    talk.told.end(ended)
    assert talk.told.has_news
    assert talk.told.ask(interactive=2, bulk=3, leaves=True) == Ask(
        client="me", number=2, rate_limit=LIMIT, lease=30.0, interactive=2, bulk=3, leaves=True, ended=(ended,)
    )
    ask = talk.told.ask()
    assert (ask.interactive, ask.bulk, ask.held, ask.leaves, ask.distrusts) == (0, 0, (), False, False)


@pytest.mark.parametrize(("ahead", "is_believed"), [(1000.25, True), (1000.26, False), (900.0, True)])
def test_a_clock_may_get_ahead_by_a_quarter_of_a_second(ahead: float, *, is_believed: bool) -> None:
    """To the digit, where no time has passed between two turns."""
    talk = Talk()
    assert not talk.told.answered
    assert talk.turn(100.0)
    assert talk.told.answered
    assert talk.turn(100.0, ahead) is is_believed
    assert talk.told.has_news is not is_believed


@pytest.mark.parametrize(("ahead", "is_believed"), [(1002.24, True), (1002.26, False)])
def test_a_clock_may_besides_run_faster_by_two_seconds_in_a_thousand(ahead: float, *, is_believed: bool) -> None:
    """Counted until the reply has come."""
    talk = Talk()
    talk.turn(100.0)
    assert talk.turn(600.0, ahead, takes=500.0) is is_believed


def test_a_clock_may_get_ahead_of_where_it_was_furthest_behind() -> None:
    """However it came there: step by step, or from far ahead."""
    talk = Talk()
    talk.turn(100.0)
    assert [talk.turn(100.0, ahead) for ahead in (1000.2, 1000.25, 1000.26)] == [True, True, False]
    talk = Talk()
    talk.turn(100.0)
    assert [talk.turn(100.0, ahead) for ahead in (990.0, 990.26)] == [True, False]


@pytest.mark.parametrize(("last", "is_believed"), [(1000.44, True), (1000.46, False)])
def test_what_it_may_have_run_faster_by_is_not_counted_twice(last: float, *, is_believed: bool) -> None:
    """From one turn to the next it is two thousandths of the time between the two."""
    talk = Talk()
    talk.turn(100.0)
    assert talk.turn(200.0, 1000.4)
    assert talk.turn(200.0, last) is is_believed


def test_the_slower_way_there_is_taken_for_the_clock_of_the_reply() -> None:
    """It was read at some moment of the turn: at its beginning it shows the most, at its end the least."""
    talk = Talk()
    talk.turn(100.0, takes=0.5)
    assert talk.turn(100.5, 1000.75)
    assert not talk.turn(100.5, 1000.76)


def test_a_clock_that_was_not_believed_is_believed_from_there_on() -> None:
    """The store is told once."""
    talk = Talk()
    talk.turn(100.0)
    assert [talk.turn(100.0, ahead) for ahead in (1005.0, 1005.0, 1005.25, 1005.26)] == [False, True, True, False]


def test_a_permit_is_used_until_its_time_is_over_and_not_at_that_moment() -> None:
    """Counted from when the turn began."""
    talk = Talk()
    talk.turn(100.0, takes=7.9, permits=((1, Priority.BULK),))
    permit = talk.told.held[1]
    assert talk.got == [permit]
    assert (permit.until, permit.lapses, permit.priority) == (108.0, True, Priority.BULK)
    assert not permit.is_over()
    talk.now = 108.0
    assert permit.is_over()


@pytest.mark.parametrize(("takes", "ahead"), [(8.0, 1000.0), (0.0, 2000.0)])
def test_a_permit_that_may_not_be_used_goes_back_unused(takes: float, ahead: float) -> None:
    """As its time is over, to the moment, or as it was given by a clock that is not believed."""
    talk = Talk()
    talk.turn(100.0)
    talk.turn(200.0, ahead, takes=takes, permits=((1, Priority.BULK),))
    assert (talk.told.held, talk.got) == ({}, [])
    assert talk.told.ask().ended == (Ended(1, sent=False),)
