"""What ``cancel_many`` takes for a record, and what of it goes out."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any
from unittest import mock

import attrs
import orjson
import pytest

from omeda_async import BulkRun, InvalidRecord, Outcome, OutcomeStatus
from omeda_async._operation import Request, Response
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.client import Transactions
from omeda_async.providers.journey_manager.models import TransactionCancel
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.client import Campaigns
from omeda_async.providers.ocamba.models import CampaignCancel
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda.client import Deployments
from omeda_async.providers.omeda.models import DeploymentCancel
from tests.core.scripted import account, answer

WHEN = datetime(2031, 1, 1, tzinfo=UTC)


@attrs.frozen
class Provider:
    """A provider, with the client that cancels and what a success looks like."""

    name: str
    client: Callable[..., Any]
    operations: ModuleType
    done: Response


RECEIPT = answer(200, {"ResponseInfo": [{"Url": "u", "SubmissionId": "s"}]})
OMEDA = Provider("omeda", lambda owner: Deployments(owner, owner.settings), omeda, RECEIPT)
OCAMBA = Provider("ocamba", Campaigns, ocamba, answer(204))
JOURNEY_MANAGER = Provider("journey_manager", Transactions, journey_manager, answer(200))
EVERYONE = pytest.mark.parametrize("provider", [OMEDA, OCAMBA, JOURNEY_MANAGER], ids=lambda one: one.name)


async def _cancelled(provider: Provider, *records: Any, **options: Any) -> tuple[list[Outcome], list[Request]]:
    """The outcomes of a run, and the requests that went out."""
    owner, transport = account(*[provider.done] * len(records), provider=provider.name)
    run: BulkRun = provider.client(owner).cancel_many(records, **options)
    outcomes = [outcome async for outcome in run]
    return outcomes, [one.request for one in transport.sent]


async def _sent(provider: Provider, record: Any, **options: Any) -> tuple[Any, str, Any]:
    """The caller's key of a record that is done, and its request: the path and the JSON body."""
    (outcome,), (request,) = await _cancelled(provider, record, **options)
    assert outcome.status is OutcomeStatus.DONE
    assert outcome.record is record
    return outcome.key, request.path, orjson.loads(request.body or b"")


async def _refusal(provider: Provider, record: Any, **options: Any) -> InvalidRecord:
    """The error of a record that is not sent."""
    (outcome,), requests = await _cancelled(provider, record, **options)
    assert requests == []
    assert outcome.status is OutcomeStatus.REJECTED
    assert isinstance(outcome.error, InvalidRecord)
    return outcome.error


@pytest.mark.parametrize(
    "given",
    [
        CampaignCancel("7", "r", "k"),
        {"campaign_id": "7", "reason": "r", "key": "k"},
        {"id": "7", "reason": "r", "key": "k"},
        MappingProxyType({"id": "7", "reason": "r", "key": "k"}),
    ],
)
async def test_a_campaign_is_a_model_or_a_mapping(given: object) -> None:
    """A model and a mapping mean the same."""
    assert await _sent(OCAMBA, given) == ("k", "/v1/hood/campaigns/7/cancel", {"reason": "r"})


@pytest.mark.parametrize("given", ["7", {"campaign_id": "7"}, {"id": "7", "reason": None, "key": None}])
async def test_a_campaign_is_an_id_or_a_mapping_with_one(given: object) -> None:
    """An id alone is enough, and is the key then."""
    assert await _sent(OCAMBA, given) == ("7", "/v1/hood/campaigns/7/cancel", {})


@pytest.mark.parametrize("name", ["submit_key", "submitKey", "id"])
async def test_a_transaction_is_a_key_a_model_or_a_mapping(name: str) -> None:
    """All ways to give a record mean the same."""
    path = "/secure/api/v1/txn/cancel"
    mapping = {name: "k", "reason": "r", "milestones": "m", "key": "mine"}
    whole = {"params": {"submitKey": "k", "reason": "r", "milestones": "m"}}
    assert await _sent(JOURNEY_MANAGER, mapping) == ("mine", path, whole)
    assert await _sent(JOURNEY_MANAGER, TransactionCancel("k", "r", "m", "mine")) == ("mine", path, whole)
    assert await _sent(JOURNEY_MANAGER, "k") == ("k", path, {"params": {"submitKey": "k"}})


@pytest.mark.parametrize(
    "given",
    [
        DeploymentCancel("F1", "u", 5, WHEN),
        {"TrackId": "F1", "UserId": "u", "key": 5, "scheduled_for": WHEN},
        {"id": "F1", "user_id": "u", "key": 5, "scheduled_for": "2031-01-01T00:00:00Z"},
    ],
)
async def test_a_deployment_is_a_model_or_a_mapping(given: object) -> None:
    """All ways to give a record mean the same; the key may be a number."""
    path = "/webservices/rest/brand/FOO/omail/deployment/cancel/*"
    assert await _sent(OMEDA, given) == (5, path, {"UserId": "u", "TrackId": "F1"})
    assert await _sent(OMEDA, "F1", user_id="u") == ("F1", path, {"UserId": "u", "TrackId": "F1"})


@pytest.mark.parametrize("earlier", [WHEN, "2031-01-01T00:00:00Z", "2031-01-01T09:00:00+09:00"])
async def test_a_date_as_text_counts_as_the_date_it_is(earlier: object) -> None:
    """The deployment that is due sooner goes first, whichever way the dates are written."""
    later = {"id": "F1", "scheduled_for": "2031-01-01T00:00:01Z"}
    _, requests = await _cancelled(OMEDA, "F0", later, {"id": "F2", "scheduled_for": earlier}, user_id="u")
    assert [orjson.loads(one.body or b"")["TrackId"] for one in requests] == ["F2", "F1", "F0"]


@pytest.mark.parametrize(
    ("provider", "given", "field", "reason"),
    [
        (OCAMBA, True, "campaign_id", "must be a string, not bool"),
        (OCAMBA, {}, "campaign_id", "is missing or empty: give it a value"),
        (OCAMBA, {"id": 7.0}, "campaign_id", "must be a string, not float: give its digits as text"),
        (OCAMBA, {"id": None}, "campaign_id", "the cell is empty: give the id"),
        (OCAMBA, {"id": True}, "campaign_id", "must be a string, not bool"),
        (OCAMBA, {"id": "7", "campaign_id": "7"}, "campaign_id", "is given twice, under two names"),
        (OCAMBA, {"id": "7", "reasn": "r"}, "reasn", "known are campaign_id, key, reason"),
        (OCAMBA, {"id": "7", "reason": 5}, "reason", "must be a string, not int"),
        (OCAMBA, {"id": "7", "reason": ["r"]}, "reason", "must be a string, not list"),
        (OCAMBA, {"id": "7", "reason": "\ud800"}, "reason", "half a surrogate pair"),
        (OCAMBA, {"id": "7", "key": 5.5}, "key", "must be a string or an integer, not float"),
        (OCAMBA, {"id": "7", "key": True}, "key", "must be a string or an integer, not bool"),
        (OCAMBA, {"id": "7", "key": WHEN}, "key", "must be a string or an integer, not datetime"),
        (OCAMBA, {"id": "7", "key": "\ud800"}, "key", "half a surrogate pair"),
        (OCAMBA, {"id": "7", 5: 5}, "5", "is no field of a record"),
        (OCAMBA, {"id": "7", "john@doe.com": 5}, "j***@doe.com", "is no field of a record"),
        (JOURNEY_MANAGER, {"id": "k", "milestone": "m"}, "milestone", "is no field of a record"),
        (JOURNEY_MANAGER, {"submitKey": ""}, "submit_key", "is empty"),
        (OMEDA, 5.0, "track_id", "must be a string, not float: give its digits as text"),
        (OMEDA, {}, "track_id", "is missing or empty: give it a value"),
        (OMEDA, {"id": ""}, "track_id", "is empty"),
        (OMEDA, {"id": "F", "user_id": 5}, "user_id", "must be a string, not int"),
        (OMEDA, {"id": "F", "user_id": ""}, "user_id", "is empty"),
        (OMEDA, {"id": "F", "user": "u"}, "user", "known are key, scheduled_for, track_id, user_id"),
        (OMEDA, {"id": "F", "scheduled_for": "soon"}, "scheduled_for", "is 'soon': give ISO 8601"),
        (OMEDA, {"id": "F", "scheduled_for": 5}, "scheduled_for", "must be a datetime or an ISO 8601 string, not int"),
        (OMEDA, {"id": "F", "scheduled_for": "2026-01-01T00:00:00"}, "scheduled_for", "has no time zone"),
        (OMEDA, DeploymentCancel("F", "u", None, "soon"), "scheduled_for", "must be a datetime, not str"),  # type: ignore[arg-type] # what a caller may do
    ],
)
async def test_a_record_that_cannot_be_sent_names_its_field(
    provider: Provider, given: object, field: str, reason: str
) -> None:
    """No coercion: the field at fault is named, by its Python name, with the reason."""
    options = {"user_id": "u"} if provider is OMEDA else {}
    refusal = await _refusal(provider, given, **options)
    assert refusal.field == field
    assert reason in refusal.reason
    assert refusal.sent is False


async def test_a_deployment_that_nobody_cancels_says_where_to_name_a_user() -> None:
    """Neither the record, the run nor the settings name a user."""
    refusal = await _refusal(OMEDA, "F1")
    assert refusal.field == "user_id"
    assert "OmedaSettings" in refusal.reason


@pytest.mark.parametrize("given", [CampaignCancel("7"), {"id": "7"}, {"id": "7", "reason": None}, "7"])
@pytest.mark.parametrize(("own", "reason"), [(None, "all"), ("own", "own")])
async def test_what_holds_for_the_run_holds_where_a_record_is_silent(given: Any, own: str | None, reason: str) -> None:
    """A reason of the record's own counts more than the run's."""
    if own is not None:
        given = CampaignCancel("7", own) if isinstance(given, CampaignCancel) else {"id": "7", "reason": own}
    _, _, body = await _sent(OCAMBA, given, reason="all")
    assert body == {"reason": reason}


async def test_every_option_of_a_transaction_has_its_own_default() -> None:
    """A record that names one of them takes the other from the run."""
    options = {"reason": "r", "milestones": "m"}
    assert (await _sent(JOURNEY_MANAGER, "k", **options))[2]["params"] == {"submitKey": "k", **options}
    for given in ({"id": "k", "reason": "own"}, TransactionCancel("k", "own")):
        _, _, body = await _sent(JOURNEY_MANAGER, given, **options)
        assert body["params"] == {"submitKey": "k", "reason": "own", "milestones": "m"}


@EVERYONE
@pytest.mark.parametrize("runs", [1, 2])
async def test_the_request_of_a_record_is_built_once_in_a_run(provider: Provider, runs: int, tmp_path: Path) -> None:
    """Reading a record checks it and builds what is sent, also in a run that is resumed with nothing left to do."""
    built: list[Any] = []
    cancel = provider.operations.CANCEL

    def build(params: Any) -> Request:
        built.append(params)
        request: Request = cancel.build(params)
        return request

    counting = attrs.evolve(cancel, build=build)
    options: Mapping[str, Any] = {"user_id": "u"} if provider is OMEDA else {}
    with mock.patch.object(provider.operations, "CANCEL", counting):
        for _ in range(runs):
            outcomes, _ = await _cancelled(provider, "a", "b", "c", journal=tmp_path / "run.sqlite3", **options)
    assert len(outcomes) == 3
    assert len(built) == 3 * runs


@pytest.mark.parametrize(
    ("provider", "given", "key"),
    [
        (OCAMBA, "1000248.0", "1000248.0"),
        (OCAMBA, {"id": "# a comment"}, "# a comment"),
        (OCAMBA, CampaignCancel("1,000", key="mine"), "mine"),
        (JOURNEY_MANAGER, "15d0\u200b", "15d0\u200b"),
        (OMEDA, "FOO 1", "FOO 1"),
        (OMEDA, {"id": "FOO1", "user_id": "u", "scheduled_for": WHEN.replace(tzinfo=None)}, "FOO1"),
    ],
)
async def test_an_id_that_is_refused_is_the_key_all_the_same(provider: Provider, given: object, key: str) -> None:
    """Who looks for what became of it finds it by that."""
    (outcome,), requests = await _cancelled(provider, given)
    assert (outcome.status, outcome.key, requests) == (OutcomeStatus.REJECTED, key, [])
    assert outcome.error is not None
    assert str(outcome.error.operation).endswith("cancel_many")
