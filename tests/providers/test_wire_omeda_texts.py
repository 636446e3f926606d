"""Every error text of Omeda's documents on deployments, and the error it is."""

from typing import Any

import orjson
import pytest

from omeda_async._operation import Operation, Response
from omeda_async.errors import AlreadyDone, ApiError, AuthenticationFailed, BadRequest, NotAuthorized, TooLate
from omeda_async.providers.omeda import _operations as wire

# Every error text of the documents, its placeholders filled in, with the fields it speaks of.
CANCEL_TEXTS: list[tuple[str, type[ApiError], tuple[str, ...]]] = [
    ("The value 'FOO…' for field 'TrackId' exceeded a max length of 20.", BadRequest, ("TrackId",)),
    ("The field 'UserId' is required.", BadRequest, ("UserId",)),
    ("Deployment 'FOO0102003002' was sent on 2012-02-29 13:45:00.", TooLate, ()),
    ("Deployment 'FOO0102003002' has been previously cancelled.", AlreadyDone, ()),
    ("User 'omailAccount2' is not authorized to cancel this deployment.", NotAuthorized, ()),
    ("User 'omailaccount1' is not authorized to edit this deployment.", NotAuthorized, ()),
    ("'TrackId' is a required field.", BadRequest, ("TrackId",)),
]
WRITE_TEXTS: list[tuple[str, type[ApiError], tuple[str, ...]]] = [
    (
        "The value 'x' for field 'DeploymentName' exceeded a max length of 80.",
        BadRequest,
        ("DeploymentName",),
    ),
    ("'OwnerUserId' omailuser1 was not found.", BadRequest, ("OwnerUserId",)),
    ("'FinalApproverUserId' omailuser1 was not found.", BadRequest, ("FinalApproverUserId",)),
    ("'OwnerUserId' omailuser1 is not active.", BadRequest, ("OwnerUserId",)),
    ("'FinalApproverUserId' omailuser1 is not active.", BadRequest, ("FinalApproverUserId",)),
    ("'DeploymentName' is a required field.", BadRequest, ("DeploymentName",)),
    (
        (
            "The Duplicate value 'john@doe.com' submitted for Testers array, field 'EmailAddress'. "
            "Tester emails must be unique."
        ),
        BadRequest,
        ("Testers", "EmailAddress"),
    ),
    ("The The value '2' for field 'Splits' cannot be greater than 1.", BadRequest, ("Splits",)),
    ("The value '2' for field 'TrackLinks' must be 0 or 1.", BadRequest, ("TrackLinks",)),
    ("The value '2' for field 'TrackOpens' must be 0 or 1.", BadRequest, ("TrackOpens",)),
    ("'TrackId' is a required when updating an existing deployment.", BadRequest, ("TrackId",)),
    ("No deployment was found matching trackId 'FOO1'.", BadRequest, ("TrackId",)),
    (
        "Deployment 'FOO1' cannot be edited. Sent, Scheduled , Approved, or Cancelled deployments cannot be edited.",
        BadRequest,
        (),
    ),
    (
        "OwnerUserId 'omailuser1' is not authorized to edit deployment 'FOO1'\"",
        NotAuthorized,
        ("OwnerUserId",),
    ),
    (
        "'TrackId' is not a valid field when creating a deployment. It will be auto-generated.",
        BadRequest,
        ("TrackId",),
    ),
    (
        "Invalid value '2012-02-29 13:45' for field 'DeploymentDate'. The date must be in the future.",
        BadRequest,
        ("DeploymentDate",),
    ),
    (
        "Invalid value 'TrackId' for field 'DeploymentDate'. Date format yyyy-MM-dd HH:mm is required.",
        BadRequest,
        ("DeploymentDate",),
    ),
    ("Field 'DeploymentTypeId' is a required field.", BadRequest, ("DeploymentTypeId",)),
    (
        "Invalid value '124' submitted for field 'DeploymentTypeId'. The Deployment Type was not found.",
        BadRequest,
        ("DeploymentTypeId",),
    ),
    (
        "Invalid value '124' submitted for field 'DeploymentTypeId'. The Deployment Type is not active.",
        BadRequest,
        ("DeploymentTypeId",),
    ),
    (
        (
            "Deployment 'FOO09030021' has been edited from the Omail portal and is not eligible for API access. "
            "Last edited by omailAccount2 on 2012-02-04 22:15:00."
        ),
        BadRequest,
        (),
    ),
    (
        "Deployment 'FOO09030021' was created within the Omail portal and is not eligible for API access.",
        BadRequest,
        (),
    ),
    (
        "Unknown category code 'O1230001' submitted for field 'BillingCategoryCode'.",
        BadRequest,
        ("BillingCategoryCode",),
    ),
    (
        "The value '2' for field 'UseContentRecommendation' must be 0 or 1.",
        BadRequest,
        ("UseContentRecommendation",),
    ),
    (
        "OwnerUserId 'omailuser1' is not authorized to create deployments that Use Content Recommendations.",
        NotAuthorized,
        ("OwnerUserId",),
    ),
    (
        "'ContentRecommendationBehaviorId' is required when the value for 'UseContentRecommendation' is 1.",
        BadRequest,
        ("ContentRecommendationBehaviorId", "UseContentRecommendation"),
    ),
    (
        "The value '5' for field 'ContentRecommendationBehaviorId' is not a valid Content Recommendation Behavior.",
        BadRequest,
        ("ContentRecommendationBehaviorId",),
    ),
    (
        "'NumberOfRecommendations' is required when the value for 'UseContentRecommendation' is 1.",
        BadRequest,
        ("NumberOfRecommendations", "UseContentRecommendation"),
    ),
    (
        "The value '11' for field 'NumberOfRecommendations' must be between 1 and 10.",
        BadRequest,
        ("NumberOfRecommendations",),
    ),
    (
        "A 'TrackId' element is required when making a PUT request to update a deployment.",
        BadRequest,
        ("TrackId",),
    ),
    ("'CloneTrackId' is a required field.", BadRequest, ("CloneTrackId",)),
    ("Deployment 'FOO1' cannot be cloned.", BadRequest, ()),
    # Wordings that are not in the documents, of things that are.
    ("The Deployment 'FOO1' was already cancelled.", TooLate, ()),
    ("The field 'SomethingNew' is required.", BadRequest, ("SomethingNew",)),
    ("The AppId submitted is forbidden access.", AuthenticationFailed, ()),
    ("Something nobody has seen yet.", BadRequest, ()),
]


def _errors(text: str) -> bytes:
    return orjson.dumps({"Errors": [{"Error": text}], "SubmissionId": "C95A"})


@pytest.mark.parametrize(("text", "kind", "fields"), CANCEL_TEXTS)
def test_a_cancel_text_gives_its_error(text: str, kind: type[ApiError], fields: tuple[str, ...]) -> None:
    """Each documented text of the cancel is the error it means, with the provider's words and the fields."""
    result = wire.CANCEL.parse(Response(400, {}, _errors(text)))
    assert isinstance(result, ApiError)
    assert (type(result), result.fields, result.messages) == (kind, fields, (text,))
    assert (result.submission_id, result.sent, result.message) == ("C95A", False, text)


@pytest.mark.parametrize("operation", [wire.CREATE, wire.CLONE, wire.UPDATE], ids=lambda one: one.name)
@pytest.mark.parametrize(("text", "kind", "fields"), WRITE_TEXTS)
def test_a_text_about_what_is_written_gives_its_error(
    operation: Operation[Any, Any], text: str, kind: type[ApiError], fields: tuple[str, ...]
) -> None:
    """Each documented text of create, clone and update is the error it means, with the fields it speaks of."""
    result = operation.parse(Response(400, {}, _errors(text)))
    assert isinstance(result, ApiError)
    assert (type(result), result.fields, result.messages) == (kind, fields, (text,))
    assert "@doe" not in str(result) or "j***@doe.com" in str(result)
