"""What several clients of an account get, to the moment: by hand, turn by turn."""

import math
from typing import Any

import pytest

from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._account_state import AccountState
from omeda_async.limits._store import Ask, Ended, Reply

INTERACTIVE, BULK = Priority.INTERACTIVE, Priority.BULK
TWO = RateLimit(Window(2, 10.0), interactive_reserve=0)
LAP = 10.0 * 1.001
LEASE = 5.0


class Turns:
    """A state, and the turns of its clients; at 0 the hold has been over for a second, or begins."""

    def __init__(self, limit: RateLimit = TWO, *, held: bool = False) -> None:
        self.limit = limit
        self.state = AccountState.begin(limit, "life 1", lambda: 0.0)
        self.server = "life 1"
        self.began = 0.0
        self.numbers = 0
        if not held:
            self.turn(0.0, "before", lease=0.0, leaves=True)
            self.began += limit.longest * 1.001 + 1.0

    def turn(self, at: float, name: str = "a", *ended: Ended, **ask: Any) -> Reply:
        """Take a client's turn at a moment; its lease is five seconds."""
        self.numbers += 1
        given = {"rate_limit": self.limit, "lease": LEASE, "number": self.numbers, **ask}
        return self.state.turn(Ask(client=name, ended=ended, **given), self.began + at, self.server)

    def numbers_of(self, reply: Reply) -> tuple[int, ...]:
        """Give the permits of a reply."""
        return tuple(number for number, _ in reply.permits)

    def take(self, at: float, name: str = "a", **ask: Any) -> tuple[int, ...]:
        """Take a turn, and give its permits."""
        return self.numbers_of(self.turn(at, name, **ask))

    def waits(self, at: float) -> dict[Priority, int]:
        """Say how many wait in each lane at a moment."""
        return dict(self.state.view(self.began + at).waiting)


def answered(*numbers: int, **how: Any) -> tuple[Ended, ...]:
    """Say that attempts were answered."""
    return tuple(Ended(number, **{"sent": True, "status": 204, **how}) for number in numbers)


# Time


def test_the_time_is_what_the_store_s_clock_has_gone_forward() -> None:
    """Where it is set back, it stands still, and goes on from there."""
    turns = Turns()
    one = turns.take(0.0, interactive=1)
    turns.turn(1.0, "a", *answered(*one))
    used = turns.state.view(turns.began + 1.0).used
    assert used == 1
    turns.turn(-100.0)
    shown = [turns.state.view(turns.began - at).windows[0].frees_in for at in (100.0, 100.5, 200.0)]
    assert shown == pytest.approx([LAP] * 3)
    assert turns.state.latest == pytest.approx(LAP + 2.0)
    assert turns.state.view(turns.began - 100.0 + LAP - 0.01).used == 1
    assert turns.state.view(turns.began - 100.0 + LAP + 0.01).used == 0
    turns.turn(-100.0 + LAP + 0.01)
    assert turns.state.view(turns.began - 100.0 + LAP + 0.01).used == 0


def test_a_reply_names_what_the_clock_shows_and_the_limit_that_holds() -> None:
    """Also that of a turn that was made before, which says nothing else."""
    turns = Turns()
    reply = turns.turn(3.0, interactive=1)
    assert (reply.clock, reply.rate_limit, reply.held_for, reply.paused_for) == (turns.began + 3.0, TWO, 0.0, 0.0)
    again = turns.turn(4.0, number=turns.numbers, interactive=1)
    assert again == Reply(rate_limit=TWO, clock=turns.began + 4.0)
    assert turns.turn(4.0, "new", number=0, interactive=1) == again


# A hold


def test_a_hold_lasts_for_a_lease_and_the_longest_window() -> None:
    """Nobody is granted anything before that moment, and at it everybody is."""
    turns = Turns(RateLimit(Window(2, 10.0), Window(1, 4.0), interactive_reserve=0), held=True)
    until = LEASE + LAP
    reply = turns.turn(0.0, interactive=1, bulk=1)
    assert (reply.permits, reply.held_for, reply.again_in, reply.scarce) == ((), until, until, True)
    assert reply.earliest == until
    assert turns.take(math.nextafter(until, 0.0), interactive=5) == ()
    reply = turns.turn(until, interactive=5)
    assert (len(reply.permits), reply.held_for) == (1, 0.0)


def test_whoever_comes_during_a_hold_makes_it_as_long_as_theirs_would_be() -> None:
    """From when it began; who comes after it does not."""
    turns = Turns(held=True)
    turns.turn(0.0)
    wide = RateLimit(Window(100, 100.0), interactive_reserve=0)
    assert turns.turn(3.0, "b", lease=7.0, rate_limit=wide).held_for == pytest.approx(7.0 + 100.1 - 3.0)
    assert turns.turn(4.0, "c", lease=1.0, rate_limit=TWO).held_for == pytest.approx(7.0 + 100.1 - 4.0)
    assert turns.turn(108.0, "d", lease=90.0).held_for == 0.0


@pytest.mark.parametrize("how", ["life", "distrust"])
def test_what_is_lost_is_held_from_that_moment_once(how: str) -> None:
    """What nobody has fetched is back; a store that has changed once is the same from then on."""
    turns = Turns(RateLimit(Window(3, 10.0), parallel=2, interactive_reserve=0))
    ended, *one = turns.take(0.0, interactive=2)
    turns.turn(0.0, "b", interactive=2)
    assert turns.turn(0.0, "a", *answered(ended), held=tuple(one)).calls == ("b",)
    assert turns.state.view(turns.began).used == 3
    turns.server = "life 2" if how == "life" else "life 1"
    reply = turns.turn(1.0, held=tuple(one), interactive=3, distrusts=how == "distrust")
    assert (reply.permits, reply.held_for) == ((), LEASE + LAP)
    assert turns.state.view(turns.began + 1.0).used == 2
    assert turns.turn(2.0, held=tuple(one), interactive=3).held_for == pytest.approx(LEASE + LAP - 1.0)


def test_who_comes_at_the_moment_at_which_a_hold_ends_does_not_make_it_longer() -> None:
    """It is over."""
    turns = Turns(held=True)
    turns.turn(0.0)
    assert turns.turn(LEASE + LAP, "b", lease=90.0).held_for == 0.0


# Clients


def test_who_is_silent_is_forgotten_after_three_of_its_leases_and_longest_windows() -> None:
    """Not before; a turn of anybody counts the clients."""
    turns = Turns()
    turns.turn(0.0, "silent")
    old = 3 * (10.0 + LEASE)
    turns.turn(old - 0.001)
    assert turns.state.view(turns.began + old).clients == 2
    turns.turn(old + 0.001)
    assert turns.state.view(turns.began + old).clients == 1


def test_who_was_there_so_long_ago_exactly_is_not_forgotten_and_wants_nothing_any_more() -> None:
    """Each at its moment."""
    turns = Turns(held=True)
    turns.turn(0.0, "b", interactive=3)
    assert turns.turn(math.nextafter(1.0 + LEASE + LAP, 0.0)).calls == ("b",)
    assert turns.state.clients["b"].interactive == 2
    assert [turns.waits(at)[INTERACTIVE] for at in (1.0 + LEASE, 1.0 + LEASE + LAP)] == [2, 0]
    turns.turn(1.0 + LEASE + LAP)
    assert turns.state.clients["b"].interactive == 0
    turns = Turns(held=True)
    turns.turn(0.0, "b")
    turns.turn(3 * (10.0 + LEASE))
    assert list(turns.state.clients) == ["b", "a"]


def test_the_limit_of_who_has_left_holds_no_more() -> None:
    """What others have named does."""
    turns = Turns()
    tighter = RateLimit(Window(1, 10.0), interactive_reserve=0)
    assert turns.turn(0.0, "b", rate_limit=tighter).rate_limit == tighter
    assert turns.turn(0.0).rate_limit == tighter
    turns.turn(0.0, "b", rate_limit=tighter, leaves=True)
    assert turns.turn(0.0).rate_limit == TWO
    assert turns.state.view(turns.began).clients == 1


def test_what_a_client_wants_counts_until_it_should_have_come_again() -> None:
    """A second later; where nobody knows when, after its lease and a second."""
    turns = Turns(RateLimit(Window(2, 10.0), interactive_reserve=0))
    numbers = turns.take(0.0, interactive=2, bulk=0)
    assert turns.turn(0.0, "a", *answered(*numbers), interactive=2, bulk=3).again_in == pytest.approx(LAP)
    assert turns.waits(LAP + 0.99) == {INTERACTIVE: 2, BULK: 3}
    assert turns.waits(LAP + 1.01) == {INTERACTIVE: 0, BULK: 0}
    turns = Turns(RateLimit(parallel=1))
    turns.take(0.0)
    assert turns.turn(0.0, interactive=3).again_in is None
    assert turns.waits(LEASE + 0.99) == {INTERACTIVE: 2, BULK: 0}
    assert turns.waits(LEASE + 1.01) == {INTERACTIVE: 0, BULK: 0}


def test_what_somebody_wanted_who_does_not_come_is_granted_to_nobody() -> None:
    """Though it would have been its turn."""
    turns = Turns()
    both = turns.take(0.0, interactive=2)
    turns.turn(0.0, "a", *answered(*both))
    turns.turn(0.0, "b", interactive=1)
    reply = turns.turn(LAP + 1.5, interactive=2)
    assert (len(reply.permits), reply.calls) == (2, ())
    assert not turns.state.clients["b"].interactive


def test_of_those_who_want_something_who_has_had_least_is_next() -> None:
    """Of equal ones, by their names; who comes back has no claim on what it did not ask for."""
    turns = Turns(RateLimit(parallel=1))
    one = turns.take(0.0, "b", interactive=1)
    for name in ("c", "a"):
        turns.turn(0.0, name, interactive=2)
    reply = turns.turn(1.0, "b", *answered(*one), interactive=1)
    assert (reply.permits, reply.calls, turns.state.called()) == ((), ("a",), ("a",))
    two = turns.take(1.0, "a", interactive=1)
    assert len(two) == 1
    assert turns.turn(1.1, "a", *answered(*two), interactive=2).calls == ("c",)
    three = turns.take(1.2, "c", interactive=1)
    assert turns.turn(1.3, "c", *answered(*three), interactive=2).calls == ("a",)


def test_who_comes_back_begins_with_what_the_least_served_has_had() -> None:
    """Or with its own, if that is more, or nobody else wants anything."""
    turns = Turns(RateLimit(parallel=11, interactive_reserve=0))
    seven, four = turns.take(0.0, "a", interactive=7), turns.take(0.0, "b", interactive=4)
    clients = turns.state.clients
    assert [clients[name].served for name in ("a", "b")] == [7.0, 4.0]
    turns.turn(0.1, "b", held=four, bulk=1)
    assert clients["b"].served == 4.0
    turns.turn(0.1, "b", held=four)
    turns.turn(0.1, "a", held=seven, interactive=1)
    turns.turn(0.1, "b", held=four, interactive=1)
    turns.turn(0.1, "c")
    assert clients["c"].served == 0.0
    turns.turn(0.1, "c", interactive=1)
    assert [clients[name].served for name in ("a", "b", "c")] == [7.0, 7.0, 7.0]
    turns.turn(0.1, "b", *answered(four[0]), held=four[1:], interactive=1)
    one = turns.take(0.1, "a", held=seven, interactive=1)
    turns.turn(0.1, "a", *answered(*one), held=seven)
    turns.turn(0.1, "a", held=seven, interactive=1)
    assert clients["a"].served == 8.0


# Permits


def test_a_permit_that_nobody_fetches_is_back_after_a_second() -> None:
    """At that moment; who did not come is not waited for."""
    turns = Turns(RateLimit(parallel=1, interactive_reserve=0))
    one = turns.take(0.0, interactive=1)
    turns.turn(0.0, "b", interactive=2)
    assert turns.turn(1.0, "a", *answered(*one)).calls == ("b",)
    assert turns.take(1.999, interactive=1) == ()
    assert len(turns.take(2.0, interactive=1)) == 1
    assert turns.state.clients["b"].interactive == 0


def test_a_permit_lasts_for_the_lease_of_each_turn_that_speaks_of_it() -> None:
    """Then it counts as sent at that moment: its slot is free a window later."""
    turns = Turns(RateLimit(Window(1, 10.0), interactive_reserve=0))
    one = turns.take(0.0, interactive=1)
    turns.turn(3.0, held=one)
    turns.turn(math.nextafter(8.0, 0.0) - 1e-9, "b")
    assert turns.state.limits.in_flight == 1
    turns.turn(9.0, "b")
    assert turns.state.limits.in_flight == 0
    assert turns.take(8.0 + LAP - 0.01, interactive=1) == ()
    assert len(turns.take(8.0 + LAP + 0.01, interactive=1)) == 1


def test_a_permit_that_a_client_does_not_have_was_never_used() -> None:
    """It is back at once; one that it speaks of is not, and neither is anybody else's."""
    turns = Turns(RateLimit(Window(3, 10.0), interactive_reserve=0))
    other = turns.take(0.0, "b", interactive=1)
    first, _lost = turns.take(0.0, interactive=2)
    reply = turns.turn(1.0, held=(first,), interactive=2)
    assert turns.numbers_of(reply) == (4,)
    assert set(turns.state.grants) == {first, *other, 4}


def test_nobody_ends_the_permits_of_others_and_none_twice() -> None:
    """What is unknown is skipped; the longest pause is told."""
    turns = Turns(RateLimit(Window(5, 10.0), interactive_reserve=0))
    numbers = turns.take(0.0, interactive=3)
    turns.turn(1.0, "b", *answered(*numbers))
    assert turns.state.limits.in_flight == 3
    waits = [
        Ended(number, sent=True, status=503, wait=wait) for number, wait in zip(numbers, (2.0, 4.0, 3.0), strict=True)
    ]
    assert turns.turn(1.0, "a", *waits, *waits, interactive=1).paused_for == 4.0
    assert turns.state.limits.in_flight == 0


def test_who_leaves_gives_back_what_waits_for_it_and_wants_nothing() -> None:
    """What is in flight counts on until its lease is over."""
    turns = Turns(RateLimit(parallel=2, interactive_reserve=0))
    one, two = turns.take(0.0, interactive=2)
    turns.turn(0.0, "b", interactive=1)
    assert turns.turn(1.0, "a", *answered(one), held=(two,)).calls == ("b",)
    reply = turns.turn(1.0, "b", interactive=1, leaves=True)
    assert (reply.permits, reply.again_in) == ((), None)
    assert turns.state.limits.in_flight == 1
    assert list(turns.state.clients) == ["a"]


def test_what_waits_for_who_leaves_was_never_sent() -> None:
    """It costs no slot."""
    turns = Turns(RateLimit(Window(5, 10.0), parallel=1, interactive_reserve=0))
    one = turns.take(0.0, interactive=1)
    turns.turn(0.0, "b", interactive=1)
    assert turns.turn(1.0, "a", *answered(*one)).calls == ("b",)
    turns.turn(1.0, "b", leaves=True)
    assert turns.state.view(turns.began + 1.0).used == 1


def test_who_has_lost_a_permit_may_have_the_next_one() -> None:
    """It may only have been slow: what it wants counts on."""
    turns = Turns(RateLimit(parallel=1, interactive_reserve=0))
    turns.take(0.0, interactive=2)
    assert turns.turn(LEASE + 0.5, "b").calls == ("a",)


def test_a_permit_leaves_when_it_is_fetched() -> None:
    """Numbers go on; what comes with it is its lane."""
    turns = Turns(RateLimit(Window(3, 10.0), interactive_reserve=0))
    reply = turns.turn(0.0, interactive=1, bulk=1)
    assert reply.permits == ((1, INTERACTIVE), (2, BULK))
    assert turns.turn(0.5, held=(1, 2), bulk=1).permits == ((3, BULK),)


def test_one_permit_at_most_waits_for_who_is_not_there() -> None:
    """More could wait in vain; the others are for whoever comes next."""
    turns = Turns(RateLimit(parallel=3, interactive_reserve=0))
    numbers = turns.take(0.0, interactive=3)
    turns.turn(0.0, "b", interactive=5)
    assert turns.turn(1.0, "a", *answered(*numbers)).calls == ("b",)
    assert len(turns.state.grants) == 1
    assert turns.turn(1.1).calls == ()
    assert len(turns.take(1.2, "b", interactive=4)) == 3
    assert {grant.permit.granted_at for grant in turns.state.grants.values()} == {turns.state.latest}


# Lanes


def test_of_ten_grants_one_is_bulk_s_while_it_waits() -> None:
    """Whoever asks; without bulk that waits, none are counted."""
    turns = Turns(RateLimit(Window(100, 10.0), interactive_reserve=0))
    lanes = [lane for _, lane in turns.turn(0.0, interactive=21, bulk=2).permits]
    assert [index for index, lane in enumerate(lanes) if lane is BULK] == [9, 19]
    turns = Turns(RateLimit(Window(100, 10.0), interactive_reserve=0))
    held = turns.take(0.0, interactive=20)
    assert turns.state.limits.in_a_row == 0
    reply = turns.turn(0.0, interactive=10, bulk=1, held=held)
    assert [index for index, (_, lane) in enumerate(reply.permits) if lane is BULK] == [9]


def test_bulk_does_not_go_while_an_interactive_call_has_no_slot() -> None:
    """Neither its own client's nor another's."""
    turns = Turns(RateLimit(Window(4, 10.0)))
    lanes = [lane for _, lane in turns.turn(0.0, interactive=1, bulk=5).permits]
    assert lanes == [INTERACTIVE, BULK]


# When to come again


@pytest.mark.parametrize(("before", "later"), [(0, 0.0), (1, 0.004), (3, 0.012), (7, 0.028), (8, 0.03), (12, 0.03)])
def test_those_who_wait_for_one_moment_come_one_after_the_other(before: int, later: float) -> None:
    """Four thousandths of a second apart, and the last three hundredths after the first."""
    turns = Turns(RateLimit(Window(1, 10.0), interactive_reserve=0))
    one = turns.take(0.0, "z", interactive=1)
    turns.turn(0.0, "z", *answered(*one))
    for number in range(before):
        turns.turn(1.0, f"a{number:02}", interactive=1)
    turns.turn(1.0, "c", interactive=0, bulk=2)
    assert turns.turn(1.0, "b", interactive=1).again_in == pytest.approx(LAP - 1.0 + later)


def test_at_a_pace_each_one_before_takes_a_turn() -> None:
    """Those of the other lane do not count."""
    turns = Turns(RateLimit(pace=2.0, interactive_reserve=0))
    assert len(turns.take(0.0, "z", interactive=1)) == 1
    replies = [turns.turn(0.5, name, interactive=1) for name in ("a", "b", "c")]
    assert [reply.again_in for reply in replies] == pytest.approx([1.5, 3.5, 5.5])
    assert [reply.earliest for reply in replies] == [pytest.approx(1.5)] * 3


def test_who_wants_nothing_need_not_come_again() -> None:
    """Who waits behind a permit that nobody fetches comes when that is back."""
    turns = Turns(RateLimit(parallel=1, interactive_reserve=0))
    one = turns.take(0.0, interactive=1)
    assert turns.turn(0.0, held=one).again_in is None
    turns.turn(0.0, "b", interactive=1)
    assert turns.turn(1.0, "a", *answered(*one), interactive=1).again_in == pytest.approx(1.0)
    assert turns.turn(1.25, interactive=1).again_in == pytest.approx(0.75)


def test_what_is_given_back_may_be_somebody_s_where_others_wait_or_would_have_to() -> None:
    """Not where there is room, and nobody else wants anything."""
    turns = Turns()
    assert not turns.turn(0.0).scarce
    first = turns.turn(0.0, interactive=1)
    assert not first.scarce
    assert turns.turn(0.0, held=turns.numbers_of(first), interactive=1).scarce
    turns = Turns(RateLimit(parallel=5, interactive_reserve=0))
    many = turns.take(0.0, interactive=5)
    turns.turn(0.0, "b", interactive=2)
    reply = turns.turn(0.0, "a", *answered(*many))
    assert (reply.calls, reply.scarce) == (("b",), True)
    turns.turn(0.0, "b", interactive=0)
    assert not turns.turn(0.0).scarce
