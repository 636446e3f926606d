"""Omeda in the sandbox: who is let in, cancel, look-up, search, and the shapes of receipts."""

from typing import Any

import pytest

from omeda_async.sandbox import Sandbox

BRAND = "/webservices/rest/brand/FOO/omail/deployment"
CANCEL = f"{BRAND}/cancel/*"


async def test_a_cancel_is_applied_once_and_gives_the_documented_receipt(api: Any) -> None:
    """A cancel changes the status, counts as applied, and answers with ResponseInfo."""
    api.sandbox.omeda.seed_deployment("FOO0102003002")
    reply = await api.cancel_deployment("FOO0102003002")
    (info,) = reply.json["ResponseInfo"]
    assert reply.status == 200
    assert info.keys() == {"TrackId", "Url", "SubmissionId"}
    assert info["Url"] == f"{api.sandbox.url}{BRAND}/lookup/FOO0102003002/*"
    deployment = api.sandbox.omeda.deployments["FOO0102003002"]
    assert (deployment.status, deployment.cancels) == ("Cancelled", 1)


async def test_a_second_cancel_is_refused_and_not_applied(api: Any) -> None:
    """The repeat gets the documented text, and the count of applications stays one."""
    api.sandbox.omeda.seed_deployment("T")
    await api.cancel_deployment("T")
    reply = await api.cancel_deployment("T")
    assert (reply.status, reply.errors) == (400, ["Deployment 'T' has been previously cancelled."])
    assert api.sandbox.omeda.deployments["T"].cancels == 1
    assert api.sandbox.omeda.deployments["T"].cancel_attempts == 2


async def test_a_sent_deployment_can_not_be_cancelled(api: Any) -> None:
    """The refusal names the date it was sent on."""
    api.sandbox.omeda.seed_deployment("T", "Sent", sent_on="2012-02-29 13:45")
    reply = await api.cancel_deployment("T")
    assert (reply.status, reply.errors) == (400, ["Deployment 'T' was sent on 2012-02-29 13:45."])


async def test_state_errors_have_the_status_that_was_set(api: Any) -> None:
    """Which status the state errors carry is not documented, so it is an option."""
    api.sandbox.omeda.state_error_status = 409
    api.sandbox.omeda.seed_deployment("T", "Cancelled")
    assert (await api.cancel_deployment("T")).status == 409


async def test_a_user_without_rights_is_refused_with_403(api: Any) -> None:
    """Only owner, final approver and those that are authorised may cancel."""
    api.sandbox.omeda.seed_deployment("T", owner="somebody", authorized=["friend"])
    reply = await api.cancel_deployment("T", "omailAccount1")
    assert (reply.status, reply.errors) == (
        403,
        ["User 'omailAccount1' is not authorized to cancel this deployment."],
    )
    assert (await api.cancel_deployment("T", "friend")).status == 200


async def test_an_unknown_track_id_is_404(api: Any) -> None:
    """A TrackId that is not found in the system is a 404."""
    reply = await api.cancel_deployment("NOPE")
    assert (reply.status, reply.errors) == (404, ["No deployment was found matching trackId 'NOPE'."])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"TrackId": "T"}, "The field 'UserId' is required."),
        ({"UserId": "u"}, "The field 'TrackId' is required."),
        (
            {"UserId": "u", "TrackId": "x" * 256},
            f"The value '{'x' * 256}' for field 'TrackId' exceeded a max length of 255.",
        ),
        ({"UserId": "u", "TrackId": "T", "Trackid": "T"}, "Unknown field 'Trackid'."),
        ([1], "The request body is not valid JSON."),
    ],
)
async def test_a_cancel_that_breaks_the_specification_is_400(api: Any, body: object, text: str) -> None:
    """Each fault of form has its text."""
    reply = await api.post(CANCEL, body)
    assert (reply.status, reply.errors) == (400, [text])
    assert reply.json["SubmissionId"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{BRAND}/cancel", 404),
        ("POST", f"{BRAND}/cancel/%2A", 404),
        ("POST", f"{BRAND}/lookup/*", 404),
        ("POST", "/webservices/rest/client/foo_client/omail/deployment/cancel/*", 404),
        ("POST", "/webservices/rest/brand/FOO/optoutfilterqueue/*", 404),
        ("POST", "/webservices/rest/brand/BAR/omail/deployment/cancel/*", 403),
        ("POST", "/webservices/rest/client/FOO/optoutfilterqueue/*", 403),
        ("PUT", CANCEL, 405),
        ("GET", f"{BRAND}/search/*", 405),
        ("POST", f"{BRAND}/lookup/T/*", 405),
    ],
)
async def test_wrong_urls_and_methods_are_refused(api: Any, method: str, path: str, status: int) -> None:
    """The literal /*, brand or client, the abbreviation and the method all have to be right."""
    assert (await api.call(method, path)).status == status


async def test_a_second_brand_of_the_account_is_let_in_once_it_is_set(api: Any) -> None:
    """One app id may be good for several brands."""
    api.sandbox.omeda.brand_abbreviations.add("BAR")
    path = "/webservices/rest/brand/BAR/omail/deployment/cancel/*"
    assert (await api.post(path, {"UserId": "u", "TrackId": "T"})).status == 404


@pytest.mark.parametrize("headers", [{}, {"x-omeda-appid": "22222222-2222-2222-2222-222222222222"}])
async def test_a_wrong_app_id_is_forbidden(api: Any, headers: dict[str, str]) -> None:
    """Without the valid id every request fails with 403."""
    reply = await api.post(CANCEL, {"UserId": "u", "TrackId": "T"}, headers=headers)
    assert (reply.status, reply.errors) == (403, ["The AppId submitted is forbidden access."])


async def test_other_content_types_are_refused_and_none_means_json(api: Any) -> None:
    """JSON is the one supported content type, and the default."""
    headers = api.credentials(CANCEL)
    xml = await api.call("POST", CANCEL, data=b"<a/>", headers=headers | {"Content-Type": "text/xml"})
    none = await api.call("POST", CANCEL, data=b"{}", headers=headers, skip_auto_headers=("Content-Type",))
    assert xml.errors == ["Content type 'text/xml' is not supported."]
    assert none.errors == ["The field 'UserId' is required.", "The field 'TrackId' is required."]


@pytest.mark.parametrize("shape", ["dict", "top"])
async def test_receipts_come_in_the_shape_that_was_set(api: Any, shape: str) -> None:
    """Clients have met ResponseInfo as a dict and its fields at top level."""
    api.sandbox.omeda.receipt = shape
    api.sandbox.omeda.warnings = [{"Warning": "late"}]
    api.sandbox.omeda.seed_deployment("T")
    data = (await api.cancel_deployment("T")).json
    assert (data["ResponseInfo"] if shape == "dict" else data)["TrackId"] == "T"
    assert data["Warnings"] == [{"Warning": "late"}]


async def test_look_up_shows_status_and_fields(api: Any) -> None:
    """A look-up finds what was seeded, its path segment decoded."""
    api.sandbox.omeda.seed_deployment("T 1/2", "Approved", name="Spring", CampaignId="C")
    data = (await api.get(f"{BRAND}/lookup/T%201%2F2/*")).json
    assert (data["TrackId"], data["Status"], data["DeploymentName"], data["CampaignId"]) == (
        "T 1/2",
        "Approved",
        "Spring",
        "C",
    )


async def test_look_up_of_nothing_is_404(api: Any) -> None:
    """No result is a 404 with a text."""
    reply = await api.get(f"{BRAND}/lookup/T/*")
    assert (reply.status, reply.errors) == (404, ["Could not find deployment matching track Id T."])


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({}, ["A", "B", "C"]),
        ({"DeploymentName": "spring"}, ["A", "B"]),
        ({"TrackId": "B"}, ["B"]),
        ({"EnteredByOrAssignedTo": "boss"}, ["C"]),
        ({"Statuses": ["SENT_OR_SENDING", "CANCELLED"]}, ["B", "C"]),
        ({"DeploymentDateStart": "2035-02-01 00:00"}, ["B", "C"]),
        ({"DeploymentDateStart": "2035-02-01", "DeploymentDateEnd": "2035-02-28"}, ["B"]),
        ({"NumResults": 2}, ["A", "B"]),
    ],
)
async def test_search_narrows_by_everything_documented(api: Any, search: dict[str, object], found: list[str]) -> None:
    """Each option of the search leaves out what does not match."""
    omeda = api.sandbox.omeda
    omeda.seed_deployment("A", "New", name="Spring 1", deployment_date="2035-01-10 09:00")
    omeda.seed_deployment("B", "Sent", name="Spring 2", deployment_date="2035-02-10 09:00")
    omeda.seed_deployment("C", "Cancelled", name="Fall", owner="boss", deployment_date="2035-03-10 09:00")
    reply = await api.post(f"{BRAND}/search/*", search)
    assert [one["TrackId"] for one in reply.json["Deployments"]] == found


@pytest.mark.parametrize(
    "search",
    [{"NumResults": 201}, {"Statuses": ["GONE"]}, {"Statuses": [[]]}, {"DeploymentDateEnd": "now"}, {"Name": "x"}],
)
async def test_a_search_with_wrong_options_is_400(api: Any, search: dict[str, object]) -> None:
    """NumResults ends at 200, statuses are a closed list, other options do not exist."""
    assert (await api.post(f"{BRAND}/search/*", search)).status == 400


async def test_long_bodies_get_413_where_a_limit_is_set(api: Any) -> None:
    """The provider publishes no limit, so it is an option."""
    api.sandbox.omeda.max_bytes = 20
    reply = await api.cancel_deployment("T" * 40)
    assert (reply.status, reply.headers["Content-Type"]) == (413, "text/html")


async def test_errors_outside_the_sandbox_run_say_so() -> None:
    """The url of a sandbox that is not running is an error with the remedy."""
    with pytest.raises(RuntimeError, match="async with Sandbox"):
        _ = Sandbox().url
