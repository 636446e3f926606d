"""What one call may be told for itself: a deadline, a time-out, headers; and a client of which all calls are."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from omeda_async import (
    AnswerLost,
    BearerAuth,
    ConfigurationError,
    ConnectionFailed,
    JourneyManagerSettings,
    LimitWaitExceeded,
    OcambaSettings,
    OmedaSettings,
    OutcomeStatus,
    Priority,
    RateLimit,
    RetryPolicy,
    SessionAuth,
    SessionManager,
    Window,
)
from omeda_async._checks import OUR_HEADERS
from omeda_async._secret import Secret
from omeda_async.errors import OmedaAsyncError
from tests.core.raw import Server, Talk, says, serving

CLOSED = "http://127.0.0.1:1"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def ocamba(talk: Talk, **options: Any) -> AsyncIterator[tuple[SessionManager, Server]]:
    """A manager, and the server that it asks."""
    async with serving(talk) as server:
        settings = {"token": "top-secret-token", "base_url": server.url, **options}
        async with SessionManager(ocamba=OcambaSettings(**settings)) as manager:
            yield manager, server


def after(seconds: float, *answers: bytes) -> Talk:
    """Answer so many seconds late, the last answer for ever."""
    left = list(answers)

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return talk


async def failing(call: Awaitable[Any]) -> OmedaAsyncError:
    with pytest.raises(OmedaAsyncError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("deadline", [0.4, 5.0, 90.0])
async def test_a_deadline_that_passes_while_the_answer_is_awaited_leaves_a_doubt(deadline: float) -> None:
    """At its second, retries and reads included, the call ends, and says that the request may have gone."""
    async with ocamba(after(1000.0, DONE)) as (manager, server):
        began = now()
        error = await failing(manager.ocamba.campaigns.cancel("1", deadline=deadline))
        assert deadline - 1.1 <= now() - began <= deadline + 0.01
    assert (type(error), error.sent) == (AnswerLost, True)
    assert len(server.requests) >= 1


@pytest.mark.real_clock
async def test_what_is_left_of_a_deadline_is_told_as_people_say_it() -> None:
    """Not by the microseconds that have passed before the attempt."""
    async with ocamba(after(1000.0, DONE)) as (manager, _):
        error = await failing(manager.ocamba.campaigns.cancel("1", deadline=0.05))
    assert re.search(r"no whole answer within 0\.0\d{1,2} s$", error.message)


async def test_a_deadline_that_the_limiter_would_pass_is_told_at_once_and_nothing_was_sent() -> None:
    """Nobody waits for a turn that comes too late."""
    limit = RateLimit(Window(1, 60.0))
    async with ocamba(says(DONE), rate_limit=limit) as (manager, server):
        await manager.ocamba.campaigns.cancel("1", deadline=5.0)
        began = now()
        error = await failing(manager.ocamba.campaigns.cancel("2", deadline=5.0))
        assert now() - began < 0.1
        await manager.ocamba.campaigns.cancel("3", deadline=90.0)
    assert (type(error), error.sent, error.attempts) == (LimitWaitExceeded, False, 0)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"deadline": 5.0}, "the call's deadline of 5 s"),
        ({"deadline": 5.0, "max_wait": 20.0}, "the call's deadline of 5 s"),
        ({"deadline": 5.0, "max_wait": 2.0}, "max_wait=2 s"),
        ({"max_wait": 2.0}, "max_wait=2 s"),
    ],
)
async def test_a_turn_that_comes_too_late_is_told_in_the_words_of_what_was_given(
    given: dict[str, Any], said: str
) -> None:
    """Who gave a deadline has never heard of max_wait."""
    async with ocamba(says(DONE), rate_limit=RateLimit(Window(1, 60.0))) as (manager, _):
        await manager.ocamba.campaigns.cancel("1")
        error = await failing(manager.ocamba.campaigns.cancel("2", **given))
    assert isinstance(error, LimitWaitExceeded)
    assert error.message.startswith(f"the wait for the limit would pass {said}: the next slot is free in ")
    assert error.max_wait <= min(given.values())


async def test_a_deadline_holds_for_connections_that_cannot_be_made() -> None:
    """Why is told, and that nothing was sent."""
    async with SessionManager(ocamba=OcambaSettings(token="t", base_url=CLOSED)) as manager:
        began = now()
        error = await failing(manager.ocamba.campaigns.cancel("1", deadline=3.0))
        assert now() - began <= 3.0
    assert (type(error), error.sent) == (ConnectionFailed, False)
    assert error.attempts >= 2


@pytest.mark.parametrize("hangs", [1, 2], ids=["first", "renewed"])
async def test_a_deadline_holds_for_credentials_too(hangs: int) -> None:
    """A token that does not come is waited for no longer; whoever comes next asks for it again."""
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == hangs:
            await asyncio.sleep(1000.0)
        return f"token-{asked}"

    async with ocamba(after(0.0, *[REFUSED] * (hangs - 1), DONE), token=token) as (manager, server):
        began = now()
        error = await failing(manager.ocamba.campaigns.cancel("1", deadline=5.0))
        assert 3.0 <= now() - began <= 5.0
        await manager.ocamba.campaigns.cancel("1", deadline=5.0)
    assert (type(error), error.sent) == (ConnectionFailed, False)
    assert "credentials" in str(error)
    assert (asked, len(server.requests)) == (hangs + 1, hangs)


async def test_asyncio_timeout_around_a_call_tells_nothing() -> None:
    """It cancels the call: whether the request may have gone is lost with it, as the documents say."""
    async with ocamba(after(1000.0, DONE)) as (manager, server):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(5.0):
                await manager.ocamba.campaigns.cancel("1")
    assert not hasattr(caught.value, "sent")
    assert len(server.requests) == 1


async def test_a_time_out_holds_for_one_attempt() -> None:
    """What is safe to repeat is repeated."""
    waits = iter([1000.0, 0.0, 0.0])

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(next(waits))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"id":"1","status":"canceled"}')

    async with ocamba(talk) as (manager, server):
        began = now()
        assert (await manager.ocamba.campaigns.cancel("1", timeout=2.0)).settled
        assert 2.0 <= now() - began <= 4.0
    assert len(server.requests) == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"deadline": 0}, "deadline must be a positive number of seconds, not 0"),
    ({"deadline": float("inf")}, "deadline must be"),
    ({"timeout": "5"}, "timeout must be"),
    ({"timeout": -1}, "timeout must be"),
    ({"priority": "bulk"}, "priority must be"),
    ({"headers": [("a", "b")]}, "headers must be a mapping"),
    ({"headers": {"X Y": "1"}}, "headers holds a name that is no header's: 'X Y'"),
    ({"headers": {"X-Y": "a\nb"}}, r"headers\['X-Y'\] holds characters"),
    ({"headers": {"X-Y": 7}}, r"headers\['X-Y'\] is missing: it must be a non-empty string"),
    ({"headers": {"X-Y": "1", "x-y": "2"}}, "headers holds 'x-y' twice"),
    ({"headers": {"Proxy-Authorization": "x"}}, "headers must not hold 'Proxy-Authorization'"),
    ({"headers": {"cookie": "x"}}, "headers must not hold 'cookie'"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
async def test_options_out_of_range_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    """Of a call, and of a client, before anything is sent."""
    async with ocamba(says(DONE)) as (manager, server):
        with pytest.raises(ConfigurationError, match=words):
            await manager.ocamba.campaigns.cancel("1", **options)
        with pytest.raises(ConfigurationError, match=words):
            manager.ocamba.with_options(**options)
    assert server.requests == []


@pytest.mark.parametrize("name", sorted(OUR_HEADERS))
def test_nobody_sets_headers_that_sign_a_request_or_frame_it(name: str) -> None:
    """In the settings of each provider, in any case of the name; the error shows no value."""
    headers = {name.title(): "top-secret"}
    makers: list[Callable[[], Any]] = [
        lambda: OmedaSettings(app_id="a", brand="b", headers=headers),
        lambda: OcambaSettings(token="t", headers=headers),
        lambda: JourneyManagerSettings(base_url=CLOSED, auth=BearerAuth("t"), headers=headers),
    ]
    for make in makers:
        with pytest.raises(ConfigurationError, match=rf"Settings\.headers must not hold '{name.title()}'") as caught:
            make()
        assert "top-secret" not in str(caught.value)


def sent(head: bytes) -> dict[str, str]:
    """Read the headers of a request, their names in lower case; none is there twice."""
    lines = [line.partition(": ") for line in head.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]]
    assert len({name.casefold() for name, _, _ in lines}) == len(lines)
    return {name.casefold(): value for name, _, value in lines}


async def test_headers_of_settings_client_and_call_are_sent_each_over_the_one_before() -> None:
    """Whatever the case of their names; those of a call are sent with it alone, and ours with all."""
    async with ocamba(says(DONE), headers={"X-Team": "mail", "X-All": Secret("of-all")}) as (manager, server):
        client = manager.ocamba.with_options(headers={"x-team": "web", "X-Client": "c"})
        again = client.with_options(headers={"X-Client": "d"}, timeout=5.0)
        await client.campaigns.cancel("1", headers={"X-TEAM": "one", "User-Agent": "ours"})
        for one in (client, again, manager.ocamba):
            await one.campaigns.cancel("1")
    heads = [sent(request) for request in server.requests]
    assert [head["authorization"] for head in heads] == ["Bearer top-secret-token"] * 4
    assert [head["x-team"] for head in heads] == ["one", "web", "web", "mail"]
    assert [head.get("x-client") for head in heads] == ["c", "c", "d", None]
    assert [head["x-all"] for head in heads] == ["of-all"] * 4
    assert heads[0]["user-agent"] == "ours"
    assert heads[1]["user-agent"].startswith("omeda-async/")


@pytest.mark.parametrize("way", ["bearer", "login"])
async def test_what_signs_a_request_has_precedence(way: str) -> None:
    """Also where a login gives headers that nobody could know of before; it is renewed once for all its clients."""
    logins = 0

    async def prepare(_: Any, __: str) -> dict[str, str]:
        nonlocal logins
        logins += 1
        return {"Cookie": "JSESSIONID=abc", "x-csrf": f"csrf-{logins}"}

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ok = way == "bearer" or b"csrf-2" in server.requests[-1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if ok else REFUSED)

    auth = BearerAuth("token") if way == "bearer" else SessionAuth(prepare)
    async with serving(talk) as server:
        settings = JourneyManagerSettings(base_url=server.url, auth=auth, headers={"X-CSRF": "settings"})
        async with SessionManager(journey_manager=settings) as manager:
            one = manager.journey_manager.with_options(headers={"X-Csrf": "client"})
            two = manager.journey_manager.with_options(headers={"X-Two": "2"})
            await asyncio.gather(one.transactions.cancel("1"), two.transactions.cancel("2", headers={"X-Csrf": "call"}))
            await one.transactions.cancel("1")
    heads = [sent(request) for request in server.requests]
    if way == "login":
        assert logins == 2
        assert {head["x-csrf"] for head in heads} == {"csrf-1", "csrf-2"}
    else:
        assert {head["x-csrf"] for head in heads} == {"client", "call"}
        assert {head["authorization"] for head in heads} == {"Bearer token"}


async def test_what_a_further_header_holds_is_a_secret_too() -> None:
    """An answer that echoes it does not show it."""
    body = b'{"message":"bad header value-of-mine"}'
    talk = says(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    async with ocamba(talk) as (manager, _):
        error = await failing(manager.ocamba.campaigns.get("1", headers={"X-Mine": "value-of-mine"}))
    assert "value-of-mine" not in f"{error} {vars(error)}"
    assert "***" in str(error)


async def test_a_client_with_options_has_them_for_calls_and_runs_on_the_same_limits() -> None:
    """Retries, times and the lane; the client it was made of stays as it is."""
    busy = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    async with ocamba(says(busy)) as (manager, server):
        plain = manager.ocamba
        once = plain.with_options(retry=RetryPolicy(attempts=1), deadline=7.0, timeout=3.0, priority=Priority.BULK)
        lanes: list[Priority] = []
        acquire = once._account.limiter.acquire

        async def watched(*, priority: Priority, **options: Any) -> Any:
            lanes.append(priority)
            return await acquire(priority=priority, **options)

        once._account.limiter.acquire = watched  # type: ignore[assignment,method-assign]  # a spy
        assert once._account.limiter is plain._account.limiter
        assert once._account.transport is plain._account.transport
        assert (once._account.retry.deadline, once._account.timeout) == (7.0, 3.0)
        assert (plain._account.retry, plain._account.timeout) == (RetryPolicy(), 60.0)
        error = await failing(once.campaigns.cancel("1", explain=False))
        assert error.attempts <= 2
        assert set(lanes) == {Priority.BULK}
        lanes.clear()
        report = await once.with_options(priority=Priority.INTERACTIVE).campaigns.cancel_many(["2"])
        assert report.counts == {OutcomeStatus.UNKNOWN: 1}
        await failing(plain.campaigns.cancel("3", explain=False))
    assert set(lanes) == {Priority.INTERACTIVE}
    assert len(server.requests) == error.attempts + len(lanes)


async def test_a_client_for_another_brand_keeps_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a batcher of a client takes its lane; an option that is none is an error."""
    monkeypatch.setenv("NO_PROXY", "*")
    async with SessionManager(omeda=OmedaSettings(app_id="a", brand="b", client="c", base_url=CLOSED)) as manager:
        client = manager.omeda.with_options(timeout=3.0, priority=Priority.BULK)
        assert client.for_brand("d")._account.timeout == 3.0
        assert client.for_brand("d").with_options(deadline=4.0)._account.retry.deadline == 4.0
        assert client.opt_outs.batcher()._priority is Priority.BULK
        assert manager.omeda.opt_outs.batcher()._priority is Priority.INTERACTIVE
        assert client.opt_outs.batcher(priority=Priority.INTERACTIVE)._priority is Priority.INTERACTIVE
        with pytest.raises(TypeError, match="dedline"):
            manager.omeda.with_options(dedline=4.0)  # type: ignore[call-arg]  # wrong on purpose
        with pytest.raises(ConfigurationError, match="retry must be a RetryPolicy, not int"):
            manager.omeda.with_options(retry=3)  # type: ignore[arg-type]  # wrong on purpose
