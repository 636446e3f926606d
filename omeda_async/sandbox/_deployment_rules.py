"""What Omeda accepts as a deployment to create, clone, update or cancel, and the words in which it refuses."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs

from omeda_async.sandbox._deployments import SandboxDeployment

CENTRAL = ZoneInfo("America/Chicago")
DATE_FORMAT = "%Y-%m-%d %H:%M"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}")
_FINISHED = ("Sent", "Sending", "Scheduled", "Approved", "Cancelled")
_ALWAYS_REQUIRED = ("OwnerUserId", "TrackOpens", "TrackLinks")
_REQUIRED_TO_CREATE = ("DeploymentName", "DeploymentDate", "Splits")
_REQUIRED_TO_CLONE = ("CloneTrackId", "DeploymentDate")
_REQUIRED_TO_CANCEL = ("UserId", "TrackId")
_MAX_ID = 255
MOST_OF_A_NAME = 80
_TESTER_LENGTHS = {"FirstName": 80, "LastName": 80, "EmailAddress": 255}
_REQUIRED_WITH_IT = "'{}' is required when the value for 'UseContentRecommendation' is 1."
_STRINGS = (
    "TrackId",
    "DeploymentName",
    "DeploymentDate",
    "OwnerUserId",
    "CampaignId",
    "FinalApproverUserId",
    "Notes",
    "BillingCategoryCode",
)
FIELDS = frozenset(
    {
        *_STRINGS,
        "DeploymentTypeId",
        "Splits",
        "TrackOpens",
        "TrackLinks",
        "Testers",
        "ReloadOnqQueryBeforeFinalDeployment",
        "UseContentRecommendation",
        "ContentRecommendationBehaviorId",
        "UseImagesInRecommendation",
        "NumberOfRecommendations",
    }
)
CLONE_FIELDS = frozenset(
    {
        "CloneTrackId",
        "DeploymentName",
        "DeploymentDate",
        "OwnerUserId",
        "CampaignId",
        "TrackOpens",
        "TrackLinks",
        "Testers",
        "FinalApproverUserId",
        "Notes",
        "ReloadOnqQueryBeforeFinalDeployment",
    }
)


@attrs.define
class Directory:
    """What exists in the Omeda account, which the validation looks up."""

    users: set[str]
    inactive_users: set[str] = attrs.field(factory=set)
    recommenders: set[str] = attrs.field(factory=set)
    """Users that may create deployments with content recommendations."""
    deployment_types: set[int] = attrs.field(factory=set)
    """Active ones, which are authorised for opt-outs too."""
    inactive_deployment_types: set[int] = attrs.field(factory=set)
    behaviors: set[int] = attrs.field(factory=set)
    """Content recommendation behaviours."""
    billing_codes: set[str] = attrs.field(factory=set)
    max_campaign_id: int = 50
    """The source document says 50, a newer page of the provider 100."""


def central(value: str | datetime) -> str:
    """Return a moment as the provider writes it: US Central time, to the minute."""
    return value if isinstance(value, str) else value.astimezone(CENTRAL).strftime(DATE_FORMAT)


def read_date(text: object) -> datetime | None:
    """Return a date of the documented format, or None for another text."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, DATE_FORMAT).replace(tzinfo=CENTRAL)
    except ValueError:
        return None


def problems(
    body: dict[str, Any], directory: Directory, now: datetime, *, creating: bool, strict: bool
) -> Iterator[str]:
    """Return everything that is wrong with a deployment, in the provider's words."""
    yield from _presence(body, creating=creating)
    if strict:
        yield from _unknown(body, FIELDS)
    yield from _types(body)
    yield from _lengths(body, directory)
    yield from _people(body, directory)
    yield from _date(body, now)
    yield from _deployment_type(body, directory)
    yield from _flags(body)
    yield from _testers(body.get("Testers"))
    yield from _billing(body, directory)
    yield from _recommendations(body, directory)


def clone_problems(body: dict[str, Any], directory: Directory, now: datetime, *, strict: bool) -> Iterator[str]:
    """Return everything that is wrong with a request to clone a deployment, in the provider's words."""
    yield from (f"'{field}' is a required field." for field in _REQUIRED_TO_CLONE if _missing(body, field))
    if strict:
        yield from _unknown(body, CLONE_FIELDS)
    yield from _types(body)
    yield from _lengths(body, directory)
    yield from _people(body, directory)
    yield from _date(body, now)
    yield from _flags(body)
    yield from _testers(body.get("Testers"))


def cancel_problems(body: dict[str, Any], *, strict: bool) -> Iterator[str]:
    """Return everything that is wrong with a request to cancel a deployment, in the provider's words."""
    yield from (f"The field '{name}' is required." for name in _REQUIRED_TO_CANCEL if not body.get(name))
    for name in _REQUIRED_TO_CANCEL:
        yield from too_long(name, body.get(name), _MAX_ID)
        if not isinstance(body.get(name, ""), str):
            yield f"The value '{body[name]}' for field '{name}' must be a string."
    if strict:
        yield from _unknown(body, frozenset(_REQUIRED_TO_CANCEL))


def cloned_fields(source: SandboxDeployment, body: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of a clone: those given, those inherited, and the testers of both, each address once.

    Args:
        source: What is cloned.
        body: The request.
        name: What the clone is called where the request gives it no name; ``{}`` stands for the name of the source.
    """
    own = {name: value for name, value in body.items() if name != "CloneTrackId" and value not in (None, "")}
    testers = [*(source.fields.get("Testers") or ()), *(own.get("Testers") or ())]
    if testers:
        own["Testers"] = list({str(one["EmailAddress"]).lower(): one for one in testers}.values())
    return {**source.fields, "DeploymentName": name.format(source.name)[:MOST_OF_A_NAME], **own}


def not_editable(deployment: SandboxDeployment, user_id: str) -> str | None:
    """Return why a deployment cannot be updated by a user, or None where it can."""
    track_id = deployment.track_id
    if deployment.created_in_portal:
        return f"Deployment '{track_id}' was created within the Omail portal and is not eligible for API access."
    if deployment.edited_in_portal:
        who, when = deployment.edited_in_portal
        return (
            f"Deployment '{track_id}' has been edited from the Omail portal and is not eligible for API "
            f"access. Last edited by {who} on {when}."
        )
    if deployment.status in _FINISHED:
        return (
            f"Deployment '{track_id}' cannot be edited. "
            "Sent, Scheduled , Approved, or Cancelled deployments cannot be edited."
        )
    if not deployment.may_edit(user_id):
        return f"OwnerUserId '{user_id}' is not authorized to edit deployment '{track_id}'\""
    return None


def too_long(field: str, value: object, most: int) -> Iterator[str]:
    """Return the words for a text that is too long; nothing for one that is not."""
    if isinstance(value, str) and len(value) > most:
        yield f"The value '{value}' for field '{field}' exceeded a max length of {most}."


def _unknown(body: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    return (f"Unknown field '{name}'." for name in sorted(body.keys() - known))


def _missing(body: dict[str, Any], field: str) -> bool:
    return body.get(field) in (None, "")


def _presence(body: dict[str, Any], *, creating: bool) -> Iterator[str]:
    if creating and "TrackId" in body:
        yield "'TrackId' is not a valid field when creating a deployment. It will be auto-generated."
    if not creating and _missing(body, "TrackId"):
        yield "'TrackId' is a required when updating an existing deployment."
    for field in (*_REQUIRED_TO_CREATE, *_ALWAYS_REQUIRED) if creating else _ALWAYS_REQUIRED:
        if _missing(body, field):
            yield f"'{field}' is a required field."
    if creating and _missing(body, "DeploymentTypeId"):
        yield "Field 'DeploymentTypeId' is a required field."


def _types(body: dict[str, Any]) -> Iterator[str]:
    for field in (*_STRINGS, "CloneTrackId"):
        if not isinstance(body.get(field, ""), str):
            yield f"The value '{body[field]}' for field '{field}' must be a string."


def _lengths(body: dict[str, Any], directory: Directory) -> Iterator[str]:
    yield from too_long("DeploymentName", body.get("DeploymentName"), MOST_OF_A_NAME)
    yield from too_long("CampaignId", body.get("CampaignId"), directory.max_campaign_id)
    yield from too_long("BillingCategoryCode", body.get("BillingCategoryCode"), 8)


def _people(body: dict[str, Any], directory: Directory) -> Iterator[str]:
    for field in ("OwnerUserId", "FinalApproverUserId"):
        user = body.get(field)
        if not isinstance(user, str) or not user:
            continue
        if user in directory.inactive_users:
            yield f"'{field}' {user} is not active."
        elif user not in directory.users:
            yield f"'{field}' {user} was not found."


def _date(body: dict[str, Any], now: datetime) -> Iterator[str]:
    text = body.get("DeploymentDate")
    if not text:
        return
    date = read_date(text)
    if date is None:
        yield f"Invalid value '{text}' for field 'DeploymentDate'. Date format yyyy-MM-dd HH:mm is required."
    elif date <= now:
        yield f"Invalid value '{text}' for field 'DeploymentDate'. The date must be in the future."


def _deployment_type(body: dict[str, Any], directory: Directory) -> Iterator[str]:
    value = body.get("DeploymentTypeId")
    if value in (None, ""):
        return
    prefix = f"Invalid value '{value}' submitted for field 'DeploymentTypeId'."
    if type(value) is int and value in directory.inactive_deployment_types:
        yield f"{prefix} The Deployment Type is not active."
    elif type(value) is not int or value not in directory.deployment_types:
        yield f"{prefix} The Deployment Type was not found."


def _is_flag(value: object) -> bool:
    return type(value) is int and value in (0, 1)


def _flags(body: dict[str, Any]) -> Iterator[str]:
    splits = body.get("Splits")
    if splits is not None and (type(splits) is not int or splits > 1):
        yield f"The The value '{splits}' for field 'Splits' cannot be greater than 1."
    for field in (
        "TrackLinks",
        "TrackOpens",
        "ReloadOnqQueryBeforeFinalDeployment",
        "UseContentRecommendation",
        "UseImagesInRecommendation",
    ):
        if not _missing(body, field) and not _is_flag(body[field]):
            yield f"The value '{body[field]}' for field '{field}' must be 0 or 1."


def _testers(testers: object) -> Iterator[str]:
    if testers is None:
        return
    if not isinstance(testers, list) or not all(isinstance(one, dict) for one in testers):
        yield "The field 'Testers' must be an array of objects."
        return
    seen: set[str] = set()
    for tester in testers:
        for field, most in _TESTER_LENGTHS.items():
            if _missing(tester, field):
                yield f"'{field}' is a required field."
            yield from too_long(field, tester.get(field), most)
        email = str(tester.get("EmailAddress")).lower()
        if email in seen:
            yield (
                f"The Duplicate value '{tester['EmailAddress']}' submitted for Testers array, "
                "field 'EmailAddress'. Tester emails must be unique."
            )
        seen.add(email)


def _billing(body: dict[str, Any], directory: Directory) -> Iterator[str]:
    code = body.get("BillingCategoryCode")
    if code and isinstance(code, str) and code not in directory.billing_codes:
        yield f"Unknown category code '{code}' submitted for field 'BillingCategoryCode'."


def _recommendations(body: dict[str, Any], directory: Directory) -> Iterator[str]:
    if body.get("UseContentRecommendation") != 1:
        return
    owner = body.get("OwnerUserId")
    if not isinstance(owner, str) or owner not in directory.recommenders:
        yield (f"OwnerUserId '{owner}' is not authorized to create deployments that Use Content Recommendations.")
    behavior = body.get("ContentRecommendationBehaviorId")
    if behavior is None:
        yield _REQUIRED_WITH_IT.format("ContentRecommendationBehaviorId")
    elif type(behavior) is not int or behavior not in directory.behaviors:
        yield (
            f"The value '{behavior}' for field 'ContentRecommendationBehaviorId' "
            "is not a valid Content Recommendation Behavior."
        )
    if body.get("UseImagesInRecommendation") is None:
        yield "'UseImagesInRecommendation' is a required field."
    number = body.get("NumberOfRecommendations")
    if number is None:
        yield _REQUIRED_WITH_IT.format("NumberOfRecommendations")
    elif type(number) is not int or not 1 <= number <= 10:
        yield f"The value '{number}' for field 'NumberOfRecommendations' must be between 1 and 10."
