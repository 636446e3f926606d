"""What follows an event in a call: pure decisions, row by row."""

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
    NotAuthorized,
    NotFound,
    OmedaAsyncError,
    RateLimited,
    RetryPolicy,
    ServerError,
    SessionLost,
    TooLate,
    UnreadableAnswer,
)
from omeda_async._decide import (
    Ended,
    Event,
    Finish,
    Looked,
    Send,
    Verify,
    Wait,
    backoff,
    in_doubt,
    next_step,
    refused_unseen,
)
from omeda_async._operation import GAVE_UP, PASSING, Operation, Verdict
from tests.core.deciding import (
    DONE,
    DOUBLING,
    NOT_DONE,
    POLICY,
    READ_FIRST,
    RENEWED,
    REPEATABLE,
    TOO_LATE,
    UNDECIDED,
    kind_of,
    next_of,
    rules_of,
)
from tests.core.scripted import lost, unsent


def _server(status: int, retry_after: float | None = None) -> ServerError:
    return ServerError("no", status=status, retry_after=retry_after)


def _limited(retry_after: float | None = None) -> RateLimited:
    return RateLimited("no", status=429, retry_after=retry_after)


def _unreadable(status: int) -> UnreadableAnswer:
    return UnreadableAnswer("html", status=status)


# What follows the first failure of: a repeat that tells, one whose read goes first, one that doubles.
ROWS: list[tuple[OmedaAsyncError, type, type, type]] = [
    (unsent(), Send, Send, Send),
    (_limited(), Send, Send, Send),
    (_server(503), Send, Send, Verify),
    (lost(), Send, Verify, Verify),
    (lost(timed_out=True), Send, Verify, Verify),
    (_server(500), Send, Verify, Verify),
    (_server(502), Send, Verify, Verify),
    (_server(504), Send, Verify, Verify),
    (_unreadable(200), Send, Verify, Verify),
    (_unreadable(302), Verify, Verify, Verify),
    (_unreadable(404), Finish, Finish, Finish),
    (_unreadable(500), Send, Verify, Verify),
    (_unreadable(502), Send, Verify, Verify),
    (_unreadable(503), Send, Send, Verify),
    (_unreadable(504), Send, Verify, Verify),
    (_unreadable(600), Send, Verify, Verify),
    (_server(600), Send, Verify, Verify),
    (BadRequest("no", status=400), Finish, Finish, Finish),
    (AuthenticationFailed("no", status=401), Finish, Finish, Finish),
    (AuthenticationFailed("no", status=403), Finish, Finish, Finish),
    (NotFound("no", status=404), Finish, Finish, Finish),
    (MethodNotAllowed("no", status=405), Finish, Finish, Finish),
    (Conflict("no", status=409), Finish, Finish, Finish),
    (ApiError("too large", status=413), Finish, Finish, Finish),
    (AlreadyDone("no", status=400), Finish, Finish, Finish),
    (TooLate("no", status=400), Finish, Finish, Finish),
    (SessionLost("no", status=302), Finish, Finish, Finish),
    (SessionLost("a page", status=200, sent=True), Send, Verify, Verify),
    *((ApiError("not now", status=status), Send, Send, Send) for status in sorted(PASSING)),
    *((ApiError("gave up", status=status, sent=True), Send, Verify, Verify) for status in sorted(GAVE_UP)),
    *((_unreadable(status), Send, Verify, Verify) for status in sorted(GAVE_UP)),
    (BadRequest("a page", status=400, sent=True), Verify, Verify, Verify),
    (NotFound("a page", status=404, sent=True), Verify, Verify, Verify),
    (Conflict("a page", status=409, sent=True), Verify, Verify, Verify),
    (ApiError("a page", status=422, sent=True), Verify, Verify, Verify),
    (AlreadyDone("in words", status=423), Finish, Finish, Finish),
    (NotAuthorized("in words", status=402), Finish, Finish, Finish),
]


@pytest.mark.parametrize(("error", "repeatable", "read_first", "doubling"), ROWS, ids=lambda value: repr(value)[:40])
def test_each_failure_has_its_next_step(
    error: OmedaAsyncError, repeatable: type, read_first: type, doubling: type
) -> None:
    """What is certain to be unsent is sent again, what is in doubt is verified, a refusal stands."""
    steps = [kind_of(next_of(operation, error, explain=False)) for operation in (REPEATABLE, READ_FIRST, DOUBLING)]
    assert steps == [repeatable, read_first, doubling]


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=repr)
def test_an_error_is_in_doubt_or_certain_but_not_both(error: OmedaAsyncError) -> None:
    """No error is both possibly carried out and certainly not."""
    assert not (in_doubt(error) and refused_unseen(error))


@given(
    st.lists(
        st.sampled_from([*(row[0] for row in ROWS), DONE, TOO_LATE, NOT_DONE, UNDECIDED]), min_size=1, max_size=12
    ),
    st.sampled_from([REPEATABLE, READ_FIRST, DOUBLING]),
    st.integers(1, 6),
)
def test_no_history_makes_a_doubling_operation_go_again_after_a_doubt(
    history: list[OmedaAsyncError | Event], operation: Operation[object, object], attempts: int
) -> None:
    """A create goes again only after an attempt that was certainly not carried out; none goes past the attempts."""
    rules = rules_of(operation, policy=attrs.evolve(POLICY, attempts=attempts))
    state, ended = RENEWED, 0
    expected: type = Send
    for one in history:
        if isinstance(one, OmedaAsyncError) == (expected is Send):
            event = Ended(one) if isinstance(one, OmedaAsyncError) else one
            ended += isinstance(event, Ended)
            state, step = next_step(rules, state, event)
            expected = kind_of(step)
            if expected is Finish:
                return
            if expected is Send:
                certain = isinstance(event, Ended) and refused_unseen(event.error)
                unavailable = isinstance(event, Ended) and getattr(event.error, "status", None) == 503
                assert ended < attempts
                assert operation is not DOUBLING or certain
                assert operation is not READ_FIRST or certain or unavailable or isinstance(event, Looked)


@pytest.mark.parametrize("operation", [REPEATABLE, READ_FIRST])
def test_the_last_attempt_is_not_followed_by_another(operation: Operation[object, object]) -> None:
    """After the attempts are used up, certainty stops and doubt is verified."""
    reads: list[Event] = [] if operation.repeat_tells else [NOT_DONE]
    assert isinstance(next_of(operation, *[unsent()] * 5), Finish)
    assert kind_of(next_of(operation, *[lost(), *reads] * 4, lost())) is Verify
    assert kind_of(next_of(operation, *[unsent()] * 4)) is Send
    assert kind_of(next_of(operation, *[lost(), *reads] * 4, lost(), NOT_DONE)) is Verify
    assert isinstance(next_of(operation, *[lost(), *reads] * 4, lost(), NOT_DONE, NOT_DONE), Finish)
    assert isinstance(next_of(operation, *[lost(), *reads] * 4, lost(), NOT_DONE, UNDECIDED), Finish)


def test_a_500_is_tried_once_more_and_no_further() -> None:
    """After a second 500 the read follows; a 502 in between does not count."""
    assert kind_of(next_of(REPEATABLE, _server(500))) is Send
    assert kind_of(next_of(REPEATABLE, _server(500), _server(502))) is Send
    assert kind_of(next_of(REPEATABLE, _server(500), _server(502), _server(500))) is Verify
    assert kind_of(next_of(READ_FIRST, _server(500), NOT_DONE)) is Send
    assert isinstance(next_of(READ_FIRST, _server(500), NOT_DONE, _server(500), NOT_DONE), Finish)


def test_a_doubling_operation_is_never_repeated_on_the_word_of_a_read() -> None:
    """Even a read that says "not done" does not make a create go again."""
    assert kind_of(next_of(DOUBLING, lost(), NOT_DONE)) is Verify
    assert isinstance(next_of(DOUBLING, lost(), NOT_DONE, NOT_DONE), Finish)


@pytest.mark.parametrize(("asked", "least", "most"), [(0.1, 0.5, 0.625), (7.0, 7.0, 7.2), (3600.0, 3600.0, 3700.0)])
def test_retry_after_wins_over_the_back_off(asked: float, least: float, most: float) -> None:
    """The wait is what the provider asked for or the back-off, whichever is longer, with positive jitter only."""
    for uniform in (lambda: 0.0, lambda: 0.5, lambda: 1.0):
        step = next_of(REPEATABLE, _server(503, asked), uniform=uniform)
        assert isinstance(step, Wait)
        assert least <= step.seconds <= most


@pytest.mark.parametrize(("uniform", "seconds"), [(0.0, 100.0), (0.4, 101.0), (1.0, 102.5)])
def test_the_jitter_of_a_retry_after_is_a_tenth_of_the_back_offs(uniform: float, seconds: float) -> None:
    """Up to a fortieth is added: who asked for a time is not kept waiting much longer."""
    step = next_of(REPEATABLE, _server(503, 100.0), uniform=lambda: uniform)
    assert isinstance(step, Wait)
    assert step.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("status", "doubtful"),
    [(200, True), (399, True), (400, False), (407, False), (408, True), (499, True), (500, True)],
)
def test_an_unreadable_answer_is_in_doubt_by_its_status(status: int, doubtful: bool) -> None:
    """A 4xx has refused it, unless it says that somebody stopped waiting; whatever else proves nothing."""
    assert in_doubt(_unreadable(status)) is doubtful


@pytest.mark.parametrize(("status", "own"), [(500, True), (501, True), (502, False), (503, False), (520, False)])
def test_what_a_gateway_says_is_read_twice_before_it_is_believed(status: int, own: bool) -> None:
    """Behind a 500 or 501 of its own, the provider does nothing more: one read is enough."""
    step = next_of(READ_FIRST, *[_server(status)] * 5, NOT_DONE)
    assert isinstance(step, Finish if own else Wait)


@pytest.mark.parametrize("asked", [None, 0.0, -1.0])
def test_without_a_usable_retry_after_the_back_off_counts(asked: float | None) -> None:
    """None, zero and minus one are no waiting times."""
    error = _server(503, asked)
    assert next_of(REPEATABLE, error) == Wait(0.5, Send(), Finish(error=error, doubtful=True))


def test_a_pause_is_by_the_latest_failure() -> None:
    """What an earlier one has asked for is over, and a later one that asks for nothing waits as long as any."""
    asks, unspoken = _server(503, 100.0), _server(503)
    pauses = [next_of(REPEATABLE, *history) for history in ((asks, unspoken), (unspoken, asks), (asks, _limited()))]
    assert [step.seconds for step in pauses if isinstance(step, Wait)] == [1.0, 100.0, 0.0]


@pytest.mark.parametrize("asked", [None, 5.0, -1.0])
def test_a_429_leaves_the_wait_to_the_limiter(asked: float | None) -> None:
    """The whole account is held back there; the call adds nothing of its own."""
    error = _limited(asked)
    assert next_of(REPEATABLE, error) == Wait(0.0, Send(), Finish(error=error))


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


def test_the_pauses_double() -> None:
    """Of the first attempts, before any bound."""
    policy = attrs.evolve(POLICY, base_delay=1.0, max_delay=1000.0)
    assert [backoff(attempt, policy, lambda: 0.0) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("status", [300, 399])
def test_every_status_from_300_to_399_is_a_redirect_and_no_page(status: int) -> None:
    """It is looked up before it is asked again; and asked again then, as nobody's page has refused it."""
    error = UnreadableAnswer("elsewhere", status=status, sent=True)
    assert kind_of(next_of(REPEATABLE, error)) is Verify
    told = ApiError("elsewhere", status=status, sent=True)
    assert next_of(READ_FIRST, told, NOT_DONE) == Wait(0.0, Send(), Finish(error=told, doubtful=True))


def test_a_500_that_came_with_a_page_is_no_page_of_a_gateway() -> None:
    """It is tried once more, as any 500."""
    assert kind_of(next_of(REPEATABLE, ServerError("no", status=500, sent=True))) is Send
    refused = ApiError("no", status=400, sent=True)
    assert kind_of(next_of(REPEATABLE, refused)) is Verify


def test_a_read_that_is_refused_does_not_keep_it_from_being_sent_again() -> None:
    """Only where the request itself was sent elsewhere: it would be again."""
    refused = Looked(Verdict.UNDECIDED, BadRequest("no", status=400))
    lost = ServerError("no", status=502, sent=True)
    assert kind_of(next_of(READ_FIRST, lost, refused)) is Send
    elsewhere = UnreadableAnswer("there", status=399, sent=True)
    assert next_of(READ_FIRST, elsewhere, refused) == Finish(error=elsewhere, doubtful=True)
