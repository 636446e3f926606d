"""Omeda's operations: which request, which response and which verification belong together."""

from typing import Any, Final

from omeda_async._operation import (
    Inquiry,
    Operation,
    Response,
    Verification,
    hits_everyone,
    names_the_absent,
    reads_only,
)
from omeda_async.errors import BatchRejected, NotAuthorized, NotFound, OmedaAsyncError
from omeda_async.providers.omeda import _parse, _requests, _verification
from omeda_async.providers.omeda._culprits import no_valid_brands
from omeda_async.providers.omeda.models import DeploymentReceipt, DeploymentStatus, OptOutReceipt

PROVIDER: Final = "omeda"
_DEPLOYMENT: Final = "/webservices/rest/brand/{brand}/omail/deployment/"


def _names_whom_it_refuses(error: OmedaAsyncError) -> bool:
    return isinstance(error, BatchRejected) and bool(error.culprits)


def _meets_every_opt_out(error: OmedaAsyncError) -> bool:
    if isinstance(error, BatchRejected):
        return no_valid_brands(error.messages)
    return hits_everyone(error) or isinstance(error, NotFound | NotAuthorized)


def _is_of(params: Any, shown: DeploymentReceipt | DeploymentStatus, _: Response) -> bool:
    """Whether a response names the deployment that was asked for, if it names one: by its track id, or in its URL."""
    return _verification.may_be(params.track_id, shown.track_id or _verification.track_id_in(shown.url))


LOOKUP: Final[Operation[_requests.LookupDeployment, DeploymentStatus]] = Operation(
    provider=PROVIDER,
    name="deployments.lookup",
    method="GET",
    path=_DEPLOYMENT + "lookup/{track_id}/*",
    records=reads_only,
    idempotent=True,
    build=_requests.build_lookup,
    parse=_parse.parser(_parse.take_status),
    confirms=_is_of,
)
SEARCH: Final[Operation[_requests.SearchDeployments, tuple[DeploymentStatus, ...]]] = Operation(
    provider=PROVIDER,
    name="deployments.search",
    method="POST",
    path=_DEPLOYMENT + "search/*",
    records=reads_only,
    idempotent=True,
    build=_requests.build_search,
    parse=_parse.parser(_parse.take_statuses),
)
_SEARCHED: Final[Inquiry[Any]] = Inquiry(
    operation=SEARCH, question=_verification.search_for_made, learn=_verification.with_candidate
)


def _by_search(*first: Inquiry[Any]) -> Verification[Any]:
    return Verification(
        operation=LOOKUP,
        question=_verification.candidate_of,
        judge=_verification.judge_made,
        known=_verification.judge_row,
        first=(*first, _SEARCHED),
    )


CREATE: Final[Operation[_requests.CreateDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.create",
    method="POST",
    path=_DEPLOYMENT + "*",
    idempotent=False,
    build=_requests.build_create,
    parse=_parse.parser(_parse.take_new_receipt, _parse.WRITE_MEANINGS),
    verification=_by_search(),
    settled=_verification.settled_made,
)
CLONE: Final[Operation[_requests.CloneDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.clone",
    method="POST",
    path=_DEPLOYMENT + "clone/*",
    idempotent=False,
    build=_requests.build_clone,
    parse=_parse.parser(_parse.take_new_receipt, _parse.WRITE_MEANINGS),
    confirms=lambda params, made, response: not _is_of(params, made, response),  # a clone is not its source
    verification=_by_search(
        Inquiry(operation=LOOKUP, question=_verification.source_of, learn=_verification.with_source)
    ),
    settled=_verification.settled_made,
)
UPDATE: Final[Operation[_requests.UpdateDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.update",
    method="PUT",
    path=_DEPLOYMENT + "*",
    idempotent=True,
    build=_requests.build_update,
    parse=_parse.parser(_parse.take_receipt, _parse.WRITE_MEANINGS),
    confirms=_is_of,
    settled=lambda params, _: DeploymentReceipt(params.track_id, settled=True),
    refusal_tells=names_the_absent,  # its date may have passed, or it was approved, sent or cancelled since
)
CANCEL: Final[Operation[_requests.CancelDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.cancel",
    method="POST",
    path=_DEPLOYMENT + "cancel/*",
    idempotent=True,
    build=_requests.build_cancel,
    parse=_parse.parser(_parse.take_receipt, _parse.CANCEL_MEANINGS),
    confirms=_is_of,
    verification=Verification(
        operation=LOOKUP,
        question=lambda params: _requests.LookupDeployment(brand=params.brand, track_id=params.track_id),
        judge=_verification.judge_cancel,
    ),
    settled=_verification.settled_cancel,
)
SUBMIT_OPT_OUTS: Final[Operation[_requests.SubmitOptOuts, OptOutReceipt]] = Operation(
    provider=PROVIDER,
    name="opt_outs.submit",
    method="POST",
    path="/webservices/rest/client/{client}/optoutfilterqueue/*",
    records=lambda params: len(params.opt_outs),
    idempotent=True,
    build=_requests.build_opt_outs,
    parse=_parse.parser(_parse.take_opt_out_receipt, batch=True),
    settled=lambda _params, _found: OptOutReceipt(settled=True),
    refusal_tells=_names_whom_it_refuses,  # with the same record in it, the lost attempt was refused too
    hits_everyone=_meets_every_opt_out,
)
