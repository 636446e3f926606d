"""What an operation says of its requests, for those who may not see an id: the method and a template of the path."""

import re
from typing import Any

import pytest

from omeda_async import ClientOptOut
from omeda_async._operation import Operation
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionCancel, TransactionQuery
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel, CampaignQuery
from omeda_async.providers.omeda import _operations as omeda, _requests
from omeda_async.providers.omeda.models import DeploymentSearch
from tests.core.scripted import DEPLOYMENT_CLONE, DEPLOYMENT_CREATE, UPDATE

OPT_OUTS = [ClientOptOut("one@example.com"), ClientOptOut("two@example.com")]
CASES: list[tuple[Operation[Any, Any], Any, int]] = [
    (omeda.LOOKUP, _requests.LookupDeployment(brand="FOO", track_id="FOO0001"), 0),
    (omeda.SEARCH, _requests.SearchDeployments(brand="FOO", search=DeploymentSearch(deployment_name="A name")), 0),
    (omeda.CREATE, DEPLOYMENT_CREATE.params, 1),
    (omeda.CLONE, DEPLOYMENT_CLONE.params, 1),
    (omeda.UPDATE, UPDATE.params, 1),
    (omeda.CANCEL, _requests.CancelDeployment(brand="FOO", track_id="FOO0001", user_id="u1"), 1),
    (omeda.SUBMIT_OPT_OUTS, _requests.SubmitOptOuts(client="foo_client", opt_outs=OPT_OUTS), 2),
    (ocamba.GET, ocamba.GetCampaign(campaign_id="1000248"), 0),
    (ocamba.LIST, CampaignQuery(search="someone"), 0),
    (ocamba.CANCEL, CampaignCancel("1000248"), 1),
    (journey_manager.QUERY, TransactionQuery(submit_key="15d0"), 0),
    (journey_manager.CANCEL, TransactionCancel("15d0"), 1),
]


def _operations() -> set[str]:
    modules = (omeda, ocamba, journey_manager)
    return {one.name for module in modules for one in vars(module).values() if isinstance(one, Operation)}


def test_every_operation_is_here() -> None:
    """A new one comes with its case."""
    assert {operation.name for operation, _, _ in CASES} == _operations()


@pytest.mark.parametrize(("operation", "params", "records"), CASES, ids=lambda one: getattr(one, "name", ""))
def test_the_template_is_of_the_path_that_is_built_and_holds_no_id(
    operation: Operation[Any, Any], params: Any, records: int
) -> None:
    """With each name in braces replaced by something it is the path without its query."""
    request = operation.build(params)
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
    path = request.path.partition("?")[0]
    assert re.fullmatch(pattern, path)
    assert operation.method == request.method
    for shown in ("FOO", "foo_client", "1000248", "15d0"):
        assert shown not in operation.path
    assert operation.records(params) == records
