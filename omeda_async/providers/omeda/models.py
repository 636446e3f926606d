"""What Omeda is given and what it gives back, under Python names.

Making one of these never fails for what it holds: everything is checked where it is about to be sent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, SupportsIndex, TypeAlias

import attrs

from omeda_async._masking import masked_repr
from omeda_async.providers._models import UNKEPT, to_id, to_tuple


def _to_integer(value: str | int | None) -> int | None:
    """Return an id that comes as an integer or as its digits; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return value


@attrs.frozen(kw_only=True)
class Tester:
    """Someone who receives the test of a deployment."""

    # Its name makes pytest take it for a test class wherever it is imported.
    __test__: ClassVar[bool] = False

    first_name: str
    """At most 80 characters."""
    last_name: str
    """At most 80 characters."""
    email_address: str = attrs.field(repr=masked_repr)
    """At most 255 characters, and no other tester's of the same deployment."""
    report_recipient: bool | None = None
    """Whether the automated report is sent here; None leaves it to Omeda, which takes no."""


@attrs.frozen(kw_only=True)
class Deployment:
    """A deployment to create. What is None is not sent."""

    deployment_name: str
    """At most 80 characters."""
    deployment_date: datetime
    """When it is to be sent: aware, and in the future. Omeda takes whole minutes: seconds are dropped."""
    deployment_type_id: int
    owner_user_id: str = attrs.field(repr=masked_repr)
    """An active user; generally the one who works on the deployment."""
    track_opens: bool
    """Whether to store who opens it."""
    track_links: bool
    """Whether to store who clicks a link in it."""
    splits: int = 1
    """Omeda allows 1 only."""
    campaign_id: str | None = None
    """At most 100 characters."""
    testers: tuple[Tester, ...] = attrs.field(default=(), converter=to_tuple)
    """Takes any iterable."""
    final_approver_user_id: str | None = attrs.field(default=None, repr=masked_repr)
    """An active user; None leaves it to Omeda, which takes the owner."""
    notes: str | None = attrs.field(default=None, repr=masked_repr)
    reload_onq_query_before_final_deployment: bool | None = None
    """Whether to run the audience's query again before it is sent."""
    billing_category_code: str | None = None
    """At most 8 characters, and known to Omeda."""
    use_content_recommendation: bool | None = None
    """True requires the three fields that follow."""
    content_recommendation_behavior_id: int | None = None
    use_images_in_recommendation: bool | None = None
    number_of_recommendations: int | None = None
    """1 to 10."""


@attrs.frozen(kw_only=True)
class DeploymentUpdate:
    """What to change about a deployment. What is None stays as it is; Omeda requires the first three always."""

    owner_user_id: str = attrs.field(repr=masked_repr)
    track_opens: bool
    track_links: bool
    deployment_name: str | None = None
    deployment_date: datetime | None = None
    """Aware, and in the future. Omeda takes whole minutes: seconds are dropped."""
    deployment_type_id: int | None = None
    splits: int | None = None
    campaign_id: str | None = None
    testers: tuple[Tester, ...] | None = attrs.field(default=None, converter=to_tuple)
    """Takes any iterable; an empty one is sent as an empty list."""
    final_approver_user_id: str | None = attrs.field(default=None, repr=masked_repr)
    notes: str | None = attrs.field(default=None, repr=masked_repr)
    reload_onq_query_before_final_deployment: bool | None = None
    billing_category_code: str | None = None
    use_content_recommendation: bool | None = None
    content_recommendation_behavior_id: int | None = None
    use_images_in_recommendation: bool | None = None
    number_of_recommendations: int | None = None


@attrs.frozen
class DeploymentCancel:
    """A deployment to cancel."""

    track_id: str = attrs.field(repr=masked_repr, converter=to_id)
    """Takes an integer too."""
    user_id: str | None = attrs.field(default=None, repr=masked_repr)
    """The user it is cancelled as; None takes the settings'."""
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False)
    """The caller's own name for this record; not sent."""
    scheduled_for: datetime | None = None
    """When the deployment is to be sent, aware: cancels that are due sooner go first; not sent."""


class AnyOptOut:
    """What all opt-outs are: to mypy, a list of several levels is a list of these."""

    __slots__ = ()


@attrs.frozen
class ClientOptOut(AnyOptOut):
    """Opt an address out of everything of a client."""

    email_address: str = attrs.field(repr=masked_repr)
    source: str | None = attrs.field(default=None, repr=masked_repr)
    """Where the opt-out comes from; None leaves it to Omeda, which notes "Optout API 2."."""
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False, kw_only=True)
    """The caller's own name for this record; not sent."""


@attrs.frozen
class BrandOptOut(AnyOptOut):
    """Opt an address out of all deployment types of some brands."""

    email_address: str = attrs.field(repr=masked_repr)
    brand_ids: tuple[str, ...] = attrs.field(converter=to_tuple)
    """Takes any iterable."""
    source: str | None = attrs.field(default=None, repr=masked_repr)
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False, kw_only=True)


@attrs.frozen
class DeploymentTypeOptOut(AnyOptOut):
    """Opt an address out of some deployment types."""

    email_address: str = attrs.field(repr=masked_repr)
    deployment_type_ids: tuple[int, ...] = attrs.field(converter=to_tuple)
    """Takes any iterable."""
    source: str | None = attrs.field(default=None, repr=masked_repr)
    promo_code: str | None = None
    key: str | int | None = attrs.field(default=None, repr=masked_repr, eq=False, kw_only=True)


OptOut: TypeAlias = ClientOptOut | BrandOptOut | DeploymentTypeOptOut
"""An opt-out of any level."""
OptOutRecord: TypeAlias = OptOut | AnyOptOut | Mapping[Any, Any]
"""What stands for an opt-out in bulk: one, or a mapping of its fields."""
DeploymentRecord: TypeAlias = str | SupportsIndex | DeploymentCancel | Mapping[Any, Any]
"""What stands for a deployment to cancel: its id, a model, or a mapping of its fields."""


@attrs.frozen(kw_only=True)
class DeploymentSearch:
    """What to search deployments for. What is None is not looked at."""

    deployment_name: str | None = None
    """A text the name contains."""
    track_id: str | None = None
    """A text the track id contains."""
    entered_by_or_assigned_to: str | None = attrs.field(default=None, repr=masked_repr)
    """A text the owner's or the creator's user id contains."""
    deployment_date_start: datetime | None = None
    """Aware; sent after it."""
    deployment_date_end: datetime | None = None
    """Aware; sent before it."""
    statuses: tuple[str, ...] = attrs.field(default=(), converter=to_tuple)
    """Of NEW, SENT_OR_SENDING, SCHEDULED, SENDING, SENT, CANCELLED and WAITING_REVIEW; takes any iterable."""
    num_results: int | None = None
    """1 to 200; None leaves it to Omeda, which takes 200. There are no pages: narrow it by the dates."""
    type: int | None = None
    """A deployment type id."""


@attrs.frozen
class DeploymentReceipt:
    """Omeda's word that a deployment was created, cloned, updated or cancelled."""

    track_id: str | None = None
    """Of a clone: the new deployment's."""
    url: str | None = None
    """Where Omeda says the deployment can be looked up; not to be trusted with credentials."""
    submission_id: str | None = None
    """To quote to Omeda's support."""
    warnings: tuple[str, ...] = attrs.field(default=(), repr=masked_repr)
    settled: bool = attrs.field(default=False, kw_only=True)
    """True: the response was lost, and a read has shown since that it was done."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False, metadata=UNKEPT)
    """The whole response as it came, which cannot be changed; None where a read has settled it, or in an outcome
    from a journal."""


@attrs.frozen
class OptOutReceipt:
    """Omeda's word that all opt-outs of a request are queued."""

    submission_id: str | None = None
    """To quote to Omeda's support."""
    message: str | None = attrs.field(default=None, repr=masked_repr)
    warnings: tuple[str, ...] = attrs.field(default=(), repr=masked_repr)
    settled: bool = attrs.field(default=False, kw_only=True)
    """True: the response was lost, and it has been shown since that it was done."""
    raw: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False, metadata=UNKEPT)
    """The whole response as it came, which cannot be changed; None where a read has settled it, or in an outcome
    from a journal."""


@attrs.frozen(kw_only=True)
class DeploymentStatus:
    """A deployment as a look-up or a search shows it. What the response does not hold is None."""

    track_id: str | None = None
    deployment_name: str | None = None
    status: str | None = None
    """An open set: New, Waiting Review, Scheduled, Sending, Sent, Cancelled, Unscheduling and more.

    Always in these words: the code that a search may give instead (``WAITING_REVIEW``) is in ``raw``.
    """
    deployment_type_id: int | None = attrs.field(default=None, converter=_to_integer)
    owner_user_id: str | None = attrs.field(default=None, repr=masked_repr)
    created_by: str | None = attrs.field(default=None, repr=masked_repr)
    deployment_date: datetime | None = None
    requested_date: datetime | None = None
    """When it was to be sent as it was first asked for; a look-up shows this one."""
    scheduled_date: datetime | None = None
    sent_date: datetime | None = None
    created_date: datetime | None = None
    url: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The whole object, as Omeda gave it."""
