"""Every example of the providers' documents, from a method of a client to the wire and back."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import Any

import attrs
import orjson
import pytest

from omeda_async import (
    BasicAuth,
    BearerAuth,
    JourneyManagerSettings,
    OcambaSettings,
    OmedaSettings,
    RetryPolicy,
    SessionAuth,
    SessionManager,
    __version__,
    _clock,
    errors,
)
from omeda_async.testing import mocked_responses
from tests.core.mocked import Wire
from tests.samples_loader import Sample, load_samples

ONCE = RetryPolicy(attempts=1)
APP_ID = "11111111-1111-1111-1111-111111111111"
URLS = {
    "omeda": "https://ows.omeda.com",
    "ocamba": "https://api.ocamba.com",
    "journey_manager": "https://transact.workspaces.com/workspaces",
}
SIGNED = {
    "omeda": {"x-omeda-appid": APP_ID},
    "ocamba": {"Authorization": "Bearer a-token"},
    "journey_manager": {"Authorization": "Basic " + base64.b64encode(b"user:password").decode()},
}
REQUESTS = load_samples("request")


def _manager(**changes: Any) -> SessionManager:
    jm = JourneyManagerSettings(base_url=URLS["journey_manager"], auth=BasicAuth("user", "password"), retry=ONCE)
    return SessionManager(
        omeda=OmedaSettings(app_id=APP_ID, brand="FOO", client="foo_client", user_id="omailAccount1", retry=ONCE),
        ocamba=OcambaSettings(token="a-token", retry=ONCE),
        journey_manager=attrs.evolve(jm, **changes),
    )


async def _created(manager: SessionManager, params: Any) -> Any:
    return await manager.omeda.for_brand(params.brand).deployments.create(params.deployment)


async def _updated(manager: SessionManager, params: Any) -> Any:
    return await manager.omeda.for_brand(params.brand).deployments.update(params.track_id, params.update)


async def _deployment_cancelled(manager: SessionManager, params: Any) -> Any:
    client = manager.omeda.for_brand(params.brand)
    return await client.deployments.cancel(params.track_id, user_id=params.user_id)


async def _opted_out(manager: SessionManager, params: Any) -> Any:
    return await manager.omeda.opt_outs.submit(*params.opt_outs)


async def _campaign_cancelled(manager: SessionManager, params: Any) -> Any:
    return await manager.ocamba.campaigns.cancel(params.campaign_id, reason=params.reason, explain=False)


async def _transaction_cancelled(manager: SessionManager, params: Any) -> Any:
    cancel = manager.journey_manager.transactions.cancel
    return await cancel(params.submit_key, reason=params.reason, milestones=params.milestones, explain=False)


METHODS: dict[str, Callable[[SessionManager, Any], Coroutine[Any, Any, Any]]] = {
    "omeda deployments.create": _created,
    "omeda deployments.update": _updated,
    "omeda deployments.cancel": _deployment_cancelled,
    "omeda opt_outs.submit": _opted_out,
    "ocamba campaigns.cancel": _campaign_cancelled,
    "journey_manager transactions.cancel": _transaction_cancelled,
}


def _named(samples: list[Sample]) -> list[Any]:
    return [pytest.param(sample, id=sample.name) for sample in samples]


def _key(sample: Sample) -> str:
    return f"{sample.operation.provider} {sample.operation.name}"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    with mocked_responses() as mock:
        yield Wire(mock)


@pytest.fixture(autouse=True)
def the_day_of_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents' deployment dates lie in the future."""
    monkeypatch.setattr(_clock, "utc_now", lambda: datetime.fromisoformat("2012-02-01T00:00:00+00:00"))


async def _run(sample: Sample, wire: Wire, reply: Any, params: Sample | None = None) -> Any:
    asking = params or sample
    assert asking.request is not None
    url = URLS[sample.operation.provider] + str(asking.request["path"])
    body = reply["body"].replace('"T"', f'"{getattr(asking.params, "track_id", "T")}"').encode()
    wire.answer(asking.request["method"], url, reply["status"], reply["headers"], body)
    async with _manager() as manager:
        return await METHODS[_key(sample)](manager, asking.params)


SUCCESS = {
    "omeda": {
        "status": 200,
        "headers": {},
        "body": '{"ResponseInfo":[{"TrackId":"T","Url":"U","SubmissionId":"S"}],"SubmissionId":"S","Success":"yes"}',
    },
    "ocamba": {"status": 204, "headers": {"Content-Type": "application/json"}, "body": ""},
    "journey_manager": {"status": 200, "headers": {}, "body": ""},
}


@pytest.mark.parametrize("sample", _named(REQUESTS))
async def test_a_call_puts_the_documented_request_on_the_wire(sample: Sample, wire: Wire) -> None:
    """One request: method, URL with its literal star, every header and the JSON body are those of the document."""
    assert sample.request is not None
    provider = sample.operation.provider
    await _run(sample, wire, SUCCESS[provider])
    (asked,) = wire.asked
    assert (asked.method, asked.url) == (sample.request["method"], URLS[provider] + sample.request["path"])
    assert asked.url.endswith("/*") == (provider == "omeda")
    headers = dict(asked.headers)
    assert headers.pop("User-Agent").startswith(f"omeda-async/{__version__} ")
    assert headers == {"Accept": "application/json", "Content-Type": "application/json", **SIGNED[provider]}
    assert orjson.loads(asked.body or b"") == sample.request["json"]
    assert asked.options["allow_redirects"] is False
    assert asked.options["timeout"].total == 60.0


@pytest.mark.parametrize("sample", _named(load_samples("answer")))
async def test_a_call_gives_what_the_documented_answer_stands_for(sample: Sample, wire: Wire) -> None:
    """The document's answer becomes the receipt, or the error with the provider's words, that the caller gets."""
    assert sample.answer is not None
    asking = next(one for one in REQUESTS if _key(one) == _key(sample))
    assert asking.request is not None
    wire.answer("GET", URLS["ocamba"] + "/v1/hood/campaigns/1000248", 404, {}, b"{}")
    expected = dict(sample.expect or {})
    if "receipt" in expected:
        if _key(sample) == "omeda deployments.cancel":
            # The document's answer names another deployment than its request: that would be no answer to it.
            arguments = {**(asking.arguments or {}), "track_id": expected["receipt"]["track_id"]}
            asking = attrs.evolve(asking, arguments=arguments)
        receipt = await _run(sample, wire, sample.answer, asking)
        found = orjson.loads(orjson.dumps(attrs.asdict(receipt)))
        assert found.pop("raw") == orjson.loads(sample.answer["body"] or "{}")
        assert found == expected["receipt"]
        return
    with pytest.raises(getattr(errors, expected["error"])) as caught:
        await _run(sample, wire, sample.answer, asking)
    error = caught.value
    assert type(error).__name__ == expected["error"]
    assert (error.status, error.sent) == (sample.answer["status"], expected["sent"])
    assert list(error.messages) == expected["messages"]
    assert (error.provider, error.operation) == (sample.operation.provider, sample.operation.name)


async def test_a_bearer_token_and_extra_headers_are_sent(wire: Wire) -> None:
    """Journey Manager's other ways to sign, and the headers of the settings, go with every request."""
    url = URLS["journey_manager"] + "/secure/api/v1/txn/cancel"
    wire.answer("POST", url, 200, {}, b"")
    async with _manager(auth=BearerAuth("jm-token"), headers={"X-CSRF-Token": "csrf", "User-Agent": "us"}) as manager:
        await manager.journey_manager.transactions.cancel("k")
    assert wire.asked[0].headers["Authorization"] == "Bearer jm-token"
    assert wire.asked[0].headers["X-CSRF-Token"] == "csrf"
    assert wire.asked[0].headers.getall("User-Agent") == ["us"]  # type: ignore[attr-defined]  # a multidict


async def test_a_prepared_session_signs_every_request(wire: Wire) -> None:
    """The hook is given the HTTP session and the base URL, and its headers are sent."""
    given: list[Any] = []

    async def prepare(http_session: Any, url: str) -> dict[str, str]:
        given.append((http_session, url))
        await asyncio.sleep(1)
        return {"Cookie": "JSESSIONID=abc"}

    wire.answer("POST", URLS["journey_manager"] + "/secure/api/v1/txn/cancel", 200, {}, b"")
    async with _manager(auth=SessionAuth(prepare), headers={"X-CSRF-Token": "csrf"}) as manager:
        await asyncio.gather(*[manager.journey_manager.transactions.cancel(f"k{one}") for one in range(3)])
        assert given == [(manager._transport.session(), URLS["journey_manager"])]
    assert [one.headers["Cookie"] for one in wire.asked] == ["JSESSIONID=abc"] * 3
    assert wire.asked[0].headers["X-CSRF-Token"] == "csrf"


async def test_an_id_is_one_segment_of_the_path(wire: Wire) -> None:
    """What stands in an id cannot lead elsewhere: it is percent-encoded, and the star stays a star."""
    base = URLS["omeda"] + "/webservices/rest/brand/FOO/omail/deployment/lookup"
    wire.answer("GET", f"{base}/..%2Fab%3Fc%23d%25/*", 200, {}, b'{"TrackId":"../ab?c#d%","Status":"New"}')
    async with _manager() as manager:
        found = await manager.omeda.deployments.lookup("../ab?c#d%")
    assert found.status == "New"
