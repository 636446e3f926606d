"""The front door: the names that users import, and the shapes they are promised."""

import importlib.metadata
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any, get_type_hints

import attrs
import pytest

import omeda_async
from omeda_async import BulkReport, BulkRun, Outcome, OutcomeStatus, Plan, SessionManager
from omeda_async.limits import LimitsView
from omeda_async.providers.journey_manager.client import JourneyManagerClient, Transactions
from omeda_async.providers.ocamba.client import Campaigns, OcambaClient
from omeda_async.providers.omeda.client import Deployments, OmedaClient, OptOuts

CONTRACT = {
    *("SessionManager", "OmedaSettings", "OcambaSettings", "JourneyManagerSettings", "BasicAuth", "BearerAuth"),
    *("Environment", "RateLimit", "Window", "Priority", "RetryPolicy", "Secret"),
    *("ClientOptOut", "BrandOptOut", "DeploymentTypeOptOut", "Deployment", "DeploymentUpdate", "Tester"),
    *("Outcome", "OutcomeStatus", "BulkReport", "BulkRun", "Plan", "Batcher", "LimitsView", "WindowView", "OptOut"),
    *("OmedaAsyncError", "ConfigurationError", "ClosedError", "InvalidRecord", "LimitWaitExceeded"),
    *("TransportError", "ConnectionFailed", "AnswerLost", "UnreadableAnswer", "ApiError"),
    *("BadRequest", "AuthenticationFailed", "NotFound", "MethodNotAllowed", "Conflict", "RateLimited", "ServerError"),
    *("AlreadyDone", "TooLate", "NotAuthorized", "SessionLost", "BatchRejected"),
}
SINGLE = {"priority", "max_wait"}
BULK = {"concurrency", "journal", "priority", "on_progress"}


def test_the_list_of_names_is_sorted_and_true() -> None:
    """``__all__`` is in order, without repeats, and is what the module really offers."""
    names = omeda_async.__all__
    assert names == sorted(set(names))
    public = {
        name
        for name in dir(omeda_async)
        if not name.startswith("_") and not isinstance(getattr(omeda_async, name), ModuleType)
    }
    assert public | {"__version__"} == set(names)


def test_every_name_of_the_contract_is_there() -> None:
    """Nothing that was promised is missing or renamed."""
    assert set(omeda_async.__all__) >= CONTRACT
    assert all(getattr(omeda_async, name) is not None for name in CONTRACT)


DOCUMENTED = [name for name in omeda_async.__all__ if name not in {"__version__", "OptOut", "OptOutRecord"}]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_is_documented(name: str) -> None:
    """Each has a docstring of its own, and so has each of its public methods."""
    thing = getattr(omeda_async, name)
    assert inspect.cleandoc(thing.__doc__ or "")
    for member, value in vars(thing).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod)):
            assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"


def test_the_version_is_that_of_the_distribution() -> None:
    """One place holds it."""
    assert omeda_async.__version__ == importlib.metadata.version("omeda-async")


# Each method with its positional parameters, its keyword ones with their defaults, and the options it takes besides.
METHODS: list[tuple[Callable[..., Any], list[str], dict[str, Any], set[str]]] = [
    (Deployments.cancel, ["track_id"], {"user_id": None}, SINGLE),
    (Deployments.create, ["deployment"], {}, SINGLE),
    (Deployments.update, ["track_id", "update"], {}, SINGLE),
    (Deployments.cancel_many, ["records"], {"user_id": None}, BULK),
    (OptOuts.submit, ["*opt_outs"], {}, SINGLE),
    (OptOuts.submit_many, ["records"], {"max_entries": 500, "max_bytes": 262144}, BULK),
    (OptOuts.batcher, [], {"max_delay": 0.05}, set()),
    (Campaigns.cancel, ["campaign_id"], {"reason": None, "explain": True}, SINGLE),
    (Campaigns.cancel_many, ["records"], {"reason": None, "explain": True}, BULK),
    (Transactions.cancel, ["submit_key"], {"reason": None, "milestones": None, "explain": True}, SINGLE),
    (Transactions.cancel_many, ["records"], {"reason": None, "milestones": None, "explain": True}, BULK),
    (OmedaClient.for_brand, ["brand"], {}, set()),
    (SessionManager.aclose, [], {"timeout": 30.0}, set()),
]


@pytest.mark.parametrize(
    ("method", "positional", "keywords", "options"),
    METHODS,
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_method_takes_what_was_promised(
    method: Callable[..., Any], positional: list[str], keywords: dict[str, Any], options: set[str]
) -> None:
    """The positional arguments, the keywords with their defaults, and the common options are those of the contract."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    plain = [
        str(one).partition(":")[0] for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL}
    ]
    named = {one.name: one.default for one in parameters if one.default is not one.empty}
    assert [name for name in plain if name not in named and "=" not in name] == positional
    assert keywords.items() <= named.items()
    extra = [one.annotation for one in parameters if one.kind is one.VAR_KEYWORD]
    taken = set(get_type_hints(extra[0].__args__[0])) if extra else set()
    assert options <= taken | set(named)


DESCRIBED = [
    pytest.param(method, id=f"{kind.__name__}.{name}")
    for kind in (OmedaClient, Deployments, OptOuts, OcambaClient, Campaigns, JourneyManagerClient, Transactions)
    for name, method in vars(kind).items()
    if inspect.isfunction(method) and not name.startswith("_")
]


@pytest.mark.parametrize("method", DESCRIBED)
def test_every_argument_of_a_method_is_described_and_what_it_raises(method: Callable[..., Any]) -> None:
    """Whoever asks for help finds each argument, the options too, and the errors."""
    text = inspect.getdoc(method) or ""
    described = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    names = list(inspect.signature(method).parameters)[1:]
    assert [name for name in names if f"    {name}: " not in f"{described}\n"] == []
    assert "\nRaises:\n" in text


def test_the_manager_takes_its_parts_by_keyword() -> None:
    """Three settings, a borrowed session, the way out and hooks; and the environment instead of the settings."""
    parameters = inspect.signature(SessionManager).parameters
    assert list(parameters) == [
        *("omeda", "ocamba", "journey_manager", "http_session", "proxy", "trust_env", "ssl", "hooks", "log_events"),
        "share_limits",
    ]
    assert {one.kind for one in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert {"http_session", "proxy", "trust_env", "ssl", "hooks", "log_events", "share_limits"} <= set(
        inspect.signature(SessionManager.from_env).parameters
    )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Outcome, ["record", "key", "position", "status", "attempts", "receipt", "error"]),
        (BulkReport, ["total", "counts", "requests", "duration", "failures", "complete"]),
    ],
)
def test_a_result_has_the_fields_of_the_contract_in_order(kind: type[Any], fields: list[str]) -> None:
    """And it is frozen."""
    assert [field.name for field in attrs.fields(kind)][: len(fields)] == fields
    assert "__setattr__" in vars(kind)


def test_the_plan_tells_requests_time_duplicates_and_refused_rows() -> None:
    """What ``plan()`` was promised to tell is in it."""
    assert {"requests", "seconds", "duplicates", "refused"} <= {field.name for field in attrs.fields(Plan)}


def test_the_outcomes_are_the_eight_of_the_contract() -> None:
    """No more and no fewer; two of them mean that it is as was asked for."""
    assert [status.name for status in OutcomeStatus] == [
        *("DONE", "ALREADY_DONE", "PARTLY_DONE", "TOO_LATE", "REJECTED", "FAILED", "UNKNOWN", "NOT_SENT"),
    ]
    assert {status for status in OutcomeStatus if status.is_done} == {OutcomeStatus.DONE, OutcomeStatus.ALREADY_DONE}


def test_a_run_can_be_awaited_iterated_planned_and_asked() -> None:
    """The four ways to use it."""
    assert all(hasattr(BulkRun, name) for name in ("__await__", "__aiter__", "plan", "report"))


@pytest.mark.parametrize("client", [OmedaClient, OcambaClient, JourneyManagerClient])
def test_every_client_shows_its_limits(client: type[Any]) -> None:
    """Used, free, and when the next attempt may go."""
    assert get_type_hints(client.limits.fget)["return"] is LimitsView
    assert all(hasattr(LimitsView, name) for name in ("used", "free"))
    assert "next_slot_in" in {field.name for field in attrs.fields(LimitsView)}


def test_listings_are_streams() -> None:
    """They are async iterators, and read a page at a time."""
    for listing in (Campaigns.list, Transactions.query):
        assert inspect.isasyncgenfunction(listing)
        assert get_type_hints(listing)["return"].__origin__ is AsyncIterator


def test_importing_the_front_door_loads_no_sandbox_no_server_and_no_command_line() -> None:
    """What a program does not use costs it nothing."""
    script = "import sys, omeda_async; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True)  # noqa: S603 our own words
    loaded = set(run.stdout.split())
    assert not loaded & {"typer", "rich", "pytest", "omeda_async.sandbox", "omeda_async.cli", "omeda_async.testing"}
