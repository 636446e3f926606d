"""What Omeda's documents rule about a record, checked before anything is sent."""

import re
from datetime import datetime
from typing import Any, Final

import attrs

from omeda_async.errors import InvalidRecord
from omeda_async.providers._records import check_id, check_key, check_moment, check_text
from omeda_async.providers.omeda._dates import check_date, check_future
from omeda_async.providers.omeda.models import (
    BrandOptOut,
    ClientOptOut,
    Deployment,
    DeploymentCancel,
    DeploymentSearch,
    DeploymentTypeOptOut,
    DeploymentUpdate,
    OptOut,
    Tester,
)

LONGEST_EMAIL: Final = 255
MOST_RESULTS: Final = 200

# The ranges say the same of ASCII as what follows them says of all characters, in less time.
_EMAIL: Final = re.compile(
    r"[!-?A-~]+@[!-?A-~]+|[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+@[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
)
# Omeda's older document says 50 for CampaignId, its newer page 100: what may be right is let through.
_IDS: Final = {
    "deployment_name": 80,
    "owner_user_id": None,
    "final_approver_user_id": None,
    "campaign_id": 100,
    "billing_category_code": 8,
}
_FLAGS: Final = (
    "track_opens",
    "track_links",
    "reload_onq_query_before_final_deployment",
    "use_content_recommendation",
    "use_images_in_recommendation",
)
_INTEGERS: Final = (
    "deployment_type_id",
    "splits",
    "content_recommendation_behavior_id",
    "number_of_recommendations",
)
_RECOMMENDATION: Final = (
    "content_recommendation_behavior_id",
    "use_images_in_recommendation",
    "number_of_recommendations",
)


def is_email(text: str) -> bool:
    """Whether a text may be an e-mail address; whether it exists is not for us to say."""
    return len(text) <= LONGEST_EMAIL and _EMAIL.fullmatch(text) is not None


def check_email(field: str, value: object) -> None:
    """Refuse what cannot be an e-mail address.

    Raises:
        InvalidRecord: Says what would be right.
    """
    if not isinstance(value, str):
        raise InvalidRecord.of(field, f"must be a string, not {type(value).__name__}")
    if len(value) > LONGEST_EMAIL:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {LONGEST_EMAIL} are allowed")
    if _EMAIL.fullmatch(value) is None:
        raise InvalidRecord.of(
            field, "is no e-mail address: it needs one @, something on both sides of it, and no spaces"
        )


def check_integer(field: str, value: object) -> None:
    """Refuse what is no integer, or one that no JSON reader has to take.

    Raises:
        InvalidRecord: Says what would be right.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRecord.of(field, f"must be an integer, not {type(value).__name__}")
    if not -(2**63) <= value < 2**63:
        raise InvalidRecord.of(field, "is out of the range of 64-bit integers")


def check_opt_out(record: OptOut) -> None:
    """Check an opt-out of any level.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if not isinstance(record, ClientOptOut | BrandOptOut | DeploymentTypeOptOut):
        raise InvalidRecord.of(None, f"must be an opt-out, not {type(record).__name__}")
    check_email("email_address", record.email_address)
    if record.source is not None:
        check_text("source", record.source)
    if record.key is not None:
        check_key(record.key)
    if isinstance(record, BrandOptOut):
        for brand_id in _some_ids("brand_ids", record.brand_ids):
            check_id("brand_ids", brand_id)
    elif isinstance(record, DeploymentTypeOptOut):
        for type_id in _some_ids("deployment_type_ids", record.deployment_type_ids):
            check_integer("deployment_type_ids", type_id)
        if record.promo_code is not None:
            check_text("promo_code", record.promo_code)


def check_deployment(
    deployment: Deployment | DeploymentUpdate, kind: type[Deployment | DeploymentUpdate], now: datetime
) -> None:
    """Check a deployment to create or to update.

    Args:
        deployment: What is to be sent.
        kind: The model it has to be.
        now: The time its date has to be after, aware.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    if not isinstance(deployment, kind):
        raise InvalidRecord.of(None, f"must be a {kind.__name__}, not {type(deployment).__name__}")
    for field in attrs.fields(kind):
        value = getattr(deployment, field.name)
        if value is None and field.default is None:
            continue
        _check_field(field.name, value, now)
    _check_recommendations(deployment)


def check_cancel(record: DeploymentCancel) -> None:
    """Check a deployment to cancel.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    check_id("track_id", record.track_id)
    if record.user_id is not None:
        check_id("user_id", record.user_id)
    if record.scheduled_for is not None:
        check_moment("scheduled_for", record.scheduled_for)


def check_search(search: DeploymentSearch) -> None:
    """Check what deployments are searched for.

    Raises:
        InvalidRecord: Says which field and what would be right.
    """
    for field in ("deployment_name", "track_id", "entered_by_or_assigned_to"):
        if getattr(search, field) is not None:
            check_text(field, getattr(search, field))
    for field in ("deployment_date_start", "deployment_date_end"):
        if getattr(search, field) is not None:
            check_date(field, getattr(search, field))
    for field in ("num_results", "type"):
        if getattr(search, field) is not None:
            check_integer(field, getattr(search, field))
    if search.num_results is not None and not 1 <= search.num_results <= MOST_RESULTS:
        raise InvalidRecord.of("num_results", f"is {search.num_results}: must be from 1 to {MOST_RESULTS}")
    if not isinstance(search.statuses, tuple):
        raise InvalidRecord.of("statuses", "must be a list of statuses, not one string")
    for status in search.statuses:
        check_id("statuses", status)


def _some_ids(field: str, ids: Any) -> tuple[Any, ...]:
    if not isinstance(ids, tuple):
        raise InvalidRecord.of(field, f"must be a list of ids, not {type(ids).__name__}: write [{ids!r}]")
    if not ids:
        raise InvalidRecord.of(field, "is empty: give at least one id")
    return ids


def _check_field(name: str, value: Any, now: datetime) -> None:
    if name == "deployment_date":
        check_future(name, value, now)
    elif name == "testers":
        _check_testers(value)
    elif name == "notes":
        check_text(name, value)
    elif name in _IDS:
        check_id(name, value, _IDS[name])
    elif name in _INTEGERS:
        check_integer(name, value)
    elif name in _FLAGS and not isinstance(value, bool):
        raise InvalidRecord.of(name, f"must be True or False, not {type(value).__name__}")
    if name == "splits" and value != 1:
        raise InvalidRecord.of(name, f"is {value}: Omeda allows 1 only")
    if name == "number_of_recommendations" and not 1 <= value <= 10:
        raise InvalidRecord.of(name, f"is {value}: must be from 1 to 10")


def _check_recommendations(deployment: Deployment | DeploymentUpdate) -> None:
    given = [name for name in _RECOMMENDATION if getattr(deployment, name) is not None]
    if deployment.use_content_recommendation is None and given:
        raise InvalidRecord.of("use_content_recommendation", f"is required together with {given[0]}")
    missing = [name for name in _RECOMMENDATION if name not in given]
    if deployment.use_content_recommendation and missing:
        raise InvalidRecord.of(missing[0], "is required when use_content_recommendation is True")


def _check_testers(testers: Any) -> None:
    if not isinstance(testers, tuple):
        raise InvalidRecord.of("testers", f"must be a list of Tester, not {type(testers).__name__}")
    seen: dict[str, int] = {}
    for position, tester in enumerate(testers):
        where = f"testers[{position}]"
        _check_tester(where, tester)
        earlier = seen.setdefault(tester.email_address.casefold(), position)
        if earlier != position:
            raise InvalidRecord.of(
                f"{where}.email_address",
                f"is testers[{earlier}]'s too: every tester needs an address of their own",
            )


def _check_tester(where: str, tester: Any) -> None:
    if not isinstance(tester, Tester):
        raise InvalidRecord.of(where, f"must be a Tester, not {type(tester).__name__}")
    check_id(f"{where}.first_name", tester.first_name, 80)
    check_id(f"{where}.last_name", tester.last_name, 80)
    check_email(f"{where}.email_address", tester.email_address)
    if tester.report_recipient is not None and not isinstance(tester.report_recipient, bool):
        raise InvalidRecord.of(f"{where}.report_recipient", "must be True or False")
