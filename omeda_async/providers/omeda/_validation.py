"""What Omeda's documents rule about records, checked before anything is sent.

Each check raises InvalidRecord for a field that cannot be sent; it says which and why.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_id, check_integer, check_key, check_string
from omeda_async.providers.omeda._dates import check_date, check_future
from omeda_async.providers.omeda.models import (
    BrandOptOut,
    ClientOptOut,
    Deployment,
    DeploymentSearch,
    DeploymentTypeOptOut,
    DeploymentUpdate,
    OptOut,
    Tester,
)

LONGEST_EMAIL: Final = 255

# The ranges say the same of ASCII as what follows them says of all characters, in less time.
_EMAIL: Final = re.compile(
    r"[!-?A-~]+@[!-?A-~]+|[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+@[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]+"
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
    """Check that a value may be an e-mail address."""
    if not isinstance(value, str):
        raise InvalidRecord.of(field, f"must be a string, not {type(value).__name__}")
    if len(value) > LONGEST_EMAIL:
        raise InvalidRecord.of(field, f"has {len(value)} characters: at most {LONGEST_EMAIL} are allowed")
    if _EMAIL.fullmatch(value) is None:
        raise InvalidRecord.of(
            field, "is no e-mail address: it needs one @, something on both sides of it, and no spaces"
        )


def check_opt_out(record: OptOut) -> None:
    """Check an opt-out of any level."""
    if not isinstance(record, ClientOptOut | BrandOptOut | DeploymentTypeOptOut):
        raise InvalidRecord.of(None, f"must be an opt-out, not {type(record).__name__}")
    check_email("email_address", record.email_address)
    if record.source is not None:
        check_string("source", record.source)
    if record.key is not None:
        check_key(record.key)
    if isinstance(record, BrandOptOut):
        for brand_id in _some_ids("brand_ids", record.brand_ids):
            check_id("brand_ids", brand_id)
    elif isinstance(record, DeploymentTypeOptOut):
        for type_id in _some_ids("deployment_type_ids", record.deployment_type_ids):
            check_integer("deployment_type_ids", type_id)
        if record.promo_code is not None:
            check_string("promo_code", record.promo_code)


def check_deployment(
    deployment: Deployment | DeploymentUpdate, kind: type[Deployment | DeploymentUpdate], now: datetime
) -> None:
    """Check a deployment to create or to update.

    Args:
        deployment: What is to be sent.
        kind: The model it has to be.
        now: The time its date has to be after, aware.
    """
    if not isinstance(deployment, kind):
        raise InvalidRecord.of(None, f"must be a {kind.__name__}, not {type(deployment).__name__}")
    for field in attrs.fields(kind):
        value = getattr(deployment, field.name)
        if value is None and field.default is None:
            continue
        if field.name == "deployment_date":
            check_future(field.name, value, now)
        else:
            _DEPLOYMENT[field.name](field.name, value)
    _check_recommendations(deployment)


def check_search(search: DeploymentSearch) -> None:
    """Check what deployments are searched for."""
    for field, check in _SEARCH.items():
        value = getattr(search, field)
        if value is not None:
            check(field, value)
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


def _check_recommendations(deployment: Deployment | DeploymentUpdate) -> None:
    given = [name for name in _RECOMMENDATION if getattr(deployment, name) is not None]
    if deployment.use_content_recommendation is None and given:
        raise InvalidRecord.of("use_content_recommendation", f"is required together with {given[0]}")
    missing = [name for name in _RECOMMENDATION if name not in given]
    if deployment.use_content_recommendation and missing:
        raise InvalidRecord.of(missing[0], "is required when use_content_recommendation is True")


def _check_flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidRecord.of(field, f"must be True or False, not {type(value).__name__}")


def _check_splits(field: str, value: object) -> None:
    check_integer(field, value)
    if value != 1:
        raise InvalidRecord.of(field, f"is {value}: Omeda allows 1 only")


def _check_testers(field: str, testers: Any) -> None:
    if not isinstance(testers, tuple):
        raise InvalidRecord.of(field, f"must be a list of Tester, not {type(testers).__name__}")
    seen: dict[str, int] = {}
    for position, tester in enumerate(testers):
        where = f"{field}[{position}]"
        _check_tester(where, tester)
        earlier = seen.setdefault(tester.email_address.casefold(), position)
        if earlier != position:
            raise InvalidRecord.of(
                f"{where}.email_address",
                f"is also that of {field}[{earlier}]: every tester needs an address of their own",
            )


def _check_tester(where: str, tester: Any) -> None:
    if not isinstance(tester, Tester):
        raise InvalidRecord.of(where, f"must be a Tester, not {type(tester).__name__}")
    check_id(f"{where}.first_name", tester.first_name, 80)
    check_id(f"{where}.last_name", tester.last_name, 80)
    check_email(f"{where}.email_address", tester.email_address)
    if tester.report_recipient is not None:
        _check_flag(f"{where}.report_recipient", tester.report_recipient)


_Checks: TypeAlias = Mapping[str, Callable[[str, Any], object]]
_DEPLOYMENT: Final[_Checks] = {
    "deployment_name": partial(check_id, longest=80),
    "deployment_type_id": check_integer,
    "owner_user_id": check_id,
    "track_opens": _check_flag,
    "track_links": _check_flag,
    "splits": _check_splits,
    # Omeda's older document says 50, its newer page 100: what may be right is let through.
    "campaign_id": partial(check_id, longest=100),
    "testers": _check_testers,
    "final_approver_user_id": check_id,
    "notes": check_string,
    "reload_onq_query_before_final_deployment": _check_flag,
    "billing_category_code": partial(check_id, longest=8),
    "use_content_recommendation": _check_flag,
    "content_recommendation_behavior_id": check_integer,
    "use_images_in_recommendation": _check_flag,
    "number_of_recommendations": partial(check_integer, least=1, most=10),
}
_SEARCH: Final[_Checks] = {
    "deployment_name": check_string,
    "track_id": check_string,
    "entered_by_or_assigned_to": check_string,
    "deployment_date_start": check_date,
    "deployment_date_end": check_date,
    "num_results": partial(check_integer, least=1, most=200),
    "type": check_integer,
}
