"""Whatever is sent to the sandbox, it answers as a provider would, and never breaks."""

import json

from hypothesis import given, strategies as st

from omeda_async.sandbox import Fault, Incoming, Sandbox

OMEDA = "/webservices/rest/brand/FOO/omail/deployment"
TXN = "/workspaces/secure/api/v1/txn"
PLACES = [
    ("POST", f"{OMEDA}/*"),
    ("PUT", f"{OMEDA}/*"),
    ("POST", f"{OMEDA}/cancel/*"),
    ("POST", f"{OMEDA}/search/*"),
    ("POST", "/webservices/rest/client/foo_client/optoutfilterqueue/*"),
    ("POST", "/v1/hood/campaigns/1/cancel"),
    ("POST", f"{TXN}/cancel"),
    ("POST", f"{TXN}/query"),
    ("POST", "/workspaces/login"),
]
NAMES = sorted(
    {"TrackId", "DeploymentName", "DeploymentDate", "OwnerUserId", "CampaignId", "FinalApproverUserId", "Notes"}
    | {"BillingCategoryCode", "DeploymentTypeId", "Splits", "TrackOpens", "TrackLinks", "Testers"}
    | {"ReloadOnqQueryBeforeFinalDeployment", "UseContentRecommendation", "ContentRecommendationBehaviorId"}
    | {"UseImagesInRecommendation", "NumberOfRecommendations"}
    | {"UserId", "ClientOptOut", "BrandOptOut", "DeploymentTypeOptOut", "EmailAddress", "BrandId", "Source"}
    | {"Statuses", "NumResults", "DeploymentDateStart", "reason", "params", "submitKey", "filters", "criteria"}
    | {"operator", "sorts", "attributes", "fetchLimit", "username"}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["T", "submitKey = {0}", 1, 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
BODIES = VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)
SANDBOX = Sandbox()
CREDENTIALS = {
    "x-omeda-appid": SANDBOX.app_id,
    "Authorization": "Basic c2FuZGJveDpzYW5kYm94LXBhc3N3b3Jk",
}


@given(place=st.sampled_from(PLACES), body=BODIES)
def test_no_body_breaks_a_provider(place: tuple[str, str], body: bytes) -> None:
    """Every answer is a status the documents know, and every request can be matched against a fault."""
    sandbox = Sandbox()
    sandbox.omeda.seed_deployment("T")
    sandbox.ocamba.seed_campaign("1")
    names = {"webservices": "omeda", "v1": "ocamba", "workspaces": "journey_manager"}
    api = sandbox.apis[names[place[1].split("/")[1]]]
    headers = dict(CREDENTIALS)
    if api.name == "ocamba":
        headers["Authorization"] = f"Bearer {sandbox.ocamba_token}"
    incoming = Incoming(method=place[0], target=place[1], headers=headers, body=body)
    incoming.provider, incoming.operation = api.name, api.operation(incoming)
    assert incoming.operation != "unknown"
    assert not Fault("drop", match="no such id").concerns(incoming, api)
    assert api.respond(incoming).status in {200, 204, 400, 401, 403, 404}


@given(target=st.text(st.characters(codec="ascii"), max_size=40).map(lambda text: "/" + text))
def test_no_path_breaks_a_provider(target: str) -> None:
    """A path that none of them has is a 404 or 405 of each."""
    for api in SANDBOX.apis.values():
        incoming = Incoming(method="GET", target=target, headers={"Authorization": "Bearer sandbox-token"})
        incoming.provider, incoming.operation = api.name, api.operation(incoming)
        assert api.respond(incoming).status in {200, 302, 401, 403, 404, 405}
