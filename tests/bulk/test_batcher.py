"""The batcher: many callers share requests, and each has its own outcome, whatever the others do."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from omeda_async import (
    BrandOptOut,
    ClientOptOut,
    ClosedError,
    ConfigurationError,
    InvalidRecord,
    OptOutRecord,
    Outcome,
    OutcomeStatus,
    RateLimit,
    SessionManager,
    Window,
)
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.bulk.bulk_fakes import adds_up, collect
from tests.bulk.sandboxed import manager_on


def client(number: int) -> ClientOptOut:
    return ClientOptOut(f"a{number}@example.com")


def addresses(sandbox: Sandbox) -> Counter[str]:
    return Counter(one.email_address for one in sandbox.omeda.opt_outs)


def bad(number: int) -> BrandOptOut:
    return BrandOptOut(f"a{number}@example.com", brand_ids=["NOPE"])


async def test_five_thousand_callers_share_a_few_requests() -> None:
    """Each gets its own outcome, everything is applied once, and it takes some ten requests of 500."""
    asyncio.get_running_loop().set_debug(False)  # which notes a traceback for each of 25,000 callbacks
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher() as batcher:
            outcomes = await asyncio.gather(*(batcher.add(client(number)) for number in range(5000)))
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        assert [outcome.record for outcome in outcomes] == [client(number) for number in range(5000)]
        assert addresses(sandbox) == Counter(f"a{number}@example.com" for number in range(5000))
        assert len(sandbox.requests) == 10


async def test_a_stranger_s_bad_record_fails_nobody_else() -> None:
    """One of a hundred is refused, in the provider's words; the other ninety-nine are done."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        records = [bad(number) if number == 42 else client(number) for number in range(100)]
        outcomes = await asyncio.gather(*map(batcher.add, records))
        assert outcomes[42].status is OutcomeStatus.REJECTED
        assert "NOPE" in str(outcomes[42].error)
        assert all(one.status is OutcomeStatus.DONE for one in outcomes if one is not outcomes[42])
        assert len(addresses(sandbox)) == 99
        assert len(sandbox.requests) == 2


async def test_a_record_waits_for_others_no_longer_than_it_was_told() -> None:
    """A lonely record goes after ``max_delay`` seconds."""
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=3.0) as batcher:
            await batcher.add(client(0))
        assert sandbox.requests[0].arrived_at == pytest.approx(3.0, abs=0.05)
        assert loop.time() < 3.5


async def test_a_full_request_does_not_wait() -> None:
    """As soon as ``max_entries`` records are there, they go."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=100.0, max_entries=3) as batcher:
            await asyncio.gather(*(batcher.add(client(number)) for number in range(6)))
        assert [round(one.arrived_at) for one in sandbox.requests] == [0, 0]


async def test_bytes_bound_a_request_too() -> None:
    """Records that would make a request too large go in several."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher(max_bytes=200) as batcher:
            outcomes = await asyncio.gather(*(batcher.add(client(number)) for number in range(20)))
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        assert len(sandbox.requests) > 3
        assert len(addresses(sandbox)) == 20


async def test_what_joins_while_the_limiter_makes_a_request_wait_goes_with_it() -> None:
    """A second request that has to wait takes along everything that was added meanwhile."""
    limits = {"omeda": RateLimit(Window(1, 10.0))}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits) as manager:
        async with manager.omeda.opt_outs.batcher() as batcher:
            await batcher.add(client(0))
            later = []
            for number in range(1, 21):
                later.append(asyncio.ensure_future(batcher.add(client(number))))
                await asyncio.sleep(0.2)
            await asyncio.gather(*later)
        assert len(sandbox.requests) == 2


async def test_a_caller_that_leaves_before_sending_takes_its_record_along() -> None:
    """Cancelled while its record waits for others: it is not sent, and the others are."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=1.0) as batcher:
            tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(3)]
            await asyncio.sleep(0.5)
            tasks[1].cancel()
            await asyncio.wait(tasks)
            assert tasks[1].cancelled()
        assert sorted(addresses(sandbox)) == ["a0@example.com", "a2@example.com"]


async def test_a_caller_that_leaves_while_the_limiter_waits_is_not_sent_either() -> None:
    """Until the limiter lets the request go, nothing has left; if nobody is left, nothing is sent at all."""
    limits = {"omeda": RateLimit(Window(1, 10.0))}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits) as manager:
        async with manager.omeda.opt_outs.batcher() as batcher:
            await batcher.add(client(0))
            tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in (1, 2)]
            await asyncio.sleep(5)
            tasks[0].cancel()
            await asyncio.wait(tasks)
            lonely = asyncio.ensure_future(batcher.add(client(3)))
            await asyncio.sleep(5)
            lonely.cancel()
            await asyncio.wait({lonely})
        assert sorted(addresses(sandbox)) == ["a0@example.com", "a2@example.com"]
        assert len(sandbox.requests) == 2
        assert manager.omeda.limits.in_flight == 0


async def test_a_caller_that_leaves_after_sending_disturbs_nobody() -> None:
    """Its record is carried out; the others of the request get their outcomes."""
    async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox) as manager:
        async with manager.omeda.opt_outs.batcher() as batcher:
            tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(3)]
            await asyncio.sleep(0.3)
            tasks[0].cancel()
            await asyncio.wait(tasks)
            assert [task.cancelled() for task in tasks] == [True, False, False]
            assert tasks[1].result().status is OutcomeStatus.DONE
        assert len(addresses(sandbox)) == 3


async def test_closing_sends_what_is_in_hand() -> None:
    """``aclose`` waits for everyone, without the delay, and takes nothing more."""
    loop = asyncio.get_running_loop()
    async with Sandbox(latency=0.2) as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=1000.0)
        tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(7)]
        await asyncio.sleep(0.1)
        await batcher.aclose()
        outcomes = await asyncio.gather(*tasks)
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.DONE}
        assert loop.time() < 2
        assert len(addresses(sandbox)) == 7
        with pytest.raises(ClosedError, match="batcher is closed"):
            await batcher.add(client(8))
        await batcher.aclose()


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.3, 0.7])
async def test_a_close_that_is_cancelled_leaves_nobody_waiting(moment: float) -> None:
    """Every caller gets an outcome: not sent if its record was not, unknown if the answer was still awaited."""
    async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.01, max_entries=2)
        tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(5)]
        await asyncio.sleep(moment)
        closing = asyncio.ensure_future(batcher.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*tasks)
        await asyncio.sleep(5)
        applied = addresses(sandbox)
    for outcome in outcomes:
        assert outcome.status in {OutcomeStatus.NOT_SENT, OutcomeStatus.UNKNOWN}
        if outcome.status is OutcomeStatus.NOT_SENT:
            assert isinstance(outcome.record, ClientOptOut)
            assert applied[outcome.record.email_address] == 0


@pytest.mark.parametrize("grace", [0, 0.1, 0.4, 1.2])
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.3])
async def test_a_close_ends_by_its_time_with_an_outcome_for_everybody(moment: float, grace: float) -> None:
    """What had not left by then is not sent, what had is unknown, what was answered is done."""
    loop, told = asyncio.get_running_loop(), list[Outcome]()
    limits = {"omeda": RateLimit(Window(2, 100.0))}
    async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, limits=limits) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.01, max_entries=2, on_outcome=told.append)
        tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(9)]
        await asyncio.sleep(moment)
        tasks[0].cancel()
        began = loop.time()
        await batcher.aclose(timeout=grace)
        assert loop.time() - began <= grace + 0.01
        outcomes = [*await asyncio.gather(*tasks[1:]), *told]
        await asyncio.sleep(5)
        sent = addresses(sandbox)
    assert len(outcomes) == 9
    statuses = Counter(outcome.status for outcome in outcomes)
    assert statuses.keys() <= {OutcomeStatus.DONE, OutcomeStatus.NOT_SENT, OutcomeStatus.UNKNOWN}
    assert statuses[OutcomeStatus.NOT_SENT] >= 5
    for outcome in outcomes:
        assert isinstance(outcome.record, ClientOptOut)
        assert outcome.status is not OutcomeStatus.NOT_SENT or sent[outcome.record.email_address] == 0
        assert outcome.status is not OutcomeStatus.DONE or sent[outcome.record.email_address] == 1


async def test_a_close_without_haste_cuts_one_that_waits_short() -> None:
    """A shutdown that loses patience closes once more, and both end."""
    limits = {"omeda": RateLimit(Window(1, 100.0))}
    async with Sandbox() as sandbox, manager_on(sandbox, limits=limits) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, max_entries=1)
        tasks = [asyncio.ensure_future(batcher.add(client(number))) for number in range(3)]
        await asyncio.sleep(1)
        closing = asyncio.ensure_future(batcher.aclose())
        await asyncio.sleep(1)
        await batcher.aclose(timeout=0)
        await closing
        statuses = [outcome.status for outcome in await asyncio.gather(*tasks)]
    assert statuses == [OutcomeStatus.DONE, OutcomeStatus.NOT_SENT, OutcomeStatus.NOT_SENT]


async def test_closing_the_manager_lets_attempts_in_flight_end() -> None:
    """A shared request that is out is waited for; a record that still waits is not sent."""
    limits = {"omeda": RateLimit(Window(1, 100.0))}
    async with Sandbox(latency=0.5) as sandbox, manager_on(sandbox, limits=limits) as manager:
        batcher = manager.omeda.opt_outs.batcher()
        flying = asyncio.ensure_future(batcher.add(client(0)))
        await asyncio.sleep(0.3)
        waiting = asyncio.ensure_future(batcher.add(client(1)))
        await asyncio.sleep(0.3)
        await manager.aclose()
        assert (await flying).status is OutcomeStatus.DONE
        assert (await waiting).status is OutcomeStatus.NOT_SENT
        with pytest.raises(ClosedError):
            await batcher.add(client(2))
        assert sorted(addresses(sandbox)) == ["a0@example.com"]


async def test_closing_the_manager_leaves_nobody_waiting_for_the_delay() -> None:
    """A record that was still gathering company when the manager closed is not sent, and says so."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=5.0)
        task = asyncio.ensure_future(batcher.add(client(0)))
        await asyncio.sleep(1)
        await manager.aclose()
        outcome = await task
        assert outcome.status is OutcomeStatus.NOT_SENT
        assert sandbox.requests == []


@pytest.mark.parametrize("what", ["batcher", "session manager"])
async def test_who_waits_is_told_what_was_closed(what: str) -> None:
    """A batcher that is stopped by itself does not say that its session manager was closed."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=3600)
        waiting = asyncio.create_task(batcher.add(client(1)))
        await asyncio.sleep(0.01)
        if what == "batcher":
            batcher.stop()
        else:
            await manager.aclose()
        outcome = await waiting
    assert outcome.status is OutcomeStatus.NOT_SENT
    assert str(outcome.error).startswith(f"the {what} was {'stopped' if what == 'batcher' else 'closed'} before")


async def test_the_same_record_from_two_callers_is_one_entry() -> None:
    """Both get an outcome, and the provider gets it once."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        outcomes = await asyncio.gather(batcher.add(client(0)), batcher.add(client(0)), batcher.add(bad(1)))
        assert [one.status.value for one in outcomes] == ["done", "done", "rejected"]
        assert addresses(sandbox) == {"a0@example.com": 1}


async def test_an_invalid_record_is_rejected_without_sending() -> None:
    """Its outcome names the field; nobody else is held up."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        outcome = await batcher.add(ClientOptOut(""))
        assert outcome.status is OutcomeStatus.REJECTED
        assert isinstance(outcome.error, InvalidRecord)
        assert (outcome.error.field, outcome.error.provider) == ("email_address", "omeda")
        assert sandbox.requests == []


async def test_a_lost_answer_is_settled_by_sending_again() -> None:
    """Applied and lost, then sent again: each caller hears that it is done."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        sandbox.fault(Fault(FaultKind.DROP, FaultPoint.AFTER))
        outcome = await batcher.add(client(0))
        assert (outcome.status, outcome.attempts) == (OutcomeStatus.DONE, 2)


async def test_a_key_that_is_refused_fails_its_request_only() -> None:
    """Callers of that request hear of the key; once the breaker lets one through, later ones are tried again."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        sandbox.fault(Fault(FaultKind.SESSION_LOST))
        first = await asyncio.gather(*(batcher.add(client(number)) for number in range(3)))
        assert {(one.status, one.attempts) for one in first} == {(OutcomeStatus.FAILED, 1)}
        await asyncio.sleep(batcher.view.retry_in)
        assert (await batcher.add(client(0))).status is OutcomeStatus.DONE


async def test_a_storm_of_callers_that_come_and_go_keeps_the_books() -> None:
    """Of 600 callers every third leaves at some moment: who has an outcome has the right one."""
    asyncio.get_running_loop().set_debug(False)  # as above
    limits = {"omeda": RateLimit(Window(20, 1.0), parallel=4)}
    async with Sandbox(latency=(0.05, 0.5)) as sandbox, manager_on(sandbox, limits=limits) as manager:

        async def one(number: int) -> Any:
            await asyncio.sleep(number % 97 / 50)
            record = bad(number) if number % 50 == 7 else client(number)
            patience = (number % 11) / 30 if number % 3 == 0 else 100
            try:
                async with asyncio.timeout(patience):
                    return await batcher.add(record)
            except TimeoutError:
                return None

        async with manager.omeda.opt_outs.batcher(max_entries=25) as batcher:
            outcomes = await asyncio.gather(*map(one, range(600)))
        applied = addresses(sandbox)
    for number, outcome in enumerate(outcomes):
        times = applied[f"a{number}@example.com"]
        if outcome is None:
            assert number % 3 == 0
            assert times <= 1
        elif number % 50 == 7:
            assert (outcome.status, times) == (OutcomeStatus.REJECTED, 0)
        else:
            assert (outcome.status, times) == (OutcomeStatus.DONE, 1)


@pytest.mark.parametrize("delay", [-1, float("nan")])
async def test_a_delay_that_is_none_is_refused(manager_alone: SessionManager, delay: float) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match="max_delay"):
        manager_alone.omeda.opt_outs.batcher(max_delay=delay)


@pytest.fixture
async def manager_alone() -> Any:
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        yield manager


async def test_a_refused_record_keeps_its_key() -> None:
    """What is invalid locally is named by the caller's own key, in a batcher as in a run."""
    records: list[OptOutRecord] = [
        ClientOptOut("nonsense", key="row-1"),
        {"email_address": "bad", "key": "row-2"},
        {"key": "row-3"},
    ]
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        outcomes = [await batcher.add(record) for record in records]
        outcomes += await collect(manager.omeda.opt_outs.submit_many(records))
    assert [outcome.key for outcome in outcomes] == ["row-1", "row-2", "row-3"] * 2
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.REJECTED}


async def test_closing_the_manager_without_grace_tells_every_caller_the_truth() -> None:
    """What was in flight is unknown with its attempt counted, what was not is not sent, and no task is left behind."""
    async with Sandbox(latency=1.0) as sandbox, manager_on(sandbox) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0)
        first = [asyncio.ensure_future(batcher.add(client(number))) for number in range(20)]
        run = manager.omeda.opt_outs.submit_many([client(number) for number in range(100, 150)], max_entries=10)
        task = asyncio.ensure_future(run)
        await asyncio.sleep(0.5)
        await manager.aclose(timeout=0)
        outcomes = await asyncio.gather(*first)
        report = await task
        assert {(outcome.status, outcome.attempts) for outcome in outcomes} == {(OutcomeStatus.UNKNOWN, 1)}
        assert report.counts.keys() <= {OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_SENT}
        assert {failure.attempts for failure in report.failures if failure.status is OutcomeStatus.UNKNOWN} == {1}
        assert adds_up(run, 50)
        await asyncio.sleep(5)
        assert len(sandbox.requests) == 6
    assert [one for one in asyncio.all_tasks() if "omeda_async" in one.get_name()] == []
