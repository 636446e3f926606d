"""The state of an account's limits for several clients: pure, the time is an argument."""

import heapq
import random
from collections import Counter
from typing import Any

import pytest

from omeda_async.limits import Priority, RateLimit, Window
from omeda_async.limits._account_state import LATEST, PATIENCE, STAGGER, AccountState
from omeda_async.limits._headers import Advice
from omeda_async.limits._store import Ask, Ended, Reply, StoreRefused
from omeda_async.limits._stored import dump_state, load_state
from tests.limits.fake_store import middle

LIMIT = RateLimit(Window(10, 1.0), Window(150, 60.0), parallel=10, interactive_reserve=0)
HOLD = 75.0 + 60.0 * 1.001


class Bench:
    """One state, and clients that come to it; what is granted is in flight until it is said to have ended."""

    def __init__(self, limit: RateLimit = LIMIT, *, known: bool = True, reads: bool = True) -> None:
        self.reads = reads
        self.state = AccountState.begin(limit, "life 1", middle)
        self.limit = limit
        self.now = 1000.0
        self.server = "life 1"
        self.numbers: Counter[str] = Counter()
        self.held: dict[str, set[int]] = {}
        if known:
            self.turn("first", leaves=True)
            self.now += HOLD + 0.01

    def turn(self, name: str, *ended: Ended, **ask: Any) -> Reply:
        """Take a client's turn, and through its text the state."""
        self.numbers[name] += 1
        held = self.held.setdefault(name, set())
        held -= {one.permit for one in ended}
        given = {"number": self.numbers[name], "rate_limit": self.limit, "lease": 75.0, "held": tuple(held), **ask}
        reply = self.state.turn(Ask(client=name, ended=ended, **given), self.now, self.server)
        held |= {number for number, _ in reply.permits}
        if self.reads:
            text = dump_state(self.state)
            self.state = load_state(text, middle)
            assert dump_state(self.state) == text
        return reply

    def answered(
        self, name: str, reply: Reply, *, advice: Advice | None = None, interactive: int = 0, bulk: int = 0
    ) -> Reply:
        """Tell that every attempt of a reply was answered."""
        ended = [Ended(number, sent=True, status=204, advice=advice) for number, _ in reply.permits]
        return self.turn(name, *ended, interactive=interactive, bulk=bulk)


def test_a_store_that_is_new_is_held_for_a_lease_and_the_longest_window() -> None:
    """Nobody knows what was sent before; then it goes on, to the full."""
    bench = Bench(known=False)
    reply = bench.turn("a", interactive=20)
    assert reply.permits == ()
    assert [reply.held_for, reply.again_in, reply.earliest] == [pytest.approx(HOLD)] * 3
    bench.now += HOLD - 0.01
    assert bench.turn("a", interactive=20).permits == ()
    bench.now += 0.02
    assert len(bench.turn("a", interactive=20).permits) == 10


def test_a_turn_that_is_made_twice_gives_nothing_and_keeps_nobody_away() -> None:
    """Its first reply was lost: the next turn says what there is, and until then nobody waits in vain."""
    bench = Bench()
    assert len(bench.turn("a", interactive=1).permits) == 1
    again = bench.turn("a", number=bench.numbers["a"], interactive=1)
    assert (again.permits, again.calls, again.scarce, again.clock) == ((), (), False, bench.now)
    assert (again.again_in, again.earliest, again.paused_for, again.held_for) == (None, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("how", ["life", "distrust"])
def test_what_was_known_and_is_lost_is_held_too(how: str) -> None:
    """Another life of the store, or a client that has seen its clock outrun its own."""
    bench = Bench()
    assert len(bench.turn("a", interactive=1).permits) == 1
    bench.server = "life 2" if how == "life" else bench.server
    assert bench.turn("b", interactive=1, distrusts=how == "distrust").held_for == pytest.approx(HOLD)


def test_a_hold_lasts_for_the_longest_lease_and_window_that_anybody_has() -> None:
    """Of those who are known when it begins, and of those who come after."""
    long = RateLimit(Window(500, 300.0))
    bench = Bench()
    bench.turn("a", lease=100.0)
    bench.turn("b", distrusts=True, lease=10.0)
    assert bench.turn("b", lease=10.0).held_for == pytest.approx(100.0 + 60.06)
    bench = Bench(known=False)
    assert bench.turn("a", lease=10.0).held_for == pytest.approx(10.0 + 60.06)
    bench.now += 5.0
    assert bench.turn("b", lease=100.0).held_for == pytest.approx(100.0 + 60.06 - 5.0)
    assert bench.turn("c", rate_limit=long, lease=10.0).held_for == pytest.approx(100.0 + 300.3 - 5.0)


def test_a_hold_takes_back_what_nobody_has_fetched() -> None:
    """It was granted by what is not believed any more."""
    bench = Bench(RateLimit(Window(10, 1.0), parallel=1, interactive_reserve=0))
    reply = bench.turn("a", interactive=1)
    bench.turn("b", interactive=1)
    bench.turn("a", Ended(reply.permits[0][0], sent=True, status=204), interactive=0)  # calls b
    bench.turn("a", distrusts=True)
    assert bench.turn("b", interactive=1).permits == ()
    assert bench.state.limits.in_flight == 0


def test_a_permit_whose_reply_was_lost_is_back_with_the_clients_next_turn() -> None:
    """It does not have it, so that it cannot have used it."""
    bench = Bench()
    bench.turn("a", interactive=3)
    bench.held["a"].clear()
    assert bench.state.limits.in_flight == 3
    bench.turn("a")
    assert bench.state.limits.in_flight == 0
    assert bench.state.view(bench.now).used == 0


def test_a_turn_that_comes_after_a_later_one_does_nothing() -> None:
    """Its client has gone on without it."""
    bench = Bench()
    bench.turn("a")
    before = dump_state(bench.state)
    reply = bench.turn("a", interactive=1, number=1)
    assert (reply.permits, dump_state(bench.state)) == ((), before)


def test_who_is_killed_loses_its_permits_after_the_lease_and_their_slots_a_window_later() -> None:
    """They may have been sent at any moment of the first half."""
    bench = Bench(RateLimit(Window(2, 60.0), interactive_reserve=0))
    assert len(bench.turn("a", interactive=2).permits) == 2
    bench.now += 74.9
    assert bench.turn("b", interactive=1).permits == ()
    bench.now += 60.0
    assert bench.turn("b", interactive=1).permits == ()
    bench.now += 0.2
    assert len(bench.turn("b", interactive=2).permits) == 2


def test_who_is_alive_keeps_its_permits_for_as_long_as_it_speaks_of_them() -> None:
    """An attempt may take longer than a lease."""
    bench = Bench(RateLimit(Window(1, 1.0), interactive_reserve=0))
    bench.turn("a", interactive=1)
    for _ in range(10):
        bench.now += 25.0
        assert bench.turn("b", interactive=1).permits == ()
        bench.turn("a")


def test_a_permit_waits_a_second_for_who_is_called_and_then_goes_to_the_next() -> None:
    """Who does not come loses its claim, and no slot with it."""
    bench = Bench(RateLimit(Window(10, 1.0), parallel=1, interactive_reserve=0))
    first = bench.turn("a", interactive=1)
    for name in ("late", "b"):
        assert bench.turn(name, interactive=1).permits == ()
    (permit, _), *_ = first.permits
    assert bench.turn("a", Ended(permit, sent=True, status=204)).calls == ("b",)  # of equals, the first by name
    assert bench.turn("late", interactive=1).permits == ()
    bench.now += PATIENCE
    assert len(bench.turn("late", interactive=1).permits) == 1


def test_interactive_calls_anywhere_go_before_bulk_anywhere_and_one_grant_in_ten_is_bulk_s() -> None:
    """Whoever comes first."""
    bench = Bench(RateLimit(Window(100, 1.0), parallel=1, interactive_reserve=0))
    got: Counter[str] = Counter()
    reply = {name: bench.turn(name) for name in ("people", "bulk")}
    for turn in range(120):
        name, calls = ("people", 5) if turn % 2 else ("bulk", 0)
        reply[name] = bench.answered(name, reply[name], interactive=calls, bulk=5 - calls)
        got[name] += len(reply[name].permits)
        bench.now += 0.05
    assert got["people"] >= 8 * got["bulk"] >= 16


def test_bulk_leaves_the_reserve() -> None:
    """As within a process."""
    bench = Bench(RateLimit(Window(10, 60.0), interactive_reserve=2))
    assert len(bench.turn("bulk", bulk=20).permits) == 8
    assert len(bench.turn("people", interactive=5).permits) == 2


def test_sixteen_clients_get_the_same_to_within_a_half() -> None:
    """Who has had least goes first, however fast it comes when it is told to."""
    bench, rng = Bench(known=False, reads=False), random.Random(7)  # noqa: S311 no secret is drawn
    got: Counter[str] = Counter()
    delays = {f"client {place:02}": 0.001 * (place + 1) for place in range(16)}
    events = [(bench.now + bench.turn(name, bulk=50).held_for, name, 0) for name in delays]
    end = bench.now + HOLD + 60.0
    while events[0][0] < end:
        bench.now, name, number = heapq.heappop(events)
        ended = [Ended(number, sent=True, status=204)] if number else []
        reply = bench.turn(name, *ended, bulk=50)
        got[name] += len(reply.permits)
        for one, _ in reply.permits:
            heapq.heappush(events, (bench.now + 0.1 * rng.random(), name, one))
        for other in reply.calls:
            heapq.heappush(events, (bench.now + delays[other], other, 0))
        if reply.again_in is not None:
            heapq.heappush(events, (bench.now + max(reply.again_in, 0.2) + delays[name], name, 0))
            events = sorted(
                {event for event in events if event[1] != name or event[2]}
                | {min(event for event in events if event[1] == name and not event[2])}
            )
    assert sum(got.values()) >= 0.97 * 150
    assert max(got.values()) <= 1.5 * min(got[name] for name in delays)


def test_who_waits_for_one_moment_comes_one_after_the_other() -> None:
    """Who has had least first; it is given to all of them then, and they are called."""
    bench = Bench(RateLimit(Window(12, 60.0), interactive_reserve=0))
    ended = bench.answered("z", bench.turn("z", bulk=12))
    assert ended.again_in is None
    bench.now += 1.0
    times = [bench.turn(name, bulk=3).again_in or 0.0 for name in "abcdefghijz"]
    assert times[0] == pytest.approx(59.06)
    assert [time - times[0] for time in times[:3]] == pytest.approx([0.0, STAGGER, 2 * STAGGER])
    assert max(times) == pytest.approx(times[0] + LATEST)
    bench.now += 59.07
    assert set(bench.turn("a", bulk=3).calls) == set("bcdefghij")


def test_at_a_pace_the_turn_comes_with_the_permit() -> None:
    """Nobody waits on its own with a permit in hand, and an interactive call has the next turn."""
    bench = Bench(RateLimit(parallel=4, pace=0.5, interactive_reserve=0))
    assert len(bench.turn("bulk", bulk=3).permits) == 1
    assert bench.turn("bulk", bulk=2).again_in == pytest.approx(0.5)
    assert bench.turn("people", interactive=1).again_in == pytest.approx(0.5)
    bench.now += 0.51
    assert bench.turn("bulk", bulk=2).calls == ("people",)
    assert [lane for _, lane in bench.turn("people", interactive=1).permits] == [Priority.INTERACTIVE]


def test_the_tightest_of_what_the_clients_name_holds_until_who_named_it_has_left() -> None:
    """The reply says what that is."""
    bench = Bench()
    tight = RateLimit(Window(1, 1.0), parallel=1)
    assert bench.turn("b", rate_limit=tight).rate_limit == LIMIT.tighter(tight)
    assert len(bench.turn("a", interactive=5).permits) == 1


def test_what_has_gone_counts_in_a_long_window_though_a_tighter_short_one_implies_it() -> None:
    """The short one says nothing of what went before it was named."""
    bench = Bench(RateLimit(Window(10, 1.0), Window(20, 60.0), interactive_reserve=0))
    began = bench.now
    for _ in range(2):
        assert len(bench.turn("a", interactive=10).permits) == 10
        bench.turn("a", *[Ended(number, sent=True, status=204) for number in sorted(bench.held["a"])])
        bench.now += 1.1
    assert bench.turn("b", rate_limit=RateLimit(Window(1, 3.0))).rate_limit.windows == (Window(1, 3.0),)
    bench.now = began + 59.9
    assert bench.turn("b", rate_limit=RateLimit(Window(1, 3.0)), interactive=1).permits == ()
    bench.now = began + 60.1
    assert len(bench.turn("b", rate_limit=RateLimit(Window(1, 3.0)), interactive=1).permits) == 1
    bench.turn("b", leaves=True)
    assert len(bench.state.limits._gates) == 3
    bench.turn("a")
    assert [gate.slots.window for gate in bench.state.limits._gates] == [Window(10, 1.0), Window(20, 60.0)]


def test_a_clock_that_is_set_back_stands_still() -> None:
    """Slots come back later then, never earlier."""
    bench = Bench(RateLimit(Window(1, 10.0), interactive_reserve=0))
    bench.answered("a", bench.turn("a", interactive=1))
    bench.now -= 500.0
    assert bench.turn("a", interactive=1).permits == ()
    bench.now += 9.9
    assert bench.turn("a", interactive=1).permits == ()
    bench.now += 0.2
    assert len(bench.turn("a", interactive=1).permits) == 1


def test_who_leaves_gives_back_what_it_has_not_used() -> None:
    """And is no client any more."""
    bench = Bench(RateLimit(Window(10, 1.0), parallel=1, interactive_reserve=0))
    reply = bench.turn("a", interactive=1)
    bench.turn("b", interactive=1)
    bench.turn("a", Ended(reply.permits[0][0], sent=False))  # calls b
    bench.turn("b", leaves=True)
    assert (bench.state.limits.in_flight, set(bench.state.clients)) == (0, {"a"})


def test_headers_that_one_client_sees_free_slots_for_all() -> None:
    """The provider's count is everybody's."""
    bench = Bench(RateLimit(Window(20, 60.0), interactive_reserve=0))
    for count in range(1, 11):  # a counter that counts is believed
        reply = bench.turn("a", interactive=1)
        bench.answered("a", reply, advice=Advice(20, 20 - count, None, 0.0))
        bench.now += 0.5
    reply = bench.turn("a", interactive=1)
    bench.answered("a", reply, advice=Advice(20, 19, None, 0.0))  # a new window of the provider's
    assert len(bench.turn("b", interactive=30).permits) == 19


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_a_state_is_what_its_text_says(seed: int) -> None:
    """Every step of a script of anything goes through the text; nothing is granted beyond the cap."""
    rng = random.Random(seed)  # noqa: S311 no secret is drawn
    limit = rng.choice([LIMIT, RateLimit(parallel=3, pace=0.1), RateLimit(Window(5, 2.0), parallel=4)])
    bench = Bench(limit)
    for _ in range(150):
        bench.now += rng.choice([0.0, 0.01, 0.3, 2.0, -0.5])
        name = rng.choice("abcd")
        held = sorted(bench.held.get(name, ()))
        gone = rng.sample(held, rng.randint(0, len(held)))
        status = rng.choice([204, 204, 204, 429, 500, None])
        wait = rng.choice([None, 1.0, -1]) if status == 429 else None
        advice = Advice(150, rng.randrange(150), rng.choice([None, 5.0]), 1.0) if status == 204 else None
        ended = [Ended(number, rng.random() < 0.9, status, advice, wait) for number in gone]
        if rng.random() < 0.1:
            bench.held.get(name, set()).clear()
        if rng.random() < 0.02:
            bench.server = f"life {rng.random()}"
        reply = bench.turn(
            name, *ended, interactive=rng.randint(0, 3), bulk=rng.randint(0, 9), leaves=rng.random() < 0.05
        )
        assert reply.again_in is None or reply.again_in >= 0
        assert bench.state.limits.in_flight <= (limit.parallel or 10**9)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1}', "nonsense"])
def test_what_is_no_state_is_refused(text: str) -> None:
    """Somebody else's, or a broken one."""
    with pytest.raises(StoreRefused, match="not the state"):
        load_state(text, middle)


def test_a_state_of_another_version_is_refused() -> None:
    """It says which."""
    with pytest.raises(StoreRefused, match="format 7"):
        load_state('{"version": 7}', middle)
