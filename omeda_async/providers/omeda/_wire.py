"""Omeda's operations: how their requests are built, how their answers are read, how they are settled."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from omeda_async._operation import Inquiry, Operation, Response, Verdict, Verification, hits_everyone, names_the_absent
from omeda_async.errors import BatchRejected, NotAuthorized, NotFound, OmedaAsyncError
from omeda_async.providers._answers import Received
from omeda_async.providers.omeda._culprits import no_valid_brands
from omeda_async.providers.omeda._made import (
    candidate_of,
    judge_made,
    judge_row,
    search_for_made,
    settled_made,
    source_of,
    with_candidate,
    with_source,
)
from omeda_async.providers.omeda._parse import (
    CANCEL_MEANINGS,
    READ_MEANINGS,
    WRITE_MEANINGS,
    Content,
    Meanings,
    failure,
    read_content,
    take_new_receipt,
    take_opt_out_receipt,
    take_receipt,
    take_status,
    take_statuses,
)
from omeda_async.providers.omeda._requests import (
    CancelDeployment,
    CloneDeployment,
    CreateDeployment,
    LookupDeployment,
    SearchDeployments,
    SubmitOptOuts,
    UpdateDeployment,
    build_cancel,
    build_clone,
    build_create,
    build_lookup,
    build_opt_outs,
    build_search,
    build_update,
)
from omeda_async.providers.omeda.models import (
    DeploymentReceipt,
    DeploymentStatus,
    OptOutReceipt,
)

__all__ = [
    "CANCEL",
    "CLONE",
    "CREATE",
    "LOOKUP",
    "SEARCH",
    "SUBMIT_OPT_OUTS",
    "UPDATE",
    "CancelDeployment",
    "CloneDeployment",
    "CreateDeployment",
    "LookupDeployment",
    "SearchDeployments",
    "SubmitOptOuts",
    "UpdateDeployment",
]

R = TypeVar("R")
Parse: TypeAlias = Callable[[Response], R | OmedaAsyncError]

PROVIDER: Final = "omeda"
_DONE: Final = frozenset({"cancelled", "canceled"})
_GONE: Final = frozenset({"sent", "sending", "sent or sending", "sent_or_sending"})


def _reads(
    name: str, take: Callable[[Content], R | str], meanings: Meanings = READ_MEANINGS, *, batch: bool = False
) -> Parse[R]:
    def parse(response: Response) -> R | OmedaAsyncError:
        content = read_content(response.body)
        if content is None or content.failed or not response.accepted:
            return failure(
                Received(PROVIDER, name, response.status, response.headers, response.body),
                content,
                meanings,
                batch=batch,
            )
        taken = take(content)
        if isinstance(taken, str):
            return Received(PROVIDER, name, response.status, response.headers, response.body).unreadable(taken)
        return taken

    return parse


def judge_cancel(_: CancelDeployment, found: DeploymentStatus | OmedaAsyncError) -> Verdict:
    """Return from a look-up whether a deployment is cancelled. One that is not found may only not be there yet."""
    if not isinstance(found, DeploymentStatus) or found.status is None:
        return Verdict.UNDECIDED
    status = found.status.strip().casefold()
    if status in _DONE:
        return Verdict.DONE
    if status in _GONE:
        return Verdict.TOO_LATE
    return Verdict.UNDECIDED if status.startswith("cancel") else Verdict.NOT_DONE


def _settled_cancel(params: CancelDeployment, found: Any) -> DeploymentReceipt:
    url = found.url if isinstance(found, DeploymentStatus) else None
    return DeploymentReceipt(params.track_id, url, settled=True)


def _settled_update(params: UpdateDeployment, _: Any) -> DeploymentReceipt:
    return DeploymentReceipt(params.track_id, settled=True)


def _settled_opt_outs(_: SubmitOptOuts, _found: Any) -> OptOutReceipt:
    return OptOutReceipt(settled=True)


def _names_whom_it_refuses(error: OmedaAsyncError) -> bool:
    return isinstance(error, BatchRejected) and bool(error.culprits)


def _meets_every_opt_out(error: OmedaAsyncError) -> bool:
    if isinstance(error, BatchRejected):
        return no_valid_brands(error.messages)
    return hits_everyone(error) or isinstance(error, NotFound | NotAuthorized)


LOOKUP: Final[Operation[LookupDeployment, DeploymentStatus]] = Operation(
    provider=PROVIDER,
    name="deployments.lookup",
    idempotent=True,
    build=build_lookup,
    parse=_reads("deployments.lookup", take_status),
)
SEARCH: Final[Operation[SearchDeployments, tuple[DeploymentStatus, ...]]] = Operation(
    provider=PROVIDER,
    name="deployments.search",
    idempotent=True,
    build=build_search,
    parse=_reads("deployments.search", take_statuses),
)
CREATE: Final[Operation[CreateDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.create",
    idempotent=False,
    build=build_create,
    parse=_reads("deployments.create", take_new_receipt, WRITE_MEANINGS),
    verification=Verification(
        operation=LOOKUP,
        question=candidate_of,
        judge=judge_made,
        known=judge_row,
        first=(Inquiry(operation=SEARCH, question=search_for_made, learn=with_candidate),),
    ),
    settled=settled_made,
)
CLONE: Final[Operation[CloneDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.clone",
    idempotent=False,
    build=build_clone,
    parse=_reads("deployments.clone", take_new_receipt, WRITE_MEANINGS),
    verification=Verification(
        operation=LOOKUP,
        question=candidate_of,
        judge=judge_made,
        known=judge_row,
        first=(
            Inquiry(operation=LOOKUP, question=source_of, learn=with_source),
            Inquiry(operation=SEARCH, question=search_for_made, learn=with_candidate),
        ),
    ),
    settled=settled_made,
)
UPDATE: Final[Operation[UpdateDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.update",
    idempotent=True,
    build=build_update,
    parse=_reads("deployments.update", take_receipt, WRITE_MEANINGS),
    settled=_settled_update,
    refusal_tells=names_the_absent,  # its date may have passed, or it was approved, sent or cancelled since
)
CANCEL: Final[Operation[CancelDeployment, DeploymentReceipt]] = Operation(
    provider=PROVIDER,
    name="deployments.cancel",
    idempotent=True,
    build=build_cancel,
    parse=_reads("deployments.cancel", take_receipt, CANCEL_MEANINGS),
    verification=Verification(
        operation=LOOKUP,
        question=lambda params: LookupDeployment(brand=params.brand, track_id=params.track_id),
        judge=judge_cancel,
    ),
    settled=_settled_cancel,
)
SUBMIT_OPT_OUTS: Final[Operation[SubmitOptOuts, OptOutReceipt]] = Operation(
    provider=PROVIDER,
    name="opt_outs.submit",
    idempotent=True,
    build=build_opt_outs,
    parse=_reads("opt_outs.submit", take_opt_out_receipt, batch=True),
    settled=_settled_opt_outs,
    refusal_tells=_names_whom_it_refuses,  # with the same record in it, the lost attempt was refused too
    hits_everyone=_meets_every_opt_out,
)
