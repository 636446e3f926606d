"""What Omeda's documents rule about records, checked before anything is sent.

Each check raises InvalidRecord for a field that cannot be sent; it says which and why.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_integer, check_string, check_text, check_texts
from omeda_async.providers.omeda._addresses import Addresses, check_address
from omeda_async.providers.omeda._dates import check_date, check_future
from omeda_async.providers.omeda.models import Deployment, DeploymentSearch, DeploymentUpdate, Tester

_RECOMMENDATION: Final = (
    "content_recommendation_behavior_id",
    "use_images_in_recommendation",
    "number_of_recommendations",
)


def check_deployment(
    deployment: Deployment | DeploymentUpdate,
    kind: type[Deployment | DeploymentUpdate],
    now: datetime,
    addresses: Addresses,
) -> None:
    """Check a deployment to create or to update.

    Args:
        deployment: What is to be sent.
        kind: The model it has to be.
        now: The time its date has to be after, aware.
        addresses: Which addresses its testers may have.
    """
    if not isinstance(deployment, kind):
        raise InvalidRecord.of(None, f"must be a {kind.__name__}, not {type(deployment).__name__}")
    for field in attrs.fields(kind):
        value = getattr(deployment, field.name)
        if value is None and field.default is None:
            continue
        if field.name == "deployment_date":
            check_future(field.name, value, now)
        elif field.name == "testers":
            _check_testers(field.name, value, addresses)
        else:
            _DEPLOYMENT[field.name](field.name, value)
    _check_recommendations(deployment)


def check_search(search: DeploymentSearch) -> None:
    """Check what deployments are searched for."""
    for field, check in _SEARCH.items():
        value = getattr(search, field)
        if value is not None:
            check(field, value)
    check_texts("statuses", search.statuses, "statuses")


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


def _check_testers(field: str, testers: Any, addresses: Addresses) -> None:
    if not isinstance(testers, tuple):
        raise InvalidRecord.of(field, f"must be a list of Tester, not {type(testers).__name__}")
    seen: dict[str, int] = {}
    for position, tester in enumerate(testers):
        where = f"{field}[{position}]"
        _check_tester(where, tester, addresses)
        earlier = seen.setdefault(tester.email_address.casefold(), position)
        if earlier != position:
            raise InvalidRecord.of(
                f"{where}.email_address",
                f"is also that of {field}[{earlier}]: every tester needs an address of their own",
            )


def _check_tester(where: str, tester: Any, addresses: Addresses) -> None:
    if not isinstance(tester, Tester):
        raise InvalidRecord.of(where, f"must be a Tester, not {type(tester).__name__}")
    check_text(f"{where}.first_name", tester.first_name, 80)
    check_text(f"{where}.last_name", tester.last_name, 80)
    check_address(f"{where}.email_address", tester.email_address, addresses)
    if tester.report_recipient is not None:
        _check_flag(f"{where}.report_recipient", tester.report_recipient)


_Checks: TypeAlias = Mapping[str, Callable[[str, Any], object]]
_DEPLOYMENT: Final[_Checks] = {
    "deployment_name": partial(check_text, longest=80),
    "deployment_type_id": check_integer,
    "owner_user_id": check_text,
    "track_opens": _check_flag,
    "track_links": _check_flag,
    "splits": _check_splits,
    # Omeda's older document says 50, its newer page 100: what may be right is let through.
    "campaign_id": partial(check_text, longest=100),
    "final_approver_user_id": check_text,
    "notes": check_string,
    "reload_onq_query_before_final_deployment": _check_flag,
    "billing_category_code": partial(check_text, longest=8),
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
