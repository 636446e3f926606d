"""The requests of Omeda's operations: their parameters, and how they are built.

Every builder raises InvalidRecord where a field cannot be sent; it says which and why.
"""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
import orjson

from omeda_async._masking import masked_repr
from omeda_async._operation import Request
from omeda_async._quick import quick
from omeda_async.errors import InvalidRecord
from omeda_async.providers._fields import check_id, check_text, path_segment
from omeda_async.providers._models import to_id
from omeda_async.providers.omeda._addresses import Addresses
from omeda_async.providers.omeda._converter import LEVELS, Entry, entry_of, to_wire
from omeda_async.providers.omeda._dates import check_future, to_central
from omeda_async.providers.omeda._validation import check_deployment, check_search
from omeda_async.providers.omeda.models import (
    Deployment,
    DeploymentSearch,
    DeploymentStatus,
    DeploymentUpdate,
    OptOut,
)

_JSON: Final = {"Content-Type": "application/json"}


@attrs.frozen(kw_only=True)
class CreateDeployment:
    """The parameters of ``deployments.create``."""

    brand: str
    deployment: Deployment
    now: datetime
    """The time of the call, aware: the deployment's date has to be after it."""
    candidate: DeploymentStatus | None = None
    """The one deployment found by a search that may be it."""
    addresses: Addresses = Addresses.REAL
    """Which addresses its testers may have."""


@attrs.frozen(kw_only=True)
class CloneDeployment:
    """The parameters of ``deployments.clone``."""

    brand: str
    track_id: str = attrs.field(converter=to_id)
    """The deployment to clone."""
    deployment_date: datetime
    now: datetime
    """The time of the call, aware: the clone's date has to be after it."""
    source: DeploymentStatus | None = None
    """The deployment to clone, where it has been looked up: what its clone inherits."""
    candidate: DeploymentStatus | None = None
    """The one deployment found by a search that may be the clone."""


@attrs.frozen(kw_only=True)
class UpdateDeployment:
    """The parameters of ``deployments.update``."""

    brand: str
    track_id: str = attrs.field(converter=to_id)
    update: DeploymentUpdate
    now: datetime
    """The time of the call, aware: the deployment's date has to be after it."""
    addresses: Addresses = Addresses.REAL
    """Which addresses its testers may have."""


@quick(kw_only=True)
class CancelDeployment:
    """The parameters of ``deployments.cancel``."""

    brand: str
    track_id: str
    user_id: str | None = attrs.field(repr=masked_repr)


@attrs.frozen(kw_only=True)
class LookupDeployment:
    """The parameters of ``deployments.lookup``."""

    brand: str
    track_id: str = attrs.field(converter=to_id)


@attrs.frozen(kw_only=True)
class SearchDeployments:
    """The parameters of ``deployments.search``."""

    brand: str
    search: DeploymentSearch


@attrs.frozen(kw_only=True)
class SubmitOptOuts:
    """The parameters of ``opt_outs.submit``: one request."""

    client: str
    opt_outs: Sequence[OptOut | Entry] = attrs.field(repr=False)
    """Opt-outs, or what ``entry_of`` made of them."""
    addresses: Addresses = Addresses.REAL
    """Which addresses the opt-outs may be of."""


@functools.lru_cache(maxsize=64)
def _root(brand: str) -> str:
    return f"/webservices/rest/brand/{path_segment('brand', brand, check_text)}/omail/deployment/"


@functools.lru_cache(maxsize=64)
def _queue(client: str) -> str:
    return f"/webservices/rest/client/{path_segment('client', client, check_text)}/optoutfilterqueue/*"


def build_create(params: CreateDeployment) -> Request:
    """Return the request that creates a deployment."""
    check_deployment(params.deployment, Deployment, params.now, params.addresses)
    body = to_wire(params.deployment)
    return Request("POST", f"{_root(params.brand)}*", orjson.dumps(body), _JSON)


def build_clone(params: CloneDeployment) -> Request:
    """Return the request that clones a deployment."""
    check_id("track_id", params.track_id)
    check_future("deployment_date", params.deployment_date, params.now)
    body = {"CloneTrackId": params.track_id, "DeploymentDate": to_central(params.deployment_date)}
    return Request("POST", f"{_root(params.brand)}clone/*", orjson.dumps(body), _JSON)


def build_update(params: UpdateDeployment) -> Request:
    """Return the request that updates a deployment."""
    check_id("track_id", params.track_id)
    check_deployment(params.update, DeploymentUpdate, params.now, params.addresses)
    body = {"TrackId": params.track_id, **to_wire(params.update)}
    return Request("PUT", f"{_root(params.brand)}*", orjson.dumps(body), _JSON)


def build_cancel(params: CancelDeployment) -> Request:
    """Return the request that cancels a deployment."""
    check_id("track_id", params.track_id)
    if params.user_id is None:
        raise InvalidRecord.of("user_id", "is empty: give user_id=, or set it in OmedaSettings")
    check_text("user_id", params.user_id)
    body = {"UserId": params.user_id, "TrackId": params.track_id}
    return Request("POST", f"{_root(params.brand)}cancel/*", orjson.dumps(body), _JSON)


def build_lookup(params: LookupDeployment) -> Request:
    """Return the request that looks a deployment up."""
    return Request("GET", f"{_root(params.brand)}lookup/{path_segment('track_id', params.track_id)}/*")


def build_search(params: SearchDeployments) -> Request:
    """Return the request that searches deployments."""
    check_search(params.search)
    return Request("POST", f"{_root(params.brand)}search/*", orjson.dumps(to_wire(params.search)), _JSON)


def build_opt_outs(params: SubmitOptOuts) -> Request:
    """Return the request of all the opt-outs, in their order within each level."""
    path, found = _queue(params.client), dict[str, list[bytes]]()
    for one in params.opt_outs:
        level, data, _ = one if isinstance(one, tuple) else entry_of(one, params.addresses)
        found.setdefault(level, []).append(data)
    if not found:
        raise InvalidRecord.of(None, "there are no opt-outs to submit: give at least one")
    body = b""
    for level in LEVELS:
        if level in found:
            body += b'%s"%s":[%s]' % (b"," if body else b"", level.encode(), b",".join(found[level]))
    return Request("POST", path, b"{%s}" % body, _JSON)
