"""Load the request and answer examples of the providers' documents, one JSON file each.

A file holds ``source`` (the document), ``operation``, and one or both of: ``params`` with the ``request`` they make
(method, path, headers, JSON body), and an ``answer`` (status, headers, body as printed) with what is ``expect``ed of
it. Where the document's own example cannot be sent or read as printed, ``note`` says why.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from omeda_async._operation import Operation
from omeda_async.providers.journey_manager import _operations as journey_manager
from omeda_async.providers.journey_manager.models import TransactionCancel
from omeda_async.providers.ocamba import _operations as ocamba
from omeda_async.providers.ocamba.models import CampaignCancel
from omeda_async.providers.omeda import _operations as omeda
from omeda_async.providers.omeda._converter import opt_out_from
from omeda_async.providers.omeda._requests import CancelDeployment, CreateDeployment, SubmitOptOuts, UpdateDeployment
from omeda_async.providers.omeda.models import Deployment, DeploymentUpdate, Tester

OPERATIONS: Mapping[str, Operation[Any, Any]] = {
    f"{operation.provider} {operation.name}": operation
    for operation in (
        omeda.CREATE,
        omeda.CLONE,
        omeda.UPDATE,
        omeda.CANCEL,
        omeda.LOOKUP,
        omeda.SEARCH,
        omeda.SUBMIT_OPT_OUTS,
        ocamba.CANCEL,
        ocamba.GET,
        ocamba.LIST,
        journey_manager.CANCEL,
        journey_manager.QUERY,
    )
}
"""Every operation there is, by provider and name."""


@attrs.frozen
class Sample:
    """One example of a document."""

    name: str
    source: str
    operation: Operation[Any, Any]
    arguments: Mapping[str, Any] | None
    """The parameters as they stand in the file."""
    request: Mapping[str, Any] | None
    answer: Mapping[str, Any] | None
    expect: Mapping[str, Any] | None

    @property
    def params(self) -> Any:
        """The parameters, as the operation takes them."""
        assert self.arguments is not None
        return _PARAMS[f"{self.operation.provider} {self.operation.name}"](dict(self.arguments))


def load_samples(part: str | None = None) -> list[Sample]:
    """Load all samples, or only those with a ``"request"`` or with an ``"answer"``."""
    files = sorted((Path(__file__).parent / "samples").glob("*.json"))
    samples = [_sample(file.stem, json.loads(file.read_text("utf-8"))) for file in files]
    return [sample for sample in samples if part is None or getattr(sample, part) is not None]


def _sample(name: str, content: Mapping[str, Any]) -> Sample:
    return Sample(
        name=name,
        source=content["source"],
        operation=OPERATIONS[content["operation"]],
        arguments=content.get("params"),
        request=content.get("request"),
        answer=content.get("answer"),
        expect=content.get("expect"),
    )


def _deployment(fields: Mapping[str, Any]) -> dict[str, Any]:
    testers = [Tester(**tester) for tester in fields["testers"]]
    return {
        **fields,
        "deployment_date": datetime.fromisoformat(fields["deployment_date"]),
        "testers": testers,
    }


def _create(given: dict[str, Any]) -> CreateDeployment:
    return CreateDeployment(
        brand=given["brand"],
        deployment=Deployment(**_deployment(given["deployment"])),
        now=datetime.fromisoformat(given["now"]),
    )


def _update(given: dict[str, Any]) -> UpdateDeployment:
    return UpdateDeployment(
        brand=given["brand"],
        track_id=given["track_id"],
        update=DeploymentUpdate(**_deployment(given["update"])),
        now=datetime.fromisoformat(given["now"]),
    )


def _opt_outs(given: dict[str, Any]) -> SubmitOptOuts:
    return SubmitOptOuts(client=given["client"], opt_outs=list(map(opt_out_from, given["opt_outs"])))


_PARAMS: Mapping[str, Any] = {
    "omeda deployments.create": _create,
    "omeda deployments.update": _update,
    "omeda deployments.cancel": lambda given: CancelDeployment(**given),
    "omeda opt_outs.submit": _opt_outs,
    "ocamba campaigns.cancel": lambda given: CampaignCancel(**given),
    "journey_manager transactions.cancel": lambda given: TransactionCancel(**given),
}
