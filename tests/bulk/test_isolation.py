"""Isolation against an oracle: every record closed once, the good accepted, the bad rejected in their own words."""

import math
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async import OutcomeStatus
from omeda_async._result import Result
from omeda_async.bulk import Evidence, Group, Isolation, Item, Size, Sizes
from omeda_async.bulk._item import WITNESSES
from omeda_async.errors import ApiError, BatchRejected
from tests.bulk.oracle import GENERIC, Oracle, Pair, bad, batch, blame, isolate, make_item, without, words
from tests.campaigns import cases

DONE, PARTLY, REJECTED = OutcomeStatus.DONE, OutcomeStatus.PARTLY_DONE, OutcomeStatus.REJECTED


def plan_of(masks: list[tuple[int, int, int]], *, at_most: int | None, misnames: bool) -> tuple[list[Item], Oracle]:
    """Make a batch and its provider of bit masks: the ids of each record, those that are bad, those it names."""
    items = [make_item(f"r{place}", picked(ids)) for place, (ids, _, _) in enumerate(masks)]
    culprits = pairs_of((place, ids & wrong) for place, (ids, wrong, _) in enumerate(masks))
    named = pairs_of((place, ids & wrong & told) for place, (ids, wrong, told) in enumerate(masks))
    return items, Oracle(culprits, named, at_most=at_most, misnames=misnames)


def picked(mask: int) -> set[str]:
    return {one for bit, one in enumerate("abc") if mask >> bit & 1}


def pairs_of(masks: Iterable[tuple[int, int]]) -> frozenset[Pair]:
    return frozenset((f"r{place}", one) for place, mask in masks for one in picked(mask))


WRONG = st.sampled_from([0] * 9 + [1, 2, 3, 7])
MASKS = st.tuples(st.integers(1, 7), WRONG, st.sampled_from([0, 7, 7, 1]))
PLANS = st.builds(
    plan_of,
    st.lists(MASKS, min_size=1, max_size=32),
    at_most=st.sampled_from([None, 1, 3]),
    misnames=st.booleans(),
)


def expected(item: Item, oracle: Oracle) -> OutcomeStatus:
    culprits = {pair for pair in oracle.bad if pair[0] == item.key}
    if not culprits:
        return DONE
    if culprits <= oracle.named:
        return REJECTED if len(culprits) == len(item.params.ids) else PARTLY
    return REJECTED


@settings(max_examples=cases(300), deadline=None)
@given(PLANS)
def test_every_record_is_closed_once_with_what_became_of_it(plan: tuple[list[Item], Oracle]) -> None:
    """Good records are done, bad ones rejected, mixed ones done as far as the provider named what it refused."""
    items, oracle = plan
    results, isolation = isolate(items, oracle)
    assert results.keys() == {item.key for item in items}
    for item in items:
        status = results[item.key].status
        if isolation.common_cause is None:
            assert status is expected(item, oracle)
        else:
            assert status is OutcomeStatus.NOT_SENT or status is expected(item, oracle)
    done = {key for key, result in results.items() if result.status in {DONE, PARTLY}}
    assert {name for name, _ in oracle.processed} == done
    assert len(oracle.processed) == len(set(oracle.processed)), "something was processed twice"


@settings(max_examples=cases(200), deadline=None)
@given(PLANS)
def test_a_record_hears_of_its_own_refusals_only(plan: tuple[list[Item], Oracle]) -> None:
    """Where the provider named a record, the error has its culprits, in the provider's words, and no other's."""
    items, oracle = plan
    results, _ = isolate(items, oracle)
    for item in items:
        error = results[item.key].error
        named = {pair for pair in oracle.named & oracle.bad if pair[0] == item.key}
        if isinstance(error, BatchRejected) and results[item.key].status in {PARTLY, REJECTED} and named:
            culprits = {(str(culprit.email_address), str(culprit.id)) for culprit in error.culprits}
            assert culprits <= named | {("nobody", "none")}
            assert {words(pair) for pair in culprits & named} <= set(error.messages)
            assert [other.key for other in items if other is not item and f" of {other.key} " in error.body] == []


def test_all_that_are_named_cost_one_request_more() -> None:
    """Two requests, however many records and culprits: the refusal that names them, and the rest."""
    for size, culprits in ((100, (7,)), (1000, tuple(range(0, 1000, 200))), (1000, tuple(range(0, 1000, 50)))):
        oracle = Oracle(bad(*culprits), bad(*culprits))
        results, _ = isolate(batch(size), oracle)
        assert oracle.requests == 2
        assert sum(result.status is REJECTED for result in results.values()) == len(culprits)


def test_those_named_later_are_taken_out_later() -> None:
    """A provider that names three at a time takes a round for each three, and one for the rest."""
    culprits = bad(*range(0, 20, 2))
    oracle = Oracle(culprits, culprits, at_most=3)
    isolate(batch(20), oracle)
    assert oracle.requests == 4 + 1


@settings(max_examples=cases(150), deadline=None)
@given(st.integers(1, 300), st.data())
def test_unnamed_culprits_cost_no_more_than_two_requests_a_level(size: int, data: st.DataObject) -> None:
    """With c culprits among n at most 1 + 2·c·log2(n) requests, and never more than 2n - 1."""
    culprits = data.draw(st.sets(st.integers(0, size - 1), max_size=6))
    oracle = Oracle(bad(*culprits))
    isolate(batch(size), oracle)
    assert oracle.requests <= 2 * size - 1
    assert oracle.requests <= 1 + 2 * len(culprits) * max(1, math.ceil(math.log2(size)))


@pytest.mark.parametrize(("size", "culprits", "requests"), [(100, 1, 11), (1000, 5, 61), (1000, 20, 183)])
def test_halving_with_inference_costs_what_the_design_says(size: int, culprits: int, requests: int) -> None:
    """On average over random culprits nobody names, the requests of the design's table, within a twentieth."""
    rng, total, runs = Random(3), 0, 60  # noqa: S311 it has to be repeatable, not secret
    for _ in range(runs):
        oracle = Oracle(bad(*rng.sample(range(size), culprits)))
        isolate(batch(size), oracle)
        total += oracle.requests
    assert total / runs <= requests * 1.05


def test_a_half_is_not_sent_when_its_sibling_shows_that_it_holds_the_culprit() -> None:
    """With the culprit last, every left half is accepted and no right half is ever sent whole."""
    oracle = Oracle(bad(7))
    results, _ = isolate(batch(8), oracle)
    assert oracle.requests == 1 + 3
    assert results["r7"].status is REJECTED
    assert results["r7"].error is not None
    assert GENERIC in str(results["r7"].error)


@pytest.mark.parametrize("size", [8, 100, 500, 1000])
def test_a_common_cause_is_recognised_with_few_requests(size: int) -> None:
    """When everything is refused and nobody named, the cause is found in some 15 requests more than two descents."""
    oracle = Oracle(bad(*range(size)))
    results, isolation = isolate(batch(size), oracle)
    assert isolation.common_cause is not None
    assert oracle.requests <= 2 * math.ceil(math.log2(size)) + 15
    left = [result for result in results.values() if result.status is OutcomeStatus.NOT_SENT]
    assert len(left) == size - 2 * WITNESSES


@pytest.mark.parametrize("places", [(0, 250), (0, 1, 250, 251), (0, 499), (0, 1, 2, 250, 251, 252)])
def test_a_few_culprits_at_the_ends_of_both_halves_are_no_common_cause(places: tuple[int, ...]) -> None:
    """Culprits where the search begins in each half do not stop a run whose other records are good."""
    oracle = Oracle(bad(*places))
    results, isolation = isolate(batch(500), oracle)
    assert isolation.common_cause is None
    assert sum(result.status is DONE for result in results.values()) == 500 - len(places)


def test_no_cause_is_common_once_a_request_of_the_run_was_accepted() -> None:
    """A batch that is bad throughout is refused record by record when another batch went through."""
    evidence = Evidence(accepted=True)
    results, isolation = isolate(batch(16), Oracle(bad(*range(16))), evidence)
    assert isolation.common_cause is None
    assert {result.status for result in results.values()} == {REJECTED}


def test_batches_of_one_record_find_a_common_cause_together() -> None:
    """Every other one stands for the other half: what eight of them meet in the same words, all would meet."""
    evidence = Evidence()
    for position in range(2 * WITNESSES):
        assert not evidence.meets_everyone
        item = make_item(f"r{position}", "x")
        item.position = position
        results, isolation = isolate([item], Oracle(bad(position)), evidence)
        assert results[item.key].error is not None
    assert evidence.meets_everyone
    assert isolation.common_cause is not None


def test_one_record_over_which_a_server_breaks_down_keeps_nobody_from_being_sent() -> None:
    """Once others have gone through, it is that record, and the rest of its batch is tried."""

    def send(group: Group) -> Result[str]:
        if any(part.item.key == "r2" for part in group.parts):
            return Result(error=ApiError("broken", status=500), attempts=1, doubtful=True)
        return Result(receipt="taken", attempts=1)

    results, _ = isolate(batch(4), Oracle(frozenset()), send=send)
    assert [results[f"r{place}"].status for place in range(4)] == [DONE, DONE, OutcomeStatus.UNKNOWN, DONE]


def test_different_words_are_no_common_cause() -> None:
    """Records that are each refused for a reason of their own are all rejected for it."""

    def send(group: Group) -> Result[str]:
        text = f"refused: {group.parts[0].params.name}"
        return Result(error=ApiError(text, status=400), attempts=1)

    results, isolation = isolate(batch(16), Oracle(frozenset()), send=send)
    assert isolation.common_cause is None
    assert results["r3"].error is not None
    assert results["r3"].error.message == "refused: r3"


@pytest.mark.parametrize(("size", "most"), [(100, 10), (100, 1), (37, 5), (8, 8)])
def test_a_request_that_is_too_large_is_cut_until_it_fits(size: int, most: int) -> None:
    """All records go through, in requests that it takes."""
    oracle = Oracle(frozenset(), max_records=most)
    results, _ = isolate(batch(size), oracle)
    assert {result.status for result in results.values()} == {DONE}
    assert len(oracle.processed) == size


@pytest.mark.parametrize(("fits", "status"), [(False, OutcomeStatus.FAILED), (True, REJECTED)])
def test_a_record_that_is_too_large_alone_is_refused_once_another_goes_through(
    fits: bool, status: OutcomeStatus
) -> None:
    """As long as none does, its size says nothing of it. Each request that it was in counts."""

    def send(group: Group) -> Result[str]:
        if fits and [part.item.key for part in group.parts] == ["r1"]:
            return Result(receipt="taken", attempts=1)
        return Result(error=ApiError("too large", status=413), attempts=1)

    results, _ = isolate(batch(2), Oracle(frozenset()), send=send)
    assert (results["r0"].status, results["r1"].status) == (status, DONE if fits else status)
    assert [result.attempts for result in results.values()] == [2, 2]


def test_the_size_that_went_through_is_remembered() -> None:
    """The second batch is cut before it is sent: none of its requests is refused for its size."""
    evidence, oracle = Evidence(), Oracle(frozenset(), max_records=30)
    isolate(batch(100), oracle, evidence)
    first, oracle.requests = oracle.requests, 0
    isolate(batch(100), oracle, evidence)
    assert oracle.requests == 4 < first
    assert oracle.too_large == 4


def test_a_failure_that_may_be_for_size_is_followed_down_to_one_record_and_then_believed() -> None:
    """A server that is down gets one request for each halving of a batch, not one for every record."""
    sent: list[int] = []

    def send(group: Group) -> Result[str]:
        sent.append(len(group.parts))
        return Result(error=ApiError("broken", status=500), attempts=1, doubtful=True)

    results, _ = isolate(batch(64), Oracle(frozenset()), send=send)
    assert sent == [64, 32, 16, 8, 4, 2, 1]
    assert {result.status for result in results.values()} == {OutcomeStatus.UNKNOWN}
    assert results["r0"].attempts == 7
    assert results["r63"].attempts == 1


def test_a_server_that_dies_of_size_is_followed_down_to_the_size_that_goes_through() -> None:
    """Whatever that size is: everything is accepted in the end, and the size is remembered."""
    sent: list[int] = []

    def send(group: Group) -> Result[str]:
        sent.append(len(group.parts))
        if len(group.parts) > 5:
            return Result(error=ApiError("broken", status=500), attempts=1, doubtful=True)
        return Result(receipt="taken", attempts=1)

    results, _ = isolate(batch(64), Oracle(frozenset()), send=send)
    assert {result.status for result in results.values()} == {DONE}
    assert sent.count(64) == sent.count(32) == 1
    assert sent[:6] == [64, 32, 16, 8, 4, 4]
    assert max(sent[10:]) == 5
    assert len(sent) == 4 + 17


def test_a_record_refused_piece_by_piece_says_all_of_it() -> None:
    """An id that was named and the rest that was refused without a name: the error tells of both."""
    pair: Pair = ("r0", "a")
    oracle = Oracle(frozenset({pair, ("r0", "b")}), frozenset({pair}))
    results, _ = isolate([make_item("r0", "ab"), make_item("r1", "ab")], oracle)
    error = results["r0"].error
    assert isinstance(error, BatchRejected)
    assert [culprit.id for culprit in error.culprits] == ["a"]
    assert error.messages == (words(pair), GENERIC)
    assert error.args == (error.message,) == (f"{words(pair)}; {GENERIC}",)
    assert results["r1"].status is DONE


def test_a_group_is_cut_at_what_is_known_to_go_through() -> None:
    """One record too many is one record left, and not more."""
    sizes = Sizes()
    sizes.took(Size(9, 90))
    sizes.refuse(Size(10, 100))
    isolation = Isolation(batch(10), blame, without, Evidence(sizes=sizes))
    group = isolation.next()
    assert group is not None
    isolation.cut(group)
    pieces = [isolation.next(), isolation.next()]
    assert [len(piece.parts) for piece in pieces if piece is not None] == [9, 1]


def test_attempts_count_the_requests_a_record_was_in() -> None:
    """The culprit of four was in all of a path's requests, its first neighbour in two."""
    results, _ = isolate(batch(4), Oracle(bad(3)))
    assert [results[f"r{place}"].attempts for place in range(4)] == [2, 2, 2, 1]
