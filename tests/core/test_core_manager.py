"""The session manager: what it owns, how it closes, and what the whole path does against the sandbox."""

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from omeda_async import (
    AlreadyDone,
    AnswerLost,
    BasicAuth,
    ClientOptOut,
    ClosedError,
    ConfigurationError,
    InvalidRecord,
    JourneyManagerSettings,
    LimitWaitExceeded,
    OcambaSettings,
    OmedaSettings,
    Priority,
    RateLimit,
    RetryPolicy,
    SessionManager,
    TooLate,
    Window,
    events,
)
from omeda_async.errors import RateLimited
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from omeda_async.testing import run_moved


def _manager(sandbox: Sandbox, **options: Any) -> SessionManager:
    return SessionManager(
        omeda=OmedaSettings(
            app_id=sandbox.app_id,
            brand=sandbox.brand,
            client=sandbox.client,
            user_id=sandbox.user_id,
            base_url=sandbox.url,
        ),
        ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url),
        journey_manager=JourneyManagerSettings(
            base_url=f"{sandbox.url}/workspaces",
            auth=BasicAuth(sandbox.journey_manager_user, sandbox.journey_manager_password),
        ),
        **options,
    )


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        running.ocamba.seed_campaigns(["1000248", "1000249"])
        running.omeda.seed_deployment("FOO1")
        running.journey_manager.seed_transaction("key-1")
        yield running


def _counts(sandbox: Sandbox) -> list[str]:
    return [f"{one.provider}.{one.operation}" for one in sandbox.requests]


async def test_each_provider_cancels_and_says_when_it_had_been_done(sandbox: Sandbox) -> None:
    """The first call is done, the second is told that it was: by one request, or by one and a read."""
    async with _manager(sandbox) as manager:
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: manager.omeda.deployments.cancel("FOO1"),
            lambda: manager.ocamba.campaigns.cancel("1000248", reason="r"),
            lambda: manager.journey_manager.transactions.cancel("key-1", reason="r"),
        ]
        for call in calls:
            assert not (await call()).settled
            with pytest.raises(AlreadyDone):
                await call()
    assert _counts(sandbox) == [
        "omeda.deployments.cancel",
        "omeda.deployments.cancel",
        "ocamba.campaigns.cancel",
        "ocamba.campaigns.cancel",
        "ocamba.campaigns.get",
        "journey_manager.transactions.cancel",
        "journey_manager.transactions.cancel",
        "journey_manager.transactions.query",
    ]


@pytest.mark.parametrize("where", [FaultPoint.BEFORE, FaultPoint.AFTER, FaultPoint.MID])
async def test_a_dropped_answer_is_settled_for_every_provider(sandbox: Sandbox, where: FaultPoint) -> None:
    """Carried out or not, the caller gets a receipt, and the state is as asked for, exactly once."""
    for name in ("deployments.cancel", "campaigns.cancel", "transactions.cancel"):
        sandbox.fault(Fault(FaultKind.DROP, where, name))
    async with _manager(sandbox) as manager:
        receipts: list[Any] = [
            await manager.omeda.deployments.cancel("FOO1"),
            await manager.ocamba.campaigns.cancel("1000248"),
            await manager.journey_manager.transactions.cancel("key-1"),
        ]
    carried_out = where is not FaultPoint.BEFORE
    assert [receipt.settled for receipt in receipts] == [carried_out] * 3
    assert sandbox.ocamba.campaigns["1000248"].status == "canceled"
    assert len(_counts(sandbox)) == (6 if carried_out else 8)


async def test_a_redirect_is_no_success_of_a_fixed_login_and_no_lost_session(sandbox: Sandbox) -> None:
    """It proves nothing: the query, which is not redirected, shows that it was not done, and it is done then."""
    sandbox.fault(Fault(FaultKind.SESSION_LOST, FaultPoint.BEFORE, "transactions.cancel"))
    async with _manager(sandbox) as manager:
        await manager.journey_manager.transactions.cancel("key-1")
    cancel, query = "transactions.cancel", "transactions.query"
    assert [one.operation for one in sandbox.requests] == [cancel, query, cancel]


async def test_one_account_has_one_limit_however_many_clients(sandbox: Sandbox) -> None:
    """Clients of other brands share the session and the limiter of their account."""
    async with _manager(sandbox) as manager:
        other = manager.omeda.for_brand("BAR")
        assert other.deployments._account is manager.omeda.deployments._account
        assert other.deployments._brand() == "BAR"
        assert manager.omeda.deployments._brand() == sandbox.brand
        with pytest.raises(ConfigurationError, match="brand"):
            manager.omeda.for_brand("")


async def test_what_is_not_configured_says_so() -> None:
    """Each missing provider, brand and client is named with its variable."""
    only_ocamba = SessionManager(ocamba=OcambaSettings(token="t"))
    for name, variable in (("omeda", "OMEDA_APP_ID"), ("journey_manager", "JOURNEY_MANAGER_BASE_URL")):
        with pytest.raises(ConfigurationError, match=variable):
            getattr(only_ocamba, name)
    with pytest.raises(ConfigurationError, match="OCAMBA_TOKEN"):
        _ = SessionManager(omeda=OmedaSettings(app_id="a", brand="FOO")).ocamba
    branded = SessionManager(omeda=OmedaSettings(app_id="a", brand="FOO"))
    with pytest.raises(ConfigurationError, match="OMEDA_CLIENT"):
        await branded.omeda.opt_outs.submit(ClientOptOut("a@b.example"))
    unbranded = SessionManager(omeda=OmedaSettings(app_id="a", client="foo"))
    with pytest.raises(ConfigurationError, match="OMEDA_BRAND"):
        await unbranded.omeda.deployments.cancel("FOO1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no provider is configured"),
        ({"omeda": "settings"}, "omeda must be OmedaSettings, not str"),
        ({"ocamba": OmedaSettings(app_id="a", brand="b")}, "ocamba must be OcambaSettings, not OmedaSettings"),
        ({"journey_manager": 1}, "journey_manager must be JourneyManagerSettings, not int"),
        ({"ocamba": OcambaSettings(token="t"), "http_session": 1}, r"http_session must be an aiohttp\.ClientSession"),
        ({"ocamba": OcambaSettings(token="t"), "hooks": print}, "hooks must be a list of callables"),
        ({"ocamba": OcambaSettings(token="t"), "hooks": [1]}, "hooks must be a list of callables"),
    ],
)
def test_what_is_of_the_wrong_kind_is_refused(options: dict[str, Any], message: str) -> None:
    """Construction says what is wrong, before anything is used."""
    with pytest.raises(ConfigurationError, match=message):
        SessionManager(**options)


def test_a_manager_is_not_pickled() -> None:
    """It holds secrets, and its repr shows none."""
    manager = SessionManager(ocamba=OcambaSettings(token="top-secret"))
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(manager)
    assert "top-secret" not in repr(manager)


async def test_a_manager_needs_no_loop_to_be_made_and_belongs_to_the_first(sandbox: Sandbox) -> None:
    """Made anywhere, used on one loop; on another it says what is the matter."""
    async with _manager(sandbox) as manager:
        await manager.ocamba.campaigns.get("1000248")

        def elsewhere() -> None:
            run_moved(manager.ocamba.campaigns.get("1000248"))

        with pytest.raises(ClosedError, match="another event loop"):
            await asyncio.to_thread(elsewhere)
    assert len(sandbox.requests) == 1


async def test_a_manager_is_not_closed_from_another_loop(sandbox: Sandbox) -> None:
    """Nothing that is under way there is touched by another thread; it ends, and its own loop closes it."""
    async with _manager(sandbox) as manager:
        call = asyncio.create_task(manager.ocamba.campaigns.get("1000248"))
        await asyncio.sleep(0)

        def elsewhere() -> None:
            run_moved(manager.aclose())

        with pytest.raises(ClosedError, match="another event loop"):
            await asyncio.to_thread(elsewhere)
        await call
        await manager.ocamba.campaigns.get("1000248")


def test_a_manager_whose_loop_is_closed_is_closed_on_another(tmp_path: Path) -> None:
    """Nothing of it can end any more: its session is closed, and what was under way is left."""
    manager = SessionManager(omeda=OmedaSettings(app_id="a", client="c", base_url="http://127.0.0.1:9"))

    async def begin() -> object:
        outbox = manager.omeda.opt_outs.outbox(tmp_path / "outbox.sqlite3")
        return await outbox.__aenter__()

    left = asyncio.run(begin())
    for _ in range(2):
        asyncio.run(manager.aclose())
    assert not manager._transport.unclosed
    assert "not open" not in repr(left)


async def test_use_after_close_is_a_clear_error(sandbox: Sandbox) -> None:
    """Single calls and bulk runs are refused, nothing is sent, and closing again does nothing."""
    manager = _manager(sandbox)
    async with manager:
        pass
    await manager.aclose()
    with pytest.raises(ClosedError) as caught:
        await manager.ocamba.campaigns.cancel("1000248")
    assert (caught.value.provider, caught.value.operation) == ("ocamba", "campaigns.cancel")
    with pytest.raises(ClosedError):
        async with manager:
            pass
    assert sandbox.requests == []


async def test_a_borrowed_session_survives_the_manager(sandbox: Sandbox) -> None:
    """It is used and not closed."""
    async with aiohttp.ClientSession() as session:
        async with _manager(sandbox, http_session=session) as manager:
            await manager.ocamba.campaigns.cancel("1000248")
        assert not session.closed
    assert len(sandbox.requests) == 1


async def test_closing_lets_the_attempt_in_flight_end(sandbox: Sandbox) -> None:
    """The call gets its receipt; one that only waits for the limit is ended, with nothing sent."""
    sandbox.fault(Fault(FaultKind.SLOW, FaultPoint.BEFORE, "campaigns.cancel", seconds=5.0))
    tight = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url, rate_limit=RateLimit(Window(1, 60.0)))
    manager = SessionManager(ocamba=tight)
    first = asyncio.create_task(manager.ocamba.campaigns.cancel("1000248"))
    second = asyncio.create_task(manager.ocamba.campaigns.cancel("1000249"))
    await asyncio.sleep(1)
    await manager.aclose()
    assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=0.5)
    assert not (await first).settled
    with pytest.raises(ClosedError) as caught:
        await second
    assert (caught.value.sent, len(sandbox.requests)) == (False, 1)


async def test_closing_does_not_wait_longer_than_it_was_told(sandbox: Sandbox) -> None:
    """After the grace the connection is cut, and the caller is told that it may have been carried out."""
    sandbox.fault(Fault(FaultKind.SLOW, FaultPoint.BEFORE, "campaigns.cancel", seconds=50.0))
    manager = _manager(sandbox)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(manager.ocamba.campaigns.cancel("1000248"))
    await asyncio.sleep(1)
    before = loop.time()
    await manager.aclose(timeout=3.0)
    assert loop.time() - before == pytest.approx(3.0, abs=0.1)
    with pytest.raises(AnswerLost) as caught:
        await task
    assert caught.value.sent


async def test_cancelling_the_close_closes_at_once(sandbox: Sandbox) -> None:
    """The session is closed all the same."""
    sandbox.fault(Fault(FaultKind.SLOW, FaultPoint.BEFORE, "campaigns.cancel", seconds=50.0))
    manager = _manager(sandbox)
    task = asyncio.create_task(manager.ocamba.campaigns.cancel("1000248"))
    await asyncio.sleep(1)
    closing = asyncio.create_task(manager.aclose())
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not manager._transport.unclosed
    with pytest.raises(AnswerLost):
        await task


async def test_every_single_call_takes_a_lane_and_a_longest_wait(sandbox: Sandbox) -> None:
    """``max_wait`` refuses at once, for each method of each client."""
    async with _manager(sandbox) as manager:
        for account in manager._accounts:
            account.limiter = _Full()  # type: ignore[assignment]  # a fake needs no more than this
        calls: list[Any] = [
            manager.omeda.deployments.cancel("FOO1", priority=Priority.BULK, max_wait=1.0),
            manager.omeda.deployments.lookup("FOO1", priority=Priority.BULK, max_wait=1.0),
            manager.omeda.opt_outs.submit(ClientOptOut("a@b.example"), priority=Priority.BULK, max_wait=1.0),
            manager.ocamba.campaigns.cancel("1", priority=Priority.BULK, max_wait=1.0),
            manager.ocamba.campaigns.get("1", priority=Priority.BULK, max_wait=1.0),
            manager.journey_manager.transactions.cancel("1", priority=Priority.BULK, max_wait=1.0),
            anext(manager.ocamba.campaigns.list(priority=Priority.BULK, max_wait=1.0)),
            anext(manager.journey_manager.transactions.query(priority=Priority.BULK, max_wait=1.0)),
        ]
        for call in calls:
            with pytest.raises(LimitWaitExceeded, match=r"bulk 1\.0"):
                await call
    assert sandbox.requests == []


class _Full:
    """A limiter without a place, which says what it was asked."""

    async def acquire(self, *, priority: Priority = Priority.INTERACTIVE, max_wait: float | None = None) -> Any:
        """Refuse."""
        raise LimitWaitExceeded(f"{priority.value} {max_wait}")

    def close(self) -> None:
        """There is nothing to close."""


async def test_a_retry_policy_of_one_attempt_is_kept(sandbox: Sandbox) -> None:
    """The settings' policy reaches the call."""
    sandbox.fault(Fault(FaultKind.TOO_MANY, FaultPoint.BEFORE, "campaigns.cancel", times=None))
    settings = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url, retry=RetryPolicy(attempts=1))
    async with SessionManager(ocamba=settings) as manager:
        with pytest.raises(RateLimited):
            await manager.ocamba.campaigns.cancel("1000248")
    assert len(sandbox.requests) == 1


async def test_without_the_log_hooks_alone_hear_of_pauses(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A 429 pauses the account: the hook is told, by which call; the log, turned off, is not."""
    seen: list[events.Event] = []
    sandbox.fault(Fault(FaultKind.TOO_MANY, FaultPoint.BEFORE, "campaigns.cancel", retry_after=7))
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        async with _manager(sandbox, hooks=[seen.append], log_events=False) as manager:
            await manager.ocamba.campaigns.cancel("1000248")
    assert [record for record in caplog.records if record.name.startswith("omeda_async")] == []
    pauses = [event for event in seen if isinstance(event, events.AccountPaused)]
    assert [event.provider for event in pauses] == ["ocamba"]
    assert 7.0 <= pauses[0].seconds <= 8.0
    assert pauses[0].operation == "campaigns.cancel"
    assert pauses[0].path == "/v1/hood/campaigns/{campaign_id}/cancel"
    assert pauses[0].call_id in {event.call_id for event in seen if isinstance(event, events.CallStarted)}


async def test_a_pause_is_logged_as_a_warning_by_default(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody should look; the attempts themselves are for debugging."""
    sandbox.fault(Fault(FaultKind.TOO_MANY, FaultPoint.BEFORE, "campaigns.cancel", retry_after=7))
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        async with _manager(sandbox) as manager:
            await manager.ocamba.campaigns.cancel("1000248")
    levels = {record.levelname for record in caplog.records if "AccountPaused" in record.getMessage()}
    assert levels == {"WARNING"}
    assert all(record.levelname == "DEBUG" for record in caplog.records if "AttemptEnded" in record.getMessage())
    assert sandbox.ocamba_token not in caplog.text


async def test_a_sent_deployment_is_too_late_and_an_empty_id_is_never_sent(sandbox: Sandbox) -> None:
    """The provider's words decide the one, a local check the other."""
    sandbox.omeda.seed_deployment("FOO2", status="Sent")
    async with _manager(sandbox) as manager:
        with pytest.raises(TooLate, match="was sent on"):
            await manager.omeda.deployments.cancel("FOO2")
        with pytest.raises(InvalidRecord, match="track_id"):
            await manager.omeda.deployments.cancel("")
    assert len(sandbox.requests) == 1
