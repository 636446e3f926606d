"""Create and update in the sandbox: every error text of the source document can be had."""

from datetime import UTC, datetime
from typing import Any

import pytest

DEPLOYMENT = "/webservices/rest/brand/FOO/omail/deployment/*"
GOOD: dict[str, Any] = {
    "DeploymentName": "Test Warmup - #1",
    "DeploymentDate": "2035-02-28 13:45",
    "DeploymentTypeId": 124,
    "CampaignId": "Campaign1",
    "OwnerUserId": "omailuser1",
    "FinalApproverUserId": "omailuser1",
    "Splits": 1,
    "TrackLinks": 1,
    "TrackOpens": 1,
    "Notes": "Don't send until Mar. 30th.",
    "ReloadOnqQueryBeforeFinalDeployment": 1,
    "BillingCategoryCode": "O1230001",
    "Testers": [
        {"FirstName": "John", "LastName": "Doe", "EmailAddress": "john@doe.com"},
        {"FirstName": "Jill", "LastName": "Doe", "EmailAddress": "jill@doe.com"},
    ],
}
RECOMMENDING = GOOD | {
    "UseContentRecommendation": 1,
    "ContentRecommendationBehaviorId": 123,
    "UseImagesInRecommendation": 0,
    "NumberOfRecommendations": 3,
}
UPDATE = {"TrackId": "T", "OwnerUserId": "omailAccount1", "TrackOpens": 1, "TrackLinks": 0}
TESTER = {"FirstName": "John", "LastName": "Doe", "EmailAddress": "john@doe.com"}
NEEDED_WITH_IT = "is required when the value for 'UseContentRecommendation' is 1."
GONE: Any = object()


def _with(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (body | changes).items() if value is not GONE}


@pytest.mark.parametrize("body", [GOOD, RECOMMENDING])
async def test_the_documented_examples_are_created(api: Any, body: dict[str, Any]) -> None:
    """Both examples, with a date in the future, make a new deployment."""
    reply = await api.post(DEPLOYMENT, body)
    (info,) = reply.json["ResponseInfo"]
    deployment = api.sandbox.omeda.deployments[info["TrackId"]]
    assert (deployment.name, deployment.status, deployment.owner) == ("Test Warmup - #1", "New", "omailuser1")
    assert api.sandbox.omeda.creates == {"Test Warmup - #1": 1}


async def test_a_create_sent_twice_is_seen_to_have_doubled(api: Any) -> None:
    """There is no idempotency key: two requests make two deployments."""
    tracks = {(await api.post(DEPLOYMENT, GOOD)).json["ResponseInfo"][0]["TrackId"] for _ in range(2)}
    assert len(tracks) == 2
    assert api.sandbox.omeda.creates["Test Warmup - #1"] == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"TrackId": "T"},
            "'TrackId' is not a valid field when creating a deployment. It will be auto-generated.",
        ),
        ({"DeploymentName": GONE}, "'DeploymentName' is a required field."),
        ({"DeploymentDate": GONE}, "'DeploymentDate' is a required field."),
        ({"DeploymentTypeId": GONE}, "Field 'DeploymentTypeId' is a required field."),
        ({"OwnerUserId": GONE}, "'OwnerUserId' is a required field."),
        ({"Splits": GONE}, "'Splits' is a required field."),
        ({"TrackOpens": GONE}, "'TrackOpens' is a required field."),
        ({"TrackLinks": GONE}, "'TrackLinks' is a required field."),
        (
            {"DeploymentName": "n" * 81},
            f"The value '{'n' * 81}' for field 'DeploymentName' exceeded a max length of 80.",
        ),
        (
            {"CampaignId": "c" * 51},
            f"The value '{'c' * 51}' for field 'CampaignId' exceeded a max length of 50.",
        ),
        ({"OwnerUserId": "nobody"}, "'OwnerUserId' nobody was not found."),
        ({"FinalApproverUserId": "nobody"}, "'FinalApproverUserId' nobody was not found."),
        ({"OwnerUserId": "left"}, "'OwnerUserId' left is not active."),
        ({"FinalApproverUserId": "left"}, "'FinalApproverUserId' left is not active."),
        (
            {"Testers": [TESTER, TESTER]},
            (
                "The Duplicate value 'john@doe.com' submitted for Testers array, field 'EmailAddress'. "
                "Tester emails must be unique."
            ),
        ),
        ({"Testers": [_with(TESTER, LastName=GONE)]}, "'LastName' is a required field."),
        (
            {"Testers": [_with(TESTER, FirstName="f" * 81)]},
            f"The value '{'f' * 81}' for field 'FirstName' exceeded a max length of 80.",
        ),
        ({"Testers": ["john@doe.com"]}, "The field 'Testers' must be an array of objects."),
        ({"Splits": 2}, "The The value '2' for field 'Splits' cannot be greater than 1."),
        ({"TrackLinks": 2}, "The value '2' for field 'TrackLinks' must be 0 or 1."),
        ({"TrackOpens": "1"}, "The value '1' for field 'TrackOpens' must be 0 or 1."),
        ({"TrackOpens": True}, "The value 'True' for field 'TrackOpens' must be 0 or 1."),
        (
            {"DeploymentDate": "2012-02-29 13:45"},
            "Invalid value '2012-02-29 13:45' for field 'DeploymentDate'. The date must be in the future.",
        ),
        (
            {"DeploymentDate": "2035-02-29 13:45"},
            ("Invalid value '2035-02-29 13:45' for field 'DeploymentDate'. Date format yyyy-MM-dd HH:mm is required."),
        ),
        (
            {"DeploymentDate": "2035-02-28 03:00:00 PM"},
            (
                "Invalid value '2035-02-28 03:00:00 PM' for field 'DeploymentDate'. "
                "Date format yyyy-MM-dd HH:mm is required."
            ),
        ),
        (
            {"DeploymentTypeId": 9},
            "Invalid value '9' submitted for field 'DeploymentTypeId'. The Deployment Type was not found.",
        ),
        (
            {"DeploymentTypeId": 8},
            "Invalid value '8' submitted for field 'DeploymentTypeId'. The Deployment Type is not active.",
        ),
        (
            {"BillingCategoryCode": "O1230009"},
            "Unknown category code 'O1230009' submitted for field 'BillingCategoryCode'.",
        ),
        (
            {"UseContentRecommendation": 2},
            "The value '2' for field 'UseContentRecommendation' must be 0 or 1.",
        ),
        ({"Notes": 5}, "The value '5' for field 'Notes' must be a string."),
        ({"notes": "x"}, "Unknown field 'notes'."),
    ],
)
async def test_a_wrong_create_gets_its_documented_text(api: Any, changes: dict[str, Any], text: str) -> None:
    """Each text of the document has a request that brings it up, and nothing is created."""
    api.sandbox.omeda.directory.inactive_users.add("left")
    api.sandbox.omeda.directory.inactive_deployment_types.add(8)
    reply = await api.post(DEPLOYMENT, _with(GOOD, **changes))
    assert (reply.status, reply.errors) == (400, [text])
    assert not api.sandbox.omeda.deployments


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"OwnerUserId": "omailAccount2"},
            ("OwnerUserId 'omailAccount2' is not authorized to create deployments that Use Content Recommendations."),
        ),
        ({"ContentRecommendationBehaviorId": GONE}, f"'ContentRecommendationBehaviorId' {NEEDED_WITH_IT}"),
        (
            {"ContentRecommendationBehaviorId": 5},
            (
                "The value '5' for field 'ContentRecommendationBehaviorId' is not a valid Content Recommendation "
                "Behavior."
            ),
        ),
        ({"UseImagesInRecommendation": GONE}, "'UseImagesInRecommendation' is a required field."),
        ({"NumberOfRecommendations": GONE}, f"'NumberOfRecommendations' {NEEDED_WITH_IT}"),
        (
            {"NumberOfRecommendations": 11},
            "The value '11' for field 'NumberOfRecommendations' must be between 1 and 10.",
        ),
    ],
)
async def test_wrong_recommendations_get_their_text(api: Any, changes: dict[str, Any], text: str) -> None:
    """The fields of content recommendation are required together and checked."""
    api.sandbox.omeda.directory.recommenders.discard("omailAccount2")
    reply = await api.post(DEPLOYMENT, _with(RECOMMENDING, **changes))
    assert (reply.status, reply.errors) == (400, [text])


async def test_all_that_is_wrong_is_told_at_once(api: Any) -> None:
    """An answer lists every problem, not only the first."""
    reply = await api.post(DEPLOYMENT, {})
    assert len(reply.errors) == 7


async def test_an_update_changes_the_fields_that_are_given(api: Any) -> None:
    """Fields that are left out stay as they were."""
    api.sandbox.omeda.seed_deployment("T", "New", name="Old", CampaignId="C1")
    reply = await api.call("PUT", DEPLOYMENT, json=UPDATE | {"DeploymentName": "New"})
    deployment = api.sandbox.omeda.deployments["T"]
    assert reply.json["ResponseInfo"][0]["TrackId"] == "T"
    assert (deployment.name, deployment.fields["CampaignId"], deployment.updates) == ("New", "C1", 1)


@pytest.mark.parametrize(
    ("seed", "status", "text"),
    [
        (
            {"status": "Scheduled"},
            400,
            ("Deployment 'T' cannot be edited. Sent, Scheduled , Approved, or Cancelled deployments cannot be edited."),
        ),
        (
            {"status": "New", "owner": "boss"},
            403,
            "OwnerUserId 'omailAccount1' is not authorized to edit deployment 'T'\"",
        ),
        (
            {"status": "New", "created_in_portal": True},
            400,
            "Deployment 'T' was created within the Omail portal and is not eligible for API access.",
        ),
        (
            {"status": "New", "edited_in_portal": ("omailAccount2", "2012-02-04 22:15:00")},
            400,
            (
                "Deployment 'T' has been edited from the Omail portal and is not eligible for API access. "
                "Last edited by omailAccount2 on 2012-02-04 22:15:00."
            ),
        ),
    ],
)
async def test_a_deployment_out_of_reach_is_not_updated(api: Any, seed: dict[str, Any], status: int, text: str) -> None:
    """State, owner and the portal each forbid an update in their own words."""
    api.sandbox.omeda.seed_deployment("T", **seed)
    reply = await api.call("PUT", DEPLOYMENT, json=UPDATE)
    assert (reply.status, reply.errors) == (status, [text])
    assert api.sandbox.omeda.deployments["T"].updates == 0


async def test_an_update_needs_a_track_id_that_exists(api: Any) -> None:
    """Without one it is a 400, with an unknown one a 404."""
    missing = await api.call("PUT", DEPLOYMENT, json=_with(UPDATE, TrackId=GONE))
    unknown = await api.call("PUT", DEPLOYMENT, json=UPDATE)
    assert (missing.status, missing.errors) == (
        400,
        ["'TrackId' is a required when updating an existing deployment."],
    )
    assert (unknown.status, unknown.errors) == (404, ["No deployment was found matching trackId 'T'."])


async def test_dates_are_us_central(api: Any) -> None:
    """Ten minutes past a UTC wall clock is still hours ahead when it is read as Central time."""
    api.sandbox.omeda.now = lambda: datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    early = await api.post(DEPLOYMENT, GOOD | {"DeploymentDate": "2030-01-01 05:59"})
    late = await api.post(DEPLOYMENT, GOOD | {"DeploymentDate": "2030-01-01 06:01"})
    assert (early.status, late.status) == (400, 200)


async def test_a_created_deployment_can_take_a_while_to_be_found(api: Any) -> None:
    """Clients have seen look-ups fail shortly after a create."""
    api.sandbox.omeda.visible_after = 0.0
    track_id = (await api.post(DEPLOYMENT, GOOD)).json["ResponseInfo"][0]["TrackId"]
    lookup = f"/webservices/rest/brand/FOO/omail/deployment/lookup/{track_id}/*"
    found = await api.get(lookup)
    api.sandbox.omeda.visible_after = 1e9
    assert (found.status, (await api.get(lookup)).status) == (200, 404)
