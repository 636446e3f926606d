"""What isolation knows of requests that were lost before: a doubt is kept until something settles it."""

import pytest

from omeda_async import OutcomeStatus as S
from omeda_async._result import Result
from omeda_async.bulk import Group, Isolation, Part, not_sent
from omeda_async.errors import AnswerLost, ApiError, ClosedError
from tests.bulk.oracle import Oracle, bad, batch, blame, isolate, make_item, without

DONE, REJECTED = S.DONE, S.REJECTED


def test_a_doubt_outlives_a_later_failure_that_raises_none() -> None:
    """What a lost answer left in doubt stays unknown when the next attempt for it certainly did nothing."""
    answers = iter([Result[str](error=AnswerLost("lost"), attempts=1, doubtful=True)])

    def send(_group: Group) -> Result[str]:
        return next(answers, Result(error=ApiError("no", status=413), attempts=1))

    results, _ = isolate(batch(2), Oracle(frozenset()), send=send)
    assert {result.status for result in results.values()} == {S.UNKNOWN}


@pytest.mark.parametrize(("size", "status"), [(2, S.UNKNOWN), (3, REJECTED)])
def test_a_refusal_settles_the_doubt_of_this_run_if_its_cause_is_the_records_own(size: int, status: S) -> None:
    """A lost request that is refused in halves was not carried out, if not everything is refused alike."""
    answers = iter([Result[str](error=AnswerLost("lost"), attempts=1, doubtful=True)])
    oracle = Oracle(bad(0, 1))

    def send(group: Group) -> Result[str]:
        return next(answers, None) or oracle.answer(group)

    results, _ = isolate(batch(size), oracle, send=send)
    assert {results["r0"].status, results["r1"].status} == {status}
    assert [results[name].error.sent for name in ("r0", "r1")] == [status is S.UNKNOWN] * 2  # type: ignore[union-attr]  # both have one


def test_what_an_earlier_run_may_have_done_is_not_reported_as_not_sent() -> None:
    """Left out of this run, a record in doubt since the last one is unknown; its neighbours are not sent."""
    items = batch(16)
    items[15].doubtful = True
    results, isolation = isolate(items, Oracle(bad(*range(16))))
    assert isolation.common_cause is not None
    doubtful = results["r15"].status
    assert doubtful in {S.UNKNOWN, S.FAILED}
    assert results["r15"].attempts >= 1
    others = {results[f"r{place}"].status for place in range(15)}
    assert others == {S.FAILED, S.NOT_SENT}


def given_up(_part: Part) -> Result[str]:
    return not_sent(ClosedError("left out"))


@pytest.mark.parametrize("again", [False, True])
def test_a_record_that_was_blamed_is_in_no_doubt_of_before(again: bool) -> None:
    """With the refused id in it, an earlier run's request was refused too: what is left of it was not done."""
    items = [make_item(f"r{place}", "ab") for place in range(2)]
    for item in items:
        item.doubtful = True
    oracle = Oracle(frozenset({("r0", "a")}), frozenset({("r0", "a")}))
    isolation = Isolation(items, blame, without)
    group = isolation.next()
    assert group is not None
    refusal = oracle.answer(group).error
    assert isinstance(refusal, ApiError)
    isolation.refused(group, refusal, 1)
    if again:  # and what is left is refused for a reason that may be everyone's
        group = isolation.next()
        assert group is not None
        isolation.refused(group, ApiError("no", status=400), 1)
    isolation.give_up(given_up)
    statuses = {item.key: result.status for item, result in isolation.closed}
    assert statuses == {"r0": S.NOT_SENT, "r1": S.UNKNOWN}


@pytest.mark.parametrize("status", [413, 503])
def test_a_doubt_outlives_the_failure_of_each_record_alone(status: int) -> None:
    """Lost as a whole, and then not taken one by one: that tells nothing of what the lost request did."""
    answers = iter([Result[str](error=AnswerLost("lost"), attempts=1, doubtful=True)])

    def send(_group: Group) -> Result[str]:
        return next(answers, None) or Result(error=ApiError("no", status=status), attempts=1)

    results, _ = isolate(batch(2), Oracle(frozenset()), send=send)
    assert {result.status for result in results.values()} == {S.UNKNOWN}


def test_a_doubt_outlives_a_record_that_is_too_large_alone_though_others_are_not() -> None:
    """The request that was lost may have been carried out, whatever the provider finds too large now."""
    answers = iter([Result[str](error=AnswerLost("lost"), attempts=1, doubtful=True)])

    def send(group: Group) -> Result[str]:
        if (first := next(answers, None)) is not None:
            return first
        if any(part.item.key == "r0" for part in group.parts):
            return Result(error=ApiError("too large", status=413), attempts=1)
        return Result(receipt="taken", attempts=1)

    results, _ = isolate(batch(4), Oracle(frozenset()), send=send)
    assert [results[f"r{place}"].status for place in range(4)] == [S.UNKNOWN, DONE, DONE, DONE]


def test_a_refusal_that_settles_a_record_says_that_it_was_not_carried_out() -> None:
    """Also where the request had been lost before it was refused."""
    oracle = Oracle(bad(1))

    def send(group: Group) -> Result[str]:
        result: Result[str] = oracle.answer(group)
        if result.error is not None:
            result.error.sent = True
        return result

    results, _ = isolate(batch(2), oracle, send=send)
    assert results["r1"].status is REJECTED
    assert results["r1"].error is not None
    assert not results["r1"].error.sent


def test_a_refusal_that_meets_everyone_tells_nothing_of_a_request_lost_before_it() -> None:
    """Its cause is no record's own: what the lost request held may have been carried out, and is unknown."""
    answers = iter([Result[str](error=AnswerLost("lost"), attempts=1, doubtful=True)])
    oracle = Oracle(bad(*range(16)))

    def send(group: Group) -> Result[str]:
        return next(answers, None) or oracle.answer(group)

    results, isolation = isolate(batch(16), oracle, send=send)
    assert isolation.common_cause is not None
    assert {result.status for result in results.values()} == {S.UNKNOWN}
    assert all(result.error is not None and result.error.sent for result in results.values())


def test_what_no_request_was_lost_of_is_certain_when_the_cause_meets_everyone() -> None:
    """Refused alone it failed, else it was not sent; nobody is in doubt."""
    results, isolation = isolate(batch(16), Oracle(bad(*range(16))))
    assert isolation.common_cause is not None
    assert {result.status for result in results.values()} == {S.FAILED, S.NOT_SENT}


def test_a_refusal_of_some_that_were_lost_settles_them_before_they_are_sent_again() -> None:
    """With the culprit in it the lost request was refused as well: who is left out after that was not sent."""
    items, answers = batch(4), Oracle(bad(3))
    isolation = Isolation(items, blame, without)
    whole = isolation.next()
    assert whole is not None
    isolation.too_large(whole, Result(error=AnswerLost("lost"), attempts=1, doubtful=True))
    first = isolation.next()
    assert first is not None
    isolation.accepted(first, answers.answer(first))
    second = isolation.next()
    assert second is not None
    refusal = answers.answer(second).error
    assert isinstance(refusal, ApiError)
    isolation.refused(second, refusal, 1)
    isolation.give_up(given_up)
    assert [result.status for _, result in isolation.closed] == [DONE, DONE, S.NOT_SENT, S.NOT_SENT]
