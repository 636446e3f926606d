"""What follows a failed attempt: pure decisions, row by row."""

from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from omeda_async import (
    AlreadyDone,
    ApiError,
    AuthenticationFailed,
    BadRequest,
    Conflict,
    MethodNotAllowed,
    NotFound,
    OmedaAsyncError,
    RateLimited,
    RetryPolicy,
    ServerError,
    SessionLost,
    TooLate,
    UnreadableAnswer,
)
from omeda_async._operation import Operation
from omeda_async._retry import Retry, Settle, Stop, backoff, decide, in_doubt, may_repeat, refused_unseen
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda
from tests.core.scripted import CAMPAIGN_CANCEL, DEPLOYMENT_CANCEL, DEPLOYMENT_CREATE, lost, unsent

POLICY = RetryPolicy(attempts=5, base_delay=0.5, max_delay=30.0)
REPEATABLE = DEPLOYMENT_CANCEL.operation
READ_FIRST = CAMPAIGN_CANCEL.operation
DOUBLING = DEPLOYMENT_CREATE.operation


def _server(status: int, retry_after: float | None = None) -> ServerError:
    return ServerError("no", status=status, retry_after=retry_after)


def _limited(retry_after: float | None = None) -> RateLimited:
    return RateLimited("no", status=429, retry_after=retry_after)


def _unreadable(status: int) -> UnreadableAnswer:
    return UnreadableAnswer("html", status=status)


# What follows the first failure of: a repeat that tells, one whose read goes first, one that doubles.
ROWS: list[tuple[OmedaAsyncError, type, type, type]] = [
    (unsent(), Retry, Retry, Retry),
    (_limited(), Retry, Retry, Retry),
    (_server(503), Retry, Retry, Settle),
    (lost(), Retry, Settle, Settle),
    (lost(timed_out=True), Retry, Settle, Settle),
    (_server(500), Retry, Settle, Settle),
    (_server(502), Retry, Settle, Settle),
    (_server(504), Retry, Settle, Settle),
    (_unreadable(200), Retry, Settle, Settle),
    (_unreadable(302), Retry, Settle, Settle),
    (_unreadable(404), Stop, Stop, Stop),
    (_unreadable(500), Retry, Settle, Settle),
    (_unreadable(502), Retry, Settle, Settle),
    (_unreadable(503), Retry, Retry, Settle),
    (_unreadable(504), Retry, Settle, Settle),
    (_unreadable(600), Retry, Settle, Settle),
    (_server(600), Retry, Settle, Settle),
    (BadRequest("no", status=400), Stop, Stop, Stop),
    (AuthenticationFailed("no", status=401), Stop, Stop, Stop),
    (AuthenticationFailed("no", status=403), Stop, Stop, Stop),
    (NotFound("no", status=404), Stop, Stop, Stop),
    (MethodNotAllowed("no", status=405), Stop, Stop, Stop),
    (Conflict("no", status=409), Stop, Stop, Stop),
    (ApiError("too large", status=413), Stop, Stop, Stop),
    (AlreadyDone("no", status=400), Stop, Stop, Stop),
    (TooLate("no", status=400), Stop, Stop, Stop),
    (SessionLost("no", status=302), Stop, Stop, Stop),
    (SessionLost("a page", status=200, sent=True), Retry, Settle, Settle),
]


@pytest.mark.parametrize(("error", "repeatable", "read_first", "doubling"), ROWS, ids=lambda value: repr(value)[:40])
def test_each_failure_has_its_next_step(
    error: OmedaAsyncError, repeatable: type, read_first: type, doubling: type
) -> None:
    """What is certain to be unsent is sent again, what is in doubt is settled, a refusal stands."""
    steps = [type(decide(operation, [error], POLICY)) for operation in (REPEATABLE, READ_FIRST, DOUBLING)]
    assert steps == [repeatable, read_first, doubling]


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=repr)
def test_an_error_is_in_doubt_or_certain_but_not_both(error: OmedaAsyncError) -> None:
    """No error is both possibly carried out and certainly not."""
    assert not (in_doubt(error) and refused_unseen(error))


@given(
    st.lists(st.sampled_from([row[0] for row in ROWS]), min_size=1, max_size=8),
    st.sampled_from([REPEATABLE, READ_FIRST, DOUBLING]),
    st.integers(1, 6),
)
def test_no_history_makes_a_doubling_operation_go_again_after_a_doubt(
    history: list[OmedaAsyncError], operation: Operation[object, object], attempts: int
) -> None:
    """A create goes again only after an attempt that was certainly not carried out; none goes past the attempts."""
    step = decide(operation, history, attrs.evolve(POLICY, attempts=attempts))
    if isinstance(step, Retry):
        assert len(history) < attempts
        assert operation is not DOUBLING or refused_unseen(history[-1])
        assert operation is not READ_FIRST or not in_doubt(history[-1])


@pytest.mark.parametrize("operation", [REPEATABLE, READ_FIRST])
def test_the_last_attempt_is_not_followed_by_another(operation: Operation[object, object]) -> None:
    """After the attempts are used up, certainty stops and doubt is settled."""
    assert decide(operation, [unsent()] * 5, POLICY) == Stop()
    assert isinstance(decide(operation, [lost()] * 5, POLICY), Settle)
    assert isinstance(decide(operation, [unsent()] * 4, POLICY), Retry)
    assert not may_repeat(operation, [lost()] * 5, POLICY)


def test_a_500_is_tried_once_more_and_no_further() -> None:
    """After a second 500 the read follows; a 502 in between does not count."""
    assert isinstance(decide(REPEATABLE, [_server(500)], POLICY), Retry)
    assert isinstance(decide(REPEATABLE, [_server(500), _server(502)], POLICY), Retry)
    assert isinstance(decide(REPEATABLE, [_server(500), _server(502), _server(500)], POLICY), Settle)
    assert may_repeat(READ_FIRST, [_server(500)], POLICY)
    assert not may_repeat(READ_FIRST, [_server(500), _server(500)], POLICY)


def test_a_doubling_operation_is_never_repeated_on_the_word_of_a_read() -> None:
    """Even a read that says "not done" does not make a create go again."""
    assert not may_repeat(DOUBLING, [lost()], POLICY)


@pytest.mark.parametrize(("asked", "least", "most"), [(0.1, 0.5, 0.625), (7.0, 7.0, 7.2), (3600.0, 3600.0, 3700.0)])
def test_retry_after_wins_over_the_back_off(asked: float, least: float, most: float) -> None:
    """The wait is what the provider asked for or the back-off, whichever is longer, with positive jitter only."""
    for uniform in (lambda: 0.0, lambda: 0.5, lambda: 1.0):
        step = decide(REPEATABLE, [_server(503, asked)], POLICY, uniform)
        assert isinstance(step, Retry)
        assert least <= step.wait <= most


@pytest.mark.parametrize("asked", [None, 0.0, -1.0])
def test_without_a_usable_retry_after_the_back_off_counts(asked: float | None) -> None:
    """None, zero and minus one are no waiting times."""
    assert decide(REPEATABLE, [_server(503, asked)], POLICY, lambda: 0.0) == Retry(0.5)


@pytest.mark.parametrize("asked", [None, 5.0, -1.0])
def test_a_429_leaves_the_wait_to_the_limiter(asked: float | None) -> None:
    """The whole account is held back there; the call adds nothing of its own."""
    assert decide(REPEATABLE, [_limited(asked)], POLICY) == Retry(0.0)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.001, 10), st.floats(0.001, 1000))
def test_back_off_doubles_within_its_bounds(attempt: int, draw: float, base: float, most: float) -> None:
    """Never less than the plain back-off, never more than a quarter above it, and never past the bound."""
    policy = RetryPolicy(base_delay=base, max_delay=most)
    plain = min(most, base * 2.0 ** min(attempt - 1, 60))
    pause = backoff(attempt, policy, lambda: draw)
    assert plain <= pause <= plain * 1.25 + 1e-9


@given(st.integers(1, 60), st.floats(0, 1))
def test_back_off_never_shrinks(attempt: int, draw: float) -> None:
    """With the same draw, a later attempt waits at least as long."""
    assert backoff(attempt, POLICY, lambda: draw) <= backoff(attempt + 1, POLICY, lambda: draw)


def test_every_operation_declares_its_safety_as_the_table_says() -> None:
    """Only create and clone double; where a repeat tells nothing the read goes first; else a refusal is doubted."""
    operations: list[Operation[Any, Any]] = [
        omeda.CANCEL,
        omeda.CREATE,
        omeda.CLONE,
        omeda.UPDATE,
        omeda.SUBMIT_OPT_OUTS,
        omeda.LOOKUP,
        omeda.SEARCH,
    ]
    operations += [ocamba.CANCEL, ocamba.GET, ocamba.LIST, journey_manager.CANCEL, journey_manager.QUERY]
    by_name = {f"{one.provider}.{one.name}": one for one in operations}
    assert {name for name, one in by_name.items() if one.idempotent is False} == {
        "omeda.deployments.create",
        "omeda.deployments.clone",
    }
    assert {name for name, one in by_name.items() if not one.repeat_tells} == {
        "ocamba.campaigns.cancel",
        "journey_manager.transactions.cancel",
    }
    assert {name for name, one in by_name.items() if not one.refusal_tells(Conflict("no", status=409))} == {
        "omeda.deployments.update",
        "omeda.opt_outs.submit",
    }
    reads = {name: one.verification.operation.name for name, one in by_name.items() if one.verification}
    assert reads == {
        "omeda.deployments.cancel": "deployments.lookup",
        "omeda.deployments.create": "deployments.lookup",
        "omeda.deployments.clone": "deployments.lookup",
        "ocamba.campaigns.cancel": "campaigns.get",
        "journey_manager.transactions.cancel": "transactions.query",
    }
    first = {
        name: [two.operation.name for two in one.verification.first]
        for name, one in by_name.items()
        if one.verification
    }
    assert {name: reads for name, reads in first.items() if reads} == {
        "omeda.deployments.create": ["deployments.search"],
        "omeda.deployments.clone": ["deployments.lookup", "deployments.search"],
    }
