"""Numbers that nobody means, and objects that cannot even be shown, as settings and options."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from omeda_async import (
    ClientOptOut,
    ConfigurationError,
    InvalidRecord,
    OcambaSettings,
    OutboxError,
    OutcomeStatus,
    RateLimit,
    RetryPolicy,
    SessionManager,
    Window,
)
from omeda_async.rows import CAMPAIGNS, RowFile
from omeda_async.sandbox import Sandbox
from tests.bulk.sandboxed import manager_on


class Unshowable:
    """A value of the caller's that fails at whatever it is asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]  # that, too, it refuses


class Half(float):
    """A float of another class, as numpy's are."""


ABSURD = [
    *(10**400, -(10**400), 10**5000, 2**63, float("nan"), float("inf"), -float("inf"), True, False),
    *(-1, -0.5, Decimal(5), Decimal("NaN"), 5 + 0j, "5", b"5", None, [5], Unshowable()),
]


def _given(value: Any) -> Any:
    """Return a value, or what is as wrong where None stands for the usual."""
    return [] if value is None else value


WHOLE: list[tuple[str, Callable[[Any], object]]] = [
    ("RetryPolicy.attempts", lambda value: RetryPolicy(attempts=value)),
    ("Window.calls", lambda value: Window(value, 1.0)),
    ("RateLimit.interactive_reserve", lambda value: RateLimit(pace=1.0, interactive_reserve=value)),
    ("limit", lambda value: RowFile(CAMPAIGNS, lambda: BytesIO(b"id\n1\n"), "x", limit=_given(value))),
]
SECONDS: list[tuple[str, Callable[[Any], object]]] = [
    ("OcambaSettings.timeout", lambda value: OcambaSettings(token="t", timeout=value)),
    ("OcambaSettings.connect_timeout", lambda value: OcambaSettings(token="t", connect_timeout=value)),
    *(
        (f"RetryPolicy.{name}", lambda value, name=name: RetryPolicy(**{name: value}))
        for name in ("base_delay", "max_delay", "settle_delay", "deadline")
    ),
    ("Window.seconds", lambda value: Window(1, value)),
    ("RateLimit.courtesy per_second", lambda value: RateLimit.courtesy(value, 1)),
    ("RateLimit.pace", lambda value: RateLimit(Window(5, 1), pace=_given(value))),
]


def _name(value: object) -> str:
    return type(value).__name__ if isinstance(value, Unshowable) else repr(value)[:12] if value != 10**5000 else "huge"


@pytest.mark.parametrize("value", ABSURD, ids=_name)
@pytest.mark.parametrize(("name", "make"), [*WHOLE, *SECONDS], ids=lambda one: one if isinstance(one, str) else "")
def test_an_absurd_number_is_refused_by_the_name_of_its_setting(
    name: str, make: Callable[[Any], object], value: Any
) -> None:
    """Whatever a setting is given, the error is ours, names it, and is short."""
    with pytest.raises(ConfigurationError) as caught:
        make(value)
    assert str(caught.value).startswith(f"{name} must be")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("value", [1e10, 1.7e308, 5e-324], ids=repr)
def test_what_would_overflow_where_it_is_reckoned_with_is_refused(value: float) -> None:
    """A window of no length, or of a thousand years, is no window."""
    with pytest.raises(ConfigurationError, match=r"Window\.seconds"):
        Window(1, value)


@pytest.mark.parametrize("value", [value for value in ABSURD if value is not None], ids=_name)
async def test_an_absurd_option_of_a_call_is_refused_by_its_name(value: Any) -> None:
    """Of single calls, batchers, outboxes, runs and closing alike."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        campaigns, opt_outs = manager.ocamba.campaigns, manager.omeda.opt_outs
        for name in ("timeout", "deadline", "max_wait"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                await campaigns.cancel("1", **{name: value})
        for name in ("timeout", "deadline"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                manager.ocamba.with_options(**{name: value})
        for name in ("max_delay", "max_entries", "max_bytes", "max_waiting"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                opt_outs.batcher(**{name: value})
        for name in ("max_delay", "lease", "retention", "give_up_after", "max_entries"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                opt_outs.outbox("never.sqlite3", **{name: value})
        run = campaigns.cancel_many(["1"])
        for name in ("concurrency", "deadline", "max_isolation_requests"):
            with pytest.raises(ConfigurationError, match=f"^{name} must be"):
                _ = campaigns.cancel_many(["1"], **{name: value})
        batcher = opt_outs.batcher()
        with pytest.raises(ConfigurationError, match=r"^max_wait must be"):
            await batcher.add(ClientOptOut("reader@example.com"), max_wait=value)
        for closed in (run, manager, batcher):
            with pytest.raises(ConfigurationError, match=r"^timeout must be"):
                await closed.aclose(timeout=value)
        await batcher.aclose()


def test_a_float_of_another_class_is_a_number_of_seconds() -> None:
    """NumPy's float64 is such a one."""
    assert OcambaSettings(token="t", timeout=Half(5)).timeout == 5.0


def test_a_token_of_an_account_is_refused_by_the_name_of_its_setting() -> None:
    """What cannot be shown can be refused."""
    with pytest.raises(ConfigurationError, match=r"^OcambaSettings\.timeout must be .* a value of type Unshowable"):
        OcambaSettings(token="t", timeout=Unshowable())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match=r"^log_events must be True or False"):
        SessionManager(ocamba=OcambaSettings(token="t"), log_events=Unshowable())  # type: ignore[arg-type]  # the same


class Hook(Unshowable):
    """A hook of the same kind."""

    def __call__(self, _: object) -> Any:
        """Fail."""
        raise RuntimeError("called")


class Odd:
    """What not even tells its class."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise RuntimeError("no class")


async def test_a_callback_that_fails_at_whatever_it_is_asked_costs_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Hooks, progress and outcomes alike: its failure is logged by the name of its class."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1", "2"])
        for hook in (Hook(), lambda _: Odd()):
            manager.add_hook(hook)
            assert (await manager.ocamba.campaigns.cancel_many(["1", "2"], on_progress=hook)).complete
            async with manager.omeda.opt_outs.batcher(on_outcome=hook) as batcher:
                gone = asyncio.create_task(batcher.add(ClientOptOut("reader@example.com")))
                await asyncio.sleep(0)
                gone.cancel()
        async with manager.omeda.opt_outs.outbox(tmp_path / "outbox.sqlite3", on_outcome=Hook()) as outbox:
            ticket = await outbox.put(ClientOptOut("reader@example.com"))
            assert (await outbox.outcome(ticket, timeout=10)).status is OutcomeStatus.DONE
            with pytest.raises(OutboxError, match="this is no ticket"):
                await outbox.outcome(Unshowable())  # type: ignore[arg-type]  # wrong on purpose
            with pytest.raises(InvalidRecord):
                await outbox.put(Unshowable())  # type: ignore[arg-type]  # the same
    assert "a hook of Hook failed: RuntimeError" in caplog.text


@pytest.mark.parametrize("kind", [Unshowable, Odd])
async def test_a_record_that_fails_at_whatever_it_is_asked_is_refused_alone(kind: type[Any], tmp_path: Path) -> None:
    """Also where a journal is to remember it: that keeps its place, and the run goes on."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        sandbox.ocamba.seed_campaigns(["1"])
        given: list[Any] = [kind(), "1"]
        run = manager.ocamba.campaigns.cancel_many(given, journal=tmp_path / "run.sqlite3")
        outcomes = sorted([outcome async for outcome in run], key=lambda one: one.position)
        assert [one.status for one in outcomes] == [OutcomeStatus.REJECTED, OutcomeStatus.DONE]
        assert [json.loads(json.dumps(one.to_dict()))["status"] for one in outcomes] == ["rejected", "done"]
        assert repr(outcomes)
        assert run.report._repr_html_()


ABSURD_IDS = [10**5000, float("nan"), Decimal(5), 5 + 0j, True, b"5", Unshowable(), [Unshowable()], object]


async def test_an_absurd_value_of_a_field_is_the_refusal_of_its_record() -> None:
    """The error names the field, and is short; nothing raises, and nothing is sent."""
    async with Sandbox() as sandbox, manager_on(sandbox) as manager:
        opt_outs = manager.omeda.opt_outs.submit_many
        runs: dict[str, Callable[[Any], Any]] = {
            "brand_ids": lambda value: opt_outs([{"email_address": "a@example.com", "brand_ids": value}]),
            "deployment_type_ids": lambda value: opt_outs([{"email_address": "a@b.de", "deployment_type_ids": value}]),
            "email_address": lambda value: opt_outs([{"email_address": value}]),
            "source": lambda value: opt_outs([{"email_address": "a@example.com", "source": value}]),
            "track_id": lambda value: manager.omeda.deployments.cancel_many([{"track_id": value}]),
            "scheduled_for": lambda value: manager.omeda.deployments.cancel_many([{"id": "F", "scheduled_for": value}]),
            "campaign_id": lambda value: manager.ocamba.campaigns.cancel_many([{"campaign_id": value}]),
            "reason": lambda value: manager.ocamba.campaigns.cancel_many([{"campaign_id": "1", "reason": value}]),
            "submit_key": lambda value: manager.journey_manager.transactions.cancel_many([{"submit_key": value}]),
        }
        for field, run in runs.items():
            for value in ABSURD_IDS:
                (failure,) = (await run(value)).failures
                assert isinstance(failure.error, InvalidRecord)
                assert failure.error.field == field
                assert len(str(failure.error)) < 250
        assert not sandbox.requests
