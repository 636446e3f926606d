"""The sandbox as a whole: its life, its audit, its latency, and the routes that drive it from elsewhere."""

import asyncio
import os
import statistics
from random import Random
from typing import Any

import aiohttp
import pytest

from omeda_async.sandbox import Fault, Incoming, Latency, Sandbox, serve


async def test_the_environment_holds_all_a_client_needs(api: Any) -> None:
    """Base URLs and credentials of the three providers, under the names that settings are read from."""
    url = api.sandbox.url
    assert api.sandbox.settings_env() == {
        "OMEDA_APP_ID": "11111111-1111-1111-1111-111111111111",
        "OMEDA_BRAND": "FOO",
        "OMEDA_CLIENT": "foo_client",
        "OMEDA_USER_ID": "omailAccount1",
        "OMEDA_BASE_URL": url,
        "OCAMBA_TOKEN": "sandbox-token",
        "OCAMBA_BASE_URL": url,
        "JOURNEY_MANAGER_BASE_URL": f"{url}/workspaces",
        "JOURNEY_MANAGER_USERNAME": "sandbox",
        "JOURNEY_MANAGER_PASSWORD": "sandbox-password",
    }
    assert not os.environ.keys() & api.sandbox.settings_env().keys()


async def test_credentials_are_those_of_the_constructor() -> None:
    """And the defaults are let in no more."""
    async with (
        Sandbox(app_id="mine", brand="BAR", user_id="me") as sandbox,
        aiohttp.ClientSession() as session,
    ):
        sandbox.omeda.seed_deployment("T")
        url = sandbox.url + "/webservices/rest/brand/BAR/omail/deployment/cancel/*"
        statuses = []
        for app_id in ("11111111-1111-1111-1111-111111111111", "mine"):
            body = {"UserId": "me", "TrackId": "T"}
            async with session.post(url, json=body, headers={"x-omeda-appid": app_id}) as response:
                statuses.append(response.status)
        assert statuses == [403, 200]


def test_secrets_are_in_no_repr() -> None:
    """Neither of the sandbox nor of its parts."""
    text = repr(Sandbox(app_id="SECRET-1", ocamba_token="SECRET-2", journey_manager_password="SECRET-3"))
    assert "SECRET" not in text


async def test_the_audit_tells_what_arrived_and_nothing_secret(api: Any) -> None:
    """Time, provider, operation and status; no body, no credentials, no address."""
    await api.cancel_deployment("T")
    await api.get("/webservices/rest/brand/FOO/filter/email/jane%40omeda.com/*")
    await api.get("/v1/hood/campaigns?q=jane@omeda.com")
    cancel, unknown, listed = api.sandbox.requests
    assert (cancel.provider, cancel.operation, cancel.method) == ("omeda", "deployments.cancel", "POST")
    assert (cancel.status, cancel.refused, cancel.fault) == (404, False, None)
    assert unknown.path == "/webservices/rest/brand/FOO/filter/email/***/*"
    assert (unknown.operation, listed.path) == ("unknown", "/v1/hood/campaigns")
    assert cancel.arrived_at <= unknown.arrived_at <= listed.arrived_at
    assert api.sandbox.audit.counts["ocamba", "campaigns.list", 200] == 1


async def test_the_audit_remembers_the_last_and_counts_all() -> None:
    """A million requests do not fill the memory."""
    async with Sandbox(keep_requests=3, ocamba_windows=()) as sandbox, aiohttp.ClientSession() as session:
        for number in range(5):
            await (await session.get(f"{sandbox.url}/v1/hood/campaigns/{number}")).read()
        assert [one.path[-1] for one in sandbox.requests] == ["2", "3", "4"]
        assert sum(sandbox.audit.counts.values()) == 5


async def test_a_path_of_no_provider_is_404(api: Any) -> None:
    """And is no request of any provider."""
    assert (await api.get("/nowhere")).status == 404
    assert api.sandbox.requests == []


async def test_reset_forgets_what_happened_and_keeps_what_was_set(api: Any) -> None:
    """State, audit, windows and faults begin anew, with the same seed."""
    sandbox = api.sandbox
    phases = [window.phase for window in sandbox.limits.windows]
    sandbox.omeda.named_culprits = 1
    sandbox.omeda.seed_deployment("T")
    sandbox.journey_manager.seed_transaction("k")
    sandbox.ocamba.seed_campaigns(str(number) for number in range(12))
    for number in range(12):
        await api.cancel_campaign(str(number))
    sandbox.fault(Fault("502"))
    sandbox.reset()
    assert not (sandbox.omeda.deployments)
    assert not (sandbox.ocamba.campaigns)
    assert not (sandbox.journey_manager.transactions)
    assert (sandbox.requests, sandbox.faults.armed, sandbox.omeda.named_culprits) == ([], (), 1)
    assert [window.phase for window in sandbox.limits.windows] == phases
    sandbox.assert_never_over_limit()


async def test_a_port_that_is_taken_is_an_error(api: Any) -> None:
    """The one that runs goes on."""
    port = int(api.sandbox.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await Sandbox(port=port).start()
    assert (await api.get("/v1/hood/campaigns")).status == 200


async def test_stopping_does_not_wait_for_slow_requests() -> None:
    """They are dropped, and stopping twice is harmless."""
    sandbox = Sandbox()
    await sandbox.start()
    arrived = asyncio.Event()

    def note_arrival(_incoming: Incoming) -> bool:
        arrived.set()
        return True

    sandbox.fault(Fault("slow", match=note_arrival, seconds=1e6))
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session:
        request = asyncio.ensure_future(session.get(sandbox.url + "/v1/hood/campaigns"))
        await arrived.wait()
        began = loop.time()
        await sandbox.stop()
        await sandbox.stop()
        assert loop.time() - began < 10.0
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_a_client_that_dies_in_the_middle_of_its_request_does_no_harm(
    api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No request is counted, nothing is logged, and the sandbox goes on."""
    host, port = api.sandbox.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/hood/campaigns/1/cancel HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    assert (await api.get("/v1/hood/campaigns")).status == 200
    assert [one.operation for one in api.sandbox.requests] == ["campaigns.list"]
    assert caplog.records == []


async def test_serve_runs_until_it_is_cancelled() -> None:
    """It tells when it is ready, with its faults in force."""
    ready: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(Sandbox(), faults=[Fault("502")], ready=ready.set_result))
        sandbox = await ready
        async with aiohttp.ClientSession() as session, session.get(sandbox.url + "/v1/hood/x") as response:
            assert response.status == 502
        task.cancel()
    with pytest.raises(RuntimeError):
        _ = sandbox.url


@pytest.mark.parametrize(
    ("value", "mean"),
    [(0.0, 0.0), (0.04, 0.04), ((0.04, 0.5), 0.04), (Latency(0.04, 0.5, slow_share=0.02, slow=0.5), 0.0492)],
)
def test_latency_has_the_mean_that_was_set(value: Any, mean: float) -> None:
    """Fixed, lognormal, or with a share of slow trips; the same from the same seed."""
    latency = Sandbox(latency=value).latency
    rng, same = Random(1), Random(1)  # noqa: S311 - they have to be repeatable
    trips = [latency.trip(rng) for _ in range(20_000)]
    assert statistics.fmean(trips) == pytest.approx(mean, rel=0.05)
    assert trips[:5] == [latency.trip(same) for _ in range(5)]


@pytest.mark.parametrize("value", [-1.0, (0.1, -1.0)])
def test_latency_is_not_negative(value: Any) -> None:
    """Neither its mean nor its spread."""
    with pytest.raises(ValueError, match=">= 0"):
        Sandbox(latency=value)


async def test_a_request_makes_one_trip_before_it_is_counted_and_one_after() -> None:
    """The arrival in the audit is one way after the sending."""
    async with Sandbox(latency=2.0) as sandbox, aiohttp.ClientSession() as session:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        await (await session.get(sandbox.url + "/v1/hood/campaigns")).read()
        (record,) = sandbox.requests
        assert record.arrived_at - sent == pytest.approx(2.0, abs=0.5)
        assert loop.time() - record.arrived_at == pytest.approx(2.0, abs=0.5)


async def test_a_sandbox_is_driven_over_its_routes(api: Any) -> None:
    """Seed, fault, look at the state, the requests and the verdict, reset: all as JSON."""
    seeds = {
        "omeda": {"deployments": [{"track_id": "T", "status": "Sent", "sent_on": "2024-01-01 09:00"}]},
        "ocamba": {"campaigns": [{"id": "1"}, {"id": "2", "status": "paused"}]},
        "journey_manager": {"transactions": [{"submit_key": "k"}]},
    }
    assert (await api.post("/_sandbox/seed", seeds)).json == {"seeded": 4}
    fault = {"kind": "503", "where": "before", "match": "ocamba", "times": 1}
    assert (await api.post("/_sandbox/fault", fault)).json == {"fault": "503 before"}
    assert [(await api.cancel_campaign("1")).status for _ in range(2)] == [503, 204]
    state = (await api.get("/_sandbox/state")).json
    assert state["omeda"]["deployments"]["T"]["sent_on"] == "2024-01-01 09:00"
    assert {key: one["cancels"] for key, one in state["ocamba"]["campaigns"].items()} == {"1": 1, "2": 0}
    assert state["journey_manager"]["transactions"]["k"]["form_status"] == "Saved"
    assert state["faults"] == {"armed": [], "fired": {"503 before": 1}}
    requests = (await api.get("/_sandbox/requests")).json
    assert [one["status"] for one in requests] == [503, 204]
    assert (await api.get("/_sandbox/verdict")).json == {
        "ok": True,
        "findings": [],
        "requests": 2,
        "refused": 0,
    }
    await api.post("/_sandbox/reset")
    assert (await api.get("/_sandbox/state")).json["ocamba"]["campaigns"] == {}


async def test_opt_outs_are_listed_with_their_counts(api: Any) -> None:
    """Another process can compare the exact set."""
    body = {"BrandOptOut": [{"EmailAddress": "a@b.c", "BrandId": ["XXG"]}]}
    for _ in range(2):
        await api.post("/webservices/rest/client/foo_client/optoutfilterqueue/*", body)
    assert (await api.get("/_sandbox/opt-outs")).json == [
        {"level": "brand", "email_address": "a@b.c", "id": "XXG", "times": 2}
    ]


async def test_the_verdict_over_the_routes_tells_what_was_passed(api: Any) -> None:
    """With the figures."""
    for _ in range(11):
        await api.cancel_campaign("1")
    verdict = (await api.get("/_sandbox/verdict")).json
    assert (verdict["ok"], verdict["refused"]) == (False, 1)
    assert verdict["findings"][0] == "ocamba: 1 requests were refused with 429"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/_sandbox/nothing", None, 404),
        ("POST", "/_sandbox/state", None, 405),
        ("POST", "/_sandbox/fault", {"kind": "explode"}, 400),
        ("POST", "/_sandbox/fault", {"kind": "drop", "colour": "red"}, 400),
        ("POST", "/_sandbox/fault", [], 400),
        ("POST", "/_sandbox/seed", {"omeda": {"gizmos": [{}]}}, 400),
        ("POST", "/_sandbox/seed", {"ocamba": {"campaigns": [{}]}}, 400),
        ("POST", "/_sandbox/seed", {"ocamba": 5}, 400),
    ],
)
async def test_wrong_use_of_the_routes_is_told(api: Any, method: str, path: str, body: object, status: int) -> None:
    """With an error in words, and the sandbox goes on."""
    reply = await api.call(method, path, json=body)
    assert (reply.status, bool(reply.json["error"])) == (status, True)


async def test_faults_can_be_cleared_over_the_routes(api: Any) -> None:
    """None is in force afterwards."""
    await api.post("/_sandbox/fault", {"kind": "502", "times": None})
    await api.post("/_sandbox/faults/clear")
    assert api.sandbox.faults.armed == ()
