"""How a call ends, and what is certain on the way there: pure decisions, history by history."""

from typing import Any

import attrs
import pytest

from omeda_async import (
    AlreadyDone,
    ApiError,
    AuthenticationFailed,
    BadRequest,
    ClosedError,
    ConfigurationError,
    LimitWaitExceeded,
    MethodNotAllowed,
    NotFound,
    OmedaAsyncError,
    OutcomeStatus,
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
    State,
    Step,
    Verify,
    Wait,
    first_step,
    may_have_left,
    next_step,
    when_interrupted,
)
from omeda_async._operation import Operation, Verdict
from omeda_async.providers.omeda import _operations as omeda
from tests.core.deciding import (
    DONE,
    DOUBLING,
    NOT_DONE,
    POLICY,
    READ_FIRST,
    REPEATABLE,
    TOO_LATE,
    UNDECIDED,
    UNREAD,
    kind_of,
    next_of,
    play,
    rules_of,
)
from tests.core.scripted import TRANSACTION_CANCEL, lost, unsent

LOST, TIMED_OUT, REFUSED = lost(), lost(timed_out=True), BadRequest("locked", status=400, messages=("locked",))
ABSENT = NotFound("no such deployment", status=404, messages=("no such deployment",))
GONE = TooLate("it was sent", status=400)
CLOSED, TOO_LONG = ClosedError("stopped"), LimitWaitExceeded("too long", max_wait=1.0)
FAILED = OutcomeStatus.FAILED
BROKEN, GAVE_UP = ServerError("no", status=500), ApiError("no", status=499, sent=True)
PAGE, NO_URL = BadRequest("a page", status=400, sent=True), NotFound("a page", status=404, sent=True)
PASSES = ApiError("not now", status=423)


@attrs.frozen
class End:
    """The events of a call, and how it ends."""

    name: str
    operation: Operation[Any, Any]
    events: tuple[OmedaAsyncError | Event, ...]
    finish: Finish
    options: dict[str, Any] = attrs.field(factory=dict)


ENDS = [
    End("a repeat says it is done", REPEATABLE, (LOST, AlreadyDone("x", status=400)), Finish()),
    End("a read says it is done", READ_FIRST, (LOST, DONE), Finish()),
    End("a time-out, not done", READ_FIRST, (LOST, NOT_DONE, TIMED_OUT, NOT_DONE, NOT_DONE), Finish(error=TIMED_OUT)),
    End("two lost, not done", READ_FIRST, (LOST, NOT_DONE, LOST, NOT_DONE, NOT_DONE), Finish(error=LOST)),
    End("two lost, done late", READ_FIRST, (LOST, NOT_DONE, LOST, NOT_DONE, DONE), Finish()),
    End(
        "two lost, then undecided",
        READ_FIRST,
        (LOST, NOT_DONE, LOST, NOT_DONE, UNDECIDED),
        Finish(error=LOST, doubtful=True),
    ),
    End("failed twice, not done", READ_FIRST, (BROKEN, NOT_DONE, BROKEN, NOT_DONE), Finish(error=BROKEN)),
    End(
        "somebody gave up",
        READ_FIRST,
        (LOST, NOT_DONE, GAVE_UP, NOT_DONE, NOT_DONE),
        Finish(error=GAVE_UP, known=FAILED),
    ),
    End("a page", REPEATABLE, (PAGE, NOT_DONE, NOT_DONE), Finish(error=PAGE, known=FAILED)),
    End("a page, done behind it", REPEATABLE, (PAGE, NOT_DONE, DONE), Finish()),
    End("a page, and nothing is shown", REPEATABLE, (PAGE, UNDECIDED), Finish(error=PAGE, doubtful=True)),
    End("a page, and nothing can tell", UNREAD, (PAGE,), Finish(error=PAGE, doubtful=True)),
    End("a page that meets everyone", TRANSACTION_CANCEL.operation, (NO_URL,), Finish(error=NO_URL, known=FAILED)),
    End("not now, to the end", REPEATABLE, (PASSES, PASSES), Finish(error=PASSES)),
    End("not now, after a doubt", UNREAD, (LOST, PASSES), Finish(error=PASSES, doubtful=True)),
    End("lost, undecided", READ_FIRST, (LOST, UNDECIDED, LOST, UNDECIDED), Finish(error=LOST, doubtful=True)),
    End("a create, searched for in vain", DOUBLING, (LOST, UNDECIDED), Finish(error=LOST, doubtful=True)),
    End("nothing can tell", UNREAD, (LOST, LOST), Finish(error=LOST, doubtful=True)),
    End("a refused repeat, not done", REPEATABLE, (LOST, REFUSED, NOT_DONE, NOT_DONE), Finish(error=REFUSED)),
    End("a refused repeat, done", REPEATABLE, (LOST, REFUSED, DONE), Finish()),
    End("a refused repeat, undecided", REPEATABLE, (LOST, REFUSED, UNDECIDED), Finish(error=REFUSED, doubtful=True)),
    End(
        "a refused repeat after a time-out, undecided late",
        REPEATABLE,
        (TIMED_OUT, REFUSED, NOT_DONE, UNDECIDED),
        Finish(error=REFUSED, doubtful=True),
    ),
    End("the repeat finds no target", REPEATABLE, (LOST, ABSENT, UNDECIDED), Finish(error=ABSENT)),
    End("a repeat comes too late", REPEATABLE, (LOST, GONE), Finish(error=GONE, lost=True)),
    End("refused for what it is", omeda.LOOKUP, (LOST, REFUSED), Finish(error=REFUSED, lost=True)),
    End("refused for what is new", UNREAD, (LOST, REFUSED), Finish(error=REFUSED, lost=True, doubtful=True)),
    End(
        "refused for everyone's reason",
        UNREAD,
        (LOST, MethodNotAllowed("x", status=405)),
        Finish(error=MethodNotAllowed("x", status=405), doubtful=True),
    ),
    End("a refusal, explained in vain", READ_FIRST, (REFUSED, UNDECIDED), Finish(error=REFUSED)),
    End("not done is no explanation", READ_FIRST, (REFUSED, NOT_DONE), Finish(error=REFUSED)),
    End(
        "stopped before it was explained",
        READ_FIRST,
        (REFUSED, Looked(Verdict.UNDECIDED, CLOSED)),
        Finish(error=REFUSED, known=FAILED),
    ),
    End(
        "no slot to explain it",
        READ_FIRST,
        (REFUSED, Looked(Verdict.UNDECIDED, TOO_LONG)),
        Finish(error=REFUSED, known=FAILED),
    ),
    End(
        "the explanation failed",
        READ_FIRST,
        (REFUSED, Looked(Verdict.UNDECIDED, unsent())),
        Finish(error=REFUSED),
    ),
    End(
        "in doubt, and stopped before it was read",
        READ_FIRST,
        (LOST, NOT_DONE, REFUSED, Looked(Verdict.UNDECIDED, CLOSED)),
        Finish(error=REFUSED, doubtful=True),
    ),
    End("not explained", READ_FIRST, (REFUSED,), Finish(error=REFUSED), {"explain": False}),
    End("no slot at all", REPEATABLE, (TOO_LONG,), Finish(error=TOO_LONG)),
    End("no slot for the repeat", REPEATABLE, (LOST, TOO_LONG), Finish(error=LOST, doubtful=True)),
    End("closed before the repeat", REPEATABLE, (LOST, CLOSED), Finish(error=LOST, doubtful=True)),
    End("something smaller is tried", UNREAD, (LOST,), Finish(error=LOST, doubtful=True), {"fail_fast": True}),
]


def _same(finish: Step, expected: Finish) -> bool:
    """Whether two ends are alike; of errors that were made for it, only the class counts."""
    assert isinstance(finish, Finish)
    alike = attrs.evolve(finish, error=None) == attrs.evolve(expected, error=None)
    return alike and type(finish.error) is type(expected.error)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_a_call_ends_with_what_is_certain(end: End) -> None:
    """Each history has its end: done, certainly not done, or in doubt."""
    rules = rules_of(end.operation, **{"policy": attrs.evolve(POLICY, attempts=2), **end.options})
    assert _same(play(rules, *end.events)[1], end.finish)


@pytest.mark.parametrize("before", [(), (LOST, NOT_DONE)], ids=["certain", "in doubt"])
@pytest.mark.parametrize(("verdict", "kind"), [(DONE, AlreadyDone), (TOO_LATE, TooLate)])
def test_a_refusal_is_named_by_what_the_read_has_shown(
    before: tuple[OmedaAsyncError | Event, ...], verdict: Looked, kind: type[ApiError]
) -> None:
    """It keeps its status and words under the class that fits; only what is in doubt may have been ours."""
    step = next_of(READ_FIRST, *before, REFUSED, verdict)
    assert isinstance(step, Finish)
    if before and kind is AlreadyDone:
        assert step == Finish()
    else:
        assert isinstance(step.error, kind)
        assert (step.error.status, step.error.messages, step.doubtful) == (400, ("locked",), False)


def test_a_lost_answer_is_named_by_what_the_read_has_shown() -> None:
    """It was no refusal: the provider's own record tells."""
    step = next_of(READ_FIRST, LOST, TOO_LATE)
    assert isinstance(step, Finish)
    assert isinstance(step.error, TooLate)
    assert "the provider's own record says so (too late)" in step.error.message


@pytest.mark.parametrize(
    ("operation", "step"), [(REPEATABLE, Send), (READ_FIRST, Verify), (UNREAD, Send)], ids=lambda one: str(one)[:20]
)
def test_what_an_earlier_run_may_have_done_is_read_first_where_a_repeat_tells_nothing(
    operation: Operation[Any, Any], step: type
) -> None:
    """Where there is no time for the read, it is in doubt; after an attempt that never left, still."""
    rules, state = rules_of(operation), State.of_earlier_run()
    first = first_step(rules, state)
    assert kind_of(first) is step
    assert not isinstance(first, Wait) or (first.seconds, first.otherwise.doubtful) == (0.0, True)
    assert play(rules, CLOSED, state=state)[1] == Finish(error=CLOSED, doubtful=True)


def test_a_read_that_says_not_done_lets_the_call_go_again_at_once() -> None:
    """Should there be no time for that, only the provider's own word makes it certain; in the repeat nothing does."""
    rules = rules_of(READ_FIRST)
    state, step = play(rules, LOST, NOT_DONE)
    assert step == Wait(0.0, Send(), Finish(error=LOST, doubtful=True))
    assert when_interrupted(rules, state, in_flight=False).doubtful
    assert next_of(READ_FIRST, BROKEN, NOT_DONE) == Wait(0.0, Send(), Finish(error=BROKEN))


@pytest.mark.parametrize("doubt", [LOST, TIMED_OUT, GAVE_UP, ServerError("no", status=502)], ids=repr)
def test_a_read_that_says_not_done_before_the_end_is_followed_by_another_after_the_settle_delay(
    doubt: OmedaAsyncError,
) -> None:
    """Where there is no time for that it is in doubt; and whatever breaks it off meanwhile leaves it so."""
    rules = rules_of(READ_FIRST, policy=attrs.evolve(POLICY, attempts=1, settle_delay=7.0))
    state, step = play(rules, doubt, NOT_DONE)
    assert step == Wait(7.0, Verify(), Finish(error=doubt, doubtful=True))
    assert when_interrupted(rules, state, in_flight=False).doubtful


@pytest.mark.parametrize("delay", [7.0, 0.5])
@pytest.mark.parametrize(
    ("delays", "doubtful"), [(0.99, True), (1.0, False), (60.0, False)], ids=["early", "in time", "late"]
)
def test_a_read_that_began_after_the_settle_delay_counts_where_there_is_no_time_for_another(
    delay: float, delays: float, doubtful: bool
) -> None:
    """The provider has had its time since the attempt that was lost, whatever has held up the read."""
    rules = rules_of(READ_FIRST, policy=attrs.evolve(POLICY, attempts=1, settle_delay=delay))
    history = Ended(LOST, at=100.0), Looked(Verdict.NOT_DONE, at=100.0 + delays * delay)
    assert play(rules, *history)[1] == Wait(delay, Verify(), Finish(error=LOST, doubtful=doubtful))
    again = rules_of(READ_FIRST, policy=attrs.evolve(POLICY, attempts=2, settle_delay=delay))
    assert play(again, *history)[1] == Wait(0.0, Send(), Finish(error=LOST, doubtful=doubtful))


def test_it_is_the_latest_attempt_in_doubt_that_the_settle_delay_counts_from() -> None:
    """An attempt that certainly was not carried out is none; and when an earlier run's ended, nobody knows."""
    rules = rules_of(READ_FIRST, policy=attrs.evolve(POLICY, attempts=2, settle_delay=7.0))
    read = Looked(Verdict.NOT_DONE, at=110.0)
    for error, doubtful in ((TIMED_OUT, True), (unsent(), False)):
        step = play(rules, Ended(LOST, at=100.0), Ended(error, at=109.0), read)[1]
        assert isinstance(step, Wait)
        assert step.otherwise.doubtful is doubtful
    step = play(rules, read, state=State.of_earlier_run())[1]
    assert isinstance(step, Wait)
    assert step.otherwise.doubtful
    none = rules_of(READ_FIRST, policy=attrs.evolve(POLICY, attempts=1, settle_delay=0.0))
    step = play(none, Ended(LOST, at=100.0), read)[1]
    assert isinstance(step, Wait)
    assert step.otherwise.doubtful


def test_what_an_earlier_run_lost_may_still_be_on_its_way() -> None:
    """That run may have ended a moment ago: a refusal now is read twice."""
    rules = rules_of(READ_FIRST)
    history = (NOT_DONE, REFUSED, NOT_DONE)
    assert play(rules, *history, state=State.of_earlier_run())[1] == Wait(
        5.0, Verify(), Finish(error=REFUSED, doubtful=True)
    )
    assert play(rules, *history, NOT_DONE, state=State.of_earlier_run())[1] == Finish(error=REFUSED)


def test_the_read_waits_as_long_as_a_repeat_would() -> None:
    """The provider is given time; but not where something smaller is to be tried, or no attempt is left."""
    assert next_of(READ_FIRST, LOST) == Wait(0.5, Verify(), Finish(error=LOST, doubtful=True))
    assert next_of(READ_FIRST, LOST, fail_fast=True) == Wait(0.0, Verify(), Finish(error=LOST, doubtful=True))
    last = unsent()
    end = Finish(error=last, doubtful=True)
    assert next_of(REPEATABLE, LOST, last, policy=attrs.evolve(POLICY, attempts=2)) == Wait(0.0, Verify(), end)


def test_refused_credentials_say_nothing_of_a_lost_attempt() -> None:
    """It is read what became of that, where there is time; the repeat itself was not carried out."""
    refused = AuthenticationFailed("no", status=403)
    end = Finish(error=refused, doubtful=True)
    assert next_of(REPEATABLE, LOST, refused) == Wait(0.0, Verify(), end)
    assert next_of(REPEATABLE, LOST, refused, UNDECIDED) == end


SHUT_OUT = [AuthenticationFailed("no", status=401), SessionLost("no", status=302)]


@pytest.mark.parametrize("error", SHUT_OUT, ids=repr)
def test_credentials_are_renewed_once(error: AuthenticationFailed | SessionLost) -> None:
    """The first refusal of them is followed by an attempt with new ones, at once; the second stands."""
    rules = rules_of(REPEATABLE)
    state, step = next_step(rules, State(), Ended(error))
    assert (step, state.renewed, state.doubt, state.errors) == (Send(renew=error), True, None, ())
    assert next_step(rules, state, Ended(error))[1] == Finish(error=error)


def test_a_page_in_the_place_of_the_answer_stays_in_doubt_while_credentials_are_renewed() -> None:
    """The new session does not make the first attempt certain, and no repeat follows a second page."""
    page = SessionLost("a page", status=200, sent=True)
    rules = rules_of(TRANSACTION_CANCEL.operation)
    state, step = next_step(rules, State(), Ended(page))
    assert step == Send(renew=page)
    assert when_interrupted(rules, state, in_flight=False).doubtful
    state, step = next_step(rules, state, Ended(page))
    assert kind_of(step) is Verify
    state, step = next_step(rules, state, NOT_DONE)
    assert step == Wait(5.0, Verify(), Finish(error=page, doubtful=True))
    assert next_step(rules, state, NOT_DONE)[1] == Finish(error=page)


@pytest.mark.parametrize(
    ("history", "in_flight", "expected"),
    [
        ((), False, Finish(error=CLOSED)),
        ((), True, Finish(error=LOST, doubtful=True)),
        ((unsent(),), False, Finish(error=unsent())),
        ((LOST,), False, Finish(error=LOST, doubtful=True)),
        ((unsent(),), True, Finish(error=LOST, doubtful=True)),
        ((REFUSED,), False, Finish(error=REFUSED, known=FAILED)),
        ((unsent(), REFUSED), False, Finish(error=REFUSED, known=FAILED)),
        ((LOST, NOT_DONE, REFUSED), False, Finish(error=LOST, doubtful=True)),
    ],
)
def test_an_interrupted_call_says_what_is_certain(
    history: tuple[OmedaAsyncError | Event, ...], in_flight: bool, expected: Finish
) -> None:
    """Not sent, failed, or unknown; a refusal that no read got to explain is to be asked again."""
    rules = rules_of(READ_FIRST)
    state, _ = play(rules, *history)
    assert _same(when_interrupted(rules, state, in_flight=in_flight), expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (unsent(), False),
        (CLOSED, False),
        (ConfigurationError("no"), False),
        (LOST, True),
        (UnreadableAnswer("too large", sent=True, status=200), True),
        (attrs.evolve(unsent(), sent=True), True),
    ],
    ids=repr,
)
def test_an_attempt_has_left_unless_it_is_certain_that_it_has_not(error: OmedaAsyncError, expected: bool) -> None:
    """The limiter counts what may have come to the provider."""
    assert may_have_left(error) is expected
