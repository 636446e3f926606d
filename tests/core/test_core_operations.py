"""What each operation declares about its safety."""

from typing import Any

from omeda_async import Conflict
from omeda_async._operation import Operation
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.omeda import _operations as omeda


def test_every_operation_declares_its_safety_as_the_table_says() -> None:
    """Only create and clone double; where a repeat tells nothing the read goes first; else a refusal is doubted."""
    operations: list[Operation[Any, Any]] = [
        omeda.CANCEL,
        omeda.CREATE,
        omeda.CLONE,
        omeda.UPDATE,
        omeda.SUBMIT_OPT_OUTS,
        omeda.LOOKUP,
        omeda.SEARCH,
    ]
    operations += [ocamba.CANCEL, ocamba.GET, ocamba.LIST, journey_manager.CANCEL, journey_manager.QUERY]
    by_name = {f"{one.provider}.{one.name}": one for one in operations}
    assert {name for name, one in by_name.items() if one.idempotent is False} == {
        "omeda.deployments.create",
        "omeda.deployments.clone",
    }
    assert {name for name, one in by_name.items() if not one.repeat_tells} == {
        "ocamba.campaigns.cancel",
        "journey_manager.transactions.cancel",
    }
    assert {name for name, one in by_name.items() if not one.refusal_tells(Conflict("no", status=409))} == {
        "omeda.deployments.update",
        "omeda.opt_outs.submit",
    }
    reads = {name: one.verification.operation.name for name, one in by_name.items() if one.verification}
    assert reads == {
        "omeda.deployments.cancel": "deployments.lookup",
        "omeda.deployments.create": "deployments.lookup",
        "omeda.deployments.clone": "deployments.lookup",
        "ocamba.campaigns.cancel": "campaigns.get",
        "journey_manager.transactions.cancel": "transactions.query",
    }
    first = {
        name: [two.operation.name for two in one.verification.first]
        for name, one in by_name.items()
        if one.verification
    }
    assert {name: reads for name, reads in first.items() if reads} == {
        "omeda.deployments.create": ["deployments.search"],
        "omeda.deployments.clone": ["deployments.lookup", "deployments.search"],
    }
