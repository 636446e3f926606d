"""Clones in the sandbox: what they inherit, and every error text of the provider's page."""

from typing import Any

import aiohttp
import pytest

from omeda_async.sandbox import Fault

CLONE = "/webservices/rest/brand/FOO/omail/deployment/clone/*"
GOOD = {"CloneTrackId": "T", "DeploymentDate": "2035-02-28 13:45"}
JOHN = {"FirstName": "John", "LastName": "Doe", "EmailAddress": "john@doe.com"}
JILL = {"FirstName": "Jill", "LastName": "Doe", "EmailAddress": "jill@doe.com"}
GONE: Any = object()


def _with(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (GOOD | changes).items() if value is not GONE}


@pytest.mark.parametrize("status", ["New", "Sent", "Cancelled"])
async def test_a_clone_is_new_and_inherits_all_but_its_date_and_a_prefix_to_its_name(api: Any, status: str) -> None:
    """Its source, in whatever state, stays as it was; the receipt names the new deployment."""
    source = api.sandbox.omeda.seed_deployment("T", status, owner="boss", name="Spring", CampaignId="C", Testers=[JOHN])
    reply = await api.post(CLONE, GOOD)
    (info,) = reply.json["ResponseInfo"]
    made = api.sandbox.omeda.deployments[info["TrackId"]]
    assert info["TrackId"] != "T"
    assert info["Url"].endswith(f"/lookup/{info['TrackId']}/*")
    assert (made.status, made.fields) == (
        "New",
        {
            "DeploymentName": "Copy of Spring",
            "DeploymentDate": "2035-02-28 13:45",
            "OwnerUserId": "boss",
            "CampaignId": "C",
            "Testers": [JOHN],
        },
    )
    assert (source.status, source.name, source.clones, made.clones) == (status, "Spring", 1, 0)


async def test_what_a_clone_is_given_it_does_not_inherit(api: Any) -> None:
    """A name stands as it is, and testers are added to those of the source, each address once."""
    api.sandbox.omeda.seed_deployment("T", Testers=[JOHN], Notes="old")
    body = _with(DeploymentName="Summer", Notes="new", Testers=[JILL, JOHN | {"FirstName": "Jonathan"}])
    track_id = (await api.post(CLONE, body)).json["ResponseInfo"][0]["TrackId"]
    fields = api.sandbox.omeda.deployments[track_id].fields
    assert (fields["DeploymentName"], fields["Notes"]) == ("Summer", "new")
    assert fields["Testers"] == [JOHN | {"FirstName": "Jonathan"}, JILL]


async def test_a_clone_sent_twice_is_seen_to_have_doubled(api: Any) -> None:
    """There is no idempotency key: two requests make two deployments."""
    source = api.sandbox.omeda.seed_deployment("T")
    tracks = {(await api.post(CLONE, GOOD)).json["ResponseInfo"][0]["TrackId"] for _ in range(2)}
    assert len(tracks) == 2
    assert source.clones == 2


async def test_a_lost_clone_is_seen_to_have_happened(api: Any) -> None:
    """A fault may name the operation or the source; what is lost afterwards was done."""
    source = api.sandbox.omeda.seed_deployment("T")
    for match in ("deployments.clone", "T"):
        api.sandbox.fault(Fault("drop", "after", match))
        with pytest.raises(aiohttp.ClientError):
            await api.post(CLONE, GOOD)
    assert source.clones == 2
    assert [one.operation for one in api.sandbox.requests] == ["deployments.clone"] * 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"CloneTrackId": GONE}, "'CloneTrackId' is a required field."),
        ({"CloneTrackId": 5}, "The value '5' for field 'CloneTrackId' must be a string."),
        ({"DeploymentDate": GONE}, "'DeploymentDate' is a required field."),
        (
            {"DeploymentDate": "2012-02-29 13:45"},
            "Invalid value '2012-02-29 13:45' for field 'DeploymentDate'. The date must be in the future.",
        ),
        (
            {"DeploymentDate": "2035-02-28 03:00:00 PM"},
            (
                "Invalid value '2035-02-28 03:00:00 PM' for field 'DeploymentDate'. "
                "Date format yyyy-MM-dd HH:mm is required."
            ),
        ),
        (
            {"DeploymentName": "n" * 81},
            f"The value '{'n' * 81}' for field 'DeploymentName' exceeded a max length of 80.",
        ),
        ({"OwnerUserId": "left"}, "'OwnerUserId' left is not active."),
        ({"FinalApproverUserId": "left"}, "'FinalApproverUserId' left is not active."),
        ({"TrackLinks": 2}, "The value '2' for field 'TrackLinks' must be 0 or 1."),
        (
            {"Testers": [JOHN, JOHN]},
            (
                "The Duplicate value 'john@doe.com' submitted for Testers array, field 'EmailAddress'. "
                "Tester emails must be unique."
            ),
        ),
        ({"TrackId": "T"}, "Unknown field 'TrackId'."),
    ],
)
async def test_a_wrong_clone_gets_its_documented_text(api: Any, changes: dict[str, Any], text: str) -> None:
    """Each text has a request that brings it up, and nothing is cloned."""
    api.sandbox.omeda.seed_deployment("T")
    api.sandbox.omeda.directory.inactive_users.add("left")
    reply = await api.post(CLONE, _with(**changes))
    assert (reply.status, reply.errors) == (400, [text])
    assert list(api.sandbox.omeda.deployments) == ["T"]


@pytest.mark.parametrize(
    ("track_id", "changes", "status", "text"),
    [
        ("NOPE", {}, 404, "No deployment was found matching trackId 'NOPE'."),
        ("FIXED", {}, 400, "Deployment 'FIXED' cannot be cloned."),
        (
            "FOREIGN",
            {"OwnerUserId": "omailAccount1"},
            403,
            "OwnerUserId 'omailAccount1' is not authorized to edit deployment 'FOREIGN'\"",
        ),
    ],
)
async def test_a_deployment_out_of_reach_is_not_cloned(
    api: Any, track_id: str, changes: dict[str, Any], status: int, text: str
) -> None:
    """One that does not exist, one that cannot be cloned, one that somebody else may edit."""
    api.sandbox.omeda.seed_deployment("FIXED", clonable=False)
    api.sandbox.omeda.seed_deployment("FOREIGN", owner="boss")
    reply = await api.post(CLONE, _with(CloneTrackId=track_id, **changes))
    assert (reply.status, reply.errors) == (status, [text])
    assert len(api.sandbox.omeda.deployments) == 2


async def test_a_clone_can_take_a_while_to_be_found(api: Any) -> None:
    """As with a create, look-up and search may be late."""
    api.sandbox.omeda.seed_deployment("T", name="Spring")
    api.sandbox.omeda.visible_after = 1e9
    await api.post(CLONE, GOOD)
    found = await api.post(CLONE.replace("/clone/", "/search/"), {"DeploymentName": "Spring"})
    assert [one["TrackId"] for one in found.json["Deployments"]] == ["T"]


@pytest.mark.parametrize(
    ("template", "name", "called"),
    [("{} Copy of ", "Spring", "Spring Copy of "), ("Copy of {}", "S" * 80, "Copy of " + "S" * 72), ("{}", "S", "S")],
)
async def test_a_clone_is_called_as_the_sandbox_is_told(api: Any, template: str, name: str, called: str) -> None:
    """No document says where the words are added; 80 characters of the name are kept."""
    api.sandbox.omeda.clone_name = template
    api.sandbox.omeda.seed_deployment("T", name=name)
    track_id = (await api.post(CLONE, GOOD)).json["ResponseInfo"][0]["TrackId"]
    assert api.sandbox.omeda.deployments[track_id].name == called
