"""How much a provider takes at a time is found by bisection, with requests that are real batches."""

import math
from collections.abc import Iterable, Iterator
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from omeda_async import ClientOptOut, OutcomeStatus
from omeda_async.bulk import Evidence, Item, Size, Sizes
from omeda_async.bulk._chunks import Chunker
from omeda_async.sandbox import Sandbox
from tests.bulk.oracle import Oracle, isolate, make_item
from tests.bulk.sandboxed import manager_on
from tests.campaigns import cases


def records(count: int, sizes: Iterable[int] = (10,)) -> Iterator[Item]:
    """Make items whose sizes recur."""
    every = list(sizes)
    return (make_item(f"r{number}", "x", every[number % len(every)]) for number in range(count))


def run(items: Iterable[Item], oracle: Oracle, *, most: int = 500, under_way: int = 1) -> Sizes:
    """Send batches as a run does, so many of them formed before the first is answered."""
    sizes = Sizes()
    evidence, chunker, waiting = Evidence(sizes=sizes), Chunker[Item](most, 256 * 1024, sizes), list[list[Item]]()
    for item in items:
        if full := chunker.feed(item):
            waiting.append(full)
        if len(waiting) >= under_way:
            send(waiting.pop(0), oracle, evidence)
    for left in (*waiting, chunker.flush()):
        if left:
            send(left, oracle, evidence)
    return sizes


def send(items: list[Item], oracle: Oracle, evidence: Evidence) -> None:
    """Send a batch, and what it is cut into; nothing of it is lost or sent twice."""
    before = len(oracle.processed)
    results, _ = isolate(items, oracle, evidence)
    assert {result.status for result in results.values()} == {OutcomeStatus.DONE}
    assert len(oracle.processed) - before == len(results) == len(items)


@pytest.mark.parametrize("under_way", [1, 9])
@pytest.mark.parametrize(
    ("limit", "tried", "count"),
    [(120, 500, 20_000), (120, 500, 60_000), (400, 500, 60_000), (499, 500, 60_000), (7, 500, 3000), (1, 500, 300)],
)
def test_a_server_that_counts_entries_is_learned_in_a_few_requests(
    limit: int, tried: int, count: int, under_way: int
) -> None:
    """It gets hardly more requests than it has to, and refuses a handful: the search is by halves."""
    oracle = Oracle(frozenset(), max_records=limit)
    sizes = run(records(count), oracle, most=tried, under_way=under_way)
    assert limit * 63 / 64 <= sizes.taken.entries <= limit
    assert oracle.requests <= math.ceil(count / limit) + 4 * under_way + 12
    assert oracle.too_large <= math.log2(tried) + under_way


@pytest.mark.parametrize("lengths", [[66], [60, 66, 72], list(range(50, 90)), [30, 30, 30, 200]])
@pytest.mark.parametrize("limit", [10_000, 25_000])
def test_a_server_that_counts_bytes_is_learned_in_a_few_requests(limit: int, lengths: list[int]) -> None:
    """Bytes are filled to within a part of what it takes, however the records' lengths differ."""
    oracle = Oracle(frozenset(), max_bytes=limit)
    sizes = run(records(60_000, lengths), oracle)
    assert 0.95 * limit < sizes.taken.bytes <= limit
    assert oracle.requests <= 60_000 * sum(lengths) / len(lengths) / limit * 1.05 + 15
    assert oracle.too_large <= 14


@pytest.mark.parametrize("counts", ["entries", "bytes"])
def test_what_is_learned_of_long_records_is_not_taken_for_the_limit_of_short_ones(counts: str) -> None:
    """Long ones first, then short ones: only as many are sent at a time as is right for what the server counts."""
    entries = counts == "entries"
    oracle = Oracle(frozenset(), max_records=100 if entries else None, max_bytes=math.inf if entries else 10_000)
    lengths = [100] * 20_000 + [25] * 20_000
    run(records(40_000, lengths), oracle)
    assert oracle.requests <= (400 if entries else 200 + 50) * 1.05 + 15


def test_a_server_that_counts_both_is_learned() -> None:
    """Long records meet the one limit, short ones the other."""
    oracle = Oracle(frozenset(), max_records=100, max_bytes=5000)
    sizes = run(records(40_000, [100] * 20_000 + [10] * 20_000), oracle)
    assert sizes.taken == (100, 5000)
    assert oracle.requests <= 400 + 200 + 30


def test_lengths_at_random_need_not_be_known() -> None:
    """Neither measure is mistaken for the other for long."""
    rng = Random(5)  # noqa: S311 it has to be repeatable, not secret
    lengths = [rng.choice((20, 40, 400)) for _ in range(30_000)]
    for oracle in (Oracle(frozenset(), max_records=90), Oracle(frozenset(), max_bytes=12_000)):
        run(records(30_000, lengths), oracle)
        least = 30_000 / 90 if oracle.max_records else sum(lengths) / 12_000
        assert oracle.requests <= 1.15 * least + 20


SIZES = st.builds(Size, st.integers(1, 500), st.integers(1, 50_000))


@settings(max_examples=cases(300), deadline=None)
@given(st.lists(st.tuples(SIZES, st.booleans()), max_size=30), SIZES)
def test_whatever_is_noted_what_has_gone_through_is_never_too_large(
    noted: list[tuple[Size, bool]], tried: Size
) -> None:
    """A request no larger than one that went through is sent; what is known stays small; a limit is never nothing."""
    sizes, taken = Sizes(), []
    for size, goes_through in noted:
        if goes_through:
            sizes.took(size)
            taken.append(size)
        else:
            sizes.refuse(size)
    assert not any(sizes.too_large(size) for size in taken)
    limit = sizes.next_limit()
    if sizes.too_large(tried):
        assert limit.entries < tried.entries or limit.bytes < tried.bytes
    assert sum(one.entries == 0 for one in sizes.refused) <= 1
    assert sum(one.bytes == 0 for one in sizes.refused) <= 1


@settings(max_examples=cases(60), deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=400),
    st.integers(1, 60),
    st.integers(400, 4000),
    st.integers(1, 100),
    st.integers(1, 9),
)
def test_whatever_it_takes_everything_goes_through(
    lengths: list[int], entries: int, size: int, most: int, under_way: int
) -> None:
    """Records of any lengths, a server with any limits: each record goes through, once."""
    oracle = Oracle(frozenset(), max_records=entries, max_bytes=size)
    run(records(len(lengths), lengths), oracle, most=most, under_way=under_way)
    assert len(oracle.processed) == len(lengths)


def test_a_size_that_has_gone_through_is_not_taken_for_too_large() -> None:
    """A failure of a small request says nothing about sizes once a larger one was accepted."""
    sizes = Sizes()
    sizes.took(Size(50, 500))
    sizes.refuse(Size(10, 100))
    assert not sizes.refused


def test_what_was_taken_for_too_large_is_forgotten_when_a_larger_request_goes_through() -> None:
    """Requests under way at the same time may disprove it: then batches have their full size again."""
    sizes = Sizes()
    sizes.refuse(Size(10, 100))
    sizes.took(Size(5, 50))
    assert sizes.refused == [(10, 100)]
    sizes.took(Size(20, 200))
    assert not sizes.refused
    assert sizes.next_limit() == (math.inf, math.inf)


def test_nothing_is_known_of_sizes_at_first() -> None:
    """Then a single record may be too large, and what was refused is halved."""
    sizes = Sizes()
    assert sizes.taken == (0, 0)
    sizes.refuse(Size(1, 60))
    assert sizes.refused == [(1, 60)]
    assert sizes.next_limit() == (math.inf, 30)


@pytest.mark.parametrize(("refused", "limit"), [(6500, 6400), (6501, 6450)])
def test_the_search_ends_at_a_sixty_fourth(refused: int, limit: int) -> None:
    """What is as near as that is not tried any more."""
    sizes = Sizes()
    sizes.took(Size(640, 6400))
    sizes.refuse(Size(refused // 10, refused))
    assert sizes.next_limit().bytes == limit


def test_one_request_in_a_while_tries_more_and_the_others_what_is_known() -> None:
    """However many are under way, few are refused; and where the try was never filled, another follows."""
    sizes = Sizes()
    sizes.took(Size(50, 500))
    sizes.refuse(Size(100, 1000))
    assert [sizes.next_limit().bytes for _ in range(17)] == [750, *[500] * 7, 750, *[500] * 7, 750]
    sizes.took(Size(75, 750))
    assert [sizes.next_limit().bytes for _ in range(2)] == [875, 750]


@pytest.mark.parametrize(("bound", "value", "most"), [("max_entries", 120, 200), ("max_bytes", 10_000, 100)])
async def test_a_run_finds_out_what_a_provider_takes(bound: str, value: int, most: int) -> None:
    """Eight requests under way at once: few are refused, and the others are as large as may be."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        setattr(sandbox.omeda, bound, value)
        run = manager.omeda.opt_outs.submit_many([ClientOptOut(f"a{place:05}@example.com") for place in range(20_000)])
        assert (await run).counts == {OutcomeStatus.DONE: 20_000}
        refused = sum(one.status == 413 for one in sandbox.requests)
        assert refused <= 8
        assert len(sandbox.requests) <= most
