"""Who is told events: hooks beside the log, plain functions only, and none that fails costs anything."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from omeda_async import ConfigurationError, OcambaSettings, SessionManager, events
from omeda_async._hooks import Hooks, is_async
from omeda_async.events import AttemptEnded, Event, RunEnded, log_event
from omeda_async.sandbox import Fault, FaultKind, FaultPoint, Sandbox
from tests.core.scripted import CAMPAIGN_CANCEL, account

RUN_ENDED = RunEnded(provider="fake", operation="fakes.do", total=1, counts={"done": 1}, requests=1, complete=True)


async def _async(_event: Event) -> None:
    """Would have to be awaited."""


async def _generator(_event: Event) -> Any:
    yield


class _Called:
    def __call__(self, _event: Event) -> None:
        """Take an event."""


class _Awaited:
    async def __call__(self, _event: Event) -> None:
        """Would have to be awaited."""

    async def method(self, _event: Event) -> None:
        """Would have to be awaited."""


ASYNC: list[Callable[..., Any]] = [
    *(_async, _generator, _Awaited(), _Awaited().method),
    *(partial(_async), partial(partial(_Awaited())), partial(_Awaited().method)),
]
PLAIN: list[Callable[..., Any]] = [print, _Called(), _Called().__call__, partial(print), lambda _: None, [].append]


def _manager(**options: Any) -> SessionManager:
    return SessionManager(ocamba=OcambaSettings(token="a-token-1234"), **options)


@pytest.mark.parametrize("hook", ASYNC)
async def test_an_asynchronous_hook_is_refused(hook: Any) -> None:
    """Functions, methods, callables and partials; nobody could await what they return."""
    with pytest.raises(ConfigurationError, match=r"the hook .* is asynchronous"):
        _manager(hooks=[print, hook])
    manager = _manager()
    with pytest.raises(ConfigurationError, match="put the event into a queue"):
        manager.add_hook(hook)
    await manager.aclose()


@pytest.mark.parametrize("hook", PLAIN)
def test_a_plain_hook_is_taken(hook: Any) -> None:
    """Whatever it is."""
    assert not is_async(hook)
    assert hook in _manager(hooks=[hook])._hooks


def test_what_is_no_hook_is_refused() -> None:
    """The error says what is wanted."""
    with pytest.raises(ConfigurationError, match="callables that take an event"):
        _manager().add_hook(5)  # type: ignore[arg-type]  # what is wrong with it
    with pytest.raises(ConfigurationError, match="log_events"):
        _manager(log_events=1)


def test_a_hook_that_fails_is_logged_once_and_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """By its name and the class of what it raised, the first time."""

    def broken(_event: Event) -> None:
        raise ValueError("someone.private@example.com")

    told: list[Event] = []
    hooks = Hooks([broken, told.append])
    for _ in range(3):
        hooks.tell(RUN_ENDED)
    assert told == [RUN_ENDED] * 3
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "broken failed: ValueError" in caplog.text
    assert "private" not in caplog.text


def test_a_function_that_returns_a_coroutine_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """It could not be seen before; what it returned is closed, and no warning of Python's follows."""
    hooks = Hooks([lambda event: _async(event)])  # noqa: PLW0108 behind which nobody sees it
    hooks.tell(RUN_ENDED)
    hooks.tell(RUN_ENDED)
    assert caplog.text.count("returned a coroutine, which nobody awaits") == 1


def test_a_hook_that_ends_the_program_ends_it() -> None:
    """Ctrl-C is nobody's mistake."""

    def interrupt(_event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks([interrupt]).tell(RUN_ENDED)


async def test_hooks_are_told_beside_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever adds one keeps the log; ``log_events=False`` turns that off, and nothing else."""
    lines = []
    for log_events in (True, False):
        told: list[Event] = []
        caplog.clear()
        async with Sandbox() as sandbox:
            sandbox.ocamba.seed_campaigns(["1"])
            settings = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)
            with caplog.at_level(logging.DEBUG, "omeda_async"):
                async with SessionManager(ocamba=settings, hooks=[told.append], log_events=log_events) as manager:
                    await manager.ocamba.campaigns.cancel("1")
        assert len(told) == 5
        lines.append(len(caplog.records))
    assert lines == [5, 0]


async def test_whoever_names_the_logs_own_hook_is_not_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    """It was the way to keep the log beside a hook before."""
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        assert list(_manager(hooks=[log_event])._hooks) == [log_event]


async def test_a_hook_added_later_hears_what_comes_after() -> None:
    """Clients that exist already, and those made of them, tell it too."""
    told: list[Event] = []
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        async with SessionManager(
            ocamba=OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url), log_events=False
        ) as manager:
            client = manager.ocamba.with_options(timeout=3.0)
            await client.campaigns.cancel("1")
            manager.add_hook(told.append)
            await client.campaigns.cancel("2")
    assert len(told) == 5


async def test_the_fields_of_an_event_are_attributes_of_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """A formatter for JSON needs no parser; what an event is not about is None, and is left out of the text."""
    owner, _ = account(CAMPAIGN_CANCEL.done, hooks=(log_event,))
    with caplog.at_level(logging.DEBUG, "omeda_async"):
        await CAMPAIGN_CANCEL.run(owner)
    line: Any
    (line,) = (record for record in caplog.records if "AttemptEnded" in record.getMessage())
    assert (line.event, line.operation, line.status, line.attempt) == ("AttemptEnded", "campaigns.cancel", 204, 1)
    assert (line.method, line.path) == ("POST", "/v1/hood/campaigns/{campaign_id}/cancel")
    assert line.run_id is None
    assert "None" not in line.getMessage()
    assert len(line.call_id) == 16


def test_every_event_can_be_logged() -> None:
    """No field has the name of an attribute that all lines have, which logging refuses."""
    taken = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    assert len(kinds) == 13
    for kind in kinds:
        names = {field.name for field in attrs.fields(kind)}
        assert names & (taken | {"event"}) == set()


async def test_a_pause_is_told_of_the_call_that_was_refused_also_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody hears calls then, and has no ids of them: the operation and its path are there."""
    async with Sandbox() as sandbox:
        sandbox.ocamba.seed_campaigns(["1"])
        sandbox.fault(Fault(FaultKind.TOO_MANY, FaultPoint.BEFORE, "campaigns.cancel", retry_after=1))
        settings = OcambaSettings(token=sandbox.ocamba_token, base_url=sandbox.url)
        async with SessionManager(ocamba=settings) as manager:
            await manager.ocamba.campaigns.cancel("1")
    line: Any
    (line,) = (record for record in caplog.records if "AccountPaused" in record.getMessage())
    assert (line.levelname, line.operation, line.method, line.call_id) == ("WARNING", "campaigns.cancel", "POST", None)


async def test_nobody_is_told_of_an_attempt_that_nobody_hears() -> None:
    """No event is made, and no id."""
    owner, _ = account(CAMPAIGN_CANCEL.done, hooks=(log_event,))
    call = CAMPAIGN_CANCEL.call(owner)
    await call.run()
    assert call._events is None
    owner.hooks.add(lambda event: heard.append(event) if isinstance(event, AttemptEnded) else None)
    heard: list[Event] = []
    owner, _ = account(CAMPAIGN_CANCEL.done, hooks=owner.hooks)  # type: ignore[arg-type]  # the account takes them as they are
    await CAMPAIGN_CANCEL.run(owner)
    assert len(heard) == 1
