"""How long and how many may wait at a batcher, and that nobody waits for a provider that is away."""

import asyncio
from typing import Any

import pytest

from omeda_async import (
    AnswerLost,
    BatcherFull,
    ClientOptOut,
    ConfigurationError,
    ConnectionFailed,
    LimitWaitExceeded,
    OmedaSettings,
    Outcome,
    OutcomeStatus,
    ProviderUnavailable,
    RateLimit,
    RetryPolicy,
    SessionManager,
    Window,
)
from omeda_async.events import BreakerChanged, Event
from omeda_async.sandbox import Fault, FaultKind, Sandbox
from tests.bulk.sandboxed import manager_on

NARROW = {"omeda": RateLimit(Window(1, 10.0))}


def client(number: int) -> ClientOptOut:
    return ClientOptOut(f"a{number}@example.com", key=number)


async def test_a_record_waits_no_longer_for_the_limit_than_it_may() -> None:
    """Hopeless waits are refused at once; others when the time has passed; what fits goes. Nothing of them is sent."""
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox, manager_on(sandbox, limits=NARROW) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=0.0, max_entries=1) as batcher:
            await batcher.add(client(0))
            began = loop.time()
            with pytest.raises(LimitWaitExceeded, match="max_wait=2 s") as caught:
                await batcher.add(client(1), max_wait=2.0)
            assert loop.time() - began < 0.1
            assert caught.value.sent is False
            assert 9.0 < (caught.value.next_slot_in or 0) < 10.1
            first = asyncio.create_task(batcher.add(client(2), max_wait=12.0))
            second = asyncio.create_task(batcher.add(client(3), max_wait=12.0))
            with pytest.raises(LimitWaitExceeded):
                await second
            assert loop.time() - began == pytest.approx(12.0, abs=0.2)
            assert (await first).status is OutcomeStatus.DONE
        assert sorted(one.email_address for one in sandbox.omeda.opt_outs) == ["a0@example.com", "a2@example.com"]


async def test_the_deadline_of_its_calls_bounds_the_wait_for_the_limit() -> None:
    """Each record has as long, whenever it came: then it is not sent, and says why. What fits goes."""
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox, manager_on(sandbox, limits=NARROW) as manager:
        opt_outs = manager.omeda.with_options(deadline=6.0).opt_outs
        async with opt_outs.batcher(max_delay=0.0) as batcher:
            await batcher.add(client(0))
            began = loop.time()
            early = asyncio.create_task(batcher.add(client(1), max_wait=60.0))
            await asyncio.sleep(5.0)
            later = asyncio.create_task(batcher.add(client(2)))
            late = await early
            assert late.status is OutcomeStatus.NOT_SENT
            assert loop.time() - began == pytest.approx(6.0, abs=0.1)
            assert isinstance(late.error, LimitWaitExceeded)
            assert "wait for the limit has passed the call's deadline of 6 s: the next slot is free" in str(late.error)
            assert 3.5 < (late.error.next_slot_in or 0) < 4.5
            assert (await later).status is OutcomeStatus.DONE
            assert loop.time() - began < 10.2
        assert sorted(one.email_address for one in sandbox.omeda.opt_outs) == ["a0@example.com", "a2@example.com"]


@pytest.mark.parametrize("gone", ["refused", "cancelled", "cancelled while it closes"])
async def test_a_batcher_in_which_nothing_waits_closes_at_once(gone: str) -> None:
    """Whoever waited has gone, and a limiter that grants nothing for long holds nobody up."""
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox, manager_on(sandbox, limits=NARROW) as manager:
        batcher = manager.omeda.opt_outs.batcher(max_delay=0.0, max_entries=1)
        await batcher.add(client(0))
        began = loop.time()
        adding = [asyncio.create_task(batcher.add(client(number), max_wait=12.0)) for number in (1, 2)]
        await asyncio.sleep(13.0 if gone == "refused" else 11.0)
        closing = asyncio.create_task(batcher.aclose()) if gone == "cancelled while it closes" else None
        await asyncio.sleep(0.2)
        adding[1].cancel()
        await asyncio.gather(*adding, return_exceptions=True)
        await (closing or batcher.aclose())
        assert loop.time() - began < 14.0
        assert [one.email_address for one in sandbox.omeda.opt_outs] == ["a0@example.com", "a1@example.com"]


async def test_a_record_that_may_not_wait_goes_where_there_is_room() -> None:
    """``max_wait=0`` refuses a wait for the limit, not the time that it takes to gather others."""
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, limits=NARROW) as manager,
        manager.omeda.opt_outs.batcher(max_delay=0.5) as batcher,
    ):
        assert (await batcher.add(client(0), max_wait=0)).status is OutcomeStatus.DONE
        with pytest.raises(LimitWaitExceeded):
            await batcher.add(client(1), max_wait=0)


async def test_once_its_request_has_left_a_record_has_its_outcome_however_long_that_takes() -> None:
    """``max_wait`` is about the limiter, and not about the provider."""
    async with (
        Sandbox(latency=0.6) as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher() as batcher,
    ):
        assert (await batcher.add(client(0), max_wait=0.3)).status is OutcomeStatus.DONE


async def test_more_than_may_wait_are_refused_and_the_others_are_not() -> None:
    """Three wait, the fourth is told so; once they have gone there is room again."""
    async with Sandbox() as sandbox, manager_on(sandbox, limits=NARROW) as manager:
        async with manager.omeda.opt_outs.batcher(max_delay=0.1, max_waiting=3) as batcher:
            waiting = [asyncio.create_task(batcher.add(client(number))) for number in range(3)]
            await asyncio.sleep(0.05)
            assert (batcher.view.waiting, batcher.view.max_waiting) == (3, 3)
            with pytest.raises(BatcherFull, match="3 records wait already") as caught:
                await batcher.add(client(3))
            assert (caught.value.max_waiting, caught.value.sent) == (3, False)
            assert {one.status for one in await asyncio.gather(*waiting)} == {OutcomeStatus.DONE}
            assert (await batcher.add(client(4))).status is OutcomeStatus.DONE
        assert len(sandbox.omeda.opt_outs) == 4


@pytest.mark.parametrize("option", [{"max_waiting": 0}, {"max_waiting": True}, {"max_waiting": 1.5}])
async def test_a_bound_that_is_none_is_refused(option: dict[str, Any]) -> None:
    """The error names the option; None is no bound."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        with pytest.raises(ConfigurationError, match="max_waiting"):
            manager.omeda.opt_outs.batcher(**option)
        assert manager.omeda.opt_outs.batcher(max_waiting=None).view.max_waiting is None


@pytest.mark.parametrize("max_wait", [-1, float("nan"), "2"])
async def test_a_wait_that_is_none_is_refused(max_wait: Any) -> None:
    """The error names the argument."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        with pytest.raises(ConfigurationError, match="max_wait"):
            await batcher.add(client(0), max_wait=max_wait)


async def test_a_thousand_handlers_do_not_wait_for_a_provider_that_is_away() -> None:
    """The first pay for all attempts; whoever comes or waits then is refused at once, and one in 5 s is tried."""
    asyncio.get_running_loop().set_debug(False)  # which notes a traceback for each callback
    loop, events = asyncio.get_running_loop(), list[Event]()
    async with Sandbox() as sandbox, manager_on(sandbox, hooks=[events.append]) as manager:
        await sandbox.__aexit__(None, None, None)
        async with manager.omeda.opt_outs.batcher() as batcher:
            first = await batcher.add(client(0))
            assert (first.status, type(first.error)) == (OutcomeStatus.FAILED, ConnectionFailed)
            assert (batcher.view.breaker, type(batcher.view.cause)) == ("open", ConnectionFailed)
            began = loop.time()
            outcomes: list[Outcome] = await asyncio.gather(*(batcher.add(client(number)) for number in range(1000)))
            assert loop.time() - began < 0.1
            assert {(one.status, type(one.error), one.attempts) for one in outcomes} == {
                (OutcomeStatus.NOT_SENT, ProviderUnavailable, 0)
            }
            await asyncio.sleep(batcher.view.retry_in)
            probe = asyncio.create_task(batcher.add(client(1001)))
            await asyncio.sleep(0)
            assert batcher.view.breaker == "half-open"
            assert isinstance((await batcher.add(client(1002))).error, ProviderUnavailable)
            assert type((await probe).error) is ConnectionFailed
            assert batcher.view.retry_in == pytest.approx(10.0, abs=0.5)
    told = [event for event in events if isinstance(event, BreakerChanged)]
    assert [(event.state, event.error) for event in told] == [("open", "ConnectionFailed")] * 2


async def test_nobody_waits_on_once_it_is_known_that_the_provider_is_away() -> None:
    """A thousand come, most of them before that: those who wait for another attempt are told when the first one is."""
    asyncio.get_running_loop().set_debug(False)  # which notes a traceback for each callback
    loop = asyncio.get_running_loop()
    outcomes, times = list[Outcome](), list[tuple[float, float]]()
    async with Sandbox() as sandbox, manager_on(sandbox, retry=RetryPolicy()) as manager:
        await sandbox.__aexit__(None, None, None)

        async def handler(number: int) -> None:
            began = loop.time()
            outcomes.append(await batcher.add(client(number)))
            times.append((began, loop.time()))

        async with manager.omeda.opt_outs.batcher() as batcher, asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(handler(number))
                await asyncio.sleep(0.01)
    known = min(ended for _, ended in times)
    assert 6.0 < known < 9.5
    assert max(ended - max(began, known) for began, ended in times) < 0.1
    assert {type(one.error) for one in outcomes} == {ConnectionFailed, ProviderUnavailable}
    assert {one.status for one in outcomes if one.attempts} == {OutcomeStatus.FAILED}
    assert {one.status for one in outcomes if not one.attempts} == {OutcomeStatus.NOT_SENT}


async def test_who_connects_in_vain_when_that_is_known_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt that is under way is the last one."""
    loop, settings = asyncio.get_running_loop(), RetryPolicy(attempts=2, base_delay=2.0)
    async with Sandbox() as sandbox, manager_on(sandbox, retry=settings) as manager:

        async def send(*_: Any, **__: Any) -> None:
            await asyncio.sleep(3.0)
            raise ConnectionFailed("could not connect: nobody is there")

        monkeypatch.setattr(manager.omeda.opt_outs._account.transport, "send", send)
        async with manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher:
            first = asyncio.create_task(batcher.add(client(0)))
            await asyncio.sleep(7.0)
            second = asyncio.create_task(batcher.add(client(1)))
            outcomes = await asyncio.gather(first, second)
            assert loop.time() < 10.5
    assert [(one.status, one.attempts) for one in outcomes] == [(OutcomeStatus.FAILED, 2), (OutcomeStatus.FAILED, 1)]


async def test_who_may_have_been_opted_out_already_is_settled_though_the_breaker_has_opened() -> None:
    """The answer to the last one is lost; when others find the provider away it is tried on, and is done."""
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox, retry=RetryPolicy(attempts=3, base_delay=4.0)) as manager,
        manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher,
    ):
        sandbox.fault(Fault(FaultKind.DROP, "before", times=1))
        doubtful = asyncio.create_task(batcher.add(client(0)))
        await asyncio.sleep(1.0)
        sandbox.fault(Fault(FaultKind.SESSION_LOST, times=1))
        await batcher.add(client(1))
        assert batcher.view.breaker == "open"
        assert (await doubtful).status is OutcomeStatus.DONE


@pytest.mark.parametrize("handlers", [1, 2, 60])
async def test_whoever_shares_a_request_waits_no_longer_than_its_deadline(handlers: int) -> None:
    """No answer comes: pieces of the request have no deadline of their own. Two such requests open the breaker."""
    loop, retry = asyncio.get_running_loop(), RetryPolicy(deadline=20.0)
    async with Sandbox() as sandbox, manager_on(sandbox, retry=retry, timeout=8.0) as manager:
        sandbox.fault(Fault(FaultKind.SLOW, "before", seconds=1000.0, times=None))
        async with manager.omeda.opt_outs.batcher() as batcher:
            for turn in (1, 2):
                began = loop.time()
                outcomes = await asyncio.gather(*(batcher.add(client(turn * 100 + one)) for one in range(handlers)))
                assert loop.time() - began == pytest.approx(20.0, abs=0.5)
                assert {(one.status, type(one.error)) for one in outcomes} == {(OutcomeStatus.UNKNOWN, AnswerLost)}
            assert batcher.view.breaker == "open"


async def test_who_waits_when_it_turns_out_that_the_provider_is_away_is_told_at_once() -> None:
    """The credentials are refused while others wait for the limit: they do not wait for their turn to hear it."""
    loop = asyncio.get_running_loop()
    limits = {"omeda": RateLimit(Window(1, 100.0))}
    async with Sandbox(latency=0.2) as sandbox, manager_on(sandbox, limits=limits) as manager:
        sandbox.fault(Fault(FaultKind.SESSION_LOST, times=1))
        async with manager.omeda.opt_outs.batcher(max_delay=0.0) as batcher:
            first = asyncio.create_task(batcher.add(client(0)))
            await asyncio.sleep(0.1)
            waiting = [asyncio.create_task(batcher.add(client(number))) for number in range(1, 10)]
            outcomes = await asyncio.gather(first, *waiting)
            assert loop.time() < 5
            assert [type(one.error).__name__ for one in outcomes] == ["AuthenticationFailed"] + [
                "ProviderUnavailable"
            ] * 9


async def test_once_the_provider_is_back_everybody_is_served() -> None:
    """The probe goes through, and the breaker is closed."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        sandbox.fault(Fault(FaultKind.SESSION_LOST, times=1))
        await batcher.add(client(0))
        await asyncio.sleep(batcher.view.retry_in)
        assert (await batcher.add(client(1))).status is OutcomeStatus.DONE
        view = batcher.view
        assert (view.breaker, view.retry_in, view.cause) == ("closed", 0.0, None)
        outcomes = await asyncio.gather(*(batcher.add(client(number)) for number in range(2, 50)))
        assert {one.status for one in outcomes} == {OutcomeStatus.DONE}


async def test_a_probe_whose_caller_leaves_makes_room_for_the_next() -> None:
    """Nothing was learned: the next record is tried, and not refused for a while."""
    async with (
        Sandbox() as sandbox,
        manager_on(sandbox) as manager,
        manager.omeda.opt_outs.batcher(max_delay=1.0) as batcher,
    ):
        sandbox.fault(Fault(FaultKind.SESSION_LOST, times=1))
        await batcher.add(client(0))
        await asyncio.sleep(batcher.view.retry_in)
        probe = asyncio.create_task(batcher.add(client(1)))
        await asyncio.sleep(0.5)
        probe.cancel()
        await asyncio.wait({probe})
        assert (await batcher.add(client(2))).status is OutcomeStatus.DONE


async def test_a_wrong_url_opens_it(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody's record can be taken there; that is known from the first request, and logged once."""
    async with Sandbox() as sandbox:
        settings = OmedaSettings(app_id=sandbox.app_id, client="nobody-knows-it", base_url=f"{sandbox.url}/elsewhere")
        async with SessionManager(omeda=settings) as manager, manager.omeda.opt_outs.batcher() as batcher:
            await batcher.add(client(0))
            assert batcher.view.breaker == "open"
            assert isinstance((await batcher.add(client(1))).error, ProviderUnavailable)
    assert caplog.text.count("BreakerChanged") == 1


async def test_a_bad_record_of_a_stranger_opens_nothing() -> None:
    """Refusals in the provider's own words are each record's own affair, however many."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager, manager.omeda.opt_outs.batcher() as batcher:
        for number in range(5):
            record = {"email_address": f"a{number}@example.com", "brand_ids": ["NOPE"]}
            assert (await batcher.add(record)).status is OutcomeStatus.REJECTED
        assert batcher.view.breaker == "closed"
        assert (await batcher.add(client(9))).status is OutcomeStatus.DONE
