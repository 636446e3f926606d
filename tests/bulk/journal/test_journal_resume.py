"""A run that is begun again with its journal: what is settled stays so, what is not is tried, and the sums hold."""

from typing import Any

import pytest

from omeda_async import (
    AnswerLost,
    AuthenticationFailed,
    BatchRejected,
    Culprit,
    LimitWaitExceeded,
    Outcome,
    OutcomeStatus,
    TooLate,
)
from omeda_async._result import Result
from omeda_async.bulk import Item, _delivery
from omeda_async.bulk._delivery import Repeats
from omeda_async.journal import JournalStatus, read_not_done, read_status
from omeda_async.providers.omeda.models import OptOutReceipt
from tests.bulk.bulk_fakes import FakeWork, adds_up, collect, positions, refusal, run_of, statuses
from tests.bulk.journal_help import (
    Place,
    Work,
    forget_result,
    is_there,
    journalled,
    kept_records,
    results_noted,
    trace,
)

S = OutcomeStatus
ENDINGS: dict[str, Result[Any]] = {
    "done": Result(receipt=OptOutReceipt("S-1", "queued", warnings=("w",)), attempts=2),
    "already": Result(receipt=OptOutReceipt(settled=True), attempts=3, settled=True),
    "partly": Result(
        receipt=OptOutReceipt("S-2"),
        error=BatchRejected("no", status=400, culprits=[Culprit("BrandOptOut", "X", "a@example.com", "a@example.com")]),
        attempts=2,
        known=S.PARTLY_DONE,
    ),
    "late": Result(error=TooLate("sent", status=400, messages=["it was sent"]), attempts=1),
    "refused": Result(error=refusal(), attempts=1, known=S.REJECTED),
    "failed": Result(error=refusal(), attempts=5, known=S.FAILED),
    "unknown": Result(error=AnswerLost("cut", timed_out=True), attempts=1, doubtful=True),
    "unsent": Result(error=LimitWaitExceeded("no room", max_wait=1.0), known=S.NOT_SENT),
}
SETTLED = ("done", "already", "partly", "late", "refused")


def sums_hold(status: JournalStatus, total: int) -> bool:
    return status.total == total == sum(status.counts.values()) + status.under_way


async def test_a_record_is_in_the_journal_before_it_is_sent(place: Place) -> None:
    """When an attempt leaves, every record sent so far is written down, and none has a result it does not have."""
    work, seen = Work(max_entries=10), []

    def look(items: list[Item]) -> float:
        seen.append({item.raw for item in items} <= kept_records(place))
        return 0.01

    work.answer_time = look
    await journalled(place, [f"r{number}" for number in range(95)], work)
    assert seen == [True] * 10


async def test_an_outcome_is_in_the_journal_before_the_caller_sees_it(place: Place) -> None:
    """Whoever takes an outcome finds it noted already."""
    run, taken = journalled(place, [f"r{number}" for number in range(50)], Work(max_entries=7)), 0
    async for _ in run:
        taken += 1
        assert results_noted(place) >= taken
    assert taken == 50


@pytest.mark.parametrize("name", SETTLED)
async def test_what_is_settled_is_reported_again_and_not_sent(place: Place, name: str) -> None:
    """The second run gives the same status, attempts, receipt and error, and makes no request."""
    (first,) = await collect(journalled(place, [name], Work(endings=ENDINGS)))
    work = Work()
    run = journalled(place, [name], work)
    (second,) = await collect(run)
    assert (second.status, second.attempts, second.receipt) == (first.status, first.attempts, first.receipt)
    assert type(second.error) is type(first.error)
    assert second.error is None or second.error.__dict__ == first.error.__dict__
    assert work.sent == []
    assert run.report.requests == 0


@pytest.mark.parametrize(("name", "doubtful"), [("failed", False), ("unsent", False), ("unknown", True)])
async def test_what_is_not_settled_is_tried_again(place: Place, name: str, doubtful: bool) -> None:
    """A record that failed or was not sent is sent as new; one whose fate is unknown is sent as doubtful."""
    await journalled(place, [name], Work(endings=ENDINGS))
    work = Work()
    report = await journalled(place, [name], work)
    assert work.sent == [name]
    assert work.doubtful == ([name] if doubtful else [])
    assert report.counts == {S.DONE: 1}
    assert read_status(place).counts == {S.DONE: 1}


async def test_a_record_that_was_under_way_is_doubtful(place: Place) -> None:
    """An intent without a result, as a killed run leaves it, may have been sent."""
    await journalled(place, ["a", "b"])
    forget_result(place, 1)
    assert read_status(place).under_way == 1
    work = Work()
    await journalled(place, ["a", "b"], work)
    assert work.doubtful == ["a"]
    assert read_status(place).under_way == 0


async def test_repeats_and_invalid_records_are_counted_once_however_often_it_is_resumed(place: Place) -> None:
    """The total is the number of records read, after each of three runs."""
    records = ["a", "bad 1", "a", "b", "c", "b", "bad 2", "a"]
    for _ in range(3):
        run = journalled(place, records)
        outcomes = await collect(run)
        assert positions(outcomes) == list(range(8))
        assert statuses(outcomes) == {"done": 6, "rejected": 2}
        status = read_status(place)
        assert sums_hold(status, 8)
        assert (status.repeats, status.counts) == (3, {S.DONE: 6, S.REJECTED: 2})


async def test_records_left_over_by_a_stop_are_counted_and_sent_by_the_next_run(place: Place) -> None:
    """Stopped in the middle, the journal accounts for all that was read; resumed, each record is applied once."""
    records = [f"r{number}" for number in range(200)]
    work = Work(max_entries=5, concurrency=2)
    run = journalled(place, records, work)
    async for _ in run:
        run.stop()
    assert adds_up(run, 200)
    status = read_status(place)
    assert sums_hold(status, 200)
    assert status.counts == run.report.counts
    assert not status.complete
    again = Work(max_entries=5)
    await journalled(place, records, again)
    assert sorted(work.applied + again.applied) == sorted(records)
    assert read_status(place).counts == {S.DONE: 200}
    assert read_status(place).complete


async def test_an_earlier_result_outlives_a_later_run_that_is_stopped(place: Place) -> None:
    """A run that is stopped before it comes to a record writes nothing over what is known about it."""
    await journalled(place, ["a", "b", "c"])
    run = journalled(place, ["z", "a", "b", "c"], Work(concurrency=1, answer_time=lambda _: 5.0))
    async for _ in run:
        break
    await run.aclose()
    assert read_status(place).counts[S.DONE] >= 3


async def test_lines_taken_out_of_the_input_do_not_upset_the_sums(place: Place) -> None:
    """After the first lines are gone, the journal still counts every record once, and repeats as they are now."""
    await journalled(place, ["a", "b", "b", "c", "d", "d"], Work(endings={"d": ENDINGS["failed"]}))
    await journalled(place, ["b", "b", "c", "d", "d"])
    status = read_status(place)
    assert sums_hold(status, 6)
    assert (status.repeats, status.counts) == (2, {S.DONE: 6})


async def test_repeats_that_come_too_late_to_be_known_are_counted_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond what a run keeps in mind a repeat is sent again; the journal still counts every position once."""
    monkeypatch.setattr(_delivery, "Repeats", lambda: Repeats(2))
    records = [*"abcdefghij", "a", "b"]
    work = Work(concurrency=1)
    await journalled(place, records, work)
    assert work.sent == records
    assert sums_hold(read_status(place), 12)
    work = Work(concurrency=1)
    outcomes = await collect(journalled(place, records, work))
    assert work.sent == []
    assert positions(outcomes) == list(range(12))
    assert sums_hold(read_status(place), 12)
    assert read_status(place).repeats == 2


async def test_the_records_not_done_come_back_as_they_came_in(place: Place) -> None:
    """A mapping, a string, an invalid one: each is given with its position, status and error; the rest is not."""
    records = ["done", {"key": "k", "n": 1, "date": None}, "failed", "bad", "late", "failed", object()]
    work = Work(endings=ENDINGS)
    await journalled(place, records, work)
    found = list(read_not_done(place))
    assert [(one.position, one.record, one.status) for one in found] == [
        (2, "failed", S.FAILED),
        (3, "bad", S.REJECTED),
        (4, "late", S.TOO_LATE),
    ]
    assert type(found[2].error) is TooLate
    assert [one.position for one in read_not_done(place, [S.TOO_LATE])] == [4]


async def test_a_status_tells_requests_times_and_causes_of_all_runs(place: Place) -> None:
    """Every resume is a row of its own, and the requests are their sum."""
    records = ["done", "failed", "late", "unsent"]
    await journalled(place, records, Work(endings=ENDINGS))
    await journalled(place, records, Work(endings=ENDINGS))
    status = read_status(place)
    assert (status.provider, status.operation) == ("fake", "fakes.do_many")
    assert [run.requests for run in status.runs] == [4, 2]
    assert status.requests == 6
    assert all(run.complete and run.ended and run.ended >= run.started for run in status.runs)
    assert dict(status.runs[0].counts) == {S.DONE: 1, S.FAILED: 1, S.TOO_LATE: 1, S.NOT_SENT: 1}
    assert {(cause.status, cause.error, cause.message) for cause in status.causes} == {
        (S.FAILED, "OmedaAsyncError", "no"),
        (S.TOO_LATE, "TooLate", "sent"),
        (S.NOT_SENT, "LimitWaitExceeded", "no room"),
    }
    assert not status.running


async def test_causes_that_are_as_frequent_stand_in_the_order_of_their_words(place: Place) -> None:
    """However their records came: of many causes the same ones are shown every time."""
    endings: dict[str, Result[Any]] = {name: Result(error=refusal(name), attempts=1, known=S.FAILED) for name in "cab"}
    await journalled(place, ["c", "a", "b"], Work(endings=endings))
    causes = [(cause.message, cause.records) for cause in read_status(place).causes]
    assert causes == [("a", 1), ("b", 1), ("c", 1)]


async def test_a_plan_says_how_many_are_settled(place: Place) -> None:
    """Requests are planned for the rest only, and planning writes nothing."""
    records = [f"r{number}" for number in range(10)]
    fresh = await journalled(place, records).plan()
    assert (fresh.settled, fresh.requests) == (0, 10)
    assert not is_there(place)
    await journalled(place, records[:6])
    plan = await journalled(place, [*records, "r0"]).plan()
    assert (plan.records, plan.settled, plan.requests, plan.duplicates) == (11, 6, 4, 1)
    assert len(read_status(place).runs) == 1


async def test_hashes_keep_every_trace_of_an_address_out(place: Place) -> None:
    """With ``journal_pii="hash"`` neither a record nor an address is in the files, and resuming works all the same."""
    records = ["partly", "failed-jane.doe@example.com", "bad john@example.org", "jane.doe@example.com"]
    endings = {
        "partly": ENDINGS["partly"],
        "failed-jane.doe@example.com": Result(
            error=TooLate(
                "x jane.doe@example.com",
                messages=["jane.doe@example.com", "jane&#64;example.com jane%40example.com jane\uff20example.com"],
            )
        ),
    }
    work = Work(endings=endings, scope={"reason": "asked by jane.doe@example.com"})
    traces: list[bytes] = []

    def look(_: list[Item]) -> float:
        traces.append(trace(place))
        return 0.01

    work.answer_time = look
    await journalled(place, records, work, journal_pii="hash")
    traces.append(trace(place))
    assert not [one for one in traces for word in (b"@example", b"jane", b"john") if word in one]
    again = Work(scope={"reason": "asked by jane.doe@example.com"})
    report = await journalled(place, records, again, journal_pii="hash")
    assert again.sent == []
    assert sums_hold(read_status(place), 4)
    assert report.counts == read_status(place).counts
    assert not read_status(place).keeps_records
    assert [(one.position, one.record) for one in read_not_done(place)] == [(0, None), (1, None), (2, None)]


async def test_a_resumed_run_that_stops_early_reports_what_the_journal_knows(place: Place) -> None:
    """What is not reached is not said to be not sent, where an earlier run has sent it: report and journal agree."""
    known = ["done", "late", "unknown", "open", *(f"r{number}" for number in range(100)), "failed"]
    records = [*known, *(f"s{number}" for number in range(100))]
    await journalled(place, known, Work(endings=ENDINGS))
    forget_result(place, 4)
    run = journalled(place, records, Work(endings=ENDINGS, concurrency=1))
    outcomes: list[Outcome] = []
    async for outcome in run:
        outcomes.append(outcome)
        run.stop()
    assert adds_up(run, len(records))
    assert positions(outcomes) == list(range(len(records)))
    by_position = {outcome.position: outcome for outcome in outcomes}
    found = [by_position[place].status for place in range(len(records))]
    assert found == [S.DONE, S.TOO_LATE, S.UNKNOWN, S.UNKNOWN, *[S.DONE] * 100, S.FAILED, *[S.NOT_SENT] * 100]
    assert by_position[3].error is not None
    assert by_position[3].error.sent
    assert read_status(place).counts[S.DONE] == 101


async def test_what_is_not_sent_carries_no_attempts_of_others(place: Place) -> None:
    """The cause that stopped the run may have been sent; the error of a record that was not says that it was not."""
    cause = AuthenticationFailed("no", status=401, attempts=3, sent=True)
    for run in (
        run_of(FakeWork(concurrency=1), list("abcdef")),
        journalled(place, list("abcdef"), Work(concurrency=1)),
    ):
        outcomes = []
        async for outcome in run:
            outcomes.append(outcome)
            assert run._engine is not None
            run._engine.stop.set(cause)
        unsent = [outcome.error for outcome in outcomes if outcome.status is S.NOT_SENT]
        assert len(unsent) >= 4
        assert {(error.sent, error.attempts) for error in unsent if error is not None} == {(False, 0)}
        assert AuthenticationFailed in {type(error) for error in unsent}
